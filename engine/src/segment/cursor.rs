//! Reads the blocks of many tag sets of one column, in any order: a group of the block index is
//! parsed once for all of its chunks, and a time column once for all that refer to it.

use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::chunks::{BlockRef, Chunk};
use super::layout::GROUP;
use super::reader::Segment;
use super::schema::ColumnId;
use super::times::TimeBlocks;
use crate::Result;
use crate::model::TimeRange;

/// Parsed groups that a cursor keeps, about 3 KiB each; beyond it starts afresh.
const GROUPS_KEPT_MAX: usize = 256;
/// Time columns that a cursor keeps, about half a KiB each.
const TIME_COLUMNS_KEPT_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct ColumnCursor<'a> {
    segment: &'a Segment,
    column: ColumnId,
    ids: Arc<RoaringBitmap>,
    /// Whether the ids are 0, 1, 2 and so on: an id is its own rank.
    is_dense: bool,
    groups: HashMap<u32, Vec<Chunk<'a>>>,
    times: HashMap<u32, TimeBlocks>,
}

impl<'a> ColumnCursor<'a> {
    /// A cursor over a column of `segment`.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub(crate) fn new(segment: &'a Segment, column: ColumnId) -> Result<Self> {
        let ids = segment.chunk_ids(column)?;
        let is_dense = ids
            .max()
            .is_none_or(|last| u64::from(last) + 1 == ids.len());
        Ok(Self {
            segment,
            column,
            ids,
            is_dense,
            groups: HashMap::new(),
            times: HashMap::new(),
        })
    }

    /// Appends the blocks of a tag set that have rows in `range`, in time order.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub(crate) fn blocks(
        &mut self,
        id: u32,
        range: TimeRange,
        out: &mut Vec<BlockRef>,
    ) -> Result<()> {
        let Some(rank) = self.rank(id) else {
            return Ok(());
        };
        let number = rank / GROUP;
        if self.groups.len() >= GROUPS_KEPT_MAX && !self.groups.contains_key(&number) {
            self.groups.clear();
        }
        let group = match self.groups.entry(number) {
            hashbrown::hash_map::Entry::Occupied(known) => known.into_mut(),
            hashbrown::hash_map::Entry::Vacant(new) => {
                new.insert(self.segment.chunks_of_group(self.column, rank)?)
            }
        };
        // A group that is parsed holds a chunk for each of its ranks.
        let chunk = group[(rank % GROUP) as usize];
        if self.times.len() >= TIME_COLUMNS_KEPT_MAX && !self.times.contains_key(&chunk.time_column)
        {
            self.times.clear();
        }
        let times = match self.times.entry(chunk.time_column) {
            hashbrown::hash_map::Entry::Occupied(known) => known.into_mut(),
            hashbrown::hash_map::Entry::Vacant(new) => {
                new.insert(self.segment.time_blocks(chunk.time_column)?)
            }
        };
        self.segment
            .blocks_of_chunk(self.column, &chunk, times, range, out)
    }

    fn rank(&self, id: u32) -> Option<u32> {
        if self.is_dense {
            return (u64::from(id) < self.ids.len()).then_some(id);
        }
        if !self.ids.contains(id) {
            return None;
        }
        u32::try_from(self.ids.rank(id) - 1).ok()
    }
}
