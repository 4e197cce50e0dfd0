//! Merges segments into one, column by column and, within a column, tag set by tag set.
//!
//! What one segment alone has of a field and series, and no tombstone hides, is copied as it is
//! encoded, its checksums verified. What is in memory at once: the list of tag sets, the new segment's index, and the rows of one
//! field of one series.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use super::rows::Rows;
use super::tag_sets::TagSets;
use crate::model::{FieldType, TagSet, TimeRange};
use crate::segment::{
    BlockRef, Chunk, ColumnId, EncodedChunk, Scratch, Segment, SegmentBuilder, TimeColumn,
};
use crate::tombstone::{Tombstone, hidden};
use crate::{Error, Result};

/// How many tag sets of a column are looked up in the segments at once.
const BATCH_TAG_SETS: usize = 128;

/// How a merge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everything is in the builder.
    Whole,
    /// It was told to stop.
    Stopped,
}

/// A column of the new segment: which segments have it, lowest rank first.
type Sources = SmallVec<[(usize, ColumnId); 4]>;

/// A segment that is merged, and the tombstones that mask it.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) segment: Arc<Segment>,
    pub(crate) masks: Vec<Arc<Tombstone>>,
}

/// Puts every point of `inputs`, lowest rank first, that no tombstone hides into `builder`, in the
/// segment's order; of two values of one field, series and time the one of the higher rank stays.
/// Asks `goes_on` between batches whether it should, with the bytes that were written.
///
/// # Errors
/// [`Error::Corrupt`] where a segment does not verify; what the builder answers.
pub(crate) fn merge(
    inputs: &[Input],
    builder: &mut SegmentBuilder,
    goes_on: &dyn Fn(u64) -> bool,
) -> Result<Ended> {
    let tag_sets = TagSets::of(inputs.iter().map(|input| &*input.segment))?;
    let mut columns: BTreeMap<(&Arc<str>, &Arc<str>, FieldType), Sources> = BTreeMap::new();
    for (number, Input { segment, .. }) in inputs.iter().enumerate() {
        for measurement in segment.measurements() {
            for (field, field_type, column) in segment.columns(measurement) {
                let sources = columns.entry((measurement, field, field_type));
                sources.or_default().push((number, column));
            }
        }
    }
    let mut scratch = Scratch::default();
    let mut times = CopiedTimes::new();
    for ((measurement, field, field_type), sources) in columns {
        let mut merging = Merging {
            inputs,
            tag_sets: &tag_sets,
            measurement,
            field,
            field_type,
            scratch: &mut scratch,
            times: &mut times,
        };
        let places: Vec<u32> = merging.places(&sources)?.iter().collect();
        for batch in places.chunks(BATCH_TAG_SETS) {
            if !goes_on(builder.written_bytes()) {
                return Ok(Ended::Stopped);
            }
            merging.batch(&sources, batch[0], batch[batch.len() - 1], builder)?;
        }
    }
    Ok(Ended::Whole)
}

/// What one input has of a field and series.
struct Piece<'a> {
    input: usize,
    chunk: Chunk<'a>,
    blocks: Vec<BlockRef>,
}

/// The new segment's time column for an input's; none where its blocks would be cut otherwise.
type CopiedTimes = HashMap<(usize, u32), Option<TimeColumn>>;

/// One column while it is merged.
struct Merging<'a> {
    inputs: &'a [Input],
    tag_sets: &'a TagSets,
    measurement: &'a str,
    field: &'a str,
    field_type: FieldType,
    scratch: &'a mut Scratch,
    times: &'a mut CopiedTimes,
}

impl Merging<'_> {
    /// The tag sets that have the column in any segment.
    fn places(&self, sources: &Sources) -> Result<RoaringBitmap> {
        let mut places = RoaringBitmap::new();
        for (number, column) in sources {
            for id in self.inputs[*number].segment.column_ids(*column)?.iter() {
                places.insert(self.place(*number, id)?);
            }
        }
        Ok(places)
    }

    fn place(&self, segment: usize, id: u32) -> Result<u32> {
        let place = self.tag_sets.place(segment, id);
        place.ok_or_else(|| Error::Corrupt {
            what: "a set of tag-set ids",
            path: self.inputs[segment].segment.path().to_owned(),
            offset: 0,
        })
    }

    /// Merges the tag sets whose places lie from `first` to `last`.
    fn batch(
        &mut self,
        sources: &Sources,
        first: u32,
        last: u32,
        builder: &mut SegmentBuilder,
    ) -> Result<()> {
        let inputs = self.inputs;
        let mut found: Vec<(u32, Piece<'_>)> = Vec::new();
        for (number, column) in sources {
            let ids = self.tag_sets.ids_between(*number, first, last);
            let segment = &inputs[*number].segment;
            segment.scan_chunks(*column, &ids, TimeRange::ALL, &mut |id, chunk, blocks| {
                let piece = Piece {
                    input: *number,
                    chunk,
                    blocks: blocks.to_vec(),
                };
                found.push((self.place(*number, id)?, piece));
                Ok(())
            })?;
        }
        // Stable: the pieces of one place stay in the order of rank.
        found.sort_by_key(|(place, _)| *place);
        for pieces in found.chunk_by(|a, b| a.0 == b.0) {
            let place = pieces[0].0;
            let tags = self.tag_sets.tags(place);
            if let [(_, piece)] = pieces
                && hidden(&inputs[piece.input].masks, self.measurement, tags).is_empty()
                && self.copy(tags, piece, builder)?
            {
                continue;
            }
            let mut rows = Rows::new(self.field_type);
            for (_, piece) in pieces {
                let mut read = self.read(piece.input, &piece.blocks)?;
                let masks = &inputs[piece.input].masks;
                read.hide(&hidden(masks, self.measurement, tags));
                rows.overlay(read);
            }
            self.put(place, &rows, builder)?;
        }
        Ok(())
    }

    /// Hands a chunk over as it is, where nothing else is of its field and series; answers
    /// whether its times are cut into blocks there as they are here.
    fn copy(
        &mut self,
        tags: &TagSet,
        piece: &Piece<'_>,
        builder: &mut SegmentBuilder,
    ) -> Result<bool> {
        let segment = &self.inputs[piece.input].segment;
        if segment.is_cold() || builder.is_cold() {
            return Ok(false);
        }
        let (Some(first), Some(last)) = (piece.blocks.first(), piece.blocks.last()) else {
            return Ok(false);
        };
        let key = (piece.input, piece.chunk.time_column);
        let times = match self.times.get(&key) {
            Some(known) => *known,
            None => {
                let mut times = Vec::new();
                let rows = segment.read_times(&piece.chunk, &mut times)?;
                let column = builder.time_column(&times)?;
                let column = builder.is_cut_alike(column, &rows).then_some(column);
                self.times.insert(key, column);
                column
            }
        };
        let Some(times) = times else {
            return Ok(false);
        };
        let chunk = EncodedChunk {
            entries: piece.chunk.body,
            data: segment.chunk_data(&piece.chunk)?,
            points: piece
                .blocks
                .iter()
                .map(|block| u64::from(block.count))
                .sum(),
            bounds: (first.first.0, last.last.0),
        };
        let column = (self.measurement, self.field, self.field_type);
        builder.copy_chunk(column, tags, times, &chunk)?;
        Ok(true)
    }

    fn read(&mut self, segment: usize, blocks: &[BlockRef]) -> Result<Rows> {
        let mut rows = Rows::new(self.field_type);
        for block in blocks {
            self.inputs[segment].segment.read_rows(
                block,
                self.scratch,
                &mut rows.times,
                &mut rows.present,
                &mut rows.values,
            )?;
        }
        Ok(rows)
    }

    /// Hands the rows of one series to the builder.
    fn put(&self, place: u32, rows: &Rows, builder: &mut SegmentBuilder) -> Result<()> {
        if rows.values.is_empty() {
            return Ok(());
        }
        let times = builder.time_column(&rows.times)?;
        builder.chunk(
            self.measurement,
            self.field,
            self.tag_sets.tags(place),
            times,
            Some(&rows.present),
            &rows.values,
        )
    }
}
