//! Laying a column of higher rank over one of lower rank.

use crate::model::{TimeRange, Values};
use crate::snapshot::Column;
use crate::tombstone::is_hidden;

/// Puts `above` over `below`: of two values of one time the one above stays.
pub(crate) fn overlay(below: &mut Column, above: Column) {
    let Some(first) = above.times.first() else {
        return;
    };
    match below.times.last() {
        None => *below = above,
        Some(last) if last < first => {
            below.times.extend_from_slice(&above.times);
            append(&mut below.values, &above.values);
        }
        Some(_) => *below = merged(below, &above),
    }
}

/// Leaves out the rows of `ranges`.
pub(crate) fn hide(column: &mut Column, ranges: &[TimeRange]) {
    if !column.times.iter().any(|time| is_hidden(ranges, *time)) {
        return;
    }
    let mut values = Values::new(column.values.field_type());
    let mut at = 0;
    column.times.retain(|time| {
        let stays = !is_hidden(ranges, *time);
        if stays {
            values.push(column.values.value(at));
        }
        at += 1;
        stays
    });
    column.values = values;
}

fn append(values: &mut Values, more: &Values) {
    match (values, more) {
        (Values::Float(v), Values::Float(m)) => v.extend_from_slice(m),
        (Values::Integer(v), Values::Integer(m)) => v.extend_from_slice(m),
        (Values::Unsigned(v), Values::Unsigned(m)) => v.extend_from_slice(m),
        (Values::String(v), Values::String(m)) => v.extend_from_slice(m),
        (Values::Boolean(v), Values::Boolean(m)) => v.extend_from_slice(m),
        _ => unreachable!("both columns were read as one type"),
    }
}

fn merged(below: &Column, above: &Column) -> Column {
    let mut times = Vec::with_capacity(below.times.len() + above.times.len());
    let mut values = Values::new(below.values.field_type());
    let (mut low, mut high) = (0, 0);
    while low < below.times.len() || high < above.times.len() {
        let low_time = below.times.get(low);
        let high_time = above.times.get(high);
        let take_high = match (low_time, high_time) {
            (Some(low), Some(high)) => high <= low,
            (None, _) => true,
            (_, None) => false,
        };
        if take_high {
            low += usize::from(low_time == high_time);
            times.push(above.times[high]);
            values.push(above.values.value(high));
            high += 1;
        } else {
            times.push(below.times[low]);
            values.push(below.values.value(low));
            low += 1;
        }
    }
    Column { times, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(points: &[(i64, i64)]) -> Column {
        Column {
            times: points.iter().map(|p| p.0).collect(),
            values: Values::Integer(points.iter().map(|p| p.1).collect()),
        }
    }

    #[test]
    fn hidden_rows_are_left_out() {
        let range = |start, end| TimeRange {
            start: crate::Timestamp(start),
            end: crate::Timestamp(end),
        };
        let mut got = column(&[(1, 1), (2, 2), (3, 3), (9, 9)]);
        hide(&mut got, &[range(4, 8)]);
        assert_eq!(got.times.len(), 4);
        hide(&mut got, &[range(2, 3), range(9, 9)]);
        assert_eq!(got, column(&[(1, 1)]));
    }

    #[test]
    fn the_higher_rank_wins_and_times_stay_ascending() {
        let cases = [
            (
                vec![(1, 1), (3, 1)],
                vec![(2, 2), (3, 2)],
                vec![(1, 1), (2, 2), (3, 2)],
            ),
            (vec![(5, 1)], vec![(1, 2)], vec![(1, 2), (5, 1)]),
            (vec![(1, 1)], vec![(2, 2)], vec![(1, 1), (2, 2)]),
            (vec![], vec![(2, 2)], vec![(2, 2)]),
            (vec![(2, 1)], vec![], vec![(2, 1)]),
        ];
        for (below, above, expected) in cases {
            let mut got = column(&below);
            overlay(&mut got, column(&above));
            assert_eq!(got, column(&expected), "{below:?} {above:?}");
        }
    }
}
