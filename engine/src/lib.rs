//! Plimsoll's storage engine: an embedded time-series store for container metrics.
//!
//! Owns the data model, the log's records, the head, segments, the catalog and retention.
//! It is synchronous, is given its [`Clock`] and its [`storage`], and knows nothing of HTTP.
//!
//! An [`Engine`] is one open directory, to be shared behind an `Arc`. A [`Batch`] of points is
//! written into a retention policy of a database and is durable when [`Engine::write`] returns.
//! A [`Snapshot`] is what there was at one moment; its [`View`] of a policy answers series by tags
//! and their columns. Someone has to call [`Engine::maintain`] now and then, and
//! [`Engine::compact_step`] from a thread of its own.
//!
//! ```
//! use std::sync::Arc;
//!
//! use plimsoll_engine::catalog::CatalogChange;
//! use plimsoll_engine::clock::ManualClock;
//! use plimsoll_engine::predicate::TagPredicate;
//! use plimsoll_engine::storage::Memory;
//! use plimsoll_engine::{
//!     Batch, Engine, FieldType, FieldValue, Options, TagSet, TimeRange, Timestamp,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
//! // `storage::Disk` for a real directory.
//! let (engine, _) = Engine::open(Arc::new(Memory::new()), Options::new("data"), clock)?;
//! let name = "k8s".to_owned();
//! engine.change(&CatalogChange::CreateDatabase { name, policy: None })?;
//!
//! let mut batch = Batch::default();
//! let tags = TagSet::from_pairs([("namespace", "web"), ("pod", "a")])?;
//! let time = Timestamp(1_700_000_000_000_000_000);
//! batch.add("memory", &tags, time, [("usage", FieldValue::Integer(4096))]);
//! engine.write("k8s", "", &batch)?;
//!
//! let view = engine.snapshot().view("k8s", "", TimeRange::ALL)?;
//! for series in view.series("memory", &TagPredicate::All)? {
//!     let column = view.column(&series, "usage", FieldType::Integer)?;
//!     assert_eq!(series.tags.to_string(), "namespace=web,pod=a");
//!     assert_eq!(column.times, [time.0]);
//! }
//! engine.close()?;
//! # Ok(())
//! # }
//! ```

pub mod backup;
pub mod catalog;
pub mod check;
pub mod clock;
pub mod codec;
mod compaction;
pub mod engine;
mod envelope;
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
    COLUMNS_MAX, Chosen, Compacted, Companion, Deletion, Durability, Engine, EngineStats,
    OpenReport, Options, OverLimits, Reader, ReaderBatch, ReaderPoints, ReaderPosition,
    ReaderStart, ReaderStats, Rejected, STRING_BYTES_MAX, TAG_SET_BYTES_MAX, WRITE_DELAY_MAX,
    Written,
};
pub use error::{Error, Result};
pub use manifest::FORMAT;
pub use model::{Batch, FieldType, FieldValue, TagSet, TimeRange, TimesId, Timestamp};
pub use partition::PartitionId;
pub use plimsoll_wal::storage;
pub use readers::{READER_NAME_BYTES_MAX, READERS_MAX};
pub use snapshot::{
    Column, ColumnPlan, Direction, Field, FieldReader, Listing, PartitionView, ReadCounts, Rows,
    Series, Snapshot, SourceCounts, Summaries, TagValues, TakePoints, Tally, View, Visit,
};
