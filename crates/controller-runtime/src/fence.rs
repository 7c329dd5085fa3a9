//! The deadline after which a leader must not write any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::{BootClock, SystemBootClock};

/// A write was stopped because this process does not hold a fresh lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the leader lease is not held; the write was not sent")]
pub struct LeaseLost;

impl LeaseLost {
    /// Whether an error, or any error it stems from, is a stopped write.
    #[must_use]
    pub fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(current) = next {
            if current.is::<Self>() {
                return true;
            }
            next = current.source();
        }
        false
    }
}

/// No deadline: no write is allowed, and none was when a lease was lost.
const CLOSED: u64 = 0;

/// A deadline that has passed, whatever the time is.
const CUT: u64 = 1;

/// The deadline after which a leader must not write any more. Cheap to clone:
/// all clones share one deadline. Closed until the first [`Fence::extend`].
#[derive(Clone)]
pub struct Fence {
    clock: Arc<dyn BootClock>,
    /// Nanoseconds of the clock; [`CLOSED`] and [`CUT`] are none.
    deadline: Arc<AtomicU64>,
}

impl std::fmt::Debug for Fence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Fence")
            .field("open", &self.check().is_ok())
            .finish()
    }
}

impl Default for Fence {
    fn default() -> Self {
        Self::new(Arc::new(SystemBootClock))
    }
}

impl Fence {
    /// A closed fence that reads this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn BootClock>) -> Self {
        Self {
            clock,
            deadline: Arc::default(),
        }
    }

    /// Allows writes while now is before the deadline of the last successful
    /// renewal.
    ///
    /// # Errors
    /// [`LeaseLost`] once the deadline has passed or the fence was closed.
    pub fn check(&self) -> Result<(), LeaseLost> {
        if self.remaining().is_zero() {
            Err(LeaseLost)
        } else {
            Ok(())
        }
    }

    /// Whether writes were allowed and are no longer, because the deadline has passed or the
    /// lease was lost. A fence that was not opened yet, or closed in order, has not lapsed.
    #[must_use]
    pub fn has_lapsed(&self) -> bool {
        let deadline = self.deadline.load(Ordering::Acquire);
        deadline != CLOSED && Duration::from_nanos(deadline) <= self.clock.now()
    }

    /// Time left until the deadline; zero when closed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let deadline = Duration::from_nanos(self.deadline.load(Ordering::Acquire));
        deadline.saturating_sub(self.clock.now())
    }

    /// Moves the deadline, in time of the fence's clock.
    pub fn extend(&self, deadline: Duration) {
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        self.deadline.store(nanos, Ordering::Release);
    }

    /// Stops every further write.
    pub fn close(&self) {
        self.deadline.store(CLOSED, Ordering::Release);
    }

    /// Stops every further write, and ends connections that may hold one: the lease was lost.
    pub fn cut(&self) {
        self.deadline.store(CUT, Ordering::Release);
    }

    /// The clock that the deadline is measured with.
    pub(crate) fn clock(&self) -> &Arc<dyn BootClock> {
        &self.clock
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Hand(Mutex<Duration>);

    impl BootClock for Hand {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn writes_are_allowed_only_before_the_deadline() {
        let clock = Arc::new(Hand(Mutex::new(Duration::from_secs(5))));
        let fence = Fence::new(clock.clone());
        assert_eq!(fence.check(), Err(LeaseLost));
        fence.extend(Duration::from_secs(15));
        assert_eq!(fence.clone().check(), Ok(()));
        *clock.0.lock().unwrap() = Duration::from_secs(15);
        assert_eq!(fence.check(), Err(LeaseLost));
        fence.extend(Duration::from_secs(25));
        assert_eq!(fence.check(), Ok(()));
        fence.close();
        assert_eq!(fence.check(), Err(LeaseLost));
    }

    #[test]
    fn a_fence_has_lapsed_when_it_was_open_and_was_not_closed_in_order() {
        let clock = Arc::new(Hand(Mutex::new(Duration::from_secs(5))));
        let fence = Fence::new(clock.clone());
        assert!(!fence.has_lapsed(), "not open yet");
        fence.extend(Duration::from_secs(15));
        assert!(!fence.has_lapsed(), "open");
        *clock.0.lock().unwrap() = Duration::from_secs(15);
        assert!(fence.has_lapsed(), "its deadline has passed");
        fence.close();
        assert!(!fence.has_lapsed(), "closed in order");
        fence.cut();
        assert!(fence.has_lapsed(), "lost");
        assert_eq!(fence.check(), Err(LeaseLost));
    }

    #[test]
    fn a_stopped_write_is_recognised_through_wrapping_errors() {
        let error = kube::Error::Service(Box::new(LeaseLost));
        assert!(LeaseLost::is_cause_of(&error));
        assert!(!LeaseLost::is_cause_of(&std::io::Error::other("no")));
    }
}
