//! Faults that stand between a controller and the API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use controller_runtime::Seam;
use controller_runtime::seam::{Before, Request};
use http::StatusCode;
use kube::core::Status;

/// What a fault does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The API server answers with this status and a made-up reason.
    Answer(u16, &'static str),
    /// The connection breaks.
    Cut,
}

/// A fault that hits some requests while it is on.
pub struct Fault {
    kind: Kind,
    hits: Box<dyn Fn(&Request) -> bool + Send + Sync>,
    on: AtomicBool,
    count: AtomicU64,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Fault")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Fault {
    /// A fault that is on and hits the requests for which `hits` holds.
    pub fn new(kind: Kind, hits: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Fault {
            kind,
            hits: Box::new(hits),
            on: AtomicBool::new(true),
            count: AtomicU64::new(0),
        })
    }

    /// Ends it.
    pub fn end(&self) {
        self.on.store(false, Ordering::SeqCst);
    }

    /// Requests that it has hit so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Seam for Fault {
    async fn before(&self, request: &Request) -> Before {
        if !self.on.load(Ordering::SeqCst) || !(self.hits)(request) {
            return Before::Pass;
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        match self.kind {
            Kind::Cut => Before::Cut,
            Kind::Answer(code, reason) => {
                let status = Status::failure("made up by a test", reason).with_code(code);
                let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Before::Answer(code, Box::new(status))
            }
        }
    }
}
