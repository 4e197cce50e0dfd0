//! What is defined and not entered into the index yet: that is done for many at once, in order of
//! the tag sets' numbers, so that threads do not wait for the index and postings grow at their ends.

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use crate::model::TagSet;

use super::Generation;

/// Definitions of one shard.
#[derive(Debug, Default)]
pub(super) struct Unindexed {
    pub(super) tag_sets: Vec<(u32, TagSet)>,
    /// Tag sets by the columns that they have got: most have got the same.
    pub(super) series: HashMap<Box<[u32]>, RoaringBitmap>,
}

impl Unindexed {
    /// Takes columns of a tag set; answers whether they are new here.
    pub(super) fn series(&mut self, tag_set: u32, columns: &[u32]) -> bool {
        match self.series.get_mut(columns) {
            Some(tag_sets) => tag_sets.insert(tag_set),
            None => {
                let tag_sets = RoaringBitmap::from_iter([tag_set]);
                self.series.insert(columns.into(), tag_sets);
                true
            }
        }
    }

    /// Takes out its series and at most `max` of its tag sets, the newest.
    pub(super) fn take(&mut self, max: usize) -> Self {
        let from = self.tag_sets.len().saturating_sub(max);
        Self {
            tag_sets: self.tag_sets.split_off(from),
            series: std::mem::take(&mut self.series),
        }
    }

    /// How many tag sets there are, and how many series of tag sets by column lists.
    pub(super) fn count(&self) -> usize {
        let series: u64 = self.series.values().map(RoaringBitmap::len).sum();
        self.tag_sets.len() + usize::try_from(series).unwrap_or(usize::MAX)
    }

    /// Takes up what another shard has.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.tag_sets.append(&mut other.tag_sets);
        for (columns, tag_sets) in other.series.drain() {
            *self.series.entry(columns).or_default() |= tag_sets;
        }
    }

    /// Enters what all shards have into the index.
    pub(super) fn index<'a>(shards: impl Iterator<Item = &'a mut Self>, generation: &Generation) {
        let mut all = Self::default();
        for shard in shards {
            all.append(shard);
        }
        generation.enter(all);
    }

    /// Puts its tag sets in order of their numbers.
    pub(super) fn sort(&mut self) {
        self.tag_sets.sort_unstable_by_key(|(id, _)| *id);
    }
}
