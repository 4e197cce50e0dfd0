//! What merging may take of the machine: free space, and bytes a second. Pure.

use std::time::Duration;

use crate::model::Timestamp;

/// A merge leaves this much of the disk free, for the log and the next flush.
const FREE_BYTES_RESERVED: u64 = 256 << 20;
/// No wait is longer, so that a merge that is told to stop stops soon.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Whether a merge of segments of `bytes` together may start where `free_bytes` are left: the new
/// segment is written before the old ones go. Where nobody knows what is left, it may.
pub(crate) fn has_room(bytes: u64, free_bytes: Option<u64>) -> bool {
    free_bytes.is_none_or(|free| bytes.saturating_add(FREE_BYTES_RESERVED) <= free)
}

/// How quickly a merge writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
    started: Timestamp,
}

impl Pace {
    /// From now on; as quickly as can be where there is no limit.
    pub(crate) fn start(bytes_per_second: Option<u64>, now: Timestamp) -> Self {
        Self {
            bytes_per_second,
            started: now,
        }
    }

    /// How long to wait before the next bytes, when `written` bytes were written until `now`. Asked
    /// again after that wait. A clock that was turned back makes it wait no longer than that.
    pub(crate) fn wait(&self, written: u64, now: Timestamp) -> Option<Duration> {
        let rate = u128::from(self.bytes_per_second?.max(1));
        let due = u128::from(written) * 1_000_000_000 / rate;
        let passed = i128::from(now.0) - i128::from(self.started.0);
        let passed = u128::try_from(passed).ok()?;
        let left = due.checked_sub(passed).filter(|left| *left > 0)?;
        let left = u64::try_from(left).map_or(WAIT_MAX, Duration::from_nanos);
        Some(left.min(WAIT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_starts_where_the_new_segment_fits_beside_the_old_ones() {
        assert!(has_room(u64::MAX, None));
        assert!(has_room(10, Some(FREE_BYTES_RESERVED + 10)));
        assert!(!has_room(11, Some(FREE_BYTES_RESERVED + 10)));
        assert!(!has_room(0, Some(0)));
        assert!(!has_room(u64::MAX, Some(u64::MAX - 1)));
    }

    #[test]
    fn a_merge_waits_until_its_bytes_are_due() {
        let second = 1_000_000_000i64;
        let start = 1_700_000_000 * second;
        let pace = Pace::start(Some(1000), Timestamp(start));
        let at = |ns: i64| Timestamp(start + ns);
        let millis = Duration::from_millis;
        let cases = [
            (0, at(0), None),
            (50, at(0), Some(millis(50))),
            (50, at(20_000_000), Some(millis(30))),
            (50, at(50_000_000), None),
            (1_000_000, at(0), Some(WAIT_MAX)),
            (1_000_000, at(1000 * second), None),
            (u64::MAX, at(0), Some(WAIT_MAX)),
            (50, Timestamp(i64::MIN), None),
            (50, Timestamp(i64::MAX), None),
        ];
        for (written, now, expected) in cases {
            assert_eq!(
                pace.wait(written, now),
                expected,
                "{written} bytes at {now:?}"
            );
        }
        let free = Pace::start(None, Timestamp(start));
        assert_eq!(free.wait(u64::MAX, at(0)), None);
    }
}
