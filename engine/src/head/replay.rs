//! Building a generation from the log's frames.

use hashbrown::HashMap;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::log::{Context, Record, RowHeader, RowShape, RowValues, decode, row_values};
use crate::model::TagSet;
use crate::varint::Reader;

use super::columns::ColumnDefinition;
use super::generation::Generation;
use super::group::{GROUP_COLUMNS_MAX, RowGroup};
use super::shard::Shard;

/// Where a group of the log is: its tag set and the group's index in that tag set's shard.
#[derive(Debug, Clone, Copy)]
struct GroupPlace {
    tag_set: u32,
    index: usize,
}

/// Replays the frames of one generation after another.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) generation: Arc<Generation>,
    groups: HashMap<u32, GroupPlace>,
    values: RowValues,
    /// Rows that were applied.
    pub(crate) rows: u64,
    /// Rows that could not be applied because rows before them are lost.
    pub(crate) rows_lost: u64,
}

/// A record that is not a row or a definition of the head.
pub(crate) type Other<'a> = &'a mut dyn FnMut(&Record<'_>);

impl Replay {
    pub(crate) fn new(generation: Generation) -> Self {
        Self {
            generation: Arc::new(generation),
            groups: HashMap::new(),
            values: RowValues::default(),
            rows: 0,
            rows_lost: 0,
        }
    }

    /// Applies a frame's body. `other` takes what is not the head's.
    ///
    /// # Errors
    /// The offset in `body` of a record that makes no sense.
    pub(crate) fn apply(&mut self, body: &[u8], other: Other<'_>) -> Result<(), usize> {
        let mut reader = Reader::new(body);
        let mut context = Context::default();
        while !reader.is_empty() {
            let at = reader.offset();
            let record = decode(&mut reader).ok_or(at)?;
            self.record(record, &mut reader, &mut context, other)
                .ok_or(at)?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        record: Record<'_>,
        reader: &mut Reader<'_>,
        context: &mut Context,
        other: Other<'_>,
    ) -> Option<()> {
        match record {
            Record::Context => *context = Context::default(),
            Record::Column {
                column,
                partition,
                field_type,
                measurement,
                field,
            } => {
                other(&record);
                let definition = ColumnDefinition {
                    partition,
                    measurement: measurement.into(),
                    field: field.into(),
                    field_type,
                };
                self.generation.insert_column(column, definition);
            }
            Record::TagSet { tag_set, canonical } => {
                self.generation
                    .replay_tag_set(tag_set, &TagSet::from_canonical(canonical));
            }
            Record::Group {
                group,
                tag_set,
                partition,
                ref columns,
            } => {
                self.define_group(group, tag_set, partition, columns)?;
            }
            Record::GroupExtend { group, column } => {
                let place = *self.groups.get(&group)?;
                let field_type = self.generation.definition(column)?.field_type;
                self.generation.with_tag_set(place.tag_set, |shard, _| {
                    let columns = shard.groups[place.index].columns();
                    let has_room = columns.len() < GROUP_COLUMNS_MAX;
                    has_room.then(|| shard.widen(place.index, column, field_type))
                })??;
                self.generation.index_column(place.tag_set, column);
            }
            Record::Row(header) => self.row(&header, reader, context)?,
            Record::Generation(id) => {
                if id != self.generation.id {
                    *self = Self {
                        rows: self.rows,
                        rows_lost: self.rows_lost,
                        ..Self::new(Generation::unlogged(id))
                    };
                }
            }
            Record::Delete(ref deleted) => {
                for partition in &deleted.partitions {
                    self.generation.delete(*partition, &deleted.tombstone);
                }
                for (partition, measurement, field) in &deleted.freed {
                    self.generation
                        .forget_column(*partition, measurement, field);
                }
                other(&record);
            }
            Record::Catalog { .. } | Record::Partition { .. } | Record::DropPartition(_) => {
                other(&record);
            }
        }
        Some(())
    }

    fn define_group(
        &mut self,
        id: u32,
        tag_set: u32,
        partition: crate::partition::PartitionId,
        columns: &[u32],
    ) -> Option<()> {
        if columns.len() > GROUP_COLUMNS_MAX {
            return None;
        }
        let mut types = HashMap::new();
        for column in columns {
            types.insert(*column, self.generation.definition(*column)?.field_type);
        }
        let index = self.generation.with_tag_set(tag_set, |shard, entry| {
            let shape = shard.shapes.intern(columns, &|column| types[&column]);
            shard.insert_group(entry, RowGroup::new(id, partition, shape))
        })?;
        self.generation
            .add_bytes(RowGroup::fixed_bytes(columns.len()).cast_signed());
        self.generation
            .next_group
            .fetch_max(id.saturating_add(1), Ordering::Relaxed);
        for column in columns {
            self.generation.index_column(tag_set, *column);
        }
        self.groups.insert(id, GroupPlace { tag_set, index });
        Some(())
    }

    fn row(
        &mut self,
        header: &RowHeader,
        reader: &mut Reader<'_>,
        context: &mut Context,
    ) -> Option<()> {
        let place = *self.groups.get(&context.group(header)?)?;
        let values = &mut self.values;
        let applied = self.generation.with_tag_set(place.tag_set, |shard, _| {
            let Shard { groups, room, .. } = shard;
            let group = &mut groups[place.index];
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
                return Some(None);
            }
            if header.shape() == RowShape::Append {
                group.resync(header.ordinal);
            }
            let shape = match header.shape() {
                RowShape::Side => RowShape::Side,
                // After a gap an absolute row may stand anywhere relative to what is here.
                _ => group.shape_of(time),
            };
            let bytes = group.apply(room, shape, time, values);
            Some(Some((bytes, group.reveal(values))))
        })??;
        match applied {
            Some((bytes, revealed)) => {
                self.rows += 1;
                self.generation.add_bytes(bytes);
                for column in revealed {
                    self.generation.index_column(place.tag_set, column);
                }
            }
            None => self.rows_lost += 1,
        }
        Some(())
    }
}
