//! Taking over chunks of another segment without decoding them.

use super::{NewChunk, SegmentBuilder};
use crate::Result;
use crate::model::{FieldType, TagSet};
use crate::segment::TimeColumn;

/// A chunk of another segment, as it stands there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncodedChunk<'a> {
    /// Its blocks' entries.
    pub(crate) entries: &'a [u8],
    /// Its blocks' values.
    pub(crate) data: &'a [u8],
    /// How many values it holds.
    pub(crate) points: u64,
    /// Its first and its last time.
    pub(crate) bounds: (i64, i64),
}

impl SegmentBuilder {
    /// Whether a time column of this segment is cut into blocks of these many rows.
    pub(crate) fn is_cut_alike(&self, times: TimeColumn, rows: &[usize]) -> bool {
        self.times.block_rows(times.0).eq(rows.iter().copied())
    }

    /// Adds the values of one field of one series as another segment holds them. Its time column
    /// there is `times` here, and cut alike ([`Self::is_cut_alike`]).
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::Storage`].
    pub(crate) fn copy_chunk(
        &mut self,
        (measurement, field, field_type): (&str, &str, FieldType),
        tags: &TagSet,
        times: TimeColumn,
        chunk: &EncodedChunk<'_>,
    ) -> Result<()> {
        self.times.refer(times.0);
        if chunk.bounds != self.times.bounds(times.0) {
            self.sparse_bounds.insert(self.chunks.len(), chunk.bounds);
        }
        let measurement = self.names.number(measurement, |name| name.into());
        let field = self.names.number(field, |name| name.into());
        let column = (measurement, field, field_type);
        self.chunks.push(NewChunk {
            column: self.columns.number(&column, |column| *column),
            tag_set: self.tag_sets.number(tags, Clone::clone),
            time_column: times.0,
            entries: self.entries.put(chunk.entries)?,
            data: self.data.put(chunk.data)?,
        });
        self.points += chunk.points;
        self.copied += chunk.points;
        Ok(())
    }

    /// How many of the values were added encoded.
    pub(crate) fn copied(&self) -> u64 {
        self.copied
    }
}
