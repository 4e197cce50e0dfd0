//! What a point may be, so that one sender cannot take the memory or the files of all others. A
//! point that is over a limit is refused alone, and counted by the limit.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use parking_lot::{Mutex, MutexGuard};

pub use crate::codec::text::STRING_BYTES_MAX;

use crate::catalog::DatabaseId;
use crate::model::TagSet;

/// The largest tag set in its canonical text, and the largest name of a measurement or a field.
pub const TAG_SET_BYTES_MAX: usize = 64 << 10;
/// How many fields a measurement may have in a partition, by default.
pub const COLUMNS_MAX: u64 = 65_536;

/// What is limited of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    TagSets,
    Columns,
    TagSetBytes,
    StringBytes,
}

/// Points that were refused since the start, by the limit that they were over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OverLimits {
    /// [`super::Options::tag_sets_max`].
    pub tag_sets: u64,
    /// [`super::Options::columns_max`].
    pub columns: u64,
    /// [`TAG_SET_BYTES_MAX`].
    pub tag_set_bytes: u64,
    /// [`STRING_BYTES_MAX`].
    pub string_bytes: u64,
}

/// The same, while it is counted.
#[derive(Debug, Default)]
pub(super) struct LimitCounters {
    tag_sets: AtomicU64,
    columns: AtomicU64,
    tag_set_bytes: AtomicU64,
    string_bytes: AtomicU64,
}

impl LimitCounters {
    pub(super) fn count(&self, limit: Limit) {
        let counter = match limit {
            Limit::TagSets => &self.tag_sets,
            Limit::Columns => &self.columns,
            Limit::TagSetBytes => &self.tag_set_bytes,
            Limit::StringBytes => &self.string_bytes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> OverLimits {
        OverLimits {
            tag_sets: self.tag_sets.load(Ordering::Relaxed),
            columns: self.columns.load(Ordering::Relaxed),
            tag_set_bytes: self.tag_set_bytes.load(Ordering::Relaxed),
            string_bytes: self.string_bytes.load(Ordering::Relaxed),
        }
    }
}

/// Why a point is refused.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) reason: Arc<str>,
    /// The limit that it is over, where it is one.
    pub(super) limit: Option<Limit>,
}

impl Refused {
    pub(super) fn over(limit: Limit, reason: String) -> Self {
        Self {
            reason: reason.into(),
            limit: Some(limit),
        }
    }
}

/// The tag sets that each database has had in the open generation, by hash: two of one hash count
/// once. Kept only where they are limited.
#[derive(Debug, Default)]
pub(super) struct TagSetsSeen {
    generation: u64,
    hasher: DefaultHashBuilder,
    of: HashMap<DatabaseId, HashSet<u64>>,
}

/// Counts the tag sets of one database while a batch is written.
#[derive(Debug)]
pub(super) struct Admission<'a> {
    seen: MutexGuard<'a, TagSetsSeen>,
    database: DatabaseId,
    max: u64,
}

impl<'a> Admission<'a> {
    /// The caller's generation is the open one.
    pub(super) fn new(
        seen: &'a Mutex<TagSetsSeen>,
        generation: u64,
        database: DatabaseId,
        max: u64,
    ) -> Self {
        let mut seen = seen.lock();
        if seen.generation != generation {
            seen.of.clear();
            seen.generation = generation;
        }
        Self {
            seen,
            database,
            max,
        }
    }

    /// Whether the database may have `tags` in the head: it has them, or has room.
    pub(super) fn admits(&mut self, tags: &TagSet) -> Result<(), Refused> {
        let hash = self.seen.hasher.hash_one(tags.as_str());
        let of = self.seen.of.entry(self.database).or_default();
        if of.contains(&hash) {
            return Ok(());
        }
        if of.len() as u64 >= self.max {
            return Err(Refused::over(
                Limit::TagSets,
                format!("max_tag_sets_per_database limit exceeded: ({})", self.max),
            ));
        }
        of.insert(hash);
        Ok(())
    }
}

/// Refuses a name that is too long.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Refused> {
    if name.len() <= TAG_SET_BYTES_MAX {
        return Ok(());
    }
    Err(Refused::over(
        Limit::TagSetBytes,
        format!("max key length exceeded: the name of a {what} has over {TAG_SET_BYTES_MAX} bytes"),
    ))
}

/// Refuses a tag set that is too large.
pub(super) fn check_tag_set(tags: &TagSet) -> Result<(), Refused> {
    if tags.as_str().len() <= TAG_SET_BYTES_MAX {
        return Ok(());
    }
    Err(Refused::over(
        Limit::TagSetBytes,
        format!("max key length exceeded: a tag set has over {TAG_SET_BYTES_MAX} bytes"),
    ))
}

/// The refusal of a string of a field.
pub(super) fn string_too_long(measurement: &str, field: &str) -> Refused {
    Refused::over(
        Limit::StringBytes,
        format!(
            "max string length exceeded: input field \"{field}\" on measurement \"{measurement}\" \
             has over {STRING_BYTES_MAX} bytes"
        ),
    )
}

/// The refusal of a field for which its measurement has no room.
pub(super) fn too_many_columns(measurement: &str, max: u64) -> Refused {
    Refused::over(
        Limit::Columns,
        format!(
            "max_columns_per_measurement limit exceeded: ({max}) on measurement \"{measurement}\""
        ),
    )
}
