//! Plimsoll's storage engine: an embedded time-series store for container metrics.
//!
//! Owns the data model, the log's records, the head, segments, the catalog and retention.
//! It is synchronous, is given its [`Clock`] and its storage, and knows nothing of HTTP.

pub mod clock;
pub mod codec;
pub mod error;
pub mod model;
pub mod predicate;
pub mod segment;

pub use clock::Clock;
pub use error::{Error, Result};
pub use model::{Batch, FieldType, FieldValue, TagSet, TimeRange, Timestamp};
