//! Rows of one field of one series with the times that they share with its neighbours.

use crate::model::{FieldType, TimeRange, Values};
use crate::tombstone::is_hidden;

/// Strictly ascending times, whether each has a value, and the values of those that have.
///
/// Times without a value are kept: fields of one container share a time column in the merged
/// segment as they did before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    pub(super) times: Vec<i64>,
    pub(super) present: Vec<bool>,
    pub(super) values: Values,
}

impl Rows {
    pub(super) fn new(field_type: FieldType) -> Self {
        Self {
            times: Vec::new(),
            present: Vec::new(),
            values: Values::new(field_type),
        }
    }

    /// Leaves out the rows of `ranges`.
    pub(super) fn hide(&mut self, ranges: &[TimeRange]) {
        if !self.times.iter().any(|time| is_hidden(ranges, *time)) {
            return;
        }
        let all = std::mem::replace(self, Self::new(self.values.field_type()));
        let mut value = 0;
        for (time, present) in all.times.into_iter().zip(all.present) {
            if !is_hidden(ranges, time) {
                self.times.push(time);
                self.present.push(present);
                if present {
                    self.values.push(all.values.value(value));
                }
            }
            value += usize::from(present);
        }
    }

    /// Puts `above` over these rows: of two values of one time the one above stays.
    pub(super) fn overlay(&mut self, above: Self) {
        let Some(first) = above.times.first() else {
            return;
        };
        match self.times.last() {
            None => *self = above,
            Some(last) if last < first => {
                self.times.extend(above.times);
                self.present.extend(above.present);
                for at in 0..above.values.len() {
                    self.values.push(above.values.value(at));
                }
            }
            Some(_) => *self = merged(self, &above),
        }
    }
}

fn merged(below: &Rows, above: &Rows) -> Rows {
    let mut out = Rows::new(below.values.field_type());
    let (mut low, mut high) = (Place::default(), Place::default());
    while let Some(time) = earlier(below.times.get(low.row), above.times.get(high.row)) {
        let lower = low.take(below, time);
        let upper = high.take(above, time);
        let value = match (upper, lower) {
            (Some(at), _) => Some(above.values.value(at)),
            (None, Some(at)) => Some(below.values.value(at)),
            (None, None) => None,
        };
        out.times.push(time);
        out.present.push(value.is_some());
        if let Some(value) = value {
            out.values.push(value);
        }
    }
    out
}

fn earlier(a: Option<&i64>, b: Option<&i64>) -> Option<i64> {
    a.into_iter().chain(b).min().copied()
}

/// The next row, and the next value.
#[derive(Default)]
struct Place {
    row: usize,
    value: usize,
}

impl Place {
    /// Passes the row at `time`, if that is the next; answers the place of its value.
    fn take(&mut self, rows: &Rows, time: i64) -> Option<usize> {
        if rows.times.get(self.row) != Some(&time) {
            return None;
        }
        let present = rows.present[self.row];
        self.row += 1;
        present.then(|| {
            self.value += 1;
            self.value - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(points: &[(i64, Option<i64>)]) -> Rows {
        Rows {
            times: points.iter().map(|p| p.0).collect(),
            present: points.iter().map(|p| p.1.is_some()).collect(),
            values: Values::Integer(points.iter().filter_map(|p| p.1).collect()),
        }
    }

    #[test]
    fn hidden_rows_go_with_their_values() {
        let mut got = rows(&[
            (1, Some(1)),
            (2, None),
            (3, Some(3)),
            (4, None),
            (5, Some(5)),
        ]);
        let range = |start, end| TimeRange {
            start: crate::Timestamp(start),
            end: crate::Timestamp(end),
        };
        got.hide(&[range(6, 9)]);
        assert_eq!(got.times.len(), 5);
        got.hide(&[range(3, 3), range(i64::MIN, 1)]);
        assert_eq!(got, rows(&[(2, None), (4, None), (5, Some(5))]));
    }

    #[test]
    fn the_rows_above_win_where_they_have_a_value() {
        let (a, b, none) = (Some(1), Some(2), None);
        let cases = [
            (
                vec![(1, a), (3, a)],
                vec![(2, b), (3, b)],
                vec![(1, a), (2, b), (3, b)],
            ),
            (
                vec![(1, a), (3, a)],
                vec![(1, none), (3, b)],
                vec![(1, a), (3, b)],
            ),
            (vec![(1, none)], vec![(1, none)], vec![(1, none)]),
            (
                vec![(5, a)],
                vec![(1, b), (2, none)],
                vec![(1, b), (2, none), (5, a)],
            ),
            (vec![(1, a)], vec![(2, b)], vec![(1, a), (2, b)]),
            (vec![], vec![(2, b)], vec![(2, b)]),
            (vec![(2, a)], vec![], vec![(2, a)]),
        ];
        for (below, above, expected) in cases {
            let mut got = rows(&below);
            got.overlay(rows(&above));
            assert_eq!(got, rows(&expected), "{below:?} {above:?}");
        }
    }
}
