//! What replay has defined and not entered into the index yet: that is done for all shards at once,
//! in order of the tag sets' numbers, so that threads do not wait for the index and postings grow
//! at their ends.

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use crate::model::TagSet;

use super::Generation;

/// Definitions of one shard.
#[derive(Debug, Default)]
pub(super) struct Unindexed {
    pub(super) tag_sets: Vec<(u32, TagSet)>,
    /// Tag sets by the columns that they have got: most have got the same.
    series: HashMap<Box<[u32]>, RoaringBitmap>,
}

impl Unindexed {
    /// Takes columns of a tag set.
    pub(super) fn series(&mut self, tag_set: u32, columns: &[u32]) {
        match self.series.get_mut(columns) {
            Some(tag_sets) => {
                tag_sets.insert(tag_set);
            }
            None => {
                let tag_sets = RoaringBitmap::from_iter([tag_set]);
                self.series.insert(columns.into(), tag_sets);
            }
        }
    }

    /// Takes up what another shard has.
    fn append(&mut self, other: &mut Self) {
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
        all.tag_sets.sort_unstable_by_key(|(id, _)| *id);
        generation.index_many_tag_sets(&all.tag_sets);
        let by_column = all
            .series
            .iter()
            .flat_map(|(columns, tag_sets)| columns.iter().map(move |column| (*column, tag_sets)));
        generation.index_many(by_column);
    }
}
