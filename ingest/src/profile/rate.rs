//! Counters to rates.

use plimsoll_engine::Timestamp;

use crate::names::Series;

/// A last value that is older than this says nothing about now.
pub(super) const AGE_NS_MAX: i64 = 300_000_000_000;

/// The series that a counter's rate is.
pub(super) fn rate_series(counter: Series) -> Option<Series> {
    Some(match counter {
        Series::CpuUsage => Series::CpuUsageRate,
        Series::PageFaults => Series::PageFaultsRate,
        Series::MajorPageFaults => Series::MajorPageFaultsRate,
        Series::NetworkRx => Series::NetworkRxRate,
        Series::NetworkTx => Series::NetworkTxRate,
        Series::NetworkRxErrors => Series::NetworkRxErrorsRate,
        Series::NetworkTxErrors => Series::NetworkTxErrorsRate,
        Series::DiskRead => Series::DiskReadRate,
        Series::DiskWrite => Series::DiskWriteRate,
        _ => return None,
    })
}

/// What is known of a counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    time: Timestamp,
    value: i64,
    /// The last rate, a second.
    rate: Option<f64>,
}

impl Counter {
    pub(super) fn new(time: Timestamp, value: i64) -> Self {
        Self {
            time,
            value,
            rate: None,
        }
    }

    /// Takes the next value and answers the rate since the one before, where there is one.
    ///
    /// None where the time did not go on (a value that was served twice, or a late one), where
    /// the counter went down (its container restarted), and behind a long gap.
    pub(super) fn next(&mut self, time: Timestamp, value: i64) -> Option<f64> {
        let elapsed_ns = time.0.saturating_sub(self.time.0);
        if elapsed_ns <= 0 {
            return None;
        }
        let grown = value.checked_sub(self.value);
        let rate = match grown {
            Some(grown @ 0..) if elapsed_ns <= AGE_NS_MAX => {
                Some(to_f64(grown) / (to_f64(elapsed_ns) / 1e9))
            }
            _ => None,
        };
        *self = Self { time, value, rate };
        rate
    }

    /// The last rate, where it is not older than `now` allows.
    pub(super) fn rate_at(&self, now: Timestamp) -> Option<(Timestamp, f64)> {
        let age_ns = now.0.saturating_sub(self.time.0);
        let rate = self.rate?;
        (age_ns <= AGE_NS_MAX).then_some((self.time, rate))
    }
}

/// Exact below 2^53; the rest is a rate's error of 1e-16.
pub(super) fn to_f64(count: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate or a part of a whole")]
    let float = count as f64;
    float
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_rate_is_growth_over_time_and_a_restart_gives_none() {
        let mut counter = Counter::new(Timestamp(0), 100);
        for (seconds, value, expected) in [
            (10, 200, Some(10.0)),
            // Served again: the same time.
            (10, 200, None),
            // Late.
            (5, 150, None),
            (20, 250, Some(5.0)),
            // A restart, and the growth behind it.
            (30, 7, None),
            (40, 27, Some(2.0)),
            // It stands still.
            (50, 27, Some(0.0)),
            // A gap.
            (1_000, 100_000, None),
            (1_010, 100_000 + 10, Some(1.0)),
        ] {
            let rate = counter.next(Timestamp(seconds * SECOND), value);
            assert_eq!(rate, expected, "{seconds} s, {value}");
        }
    }

    #[test]
    fn a_last_rate_outlives_a_value_that_is_served_twice_but_no_restart() {
        let mut counter = Counter::new(Timestamp(0), 0);
        counter.next(Timestamp(SECOND), 5);
        counter.next(Timestamp(SECOND), 5);
        let now = Timestamp(2 * SECOND);
        assert_eq!(counter.rate_at(now), Some((Timestamp(SECOND), 5.0)));
        assert_eq!(counter.rate_at(Timestamp(AGE_NS_MAX + 2 * SECOND)), None);
        counter.next(Timestamp(2 * SECOND), 1);
        assert_eq!(counter.rate_at(now), None);
    }
}
