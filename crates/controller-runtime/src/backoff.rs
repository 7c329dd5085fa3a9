//! When to visit a failing object again.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// First delay before jitter; with the largest downward jitter it is 1 s.
const FIRST: Duration = Duration::from_nanos(1_333_333_334);

/// Last delay before jitter; with the largest upward jitter it is 5 min.
const LAST: Duration = Duration::from_secs(240);

/// Source of randomness in `[0, 1)`.
pub type Jitter = Box<dyn Fn() -> f64 + Send + Sync>;

/// Exponential back-off per object: doubles with each failure in a row, from
/// 1 s to 5 min, spread by a quarter in both directions. In memory only.
pub struct Backoff<K> {
    failures: Mutex<HashMap<K, u32>>,
    jitter: Jitter,
}

impl<K> std::fmt::Debug for Backoff<K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Backoff").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq> Default for Backoff<K> {
    fn default() -> Self {
        Self::with_jitter(Box::new(random))
    }
}

impl<K: Hash + Eq> Backoff<K> {
    /// No failures yet; this source of randomness.
    #[must_use]
    pub fn with_jitter(jitter: Jitter) -> Self {
        Self {
            failures: Mutex::default(),
            jitter,
        }
    }

    /// Records a failure and says how long to wait before the next visit.
    pub fn fail(&self, key: K) -> Duration {
        let failures = {
            let mut map = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            let count = map.entry(key).or_default();
            *count = count.saturating_add(1);
            *count
        };
        let doubled = FIRST.saturating_mul(1 << (failures - 1).min(16)).min(LAST);
        doubled.mul_f64(0.75 + 0.5 * (self.jitter)())
    }

    /// Records a success, or that the object is gone.
    pub fn reset(&self, key: &K) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    /// Number of objects whose last visit failed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether no object's last visit failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

    fn delays(jitter: f64, count: usize) -> Vec<f64> {
        let backoff = Backoff::with_jitter(Box::new(move || jitter));
        (0..count)
            .map(|_| backoff.fail("a").as_secs_f64())
            .collect()
    }

    #[test]
    fn delays_double_from_one_second_to_five_minutes() {
        let low = delays(0.0, 12);
        assert!(
            (low[0] - 1.0).abs() < 0.01
                && (low[1] - 2.0).abs() < 0.01
                && (low[3] - 8.0).abs() < 0.01
        );
        assert!((low[11] - 180.0).abs() < 0.01);
        let high = delays(1.0, 40);
        assert!((high[39] - 300.0).abs() < 0.01);
        assert!(high.iter().all(|delay| (1.0..=300.0).contains(delay)));
    }

    #[test]
    fn success_starts_again_and_objects_do_not_share() {
        let backoff = Backoff::with_jitter(Box::new(|| 0.0));
        backoff.fail("a");
        assert!(backoff.fail("a") > backoff.fail("b"));
        backoff.reset(&"a");
        backoff.reset(&"b");
        assert!(backoff.is_empty());
        assert!(backoff.fail("a") < Duration::from_secs(2));
    }

    #[test]
    fn the_default_source_of_randomness_stays_in_range() {
        assert!(
            (0..100)
                .map(|_| random())
                .all(|number| (0.0..1.0).contains(&number))
        );
    }
}
