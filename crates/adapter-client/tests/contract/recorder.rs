//! Notes what goes to the server and comes back.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use adapter_client::{Clock, HttpTransport, Limits, TcpDial, Transport, TransportError};
use async_trait::async_trait;
use http::{Request, Response};
use hyper::body::Bytes;

use crate::dfs::PATIENT;

/// One exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    /// 0 when there was no answer.
    pub(crate) status: u16,
}

/// A transport that passes everything on and remembers it.
#[derive(Debug)]
pub(crate) struct Recorder {
    inner: HttpTransport,
    seen: Mutex<Vec<Seen>>,
    limits: Mutex<Vec<Limits>>,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: plain_transport(),
            seen: Mutex::default(),
            limits: Mutex::default(),
        })
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The bounds of each exchange.
    pub(crate) fn limits(&self) -> Vec<Limits> {
        self.limits.lock().unwrap().clone()
    }

    /// How often this path was called.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.all().iter().filter(|seen| seen.path == path).count()
    }
}

/// The crate's own transport, without TLS.
pub(crate) fn plain_transport() -> HttpTransport {
    HttpTransport::new(Arc::new(TcpDial), None, PATIENT.connect).unwrap()
}

#[async_trait]
impl Transport for Recorder {
    async fn send(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, TransportError> {
        let method = request.method().to_string();
        let path = request.uri().path().to_owned();
        self.limits.lock().unwrap().push(limits);
        let result = self.inner.send(request, limits).await;
        let status = result.as_ref().map_or(0, |answer| answer.status().as_u16());
        self.seen.lock().unwrap().push(Seen {
            method,
            path,
            status,
        });
        result
    }
}

/// A clock that moves when it is told to. Delays between attempts pass at once
/// and move it.
#[derive(Debug, Default)]
pub(crate) struct TestClock(Mutex<Duration>);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, delay: Duration) {
        self.advance(delay);
        tokio::task::yield_now().await;
    }
}
