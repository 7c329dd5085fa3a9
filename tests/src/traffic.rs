//! What a controller sent, seen from its own side.

use std::sync::{Mutex, PoisonError};

use controller_runtime::Seam;
use controller_runtime::seam::{Before, Request};

/// Keeps every request that was sent.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<Vec<Request>>);

impl Traffic {
    /// Number of requests sent so far; a point for [`Traffic::since`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The requests sent after a point.
    #[must_use]
    pub fn since(&self, mark: usize) -> Vec<Request> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[mark..].to_vec()
    }

    /// Number of writes sent so far, Leases apart.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.since(0)
            .iter()
            .filter(|request| request.is_write && !request.is_lease())
            .count()
    }
}

#[async_trait::async_trait]
impl Seam for Traffic {
    async fn before(&self, request: &Request) -> Before {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request.clone());
        Before::Pass
    }
}
