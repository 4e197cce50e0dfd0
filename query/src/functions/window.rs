//! Functions that need all points of a window at once.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use plimsoll_engine::model::{FieldType, FieldValue, Values};

use super::{Number, Whole};

/// One result of a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Result {
    /// The value.
    pub(crate) value: FieldValue,
    /// The point that it comes from, where it is one: its place in the window.
    pub(crate) at: Option<usize>,
}

/// The results of `function` over one window: `times` in the query's direction, and their values.
/// `random` gives the next random number below its argument.
pub(crate) fn apply(
    function: Whole,
    times: &[i64],
    values: &Values,
    random: &mut dyn FnMut(usize) -> usize,
) -> Vec<Result> {
    match values {
        Values::Float(v) => of_numbers(function, times, v, FieldValue::Float, random, |v| {
            // -0 and 0 are one value.
            (v + 0.0).to_bits()
        }),
        Values::Integer(v) => of_numbers(function, times, v, FieldValue::Integer, random, |v| *v),
        Values::Unsigned(v) => of_numbers(function, times, v, FieldValue::Unsigned, random, |v| *v),
        Values::String(v) => {
            let value = |v: Arc<str>| FieldValue::String(v);
            of_any(function, times, v, value, random, Arc::clone, Ord::cmp)
        }
        Values::Boolean(v) => match function {
            Whole::Mode if v.len() > 1 => {
                let yes = v.iter().filter(|v| **v).count();
                vec![value(FieldValue::Boolean(yes >= v.len() - yes))]
            }
            _ => of_any(
                function,
                times,
                v,
                FieldValue::Boolean,
                random,
                |v| *v,
                Ord::cmp,
            ),
        },
    }
}

fn value(value: FieldValue) -> Result {
    Result { value, at: None }
}

fn of_numbers<T: Number, K: Eq + Hash>(
    function: Whole,
    times: &[i64],
    values: &[T],
    wrap: fn(T) -> FieldValue,
    random: &mut dyn FnMut(usize) -> usize,
    key: impl Fn(&T) -> K,
) -> Vec<Result> {
    match function {
        Whole::Median => vec![value(FieldValue::Float(median(values)))],
        Whole::Stddev => vec![value(FieldValue::Float(stddev(values)))],
        Whole::Percentile(percent) => percentile(times, values, percent)
            .map(|at| chosen(values, at, wrap))
            .into_iter()
            .collect(),
        Whole::Top(n) => extreme(times, values, n, |a, b| a > b)
            .into_iter()
            .map(|at| chosen(values, at, wrap))
            .collect(),
        Whole::Bottom(n) => extreme(times, values, n, |a, b| a < b)
            .into_iter()
            .map(|at| chosen(values, at, wrap))
            .collect(),
        _ => of_any(function, times, values, wrap, random, key, total),
    }
}

fn chosen<T: Copy>(values: &[T], at: usize, wrap: fn(T) -> FieldValue) -> Result {
    Result {
        value: wrap(values[at]),
        at: Some(at),
    }
}

fn of_any<T: Clone, K: Eq + Hash>(
    function: Whole,
    times: &[i64],
    values: &[T],
    wrap: impl Fn(T) -> FieldValue,
    random: &mut dyn FnMut(usize) -> usize,
    key: impl Fn(&T) -> K,
    order: fn(&T, &T) -> Ordering,
) -> Vec<Result> {
    match function {
        Whole::CountDistinct => {
            let distinct: HashSet<K> = values.iter().map(key).collect();
            let count = i64::try_from(distinct.len()).unwrap_or(i64::MAX);
            vec![value(FieldValue::Integer(count))]
        }
        Whole::Distinct => {
            let mut seen = HashSet::new();
            let mut firsts: Vec<usize> = (0..values.len())
                .filter(|at| seen.insert(key(&values[*at])))
                .collect();
            firsts.sort_by(|a, b| {
                let by_time = times[*a].cmp(&times[*b]);
                by_time.then_with(|| order(&values[*a], &values[*b]))
            });
            let result = |at: usize| Result {
                value: wrap(values[at].clone()),
                at: Some(at),
            };
            firsts.into_iter().map(result).collect()
        }
        Whole::Mode => vec![value(wrap(values[mode(times, values, order)].clone()))],
        Whole::Sample(n) => {
            let mut kept: Vec<usize> = (0..values.len().min(n)).collect();
            for at in n..values.len() {
                let slot = random(at + 1);
                if slot < n {
                    kept[slot] = at;
                }
            }
            kept.sort_unstable();
            let result = |at: usize| Result {
                value: wrap(values[at].clone()),
                at: Some(at),
            };
            kept.into_iter().map(result).collect()
        }
        _ => unreachable!("the planner lets only numbers through to {function:?}"),
    }
}

pub(super) fn median<T: Number>(values: &[T]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(total);
    let high = sorted[sorted.len() / 2];
    if sorted.len() % 2 == 1 {
        return high.float();
    }
    let low = sorted[sorted.len() / 2 - 1];
    low.float() + high.minus(low).float() / 2.0
}

fn stddev<T: Number>(values: &[T]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    // What is no number, as the logarithm of a negative one, does not count.
    let numbers = || {
        values
            .iter()
            .map(|value| value.float())
            .filter(|value| !value.is_nan())
    };
    let (mut mean, mut count) = (0.0, 0.0);
    for value in numbers() {
        count += 1.0;
        mean += (value - mean) / count;
    }
    let variance: f64 = numbers().fold(0.0, |sum, value| {
        let away = value - mean;
        sum + away * away
    });
    (variance / (count - 1.0)).sqrt()
}

/// The nearest rank among so many values; none where it lies outside.
pub(super) fn rank_of(len: usize, percent: f64) -> Option<usize> {
    let rank = ((len as u64).float() * percent / 100.0 + 0.5).floor() - 1.0;
    if rank < 0.0 || rank >= (len as u64).float() {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of values"
    )]
    let rank = rank as usize;
    Some(rank)
}

/// The place of the nearest rank; none where it lies outside.
fn percentile<T: Number>(times: &[i64], values: &[T], percent: f64) -> Option<usize> {
    let rank = rank_of(values.len(), percent)?;
    let mut places: Vec<usize> = (0..values.len()).collect();
    // Places break ties, so that the order of equal points is that of a stable sort.
    let (_, at, _) = places.select_nth_unstable_by(rank, |a, b| {
        let by_value = total(&values[*a], &values[*b]);
        by_value
            .then_with(|| times[*a].cmp(&times[*b]))
            .then_with(|| a.cmp(b))
    });
    Some(*at)
}

/// An order of all numbers: those that are none, as a subquery's may be, come first.
fn total<T: PartialOrd>(a: &T, b: &T) -> Ordering {
    a.partial_cmp(b)
        .unwrap_or_else(|| is_no_number(b).cmp(&is_no_number(a)))
}

fn is_no_number<T: PartialOrd>(value: &T) -> bool {
    value.partial_cmp(value).is_none()
}

/// The `n` best (of equal ones the earliest), then in order of time.
fn extreme<T: Copy + PartialOrd>(
    times: &[i64],
    values: &[T],
    n: usize,
    is_better: impl Fn(&T, &T) -> bool,
) -> Vec<usize> {
    let by_rank = |a: &usize, b: &usize| {
        let (first, second) = (&values[*a], &values[*b]);
        let by_value = is_better(second, first).cmp(&is_better(first, second));
        by_value
            .then_with(|| times[*a].cmp(&times[*b]))
            .then_with(|| a.cmp(b))
    };
    let mut places = if values.iter().any(is_no_number) {
        best_in_heap(times, values, n, is_better)
    } else {
        let mut places: Vec<usize> = (0..values.len()).collect();
        if n < places.len() {
            places.select_nth_unstable_by(n, by_rank);
            places.truncate(n);
        }
        places.sort_by(by_rank);
        places
    };
    // Of equal times the better value comes first.
    places.sort_by_key(|at| times[*at]);
    places
}

/// As [`extreme`] where some values are no numbers: which of them stay depends on how the best are
/// kept.
///
/// Source: influxdb 1.12, `FloatTopReducer`, over Go's `container/heap`: the worst of the best is the
/// root, and a value that is not a number is neither better nor worse.
fn best_in_heap<T: PartialOrd>(
    times: &[i64],
    values: &[T],
    n: usize,
    is_better: impl Fn(&T, &T) -> bool,
) -> Vec<usize> {
    let is_above = |a: usize, b: usize| {
        if values[a] == values[b] {
            times[a] > times[b]
        } else {
            is_better(&values[b], &values[a])
        }
    };
    let mut heap: Vec<usize> = Vec::with_capacity(n.min(values.len()));
    for place in 0..values.len() {
        if heap.len() < n {
            let mut at = heap.len();
            heap.push(place);
            while at > 0 && is_above(heap[at], heap[(at - 1) / 2]) {
                heap.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
            continue;
        }
        if heap.is_empty() || !is_above(heap[0], place) {
            continue;
        }
        heap[0] = place;
        let mut at = 0;
        while let Some(left) = heap.get(at * 2 + 1) {
            let right = heap.get(at * 2 + 2);
            let is_right = right.is_some_and(|right| is_above(*right, *left));
            let below = at * 2 + 1 + usize::from(is_right);
            if !is_above(heap[below], heap[at]) {
                break;
            }
            heap.swap(at, below);
            at = below;
        }
    }
    heap
}

/// The most frequent value. Ties go as InfluxDB decides them: values are walked in ascending
/// order, and one takes over where its first time is not after the last time of the one before.
fn mode<T>(times: &[i64], values: &[T], order: fn(&T, &T) -> Ordering) -> usize {
    if values.len() == 1 {
        return 0;
    }
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|a, b| {
        let by_value = order(&values[*a], &values[*b]);
        by_value.then_with(|| times[*a].cmp(&times[*b]))
    });
    let (mut best_count, mut count) = (0, 0);
    let (mut best, mut current) = (places[0], places[0]);
    let mut best_time = times[places[0]];
    let mut current_time = best_time;
    for at in places {
        if order(&values[at], &values[current]).is_ne() {
            count = 1;
            current = at;
            current_time = times[at];
            continue;
        }
        count += 1;
        if best_count > count || (best_count == count && current_time > best_time) {
            continue;
        }
        best_count = count;
        best = at;
        best_time = times[at];
    }
    best
}

/// The type that a window's results have.
pub(crate) fn result_type(function: Whole, values: &Values) -> FieldType {
    function.result(values.field_type())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(function: Whole, values: Values) -> Option<FieldValue> {
        let times: Vec<i64> = (0..).take(values.len()).collect();
        let results = apply(function, &times, &values, &mut |_| 0);
        results.into_iter().next().map(|result| result.value)
    }

    #[test]
    fn percentile_is_the_nearest_rank_and_nothing_outside() {
        let values = || Values::Integer((1..=10).collect());
        for (percent, expected) in [
            (0.0, None),
            (50.0, Some(5)),
            (95.0, Some(10)),
            (100.0, Some(10)),
            (120.0, None),
        ] {
            assert_eq!(
                one(Whole::Percentile(percent), values()),
                expected.map(FieldValue::Integer),
                "{percent}"
            );
        }
    }

    #[test]
    fn median_averages_the_two_in_the_middle() {
        assert_eq!(
            one(Whole::Median, Values::Integer(vec![4, 1, 3, 2])),
            Some(FieldValue::Float(2.5))
        );
        assert_eq!(
            one(Whole::Median, Values::Float(vec![4.0, 1.0, 3.0])),
            Some(FieldValue::Float(3.0))
        );
    }

    #[test]
    fn top_answers_in_order_of_time_and_prefers_the_earlier_of_equals() {
        let times = [1, 2, 3, 4];
        let results = apply(
            Whole::Top(2),
            &times,
            &Values::Integer(vec![5, 1, 9, 5]),
            &mut |_| 0,
        );
        let places: Vec<_> = results.iter().map(|result| result.at).collect();
        assert_eq!(places, [Some(0), Some(2)]);
    }

    #[test]
    fn what_is_no_number_stays_among_the_best_as_in_influxdb() {
        let times = [0, 10, 20, 40];
        let values = || Values::Float(vec![0.35, f64::NAN, f64::NAN, 0.0]);
        for (function, expected) in [
            (Whole::Bottom(1), &[3][..]),
            (Whole::Bottom(2), &[1, 3]),
            (Whole::Bottom(3), &[1, 2, 3]),
            (Whole::Bottom(5), &[0, 1, 2, 3]),
            (Whole::Top(2), &[0, 1]),
        ] {
            let results = apply(function, &times, &values(), &mut |_| 0);
            let places: Vec<_> = results.iter().filter_map(|result| result.at).collect();
            assert_eq!(places, expected, "{function:?}");
        }
    }

    #[test]
    fn many_that_are_no_numbers_are_sorted_without_a_panic() {
        let numbers = (0..100_u32).map(|n| match n % 3 {
            0 => f64::NAN,
            _ => f64::from(n * 7919 % 100),
        });
        let values = Values::Float(numbers.collect());
        for function in [
            Whole::Median,
            Whole::Mode,
            Whole::Distinct,
            Whole::Percentile(50.0),
            Whole::Top(40),
            Whole::Bottom(40),
        ] {
            assert!(one(function, values.clone()).is_some(), "{function:?}");
        }
    }

    #[test]
    fn the_mode_of_ties_is_influxdbs() {
        // 1 at times 0 and 3, 2 at times 1 and 2: 2 is seen first at 1, before 1 is seen last.
        assert_eq!(
            one(Whole::Mode, Values::Integer(vec![1, 2, 2, 1])),
            Some(FieldValue::Integer(2))
        );
        assert_eq!(
            one(Whole::Mode, Values::Integer(vec![1, 1, 2, 2])),
            Some(FieldValue::Integer(1))
        );
    }

    #[test]
    fn one_point_has_no_deviation() {
        let Some(FieldValue::Float(value)) = one(Whole::Stddev, Values::Integer(vec![1])) else {
            panic!("a float was expected")
        };
        assert!(value.is_nan());
    }
}
