//! Functions of integers that ask only which rank a value has in its window: percentile() and
//! median(). Values of all series of a window are put together, in any order.

use std::ops::Range;

use plimsoll_engine::model::{FieldType, Values};

use super::window::{median, rank_of};
use super::{Number, Whole};
use crate::exec::window::Windows;

/// The values of a group by window.
#[derive(Debug)]
pub(crate) enum Ranked {
    /// Integers.
    Integers(Buckets<i64>),
    /// Unsigned integers.
    Unsigned(Buckets<u64>),
}

/// Values by window, ascending by window. Each series is added in order of time, and ended.
#[derive(Debug)]
pub(crate) struct Buckets<T> {
    all: Vec<(i64, Vec<T>)>,
    /// Windows that were not there when the current series came to them, and later ones are.
    new: Vec<(i64, Vec<T>)>,
    /// Where the current series is in `all`.
    at: usize,
}

impl<T: Copy> Buckets<T> {
    fn empty() -> Self {
        Self {
            all: Vec::new(),
            new: Vec::new(),
            at: 0,
        }
    }

    fn put(&mut self, window: i64, values: &[T]) {
        while self.at < self.all.len() && self.all[self.at].0 < window {
            self.at += 1;
        }
        match self.all.get_mut(self.at) {
            Some((there, here)) if *there == window => here.extend_from_slice(values),
            Some(_) => self.new.push((window, values.to_vec())),
            None => self.all.push((window, values.to_vec())),
        }
    }

    fn end(&mut self) {
        self.at = 0;
        if self.new.is_empty() {
            return;
        }
        self.all.append(&mut self.new);
        self.all.sort_by_key(|(window, _)| *window);
        self.all.dedup_by(|later, first| {
            let is_same = later.0 == first.0;
            if is_same {
                first.1.append(&mut later.1);
            }
            is_same
        });
    }

    fn add(&mut self, windows: &Windows, times: &[i64], values: &[T], rows: Range<usize>) {
        windows.runs_in(times, rows, |(start, _), run| self.put(start, &values[run]));
    }

    fn merge(&mut self, later: Self) {
        if self.all.is_empty() {
            self.all = later.all;
            return;
        }
        for (window, values) in later.all {
            self.put(window, &values);
        }
        self.end();
    }
}

impl Ranked {
    /// Nothing yet; none where `whole` asks for more than a rank, or where equal values of the type
    /// are told apart: a float's zeros are.
    pub(crate) fn new(whole: Whole, field_type: FieldType) -> Option<Self> {
        match (whole, field_type) {
            (Whole::Percentile(_) | Whole::Median, FieldType::Integer) => {
                Some(Self::Integers(Buckets::empty()))
            }
            (Whole::Percentile(_) | Whole::Median, FieldType::Unsigned) => {
                Some(Self::Unsigned(Buckets::empty()))
            }
            _ => None,
        }
    }

    /// Adds the next points of the current series, ascending by time.
    pub(crate) fn add(
        &mut self,
        windows: &Windows,
        times: &[i64],
        values: &Values,
        rows: Range<usize>,
    ) {
        match (self, values) {
            (Self::Integers(all), Values::Integer(values)) => {
                all.add(windows, times, values, rows);
            }
            (Self::Unsigned(all), Values::Unsigned(values)) => {
                all.add(windows, times, values, rows);
            }
            _ => unreachable!("the planner casts the argument to the type it asked for"),
        }
    }

    /// Ends the current series.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Integers(all) => all.end(),
            Self::Unsigned(all) => all.end(),
        }
    }

    /// Merges the values of other series.
    pub(crate) fn merge(&mut self, part: Self) {
        match (self, part) {
            (Self::Integers(all), Self::Integers(part)) => all.merge(part),
            (Self::Unsigned(all), Self::Unsigned(part)) => all.merge(part),
            _ => unreachable!("one type makes one kind of buckets"),
        }
    }

    /// How many windows hold something.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Integers(all) => all.all.len(),
            Self::Unsigned(all) => all.all.len(),
        }
    }

    /// The windows that have a result, ascending, and their results; every series was ended.
    pub(crate) fn finish(self, whole: Whole) -> (Vec<i64>, Values) {
        match self {
            Self::Integers(all) => finish(all, whole, Values::Integer),
            Self::Unsigned(all) => finish(all, whole, Values::Unsigned),
        }
    }
}

fn finish<T: Number + Ord>(
    buckets: Buckets<T>,
    whole: Whole,
    wrap: fn(Vec<T>) -> Values,
) -> (Vec<i64>, Values) {
    let Whole::Percentile(percent) = whole else {
        let medians = buckets.all.into_iter();
        let medians = medians.map(|(window, values)| (window, median(&values)));
        let (windows, medians) = medians.unzip();
        return (windows, Values::Float(medians));
    };
    let nearest = |(window, mut values): (i64, Vec<T>)| {
        let rank = rank_of(values.len(), percent)?;
        let (_, value, _) = values.select_nth_unstable(rank);
        Some((window, *value))
    };
    let (windows, values) = buckets.all.into_iter().filter_map(nearest).unzip();
    (windows, wrap(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows() -> Windows {
        Windows {
            every: 10,
            offset: 0,
            start: 0,
            end: 1000,
            zone: None,
        }
    }

    fn ranked(whole: Whole, series: &[&[(i64, i64)]]) -> (Vec<i64>, Values) {
        let mut ranked = Ranked::new(whole, FieldType::Integer).unwrap();
        for points in series {
            let (times, values): (Vec<i64>, Vec<i64>) = points.iter().copied().unzip();
            ranked.add(&windows(), &times, &Values::Integer(values), 0..times.len());
            ranked.end();
        }
        ranked.finish(whole)
    }

    #[test]
    fn windows_that_only_later_series_have_stand_in_their_place() {
        let series: [&[(i64, i64)]; 3] = [
            &[(1, 5), (35, 7)],
            &[(2, 3), (11, 9), (12, 8), (36, 1)],
            &[(13, 10), (45, 2)],
        ];
        let (at, values) = ranked(Whole::Percentile(50.0), &series);
        assert_eq!(at, [0, 10, 30, 40]);
        assert_eq!(values, Values::Integer(vec![3, 9, 1, 2]));
        let (at, values) = ranked(Whole::Median, &series);
        assert_eq!(at, [0, 10, 30, 40]);
        assert_eq!(values, Values::Float(vec![4.0, 9.0, 4.0, 2.0]));
    }

    #[test]
    fn a_rank_outside_has_no_result() {
        let (at, _) = ranked(Whole::Percentile(0.0), &[&[(1, 5)]]);
        assert!(at.is_empty());
    }

    #[test]
    fn parts_merge_to_what_they_are_together() {
        let part = |points: &[(i64, i64)]| {
            let mut part = Ranked::new(Whole::Median, FieldType::Integer).unwrap();
            let (times, values): (Vec<i64>, Vec<i64>) = points.iter().copied().unzip();
            part.add(&windows(), &times, &Values::Integer(values), 0..times.len());
            part.end();
            part
        };
        let mut all = part(&[(1, 5), (35, 7)]);
        all.merge(part(&[(2, 7), (11, 9)]));
        assert_eq!(all.len(), 3);
        let (at, values) = all.finish(Whole::Median);
        assert_eq!(at, [0, 10, 30]);
        assert_eq!(values, Values::Float(vec![6.0, 9.0, 7.0]));
    }
}
