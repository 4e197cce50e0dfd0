//! Where times are cut into windows, found once for all series that have the same times.

use std::ops::Range;

use hashbrown::HashMap;
use jiff::tz::TimeZone;
use plimsoll_engine::TimesId;

use super::Windows;

/// The times of all cuts that a thread keeps, 8 bytes each, but for the last one: those of some dozens
/// of nodes and days. When there are more, all are forgotten; a longer piece is cut by itself.
const TIMES_MAX: usize = 1 << 17;

/// Rows by window, at least one row in each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'a> {
    /// Starts of the windows, ascending.
    pub(crate) starts: &'a [i64],
    /// Behind which row each ends, counted from `row`.
    ends: &'a [usize],
    /// The last window: its first ns, and the first behind it. There is none without rows.
    pub(crate) last: (i64, i64),
    /// How many rows each window but the first and the last has, where they have as many.
    pub(crate) even: Option<usize>,
    /// The first row.
    row: usize,
}

impl Cut<'_> {
    /// How many windows there are.
    pub(crate) fn len(self) -> usize {
        self.starts.len()
    }

    /// The rows of one.
    #[inline(always)]
    pub(crate) fn rows(self, number: usize) -> Range<usize> {
        let from = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.row + from..self.row + self.ends[number]
    }
}

/// Cuts that were made before.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    /// By the first and the last of the times, and how many they are.
    known: HashMap<(i64, i64, usize), Known>,
    /// By what stands for the times: these keep none of them.
    named: HashMap<TimesId, Known>,
    times: usize,
    /// One that is not kept.
    other: Known,
}

#[derive(Debug, Default)]
struct Known {
    /// The windows' length, offset and zone.
    grid: (i64, i64, Option<TimeZone>),
    times: Vec<i64>,
    starts: Vec<i64>,
    ends: Vec<usize>,
    last: (i64, i64),
    even: Option<usize>,
}

impl Known {
    fn is_of(&self, windows: &Windows) -> bool {
        let (every, offset, zone) = &self.grid;
        (*every, *offset) == (windows.every, windows.offset) && *zone == windows.zone
    }

    fn cut(&mut self, windows: &Windows, times: &[i64]) {
        self.grid = (windows.every, windows.offset, windows.zone.clone());
        self.starts.clear();
        self.ends.clear();
        windows.runs_in(times, 0..times.len(), |window, run| {
            self.starts.push(window.0);
            self.ends.push(run.end);
            self.last = window;
        });
        let between = self.ends.len().saturating_sub(1);
        let mut steps = self.ends[..between].windows(2).map(|two| two[1] - two[0]);
        self.even = steps
            .next()
            .filter(|first| steps.all(|step| step == *first));
    }

    fn keep(&mut self, windows: &Windows, times: &[i64]) {
        self.cut(windows, times);
        self.times.clear();
        self.times.extend_from_slice(times);
    }

    fn as_cut(&self, row: usize) -> Cut<'_> {
        Cut {
            starts: &self.starts,
            ends: &self.ends,
            last: self.last,
            even: self.even,
            row,
        }
    }
}

impl Cuts {
    /// Cuts ascending `times`, of which the first is that of `row`.
    pub(crate) fn of(&mut self, windows: &Windows, times: &[i64], row: usize) -> Cut<'_> {
        let ends = times.first().zip(times.last());
        let Some((first, last)) = ends.filter(|_| windows.is_grouped() && times.len() <= TIMES_MAX)
        else {
            self.other.cut(windows, times);
            return self.other.as_cut(row);
        };
        self.forget();
        let known = self.known.entry((*first, *last, times.len()));
        let known = known.or_insert_with(|| {
            self.times += times.len();
            Known::default()
        });
        if !known.is_of(windows) || known.times != times {
            known.keep(windows, times);
        }
        known.as_cut(row)
    }

    /// As [`Self::of`], of times that `id` stands for, which start at row 0.
    pub(crate) fn of_named(&mut self, windows: &Windows, id: TimesId, times: &[i64]) -> Cut<'_> {
        if !windows.is_grouped() || times.len() > TIMES_MAX {
            return self.of(windows, times, 0);
        }
        self.forget();
        let known = self.named.entry(id).or_insert_with(|| {
            self.times += times.len();
            Known::default()
        });
        if !known.is_of(windows) {
            known.cut(windows, times);
        }
        known.as_cut(0)
    }

    /// Forgets all where there are too many.
    fn forget(&mut self) {
        if self.times > TIMES_MAX {
            self.known.clear();
            self.named.clear();
            self.times = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn windows(every: i64, offset: i64, zone: Option<&str>) -> Windows {
        Windows {
            every,
            offset,
            start: 0,
            end: 1_000_000,
            zone: zone.map(|name| TimeZone::get(name).unwrap()),
        }
    }

    /// Each window and its rows.
    fn cut(cuts: &mut Cuts, windows: &Windows, times: &[i64]) -> Vec<(i64, Range<usize>)> {
        let cut = cuts.of(windows, times, 5);
        if let Some(even) = cut.even {
            assert!((1..cut.len() - 1).all(|at| cut.rows(at).len() == even));
        }
        (0..cut.len())
            .map(|at| (cut.starts[at], cut.rows(at)))
            .collect()
    }

    proptest! {
        #[test]
        fn a_cut_that_is_known_is_that_of_its_times_and_windows(
            asked in prop::collection::vec((0_usize..12, 0_i64..4, 0_i64..2, any::<bool>()), 1..60),
        ) {
            let mut cuts = Cuts::default();
            for (number, every, offset, is_there) in asked {
                let zone = is_there.then_some("Europe/Berlin");
                let windows = windows(every * 3, offset, zone);
                // Series of one length, and some that begin and end alike.
                let step = i64::try_from(number).unwrap() / 2;
                let times: Vec<i64> = (0..10)
                    .map(|at| at * 7 + if (3..6).contains(&at) { step } else { 0 })
                    .take(10 - number % 2)
                    .collect();
                let mut expected = Vec::new();
                windows.runs(&times, |start, run| expected.push((start, run.start + 5..run.end + 5)));
                prop_assert_eq!(cut(&mut cuts, &windows, &times), expected);
            }
        }
    }

    #[test]
    fn windows_of_as_many_rows_are_even() {
        let mut cuts = Cuts::default();
        let windows = windows(60, 0, None);
        let mut even = |times: &[i64]| cuts.of(&windows, times, 0).even;
        let times: Vec<i64> = (4..33).map(|at| at * 10).collect();
        assert_eq!(even(&times), Some(6));
        assert_eq!(even(&times[1..]), Some(6));
        assert_eq!(even(&times[..13]), Some(6));
        assert_eq!(even(&[&times[..9], &times[10..]].concat()), None);
        assert_eq!(
            even(&times[..4]),
            None,
            "nothing between the first and the last"
        );
    }

    #[test]
    fn without_rows_there_are_no_windows() {
        for every in [0, 10] {
            let mut cuts = Cuts::default();
            assert_eq!(cut(&mut cuts, &windows(every, 0, None), &[]), []);
            assert_eq!(cut(&mut cuts, &windows(every, 0, None), &[3]).len(), 1);
            assert_eq!(cut(&mut cuts, &windows(every, 0, None), &[]), []);
        }
    }
}
