//! Time that goes on while the machine sleeps.

use std::time::Duration;

/// A clock that never goes back and counts suspended time; its zero is
/// arbitrary. A leader measures the age of its lease with it.
pub trait BootClock: Send + Sync + 'static {
    /// Time since the clock's zero.
    fn now(&self) -> Duration;
}

/// `CLOCK_BOOTTIME` of the kernel (clock_gettime(2)); outside Linux the
/// monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemBootClock;

impl BootClock for SystemBootClock {
    fn now(&self) -> Duration {
        #[cfg(target_os = "linux")]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

        let time = rustix::time::clock_gettime(CLOCK);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or_default(),
            u32::try_from(time.tv_nsec).unwrap_or_default(),
        )
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Follows tokio's clock, so paused tests can move it.
    pub(crate) struct TokioClock(tokio::time::Instant);

    impl TokioClock {
        pub(crate) fn new() -> Self {
            Self(tokio::time::Instant::now())
        }
    }

    impl BootClock for TokioClock {
        fn now(&self) -> Duration {
            self.0.elapsed() + Duration::from_secs(1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_kernel_moves_forward() {
        let before = SystemBootClock.now();
        assert!(!before.is_zero());
        assert!(SystemBootClock.now() >= before);
    }
}
