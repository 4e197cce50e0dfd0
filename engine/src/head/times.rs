//! The times of a column that is being read: of most columns those of one before, which are looked at
//! instead of being written again.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use hashbrown::HashMap;

use crate::model::TimesId;

/// The times of all columns that are looked at, up to 16 bytes each: those of some dozens of nodes and
/// days. When there are more, all are forgotten.
const KNOWN_TIMES_MAX: usize = 1 << 17;
/// A column counts as so many times more.
const COLUMN_TIMES: usize = 16;

/// Times that ascend are the same as others where the first of each, their count and this are:
/// 64 bits of each time, added up, which nobody who chooses the times can know before.
pub(super) fn digest(times: &[i64]) -> u64 {
    times
        .iter()
        .fold(0, |sum, time| sum.wrapping_add(mixed(*time)))
}

/// Source: the finaliser of splitmix64, Steele, Lea and Flood 2014; the start differs by process.
#[inline]
fn mixed(time: i64) -> u64 {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    let bits = time.cast_unsigned().wrapping_add(*START);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ReadTimes {
    /// The column that is being read.
    now: Known,
    /// So many of its times were read.
    len: usize,
    /// Others by their first times.
    others: HashMap<i64, Known>,
    /// What those count as together.
    others_times: usize,
}

/// The times of a column, or of the one before that began alike.
#[derive(Debug, Default)]
struct Known {
    all: Vec<i64>,
    /// Digests of the first ones: of none, of one, and so on, as far as they were asked for.
    sums: Vec<u64>,
    /// Stands for all of them, once that was asked for.
    id: Option<TimesId>,
}

impl Known {
    /// What it counts as.
    fn times(&self) -> usize {
        self.all.len() + COLUMN_TIMES
    }

    /// Keeps the first ones only: others follow.
    fn cut(&mut self, len: usize) {
        self.id = None;
        self.all.truncate(len);
        self.sums.truncate(len + 1);
    }

    /// Whether those from a place on are `count` with this digest.
    fn has(&mut self, from: usize, first: i64, count: usize, digest: u64) -> bool {
        let end = from + count;
        if end > self.all.len() || self.all[from] != first {
            return false;
        }
        if self.sums.is_empty() {
            self.sums.push(0);
        }
        for at in self.sums.len()..=end {
            let more = mixed(self.all[at - 1]);
            self.sums.push(self.sums[at - 1].wrapping_add(more));
        }
        self.sums[end].wrapping_sub(self.sums[from]) == digest
    }
}

impl ReadTimes {
    /// Begins a column.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_slice(&self) -> &[i64] {
        &self.now.all[..self.len]
    }

    /// Stands for them, where they are all that is known of the column before, too.
    pub(crate) fn id(&mut self) -> Option<TimesId> {
        let is_all = self.len == self.now.all.len();
        is_all.then(|| *self.now.id.get_or_insert_with(TimesId::new))
    }

    pub(crate) fn into_vec(mut self) -> Vec<i64> {
        self.now.cut(self.len);
        self.now.all
    }

    /// Takes the column before that began with this time, where this is the first one.
    #[inline]
    fn begin(&mut self, first: i64) {
        if self.len == 0 && self.now.all.first() != Some(&first) {
            self.exchange(first);
        }
    }

    fn exchange(&mut self, first: i64) {
        let known = self.others.remove(&first);
        self.others_times -= known.as_ref().map_or(0, Known::times);
        let before = std::mem::replace(&mut self.now, known.unwrap_or_default());
        let Some(first) = before.all.first() else {
            return;
        };
        if self.others_times + before.times() > KNOWN_TIMES_MAX {
            self.others.clear();
            self.others_times = 0;
        }
        if before.times() <= KNOWN_TIMES_MAX {
            self.others_times += before.times();
            if let Some(other) = self.others.insert(*first, before) {
                self.others_times -= other.times();
            }
        }
    }

    /// Appends one.
    #[inline]
    pub(crate) fn push(&mut self, time: i64) {
        self.begin(time);
        if self.now.all.get(self.len) != Some(&time) {
            self.now.cut(self.len);
            self.now.all.push(time);
        }
        self.len += 1;
    }

    /// Appends some.
    pub(crate) fn extend_from_slice(&mut self, times: &[i64]) {
        let Some(first) = times.first() else {
            return;
        };
        self.begin(*first);
        if !self.now.all[self.len..].starts_with(times) {
            self.now.cut(self.len);
            self.now.all.extend_from_slice(times);
        }
        self.len += times.len();
    }

    /// Appends `count` times, at least one, of this [`digest`]; `write` appends them where they
    /// are not there already.
    pub(super) fn extend_with(
        &mut self,
        first: i64,
        count: usize,
        digest: u64,
        write: impl FnOnce(&mut Vec<i64>),
    ) {
        self.begin(first);
        if !self.now.has(self.len, first, count, digest) {
            self.now.cut(self.len);
            write(&mut self.now.all);
        }
        self.len += count;
    }
}

impl From<Vec<i64>> for ReadTimes {
    fn from(times: Vec<i64>) -> Self {
        Self {
            len: times.len(),
            now: Known {
                all: times,
                ..Known::default()
            },
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    enum Way {
        OneByOne,
        Together,
        Chunk,
    }

    /// How times are appended, and how far each lies behind the one before: few ways, so that
    /// columns are often alike.
    fn part() -> impl Strategy<Value = (Way, Vec<i64>)> {
        let way = prop_oneof![Just(Way::OneByOne), Just(Way::Together), Just(Way::Chunk)];
        (way, prop::collection::vec(1_i64..3, 1..4))
    }

    proptest! {
        #[test]
        fn a_column_is_what_was_appended_whatever_was_read_before(
            columns in prop::collection::vec(prop::collection::vec(part(), 0..5), 1..30),
        ) {
            let mut times = ReadTimes::default();
            let mut named: HashMap<TimesId, Vec<i64>> = HashMap::new();
            for column in columns {
                times.clear();
                let mut expected: Vec<i64> = Vec::new();
                for (way, steps) in column {
                    let last = expected.last().copied().unwrap_or(0);
                    let some: Vec<i64> = steps
                        .iter()
                        .scan(last, |time, step| {
                            *time += step;
                            Some(*time)
                        })
                        .collect();
                    match way {
                        Way::OneByOne => some.iter().for_each(|time| times.push(*time)),
                        Way::Together => times.extend_from_slice(&some),
                        Way::Chunk => {
                            let write = |out: &mut Vec<i64>| out.extend_from_slice(&some);
                            times.extend_with(some[0], some.len(), digest(&some), write);
                        }
                    }
                    expected.extend(some);
                }
                prop_assert_eq!(times.as_slice(), &expected);
                prop_assert_eq!(times.len(), expected.len());
                if let Some(id) = times.id() {
                    let before = named.entry(id).or_insert_with(|| expected.clone());
                    prop_assert_eq!(&*before, &expected, "an id stands for what it stood for");
                }
            }
        }
    }

    #[test]
    fn columns_that_are_kept_are_counted() {
        let mut times = ReadTimes::default();
        for round in 0..3 {
            for first in 0..5000 {
                times.clear();
                let all: Vec<i64> = (first..first + 40 + round).collect();
                times.extend_from_slice(&all);
                assert_eq!(times.as_slice(), all);
                let kept: usize = times.others.values().map(Known::times).sum();
                assert_eq!(times.others_times, kept);
                assert!(kept <= KNOWN_TIMES_MAX);
            }
        }
        assert!(times.others.len() > 1000);
    }

    #[test]
    fn times_that_are_known_are_not_written_again() {
        let all: Vec<i64> = (0..10).map(|at| at * 7 + at % 3).collect();
        let mut times = ReadTimes::default();
        times.extend_from_slice(&all);
        for cut in 1..9 {
            times.clear();
            for some in [&all[..cut], &all[cut..]] {
                times.extend_with(some[0], some.len(), digest(some), |_| {
                    panic!("they are there")
                });
            }
            assert_eq!(times.as_slice(), all);
        }
    }
}
