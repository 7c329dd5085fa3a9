//! When a new number of bytes is worth a write. Pure.

use std::time::Duration;

use api_types::v1alpha1::ShareUsage;

/// Shortest time between two writes of the usage of one share.
pub const PAUSE: Duration = Duration::from_secs(300);

/// Change in bytes that is worth a write.
const WORTH: u64 = 64 * 1024 * 1024;

/// The usage to show: what is measured `now` when it is worth a write, else what was shown `before`.
/// `since` is the time since the last write of it by this process.
pub fn shown(
    before: Option<&ShareUsage>,
    now: Option<&ShareUsage>,
    quota: Option<u64>,
    since: Option<Duration>,
) -> Option<ShareUsage> {
    let (Some(old), Some(new)) = (before, now) else {
        return now.or(before).cloned();
    };
    let of_quota = quota.filter(|quota| *quota > 0).map(|quota| quota / 100);
    let worth = of_quota.map_or(WORTH, |part| part.min(WORTH)).max(1);
    let changed = |old: i64, new: i64| old.abs_diff(new) >= worth;
    let matters =
        changed(old.used_bytes, new.used_bytes) || changed(old.physical_bytes, new.physical_bytes);
    let may = since.is_none_or(|since| since >= PAUSE);
    Some(if matters && may { new } else { old }.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1024 * 1024;

    fn bytes(used_bytes: i64) -> ShareUsage {
        ShareUsage {
            used_bytes,
            physical_bytes: 0,
        }
    }

    #[test]
    fn a_change_is_shown_when_it_matters_and_not_too_often() {
        let show = |now: i64, quota, since: Option<u64>| {
            let since = since.map(Duration::from_secs);
            shown(Some(&bytes(0)), Some(&bytes(now)), quota, since).unwrap()
        };
        let hundred = Some(100 * u64::try_from(MIB).unwrap());
        assert_eq!(show(63 * MIB, None, None), bytes(0));
        assert_eq!(show(64 * MIB, None, None), bytes(64 * MIB));
        assert_eq!(show(64 * MIB, None, Some(299)), bytes(0));
        assert_eq!(show(64 * MIB, None, Some(300)), bytes(64 * MIB));
        assert_eq!(show(MIB, hundred, None), bytes(MIB));
        assert_eq!(show(MIB - 1, hundred, None), bytes(0));
    }

    #[test]
    fn the_first_measure_is_shown_and_the_last_one_stays() {
        assert_eq!(shown(None, Some(&bytes(1)), None, None), Some(bytes(1)));
        assert_eq!(shown(Some(&bytes(1)), None, None, None), Some(bytes(1)));
        assert_eq!(shown(None, None, None, None), None);
    }
}
