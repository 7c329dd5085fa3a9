//! No REST write without the lease.

use std::sync::Arc;
use std::time::Duration;

use adapter_client::{
    BuildError, Dial, Gate, HttpTransport, Limits, TlsSettings, Transport, TransportError,
};
use async_trait::async_trait;
use http::{Method, Request, Response};

use crate::Fence;

/// A [`Transport`] that asks the fence just before each request that may change something, as the Kubernetes
/// client does. Logins are such requests too: a process that lost its lease has nothing to say to a server.
#[derive(Debug)]
pub struct Fenced<T> {
    inner: T,
    fence: Fence,
}

impl<T> Fenced<T> {
    /// `inner` behind `fence`.
    pub const fn new(inner: T, fence: Fence) -> Self {
        Self { inner, fence }
    }
}

/// HTTP over `dial` behind `fence`: asked before a connection is made, and again before the first byte
/// of the request, because connecting may take longer than the lease lasts.
pub(super) fn fenced(
    dial: Arc<dyn Dial>,
    tls: Option<&TlsSettings>,
    connect: Duration,
    fence: Fence,
) -> Result<Fenced<HttpTransport>, BuildError> {
    let last = fence.clone();
    let gate: Gate = Arc::new(move || last.check().map_err(|lost| lost.to_string()));
    let http = HttpTransport::gated(dial, tls, connect, Some(gate))?;
    Ok(Fenced::new(http, fence))
}

#[async_trait]
impl<T: Transport> Transport for Fenced<T> {
    async fn send(
        &self,
        request: Request<axum::body::Bytes>,
        limits: Limits,
    ) -> Result<Response<axum::body::Bytes>, TransportError> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            // `Connect` promises that nothing was sent.
            self.fence
                .check()
                .map_err(|lost| TransportError::Connect(lost.to_string()))?;
        }
        self.inner.send(request, limits).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use adapter_client::{ByteStream, Target};
    use axum::body::Bytes;

    use super::*;
    use crate::clock::BootClock;

    struct Hand(Mutex<Duration>);

    impl BootClock for Hand {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    /// Connects after this time.
    struct Late(Arc<Hand>, Duration);

    #[async_trait]
    impl Dial for Late {
        async fn dial(&self, _: &Target) -> std::io::Result<Box<dyn ByteStream>> {
            *self.0.0.lock().unwrap() += self.1;
            let (near, mut far) = tokio::io::duplex(4096);
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut bytes = [0; 4096];
                if far.read(&mut bytes).await.is_ok_and(|length| length > 0) {
                    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                    far.write_all(answer).await.unwrap();
                }
            });
            Ok(Box::new(near))
        }
    }

    #[tokio::test]
    async fn a_lease_that_ends_while_the_connection_is_made_stops_the_write() {
        let lease = Duration::from_secs(15);
        for (late, sent) in [(4, true), (15, false), (20, false)] {
            let clock = Arc::new(Hand(Mutex::default()));
            let fence = Fence::new(clock.clone());
            fence.extend(lease);
            let dial = Late(clock, Duration::from_secs(late));
            let transport = fenced(Arc::new(dial), None, lease, fence).unwrap();
            let request = Request::put("http://server/x").body(Bytes::new()).unwrap();
            let limits = Limits {
                total: Duration::from_secs(60),
                body: 1,
            };
            match transport.send(request, limits).await {
                Ok(_) => assert!(sent, "sent after {late} s"),
                Err(TransportError::Connect(why)) => {
                    assert!(!sent, "{why}");
                    assert!(why.contains("lease"), "{why}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[derive(Default)]
    struct Counted(AtomicUsize);

    #[async_trait]
    impl Transport for Counted {
        async fn send(
            &self,
            _: Request<Bytes>,
            _: Limits,
        ) -> Result<Response<Bytes>, TransportError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Response::new(Bytes::new()))
        }
    }

    #[tokio::test]
    async fn without_the_lease_reads_are_sent_and_writes_are_not() {
        let fence = Fence::default();
        let transport = Fenced::new(Counted::default(), fence.clone());
        let send = async |method: &str| {
            let request = Request::builder()
                .method(method)
                .uri("http://server")
                .body(Bytes::new())
                .unwrap();
            let limits = Limits {
                total: Duration::from_secs(1),
                body: 1,
            };
            transport.send(request, limits).await
        };
        assert!(send("GET").await.is_ok());
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            assert!(matches!(
                send(method).await,
                Err(TransportError::Connect(_))
            ));
        }
        assert_eq!(transport.inner.0.load(Ordering::Relaxed), 1);
        fence.extend(fence.clock().now() + Duration::from_secs(60));
        assert!(send("PUT").await.is_ok());
    }
}
