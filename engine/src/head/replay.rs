//! Building a generation from the log's frames.
//!
//! A shard's records lie together in sections of a frame, and refer to that shard only. So they
//! are handed to threads, each shard's always to the same one, while the reader goes on. What
//! concerns more than a shard waits for them.

mod threads;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::log::{Context, Record, RowHeader, RowShape, RowValues, decode, row_values};
use crate::model::TagSet;
use crate::partition::PartitionId;
use crate::varint::Reader;

use super::columns::ColumnDefinition;
use super::generation::{Generation, SHARDS};
use super::group::{GROUP_COLUMNS_MAX, RowGroup};
use super::shard::Shard;

use super::unindexed::Unindexed;
use threads::{Piece, Threads};

/// Where a record makes no sense: the frame's sequence, and the offset in its body.
pub(crate) type Fault = (u64, usize);

/// A record that is not a row or a definition of the head.
pub(crate) type Other<'a> = &'a mut dyn FnMut(&Record<'_>);

/// What is known of one shard's groups.
#[derive(Debug, Default)]
struct Groups {
    /// A group's tag set, and its index in the shard.
    places: HashMap<u32, (u32, usize)>,
    /// The index behind that of the last row's group: rows mostly come in the order in which their
    /// groups were defined.
    next: usize,
    values: RowValues,
    unindexed: Unindexed,
    /// Rows that were applied.
    rows: u64,
    /// Rows that could not be applied because rows before them are lost.
    rows_lost: u64,
}

/// A generation and what is known of its shards: what threads share.
#[derive(Debug)]
struct Target {
    generation: Arc<Generation>,
    groups: Vec<Mutex<Groups>>,
}

/// Replays the frames of one generation after another.
#[derive(Debug)]
pub(crate) struct Replay {
    target: Arc<Target>,
    threads: Threads,
    /// The shards of groups that were defined outside of a section, as in logs of version 1.
    shards: HashMap<u32, usize>,
    /// Of the generations before this one.
    rows: u64,
    rows_lost: u64,
    /// Whether frames of this generation are lost. A column, or the start of another generation, may
    /// be among them, so that numbers mean nothing until the next generation starts.
    is_gapped: bool,
}

impl Replay {
    pub(crate) fn new(generation: Generation) -> Self {
        Self {
            target: Arc::new(Target::new(generation)),
            threads: Threads::default(),
            shards: HashMap::new(),
            rows: 0,
            rows_lost: 0,
            is_gapped: false,
        }
    }

    /// The generation that the last frame belongs to.
    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.target.generation
    }

    /// Whether frames of it are lost.
    pub(crate) fn is_gapped(&self) -> bool {
        self.is_gapped
    }

    /// Rows that were applied, and rows that could not be because rows before them are lost; once
    /// all was read.
    pub(crate) fn rows(&self) -> (u64, u64) {
        let groups = self.target.groups.iter();
        groups.fold((self.rows, self.rows_lost), |(rows, lost), groups| {
            let groups = groups.lock();
            (rows + groups.rows, lost + groups.rows_lost)
        })
    }

    /// Waits until everything that was read is applied.
    ///
    /// # Errors
    /// Where a record makes no sense.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        let finished = self.threads.finish(&self.target);
        self.target.index();
        finished
    }

    /// Takes a frame's body. `other` takes what is not the head's.
    ///
    /// # Errors
    /// Where a record makes no sense, of this frame or one before; where rows are left out behind a
    /// gap.
    pub(crate) fn apply(
        &mut self,
        sequence: u64,
        body: &[u8],
        other: Other<'_>,
    ) -> Result<(), Fault> {
        let mut reader = Reader::new(body);
        let mut context = Context::default();
        let mut lost = None;
        while !reader.is_empty() {
            let at = reader.offset();
            let fault = (sequence, at);
            match decode(&mut reader).ok_or(fault)? {
                Record::Section { .. } if self.is_gapped => {
                    lost.get_or_insert(fault);
                }
                Record::Section { shard, records } => {
                    let shard = usize::try_from(shard).ok().filter(|shard| *shard < SHARDS);
                    let shard = shard.ok_or(fault)?;
                    let piece = Piece {
                        shard,
                        sequence,
                        offset: reader.offset() - records.len(),
                    };
                    self.threads.take(&self.target, piece, records)?;
                }
                record @ (Record::Generation(_) | Record::Delete(_)) => {
                    self.finish()?;
                    self.record(record, &mut reader, &mut context, other)
                        .ok_or(fault)?;
                }
                record => self
                    .record(record, &mut reader, &mut context, other)
                    .ok_or(fault)?,
            }
        }
        lost.map_or(Ok(()), Err)
    }

    fn record(
        &mut self,
        record: Record<'_>,
        reader: &mut Reader<'_>,
        context: &mut Context,
        other: Other<'_>,
    ) -> Option<()> {
        if self.is_gapped {
            match &record {
                Record::Row(_) => return None,
                Record::Column { .. }
                | Record::TagSet { .. }
                | Record::Group { .. }
                | Record::GroupExtend { .. } => return Some(()),
                _ => {}
            }
        }
        let generation = &self.target.generation;
        let shard = match &record {
            Record::TagSet { canonical, .. } => {
                generation.shard_of(&TagSet::from_canonical(canonical))
            }
            Record::Group { group, tag_set, .. } => {
                let shard = generation.shard_of_number(*tag_set)?;
                self.shards.insert(*group, shard);
                shard
            }
            Record::GroupExtend { group, .. } => *self.shards.get(group)?,
            Record::Row(header) => *self.shards.get(&context.group(header)?)?,
            Record::Gap => {
                self.is_gapped = true;
                return Some(());
            }
            Record::Context => {
                *context = Context::default();
                return Some(());
            }
            Record::Generation(id) => {
                if *id != generation.id {
                    (self.rows, self.rows_lost) = self.rows();
                    self.target = Arc::new(Target::new(Generation::unlogged(*id)));
                    self.shards.clear();
                    self.is_gapped = false;
                }
                return Some(());
            }
            Record::Delete(deleted) => {
                for partition in &deleted.partitions {
                    generation.delete(*partition, &deleted.tombstone);
                }
                for (partition, measurement, field) in &deleted.freed {
                    generation.forget_column(*partition, measurement, field);
                }
                other(&record);
                return Some(());
            }
            Record::Column {
                column,
                partition,
                field_type,
                measurement,
                field,
            } => {
                other(&record);
                let definition = ColumnDefinition {
                    partition: *partition,
                    measurement: (*measurement).into(),
                    field: (*field).into(),
                    field_type: *field_type,
                };
                generation.insert_column(*column, definition);
                return Some(());
            }
            Record::Catalog { .. } | Record::Partition { .. } | Record::DropPartition(_) => {
                other(&record);
                return Some(());
            }
            Record::Section { .. } => return None,
        };
        let groups = &mut *self.target.groups[shard].lock();
        let there = &mut *generation.lock(shard);
        let mut part = Part {
            generation,
            number: shard,
            shard: there,
            groups,
        };
        part.record(record, reader, context, Known::Group)
    }
}

impl Target {
    fn new(generation: Generation) -> Self {
        Self {
            generation: Arc::new(generation),
            groups: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Indexes what was defined.
    fn index(&self) {
        let mut groups: Vec<_> = self.groups.iter().map(|groups| groups.lock()).collect();
        let shards = groups.iter_mut().map(|groups| &mut groups.unindexed);
        Unindexed::index(shards, &self.generation);
    }

    /// Applies a section.
    ///
    /// # Errors
    /// The offset in `records` of one that makes no sense.
    fn apply(&self, shard: usize, records: &[u8]) -> Result<(), usize> {
        let mut reader = Reader::new(records);
        let mut context = Context::default();
        let groups = &mut *self.groups[shard].lock();
        let there = &mut *self.generation.lock(shard);
        let mut part = Part {
            generation: &self.generation,
            number: shard,
            shard: there,
            groups,
        };
        while !reader.is_empty() {
            let at = reader.offset();
            let record = decode(&mut reader).ok_or(at)?;
            part.record(record, &mut reader, &mut context, Known::Nothing)
                .ok_or(at)?;
        }
        Ok(())
    }
}

/// What of a row's header has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// The context is at its group.
    Group,
}

/// A shard, locked, while records are applied to it.
struct Part<'a> {
    generation: &'a Generation,
    number: usize,
    shard: &'a mut Shard,
    groups: &'a mut Groups,
}

impl Part<'_> {
    fn record(
        &mut self,
        record: Record<'_>,
        reader: &mut Reader<'_>,
        context: &mut Context,
        known: Known,
    ) -> Option<()> {
        match record {
            Record::Context => *context = Context::default(),
            Record::TagSet { tag_set, canonical } => {
                let tags = TagSet::from_canonical(canonical);
                let generation = self.generation;
                if generation.replay_tag_set(self.number, self.shard, tag_set, &tags)? {
                    self.groups.unindexed.tag_sets.push((tag_set, tags));
                }
            }
            Record::Group {
                group,
                tag_set,
                partition,
                ref columns,
            } => self.define_group(group, tag_set, partition, columns)?,
            Record::GroupExtend { group, column } => {
                let (tag_set, index) = *self.groups.places.get(&group)?;
                let field_type = self.generation.definition(column)?.field_type;
                if self.shard.groups[index].columns().len() >= GROUP_COLUMNS_MAX {
                    return None;
                }
                self.shard.widen(index, column, field_type);
                self.groups.unindexed.series(tag_set, &[column]);
            }
            Record::Row(header) => {
                let group = match known {
                    Known::Nothing => context.group(&header)?,
                    Known::Group => context.current_group()?,
                };
                self.row(&header, group, reader, context)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn define_group(
        &mut self,
        id: u32,
        tag_set: u32,
        partition: PartitionId,
        columns: &[u32],
    ) -> Option<()> {
        if columns.len() > GROUP_COLUMNS_MAX {
            return None;
        }
        let entry = self.generation.entry_of(self.number, tag_set)?;
        let shape = match self.shard.shapes.find(columns) {
            Some(shape) => shape,
            None => {
                let mut types = HashMap::new();
                for column in columns {
                    types.insert(*column, self.generation.definition(*column)?.field_type);
                }
                self.shard.shapes.intern(columns, &|column| types[&column])
            }
        };
        let group = RowGroup::new(id, partition, shape);
        let index = self.shard.insert_group(entry, group);
        let generation = self.generation;
        generation.add_bytes(RowGroup::fixed_bytes(columns.len()).cast_signed());
        let next = id.saturating_add(1);
        generation.next_group.fetch_max(next, Ordering::Relaxed);
        self.groups.unindexed.series(tag_set, columns);
        self.groups.places.insert(id, (tag_set, index));
        Some(())
    }

    fn row(
        &mut self,
        header: &RowHeader,
        group: u32,
        reader: &mut Reader<'_>,
        context: &mut Context,
    ) -> Option<()> {
        let Groups {
            places,
            next,
            values,
            unindexed,
            rows,
            rows_lost,
        } = self.groups;
        let Shard { groups, room, .. } = self.shard;
        let number = group;
        let index = match groups.get(*next) {
            Some(expected) if expected.id == number => *next,
            _ => places.get(&number)?.1,
        };
        *next = if index + 1 < groups.len() {
            index + 1
        } else {
            0
        };
        let group = &mut groups[index];
        let time = context.time(header, group.base(), reader)?;
        row_values(header, &group.bases(), reader, values)?;
        // A gap: what is read is a difference to a row that is lost.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low 8 bits are what is stored"
        )]
        let in_step = header.ordinal == group.ordinal() as u8;
        let usable = match header.shape() {
            RowShape::Append => header.is_absolute() || (in_step && !group.needs_absolute),
            RowShape::Merge => in_step && !group.needs_absolute && group.base().0 == time,
            RowShape::Side => true,
        };
        if !usable {
            group.needs_absolute = true;
            *rows_lost += 1;
            return Some(());
        }
        if header.shape() == RowShape::Append {
            group.resync(header.ordinal);
        }
        let shape = match header.shape() {
            RowShape::Side => RowShape::Side,
            // After a gap an absolute row may stand anywhere relative to what is here.
            _ => group.shape_of(time),
        };
        let grown = group.apply(room, shape, time, values);
        let revealed = group.reveal(values);
        *rows += 1;
        if grown != 0 {
            self.generation.add_bytes(grown);
        }
        if !revealed.is_empty() {
            let (tag_set, _) = *places.get(&number)?;
            unindexed.series(tag_set, &revealed);
        }
        Some(())
    }
}
