//! Functions that fold each series by itself, and then merge the partial results.

use std::cmp::Ordering;
use std::ops::Range;

use plimsoll_engine::model::{FieldType, Values};

use super::{Fold, Number};
use crate::exec::window::Windows;

/// A point that a selector chose: where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pick {
    /// Which series of the group.
    pub(crate) origin: u32,
    /// Which of its rows.
    pub(crate) row: u32,
}

/// The partial results of one function over the series of a group, by window, ascending.
#[derive(Debug)]
pub(crate) enum Folded {
    /// count()
    Counts(Vec<(i64, i64)>),
    /// Of floats.
    Floats(Vec<(i64, State<f64>)>),
    /// Of integers.
    Integers(Vec<(i64, State<i64>)>),
    /// Of unsigned integers.
    Unsigned(Vec<(i64, State<u64>)>),
    /// first() and last() of texts.
    Strings(Vec<(i64, Chosen<std::sync::Arc<str>>)>),
    /// Selectors of booleans.
    Booleans(Vec<(i64, Chosen<bool>)>),
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

/// What came out, ascending by window.
#[derive(Debug)]
pub(crate) struct Results {
    /// Each window's start.
    pub(crate) windows: Vec<i64>,
    /// Its value.
    pub(crate) values: Values,
    /// A selector's points: their times, and where they stand.
    pub(crate) chosen: Option<(Vec<i64>, Vec<Pick>)>,
}

impl Folded {
    /// Nothing yet, for arguments of this type.
    pub(crate) fn new(fold: Fold, field_type: FieldType) -> Self {
        match (fold, field_type) {
            (Fold::Count, _) => Self::Counts(Vec::new()),
            (_, FieldType::Float) => Self::Floats(Vec::new()),
            (_, FieldType::Integer) => Self::Integers(Vec::new()),
            (_, FieldType::Unsigned) => Self::Unsigned(Vec::new()),
            (_, FieldType::String) => Self::Strings(Vec::new()),
            (_, FieldType::Boolean) => Self::Booleans(Vec::new()),
        }
    }

    /// Adds a series' points, ascending by time. `rows` are their numbers, where they are not
    /// 0, 1, 2 and so on.
    pub(crate) fn add(
        &mut self,
        fold: Fold,
        windows: &Windows,
        origin: u32,
        times: &[i64],
        values: &Values,
        rows: Option<&[u32]>,
    ) {
        let row = |at: usize| rows.map_or_else(|| number(at), |rows| rows[at]);
        let pick = |at: usize| Pick {
            origin,
            row: row(at),
        };
        match (self, values) {
            (Self::Counts(all), _) => {
                let mut part = Vec::new();
                windows.runs(times, |start, run| {
                    part.push((start, i64::try_from(run.len()).unwrap_or(i64::MAX)));
                });
                merge(all, part, |a, b| *a += b);
            }
            (Self::Floats(all), Values::Float(values)) => {
                add_numbers(all, fold, windows, times, values, pick);
            }
            (Self::Integers(all), Values::Integer(values)) => {
                add_numbers(all, fold, windows, times, values, pick);
            }
            (Self::Unsigned(all), Values::Unsigned(values)) => {
                add_numbers(all, fold, windows, times, values, pick);
            }
            (Self::Strings(all), Values::String(values)) => {
                add_chosen(all, fold, windows, times, values, pick, Ord::cmp);
            }
            (Self::Booleans(all), Values::Boolean(values)) => {
                add_chosen(all, fold, windows, times, values, pick, Ord::cmp);
            }
            (_, _) => unreachable!("the planner casts the argument to the type it asked for"),
        }
    }

    /// Merges the partial results of a later series.
    pub(crate) fn merge(&mut self, fold: Fold, part: Self) {
        match (self, part) {
            (Self::Counts(all), Self::Counts(part)) => merge(all, part, |a, b| *a += b),
            (Self::Floats(all), Self::Floats(part)) => merge(all, part, |a, b| a.merge(fold, b)),
            (Self::Integers(all), Self::Integers(part)) => {
                merge(all, part, |a, b| a.merge(fold, b));
            }
            (Self::Unsigned(all), Self::Unsigned(part)) => {
                merge(all, part, |a, b| a.merge(fold, b));
            }
            (Self::Strings(all), Self::Strings(part)) => {
                merge(all, part, |a, b| keep_better(fold, a, b, Ord::cmp));
            }
            (Self::Booleans(all), Self::Booleans(part)) => {
                merge(all, part, |a, b| keep_better(fold, a, b, Ord::cmp));
            }
            _ => unreachable!("one function over one type makes one kind of result"),
        }
    }

    /// How many windows hold something.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Counts(all) => all.len(),
            Self::Floats(all) => all.len(),
            Self::Integers(all) => all.len(),
            Self::Unsigned(all) => all.len(),
            Self::Strings(all) => all.len(),
            Self::Booleans(all) => all.len(),
        }
    }

    /// The results.
    pub(crate) fn finish(self, fold: Fold) -> Results {
        match self {
            Self::Counts(all) => {
                let (windows, values) = all.into_iter().unzip();
                Results {
                    windows,
                    values: Values::Integer(values),
                    chosen: None,
                }
            }
            Self::Floats(all) => finish_numbers(all, fold, Values::Float),
            Self::Integers(all) => finish_numbers(all, fold, Values::Integer),
            Self::Unsigned(all) => finish_numbers(all, fold, Values::Unsigned),
            Self::Strings(all) => finish_chosen(all, Values::String),
            Self::Booleans(all) => finish_chosen(all, Values::Boolean),
        }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("a series of one query has fewer than 2^32 points in memory")
}

fn add_numbers<T: Number>(
    all: &mut Vec<(i64, State<T>)>,
    fold: Fold,
    windows: &Windows,
    times: &[i64],
    values: &[T],
    pick: impl Fn(usize) -> Pick,
) {
    let mut part = Vec::new();
    windows.runs(times, |start, run| {
        let state = match fold {
            Fold::Spread => range(&values[run]),
            Fold::Sum | Fold::Mean | Fold::Count => State::Sum {
                sum: values[run.clone()].iter().fold(T::ZERO, |a, b| a.plus(*b)),
                count: run.len() as u64,
            },
            Fold::Min => extreme(times, values, run, &pick, |value, best| value < best),
            Fold::Max => extreme(times, values, run, &pick, |value, best| value > best),
            _ => State::Chosen(choose(fold, times, values, run, &pick, T::order)),
        };
        part.push((start, state));
    });
    merge(all, part, |a, b| a.merge(fold, b));
}

/// The first of the points that no other is better than.
fn extreme<T: Number>(
    times: &[i64],
    values: &[T],
    run: Range<usize>,
    pick: &impl Fn(usize) -> Pick,
    is_better: impl Fn(T, T) -> bool,
) -> State<T> {
    let (mut at, mut best) = (run.start, values[run.start]);
    for (place, value) in run.clone().zip(&values[run]) {
        if is_better(*value, best) {
            (at, best) = (place, *value);
        }
    }
    State::Chosen(Chosen {
        time: times[at],
        value: best,
        pick: pick(at),
    })
}

fn range<T: Number>(values: &[T]) -> State<T> {
    let start = (T::HIGHEST, T::LOWEST);
    let (low, high) = values.iter().fold(start, |(low, high), value| {
        (
            if *value < low { *value } else { low },
            if *value > high { *value } else { high },
        )
    });
    State::Range { low, high }
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

fn add_chosen<T: Clone>(
    all: &mut Vec<(i64, Chosen<T>)>,
    fold: Fold,
    windows: &Windows,
    times: &[i64],
    values: &[T],
    pick: impl Fn(usize) -> Pick,
    order: fn(&T, &T) -> Ordering,
) {
    let mut part = Vec::new();
    windows.runs(times, |start, run| {
        part.push((start, choose(fold, times, values, run, &pick, order)));
    });
    merge(all, part, |a, b| {
        if is_better(fold, a, &b, order) {
            *a = b;
        }
    });
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

/// Merges `part` into `all`, both ascending by window.
fn merge<S>(all: &mut Vec<(i64, S)>, part: Vec<(i64, S)>, join: impl Fn(&mut S, S)) {
    if all.is_empty() {
        *all = part;
        return;
    }
    let mut at = 0;
    let mut new = Vec::new();
    for (window, state) in part {
        while at < all.len() && all[at].0 < window {
            at += 1;
        }
        match all.get_mut(at) {
            Some((there, here)) if *there == window => join(here, state),
            _ => new.push((window, state)),
        }
    }
    if !new.is_empty() {
        all.extend(new);
        all.sort_by_key(|(window, _)| *window);
    }
}

fn finish_numbers<T: Number>(
    all: Vec<(i64, State<T>)>,
    fold: Fold,
    values: fn(Vec<T>) -> Values,
) -> Results {
    if fold == Fold::Mean {
        let (windows, means) = all
            .into_iter()
            .map(|(window, state)| match state {
                State::Sum { sum, count } => (window, sum.float() / count.float()),
                _ => unreachable!("mean() keeps sums"),
            })
            .unzip();
        return Results {
            windows,
            values: Values::Float(means),
            chosen: None,
        };
    }
    let len = all.len();
    let mut results = (Vec::with_capacity(len), Vec::with_capacity(len));
    let mut chosen = (Vec::new(), Vec::new());
    for (window, state) in all {
        results.0.push(window);
        results.1.push(match state {
            State::Sum { sum, .. } => sum,
            State::Range { low, high } => high.minus(low),
            State::Chosen(point) => {
                chosen.0.push(point.time);
                chosen.1.push(point.pick);
                point.value
            }
        });
    }
    Results {
        windows: results.0,
        values: values(results.1),
        chosen: fold.is_selector().then_some(chosen),
    }
}

fn finish_chosen<T>(all: Vec<(i64, Chosen<T>)>, values: fn(Vec<T>) -> Values) -> Results {
    let mut windows = Vec::with_capacity(all.len());
    let mut kept = Vec::with_capacity(all.len());
    let mut chosen = (Vec::new(), Vec::new());
    for (window, point) in all {
        windows.push(window);
        kept.push(point.value);
        chosen.0.push(point.time);
        chosen.1.push(point.pick);
    }
    Results {
        windows,
        values: values(kept),
        chosen: Some(chosen),
    }
}
