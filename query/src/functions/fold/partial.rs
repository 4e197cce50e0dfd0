//! Results by window, ascending, and how those of one series join them.

use std::ops::Range;

use crate::exec::window::cuts::Cut;

/// A series that comes in more pieces takes its room in several steps.
const PIECES_EXPECTED: usize = 8;

/// Results by window, and the window that the current series is in.
#[derive(Debug)]
pub(crate) struct Partial<S> {
    /// Starts of windows, ascending.
    pub(super) windows: Vec<i64>,
    /// What each came to so far.
    pub(super) states: Vec<S>,
    /// Windows that were not there when the current series came to them, and later ones are.
    new: Vec<(i64, S)>,
    /// Where the current series is in `windows`.
    at: usize,
    /// How many windows there may be, at most.
    expected: usize,
    pub(super) open: Option<((i64, i64), S)>,
}

impl<S> Partial<S> {
    /// Nothing yet of at most so many windows.
    pub(super) fn new(expected: usize) -> Self {
        Self {
            windows: Vec::new(),
            states: Vec::new(),
            new: Vec::new(),
            at: 0,
            expected,
            open: None,
        }
    }

    /// The window that the current series is in.
    pub(super) fn window(&self) -> Option<(i64, i64)> {
        self.open.as_ref().map(|(window, _)| *window)
    }

    /// Ends the current series' window.
    fn close(&mut self, join: impl Fn(&mut S, S)) {
        if let Some(((start, _), state)) = self.open.take() {
            self.put(start, state, join);
        }
    }

    /// Goes on to the first window that is not before this one.
    #[inline]
    fn skip_to(&mut self, window: i64) {
        while self.at < self.windows.len() && self.windows[self.at] < window {
            self.at += 1;
        }
    }

    /// Adds a result of the current series, which is behind all of its others.
    #[inline]
    pub(super) fn put(&mut self, window: i64, state: S, join: impl Fn(&mut S, S)) {
        self.skip_to(window);
        match self.windows.get(self.at) {
            Some(there) if *there == window => join(&mut self.states[self.at], state),
            Some(_) => self.new.push((window, state)),
            None => {
                self.reserve(0);
                self.windows.push(window);
                self.states.push(state);
                self.at += 1;
            }
        }
    }

    /// Adds results of the current series, as many as `starts`, which are behind all of its others.
    /// Most series have points in the windows of those before, or are the first.
    #[inline(always)]
    pub(super) fn put_all(
        &mut self,
        starts: &[i64],
        states: impl ExactSizeIterator<Item = S>,
        join: impl Fn(&mut S, S),
    ) {
        let Some(first) = starts.first() else {
            return;
        };
        self.skip_to(*first);
        if self.at == self.windows.len() {
            self.reserve(starts.len());
            self.windows.extend_from_slice(starts);
            self.states.extend(states);
            self.at = self.windows.len();
        } else if self.windows[self.at..].starts_with(starts) {
            let here = self.states[self.at..].iter_mut();
            here.zip(states).for_each(|(here, state)| join(here, state));
            self.at += starts.len();
        } else {
            for (start, state) in starts.iter().zip(states) {
                self.put(*start, state, &join);
            }
        }
    }

    /// Makes room for results that will be put one after the other, where they are new ones.
    pub(super) fn expect_more(&mut self, more: usize) {
        if self.at == self.windows.len() {
            self.reserve(more);
        }
    }

    /// Makes room for the first windows, and for those of pieces that follow.
    fn reserve(&mut self, more: usize) {
        if self.windows.capacity() - self.windows.len() > more {
            return;
        }
        // One more is the last one, which is still open; later on, twice as many.
        let least = more + 1;
        let room = self.expected.clamp(least, least * PIECES_EXPECTED);
        let room = room.max(self.windows.len());
        self.windows.reserve_exact(room);
        self.states.reserve_exact(room);
    }

    /// Ends the current series.
    pub(super) fn end(&mut self, join: impl Fn(&mut S, S)) {
        self.close(join);
        if !self.new.is_empty() {
            let (windows, states) = (self.windows.drain(..), self.states.drain(..));
            let mut all: Vec<(i64, S)> = windows.zip(states).collect();
            all.append(&mut self.new);
            all.sort_by_key(|(window, _)| *window);
            (self.windows, self.states) = all.into_iter().unzip();
        }
        self.at = 0;
    }

    /// Merges the results of later series.
    pub(super) fn merge(&mut self, later: Self, join: impl Fn(&mut S, S)) {
        if self.windows.is_empty() {
            (self.windows, self.states) = (later.windows, later.states);
            return;
        }
        self.put_all(&later.windows, later.states.into_iter(), &join);
        self.end(join);
    }

    /// Opens the window of a run, which `first` makes a state of, or goes on in the open one.
    pub(super) fn run(
        &mut self,
        window: (i64, i64),
        first: impl FnOnce() -> S,
        more: impl FnOnce(&mut S),
        join: impl Fn(&mut S, S),
    ) {
        match &mut self.open {
            Some((open, state)) if *open == window => more(state),
            _ => {
                self.close(join);
                self.open = Some((window, first()));
            }
        }
    }

    /// Adds a piece of the current series, cut into windows. Only the last of them may go on in the
    /// next piece: what `first` makes of the others is put where it belongs at once.
    #[inline(always)]
    pub(super) fn runs(
        &mut self,
        cut: Cut<'_>,
        first: impl Fn(Range<usize>) -> S,
        more: impl Fn(&mut S, Range<usize>),
        join: impl Fn(&mut S, S),
    ) {
        let Some(between) = self.begin(cut, more, &join) else {
            return;
        };
        let states = between.clone().map(|number| first(cut.rows(number)));
        self.put_all(&cut.starts[between.clone()], states, &join);
        self.open(cut.last, first(cut.rows(between.end)));
    }

    /// Begins a piece of the current series. Answers which of its windows are neither the open one,
    /// which is done, nor the last one, which is to be opened; none where there is no more to do.
    #[inline(always)]
    pub(super) fn begin(
        &mut self,
        cut: Cut<'_>,
        more: impl Fn(&mut S, Range<usize>),
        join: impl Fn(&mut S, S),
    ) -> Option<Range<usize>> {
        let last = cut.len().checked_sub(1)?;
        let mut from = 0;
        if let Some((open, state)) = &mut self.open {
            if open.0 == cut.starts[0] {
                more(state, cut.rows(0));
                if last == 0 {
                    return None;
                }
                from = 1;
            }
            self.close(&join);
        }
        Some(from..last)
    }

    /// Opens the last window of a piece.
    pub(super) fn open(&mut self, window: (i64, i64), state: S) {
        self.open = Some((window, state));
    }
}
