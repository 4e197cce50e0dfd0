//! One shard of a generation: tag sets, their row groups, and the log bytes not yet drained.

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::log::{Context, Record, RowValues, put_record};
use crate::model::{FieldType, FieldValue, TagSet, TimeRange};
use crate::partition::PartitionId;

use super::group::{GROUP_COLUMNS_MAX, Room, RowGroup};
use super::shape::Shapes;

/// The buffer of undrained log bytes keeps this much between commits.
const BUFFER_KEPT_BYTES: usize = 64 << 10;

/// A tag set and where its rows are.
#[derive(Debug)]
pub(crate) struct TagEntry {
    /// Number in the generation.
    pub(crate) id: u32,
    pub(crate) tags: TagSet,
    /// Indices into the shard's groups, those of a partition together: see [`Shard::groups_of`].
    groups: SmallVec<[u32; 2]>,
}

/// A tag set's place in the table: with part of its hash, so that the table grows, and looks at
/// neighbours, without a look at their texts.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    entry: u32,
}

impl Slot {
    fn part_of(hash: u64) -> u32 {
        u32::try_from(hash >> 32).expect("half of the bits")
    }

    /// The hash that the table goes by.
    fn spread(part: u32) -> u64 {
        u64::from(part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    by_tags: HashTable<Slot>,
    pub(crate) entries: Vec<TagEntry>,
    pub(crate) groups: Vec<RowGroup>,
    pub(crate) room: Room,
    pub(super) shapes: Shapes,
    buffer: Vec<u8>,
    context: Context,
    scratch: RowValues,
}

/// A value on its way into a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) column: u32,
    pub(crate) value: &'a FieldValue,
}

/// Where a row goes, and whom to ask about columns and groups.
pub(crate) struct RowTarget<'a> {
    /// Index of the tag set's entry.
    pub(crate) entry: usize,
    pub(crate) partition: PartitionId,
    /// ns.
    pub(crate) time: i64,
    /// Failed appends of the log before this write.
    pub(crate) failures: u64,
    /// A column's type.
    pub(crate) type_of: &'a dyn Fn(u32) -> FieldType,
    /// A number for a new group.
    pub(crate) next_group: &'a dyn Fn() -> u32,
}

/// What a row changed, for the index.
#[derive(Debug, Default)]
pub(crate) struct RowEffect {
    /// By how much the memory grew.
    pub(crate) bytes: isize,
    /// Columns that this tag set did not have before, or not since a deletion.
    pub(crate) columns_added: SmallVec<[u32; 4]>,
}

impl Shard {
    /// The entry of `tags`, if it is here. `hash` is that of its canonical text.
    pub(crate) fn find(&self, hash: u64, tags: &TagSet) -> Option<usize> {
        let hash = Slot::part_of(hash);
        let found = self.by_tags.find(Slot::spread(hash), |slot| {
            slot.hash == hash && self.entries[slot.entry as usize].tags == *tags
        });
        found.map(|slot| slot.entry as usize)
    }

    /// Adds an entry. `hash` is that of its canonical text.
    pub(crate) fn add_tag_set(&mut self, hash: u64, id: u32, tags: TagSet) -> usize {
        let index = self.entries.len();
        let number = u32::try_from(index).expect("ids are u32, and a shard holds some of them");
        self.entries.push(TagEntry {
            id,
            tags,
            groups: SmallVec::new(),
        });
        let slot = Slot {
            hash: Slot::part_of(hash),
            entry: number,
        };
        self.by_tags
            .insert_unique(Slot::spread(slot.hash), slot, |slot| {
                Slot::spread(slot.hash)
            });
        index
    }

    /// Logs a definition.
    pub(crate) fn log(&mut self, record: &Record<'_>) {
        self.open_buffer();
        put_record(&mut self.buffer, record);
    }

    fn open_buffer(&mut self) {
        if self.buffer.is_empty() {
            put_record(&mut self.buffer, &Record::Context);
            self.context = Context::default();
        }
    }

    /// Moves the undrained log bytes to `out`, as a section.
    pub(crate) fn drain(&mut self, number: usize, out: &mut Vec<u8>) {
        if self.buffer.is_empty() {
            return;
        }
        let section = Record::Section {
            shard: number as u64,
            records: &self.buffer,
        };
        put_record(out, &section);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_BYTES);
    }

    /// The indices of a tag set's groups in a partition. Groups stand in the order of partitions, so
    /// that points of ten years in one head do not look at each other's.
    pub(crate) fn groups_of(&self, entry: usize, partition: PartitionId) -> &[u32] {
        let all = &self.entries[entry].groups;
        let of = |index: &u32| self.groups[*index as usize].partition;
        let start = all.partition_point(|index| of(index) < partition);
        let rest = &all[start..];
        &rest[..rest.partition_point(|index| of(index) == partition)]
    }

    /// Writes one row (values of one tag set and time) into the groups that hold its columns.
    /// Later values of one column win.
    pub(crate) fn write_row(
        &mut self,
        target: &RowTarget<'_>,
        incoming: &[Incoming<'_>],
    ) -> RowEffect {
        let RowTarget {
            entry,
            partition,
            time,
            failures,
            ..
        } = *target;
        let mut effect = RowEffect::default();
        let mut unplaced: SmallVec<[Incoming<'_>; 4]> = SmallVec::new();
        let mut placed = 0;
        let mut touched: Option<usize> = None;
        let groups: SmallVec<[u32; 2]> = self.groups_of(entry, partition).into();
        for index in groups.iter().map(|index| *index as usize) {
            let mut values = std::mem::take(&mut self.scratch);
            values.clear();
            for one in incoming {
                if let Some(slot) = self.groups[index].slot(one.column, values.len()) {
                    values.set(slot, one.value);
                    placed += 1;
                }
            }
            if !values.is_empty() {
                self.open_buffer();
                let group = &mut self.groups[index];
                effect.bytes += group.write(
                    &mut self.room,
                    time,
                    &values,
                    &mut self.buffer,
                    &mut self.context,
                    failures,
                );
                effect.columns_added.extend(group.reveal(&values));
                touched = Some(index);
            }
            self.scratch = values;
            if placed == incoming.len() {
                return effect;
            }
        }
        for one in incoming {
            let known = groups
                .iter()
                .map(|index| &self.groups[*index as usize])
                .any(|group| group.slot(one.column, 0).is_some());
            if !known {
                unplaced.push(*one);
            }
        }
        self.write_new_columns(target, &unplaced, touched, &mut effect);
        effect
    }

    /// Columns that this tag set has not had: they join the group that the same row touched, or
    /// form groups of their own.
    fn write_new_columns(
        &mut self,
        target: &RowTarget<'_>,
        unplaced: &[Incoming<'_>],
        touched: Option<usize>,
        effect: &mut RowEffect,
    ) {
        let mut rest = unplaced;
        let mut joined = touched;
        while !rest.is_empty() {
            let index = match joined.take() {
                Some(index) if self.groups[index].columns().len() < GROUP_COLUMNS_MAX => index,
                _ => self.add_group(target, rest, effect),
            };
            let mut values = RowValues::default();
            let mut taken = 0;
            for one in rest {
                let slot = match self.groups[index].slot(one.column, values.len()) {
                    Some(slot) => slot,
                    None if self.groups[index].columns().len() < GROUP_COLUMNS_MAX => {
                        let group = self.groups[index].id;
                        self.log(&Record::GroupExtend {
                            group,
                            column: one.column,
                        });
                        effect.columns_added.push(one.column);
                        self.widen(index, one.column, (target.type_of)(one.column))
                    }
                    None => break,
                };
                values.set(slot, one.value);
                taken += 1;
            }
            self.open_buffer();
            let group = &mut self.groups[index];
            effect.bytes += group.write(
                &mut self.room,
                target.time,
                &values,
                &mut self.buffer,
                &mut self.context,
                target.failures,
            );
            rest = &rest[taken..];
        }
    }

    fn add_group(
        &mut self,
        target: &RowTarget<'_>,
        incoming: &[Incoming<'_>],
        effect: &mut RowEffect,
    ) -> usize {
        let RowTarget {
            entry, partition, ..
        } = *target;
        let id = (target.next_group)();
        let mut columns: Vec<u32> = Vec::with_capacity(incoming.len().min(GROUP_COLUMNS_MAX));
        for one in incoming {
            if columns.len() < GROUP_COLUMNS_MAX && !columns.contains(&one.column) {
                columns.push(one.column);
            }
        }
        effect.columns_added.extend_from_slice(&columns);
        let shape = self.shapes.intern(&columns, target.type_of);
        let group = RowGroup::new(id, partition, shape);
        effect.bytes += RowGroup::fixed_bytes(columns.len()).cast_signed();
        let tag_set = self.entries[entry].id;
        self.log(&Record::Group {
            group: id,
            tag_set,
            partition,
            columns,
        });
        self.insert_group(entry, group)
    }

    /// Gives a group one more column; answers its slot.
    pub(super) fn widen(&mut self, group: usize, column: u32, field_type: FieldType) -> usize {
        let group = &mut self.groups[group];
        let shape = self.shapes.extend(group.shape(), column, field_type);
        group.widen(&mut self.room, shape)
    }

    /// Deletes the values of `columns` of a tag set within `range`; answers whether none is left,
    /// and by how many bytes the memory grew.
    pub(crate) fn delete(
        &mut self,
        entry: usize,
        partition: PartitionId,
        columns: &[u32],
        range: TimeRange,
    ) -> (bool, isize) {
        let places: SmallVec<[u32; 2]> = self.groups_of(entry, partition).into();
        let (mut left, mut grown) = (false, 0);
        for at in &places {
            let group = &mut self.groups[*at as usize];
            grown += group.delete(&mut self.room, columns, range);
            left |= group.holds_any(&self.room, columns);
        }
        if !left {
            for at in &places {
                self.groups[*at as usize].hide(columns);
            }
        }
        (!left, grown)
    }

    /// Adds a group to an entry; answers its index.
    pub(crate) fn insert_group(&mut self, entry: usize, group: RowGroup) -> usize {
        let index = self.groups.len();
        let number = u32::try_from(index).expect("ids are u32, and a shard holds some of them");
        let partition = group.partition;
        self.groups.push(group);
        let of = |index: &u32| self.groups[*index as usize].partition;
        let places = &mut self.entries[entry].groups;
        let behind = places.partition_point(|index| of(index) <= partition);
        places.insert(behind, number);
        index
    }
}
