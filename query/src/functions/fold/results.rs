//! What a function that folds came to, by column.

use plimsoll_engine::model::Values;

use super::partial::Partial;
use super::{Chosen, Pick, State};
use crate::functions::{Fold, Number};

/// What came out, ascending by window.
#[derive(Debug)]
pub(crate) struct Results {
    /// Each window's start, or when its point is.
    pub(crate) times: Vec<i64>,
    /// Its value.
    pub(crate) values: Values,
    /// Where its point stands, if that is asked for and it is one.
    pub(crate) picks: Vec<Pick>,
}

/// What is asked for beside the values of [`Results`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beside {
    /// Which times.
    pub(crate) times: Times,
    /// Whether picks.
    pub(crate) picks: Picks,
}

/// The times of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// Starts of windows.
    Windows,
    /// Those of a selector's points.
    Points,
}

/// Whether a selector's points are found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Picks {
    /// They are.
    Wanted,
    /// They are not.
    Unwanted,
}

pub(super) fn of_plain<T>(partial: Partial<T>, values: fn(Vec<T>) -> Values) -> Results {
    of_windows(partial.windows, values(partial.states))
}

fn of_windows(windows: Vec<i64>, values: Values) -> Results {
    Results {
        times: windows,
        values,
        picks: Vec::new(),
    }
}

pub(super) fn of_numbers<T: Number>(
    partial: Partial<State<T>>,
    fold: Fold,
    values: fn(Vec<T>) -> Values,
    beside: Beside,
) -> Results {
    let Partial {
        windows, states, ..
    } = partial;
    match fold {
        Fold::Mean => {
            let means = states.into_iter().map(|state| match state {
                State::Sum { sum, count } => sum.float() / count.float(),
                _ => unreachable!("mean() keeps sums"),
            });
            of_windows(windows, Values::Float(means.collect()))
        }
        Fold::Sum | Fold::Count | Fold::Spread => {
            let results = states.into_iter().map(|state| match state {
                State::Sum { sum, .. } => sum,
                State::Range { low, high } => high.minus(low),
                State::Chosen(_) => unreachable!("only selectors choose"),
            });
            of_windows(windows, values(results.collect()))
        }
        Fold::Min | Fold::Max | Fold::First | Fold::Last => {
            let points = states.into_iter().map(|state| match state {
                State::Chosen(point) => point,
                _ => unreachable!("selectors choose"),
            });
            of_points(windows, points, values, beside)
        }
    }
}

pub(super) fn of_chosen<T>(
    partial: Partial<Chosen<T>>,
    values: fn(Vec<T>) -> Values,
    beside: Beside,
) -> Results {
    of_points(partial.windows, partial.states.into_iter(), values, beside)
}

fn of_points<T>(
    mut windows: Vec<i64>,
    points: impl Iterator<Item = Chosen<T>>,
    values: fn(Vec<T>) -> Values,
    beside: Beside,
) -> Results {
    let mut picks = Vec::new();
    let points = points.zip(&mut windows).map(|(point, time)| {
        if beside.times == Times::Points {
            *time = point.time;
        }
        if beside.picks == Picks::Wanted {
            picks.push(point.pick);
        }
        point.value
    });
    let values = values(points.collect());
    Results {
        times: windows,
        values,
        picks,
    }
}
