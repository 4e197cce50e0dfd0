//! Functions that fold each series by itself, and then merge the partial results.

mod numbers;
mod partial;
mod results;

use std::cmp::Ordering;
use std::ops::Range;

use plimsoll_engine::model::{FieldType, Values};
use plimsoll_engine::segment::{BlockRef, Summary};

use numbers::{Known, add_numbers, add_plain, add_single, add_summary, join_plain, window_around};
use partial::Partial;
use results::{of_chosen, of_numbers, of_plain};

pub(crate) use results::{Beside, Picks, Results, Times};

use super::{Fold, Number};
use crate::exec::window::Windows;
use crate::exec::window::cuts::Cut;

/// A point that a selector chose: where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pick {
    /// Which series of the group.
    pub(crate) origin: u32,
    /// Which of its rows.
    pub(crate) row: u32,
}

/// The partial results of one function over the series of a group, by window, ascending.
///
/// Each series is begun, added piece by piece in order of time, and ended.
#[derive(Debug)]
pub(crate) enum Folded {
    /// count()
    Counts(Partial<i64>),
    /// sum(), min() and max() of integers, of which no point is asked for.
    PlainIntegers(Partial<i64>),
    /// sum() of floats.
    PlainFloats(Partial<f64>),
    /// Of floats.
    Floats(Partial<State<f64>>),
    /// Of integers.
    Integers(Partial<State<i64>>),
    /// Of unsigned integers.
    Unsigned(Partial<State<u64>>),
    /// first() and last() of texts.
    Strings(Partial<Chosen<std::sync::Arc<str>>>),
    /// Selectors of booleans.
    Booleans(Partial<Chosen<bool>>),
}

/// What a selector's summary of a block has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// Values only.
    Values,
    /// The times of its points, too.
    Times,
}

/// A window's result so far.
#[derive(Debug, Clone, Copy)]
pub(crate) enum State<T> {
    /// sum(), mean()
    Sum {
        /// Of the values.
        sum: T,
        /// How many they are.
        count: u64,
    },
    /// spread()
    Range {
        /// The smallest.
        low: T,
        /// The largest.
        high: T,
    },
    /// A selector's.
    Chosen(Chosen<T>),
}

/// A chosen point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen<T> {
    /// Its time.
    pub(crate) time: i64,
    /// Its value.
    pub(crate) value: T,
    /// Where it stands.
    pub(crate) pick: Pick,
}

impl Folded {
    /// Nothing yet, for arguments of this type, in at most so many windows.
    pub(crate) fn new(fold: Fold, field_type: FieldType, answers: Answers, windows: usize) -> Self {
        let is_plain = match fold {
            Fold::Sum => true,
            // Equal integers are the same; floats may be zeros of either sign.
            Fold::Min | Fold::Max => answers == Answers::Values && field_type == FieldType::Integer,
            _ => false,
        };
        match (fold, field_type) {
            (Fold::Count, _) => Self::Counts(Partial::new(windows)),
            (_, FieldType::Integer) if is_plain => Self::PlainIntegers(Partial::new(windows)),
            (_, FieldType::Float) if is_plain => Self::PlainFloats(Partial::new(windows)),
            (_, FieldType::Float) => Self::Floats(Partial::new(windows)),
            (_, FieldType::Integer) => Self::Integers(Partial::new(windows)),
            (_, FieldType::Unsigned) => Self::Unsigned(Partial::new(windows)),
            (_, FieldType::String) => Self::Strings(Partial::new(windows)),
            (_, FieldType::Boolean) => Self::Booleans(Partial::new(windows)),
        }
    }

    /// Adds the rows of `cut`: the next points of the current series, ascending by time.
    pub(crate) fn add(
        &mut self,
        fold: Fold,
        cut: Cut<'_>,
        origin: u32,
        times: &[i64],
        values: &Values,
    ) {
        let pick = |at: usize| Pick {
            origin,
            row: number(at),
        };
        match (self, values) {
            (Self::Counts(partial), _) => {
                let count = |run: Range<usize>| i64::try_from(run.len()).unwrap_or(i64::MAX);
                let more = |open: &mut i64, run| *open += count(run);
                partial.runs(cut, count, more, |a, b| *a += b);
            }
            (Self::PlainIntegers(partial), Values::Integer(values)) => {
                add_plain(partial, fold, cut, values);
            }
            (Self::PlainFloats(partial), Values::Float(values)) => {
                add_plain(partial, fold, cut, values);
            }
            (Self::Floats(partial), Values::Float(values)) => {
                add_numbers(partial, fold, cut, times, values, pick);
            }
            (Self::Integers(partial), Values::Integer(values)) => {
                add_numbers(partial, fold, cut, times, values, pick);
            }
            (Self::Unsigned(partial), Values::Unsigned(values)) => {
                add_numbers(partial, fold, cut, times, values, pick);
            }
            (Self::Strings(partial), Values::String(values)) => {
                add_chosen(partial, fold, cut, times, values, pick);
            }
            (Self::Booleans(partial), Values::Boolean(values)) => {
                add_chosen(partial, fold, cut, times, values, pick);
            }
            (_, _) => unreachable!("the planner casts the argument to the type it asked for"),
        }
    }

    /// Adds values of the current series that each have a window of their own, which begins at the
    /// value's time: windows ascend. Answers whether it could.
    pub(crate) fn add_starts(&mut self, fold: Fold, starts: &[i64], values: &Values) -> bool {
        match (self, values) {
            (Self::PlainIntegers(partial), Values::Integer(values)) => {
                add_single(partial, fold, starts, values);
            }
            (Self::PlainFloats(partial), Values::Float(values)) => {
                add_single(partial, fold, starts, values);
            }
            _ => return false,
        }
        true
    }

    /// Adds so many points of the current series, which lie in one window.
    pub(crate) fn add_count(&mut self, windows: &Windows, points: usize) {
        if let (Self::Counts(partial), true) = (self, points > 0) {
            let count = i64::try_from(points).unwrap_or(i64::MAX);
            let window = windows.of(windows.start);
            partial.run(window, || count, |open| *open += count, |a, b| *a += b);
        }
    }

    /// Adds the next points of the current series by what they come to, where that is enough and
    /// gives the same bits as the points would; answers whether it did.
    pub(crate) fn add_block(
        &mut self,
        fold: Fold,
        windows: &Windows,
        origin: u32,
        block: &BlockRef,
        answers: Answers,
    ) -> bool {
        match (self, &block.summary) {
            (Self::Counts(partial), _) => {
                let Some(window) = window_around(partial.window(), windows, block) else {
                    return false;
                };
                let count = i64::from(block.count);
                let join = |a: &mut i64, b: i64| *a += b;
                partial.run(window, || count, |open| *open += count, join);
                true
            }
            (Self::PlainIntegers(partial), Some(Summary::Integer(summary))) => {
                let Some(window) = window_around(partial.window(), windows, block) else {
                    return false;
                };
                let value = match fold {
                    Fold::Min => summary.min,
                    Fold::Max => summary.max,
                    _ => summary.sum,
                };
                let join = |a: &mut i64, b: i64| join_plain(fold, a, b);
                partial.run(window, || value, |open| join(open, value), join);
                true
            }
            (Self::Floats(partial), Some(Summary::Float(summary))) => {
                let summary = Known {
                    first: summary.first,
                    last: summary.last,
                    min: summary.min,
                    max: summary.max,
                    sum: None,
                };
                add_summary(partial, fold, windows, origin, block, summary, answers)
            }
            (Self::Integers(partial), Some(Summary::Integer(summary))) => {
                let summary = Known::of(summary);
                add_summary(partial, fold, windows, origin, block, summary, answers)
            }
            (Self::Unsigned(partial), Some(Summary::Unsigned(summary))) => {
                let summary = Known::of(summary);
                add_summary(partial, fold, windows, origin, block, summary, answers)
            }
            _ => false,
        }
    }

    /// Ends the current series.
    pub(crate) fn end(&mut self, fold: Fold) {
        match self {
            Self::Counts(partial) => partial.end(|a, b| *a += b),
            Self::PlainIntegers(partial) => partial.end(|a, b| join_plain(fold, a, b)),
            Self::PlainFloats(partial) => partial.end(|a, b| join_plain(fold, a, b)),
            Self::Floats(partial) => partial.end(|a, b| a.merge(fold, b)),
            Self::Integers(partial) => partial.end(|a, b| a.merge(fold, b)),
            Self::Unsigned(partial) => partial.end(|a, b| a.merge(fold, b)),
            Self::Strings(partial) => partial.end(|a, b| keep_better(fold, a, b, Ord::cmp)),
            Self::Booleans(partial) => partial.end(|a, b| keep_better(fold, a, b, Ord::cmp)),
        }
    }

    /// Merges the partial results of later series.
    pub(crate) fn merge(&mut self, fold: Fold, part: Self) {
        match (self, part) {
            (Self::Counts(all), Self::Counts(part)) => all.merge(part, |a, b| *a += b),
            (Self::PlainIntegers(all), Self::PlainIntegers(part)) => {
                all.merge(part, |a, b| join_plain(fold, a, b));
            }
            (Self::PlainFloats(all), Self::PlainFloats(part)) => {
                all.merge(part, |a, b| join_plain(fold, a, b));
            }
            (Self::Floats(all), Self::Floats(part)) => all.merge(part, |a, b| a.merge(fold, b)),
            (Self::Integers(all), Self::Integers(part)) => {
                all.merge(part, |a, b| a.merge(fold, b));
            }
            (Self::Unsigned(all), Self::Unsigned(part)) => {
                all.merge(part, |a, b| a.merge(fold, b));
            }
            (Self::Strings(all), Self::Strings(part)) => {
                all.merge(part, |a, b| keep_better(fold, a, b, Ord::cmp));
            }
            (Self::Booleans(all), Self::Booleans(part)) => {
                all.merge(part, |a, b| keep_better(fold, a, b, Ord::cmp));
            }
            _ => unreachable!("one function over one type makes one kind of result"),
        }
    }

    /// How many windows hold something.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Counts(partial) => partial.windows.len(),
            Self::PlainIntegers(partial) => partial.windows.len(),
            Self::PlainFloats(partial) => partial.windows.len(),
            Self::Floats(partial) => partial.windows.len(),
            Self::Integers(partial) => partial.windows.len(),
            Self::Unsigned(partial) => partial.windows.len(),
            Self::Strings(partial) => partial.windows.len(),
            Self::Booleans(partial) => partial.windows.len(),
        }
    }

    /// The results; every series was ended.
    pub(crate) fn finish(self, fold: Fold, beside: Beside) -> Results {
        match self {
            Self::Counts(partial) | Self::PlainIntegers(partial) => {
                of_plain(partial, Values::Integer)
            }
            Self::PlainFloats(partial) => of_plain(partial, Values::Float),
            Self::Floats(partial) => of_numbers(partial, fold, Values::Float, beside),
            Self::Integers(partial) => of_numbers(partial, fold, Values::Integer, beside),
            Self::Unsigned(partial) => of_numbers(partial, fold, Values::Unsigned, beside),
            Self::Strings(partial) => of_chosen(partial, Values::String, beside),
            Self::Booleans(partial) => of_chosen(partial, Values::Boolean, beside),
        }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("a series of one query has fewer than 2^32 points in memory")
}

impl<T: Number> State<T> {
    fn merge(&mut self, fold: Fold, other: Self) {
        match (self, other) {
            (Self::Sum { sum, count }, Self::Sum { sum: s, count: c }) => {
                *sum = sum.plus(s);
                *count += c;
            }
            (Self::Range { low, high }, Self::Range { low: l, high: h }) => {
                *low = if l < *low { l } else { *low };
                *high = if h > *high { h } else { *high };
            }
            (Self::Chosen(here), Self::Chosen(there)) => {
                if is_better(fold, here, &there, T::order) {
                    *here = there;
                }
            }
            _ => unreachable!("one function makes one kind of state"),
        }
    }
}

fn add_chosen<T: Clone + Ord>(
    partial: &mut Partial<Chosen<T>>,
    fold: Fold,
    cut: Cut<'_>,
    times: &[i64],
    values: &[T],
    pick: impl Fn(usize) -> Pick,
) {
    let chosen = |run| choose(fold, times, values, run, &pick, Ord::cmp);
    partial.runs(
        cut,
        chosen,
        |best, run| keep_better(fold, best, chosen(run), Ord::cmp),
        |best, other| keep_better(fold, best, other, Ord::cmp),
    );
}

/// The chosen point of a window; `times` ascend, equal ones may repeat.
fn choose<T: Clone>(
    fold: Fold,
    times: &[i64],
    values: &[T],
    run: Range<usize>,
    pick: &impl Fn(usize) -> Pick,
    order: fn(&T, &T) -> Ordering,
) -> Chosen<T> {
    let better = |best: usize, at: usize| {
        let by_value = order(&values[at], &values[best]);
        match fold {
            Fold::Min => by_value.is_lt(),
            Fold::Max => by_value.is_gt(),
            Fold::First => times[at] == times[best] && by_value.is_gt(),
            _ => times[at] > times[best] || by_value.is_gt(),
        }
    };
    let at = match fold {
        // Only the points at the last time can be the last one.
        Fold::Last => {
            let last = times[run.end - 1];
            let ties = run.clone().rev().take_while(|at| times[*at] == last);
            let first_tie = ties.last().unwrap_or(run.start);
            (first_tie..run.end).fold(
                first_tie,
                |best, at| if better(best, at) { at } else { best },
            )
        }
        Fold::First => {
            let ties = run.clone().take_while(|at| times[*at] == times[run.start]);
            ties.fold(
                run.start,
                |best, at| if better(best, at) { at } else { best },
            )
        }
        _ => run.clone().fold(
            run.start,
            |best, at| if better(best, at) { at } else { best },
        ),
    };
    Chosen {
        time: times[at],
        value: values[at].clone(),
        pick: pick(at),
    }
}

/// Whether `other` beats `best`, which comes of an earlier series.
fn is_better<T>(
    fold: Fold,
    best: &Chosen<T>,
    other: &Chosen<T>,
    order: fn(&T, &T) -> Ordering,
) -> bool {
    let by_value = order(&other.value, &best.value);
    let by_time = other.time.cmp(&best.time);
    match fold {
        Fold::Min => by_value.is_lt() || (by_value.is_eq() && by_time.is_lt()),
        Fold::Max => by_value.is_gt() || (by_value.is_eq() && by_time.is_lt()),
        Fold::First => by_time.is_lt() || (by_time.is_eq() && by_value.is_gt()),
        _ => by_time.is_gt() || (by_time.is_eq() && by_value.is_gt()),
    }
}

fn keep_better<T>(
    fold: Fold,
    best: &mut Chosen<T>,
    other: Chosen<T>,
    order: fn(&T, &T) -> Ordering,
) {
    if is_better(fold, best, &other, order) {
        *best = other;
    }
}
