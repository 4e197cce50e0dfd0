//! A head that takes writes until it is frozen, and answers reads until it is flushed.

mod define;
mod list;
mod pending;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use hashbrown::DefaultHashBuilder;
use parking_lot::{Mutex, MutexGuard, RwLock};
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use crate::Result;
use crate::log::{Record, put_record};
use crate::model::{FieldType, Place, TagSet, TimeRange, Values};
use crate::partition::{PartitionId, Schema};
use crate::predicate::TagPredicate;
use crate::snapshot::Rows;
use crate::tombstone::{Covered, Tombstone};

use super::columns::{ColumnDefinition, Columns};
use super::group::{GroupRows, Room, RowGroup};
use super::index::HeadIndex;
use super::listing::Listing;
use super::shard::{Incoming, RowTarget, Shard};
use super::times::ReadTimes;
use pending::Pending;

/// How many shards; a power of two. The log's sections are numbered by them: another number needs
/// another version of the log.
pub(super) const SHARDS: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Generation {
    /// Its rank among the sources of a partition.
    pub(crate) id: u64,
    hasher: DefaultHashBuilder,
    shards: Box<[Mutex<Shard>]>,
    columns: RwLock<Columns>,
    /// What [`Self::index`] reads.
    index: RwLock<HeadIndex>,
    pending: Pending,
    /// The same tag sets, in order.
    listing: Listing,
    /// (shard, entry) of each tag-set number.
    pub(super) places: RwLock<Vec<(u32, u32)>>,
    /// Log bytes of columns, partitions and catalog changes: drained last, written first.
    definitions: Mutex<Vec<u8>>,
    pub(super) next_group: AtomicU32,
    bytes: AtomicUsize,
}

impl Generation {
    /// An empty generation; says so in the log.
    pub(crate) fn new(id: u64) -> Self {
        let generation = Self::unlogged(id);
        generation.define(&Record::Generation(id));
        generation
    }

    /// An empty generation that the log knows already.
    pub(crate) fn unlogged(id: u64) -> Self {
        Self {
            id,
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            columns: RwLock::default(),
            index: RwLock::default(),
            pending: Pending::default(),
            listing: Listing::default(),
            places: RwLock::default(),
            definitions: Mutex::default(),
            next_group: AtomicU32::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Roughly how much memory it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn add_bytes(&self, grown: isize) {
        // Wraps around: what shrinks was counted before.
        self.bytes
            .fetch_add(grown.cast_unsigned(), Ordering::Relaxed);
    }

    /// Logs a definition that stands before all rows of its frame.
    pub(crate) fn define(&self, record: &Record<'_>) {
        put_record(&mut self.definitions.lock(), record);
    }

    /// Logs a record that stands behind every row so far and before every later one. The caller
    /// keeps writers out.
    pub(crate) fn log_behind_rows(&self, record: &Record<'_>) {
        let mut rows = Vec::new();
        self.drain_rows(&mut rows);
        let mut definitions = self.definitions.lock();
        definitions.append(&mut rows);
        put_record(&mut definitions, record);
    }

    /// Removes what a tombstone covers from a partition: the same for a deletion and for replay.
    /// The caller keeps writers out; readers see each series with or without it.
    pub(crate) fn delete(&self, partition: PartitionId, tombstone: &Tombstone) {
        for measurement in &tombstone.measurements {
            let columns: SmallVec<[u32; 16]> = self
                .columns
                .read()
                .of_measurement(partition, measurement)
                .collect();
            let mut ids = self.index().measurement(partition, measurement);
            if let Covered::These(sets) = &tombstone.covered
                && !ids.is_empty()
            {
                ids &= sets
                    .iter()
                    .filter_map(|tags| self.id_of(tags))
                    .collect::<RoaringBitmap>();
            }
            let mut emptied = RoaringBitmap::new();
            for id in ids {
                let deleted = self.with_tag_set(id, |shard, entry| {
                    shard.delete(entry, partition, &columns, tombstone.range)
                });
                if let Some((is_empty, grown)) = deleted {
                    self.add_bytes(grown);
                    if is_empty {
                        emptied.insert(id);
                    }
                }
            }
            let mut index = self.index.write();
            index.remove_series(partition, measurement, &emptied);
        }
    }

    /// The number of a tag set, if it is here.
    fn id_of(&self, tags: &TagSet) -> Option<u32> {
        let (hash, shard) = self.place(tags);
        let shard = self.shards[shard].lock();
        shard.find(hash, tags).map(|entry| shard.entries[entry].id)
    }

    /// Forgets a column of which nothing is left in its partition.
    pub(crate) fn forget_column(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
        field: &str,
    ) {
        let mut columns = self.columns.write();
        columns.remove(partition, measurement, field);
    }

    /// Moves everything that is not yet in the log to `out`, definitions first.
    ///
    /// Shards are drained first and definitions last: a row that is drained had its definition
    /// made before, so it is in this frame or an earlier one.
    pub(crate) fn drain(&self, out: &mut Vec<u8>) {
        let mut rows = Vec::new();
        self.drain_rows(&mut rows);
        out.append(&mut self.definitions.lock());
        out.append(&mut rows);
    }

    fn drain_rows(&self, out: &mut Vec<u8>) {
        for (number, shard) in self.shards.iter().enumerate() {
            shard.lock().drain(number, out);
        }
    }

    /// The number of a column of `field_type`, made where it is new. The partition has another
    /// type for it: that one.
    pub(crate) fn column(
        &self,
        partition: PartitionId,
        schema: &Schema,
        measurement: &Arc<str>,
        field: &Arc<str>,
        field_type: FieldType,
    ) -> Result<u32, FieldType> {
        if let Some(found) = self.find_column(partition, measurement, field) {
            return match found {
                (number, there) if there == field_type => Ok(number),
                (_, there) => Err(there),
            };
        }
        let claimed = schema.claim(measurement, field, field_type);
        if claimed != field_type {
            return Err(claimed);
        }
        let mut columns = self.columns.write();
        if let Some(number) = columns.find(partition, measurement, field) {
            return Ok(number);
        }
        let number = columns.define(ColumnDefinition {
            partition,
            measurement: Arc::clone(measurement),
            field: Arc::clone(field),
            field_type,
        });
        self.define(&Record::Column {
            column: number,
            partition,
            field_type,
            measurement,
            field,
        });
        Ok(number)
    }

    fn find_column(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
        field: &str,
    ) -> Option<(u32, FieldType)> {
        let columns = self.columns.read();
        let number = columns.find(partition, measurement, field)?;
        columns
            .definition(number)
            .map(|column| (number, column.field_type))
    }

    pub(super) fn insert_column(&self, number: u32, definition: ColumnDefinition) {
        self.columns.write().insert(number, definition);
    }

    pub(crate) fn definition(&self, column: u32) -> Option<Arc<ColumnDefinition>> {
        self.columns.read().definition(column).cloned()
    }

    fn place(&self, tags: &TagSet) -> (u64, usize) {
        (self.hasher.hash_one(tags.as_str()), self.shard_of(tags))
    }

    /// The shard of a tag set: the same in every process, for the log's sections go by it.
    pub(super) fn shard_of(&self, tags: &TagSet) -> usize {
        crc32fast::hash(tags.as_str().as_bytes()) as usize % SHARDS
    }

    /// The shard of a tag set that is there.
    pub(super) fn shard_of_number(&self, tag_set: u32) -> Option<usize> {
        let (shard, _) = *self.places.read().get(tag_set as usize)?;
        (shard != u32::MAX).then_some(shard as usize)
    }

    /// The entry of a tag set that is in a shard.
    pub(super) fn entry_of(&self, shard: usize, tag_set: u32) -> Option<usize> {
        let (there, entry) = *self.places.read().get(tag_set as usize)?;
        (there as usize == shard).then_some(entry as usize)
    }

    /// Locks a shard.
    pub(super) fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].lock()
    }

    /// Runs `then` on the shard and entry of a tag-set number.
    pub(super) fn with_tag_set<T>(
        &self,
        id: u32,
        then: impl FnOnce(&mut Shard, usize) -> T,
    ) -> Option<T> {
        let (shard, entry) = *self.places.read().get(id as usize)?;
        let mut shard = self.shards.get(shard as usize)?.lock();
        Some(then(&mut shard, entry as usize))
    }

    /// Writes the values of one tag set and time; answers by how much the memory grew, which the
    /// caller adds up. The tag set comes with the place where it may be.
    pub(crate) fn write_row(
        &self,
        (tags, place): (&TagSet, &Place),
        partition: PartitionId,
        time: i64,
        incoming: &[Incoming<'_>],
        failures: u64,
    ) -> isize {
        let (id, effect) = self.with_entry(tags, place, |shard, entry| {
            let target = RowTarget {
                entry,
                partition,
                time,
                failures,
                type_of: &|column| self.type_of(column),
                next_group: &|| self.next_group.fetch_add(1, Ordering::Relaxed),
            };
            let effect = shard.write_row(&target, incoming);
            (shard.entries[entry].id, effect)
        });
        if !effect.columns_added.is_empty() {
            self.pend_columns(id, &effect.columns_added);
        }
        effect.bytes
    }

    fn type_of(&self, column: u32) -> FieldType {
        self.definition(column)
            .expect("a column is defined before a row uses it")
            .field_type
    }

    /// Columns of one partition.
    pub(crate) fn columns_of(&self, partition: PartitionId) -> Vec<Arc<ColumnDefinition>> {
        self.columns
            .read()
            .of_partition(partition)
            .cloned()
            .collect()
    }

    /// Measurements of one partition.
    pub(crate) fn measurements(&self, partition: PartitionId) -> Vec<Arc<str>> {
        self.index().measurements(partition).cloned().collect()
    }

    /// Whether a series of the measurement is there.
    pub(crate) fn has_measurement(&self, partition: PartitionId, measurement: &Arc<str>) -> bool {
        !self.index().measurement(partition, measurement).is_empty()
    }

    /// Numbers of the tag sets of a measurement that fulfil `predicate`.
    pub(crate) fn select(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
        predicate: &TagPredicate,
    ) -> Result<RoaringBitmap> {
        let index = self.index();
        let ids = index.measurement(partition, measurement);
        Ok(
            if ids.is_empty() || matches!(predicate, TagPredicate::All) {
                ids
            } else {
                ids & predicate.select(&*index)?
            },
        )
    }

    /// Tag keys of a measurement.
    pub(crate) fn tag_keys(&self, partition: PartitionId, measurement: &Arc<str>) -> Vec<Arc<str>> {
        let index = self.index();
        let ids = index.measurement(partition, measurement);
        index.keys_of(&ids).map(Arc::from).collect()
    }

    /// The tags behind a number.
    pub(crate) fn tags(&self, id: u32) -> Option<TagSet> {
        self.with_tag_set(id, |shard, entry| shard.entries[entry].tags.clone())
    }

    /// Appends the points of one column of a tag set to `times` and `values`.
    pub(crate) fn read(
        &self,
        tag_set: u32,
        partition: PartitionId,
        column: (&Arc<str>, &str, FieldType),
        range: TimeRange,
        times: &mut Vec<i64>,
        values: &mut Values,
    ) {
        let (measurement, field, field_type) = column;
        let Some((number, there)) = self.find_column(partition, measurement, field) else {
            return;
        };
        if there != field_type {
            return;
        }
        self.with_group_of(tag_set, partition, number, |room, group, slot| {
            let mut read = ReadTimes::from(std::mem::take(times));
            group.read(room, slot, range, &mut read, values);
            *times = read.into_vec();
        });
    }

    /// The number of a column of this type, if it is here.
    pub(crate) fn column_number(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
        field: &str,
        field_type: FieldType,
    ) -> Option<u32> {
        let (number, there) = self.find_column(partition, measurement, field)?;
        (there == field_type).then_some(number)
    }

    /// As [`Self::read`], of a column by number; of the rows at least those that are wanted.
    #[expect(
        clippy::too_many_arguments,
        reason = "what, where, and two columns to fill"
    )]
    pub(crate) fn read_column(
        &self,
        tag_set: u32,
        partition: PartitionId,
        column: u32,
        range: TimeRange,
        rows: Rows,
        times: &mut ReadTimes,
        values: &mut Values,
    ) {
        let mut grown = 0;
        self.with_group_of(tag_set, partition, column, |room, group, slot| {
            group.read_wanted(room, slot, range, rows, times, values);
            if rows == Rows::All && range.start.0 <= group.base().0 {
                grown = group.was_read(room);
            }
        });
        if grown != 0 {
            self.add_bytes(grown);
        }
    }

    /// How many points a column of a tag set has in `range`; none where only reading them tells.
    pub(crate) fn count_column(
        &self,
        tag_set: u32,
        partition: PartitionId,
        column: u32,
        range: TimeRange,
    ) -> Option<usize> {
        let mut count = Some(0);
        self.with_group_of(tag_set, partition, column, |room, group, slot| {
            count = group.count(room, slot, range);
        });
        count
    }

    fn with_group_of(
        &self,
        tag_set: u32,
        partition: PartitionId,
        column: u32,
        then: impl FnOnce(&mut Room, &mut RowGroup, usize),
    ) {
        self.with_tag_set(tag_set, |shard, entry| {
            let mut groups = shard.groups_of(entry, partition).iter();
            let found = groups.find_map(|group| {
                let group = *group as usize;
                shard.groups[group]
                    .slot(column, 0)
                    .map(|slot| (group, slot))
            });
            if let Some((group, slot)) = found {
                then(&mut shard.room, &mut shard.groups[group], slot);
            }
        });
    }

    /// Whether a measurement has a point of this tag set in `range`.
    pub(crate) fn has_points(
        &self,
        tag_set: u32,
        partition: PartitionId,
        measurement: &Arc<str>,
        range: TimeRange,
    ) -> bool {
        let columns = self.columns_of_measurement(partition, measurement);
        self.has_points_of(tag_set, partition, &columns, range)
    }

    /// The numbers of the columns of a measurement. Collected, as a shard's lock is never taken
    /// under that of the columns.
    fn columns_of_measurement(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
    ) -> SmallVec<[u32; 16]> {
        let columns = self.columns.read();
        columns.of_measurement(partition, measurement).collect()
    }

    /// Whether one of `columns` has a point of this tag set in `range`.
    fn has_points_of(
        &self,
        tag_set: u32,
        partition: PartitionId,
        columns: &[u32],
        range: TimeRange,
    ) -> bool {
        let found = self.with_tag_set(tag_set, |shard, entry| {
            shard.groups_of(entry, partition).iter().any(|group| {
                let group = &shard.groups[*group as usize];
                group.columns().iter().enumerate().any(|(slot, column)| {
                    columns.contains(column) && group.has_points(&shard.room, slot, range)
                })
            })
        });
        found.unwrap_or(false)
    }

    /// Visits every row group of a partition, in no order, with its tags. A shard is locked while
    /// one group of it is decoded, so that queries go on.
    pub(crate) fn each_group(
        &self,
        partition: PartitionId,
        visit: &mut dyn FnMut(&TagSet, GroupRows) -> Result<()>,
    ) -> Result<()> {
        for shard in &self.shards {
            let mut next = (0, 0);
            loop {
                let decoded = next_group(&shard.lock(), partition, &mut next);
                let Some((tags, rows)) = decoded else { break };
                visit(&tags, rows)?;
            }
        }
        Ok(())
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.read().is_empty()
    }

    /// Partitions that have columns here.
    pub(crate) fn has_partition(&self, partition: PartitionId) -> bool {
        self.columns.read().of_partition(partition).next().is_some()
    }
}

/// Decodes the next group of a partition from (entry, group of the entry) on.
fn next_group(
    shard: &Shard,
    partition: PartitionId,
    (entry, at): &mut (usize, usize),
) -> Option<(TagSet, GroupRows)> {
    while let Some(there) = shard.entries.get(*entry) {
        while let Some(index) = shard.groups_of(*entry, partition).get(*at) {
            *at += 1;
            let group = &shard.groups[*index as usize];
            if !group.is_empty(&shard.room) {
                return Some((there.tags.clone(), group.rows(&shard.room)));
            }
        }
        (*entry, *at) = (*entry + 1, 0);
    }
    None
}
