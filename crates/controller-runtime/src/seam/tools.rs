//! Ready-made seams: counting, crashing, combining.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use http::StatusCode;

use super::{After, Before, Request, Seam, Verb};

/// Counts the requests sent, by verb and path. Requests for Leases are not
/// counted unless asked for.
#[derive(Debug, Default)]
pub struct Counter {
    counts: Mutex<BTreeMap<(Verb, String), u64>>,
    writes: AtomicU64,
    with_leases: bool,
}

impl Counter {
    /// A counter that ignores Leases.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter that counts requests for Leases too.
    #[must_use]
    pub fn with_leases() -> Self {
        Self {
            with_leases: true,
            ..Self::default()
        }
    }

    /// Number of writes sent.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Number of list requests sent.
    #[must_use]
    pub fn lists(&self) -> u64 {
        self.of(Verb::List)
    }

    /// Number of requests sent with this verb.
    #[must_use]
    pub fn of(&self, verb: Verb) -> u64 {
        self.counts()
            .iter()
            .filter(|((counted, _), _)| *counted == verb)
            .map(|(_, count)| count)
            .sum()
    }

    /// Every (verb, path) seen and how often.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Verb, String), u64> {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Starts again at zero.
    pub fn reset(&self) {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.writes.store(0, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Seam for Counter {
    async fn before(&self, request: &Request) -> Before {
        if self.with_leases || !request.is_lease() {
            let key = (request.verb, request.path.clone());
            *self
                .counts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(key)
                .or_default() += 1;
            if request.is_write {
                self.writes.fetch_add(1, Ordering::SeqCst);
            }
        }
        Before::Pass
    }
}

/// Simulates the crash of the process: lets a number of writes through, then
/// every request fails. Requests for Leases are neither counted nor failed
/// before the crash.
#[derive(Debug)]
pub struct CrashAfter {
    left: AtomicU64,
    lose_last_answer: bool,
    crashed: AtomicBool,
    /// Writes that were sent and not answered yet.
    under_way: AtomicU64,
}

impl CrashAfter {
    /// `writes` writes succeed; the next one, and everything after it, fails
    /// before it is sent.
    #[must_use]
    pub fn writes(writes: u64) -> Self {
        Self {
            left: AtomicU64::new(writes),
            lose_last_answer: false,
            crashed: AtomicBool::new(false),
            under_way: AtomicU64::new(0),
        }
    }

    /// `writes` writes reach the server, but the answer of the last one is
    /// lost and everything after it fails. `writes` must be at least 1; 0 is
    /// the same as [`CrashAfter::writes`] with 0.
    #[must_use]
    pub fn losing_the_answer_of(writes: u64) -> Self {
        Self {
            left: AtomicU64::new(writes),
            lose_last_answer: true,
            crashed: AtomicBool::new(false),
            under_way: AtomicU64::new(0),
        }
    }

    /// Whether the crash has happened.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// Whether the crash has happened and the server has done every write that
    /// was sent: whoever ends the process earlier may call one of them back.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.crashed() && self.under_way.load(Ordering::SeqCst) == 0
    }
}

#[async_trait::async_trait]
impl Seam for CrashAfter {
    async fn before(&self, request: &Request) -> Before {
        if self.crashed() {
            return Before::Cut;
        }
        if !request.is_write || request.is_lease() {
            return Before::Pass;
        }
        let taken = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        match taken {
            Err(_) => {
                self.crashed.store(true, Ordering::SeqCst);
                Before::Cut
            }
            Ok(left) => {
                self.under_way.fetch_add(1, Ordering::SeqCst);
                if left == 1 && self.lose_last_answer {
                    // Marked before it is sent, so that nothing overtakes the lost answer.
                    self.crashed.store(true, Ordering::SeqCst);
                }
                Before::Pass
            }
        }
    }

    async fn after(&self, request: &Request, _status: StatusCode) -> After {
        if request.is_write && !request.is_lease() {
            self.under_way.fetch_sub(1, Ordering::SeqCst);
        }
        if self.crashed() {
            After::Cut
        } else {
            After::Pass
        }
    }
}

/// Several seams as one: the first that does not let a request pass decides;
/// every seam hears the answer.
#[derive(Clone, Default)]
pub struct Chain(Vec<Arc<dyn Seam>>);

impl Chain {
    /// Seams in the order in which they are asked.
    #[must_use]
    pub fn new(seams: Vec<Arc<dyn Seam>>) -> Self {
        Self(seams)
    }
}

#[async_trait::async_trait]
impl Seam for Chain {
    async fn before(&self, request: &Request) -> Before {
        let mut delay = std::time::Duration::ZERO;
        for seam in &self.0 {
            match seam.before(request).await {
                Before::Pass => {}
                Before::Delay(more) => delay += more,
                other @ (Before::Answer(..) | Before::Cut) => return other,
            }
        }
        if delay.is_zero() {
            Before::Pass
        } else {
            Before::Delay(delay)
        }
    }

    async fn after(&self, request: &Request, status: StatusCode) -> After {
        let mut result = After::Pass;
        for seam in &self.0 {
            if seam.after(request, status).await == After::Cut {
                result = After::Cut;
            }
        }
        result
    }
}
