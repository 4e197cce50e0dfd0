//! Partitions: one shard duration of one retention policy, dropped whole when it expires.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::Error;
use crate::catalog::{Policy, PolicyId, Retention};
use crate::model::{FieldType, TimeRange, Timestamp};
use crate::segment::Segment;
use crate::tombstone::Tombstone;

/// Number of a partition, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u64);

/// A partition and the segments that hold its flushed data, lowest rank first.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    pub(crate) policy: PolicyId,
    /// First ns.
    pub(crate) start: i64,
    /// First ns after the last.
    pub(crate) end: i64,
    pub(crate) schema: Arc<Schema>,
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Segments that could not be opened. Their files stay, and so does what the manifest says of
    /// them; the partition is not merged.
    pub(crate) damaged: Vec<Damaged>,
    /// Deletions that mask some of its sources, by id.
    pub(crate) masks: Vec<Mask>,
}

/// A segment that could not be opened: an error for what touches its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// What did not verify, where, as [`Error::Corrupt`] has it.
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// Its times, as the manifest has them.
    pub(crate) range: TimeRange,
    pub(crate) rank_high: u64,
}

impl Damaged {
    pub(crate) fn error(&self) -> Error {
        Error::Corrupt {
            what: self.what,
            path: self.path.clone(),
            offset: self.offset,
        }
    }
}

/// A tombstone of a partition, and the segments that it need not mask.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mask {
    pub(crate) tombstone: Arc<Tombstone>,
    /// Segments of lower rank that hold none of what it covers: a merge left it out, or it was
    /// never there.
    pub(crate) clean: Vec<u64>,
}

impl Mask {
    /// Whether rows of `segment` may be hidden by it.
    pub(crate) fn hides(&self, segment: &Segment) -> bool {
        let identity = segment.identity();
        identity.rank_hi < self.tombstone.rank && !self.clean.contains(&identity.segment)
    }
}

impl Partition {
    /// The tombstones that mask `segment`.
    pub(crate) fn masks_of(&self, segment: &Segment) -> Vec<Arc<Tombstone>> {
        self.masks
            .iter()
            .filter(|mask| mask.hides(segment))
            .map(|mask| Arc::clone(&mask.tombstone))
            .collect()
    }

    /// The tombstones that mask a generation: those that were made after it was frozen.
    pub(crate) fn masks_of_generation(&self, rank: u64) -> Vec<Arc<Tombstone>> {
        self.masks
            .iter()
            .filter(|mask| mask.tombstone.rank > rank)
            .map(|mask| Arc::clone(&mask.tombstone))
            .collect()
    }

    /// Notes which of the segments `new` the tombstones do not touch. Where that cannot be told,
    /// they are masked.
    pub(crate) fn clear_masks(&mut self, new: &[Arc<Segment>]) {
        for mask in &mut self.masks {
            for segment in new {
                if mask.hides(segment) && matches!(mask.tombstone.touches(segment), Ok(false)) {
                    mask.clean.push(segment.identity().segment);
                }
            }
        }
    }

    /// Drops the tombstones that mask nothing any more. `frozen` is the rank of the generation
    /// that waits for its flush.
    pub(crate) fn retire_masks(&mut self, frozen: Option<u64>) {
        let (segments, damaged) = (&self.segments, &self.damaged);
        self.masks.retain(|mask| {
            frozen.is_some_and(|rank| rank < mask.tombstone.rank)
                || damaged
                    .iter()
                    .any(|there| there.rank_high < mask.tombstone.rank)
                || segments.iter().any(|segment| mask.hides(segment))
        });
    }

    /// Puts `merged` in the place of `len` segments from `at`. It was written without the rows
    /// that the tombstones `left_out` cover.
    pub(crate) fn replace_segments(
        &mut self,
        at: usize,
        len: usize,
        merged: Option<&Arc<Segment>>,
        left_out: &[u64],
    ) {
        let old: Vec<Arc<Segment>> = self
            .segments
            .splice(at..at + len, merged.cloned())
            .collect();
        for mask in &mut self.masks {
            let is_clean = left_out.contains(&mask.tombstone.id)
                || !old.iter().any(|segment| mask.hides(segment));
            let gone = |id: &u64| old.iter().any(|segment| segment.identity().segment == *id);
            mask.clean.retain(|id| !gone(id));
            if let Some(merged) = merged
                && is_clean
                && mask.hides(merged)
            {
                mask.clean.push(merged.identity().segment);
            }
        }
    }
    pub(crate) fn range(&self) -> TimeRange {
        TimeRange {
            start: Timestamp(self.start),
            end: Timestamp(self.end.saturating_sub(1)),
        }
    }

    /// Whether everything in it is older than the policy keeps.
    pub(crate) fn is_expired(&self, retention: Retention, now: Timestamp) -> bool {
        match retention {
            Retention::Forever => false,
            Retention::For(ns) => self.end.saturating_add(ns) <= now.0,
        }
    }
}

/// The bounds of the partition of `policy` that holds `time`, kept clear of those that are there:
/// a policy whose shard duration was altered has partitions of several lengths.
pub(crate) fn plan_bounds<'a>(
    policy: &Policy,
    time: Timestamp,
    existing: impl Iterator<Item = &'a Partition>,
) -> (i64, i64) {
    let start = aligned(time, policy.shard_duration_ns);
    let end = start.saturating_add(policy.shard_duration_ns);
    existing.fold((start, end), |(start, end), there| {
        if there.end <= time.0 {
            (start.max(there.end), end)
        } else if there.start > time.0 {
            (start, end.min(there.start))
        } else {
            (start, end)
        }
    })
}

/// The start of the shard that holds `time`: shards are counted from the year 1, so that weeks start
/// on a Monday, as InfluxDB's do.
fn aligned(time: Timestamp, every_ns: i64) -> i64 {
    let since_year_one = i128::from(time.0) + YEAR_ONE_NS;
    let into = since_year_one.rem_euclid(i128::from(every_ns));
    time.0.saturating_sub(i64::try_from(into).unwrap_or(0))
}

/// From 0001-01-01 to 1970-01-01.
const YEAR_ONE_NS: i128 = 62_135_596_800 * 1_000_000_000;

type Fields = HashMap<Arc<str>, FieldType>;

/// Which type each field of a partition has; the first write claims it.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    measurements: RwLock<HashMap<Arc<str>, Fields>>,
}

impl Schema {
    /// Claims `field` of `measurement` as `field_type`; answers the type that it has.
    pub(crate) fn claim(
        &self,
        measurement: &Arc<str>,
        field: &Arc<str>,
        field_type: FieldType,
    ) -> FieldType {
        if let Some(there) = self.field_type(measurement, field) {
            return there;
        }
        let mut measurements = self.measurements.write();
        let fields = measurements.entry(Arc::clone(measurement)).or_default();
        *fields.entry(Arc::clone(field)).or_insert(field_type)
    }

    /// Whether `measurement` has `max` fields, and `field` is none of them.
    pub(crate) fn is_full(&self, measurement: &str, field: &str, max: u64) -> bool {
        let measurements = self.measurements.read();
        let fields = measurements.get(measurement);
        fields.map_or(max == 0, |fields| {
            fields.len() as u64 >= max && !fields.contains_key(field)
        })
    }

    /// Frees `field` of `measurement` for another type.
    pub(crate) fn release(&self, measurement: &str, field: &str) {
        let mut measurements = self.measurements.write();
        if let Some(fields) = measurements.get_mut(measurement) {
            fields.remove(field);
            if fields.is_empty() {
                measurements.remove(measurement);
            }
        }
    }

    /// The fields of a measurement and their types.
    pub(crate) fn fields(&self, measurement: &str) -> Vec<(Arc<str>, FieldType)> {
        let measurements = self.measurements.read();
        let fields = measurements.get(measurement).into_iter().flatten();
        fields
            .map(|(name, kind)| (Arc::clone(name), *kind))
            .collect()
    }

    pub(crate) fn field_type(&self, measurement: &str, field: &str) -> Option<FieldType> {
        self.measurements
            .read()
            .get(measurement)?
            .get(field)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_wal::storage::{Memory, ReadMode};

    use super::*;
    use crate::catalog::{DAY_NS, HOUR_NS};
    use crate::model::{TagSet, Values};
    use crate::segment::{SegmentBuilder, SegmentIdentity};
    use crate::tombstone::Covered;

    fn policy(shard_duration_ns: i64) -> Policy {
        Policy {
            id: PolicyId(1),
            name: "p".to_owned(),
            retention: Retention::Forever,
            shard_duration_ns,
            replication: 1,
            subscriptions: Vec::new(),
        }
    }

    fn partition(start: i64, end: i64) -> Partition {
        Partition {
            id: PartitionId(1),
            policy: PolicyId(1),
            start,
            end,
            schema: Arc::default(),
            segments: Vec::new(),
            damaged: Vec::new(),
            masks: Vec::new(),
        }
    }

    #[test]
    fn a_time_before_1970_lies_in_its_window() {
        let bounds = plan_bounds(&policy(HOUR_NS), Timestamp(-1), [].iter());
        assert_eq!(bounds, (-HOUR_NS, 0));
    }

    #[test]
    fn a_longer_shard_duration_does_not_overlap_what_is_there() {
        let there = [partition(0, HOUR_NS), partition(3 * HOUR_NS, 4 * HOUR_NS)];
        let bounds = plan_bounds(&policy(DAY_NS), Timestamp(2 * HOUR_NS), there.iter());
        assert_eq!(bounds, (HOUR_NS, 3 * HOUR_NS));
    }

    #[test]
    fn the_extremes_of_time_have_a_partition() {
        let (start, _) = plan_bounds(&policy(DAY_NS), crate::model::TIME_MIN, [].iter());
        assert_eq!(start, i64::MIN);
        let (start, end) = plan_bounds(&policy(DAY_NS), crate::model::TIME_MAX, [].iter());
        assert!(start <= crate::model::TIME_MAX.0 && end == i64::MAX);
    }

    fn segment(storage: &Memory, id: u64, ranks: (u64, u64), time: i64) -> Arc<Segment> {
        let identity = SegmentIdentity {
            partition: 1,
            segment: id,
            rank_lo: ranks.0,
            rank_hi: ranks.1,
        };
        let mut builder = SegmentBuilder::new(identity);
        let times = builder.time_column(&[time]).unwrap();
        let tags = TagSet::from_canonical("pod=a");
        let values = Values::Integer(vec![1]);
        builder
            .chunk("cpu", "v", &tags, times, None, &values)
            .unwrap();
        let path = PathBuf::from(format!("{id}.seg"));
        let facts = builder.write(storage, &path).unwrap();
        Arc::new(Segment::open(storage, &path, &facts, ReadMode::Map).unwrap())
    }

    fn mask(id: u64, rank: u64) -> Mask {
        let tombstone = Arc::new(Tombstone {
            id,
            rank,
            measurements: ["cpu".into()].into(),
            covered: Covered::All,
            range: TimeRange {
                start: Timestamp(0),
                end: Timestamp(50),
            },
        });
        Mask {
            tombstone,
            clean: Vec::new(),
        }
    }

    #[test]
    fn a_tombstone_goes_when_every_segment_below_it_was_written_without_its_rows() {
        let storage = Memory::new();
        let mut there = partition(0, 100);
        there.segments = vec![
            segment(&storage, 1, (1, 1), 10),
            segment(&storage, 2, (2, 2), 20),
            segment(&storage, 3, (3, 3), 90),
            segment(&storage, 4, (4, 4), 30),
        ];
        there.masks = vec![mask(7, 4), mask(8, 5)];
        let all = there.segments.clone();
        there.clear_masks(&all);
        let masked = |partition: &Partition| -> Vec<usize> {
            let of = |segment: &Arc<Segment>| partition.masks_of(segment).len();
            partition.segments.iter().map(of).collect()
        };
        assert_eq!(
            masked(&there),
            [2, 2, 0, 1],
            "the third has no point in the range"
        );
        assert_eq!(there.masks_of_generation(4).len(), 1);
        // The merge began before tombstone 8 was made.
        let merged = segment(&storage, 5, (1, 2), 60);
        there.replace_segments(0, 2, Some(&merged), &[7]);
        there.retire_masks(None);
        assert_eq!(masked(&there), [1, 0, 1]);
        assert_eq!(
            there.masks.len(),
            1,
            "tombstone 7 masked the two that are gone"
        );
        // Its inputs are those that 8 need not mask, and one that it must.
        let merged = segment(&storage, 6, (1, 3), 60);
        there.replace_segments(0, 2, Some(&merged), &[]);
        assert_eq!(masked(&there), [1, 1]);
        there.replace_segments(0, 2, None, &[8]);
        there.retire_masks(Some(4));
        assert_eq!(there.masks.len(), 1, "a frozen generation is below it");
        there.retire_masks(Some(5));
        assert!(there.masks.is_empty());
    }

    #[test]
    fn a_released_field_may_have_another_type() {
        let schema = Schema::default();
        let (m, f) = ("m".into(), "f".into());
        schema.claim(&m, &f, FieldType::Float);
        schema.release("m", "f");
        assert_eq!(schema.fields("m"), []);
        assert_eq!(schema.claim(&m, &f, FieldType::String), FieldType::String);
    }

    #[test]
    fn the_first_type_of_a_field_stays() {
        let schema = Schema::default();
        let (m, f) = ("m".into(), "f".into());
        assert_eq!(schema.claim(&m, &f, FieldType::Float), FieldType::Float);
        assert_eq!(schema.claim(&m, &f, FieldType::Integer), FieldType::Float);
    }
}
