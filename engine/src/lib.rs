//! Plimsoll's storage engine: an embedded time-series store for container metrics.
//!
//! Owns the data model, the log's records, the head, segments, the catalog and retention.
//! It is synchronous, is given its [`Clock`] and its storage, and knows nothing of HTTP.

pub mod backup;
pub mod catalog;
pub mod check;
pub mod clock;
pub mod codec;
mod compaction;
pub mod engine;
pub mod error;
mod head;
pub mod inspect;
mod log;
mod manifest;
mod merge;
pub mod model;
mod partition;
pub mod predicate;
mod readers;
pub mod repair;
pub mod segment;
pub mod snapshot;
mod tombstone;
mod varint;

pub use clock::Clock;
pub use engine::{
    Chosen, Compacted, Companion, Deletion, Durability, Engine, EngineStats, OpenReport, Options,
    Reader, ReaderBatch, ReaderPoints, ReaderPosition, ReaderStart, ReaderStats, Rejected, Written,
};
pub use error::{Error, Result};
pub use manifest::FORMAT;
pub use model::{Batch, FieldType, FieldValue, TagSet, TimeRange, Timestamp};
pub use partition::PartitionId;
pub use readers::{READER_NAME_BYTES_MAX, READERS_MAX};
pub use snapshot::{
    Column, ColumnPlan, Direction, Field, FieldReader, PartitionView, ReadCounts, Rows, Series,
    Snapshot, SourceCounts, Summaries, TakePoints, Tally, View, Visit,
};
