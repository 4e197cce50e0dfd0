//! Segments: immutable files that hold what one flush, or one merge, wrote of one partition.
//!
//! [`SegmentBuilder`] collects and writes one, [`Segment`] reads it: its own index of tag sets and
//! its blocks of values, each verified before it is decoded. A segment never changes and knows
//! nothing of other segments; tombstones, ranks and overlaps are its reader's business.
//! docs/format.md describes the bytes; `layout` holds the numbers that the description names.

mod arena;
mod bounds;
mod builder;
mod chunks;
mod cold;
mod contents;
mod cursor;
mod layout;
mod list;
mod listed;
mod pages;
mod postings;
mod read;
mod reader;
mod schema;
mod summary;
mod symbols;
mod tag_sets;
#[cfg(test)]
mod tests;
mod time_cache;
mod times;
mod writer;

pub use builder::SegmentBuilder;
pub(crate) use builder::{Column, EncodedChunk};
pub use chunks::BlockRef;
pub(crate) use chunks::Chunk;
pub use cold::ReadState;
pub(crate) use cursor::ColumnCursor;
pub use read::Scratch;
pub use reader::Segment;
pub use schema::ColumnId;
pub use summary::{FloatSummary, IntegerSummary, Summary};
pub(crate) use time_cache::TimeCache;
pub use times::TimeColumn;

use crate::model::{TimeRange, Timestamp};

/// What a segment is, as its header says and the manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentIdentity {
    /// The partition it belongs to.
    pub partition: u64,
    /// Its own number.
    pub segment: u64,
    /// The lowest rank of what was merged into it.
    pub rank_lo: u64,
    /// The highest.
    pub rank_hi: u64,
}

/// What the manifest keeps of a written segment, to recognise it when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The file's length.
    pub len_bytes: u64,
    /// The footer's checksum, which covers all others.
    pub footer_crc: u32,
    /// Field values in it.
    pub points: u64,
    /// Its first time.
    pub first: Timestamp,
    /// Its last time.
    pub last: Timestamp,
    /// Tag sets in it.
    pub tag_sets: u32,
}

impl SegmentFacts {
    /// From the first time to the last.
    #[must_use]
    pub fn time_range(&self) -> TimeRange {
        TimeRange {
            start: self.first,
            end: self.last,
        }
    }
}
