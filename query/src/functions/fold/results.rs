//! What a function that folds came to, by column.

use plimsoll_engine::model::Values;

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

pub(super) fn of_plain<T>(
    all: impl IntoIterator<Item = (i64, T)>,
    values: fn(Vec<T>) -> Values,
) -> Results {
    let (times, results) = all.into_iter().unzip();
    Results {
        times,
        values: values(results),
        picks: Vec::new(),
    }
}

pub(super) fn of_numbers<T: Number>(
    all: Vec<(i64, State<T>)>,
    fold: Fold,
    values: fn(Vec<T>) -> Values,
    beside: Beside,
) -> Results {
    if fold == Fold::Mean {
        let means = all.into_iter().map(|(window, state)| match state {
            State::Sum { sum, count } => (window, sum.float() / count.float()),
            _ => unreachable!("mean() keeps sums"),
        });
        return of_plain(means, Values::Float);
    }
    let mut rest = Rest::new(all.len(), beside);
    let mut results = Vec::with_capacity(all.len());
    for (window, state) in all {
        results.push(match state {
            State::Sum { sum, .. } => rest.sum(window, sum),
            State::Range { low, high } => rest.sum(window, high.minus(low)),
            State::Chosen(point) => rest.point(window, point),
        });
    }
    rest.results(values(results))
}

pub(super) fn of_chosen<T>(
    all: Vec<(i64, Chosen<T>)>,
    values: fn(Vec<T>) -> Values,
    beside: Beside,
) -> Results {
    let mut rest = Rest::new(all.len(), beside);
    let points = all.into_iter();
    let points = points.map(|(window, point)| rest.point(window, point));
    let points = points.collect();
    rest.results(values(points))
}

/// What goes with the values of results.
struct Rest {
    beside: Beside,
    times: Vec<i64>,
    picks: Vec<Pick>,
}

impl Rest {
    fn new(len: usize, beside: Beside) -> Self {
        let picks = match beside.picks {
            Picks::Wanted => Vec::with_capacity(len),
            Picks::Unwanted => Vec::new(),
        };
        Self {
            beside,
            times: Vec::with_capacity(len),
            picks,
        }
    }

    fn sum<T>(&mut self, window: i64, value: T) -> T {
        self.times.push(window);
        value
    }

    fn point<T>(&mut self, window: i64, point: Chosen<T>) -> T {
        self.times.push(match self.beside.times {
            Times::Windows => window,
            Times::Points => point.time,
        });
        if self.beside.picks == Picks::Wanted {
            self.picks.push(point.pick);
        }
        point.value
    }

    fn results(self, values: Values) -> Results {
        Results {
            times: self.times,
            values,
            picks: self.picks,
        }
    }
}
