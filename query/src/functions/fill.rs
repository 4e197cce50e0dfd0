//! fill(): what windows without points get.

use plimsoll_engine::model::{FieldType, FieldValue, ValueRef, Values};

use super::Number;
use crate::exec::column::{Column, absent};
use crate::exec::window::Windows;

/// What a window without points gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Filling {
    /// Null.
    Null,
    /// The value of the window before it, in the query's direction.
    Previous,
    /// What lies on the line between its neighbours.
    Linear,
    /// A number.
    Number(f64),
    /// A number that was written as an integer.
    Integer(i64),
}

/// Walks the windows of a range in the query's direction.
struct Walk<'a> {
    windows: &'a Windows,
    ascending: bool,
    time: i64,
    zone: i64,
}

impl Walk<'_> {
    fn advance(&mut self) {
        let step = if self.ascending {
            self.windows.every
        } else {
            -self.windows.every
        };
        self.time = self.time.saturating_add(step);
        if self.windows.zone.is_some() {
            let zone = self.windows.zone_offset(self.time.saturating_sub(1));
            let shift = self.zone - zone;
            if shift != 0 {
                if shift.abs() < self.windows.every {
                    self.time = self.time.saturating_add(shift);
                }
                self.zone = zone;
            }
        }
    }
}

/// First and last window of a group's answer, in the query's direction, where its points (in that
/// direction, too) are at `times`.
pub(crate) fn bounds(windows: &Windows, ascending: bool, times: &[i64]) -> Option<(i64, i64)> {
    let (first, last) = (*times.first()?, *times.last()?);
    let is_open = windows.start <= plimsoll_engine::model::TIME_MIN.0;
    let start = windows.of(windows.start).0;
    let end = windows.of(windows.end).0;
    Some(match (ascending, is_open) {
        (true, false) => (start, end),
        (true, true) => (first, end),
        (false, false) => (end, start),
        (false, true) => (end, last),
    })
}

/// How many windows lie between two, both counted.
pub(crate) fn count(windows: &Windows, (first, last): (i64, i64)) -> u64 {
    let span = (i128::from(last) - i128::from(first)).unsigned_abs();
    let every = windows.every.max(1).unsigned_abs();
    u64::try_from(span / u128::from(every) + 1).unwrap_or(u64::MAX)
}

/// The points of one group with the windows between `first` and `last` filled; `times` are starts
/// of windows in the query's direction.
pub(crate) fn apply(
    filling: Filling,
    windows: &Windows,
    ascending: bool,
    (first, last): (i64, i64),
    times: &[i64],
    values: &Values,
) -> (Vec<i64>, Column) {
    let field_type = values.field_type();
    let mut walk = Walk {
        windows,
        ascending,
        time: first,
        zone: windows.zone_offset(first),
    };
    let mut filled_times = Vec::new();
    let mut filled = Values::new(field_type);
    let mut present = Vec::new();
    let mut at = 0;
    loop {
        let is_ahead = |time: i64| {
            if ascending {
                time > walk.time
            } else {
                time < walk.time
            }
        };
        match times.get(at) {
            Some(time) if !is_ahead(*time) => {
                filled_times.push(*time);
                filled.push(values.value(at));
                present.push(true);
                at += 1;
            }
            None if is_ahead(last) || last == walk.time => {
                push(
                    filling,
                    windows,
                    (walk.time, at),
                    times,
                    values,
                    &mut filled,
                    &mut present,
                );
                filled_times.push(walk.time);
            }
            None => break,
            Some(_) => {
                push(
                    filling,
                    windows,
                    (walk.time, at),
                    times,
                    values,
                    &mut filled,
                    &mut present,
                );
                filled_times.push(walk.time);
            }
        }
        walk.advance();
    }
    let present = present.contains(&false).then_some(present);
    let column = Column::Typed {
        values: filled,
        present,
    };
    (filled_times, column)
}

/// Appends what the window at `time` gets, where `next` is the number of the next point.
fn push(
    filling: Filling,
    windows: &Windows,
    (time, next): (i64, usize),
    times: &[i64],
    values: &Values,
    filled: &mut Values,
    present: &mut Vec<bool>,
) {
    let field_type = values.field_type();
    let previous = next.checked_sub(1);
    let value = match filling {
        Filling::Null => None,
        Filling::Previous => previous.map(|at| values.value(at).to_owned()),
        Filling::Number(number) => Some(number_as(number, field_type)),
        Filling::Integer(number) => Some(integer_as(number, field_type)),
        Filling::Linear => previous
            .filter(|_| next < times.len())
            .and_then(|before| linear(windows.every, time, (before, next), times, values)),
    };
    present.push(value.is_some());
    match value {
        Some(value) => filled.push(value.as_ref()),
        None => filled.push(absent(field_type)),
    }
}

/// A number as a value of a type; texts and booleans get their empty value, as in InfluxDB.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "fill(7.9) of integers is 7"
)]
fn number_as(number: f64, field_type: FieldType) -> FieldValue {
    match field_type {
        FieldType::Float => FieldValue::Float(number),
        FieldType::Integer => FieldValue::Integer(number as i64),
        FieldType::Unsigned => FieldValue::Unsigned(number as u64),
        FieldType::String | FieldType::Boolean => absent(field_type).to_owned(),
    }
}

#[expect(clippy::cast_sign_loss, reason = "as Go casts an integer")]
fn integer_as(number: i64, field_type: FieldType) -> FieldValue {
    match field_type {
        FieldType::Integer => FieldValue::Integer(number),
        FieldType::Unsigned => FieldValue::Unsigned(number as u64),
        _ => number_as(number.float(), field_type),
    }
}

/// The value on the line between two points, counted in windows; integers are cut.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the line's height of integers is cut"
)]
fn linear(
    every: i64,
    time: i64,
    (before, next): (usize, usize),
    times: &[i64],
    values: &Values,
) -> Option<FieldValue> {
    let (left, right) = (times[before] / every, times[next] / every);
    let width = right.wrapping_sub(left).float();
    let into = (time / every).wrapping_sub(left).float();
    let height = |low: f64, rise: f64| rise / width * into + low;
    match (values.value(before), values.value(next)) {
        (ValueRef::Float(a), ValueRef::Float(b)) => Some(FieldValue::Float(height(a, b - a))),
        (ValueRef::Integer(a), ValueRef::Integer(b)) => {
            let rise = b.wrapping_sub(a).float();
            Some(FieldValue::Integer(height(a.float(), rise) as i64))
        }
        (ValueRef::Unsigned(a), ValueRef::Unsigned(b)) => {
            let rise = b.float_minus(a);
            Some(FieldValue::Unsigned(height(a.float(), rise) as u64))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Cell;

    fn run(filling: Filling, ascending: bool, times: &[i64], values: Vec<i64>) -> Vec<(i64, Cell)> {
        let windows = Windows {
            every: 10,
            offset: 0,
            start: 5,
            end: 45,
            zone: None,
        };
        let bounds = bounds(&windows, ascending, times).unwrap();
        let values = Values::Integer(values);
        let (times, column) = apply(filling, &windows, ascending, bounds, times, &values);
        times.into_iter().zip(column.into_cells()).collect()
    }

    #[test]
    fn the_whole_range_is_filled_and_nothing_is_guessed_outside_a_line() {
        let cells = run(Filling::Linear, true, &[10, 30], vec![1, 4]);
        let expected = [
            (0, Cell::Null),
            (10, Cell::Integer(1)),
            (20, Cell::Integer(2)),
            (30, Cell::Integer(4)),
            (40, Cell::Null),
        ];
        assert_eq!(cells, expected);
    }

    #[test]
    fn backwards_the_previous_window_is_the_later_one() {
        let cells = run(Filling::Previous, false, &[30], vec![7]);
        let expected = [
            (40, Cell::Null),
            (30, Cell::Integer(7)),
            (20, Cell::Integer(7)),
            (10, Cell::Integer(7)),
            (0, Cell::Integer(7)),
        ];
        assert_eq!(cells, expected);
    }

    #[test]
    fn a_float_fills_integers_cut() {
        let cells = run(Filling::Number(7.9), true, &[0], vec![1]);
        assert_eq!(cells[1], (10, Cell::Integer(7)));
    }
}
