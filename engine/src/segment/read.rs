//! Decodes one block: its times, its values, the rows that lie in a range.

use std::sync::Arc;

use hashbrown::HashMap;

use super::chunks::{BlockRef, Chunks};
use super::cold::{Bytes, Held};
use super::pages::Pages;
use super::time_cache::TimeCache;
use super::times::{TimeBlock, Times};
use crate::codec::{Malformed, boolean, float, integer, text};
use crate::model::{TimeRange, TimesId, Values};
use crate::{Error, Result};

/// Space that decoding reuses, and the times that were decoded last: a caller who reads one
/// container's columns one after the other decodes their shared times once a block.
#[derive(Debug, Default)]
pub struct Scratch {
    integers: Vec<i64>,
    present: Vec<bool>,
    times: Vec<i64>,
    /// Which block `times` holds: its place is its own only together with its extent, as blocks
    /// of constant step have no bytes. Emptied where a segment changes.
    times_of: Option<(u64, TimeBlock)>,
    /// Times that are shared, by segment and place: a look here takes no lock.
    shared: HashMap<(u64, TimeBlock), SharedTimes>,
    /// The cold page that was used last.
    page: Option<Held>,
}

/// Times, and what stands for them.
type SharedTimes = (Arc<[i64]>, TimesId);

/// Blocks of times that are looked for without the cache: those of some dozens of nodes.
const SHARED_MAX: usize = 256;

/// The times of a decoded block.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// One for each row of its time column's block.
    Shared(Arc<[i64]>, TimesId),
    /// Some rows are absent.
    Own(Vec<i64>),
}

impl Decoded {
    /// They are.
    pub(crate) fn times(&self) -> &[i64] {
        match self {
            Self::Shared(times, _) => times,
            Self::Own(times) => times,
        }
    }

    /// What stands for them, where others may have the same.
    pub(crate) fn id(&self) -> Option<TimesId> {
        match self {
            Self::Shared(_, id) => Some(*id),
            Self::Own(_) => None,
        }
    }
}

/// What a block is read from.
pub struct Source<'a> {
    /// Tells segments apart in a [`Scratch`].
    pub token: u64,
    /// The bytes.
    pub pages: &'a Pages,
    /// The time columns.
    pub times: &'a Times,
    /// The chunks.
    pub chunks: &'a Chunks,
}

impl Source<'_> {
    /// Appends the rows of a block that lie in `range`; on an error nothing is appended.
    pub fn read(
        &self,
        block: &BlockRef,
        range: TimeRange,
        scratch: &mut Scratch,
        times: &mut Vec<i64>,
        values: &mut Values,
    ) -> Result<()> {
        let (times_before, values_before) = (times.len(), values.len());
        let read = self.read_all(block, range, scratch, times, values);
        if read.is_err() {
            times.truncate(times_before);
            values.truncate(values_before);
        }
        read
    }

    /// Reads the times of a block, and which of them are present where it is sparse, into
    /// `scratch`; answers the bytes of its values.
    fn load(&self, block: &BlockRef, scratch: &mut Scratch) -> Result<Bytes<'_>> {
        let corrupt = |_: Malformed| self.chunks.corrupt_block(self.pages, block);
        let bytes = self.chunks.data(self.pages, block, &mut scratch.page)?;
        let here = (self.token, block.time_block);
        if scratch.times_of != Some(here) {
            scratch.times_of = None;
            scratch.times.clear();
            self.times
                .read(self.pages, &block.time_block, &mut scratch.times)?;
            scratch.times_of = Some(here);
        }
        if block.sparse {
            let rows = block.time_block.extent.count;
            let bitmap = bytes
                .get(..rows.div_ceil(8))
                .ok_or_else(|| corrupt(Malformed("a block without its bitmap")))?;
            scratch.present.clear();
            boolean::read_bitmap(bitmap, rows, &mut scratch.present).map_err(corrupt)?;
            let bitmap_len = bitmap.len();
            Ok(bytes.skip(bitmap_len))
        } else {
            Ok(bytes)
        }
    }

    /// Decodes a block into `values`, which is emptied before; answers the times of its rows.
    pub fn decode(
        &self,
        block: &BlockRef,
        cache: &TimeCache,
        scratch: &mut Scratch,
        values: &mut Values,
    ) -> Result<Decoded> {
        let corrupt = |_: Malformed| self.chunks.corrupt_block(self.pages, block);
        let bytes = self.chunks.data(self.pages, block, &mut scratch.page)?;
        let (shared, id) = self.shared_times(block.time_block, cache, scratch)?;
        values.clear();
        let rows = block.time_block.extent.count;
        let (times, bytes) = if block.sparse {
            let bitmap = bytes
                .get(..rows.div_ceil(8))
                .ok_or_else(|| corrupt(Malformed("a block without its bitmap")))?;
            scratch.present.clear();
            boolean::read_bitmap(bitmap, rows, &mut scratch.present).map_err(corrupt)?;
            let there = shared.iter().zip(&scratch.present);
            let there = there.filter(|(_, there)| **there).map(|(time, _)| *time);
            let bitmap_len = bitmap.len();
            (Decoded::Own(there.collect()), bytes.skip(bitmap_len))
        } else {
            (Decoded::Shared(shared, id), bytes)
        };
        decode(block, &bytes, &mut scratch.integers, values).map_err(corrupt)?;
        let (found, count) = (times.times(), block.count as usize);
        if found.len() != count
            || values.len() != count
            || found.first() != Some(&block.first.0)
            || found.last() != Some(&block.last.0)
        {
            return Err(corrupt(Malformed(
                "a block of other rows than its entry says",
            )));
        }
        Ok(times)
    }

    /// The times of a block, of which others may know.
    fn shared_times(
        &self,
        block: TimeBlock,
        cache: &TimeCache,
        scratch: &mut Scratch,
    ) -> Result<SharedTimes> {
        if let Some((times, id)) = scratch.shared.get(&(self.token, block)) {
            return Ok((Arc::clone(times), *id));
        }
        let times = cache.times(self.token, block, || {
            let mut times = Vec::with_capacity(block.extent.count);
            self.times.read(self.pages, &block, &mut times)?;
            Ok(times)
        })?;
        if scratch.shared.len() == SHARED_MAX {
            scratch.shared.clear();
        }
        let (place, id) = ((self.token, block), TimesId::new());
        scratch.shared.insert(place, (Arc::clone(&times), id));
        Ok((times, id))
    }

    /// Appends every row of a block's times, whether each is present, and the values of those
    /// that are. On an error, what was appended means nothing.
    pub fn read_rows(
        &self,
        block: &BlockRef,
        scratch: &mut Scratch,
        times: &mut Vec<i64>,
        present: &mut Vec<bool>,
        values: &mut Values,
    ) -> Result<()> {
        let corrupt = |_: Malformed| self.chunks.corrupt_block(self.pages, block);
        let bytes = self.load(block, scratch)?;
        let (present_start, values_start) = (present.len(), values.len());
        times.extend_from_slice(&scratch.times);
        if block.sparse {
            present.extend_from_slice(&scratch.present);
        } else {
            present.resize(present.len() + scratch.times.len(), true);
        }
        decode(block, &bytes, &mut scratch.integers, values).map_err(corrupt)?;
        let new = &present[present_start..];
        let count = new.iter().filter(|there| **there).count();
        if count != block.count as usize || values.len() - values_start != count {
            return Err(corrupt(Malformed(
                "a block of other rows than its entry says",
            )));
        }
        Ok(())
    }

    fn read_all(
        &self,
        block: &BlockRef,
        range: TimeRange,
        scratch: &mut Scratch,
        times: &mut Vec<i64>,
        values: &mut Values,
    ) -> Result<()> {
        if values.field_type() != block.field_type {
            return Err(Error::Invalid(format!(
                "a {} block does not go into a {} column",
                block.field_type,
                values.field_type()
            )));
        }
        let corrupt = |_: Malformed| self.chunks.corrupt_block(self.pages, block);
        let bytes = self.load(block, scratch)?;
        let (times_start, values_start) = (times.len(), values.len());
        if block.sparse {
            let rows = scratch.times.iter().zip(&scratch.present);
            times.extend(rows.filter(|(_, there)| **there).map(|(time, _)| *time));
        } else {
            times.extend_from_slice(&scratch.times);
        }
        decode(block, &bytes, &mut scratch.integers, values).map_err(corrupt)?;
        let count = block.count as usize;
        let new = &times[times_start..];
        if new.len() != count
            || values.len() - values_start != count
            || new.first() != Some(&block.first.0)
            || new.last() != Some(&block.last.0)
        {
            return Err(corrupt(Malformed(
                "a block of other rows than its entry says",
            )));
        }
        if range.start > block.first || range.end < block.last {
            let low = new.partition_point(|time| *time < range.start.0);
            let high = new.partition_point(|time| *time <= range.end.0).max(low);
            times.truncate(times_start + high);
            times.drain(times_start..times_start + low);
            values.truncate(values_start + high);
            drain(values, values_start, values_start + low);
        }
        Ok(())
    }
}

fn decode(
    block: &BlockRef,
    bytes: &[u8],
    integers: &mut Vec<i64>,
    values: &mut Values,
) -> Result<(), Malformed> {
    let count = block.count as usize;
    let seed = block.seed;
    match values {
        Values::Float(out) => {
            let seed = f64::from_bits(seed);
            float::decode(block.codec, bytes, seed, count, integers, out)
        }
        Values::Integer(out) => integer::decode(block.codec, bytes, seed.cast_signed(), count, out),
        Values::Unsigned(out) => {
            integers.clear();
            integer::decode(block.codec, bytes, seed.cast_signed(), count, integers)?;
            out.extend(integers.iter().map(|value| value.cast_unsigned()));
            Ok(())
        }
        Values::String(out) => text::decode(block.codec, bytes, count, out),
        Values::Boolean(out) => boolean::decode(block.codec, bytes, count, out),
    }
}

/// Removes the values from `start` to `end`.
fn drain(values: &mut Values, start: usize, end: usize) {
    match values {
        Values::Float(values) => drop(values.drain(start..end)),
        Values::Integer(values) => drop(values.drain(start..end)),
        Values::Unsigned(values) => drop(values.drain(start..end)),
        Values::String(values) => drop(values.drain(start..end)),
        Values::Boolean(values) => drop(values.drain(start..end)),
    }
}
