//! What a controller sent, seen from its own side.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use controller_runtime::Seam;
use controller_runtime::seam::{After, Before, Request};
use http::StatusCode;
use tokio::time::Instant;

/// No request of a controller is longer under way (`--api-timeout`): one of which nothing was heard by then has
/// failed, which its sender is told and this is not.
const LONGEST: Duration = Duration::from_secs(31);

/// Keeps every request that was sent.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    sent: Vec<Request>,
    /// Those without an answer so far: their numbers in `sent`, and when they were sent.
    open: Vec<(usize, Instant)>,
}

impl Traffic {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of requests sent so far; a point for [`Traffic::since`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.kept().sent.len()
    }

    /// The requests sent after a point.
    #[must_use]
    pub fn since(&self, mark: usize) -> Vec<Request> {
        self.kept().sent[mark..].to_vec()
    }

    /// Number of requests that wait for their answers.
    #[must_use]
    pub fn under_way(&self) -> usize {
        let kept = self.kept();
        let open = kept.open.iter();
        open.filter(|(_, since)| since.elapsed() < LONGEST).count()
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
        let mut kept = self.kept();
        let number = kept.sent.len();
        kept.sent.push(request.clone());
        kept.open.push((number, Instant::now()));
        Before::Pass
    }

    async fn after(&self, request: &Request, _status: StatusCode) -> After {
        let mut kept = self.kept();
        let of = |sent: &Request| {
            (&sent.method, &sent.path, &sent.query)
                == (&request.method, &request.path, &request.query)
        };
        // Of several alike any will do: it is their number that counts.
        let answered = kept
            .open
            .iter()
            .position(|(number, _)| kept.sent.get(*number).is_some_and(of));
        if let Some(answered) = answered {
            kept.open.remove(answered);
        }
        After::Pass
    }
}
