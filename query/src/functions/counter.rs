//! rate() and increase(): how counters grow, series by series before anything is merged.
//!
//! A *step* goes from a point of a series to its next one; it is the difference, or, where the
//! value fell, the value itself: the counter began again at zero. A step belongs to the window of
//! its later point, so that the windows of a range sum up to the whole, and nothing at the edge
//! between two is lost or counted twice. A series' first point has no step.

use std::collections::BTreeMap;

use plimsoll_engine::model::{FieldType, Values};

use super::{Number, is_number};
use crate::exec::window::Windows;

/// How many mean steps a series may be away from an edge of a window and still count as there.
///
/// Source: Prometheus, `extrapolatedRate`.
const EDGE_STEPS: f64 = 1.1;

/// A function of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// By a unit of ns.
    Rate(i64),
    /// In all.
    Increase,
}

impl Counter {
    /// Whether it takes values of this type.
    pub(crate) fn takes(field_type: FieldType) -> bool {
        is_number(field_type)
    }
}

/// Results by window, ascending.
#[derive(Debug)]
pub(crate) enum Grown {
    /// Of floats, and every rate.
    Floats(BTreeMap<i64, f64>),
    /// Of integers; the sum wraps.
    Integers(BTreeMap<i64, i64>),
    /// Of unsigned integers; the sum wraps.
    Unsigned(BTreeMap<i64, u64>),
}

impl Grown {
    /// Nothing yet, for arguments of this type.
    pub(crate) fn new(counter: Counter, field_type: FieldType) -> Self {
        match (counter, field_type) {
            (Counter::Increase, FieldType::Integer) => Self::Integers(BTreeMap::new()),
            (Counter::Increase, FieldType::Unsigned) => Self::Unsigned(BTreeMap::new()),
            _ => Self::Floats(BTreeMap::new()),
        }
    }

    /// One series' results in `windows`; its points ascend, and those before the first window are
    /// only what the first step starts from.
    pub(crate) fn of(counter: Counter, windows: &Windows, times: &[i64], values: &Values) -> Self {
        match (counter, values) {
            (Counter::Rate(unit), Values::Float(values)) => {
                Self::Floats(rates(windows, times, values, unit))
            }
            (Counter::Rate(unit), Values::Integer(values)) => {
                Self::Floats(rates(windows, times, values, unit))
            }
            (Counter::Rate(unit), Values::Unsigned(values)) => {
                Self::Floats(rates(windows, times, values, unit))
            }
            (Counter::Increase, Values::Float(values)) => {
                Self::Floats(increases(windows, times, values))
            }
            (Counter::Increase, Values::Integer(values)) => {
                Self::Integers(increases(windows, times, values))
            }
            (Counter::Increase, Values::Unsigned(values)) => {
                Self::Unsigned(increases(windows, times, values))
            }
            (_, Values::String(_) | Values::Boolean(_)) => {
                unreachable!("only numbers are let through to counters")
            }
        }
    }

    /// Adds the results of a later series.
    pub(crate) fn merge(&mut self, part: Self) {
        match (self, part) {
            (Self::Floats(all), Self::Floats(part)) => add(all, part),
            (Self::Integers(all), Self::Integers(part)) => add(all, part),
            (Self::Unsigned(all), Self::Unsigned(part)) => add(all, part),
            _ => unreachable!("one function over one type makes one kind of result"),
        }
    }

    /// How many windows hold something.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Floats(all) => all.len(),
            Self::Integers(all) => all.len(),
            Self::Unsigned(all) => all.len(),
        }
    }

    /// The windows' starts and their results.
    pub(crate) fn finish(self) -> (Vec<i64>, Values) {
        match self {
            Self::Floats(all) => {
                let (windows, values) = all.into_iter().unzip();
                (windows, Values::Float(values))
            }
            Self::Integers(all) => {
                let (windows, values) = all.into_iter().unzip();
                (windows, Values::Integer(values))
            }
            Self::Unsigned(all) => {
                let (windows, values) = all.into_iter().unzip();
                (windows, Values::Unsigned(values))
            }
        }
    }
}

fn add<T: Number>(all: &mut BTreeMap<i64, T>, part: BTreeMap<i64, T>) {
    for (window, value) in part {
        let sum = all.entry(window).or_insert(T::ZERO);
        *sum = sum.plus(value);
    }
}

/// The steps of one series in one window.
struct Steps<T> {
    /// The window: its first ns, and the first behind it.
    window: (i64, i64),
    /// When the first step starts.
    first: i64,
    /// When the last one ends.
    last: i64,
    count: u64,
    sum: T,
}

/// How much a counter grew between two of its points.
fn step<T: Number>(before: T, after: T) -> T {
    if after >= before {
        after.minus(before)
    } else if after > T::ZERO {
        after
    } else {
        T::ZERO
    }
}

/// The steps of a series, window by window; of points at one time only the first counts.
fn steps<T: Number>(
    windows: &Windows,
    times: &[i64],
    values: &[T],
    mut visit: impl FnMut(Steps<T>),
) {
    let skipped = times.partition_point(|time| *time < windows.start);
    let mut before = skipped.checked_sub(1);
    windows.runs(&times[skipped..], |_, run| {
        let mut found: Option<Steps<T>> = None;
        for at in skipped + run.start..skipped + run.end {
            match before {
                Some(before) if times[before] == times[at] => continue,
                Some(before) => {
                    let growth = step(values[before], values[at]);
                    let steps = found.get_or_insert_with(|| Steps {
                        window: windows.of(times[at]),
                        first: times[before],
                        last: times[before],
                        count: 0,
                        sum: T::ZERO,
                    });
                    steps.last = times[at];
                    steps.count += 1;
                    steps.sum = steps.sum.plus(growth);
                }
                None => {}
            }
            before = Some(at);
        }
        if let Some(steps) = found {
            visit(steps);
        }
    });
}

fn increases<T: Number>(windows: &Windows, times: &[i64], values: &[T]) -> BTreeMap<i64, T> {
    let mut found = BTreeMap::new();
    steps(windows, times, values, |steps| {
        found.insert(steps.window.0, steps.sum);
    });
    found
}

fn rates<T: Number>(
    windows: &Windows,
    times: &[i64],
    values: &[T],
    unit: i64,
) -> BTreeMap<i64, f64> {
    let mut found = BTreeMap::new();
    steps(windows, times, values, |steps| {
        let covered = (steps.last - steps.first).float();
        let rate = steps.sum.float() * (unit.float() / covered);
        found.insert(steps.window.0, rate * share(windows, &steps));
    });
    found
}

/// Which share of its window a series was there: 1, unless it begins or ends inside.
fn share<T>(windows: &Windows, steps: &Steps<T>) -> f64 {
    if !windows.is_grouped() {
        return 1.0;
    }
    let start = steps.window.0.max(windows.start);
    let end = steps.window.1.min(windows.end.saturating_add(1));
    let covered = steps.last.saturating_sub(steps.first).float();
    let near = EDGE_STEPS * covered / steps.count.float();
    let (before, behind) = (
        steps.first.saturating_sub(start).float(),
        end.saturating_sub(steps.last).float(),
    );
    let whole = end.saturating_sub(start).float();
    let missing = [before, behind].into_iter().filter(|gap| *gap > near);
    let there = whole - missing.sum::<f64>();
    if whole > 0.0 { there / whole } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_engine::model::{TIME_MAX, TIME_MIN};
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;

    fn windows(every: i64, start: i64, end: i64) -> Windows {
        Windows {
            every: every * S,
            offset: 0,
            start: start * S,
            end: end * S - 1,
            zone: None,
        }
    }

    fn whole() -> Windows {
        Windows {
            every: 0,
            offset: 0,
            start: TIME_MIN.0,
            end: TIME_MAX.0,
            zone: None,
        }
    }

    /// Increases by window, in seconds.
    fn increase(windows: &Windows, points: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let times: Vec<i64> = points.iter().map(|(time, _)| time * S).collect();
        let values = points.iter().map(|(_, value)| *value).collect();
        let grown = Grown::of(Counter::Increase, windows, &times, &Values::Integer(values));
        let (windows, Values::Integer(values)) = grown.finish() else {
            panic!("integers stay integers");
        };
        windows.iter().map(|start| start / S).zip(values).collect()
    }

    /// Rates a second by window, in seconds.
    fn rate(windows: &Windows, points: &[(i64, i64)]) -> Vec<(i64, f64)> {
        let times: Vec<i64> = points.iter().map(|(time, _)| time * S).collect();
        let values = points.iter().map(|(_, value)| *value).collect();
        let grown = Grown::of(Counter::Rate(S), windows, &times, &Values::Integer(values));
        let (windows, Values::Float(values)) = grown.finish() else {
            panic!("a rate is a float");
        };
        windows.iter().map(|start| start / S).zip(values).collect()
    }

    #[test]
    fn a_step_belongs_to_the_window_of_its_later_point() {
        let points = [(0, 10), (10, 14), (25, 20), (31, 21)];
        assert_eq!(
            increase(&windows(20, 0, 40), &points),
            [(0, 4), (20, 7)],
            "14 to 20 goes over the edge at 20 s"
        );
        // A point before the range is what the first step starts from.
        assert_eq!(increase(&windows(20, 20, 40), &points), [(20, 7)]);
    }

    #[test]
    fn a_reset_counts_from_zero() {
        assert_eq!(
            increase(
                &windows(60, 0, 60),
                &[(0, 100), (10, 130), (20, 5), (30, 9)]
            ),
            [(0, 30 + 5 + 4)]
        );
        // What falls below zero was no counter; it adds nothing.
        assert_eq!(increase(&windows(60, 0, 60), &[(0, 3), (10, -7)]), [(0, 0)]);
    }

    #[test]
    fn a_first_point_has_no_step_and_a_lone_one_no_result() {
        assert_eq!(increase(&windows(60, 0, 60), &[(30, 5_000)]), []);
        assert_eq!(increase(&whole(), &[(30, 5_000), (40, 5_001)]).len(), 1);
    }

    #[test]
    fn of_points_at_one_time_the_first_counts() {
        assert_eq!(
            increase(&windows(60, 0, 60), &[(0, 1), (0, 50), (10, 3), (10, 9)]),
            [(0, 2)]
        );
    }

    #[test]
    fn a_rate_is_by_the_time_between_the_points_wherever_windows_lie() {
        // 2 a second, every 10 s, 3 s after the full ten.
        let points: Vec<(i64, i64)> = (0..12).map(|i| (i * 10 + 3, i * 20)).collect();
        for every in [10, 20, 30, 60] {
            let rates = rate(&windows(every, 20, 120), &points);
            assert!(rates.iter().all(|(_, rate)| *rate == 2.0), "{rates:?}");
            assert_eq!(
                rates.len(),
                usize::try_from((100 + every - 1) / every).unwrap()
            );
        }
        assert_eq!(rate(&whole(), &points).first().map(|r| r.1), Some(2.0));
    }

    #[test]
    fn a_series_that_ends_inside_a_window_counts_for_its_share() {
        // One pod dies after 30 s, its follower is there from then on: together one rate of 1.
        let old: Vec<(i64, i64)> = (-1..=3).map(|i| (i * 10, 500 + i * 10)).collect();
        let new: Vec<(i64, i64)> = (3..=6).map(|i| (i * 10, i * 10)).collect();
        let minute = windows(60, 0, 60);
        let (old, new) = (rate(&minute, &old), rate(&minute, &new[..3]));
        assert_eq!(old, [(0, 0.5)]);
        assert_eq!(new, [(0, 0.5)]);
        // A gap of one step at the end of what was asked for is no end.
        let alive: Vec<(i64, i64)> = (-1..=5).map(|i| (i * 10, i * 10)).collect();
        assert_eq!(rate(&minute, &alive), [(0, 1.0)]);
    }

    #[test]
    fn unsigned_values_above_the_signed_ones_keep_their_size() {
        let times = [0, S];
        let values = Values::Unsigned(vec![u64::MAX - 5, u64::MAX]);
        let grown = Grown::of(Counter::Increase, &windows(60, 0, 60), &times, &values);
        assert_eq!(grown.finish().1, Values::Unsigned(vec![5]));
    }

    proptest! {
        #[test]
        fn windows_sum_up_to_the_whole_however_they_are_cut(
            steps in prop::collection::vec((1_i64..40, 0_i64..1000, any::<bool>()), 1..60),
            every in 1_i64..200,
        ) {
            let mut points = vec![(0, 7)];
            let mut expected = 0;
            for (gap, growth, reset) in steps {
                let (time, value) = *points.last().unwrap();
                // A reset falls below what was there; otherwise it would not be seen as one.
                let next = if reset && growth < value { growth } else { value + growth };
                expected += growth;
                points.push((time + gap, next));
            }
            let end = points.last().unwrap().0 + 1;
            let cut = increase(&windows(every, 0, end), &points);
            prop_assert_eq!(cut.iter().map(|(_, value)| value).sum::<i64>(), expected);
            let all = increase(&whole(), &points);
            prop_assert_eq!(all[0].1, expected);
        }
    }
}
