//! When a continuous query runs, and over which times: InfluxDB's continuous querier, as a pure
//! decision.
//!
//! Source: InfluxDB 1.12, `services/continuous_querier/service.go`.

use jiff::tz::TimeZone;
use plimsoll_engine::model::{TIME_MAX, TIME_MIN};
use plimsoll_engine::{TimeRange, Timestamp};

use crate::exec::window::Windows;

/// Windows that one run makes up for at most, where runs were missed.
pub const MISSED_WINDOWS_MAX: i64 = 10_000;

/// When a query is due; all in ns.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    /// GROUP BY time; above 0.
    pub interval: i64,
    /// Its offset.
    pub offset: i64,
    /// RESAMPLE EVERY.
    pub every: Option<i64>,
    /// RESAMPLE FOR.
    pub span: Option<i64>,
    /// tz().
    pub zone: Option<TimeZone>,
}

/// A run that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// What counts as the time of this run: the next is due one step later.
    pub last_run: Timestamp,
    /// The times that are computed; none: no window has ended yet.
    pub range: Option<TimeRange>,
}

/// The run that is due at `now`, where the last one was at `last_run`; none: it is too early.
///
/// A query that never ran begins with the window that is open then: what ended before is computed
/// only where RESAMPLE asks for it. One whose runs were missed makes up for them, for
/// [`MISSED_WINDOWS_MAX`] windows.
#[must_use]
pub fn plan(schedule: &Schedule, last_run: Option<Timestamp>, now: Timestamp) -> Option<Due> {
    let now = now.0;
    let step = schedule.every.unwrap_or(schedule.interval);
    let due = match last_run {
        None => now,
        Some(last) => schedule.after(last.0, step),
    };
    if due > now {
        return None;
    }
    let (interval, offset) = (schedule.interval, schedule.offset);
    let last_run = schedule.truncate(now.saturating_sub(offset), step);
    let span = schedule.span.unwrap_or(interval.max(step));
    let from = due.saturating_add(interval - span).saturating_sub(offset);
    let to = now
        .saturating_add(interval - step.min(interval))
        .saturating_sub(offset);
    let end = schedule.truncate(to, interval).saturating_add(offset);
    let start = schedule
        .truncate(from.saturating_sub(1), interval)
        .saturating_add(offset)
        .max(end.saturating_sub(span.max(interval.saturating_mul(MISSED_WINDOWS_MAX))));
    Some(Due {
        last_run: Timestamp(last_run.saturating_add(offset)),
        range: (start < end).then(|| {
            TimeRange {
                start: Timestamp(start),
                end: Timestamp(end - 1),
            }
            .intersect(&TimeRange::ALL)
        }),
    })
}

impl Schedule {
    /// One step behind a run: a change of the zone's offset moves it where that is shorter than
    /// the step.
    fn after(&self, last: i64, step: i64) -> i64 {
        let next = last.saturating_add(step);
        let zone_offset = |time: i64| self.zone_offset(time.saturating_sub(1));
        let shift = zone_offset(last) - zone_offset(next);
        if shift.abs() < step {
            next.saturating_add(shift)
        } else {
            next
        }
    }

    /// The start of the step that holds `time`.
    fn truncate(&self, time: i64, step: i64) -> i64 {
        let zone = self.zone_offset(time);
        let into = time.saturating_add(zone).rem_euclid(step);
        let start = time.saturating_sub(into);
        let shift = zone - self.zone_offset(start);
        if shift.abs() < step {
            start.saturating_add(shift)
        } else {
            start
        }
    }

    fn zone_offset(&self, time: i64) -> i64 {
        let windows = Windows {
            every: 0,
            offset: 0,
            start: TIME_MIN.0,
            end: TIME_MAX.0,
            zone: self.zone.clone(),
        };
        windows.zone_offset(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp(i64::try_from(time.as_nanosecond()).unwrap())
    }

    fn text(time: i64) -> String {
        jiff::Timestamp::from_nanosecond(i128::from(time))
            .unwrap()
            .to_string()
    }

    fn minutes(interval: i64) -> Schedule {
        Schedule {
            interval: interval * MINUTE,
            ..Schedule::default()
        }
    }

    /// `last run | range`, or why not.
    fn shown(schedule: &Schedule, last: Option<&str>, now: &str) -> String {
        let Some(due) = plan(schedule, last.map(at), at(now)) else {
            return "not due".to_owned();
        };
        let range = due.range.map_or("nothing".to_owned(), |range| {
            format!("{} to {}", text(range.start.0), text(range.end.0 + 1))
        });
        format!("{} | {range}", text(due.last_run.0))
    }

    #[test]
    fn an_interval_runs_once_after_it_ended() {
        let schedule = minutes(1);
        let first = shown(&schedule, None, "2024-01-01T10:05:30Z");
        assert_eq!(first, "2024-01-01T10:05:00Z | nothing");
        let last = Some("2024-01-01T10:05:00Z");
        assert_eq!(shown(&schedule, last, "2024-01-01T10:05:31Z"), "not due");
        assert_eq!(
            shown(&schedule, last, "2024-01-01T10:05:59.999Z"),
            "not due"
        );
        let next = shown(&schedule, last, "2024-01-01T10:06:00.5Z");
        let expected = "2024-01-01T10:06:00Z | 2024-01-01T10:05:00Z to 2024-01-01T10:06:00Z";
        assert_eq!(next, expected);
    }

    #[test]
    fn exactly_at_the_end_of_a_window_that_window_is_meant() {
        let schedule = minutes(1);
        let first = shown(&schedule, None, "2024-01-01T10:05:00Z");
        let expected = "2024-01-01T10:05:00Z | 2024-01-01T10:04:00Z to 2024-01-01T10:05:00Z";
        assert_eq!(first, expected);
    }

    #[test]
    fn missed_runs_are_made_up_for() {
        let schedule = minutes(1);
        let late = shown(
            &schedule,
            Some("2024-01-01T10:05:00Z"),
            "2024-01-01T10:09:10Z",
        );
        let expected = "2024-01-01T10:09:00Z | 2024-01-01T10:05:00Z to 2024-01-01T10:09:00Z";
        assert_eq!(late, expected);
        let years_late = shown(
            &schedule,
            Some("2014-01-01T10:05:00Z"),
            "2024-01-08T00:00:00Z",
        );
        let expected = "2024-01-08T00:00:00Z | 2024-01-01T01:20:00Z to 2024-01-08T00:00:00Z";
        assert_eq!(years_late, expected, "for a bounded number of windows");
    }

    /// From InfluxDB's documentation: `RESAMPLE EVERY 30m` with GROUP BY time(1h), at 8:00, 8:30
    /// and 9:00.
    #[test]
    fn resample_every_runs_the_current_window_too() {
        let schedule = Schedule {
            every: Some(30 * MINUTE),
            ..minutes(60)
        };
        let table = [
            (
                "2024-01-01T08:00:00Z",
                "2024-01-01T08:00:00Z | 2024-01-01T07:00:00Z to 2024-01-01T08:00:00Z",
            ),
            (
                "2024-01-01T08:30:00Z",
                "2024-01-01T08:30:00Z | 2024-01-01T08:00:00Z to 2024-01-01T09:00:00Z",
            ),
            (
                "2024-01-01T09:00:00Z",
                "2024-01-01T09:00:00Z | 2024-01-01T08:00:00Z to 2024-01-01T09:00:00Z",
            ),
        ];
        let mut last = Some("2024-01-01T07:30:00Z");
        for (now, expected) in table {
            assert_eq!(shown(&schedule, last, now), expected, "{now}");
            last = Some(now);
        }
    }

    /// Seen on influxd 1.6.7: `RESAMPLE EVERY 30s FOR 2m`, GROUP BY time(1m, 10s), just made.
    #[test]
    fn resample_for_looks_back_when_it_is_made() {
        let schedule = Schedule {
            offset: 10 * SECOND,
            every: Some(30 * SECOND),
            span: Some(2 * MINUTE),
            ..minutes(1)
        };
        let run = shown(&schedule, None, "2026-11-25T22:45:18.079284Z");
        let expected = "2026-11-25T22:45:10Z | 2026-11-25T22:44:10Z to 2026-11-25T22:45:10Z";
        assert_eq!(run, expected);
    }

    /// `RESAMPLE FOR 1h` with GROUP BY time(30m).
    #[test]
    fn resample_for_runs_older_windows_again() {
        let schedule = Schedule {
            span: Some(HOUR),
            ..minutes(30)
        };
        let run = shown(
            &schedule,
            Some("2024-01-01T08:00:00Z"),
            "2024-01-01T08:30:00Z",
        );
        let expected = "2024-01-01T08:30:00Z | 2024-01-01T07:30:00Z to 2024-01-01T08:30:00Z";
        assert_eq!(run, expected);
    }

    /// `RESAMPLE EVERY 1h FOR 90m` with GROUP BY time(30m).
    #[test]
    fn resample_every_and_for_work_together() {
        let schedule = Schedule {
            every: Some(HOUR),
            span: Some(90 * MINUTE),
            ..minutes(30)
        };
        let run = shown(
            &schedule,
            Some("2024-01-01T08:00:00Z"),
            "2024-01-01T09:00:00Z",
        );
        let expected = "2024-01-01T09:00:00Z | 2024-01-01T07:30:00Z to 2024-01-01T09:00:00Z";
        assert_eq!(run, expected);
        assert_eq!(
            shown(
                &schedule,
                Some("2024-01-01T08:00:00Z"),
                "2024-01-01T08:59:59Z"
            ),
            "not due"
        );
    }

    /// `RESAMPLE EVERY 1h` with GROUP BY time(30m): all windows of the hour.
    #[test]
    fn resample_every_above_the_interval_covers_all_of_it() {
        let schedule = Schedule {
            every: Some(HOUR),
            ..minutes(30)
        };
        let run = shown(
            &schedule,
            Some("2024-01-01T08:00:00Z"),
            "2024-01-01T09:00:00Z",
        );
        let expected = "2024-01-01T09:00:00Z | 2024-01-01T08:00:00Z to 2024-01-01T09:00:00Z";
        assert_eq!(run, expected);
    }

    #[test]
    fn an_offset_moves_windows_and_runs() {
        let schedule = Schedule {
            offset: 10 * SECOND,
            ..minutes(1)
        };
        let first = shown(&schedule, None, "2024-01-01T10:05:18Z");
        assert_eq!(first, "2024-01-01T10:05:10Z | nothing");
        let last = Some("2024-01-01T10:05:10Z");
        assert_eq!(shown(&schedule, last, "2024-01-01T10:06:09Z"), "not due");
        let next = shown(&schedule, last, "2024-01-01T10:06:10Z");
        let expected = "2024-01-01T10:06:10Z | 2024-01-01T10:05:10Z to 2024-01-01T10:06:10Z";
        assert_eq!(next, expected);
        let before = Schedule {
            offset: -15 * MINUTE,
            ..minutes(60)
        };
        let last = Some("2024-01-01T09:45:00Z");
        let run = shown(&before, last, "2024-01-01T10:50:00Z");
        let expected = "2024-01-01T10:45:00Z | 2024-01-01T09:45:00Z to 2024-01-01T10:45:00Z";
        assert_eq!(run, expected);
    }

    #[test]
    fn days_of_a_zone_have_23_and_25_hours() {
        let schedule = Schedule {
            interval: DAY,
            zone: TimeZone::get("Europe/Berlin").ok(),
            ..Schedule::default()
        };
        let spring = shown(
            &schedule,
            Some("2024-03-30T23:00:00Z"),
            "2024-03-31T22:00:00Z",
        );
        let expected = "2024-03-31T22:00:00Z | 2024-03-30T23:00:00Z to 2024-03-31T22:00:00Z";
        assert_eq!(spring, expected);
        let autumn = shown(
            &schedule,
            Some("2024-10-26T22:00:00Z"),
            "2024-10-27T22:59:59Z",
        );
        assert_eq!(autumn, "not due");
        let autumn = shown(
            &schedule,
            Some("2024-10-26T22:00:00Z"),
            "2024-10-27T23:00:00Z",
        );
        let expected = "2024-10-27T23:00:00Z | 2024-10-26T22:00:00Z to 2024-10-27T23:00:00Z";
        assert_eq!(autumn, expected);
    }

    #[test]
    fn weeks_start_on_thursday() {
        let schedule = Schedule {
            interval: 7 * DAY,
            ..Schedule::default()
        };
        let last = Some("2024-01-04T00:00:00Z");
        let run = shown(&schedule, last, "2024-01-11T12:00:00Z");
        let expected = "2024-01-11T00:00:00Z | 2024-01-04T00:00:00Z to 2024-01-11T00:00:00Z";
        assert_eq!(run, expected);
    }
}
