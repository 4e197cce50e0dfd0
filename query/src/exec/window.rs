//! Windows of GROUP BY time: where one starts and ends, in a time zone where one is set.

pub(crate) mod cuts;

use std::ops::Range;

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;
use plimsoll_engine::model::{TIME_MAX, TIME_MIN};

/// The windows of a statement.
#[derive(Debug, Clone)]
pub struct Windows {
    /// ns of one window; 0: there is one, the whole range.
    pub every: i64,
    /// ns by which they are shifted.
    pub offset: i64,
    /// First time of the range.
    pub start: i64,
    /// Last time of the range.
    pub end: i64,
    /// Where midnight is.
    pub zone: Option<TimeZone>,
}

impl Windows {
    /// Whether GROUP BY time is there.
    pub fn is_grouped(&self) -> bool {
        self.every > 0
    }

    /// Seconds that the zone is ahead of UTC at a time, in ns.
    pub fn zone_offset(&self, time: i64) -> i64 {
        let Some(zone) = &self.zone else { return 0 };
        let Ok(at) = Instant::from_nanosecond(i128::from(time)) else {
            return 0;
        };
        i64::from(zone.to_offset(at).seconds()) * 1_000_000_000
    }

    /// The window that holds `time`: its first ns, and the first ns behind it.
    ///
    /// Source: influxdb 1.12, `IteratorOptions.Window`; a change of the zone's offset moves an
    /// edge only where it is shorter than a window.
    pub fn of(&self, time: i64) -> (i64, i64) {
        if !self.is_grouped() {
            return (self.start, self.end.saturating_add(1));
        }
        let time = time.wrapping_sub(self.offset);
        let zone = self.zone_offset(time);
        let into = time.saturating_add(zone).rem_euclid(self.every);
        let mut start = if TIME_MIN.0.saturating_add(into) >= time {
            TIME_MIN.0
        } else {
            time - into
        };
        start = start.saturating_add(self.offset);
        let rest = self.every - into;
        let mut end = if TIME_MAX.0.saturating_sub(rest) <= time {
            TIME_MAX.0
        } else {
            time + rest
        };
        end = end.saturating_add(self.offset);
        if self.zone.is_some() {
            let shift = zone - self.zone_offset(start);
            if shift != 0 && shift.abs() < self.every {
                start = start.saturating_add(shift);
            }
            let end_zone = self.zone_offset(end);
            let shift = zone - end_zone;
            if shift != 0 && shift.abs() < self.every {
                let moved = end.saturating_add(shift);
                if shift > 0 || self.zone_offset(moved) == end_zone {
                    end = moved;
                }
            }
        }
        (start, end)
    }

    /// The same windows over a range that is longer by `extra` windows, at its start or, in a
    /// descending query, at its end.
    pub fn extended(&self, extra: i64, ascending: bool) -> Self {
        let mut longer = self.clone();
        let more = self.every.saturating_mul(extra);
        if ascending {
            longer.start = self.start.saturating_sub(more).max(TIME_MIN.0);
        } else {
            longer.end = self.end.saturating_add(more).min(TIME_MAX.0);
        }
        longer
    }

    /// How many windows the range has, at most; none where it is open or not grouped.
    pub fn count(&self) -> Option<u64> {
        if !self.is_grouped() || self.start <= TIME_MIN.0 {
            return None;
        }
        let (first, last) = (self.of(self.start).0, self.of(self.end.saturating_sub(1)).0);
        let span = i128::from(last) - i128::from(first) + i128::from(self.every);
        u64::try_from(span / i128::from(self.every)).ok()
    }

    /// The window behind one, where that follows without a division: all are of one length but
    /// those at a shift of the zone and at the ends of time.
    #[inline]
    fn behind(&self, (start, end): (i64, i64)) -> Option<(i64, i64)> {
        let next_end = end.checked_add(self.every)?;
        let is_inside = start > TIME_MIN.0 && next_end < TIME_MAX.0;
        let is_regular = self.is_grouped() && self.zone.is_none();
        (is_inside && is_regular).then_some((end, next_end))
    }

    /// Cuts ascending or descending `times` into runs of one window each, and calls `visit` with
    /// the window's start and the run.
    pub fn runs(&self, times: &[i64], mut visit: impl FnMut(i64, Range<usize>)) {
        self.runs_in(times, 0..times.len(), |(start, _), run| visit(start, run));
    }

    /// As [`Self::runs`], over some of `times`. `visit` is given the window.
    #[inline]
    pub fn runs_in(
        &self,
        times: &[i64],
        rows: Range<usize>,
        mut visit: impl FnMut((i64, i64), Range<usize>),
    ) {
        let is_grouped = self.is_grouped();
        let mut from = rows.start;
        let mut window = None;
        let mut guess = 0;
        while from < rows.end {
            let (start, end) = self.window_of(window, times[from]);
            window = Some((start, end));
            let inside = |time: i64| (start..end).contains(&time);
            // Where points come at one interval, most windows hold as many as the one before.
            let likely = from + guess;
            let to = if !is_grouped {
                rows.end
            } else if guess > 0
                && likely < rows.end
                && inside(times[likely - 1])
                && !inside(times[likely])
            {
                likely
            } else {
                let rest = &times[from..rows.end];
                from + rest.partition_point(|time| inside(*time)).max(1)
            };
            guess = to - from;
            // Called in one place, so that it is compiled into the loop.
            visit((start, end), from..to);
            from = to;
        }
    }

    /// The window of a time that follows others, which ended in the window `before`.
    #[inline]
    pub fn window_of(&self, before: Option<(i64, i64)>, time: i64) -> (i64, i64) {
        if let Some(before) = before {
            if (before.0..before.1).contains(&time) {
                return before;
            }
            if let Some(next) = self.behind(before)
                && (next.0..next.1).contains(&time)
            {
                return next;
            }
        }
        self.of(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn windows(every: i64, offset: i64, zone: Option<&str>) -> Windows {
        Windows {
            every,
            offset,
            start: TIME_MIN.0,
            end: TIME_MAX.0,
            zone: zone.map(|name| TimeZone::get(name).unwrap()),
        }
    }

    #[test]
    fn windows_are_aligned_to_the_epoch_and_shifted_by_the_offset() {
        assert_eq!(windows(10, 0, None).of(25), (20, 30));
        assert_eq!(windows(10, 0, None).of(-1), (-10, 0));
        assert_eq!(windows(10, 3, None).of(22), (13, 23));
        assert_eq!(windows(10, -3, None).of(28), (27, 37));
    }

    #[test]
    fn a_day_in_berlin_has_23_hours_in_march_and_25_in_october() {
        let days = windows(24 * HOUR, 0, Some("Europe/Berlin"));
        let march = 1_743_296_400_000_000_000; // 2025-03-30T01:00:00Z, the shift
        let (start, end) = days.of(march + HOUR);
        assert_eq!((end - start) / HOUR, 23);
        let october = 1_761_440_400_000_000_000; // 2025-10-26T01:00:00Z, the shift
        let (start, end) = days.of(october + HOUR);
        assert_eq!((end - start) / HOUR, 25);
    }

    #[test]
    fn runs_cover_all_times_in_either_direction() {
        let windows = windows(10, 0, None);
        for times in [vec![1, 5, 10, 31], vec![31, 10, 5, 1]] {
            let mut seen = Vec::new();
            windows.runs(&times, |start, run| seen.push((start, run)));
            assert_eq!(seen.iter().map(|(_, run)| run.len()).sum::<usize>(), 4);
            assert!(
                seen.iter()
                    .any(|(start, run)| *start == 0 && run.len() == 2)
            );
        }
    }
}
