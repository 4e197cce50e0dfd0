//! Deviations of the digits of numbers.

use serde_json::Value;

use super::super::case::measurements;
use super::{Difference, calls, has_nested_call, selects};

pub const MATHEMATICS: &[&str] = &[
    "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "exp", "ln", "log", "log2", "log10",
    "pow",
];

/// The last digits of functions that are another machine's there: floats differ by their last digit.
pub fn digits_of_mathematics(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, MATHEMATICS));
    });
    // Near a pole a tangent is as much wrong as its great argument was.
    let mut is_steep = false;
    selects(difference.statement, &mut |select| {
        let mut all = measurements(select).into_iter();
        let has_great = all.any(|measurement| measurement.is_inexact);
        is_steep |= has_great && select.fields.iter().any(|f| calls(&f.expr, &["tan"]));
    });
    let digits = if is_steep { 4096.0 } else { 4.0 };
    has && is_within(digits, difference.ours, difference.theirs)
}

/// Whether two values are equal but for the last digits of floats.
pub fn is_within(digits: f64, a: &Value, b: &Value) -> bool {
    let is_close = |a: &Value, b: &Value| is_within(digits, a, b);
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= digits * f64::EPSILON * a.abs().max(b.abs()).max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_close(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut pairs = a.iter().zip(b);
            a.len() == b.len() && pairs.all(|((k, a), (l, b))| k == l && is_close(a, b))
        }
        _ => a == b,
    }
}

pub const SUMS: &[&str] = &[
    "sum",
    "mean",
    "stddev",
    "integral",
    "spread",
    "cumulative_sum",
    "moving_average",
    "derivative",
    "difference",
    "non_negative_derivative",
    "non_negative_difference",
    "holt_winters",
    "holt_winters_with_fit",
    "median",
];

/// Sums of numbers at the ends of their types depend on the order in which they are added: there it
/// is that of shards, and of a heap. All else is the same.
pub fn inexact_sums(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let is_inexact = measurements(select)
            .iter()
            .any(|measurement| measurement.is_inexact);
        has |= is_inexact && select.fields.iter().any(|field| calls(&field.expr, SUMS));
    });
    has && without_numbers(difference.ours) == without_numbers(difference.theirs)
}

/// A result whose rows have their times, and nothing in place of other numbers.
pub fn without_numbers(result: &Value) -> Value {
    let mut result = result.clone();
    let Some(series) = result.get_mut("series").and_then(Value::as_array_mut) else {
        return result;
    };
    let rows = series
        .iter_mut()
        .filter_map(|series| series.get_mut("values"));
    for row in rows.filter_map(Value::as_array_mut).flatten() {
        let cells = row.as_array_mut().unwrap();
        for cell in cells.iter_mut().skip(1).filter(|cell| cell.is_number()) {
            *cell = Value::Null;
        }
    }
    result
}

/// Functions that add floats up: there in the order of shards and of a heap.
pub fn order_of_sums(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, &["stddev", "mean", "integral"]));
    });
    // A difference of two of them has fewer digits that are right.
    let mut is_nested = false;
    selects(difference.statement, &mut |select| {
        is_nested |= select.fields.iter().any(|f| has_nested_call(&f.expr));
    });
    let digits = if is_nested { 256.0 } else { 4.0 };
    has && is_within(digits, difference.ours, difference.theirs)
}
