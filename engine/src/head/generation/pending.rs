//! The way of new tag sets and series into the index: writers leave them here, and whoever reads the
//! index, or has time, enters many at once.
//!
//! The first scrape of a generation defines everything anew; one index for all writers would be what
//! they wait for. A generation that nobody asks is never indexed.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLockReadGuard};

use crate::model::TagSet;

use super::{Generation, HeadIndex, SHARDS};
use crate::head::listing::LISTED_BYTES;
use crate::head::unindexed::Unindexed;

/// How many of them may be entered at a time by one who has time: readers wait meanwhile.
const PIECE_MAX: usize = 4096;

/// What is not in the index yet.
#[derive(Debug)]
pub(super) struct Pending {
    shards: Box<[Mutex<Unindexed>]>,
    /// Falls when they are entered: at 0 the index is whole.
    count: AtomicUsize,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
        }
    }
}

impl Generation {
    /// Takes a tag set that is new to a shard.
    pub(super) fn pend_tag_set(&self, shard: usize, id: u32, tags: &TagSet) {
        let mut unindexed = self.pending.shards[shard].lock();
        unindexed.tag_sets.push((id, tags.clone()));
        self.pending.count.fetch_add(1, Ordering::Release);
    }

    /// Takes columns that a tag set has got.
    pub(super) fn pend_columns(&self, tag_set: u32, columns: &[u32]) {
        let mut unindexed = self.pending.shards[tag_set as usize % SHARDS].lock();
        if unindexed.series(tag_set, columns) {
            self.pending.count.fetch_add(1, Ordering::Release);
        }
    }

    /// The index of everything that was written before the call.
    pub(super) fn index(&self) -> RwLockReadGuard<'_, HeadIndex> {
        if self.pending.count.load(Ordering::Acquire) > 0 {
            let mut index = self.index.write();
            let mut all = Unindexed::default();
            for shard in &self.pending.shards {
                all.append(&mut shard.lock());
            }
            self.enter_pending(&mut index, all);
        }
        self.index.read()
    }

    /// Enters what is not in the index yet, piece by piece.
    pub(crate) fn index_pending(&self) {
        if self.pending.count.load(Ordering::Acquire) == 0 {
            return;
        }
        for shard in &self.pending.shards {
            loop {
                // Taken first: who reads meanwhile waits for what is about to be entered.
                let mut index = self.index.write();
                let piece = shard.lock().take(PIECE_MAX);
                if piece.count() == 0 {
                    break;
                }
                self.enter_pending(&mut index, piece);
            }
        }
    }

    fn enter_pending(&self, index: &mut HeadIndex, unindexed: Unindexed) {
        let count = unindexed.count();
        self.enter_into(index, unindexed);
        self.pending.count.fetch_sub(count, Ordering::Release);
    }

    /// Enters definitions into the index.
    pub(in crate::head) fn enter(&self, unindexed: Unindexed) {
        self.enter_into(&mut self.index.write(), unindexed);
    }

    fn enter_into(&self, index: &mut HeadIndex, mut unindexed: Unindexed) {
        unindexed.sort();
        let grown = index.add_many_tag_sets(&unindexed.tag_sets);
        let listed = unindexed.tag_sets.len() * LISTED_BYTES;
        self.add_bytes((grown + listed).cast_signed());
        self.listing.add(std::mem::take(&mut unindexed.tag_sets));
        let known = self.columns.read();
        for (columns, tag_sets) in &unindexed.series {
            for column in columns
                .iter()
                .filter_map(|column| known.definition(*column))
            {
                index.add_many_series(column.partition, &column.measurement, tag_sets);
            }
        }
    }
}
