//! Reading rows back out of the log's frames without building a head of them.
//!
//! Owns what a generation has defined so far and each row group's last row: what replay would keep,
//! without the rows.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::catalog::PolicyId;
use crate::model::{FieldType, FieldValue, TagSet};
use crate::partition::PartitionId;
use crate::varint::Reader;

use super::{Bases, Context, Record, RowHeader, RowShape, RowValues, decode, row_values};

/// A column as the log defines it.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) measurement: Arc<str>,
    pub(crate) field: Arc<str>,
    field_type: FieldType,
}

/// A row group: its shape and its last row.
#[derive(Debug)]
struct Group {
    tag_set: u32,
    partition: PartitionId,
    columns: Vec<u32>,
    types: Vec<FieldType>,
    /// The last values' bits.
    bits: Vec<u64>,
    /// The last text of each slot, behind an empty one that those without a text have.
    texts: Vec<Arc<str>>,
    /// Time of the last row, once there is one.
    last_time: Option<i64>,
    last_delta: i64,
    ordinal: u8,
    needs_absolute: bool,
}

/// A row that was read.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) partition: PartitionId,
    /// The policy that the partition belongs to, where this generation says it.
    pub(crate) policy: Option<PolicyId>,
    pub(crate) tags: &'a TagSet,
    /// ns.
    pub(crate) time: i64,
    columns: &'a HashMap<u32, Column>,
    group: &'a [u32],
    values: &'a RowValues,
}

impl<'a> Row<'a> {
    /// Each value with its column.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&'a Column, FieldValue)> {
        let (columns, group, values) = (self.columns, self.group, self.values);
        values.cells.iter().filter_map(move |(slot, bits)| {
            let column = columns.get(group.get(*slot)?)?;
            Some((column, values.value(column.field_type, *bits)))
        })
    }
}

impl Group {
    fn bases(&self) -> Bases<'_> {
        Bases {
            types: &self.types,
            bits: &self.bits,
            texts: &self.texts,
        }
    }

    fn add_column(&mut self, column: u32, field_type: FieldType) {
        self.columns.push(column);
        self.types.push(field_type);
        self.bits.push(0);
        self.texts.push(Arc::from(""));
    }

    fn remember(&mut self, values: &RowValues) {
        for (slot, bits) in &values.cells {
            self.bits[*slot] = *bits;
            if self.types[*slot] == FieldType::String {
                self.texts[*slot + 1] = Arc::clone(values.text(*bits));
                self.bits[*slot] = *slot as u64 + 1;
            }
        }
    }
}

/// What a frame holds, in its order.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// A row.
    Row(Row<'a>),
    /// Points were deleted.
    Deletion,
    /// The catalog changed.
    Catalog,
    /// A repair left frames out.
    Gap,
}

/// Decodes the frames of one generation after another.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    generation: Option<u64>,
    columns: HashMap<u32, Column>,
    tag_sets: HashMap<u32, TagSet>,
    groups: HashMap<u32, Group>,
    policies: HashMap<PartitionId, PolicyId>,
    is_gapped: bool,
    values: RowValues,
    /// Rows that could not be read since rows before them are lost.
    pub(crate) rows_lost: u64,
}

impl Decoder {
    /// The generation that the last frame belongs to.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.generation
    }

    /// Frames are lost here. A column, or the start of another generation, may be among them, so
    /// that numbers mean nothing until the next generation starts: frames with rows are errors.
    pub(crate) fn skip(&mut self) {
        self.is_gapped = true;
    }

    /// Reads a frame's body.
    ///
    /// # Errors
    /// The offset of a record that makes no sense, or that needs a definition which is lost.
    pub(crate) fn apply(
        &mut self,
        body: &[u8],
        visit: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(), usize> {
        let mut reader = Reader::new(body);
        let mut context = Context::default();
        let mut lost = None;
        while !reader.is_empty() {
            let at = reader.offset();
            match decode(&mut reader).ok_or(at)? {
                Record::Section { .. } if self.is_gapped => {
                    lost.get_or_insert(at);
                }
                Record::Section { records, .. } => {
                    let start = reader.offset() - records.len();
                    self.section(records, visit).map_err(|at| start + at)?;
                }
                record => self
                    .record(record, &mut reader, &mut context, visit)
                    .ok_or(at)?,
            }
        }
        lost.map_or(Ok(()), Err)
    }

    fn section(&mut self, records: &[u8], visit: &mut dyn FnMut(Entry<'_>)) -> Result<(), usize> {
        let mut reader = Reader::new(records);
        let mut context = Context::default();
        while !reader.is_empty() {
            let at = reader.offset();
            let record = decode(&mut reader).ok_or(at)?;
            self.record(record, &mut reader, &mut context, visit)
                .ok_or(at)?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        record: Record<'_>,
        reader: &mut Reader<'_>,
        context: &mut Context,
        visit: &mut dyn FnMut(Entry<'_>),
    ) -> Option<()> {
        match record {
            Record::Context => *context = Context::default(),
            Record::Gap => {
                self.skip();
                visit(Entry::Gap);
            }
            Record::Row(_) if self.is_gapped => return None,
            Record::Column { .. }
            | Record::TagSet { .. }
            | Record::Group { .. }
            | Record::GroupExtend { .. }
                if self.is_gapped => {}
            Record::Generation(id) => {
                if self.generation != Some(id) {
                    *self = Self {
                        generation: Some(id),
                        rows_lost: self.rows_lost,
                        ..Self::default()
                    };
                }
            }
            Record::Column {
                column,
                field_type,
                measurement,
                field,
                ..
            } => {
                let column_is = Column {
                    measurement: measurement.into(),
                    field: field.into(),
                    field_type,
                };
                self.columns.insert(column, column_is);
            }
            Record::TagSet { tag_set, canonical } => {
                self.tag_sets
                    .insert(tag_set, TagSet::from_canonical(canonical));
            }
            Record::Group {
                group,
                tag_set,
                partition,
                columns,
            } => self.define_group(group, tag_set, partition, columns)?,
            Record::GroupExtend { group, column } => {
                let field_type = self.columns.get(&column)?.field_type;
                self.groups.get_mut(&group)?.add_column(column, field_type);
            }
            Record::Partition { id, policy, .. } => {
                self.policies.insert(id, policy);
            }
            Record::Row(header) => self.row(&header, reader, context, visit)?,
            // One stands only in a frame itself.
            Record::Section { .. } => return None,
            Record::Delete(_) => visit(Entry::Deletion),
            Record::Catalog { .. } => visit(Entry::Catalog),
            Record::DropPartition(_) => {}
        }
        Some(())
    }

    fn define_group(
        &mut self,
        group: u32,
        tag_set: u32,
        partition: PartitionId,
        columns: Vec<u32>,
    ) -> Option<()> {
        let mut defined = Group {
            tag_set,
            partition,
            columns: Vec::new(),
            types: Vec::new(),
            bits: Vec::new(),
            texts: vec![Arc::from("")],
            last_time: None,
            last_delta: 0,
            ordinal: 0,
            needs_absolute: false,
        };
        for column in columns {
            defined.add_column(column, self.columns.get(&column)?.field_type);
        }
        self.groups.insert(group, defined);
        Some(())
    }

    /// As replay reads it (`head/replay.rs`).
    fn row(
        &mut self,
        header: &RowHeader,
        reader: &mut Reader<'_>,
        context: &mut Context,
        visit: &mut dyn FnMut(Entry<'_>),
    ) -> Option<()> {
        let group = self.groups.get_mut(&context.group(header)?)?;
        let base = (group.last_time.unwrap_or(0), group.last_delta);
        let time = context.time(header, base, reader)?;
        row_values(header, &group.bases(), reader, &mut self.values)?;
        let in_step = header.ordinal == group.ordinal && !group.needs_absolute;
        let usable = match header.shape() {
            RowShape::Append => header.is_absolute() || in_step,
            RowShape::Merge => in_step,
            RowShape::Side => true,
        };
        if !usable {
            group.needs_absolute = true;
            self.rows_lost += 1;
            return Some(());
        }
        if header.shape() == RowShape::Append {
            group.last_delta = group.last_time.map_or(0, |last| time.wrapping_sub(last));
            group.last_time = Some(time);
            group.ordinal = header.ordinal.wrapping_add(1);
            group.needs_absolute = false;
        }
        if header.shape() != RowShape::Side {
            group.remember(&self.values);
        }
        visit(Entry::Row(Row {
            partition: group.partition,
            policy: self.policies.get(&group.partition).copied(),
            tags: self.tag_sets.get(&group.tag_set)?,
            time,
            columns: &self.columns,
            group: &group.columns,
            values: &self.values,
        }));
        Some(())
    }
}
