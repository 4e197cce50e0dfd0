//! Results by window, ascending, and how those of one series join them.

use std::ops::Range;

use crate::exec::window::Windows;

/// Results by window, and the window that the current series is in.
#[derive(Debug)]
pub(crate) struct Partial<S> {
    pub(super) all: Vec<(i64, S)>,
    /// Windows that were not there when the current series came to them, and later ones are.
    new: Vec<(i64, S)>,
    /// Where the current series is in `all`.
    at: usize,
    pub(super) open: Option<((i64, i64), S)>,
}

impl<S> Default for Partial<S> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            new: Vec::new(),
            at: 0,
            open: None,
        }
    }
}

impl<S> Partial<S> {
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

    /// Adds a result of the current series, which is behind all of its others.
    #[inline]
    fn put(&mut self, window: i64, state: S, join: impl Fn(&mut S, S)) {
        while self.at < self.all.len() && self.all[self.at].0 < window {
            self.at += 1;
        }
        match self.all.get_mut(self.at) {
            Some((there, here)) if *there == window => join(here, state),
            Some(_) => self.new.push((window, state)),
            None => {
                self.all.push((window, state));
                self.at += 1;
            }
        }
    }

    /// Ends the current series.
    pub(super) fn end(&mut self, join: impl Fn(&mut S, S)) {
        self.close(join);
        if !self.new.is_empty() {
            self.all.append(&mut self.new);
            self.all.sort_by_key(|(window, _)| *window);
        }
        self.at = 0;
    }

    /// Merges the results of later series.
    pub(super) fn merge(&mut self, later: Self, join: impl Fn(&mut S, S)) {
        if self.all.is_empty() {
            self.all = later.all;
            return;
        }
        for (window, state) in later.all {
            self.put(window, state, &join);
        }
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

    /// Of a series with one point in each window that is there, at its start (as those of a
    /// subquery are), joins all but the last; answers which rows are left.
    #[inline(always)]
    fn put_aligned(
        &mut self,
        windows: &Windows,
        times: &[i64],
        rows: Range<usize>,
        first: impl Fn(Range<usize>) -> S,
        join: impl Fn(&mut S, S),
    ) -> Range<usize> {
        let starts = self.all.iter().map(|(start, _)| start);
        let is_aligned = windows.is_grouped()
            && self.open.is_none()
            && self.at == 0
            && rows.len() == self.all.len()
            && starts.eq(&times[rows.clone()]);
        if !is_aligned || rows.is_empty() {
            return rows;
        }
        let last = rows.end - 1;
        for (row, (_, here)) in (rows.start..last).zip(&mut self.all) {
            join(here, first(row..row + 1));
        }
        self.at = self.all.len() - 1;
        last..rows.end
    }

    /// Adds the runs of a piece of the current series. Only the last of them may go on in the next
    /// piece: what `first` makes of the others is put where it belongs at once.
    #[inline(always)]
    pub(super) fn runs(
        &mut self,
        windows: &Windows,
        times: &[i64],
        rows: Range<usize>,
        first: impl Fn(Range<usize>) -> S,
        more: impl Fn(&mut S, Range<usize>),
        join: impl Fn(&mut S, S),
    ) {
        if self.all.is_empty() {
            // Each row may be in a window of its own.
            let most = windows
                .count()
                .map_or(1, |count| count.min(rows.len() as u64));
            self.all.reserve(usize::try_from(most).unwrap_or(1));
        }
        let rows = self.put_aligned(windows, times, rows, &first, &join);
        let end = rows.end;
        windows.runs_behind(self.window(), times, rows, |window, run| {
            if let Some((open, state)) = &mut self.open {
                if *open == window {
                    return more(state, run);
                }
                self.close(&join);
            }
            if run.end == end {
                self.open = Some((window, first(run)));
            } else {
                self.put(window.0, first(run), &join);
            }
        });
    }
}
