//! What a data directory that nothing uses is made of: partitions, segments, columns, cardinality.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use plimsoll_wal::log::recover;
use plimsoll_wal::storage::{ReadMode, Storage};
use roaring::RoaringBitmap;

use crate::catalog::Catalog;
use crate::check::take;
use crate::log::{Decoder, Entry};
use crate::manifest::{Manifest, Paths};
use crate::model::{FieldType, TimeRange, Timestamp, tags};
use crate::partition::PartitionId;
use crate::segment::{BlockRef, Segment};
use crate::{Error, Result};

/// A segment, as its manifest entry and its file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedSegment {
    /// Its number.
    pub id: u64,
    /// The lowest and highest rank in it.
    pub ranks: (u64, u64),
    /// The file's length.
    pub len_bytes: u64,
    /// Of those, encoded values.
    pub value_bytes: u64,
    /// Field values.
    pub values: u64,
    /// Tag sets.
    pub tag_sets: u64,
    /// Its first and last time.
    pub range: TimeRange,
}

/// A partition with its segments, lowest rank first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedPartition {
    /// Its number.
    pub id: PartitionId,
    /// Its database; empty where that is gone.
    pub database: String,
    /// Its retention policy.
    pub policy: String,
    /// Its first time, and the first behind its last.
    pub bounds: (Timestamp, Timestamp),
    /// Deletions that hide points of its segments until they are merged.
    pub tombstones: usize,
    /// Its segments.
    pub segments: Vec<InspectedSegment>,
}

/// A column in all segments of a database and policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InspectedColumn {
    /// Field values.
    pub values: u64,
    /// Their encoded bytes, without times and index.
    pub value_bytes: u64,
    /// Chunks: one for each series and segment.
    pub chunks: u64,
}

/// Which column: database, policy, measurement, field, type.
pub type ColumnName = (String, String, Arc<str>, Arc<str>, FieldType);

/// What the log holds that no segment does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InspectedLog {
    /// Frames.
    pub frames: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Field values in them.
    pub values: u64,
}

/// What a directory is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspected {
    /// By number.
    pub partitions: Vec<InspectedPartition>,
    /// By name.
    pub columns: BTreeMap<ColumnName, InspectedColumn>,
    /// How many tag sets each measurement has, by database, policy and name.
    pub measurements: BTreeMap<(String, String, Arc<str>), u64>,
    /// How many values each tag key has, by database, policy and key.
    pub tags: BTreeMap<(String, String, String), u64>,
    /// The log.
    pub log: InspectedLog,
}

/// What is distinct, by hash: the names themselves may be millions.
#[derive(Default)]
struct Distinct {
    hasher: RandomState,
    measurements: BTreeMap<(String, String, Arc<str>), HashSet<u64>>,
    tags: BTreeMap<(String, String, String), HashSet<u64>>,
}

/// Reads the index of a data directory and what of its log no segment covers. It changes nothing.
///
/// # Errors
/// `Invalid` where there is no data; `Corrupt`; `Storage` where another process has the directory.
pub fn inspect(storage: &Arc<dyn Storage>, directory: &Path) -> Result<Inspected> {
    let (paths, _lock) = take(storage, directory)?;
    let manifest = Manifest::read(&**storage, &paths.root)?.unwrap_or_default();
    let mut inspected = Inspected::default();
    let mut distinct = Distinct::default();
    for entry in &manifest.partitions {
        let (database, policy) = names(&manifest.catalog, entry);
        let mut segments = Vec::new();
        for segment in &entry.segments {
            let path = paths.segment(entry.id, segment.id);
            let opened = Segment::open(&**storage, &path, &segment.facts, ReadMode::Map)?;
            let value_bytes = inspect_columns(&opened, (&database, &policy), &mut inspected)?;
            distinct.add(&opened, &database, &policy)?;
            segments.push(InspectedSegment {
                id: segment.id,
                ranks: (segment.rank_low, segment.rank_high),
                len_bytes: segment.facts.len_bytes,
                value_bytes,
                values: segment.facts.points,
                tag_sets: u64::from(segment.facts.tag_sets),
                range: segment.facts.time_range(),
            });
        }
        inspected.partitions.push(InspectedPartition {
            id: entry.id,
            database,
            policy,
            bounds: (Timestamp(entry.start), Timestamp(entry.end)),
            tombstones: entry.masks.len(),
            segments,
        });
    }
    let count = |set: HashSet<u64>| set.len() as u64;
    inspected.measurements = distinct
        .measurements
        .into_iter()
        .map(|(name, set)| (name, count(set)))
        .collect();
    inspected.tags = distinct
        .tags
        .into_iter()
        .map(|(name, set)| (name, count(set)))
        .collect();
    inspected.log = inspect_log(storage, &paths, manifest.log_covered)?;
    Ok(inspected)
}

fn names(catalog: &Catalog, entry: &crate::manifest::PartitionEntry) -> (String, String) {
    match catalog.policy_by_id(entry.policy) {
        Some((database, policy)) => (database.name.clone(), policy.name.clone()),
        None => Default::default(),
    }
}

fn inspect_columns(
    segment: &Segment,
    (database, policy): (&str, &str),
    inspected: &mut Inspected,
) -> Result<u64> {
    let everything: RoaringBitmap = (0..segment.tag_sets_count()).collect();
    let all = TimeRange {
        start: Timestamp(i64::MIN),
        end: Timestamp(i64::MAX),
    };
    let mut value_bytes = 0;
    for measurement in segment.measurements() {
        for (field, field_type, id) in segment.columns(measurement) {
            let mut found = InspectedColumn::default();
            segment.scan(id, &everything, all, &mut |_, blocks| {
                found.chunks += 1;
                found.value_bytes += blocks.iter().map(BlockRef::encoded_bytes).sum::<u64>();
                found.values += blocks
                    .iter()
                    .map(|block| u64::from(block.count))
                    .sum::<u64>();
                Ok(())
            })?;
            let name = (
                database.to_owned(),
                policy.to_owned(),
                Arc::clone(measurement),
                Arc::clone(field),
                field_type,
            );
            value_bytes += found.value_bytes;
            let column = inspected.columns.entry(name).or_default();
            column.chunks += found.chunks;
            column.values += found.values;
            column.value_bytes += found.value_bytes;
        }
    }
    Ok(value_bytes)
}

impl Distinct {
    fn add(&mut self, segment: &Segment, database: &str, policy: &str) -> Result<()> {
        let hasher = &self.hasher;
        for measurement in segment.measurements() {
            let name = (
                database.to_owned(),
                policy.to_owned(),
                Arc::clone(measurement),
            );
            let set = self.measurements.entry(name).or_default();
            let ids = segment.measurement_ids(measurement)?;
            segment.each_tag_set(&ids, &mut |_, text| {
                set.insert(hasher.hash_one(text));
                Ok(())
            })?;
        }
        let everything: RoaringBitmap = (0..segment.tag_sets_count()).collect();
        let keys = &mut self.tags;
        segment.each_tag_set(&everything, &mut |_, text| {
            for (key, value) in tags::pairs(text) {
                let name = (database.to_owned(), policy.to_owned(), key.into_owned());
                keys.entry(name)
                    .or_default()
                    .insert(hasher.hash_one(&*value));
            }
            Ok(())
        })
    }
}

fn inspect_log(storage: &Arc<dyn Storage>, paths: &Paths, covered: u64) -> Result<InspectedLog> {
    let (mut decoder, mut log) = (Decoder::default(), InspectedLog::default());
    recover(storage, &paths.log(), covered, &mut |frame| {
        log.frames += 1;
        log.body_bytes += frame.body.len() as u64;
        let read = decoder.apply(frame.body, &mut |entry| {
            if let Entry::Row(row) = entry {
                log.rows += 1;
                log.values += row.values().count() as u64;
            }
        });
        // What cannot be read is `check`'s to say.
        if read.is_err() {
            decoder.skip();
        }
        Ok::<(), Error>(())
    })?;
    Ok(log)
}
