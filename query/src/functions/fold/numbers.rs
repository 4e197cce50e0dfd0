//! Folds numbers: points of a window, and summaries of blocks.

use std::ops::Range;

use plimsoll_engine::Timestamp;
use plimsoll_engine::segment::{BlockRef, IntegerSummary};

use super::partial::Partial;
use super::{Answers, Chosen, Pick, State, choose, keep_better};
use crate::exec::window::Windows;
use crate::exec::window::cuts::Cut;
use crate::functions::{Fold, Number};

pub(super) fn add_numbers<T: Number>(
    partial: &mut Partial<State<T>>,
    fold: Fold,
    cut: Cut<'_>,
    times: &[i64],
    values: &[T],
    pick: impl Fn(usize) -> Pick,
) {
    // One loop a function: what it does with a run is known where the loop is compiled.
    match fold {
        Fold::Sum | Fold::Mean | Fold::Count => partial.runs(
            cut,
            |run| State::Sum {
                count: run.len() as u64,
                sum: sum(T::ZERO, &values[run]),
            },
            |state, run| {
                if let State::Sum { sum: so_far, count } = state {
                    // On and on in order of time: a float's sum does not depend on the pieces.
                    *count += run.len() as u64;
                    *so_far = sum(*so_far, &values[run]);
                }
            },
            |a, b| a.merge(Fold::Sum, b),
        ),
        Fold::Spread => partial.runs(
            cut,
            |run| range((T::HIGHEST, T::LOWEST), &values[run]),
            |state, run| {
                if let State::Range { low, high } = *state {
                    *state = range((low, high), &values[run]);
                }
            },
            |a, b| a.merge(Fold::Spread, b),
        ),
        Fold::Min => add_extremes(partial, fold, cut, times, values, pick, |value, best| {
            value < best
        }),
        Fold::Max => add_extremes(partial, fold, cut, times, values, pick, |value, best| {
            value > best
        }),
        Fold::First | Fold::Last => partial.runs(
            cut,
            |run| State::Chosen(choose(fold, times, values, run, &pick, T::order)),
            |state, run| {
                if let State::Chosen(best) = state {
                    let later = choose(fold, times, values, run, &pick, T::order);
                    keep_better(fold, best, later, T::order);
                }
            },
            |a, b| a.merge(fold, b),
        ),
    }
}

/// min() and max(): `is_better` is known where the loop is compiled.
#[inline(always)]
fn add_extremes<T: Number>(
    partial: &mut Partial<State<T>>,
    fold: Fold,
    cut: Cut<'_>,
    times: &[i64],
    values: &[T],
    pick: impl Fn(usize) -> Pick,
    is_better: impl Fn(T, T) -> bool + Copy,
) {
    partial.runs(
        cut,
        |run| extreme(times, values, run, &pick, is_better),
        |state, run| {
            if let State::Chosen(best) = state {
                improve(best, times, values, run, &pick, is_better);
            }
        },
        |a, b| a.merge(fold, b),
    );
}

/// sum(), and min() and max() of numbers of which equal ones are the same: of no point more than
/// its value is kept.
pub(super) fn add_plain<T: Number>(
    partial: &mut Partial<T>,
    fold: Fold,
    cut: Cut<'_>,
    values: &[T],
) {
    // One loop a function, as above.
    match fold {
        Fold::Min => add_joined(partial, cut, values, |first| first, least::<T>),
        Fold::Max => add_joined(partial, cut, values, |first| first, most::<T>),
        // On and on in order of time: a float's sum does not depend on the pieces.
        _ => add_joined(partial, cut, values, |_| T::ZERO, T::plus),
    }
}

/// Adds what `join` makes of the values of each window, beginning with what `start` makes of the
/// first one.
#[inline(always)]
fn add_joined<T: Number>(
    partial: &mut Partial<T>,
    cut: Cut<'_>,
    values: &[T],
    start: impl Fn(T) -> T + Copy,
    join: impl Fn(T, T) -> T + Copy,
) {
    let first = |rows: Range<usize>| joined(start, &values[rows], join);
    let more = |so_far: &mut T, rows: Range<usize>| {
        *so_far = values[rows].iter().fold(*so_far, |a, b| join(a, *b))
    };
    let both = |here: &mut T, there| *here = join(*here, there);
    let Some(Range {
        start: mut from,
        end: last,
    }) = partial.begin(cut, more, both)
    else {
        return;
    };
    let even = cut.even.filter(|_| from < last);
    if from == 0 && even.is_some_and(|even| cut.rows(0).len() != even) {
        partial.expect_more(last - from);
        partial.put(cut.starts[0], first(cut.rows(0)), both);
        from = 1;
    }
    let starts = &cut.starts[from..last];
    // Points at one interval: a window's values are an array, which takes no loop.
    macro_rules! put_even {
        ($($len:literal)*) => {
            match even.filter(|_| from < last) {
                $(Some($len) => {
                    let rows = cut.rows(from).start..cut.rows(last).start;
                    let (windows, _) = values[rows].as_chunks::<$len>();
                    let states = windows.iter().map(|window| joined(start, window, join));
                    partial.put_all(starts, states, both);
                })*
                _ => {
                    let states = (from..last).map(|number| first(cut.rows(number)));
                    partial.put_all(starts, states, both);
                }
            }
        };
    }
    put_even!(1 2 3 4 5 6 10 12);
    partial.open(cut.last, first(cut.rows(last)));
}

/// As [`add_plain`], of windows of one value each.
pub(super) fn add_single<T: Number>(
    partial: &mut Partial<T>,
    fold: Fold,
    starts: &[i64],
    values: &[T],
) {
    let values = values.iter();
    match fold {
        Fold::Min => partial.put_all(starts, values.copied(), |a, b| *a = least(*a, b)),
        Fold::Max => partial.put_all(starts, values.copied(), |a, b| *a = most(*a, b)),
        _ => {
            // A zero below zero becomes one above it, as in every sum.
            let values = values.map(|value| T::ZERO.plus(*value));
            partial.put_all(starts, values, |a, b| *a = a.plus(b));
        }
    }
}

#[inline(always)]
fn joined<T: Number>(start: impl Fn(T) -> T, values: &[T], join: impl Fn(T, T) -> T) -> T {
    let from = start(values[0]);
    values
        .iter()
        .fold(from, |so_far, value| join(so_far, *value))
}

/// Joins what [`add_plain`] keeps of several series.
pub(super) fn join_plain<T: Number>(fold: Fold, here: &mut T, there: T) {
    *here = match fold {
        Fold::Min => least(*here, there),
        Fold::Max => most(*here, there),
        _ => here.plus(there),
    };
}

#[inline(always)]
fn least<T: Number>(a: T, b: T) -> T {
    if b < a { b } else { a }
}

#[inline(always)]
fn most<T: Number>(a: T, b: T) -> T {
    if b > a { b } else { a }
}

/// What is known of a block.
pub(super) struct Known<T> {
    pub(super) first: T,
    pub(super) last: T,
    pub(super) min: T,
    pub(super) max: T,
    /// None of floats: their sum depends on the order.
    pub(super) sum: Option<T>,
}

impl<T: Copy> Known<T> {
    pub(super) fn of(summary: &IntegerSummary<T>) -> Self {
        Self {
            first: summary.first,
            last: summary.last,
            min: summary.min,
            max: summary.max,
            sum: Some(summary.sum),
        }
    }
}

pub(super) fn add_summary<T: Number>(
    partial: &mut Partial<State<T>>,
    fold: Fold,
    windows: &Windows,
    origin: u32,
    block: &BlockRef,
    known: Known<T>,
    answers: Answers,
) -> bool {
    let Some(window) = window_around(partial.window(), windows, block) else {
        return false;
    };
    let open = match &partial.open {
        Some((open, state)) if *open == window => Some(state),
        _ => None,
    };
    let at = |time: Timestamp, value: T| {
        State::Chosen(Chosen {
            time: time.0,
            value,
            pick: Pick { origin, row: 0 },
        })
    };
    let state = match fold {
        Fold::Count | Fold::Sum | Fold::Mean => match known.sum {
            Some(sum) => State::Sum {
                sum,
                count: u64::from(block.count),
            },
            None => return false,
        },
        Fold::Spread => State::Range {
            low: known.min,
            high: known.max,
        },
        Fold::First => at(block.first, known.first),
        Fold::Last => at(block.last, known.last),
        Fold::Min | Fold::Max => {
            let (value, is_better): (T, fn(&T, &T) -> bool) = match fold {
                Fold::Min => (known.min, |a, b| a < b),
                _ => (known.max, |a, b| a > b),
            };
            if let Some(State::Chosen(best)) = open
                && !is_better(&value, &best.value)
            {
                return true;
            }
            // Zeros of either sign are equal, so that it is their time which decides.
            if answers == Answers::Times || value == T::ZERO {
                return false;
            }
            at(block.first, value)
        }
    };
    partial.run(
        window,
        || state,
        |open| match (open, state) {
            (State::Chosen(best), State::Chosen(later)) if fold != Fold::First => *best = later,
            (State::Chosen(_), _) => {}
            (open, state) => open.merge(fold, state),
        },
        |a, b| a.merge(fold, b),
    );
    true
}

/// The window that holds a block as a whole.
pub(super) fn window_around(
    before: Option<(i64, i64)>,
    windows: &Windows,
    block: &BlockRef,
) -> Option<(i64, i64)> {
    let window = windows.window_of(before, block.first.0);
    (block.last.0 < window.1).then_some(window)
}

/// Takes a better point of a later run.
fn improve<T: Number>(
    best: &mut Chosen<T>,
    times: &[i64],
    values: &[T],
    run: Range<usize>,
    pick: &impl Fn(usize) -> Pick,
    is_better: impl Fn(T, T) -> bool,
) {
    let (at, value) = best_of(best.value, values, run, is_better);
    if let Some(at) = at {
        *best = Chosen {
            time: times[at],
            value,
            pick: pick(at),
        };
    }
}

/// The first of the points that no other is better than.
fn extreme<T: Number>(
    times: &[i64],
    values: &[T],
    run: Range<usize>,
    pick: &impl Fn(usize) -> Pick,
    is_better: impl Fn(T, T) -> bool,
) -> State<T> {
    let first = run.start;
    let (at, value) = best_of(values[first], values, run, is_better);
    let at = at.unwrap_or(first);
    State::Chosen(Chosen {
        time: times[at],
        value,
        pick: pick(at),
    })
}

/// The best of the values of a run and one before them, and the place of the first such: none
/// where that one is. The value is found first, which takes no jumps.
#[inline]
fn best_of<T: Number>(
    before: T,
    values: &[T],
    run: Range<usize>,
    is_better: impl Fn(T, T) -> bool,
) -> (Option<usize>, T) {
    let some = &values[run.clone()];
    let better = |best, value: &T| {
        if is_better(*value, best) {
            *value
        } else {
            best
        }
    };
    let best = some.iter().fold(before, better);
    if !is_better(best, before) {
        return (None, before);
    }
    let at = some.iter().position(|value| *value == best);
    (at.map(|at| run.start + at), best)
}

fn range<T: Number>(start: (T, T), values: &[T]) -> State<T> {
    let (low, high) = values.iter().fold(start, |(low, high), value| {
        (
            if *value < low { *value } else { low },
            if *value > high { *value } else { high },
        )
    });
    State::Range { low, high }
}

#[inline]
fn sum<T: Number>(start: T, values: &[T]) -> T {
    values.iter().fold(start, |sum, value| sum.plus(*value))
}
