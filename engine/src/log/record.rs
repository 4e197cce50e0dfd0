//! The kinds of record, and their bytes.

use std::sync::Arc;

use crate::catalog::{CatalogChange, PolicyId};
use crate::model::FieldType;
use crate::partition::PartitionId;
use crate::tombstone::Tombstone;
use crate::varint::{Reader, put, put_signed, put_text};

use super::change::{change, put_change};
use super::row::{RowHeader, row_header};

const GENERATION: u8 = 1;
const CATALOG: u8 = 2;
const PARTITION: u8 = 3;
const COLUMN: u8 = 4;
const TAG_SET: u8 = 5;
const GROUP: u8 = 6;
const GROUP_EXTEND: u8 = 7;
const DROP_PARTITION: u8 = 8;
const CONTEXT: u8 = 9;
const DELETE: u8 = 10;
const SECTION: u8 = 11;
const GAP: u8 = 12;
/// Records from here on are rows; the low bits are flags.
pub(super) const ROW: u8 = 0x80;

/// What a DELETE or DROP of data did, resolved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deleted {
    pub(crate) tombstone: Arc<Tombstone>,
    /// The partitions it concerns.
    pub(crate) partitions: Vec<PartitionId>,
    /// Measurements and fields that have no value left in a partition: their types are free.
    pub(crate) freed: Vec<(PartitionId, Arc<str>, Arc<str>)>,
}

/// One record of a frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record<'a> {
    /// All that follows belongs to this generation.
    Generation(u64),
    /// A catalog change and the catalog's version after it.
    Catalog { version: u64, change: CatalogChange },
    /// A partition: `start..end` ns.
    Partition {
        id: PartitionId,
        policy: PolicyId,
        start: i64,
        end: i64,
    },
    /// A column of a partition.
    Column {
        column: u32,
        partition: PartitionId,
        field_type: FieldType,
        measurement: &'a str,
        field: &'a str,
    },
    /// A tag set.
    TagSet { tag_set: u32, canonical: &'a str },
    /// A row group: one tag set with columns of one partition.
    Group {
        group: u32,
        tag_set: u32,
        partition: PartitionId,
        columns: Vec<u32>,
    },
    /// One more column for a row group.
    GroupExtend { group: u32, column: u32 },
    /// A partition and everything in it is gone.
    DropPartition(PartitionId),
    /// Rows before and after this do not refer to each other's group and time.
    Context,
    /// Frames are lost here: a repair left them out.
    Gap,
    /// Points are deleted.
    Delete(Box<Deleted>),
    /// Records of one shard, which refer to no other's.
    Section { shard: u64, records: &'a [u8] },
    /// A row; its values follow and need the group's shape.
    Row(RowHeader),
}

impl Record<'_> {
    /// The body of a frame that stands for frames that a repair left out.
    pub(crate) fn gap() -> &'static [u8] {
        &[GAP]
    }
}

/// Appends a record; rows are written by [`super::encode_row`].
pub(crate) fn put_record(out: &mut Vec<u8>, record: &Record<'_>) {
    match record {
        Record::Generation(id) => {
            out.push(GENERATION);
            put(out, *id);
        }
        Record::Catalog { version, change } => {
            out.push(CATALOG);
            put(out, *version);
            put_change(out, change);
        }
        Record::Partition {
            id,
            policy,
            start,
            end,
        } => {
            out.push(PARTITION);
            put(out, id.0);
            put(out, policy.0);
            put_signed(out, *start);
            put_signed(out, *end);
        }
        Record::Column {
            column,
            partition,
            field_type,
            measurement,
            field,
        } => {
            out.push(COLUMN);
            put(out, u64::from(*column));
            put(out, partition.0);
            out.push(*field_type as u8);
            put_text(out, measurement);
            put_text(out, field);
        }
        Record::TagSet { tag_set, canonical } => {
            out.push(TAG_SET);
            put(out, u64::from(*tag_set));
            put_text(out, canonical);
        }
        Record::Group {
            group,
            tag_set,
            partition,
            columns,
        } => {
            out.push(GROUP);
            put(out, u64::from(*group));
            put(out, u64::from(*tag_set));
            put(out, partition.0);
            put(out, columns.len() as u64);
            for column in columns {
                put(out, u64::from(*column));
            }
        }
        Record::GroupExtend { group, column } => {
            out.push(GROUP_EXTEND);
            put(out, u64::from(*group));
            put(out, u64::from(*column));
        }
        Record::DropPartition(id) => {
            out.push(DROP_PARTITION);
            put(out, id.0);
        }
        Record::Context => out.push(CONTEXT),
        Record::Gap => out.push(GAP),
        Record::Delete(deleted) => {
            out.push(DELETE);
            deleted.tombstone.encode(out);
            put(out, deleted.partitions.len() as u64);
            for partition in &deleted.partitions {
                put(out, partition.0);
            }
            put(out, deleted.freed.len() as u64);
            for (partition, measurement, field) in &deleted.freed {
                put(out, partition.0);
                put_text(out, measurement);
                put_text(out, field);
            }
        }
        Record::Section { shard, records } => {
            out.push(SECTION);
            put(out, *shard);
            put(out, records.len() as u64);
            out.extend_from_slice(records);
        }
        Record::Row(_) => unreachable!("rows are written by encode_row, with their values"),
    }
}

/// Reads the next record, or for a row its header; `None` where the bytes make no sense.
pub(crate) fn decode<'a>(reader: &mut Reader<'a>) -> Option<Record<'a>> {
    Some(match reader.byte()? {
        GENERATION => Record::Generation(reader.varint()?),
        CATALOG => Record::Catalog {
            version: reader.varint()?,
            change: change(reader)?,
        },
        PARTITION => Record::Partition {
            id: PartitionId(reader.varint()?),
            policy: PolicyId(reader.varint()?),
            start: reader.signed()?,
            end: reader.signed()?,
        },
        COLUMN => Record::Column {
            column: reader.number()?,
            partition: PartitionId(reader.varint()?),
            field_type: FieldType::from_id(reader.byte()?)?,
            measurement: reader.text()?,
            field: reader.text()?,
        },
        TAG_SET => Record::TagSet {
            tag_set: reader.number()?,
            canonical: reader.text()?,
        },
        GROUP => {
            let group = reader.number()?;
            let tag_set = reader.number()?;
            let partition = PartitionId(reader.varint()?);
            let count = reader.count(1)?;
            let columns = (0..count).map(|_| reader.number()).collect::<Option<_>>()?;
            Record::Group {
                group,
                tag_set,
                partition,
                columns,
            }
        }
        GROUP_EXTEND => Record::GroupExtend {
            group: reader.number()?,
            column: reader.number()?,
        },
        DROP_PARTITION => Record::DropPartition(PartitionId(reader.varint()?)),
        CONTEXT => Record::Context,
        GAP => Record::Gap,
        DELETE => Record::Delete(Box::new(deleted(reader)?)),
        SECTION => {
            let shard = reader.varint()?;
            let len = reader.count(1)?;
            let records = reader.take(len)?;
            Record::Section { shard, records }
        }
        kind if kind >= ROW => Record::Row(row_header(kind, reader)?),
        _ => return None,
    })
}

fn deleted(reader: &mut Reader<'_>) -> Option<Deleted> {
    let tombstone = Arc::new(Tombstone::decode(reader)?);
    let count = reader.count(1)?;
    let partitions = (0..count).map(|_| reader.varint().map(PartitionId));
    let partitions = partitions.collect::<Option<_>>()?;
    let count = reader.count(3)?;
    let mut freed = Vec::new();
    for _ in 0..count {
        let partition = PartitionId(reader.varint()?);
        freed.push((partition, reader.text()?.into(), reader.text()?.into()));
    }
    Some(Deleted {
        tombstone,
        partitions,
        freed,
    })
}
