//! How long to wait for the next look. Pure.

use std::time::Duration;

use api_types::conditions::Reason;
use api_types::v1alpha1::AdapterDiscovery;

use super::Memory;

/// Longest time between two looks at a server that cannot be asked, unless its own interval is longer.
const LONGEST: Duration = Duration::from_secs(300);

/// Shortest interval that a spec may ask for.
pub const FLOOR: Duration = Duration::from_secs(10);

/// Part of the wait by which it may be longer, so that many servers are not asked at the same time.
const SPREAD: f64 = 0.1;

/// How often a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks.
    pub interval: Duration,
    /// Between two looks while something is under way.
    pub pending: Duration,
}

impl Pace {
    /// The pace that a spec asks for. The schema keeps its bounds; objects that are older than the
    /// schema meet them here.
    pub fn of(discovery: &AdapterDiscovery) -> Self {
        let AdapterDiscovery {
            polling_interval,
            pending_interval,
            remove_after_polls: _,
        } = discovery;
        let parsed = |text: &api_types::duration::GoDuration, or: u64| {
            text.parse().unwrap_or(Duration::from_secs(or))
        };
        let interval = parsed(polling_interval, 30).max(FLOOR);
        Pace {
            interval,
            pending: parsed(pending_interval, 2).clamp(Duration::from_secs(1), interval),
        }
    }

    /// The wait after a look. `jitter` is from 0 to 1.
    pub fn after(self, memory: &Memory, jitter: f64) -> Duration {
        let wait = match &memory.trouble {
            None if memory.is_pending() => self.pending,
            None => self.interval,
            Some(trouble) => {
                // What a person must mend is woken by that; asking often would be knocking at a
                // closed door with a wrong key.
                let first = match trouble.reason {
                    Reason::Unauthorized | Reason::Forbidden => self.interval,
                    _ => self.pending,
                };
                let doublings = memory.failures().saturating_sub(1).min(16);
                let wait = first.saturating_mul(1 << doublings);
                let longest = LONGEST.max(self.interval);
                wait.min(longest)
                    .max(trouble.retry_after.unwrap_or_default().min(longest * 12))
            }
        };
        wait + wait.mul_f64(SPREAD * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::tests::{answer, nfs, silence};
    use controller_runtime::rest::Trouble;

    use super::super::{Seen, Serving};
    use super::*;

    fn pace() -> Pace {
        Pace::of(&AdapterDiscovery::default())
    }

    fn seconds(wait: Duration) -> u64 {
        wait.as_secs()
    }

    #[test]
    fn a_healthy_server_is_asked_every_thirty_seconds_and_never_sooner() {
        let mut memory = Memory::default();
        memory.take_due(answer(vec![nfs(true)]), 1);
        assert_eq!(pace().after(&memory, 0.0), Duration::from_secs(30));
        assert_eq!(pace().after(&memory, 1.0), Duration::from_secs(33));
    }

    #[test]
    fn no_spec_gets_below_the_floor() {
        let mut discovery = AdapterDiscovery {
            polling_interval: "1ms".into(),
            ..AdapterDiscovery::default()
        };
        assert_eq!(Pace::of(&discovery).interval, FLOOR);
        discovery.polling_interval = "nonsense".into();
        assert_eq!(Pace::of(&discovery).interval, Duration::from_secs(30));
    }

    #[test]
    fn what_is_under_way_is_looked_at_soon() {
        let mut memory = Memory::default();
        let starting = Seen {
            serving: Serving::Starting,
            ..nfs(true)
        };
        memory.take_due(answer(vec![starting]), 1);
        assert_eq!(pace().after(&memory, 0.0), Duration::from_secs(2));
    }

    #[test]
    fn failures_are_retried_soon_and_then_ever_more_slowly() {
        let mut memory = Memory::default();
        let waits: Vec<u64> = (0..10)
            .map(|_| {
                memory.take_due(silence(), 1);
                seconds(pace().after(&memory, 0.0))
            })
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn a_refused_password_is_not_knocked_with() {
        let mut memory = Memory::default();
        memory.take_due(Err(Trouble::new(Reason::Unauthorized, "no")), 1);
        assert_eq!(seconds(pace().after(&memory, 0.0)), 30);
    }

    #[test]
    fn a_wish_for_fewer_requests_is_honoured() {
        let mut memory = Memory::default();
        let mut trouble = Trouble::new(Reason::RateLimited, "slower");
        trouble.retry_after = Some(Duration::from_secs(120));
        memory.take_due(Err(trouble), 1);
        assert_eq!(seconds(pace().after(&memory, 0.0)), 120);
    }
}
