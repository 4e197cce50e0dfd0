//! Functions of neighbouring points, in the query's direction.

use plimsoll_engine::model::Values;

use super::{Number, Sign, Transform};

/// Times and values of the results over `times` (in the query's direction) and their values.
pub(crate) fn apply(transform: Transform, times: Vec<i64>, values: &Values) -> (Vec<i64>, Values) {
    if let Transform::Elapsed(unit) = transform {
        let elapsed = times
            .windows(2)
            .map(|two| two[1].wrapping_sub(two[0]) / unit);
        let later = times.get(1..).unwrap_or_default().to_vec();
        return (later, Values::Integer(elapsed.collect()));
    }
    match values {
        Values::Float(v) => of_numbers(transform, times, v, Values::Float),
        Values::Integer(v) => of_numbers(transform, times, v, Values::Integer),
        Values::Unsigned(v) => of_numbers(transform, times, v, Values::Unsigned),
        Values::String(_) | Values::Boolean(_) => {
            unreachable!("the planner lets only numbers through to {transform:?}")
        }
    }
}

fn of_numbers<T: Number>(
    transform: Transform,
    times: Vec<i64>,
    values: &[T],
    wrap: fn(Vec<T>) -> Values,
) -> (Vec<i64>, Values) {
    match transform {
        Transform::Derivative(unit, sign) => {
            let (times, values) = derivative(times, values, unit, sign);
            (times, Values::Float(values))
        }
        Transform::Difference(sign) => {
            let (times, values) = difference(&times, values, sign);
            (times, wrap(values))
        }
        Transform::CumulativeSum => {
            let sums = values.iter().scan(T::ZERO, |sum, value| {
                *sum = sum.plus(*value);
                Some(*sum)
            });
            (times, wrap(sums.collect()))
        }
        Transform::MovingAverage(n) => {
            let (times, values) = moving_average(&times, values, n);
            (times, Values::Float(values))
        }
        Transform::Technical(technical) => {
            let values = values.iter().map(|value| value.float());
            let (times, values) = super::technical::apply(technical, &times, values);
            (times, Values::Float(values))
        }
        Transform::Elapsed(_) => unreachable!("it is done for every type above"),
    }
}

/// Calls `visit` with the places of neighbours; of points at one time only the first counts.
fn neighbours(times: &[i64], mut visit: impl FnMut(usize, usize)) {
    let mut before = 0;
    for at in 1..times.len() {
        if times[at] != times[before] {
            visit(before, at);
            before = at;
        }
    }
}

/// The results' times take the place of the points'.
fn derivative<T: Number>(
    times: Vec<i64>,
    values: &[T],
    unit: i64,
    sign: Sign,
) -> (Vec<i64>, Vec<f64>) {
    match one_step(&times) {
        Some(step) => even_derivative(times, values, step.float() / unit.float(), sign),
        None => uneven_derivative(times, values, unit, sign),
    }
}

/// How far each point is from the one before, in either direction, where all are as far.
fn one_step(times: &[i64]) -> Option<i64> {
    let [first, second, ..] = times else {
        return None;
    };
    let step = second.wrapping_sub(*first);
    let steps = times.iter().zip(&times[1..]);
    // Without an early end, which would be a jump at each point.
    let others = steps.fold(0, |others, (before, time)| {
        others | (time.wrapping_sub(*before) ^ step)
    });
    (step != 0 && others == 0).then_some(step.wrapping_abs())
}

/// Of points that are `units` apart, each from the one before.
fn even_derivative<T: Number>(
    mut times: Vec<i64>,
    values: &[T],
    units: f64,
    sign: Sign,
) -> (Vec<i64>, Vec<f64>) {
    // One thing at a time: so the compiler makes each a loop over several values.
    let neighbours = values.iter().zip(&values[1..]);
    let changes = neighbours.map(|(before, value)| value.float_minus(*before));
    let mut changes: Vec<f64> = changes.collect();
    let signs = changes
        .iter()
        .fold(0, |signs, change| signs | change.to_bits());
    let may_fall = signs.cast_signed() < 0;
    times.remove(0);
    if may_fall && sign == Sign::NonNegative {
        let mut kept = 0;
        for at in 0..changes.len() {
            // Written and then kept or not: a jump that depends on the values would be a guess.
            (times[kept], changes[kept]) = (times[at], changes[at]);
            let is_left_out = changes[at] < 0.0;
            kept += usize::from(!is_left_out);
        }
        times.truncate(kept);
        changes.truncate(kept);
    }
    changes.iter_mut().for_each(|change| *change /= units);
    (times, changes)
}

fn uneven_derivative<T: Number>(
    mut times: Vec<i64>,
    values: &[T],
    unit: i64,
    sign: Sign,
) -> (Vec<i64>, Vec<f64>) {
    let mut results = vec![0.0; times.len()];
    let (Some(first), Some(value)) = (times.first(), values.first()) else {
        return (times, results);
    };
    let (mut before, mut kept) = ((*first, *value), 0);
    for (at, value) in (1..times.len()).zip(&values[1..]) {
        let time = times[at];
        // Of points at one time only the first counts; the time between is positive in either
        // direction.
        let elapsed = time.wrapping_sub(before.0).wrapping_abs();
        if elapsed == 0 {
            continue;
        }
        let change = value.float_minus(before.1);
        before = (time, *value);
        // Written and then kept or not: a jump that depends on the values would be a guess.
        (times[kept], results[kept]) = (time, change / (elapsed.float() / unit.float()));
        let is_left_out = sign == Sign::NonNegative && change < 0.0;
        kept += usize::from(!is_left_out);
    }
    times.truncate(kept);
    results.truncate(kept);
    (times, results)
}

fn difference<T: Number>(times: &[i64], values: &[T], sign: Sign) -> (Vec<i64>, Vec<T>) {
    let mut results = (
        Vec::with_capacity(times.len()),
        Vec::with_capacity(times.len()),
    );
    neighbours(times, |before, at| {
        let change = values[at].minus(values[before]);
        // An unsigned change is never below zero, so the values are compared, too.
        let is_negative = change < T::ZERO || (T::LOWEST == T::ZERO && values[at] < values[before]);
        if sign == Sign::Any || !is_negative {
            results.0.push(times[at]);
            results.1.push(change);
        }
    });
    results
}

fn moving_average<T: Number>(times: &[i64], values: &[T], n: usize) -> (Vec<i64>, Vec<f64>) {
    let mut results = (Vec::new(), Vec::new());
    let mut sum = T::ZERO;
    for at in 0..values.len() {
        if at >= n {
            sum = sum.minus(values[at - n]);
        }
        sum = sum.plus(values[at]);
        if at + 1 >= n {
            results.0.push(times[at]);
            results.1.push(sum.float() / (n as u64).float());
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_derivative_skips_the_second_point_of_one_time() {
        let times = [0, SECOND, SECOND, 2 * SECOND];
        let (at, values) = apply(
            Transform::Derivative(SECOND, Sign::Any),
            times.to_vec(),
            &Values::Integer(vec![0, 10, 99, 5]),
        );
        assert_eq!(at, [SECOND, 2 * SECOND]);
        assert_eq!(values, Values::Float(vec![10.0, -5.0]));
    }

    #[test]
    fn non_negative_leaves_out_what_falls() {
        let times = [0, SECOND, 2 * SECOND];
        let function = Transform::Derivative(SECOND, Sign::NonNegative);
        let (at, _) = apply(function, times.to_vec(), &Values::Unsigned(vec![5, 3, 4]));
        assert_eq!(at, [2 * SECOND]);
        let function = Transform::Difference(Sign::NonNegative);
        let (_, values) = apply(function, times.to_vec(), &Values::Unsigned(vec![5, 3, 4]));
        assert_eq!(values, Values::Unsigned(vec![1]));
    }

    proptest! {
        #[test]
        fn points_at_one_interval_are_derived_as_any_are(
            (start, step) in (-1000_i64..1000, prop_oneof![Just(7_i64), Just(-3)]),
            values in prop::collection::vec(-5_i64..5, 2..20),
            is_any in any::<bool>(),
        ) {
            let sign = if is_any { Sign::Any } else { Sign::NonNegative };
            let times: Vec<i64> = (start..).take(values.len()).map(|at| at * step).collect();
            let expected = uneven_derivative(times.clone(), &values, 2, sign);
            prop_assert_eq!(one_step(&times), Some(step.abs()));
            prop_assert_eq!(derivative(times, &values, 2, sign), expected);
        }
    }

    #[test]
    fn one_step_that_differs_is_enough() {
        assert_eq!(one_step(&[0, 2, 4, 5]), None);
        assert_eq!(one_step(&[0, 0, 0]), None);
        assert_eq!(one_step(&[3]), None);
        assert_eq!(one_step(&[]), None);
    }

    #[test]
    fn backwards_the_change_is_from_the_later_point() {
        let (_, values) = apply(
            Transform::Derivative(SECOND, Sign::Any),
            vec![SECOND, 0],
            &Values::Integer(vec![10, 4]),
        );
        assert_eq!(values, Values::Float(vec![-6.0]));
    }

    #[test]
    fn sums_of_integers_wrap() {
        let (_, values) = apply(
            Transform::CumulativeSum,
            vec![0, 1],
            &Values::Integer(vec![i64::MAX, 1]),
        );
        assert_eq!(values, Values::Integer(vec![i64::MAX, i64::MIN]));
    }

    #[test]
    fn a_moving_average_needs_its_whole_window() {
        let (times, values) = apply(
            Transform::MovingAverage(2),
            vec![0, 1, 2],
            &Values::Integer(vec![1, 2, 4]),
        );
        assert_eq!((times, values), (vec![1, 2], Values::Float(vec![1.5, 3.0])));
        let none = apply(Transform::Elapsed(1), vec![], &Values::Integer(vec![]));
        assert_eq!(none, (vec![], Values::Integer(vec![])));
    }
}
