//! How often, and after which delays, a call is repeated.

use std::{sync::Arc, time::Duration};

/// Source of randomness in `[0, 1)`.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Repetition of calls that can be repeated without harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a call is sent at most; 1 never repeats.
    pub attempts: u32,
    /// Delay before the second attempt; doubles from then on. Spread by a half downwards.
    pub first_delay: Duration,
    /// Longest delay, also of one that the server asks for with `Retry-After`:
    /// when it asks for more, the call ends with [`crate::Error::RateLimited`].
    pub longest_delay: Duration,
}

impl Default for RetryPolicy {
    /// Three attempts, 200 ms and 400 ms apart, at most 5 s.
    fn default() -> Self {
        Self {
            attempts: 3,
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// The delay after attempt number `attempt` (from 1) failed; `None` ends the call.
    pub(crate) fn delay(
        &self,
        attempt: u32,
        asked: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        if attempt >= self.attempts || asked.is_some_and(|asked| asked > self.longest_delay) {
            return None;
        }
        let doubled = self
            .first_delay
            .saturating_mul(1 << (attempt - 1).min(16))
            .min(self.longest_delay)
            .mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
        Some(asked.map_or(doubled, |asked| asked.max(doubled)))
    }
}

/// A number in `[0, 1)` from the operating system; the middle when there is none.
pub(crate) fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| {
        f64::from(number) / (f64::from(u32::MAX) + 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 4,
        first_delay: Duration::from_millis(100),
        longest_delay: Duration::from_secs(1),
    };

    #[test]
    fn delays_double_up_to_the_longest_and_end() {
        let delays: Vec<_> = (1..=4)
            .map(|attempt| POLICY.delay(attempt, None, 1.0))
            .collect();
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(delays, [millis(100), millis(200), millis(400), None]);
        assert_eq!(POLICY.delay(1, None, 0.0), millis(50));
    }

    #[test]
    fn the_servers_wish_is_kept_or_the_call_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(POLICY.delay(1, Some(second), 0.3), Some(second));
        assert_eq!(POLICY.delay(1, Some(second * 2), 0.3), None);
        assert!(POLICY.delay(1, Some(Duration::ZERO), 0.3) > Some(Duration::ZERO));
    }

    #[test]
    fn randomness_stays_in_range() {
        assert!(
            (0..100)
                .map(|_| random())
                .all(|number| (0.0..1.0).contains(&number))
        );
    }
}
