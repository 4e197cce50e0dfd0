//! The language that everyone shares: time, tag sets, fields, values, batches.

mod batch;
pub(crate) mod tags;
mod times_id;
mod value;

pub(crate) use batch::Place;
pub use batch::{Batch, Point};
pub use tags::{TagFinder, TagSet, TagSetBuilder, TagsError};
pub use times_id::TimesId;
pub use value::{FieldType, FieldValue, ValueRef, Values};

/// A time: ns since 1970-01-01 UTC, negative before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// The earliest time a point may have (InfluxDB's `models.MinNanoTime`).
pub const TIME_MIN: Timestamp = Timestamp(i64::MIN + 2);
/// The latest time a point may have (InfluxDB's `models.MaxNanoTime`).
pub const TIME_MAX: Timestamp = Timestamp(i64::MAX - 1);

impl Timestamp {
    /// The start of the window of `every_ns` that holds this time; rounds towards the past.
    ///
    /// Saturates at [`i64::MIN`]. `every_ns` must be positive.
    #[must_use]
    pub fn window_start(self, every_ns: i64) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(every_ns)))
    }
}

/// An inclusive range of time, `start..=end`; empty where `start > end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first time in the range.
    pub start: Timestamp,
    /// The last time in the range.
    pub end: Timestamp,
}

impl TimeRange {
    /// All times a point may have.
    pub const ALL: Self = Self {
        start: TIME_MIN,
        end: TIME_MAX,
    };

    /// Whether `time` lies in the range.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time <= self.end
    }

    /// Whether the two ranges share a time.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The times that both ranges hold.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }

    /// Whether no time lies in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start > self.end
    }
}
