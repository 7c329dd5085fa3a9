//! Time, so that tests can move it.

use std::time::{Duration, Instant};

use async_trait::async_trait;

/// A clock that never goes back, and the waiting that belongs to it.
///
/// Expiry of tokens and the delays between attempts are measured with it. The
/// clocks of server and client are never compared: the server says how long a
/// token lasts, and that time is counted from its arrival.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Time since an arbitrary, fixed moment.
    fn now(&self) -> Duration;

    /// Returns once `delay` has passed.
    async fn sleep(&self, delay: Duration);
}

/// The monotonic clock of the process. It may stand still while the machine
/// sleeps; a token that expired meanwhile is refused by the server and renewed.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
    }
}
