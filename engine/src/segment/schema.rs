//! Schema: measurements, their columns, the shapes of tag sets and the tag keys. It is small and
//! is decoded when a segment is opened.

use std::ops::Range;
use std::sync::Arc;

use super::bounds::Object;
use super::chunks::ColumnChunks;
use super::layout::{Footer, GROUP, Section};
use super::pages::Pages;
use super::symbols::Symbols;
use crate::Result;
use crate::codec::Malformed;
use crate::codec::varint::{self, Cursor};
use crate::model::FieldType;
use crate::model::tags::unescaped;

/// The number of a column in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId(pub(super) u32);

/// A measurement.
#[derive(Debug)]
pub struct Measurement {
    /// Its name.
    pub name: Arc<str>,
    /// The ids of its tag sets.
    pub ids: Object,
    /// The first and last time of each.
    pub bounds: Object,
    /// Its columns.
    pub columns: Range<usize>,
}

/// A column: a field of a measurement, of one type.
#[derive(Debug)]
pub struct Column {
    /// The field's name.
    pub field: Arc<str>,
    /// Its type.
    pub field_type: FieldType,
    /// The ids of its tag sets.
    pub ids: Object,
    /// Its chunks, one for each id.
    pub chunks: ColumnChunks,
}

/// A tag key.
#[derive(Debug)]
pub struct TagKey {
    /// Its name, without escapes.
    pub name: Arc<str>,
    /// How many values it has.
    pub values: u32,
    /// Where its postings start in their section.
    pub offset: u64,
    /// Their length.
    pub len: u64,
}

/// The schema, decoded.
#[derive(Debug)]
pub struct Schema {
    /// Sorted by name.
    pub measurements: Vec<Measurement>,
    /// By measurement, then field, then type.
    pub columns: Vec<Column>,
    /// The key symbols of each shape.
    pub shapes: Vec<Vec<u32>>,
    /// Sorted by name.
    pub keys: Vec<TagKey>,
}

/// Encodes the schema; names are symbols.
#[derive(Debug, Default)]
pub struct SchemaEncoder {
    /// The section so far.
    pub bytes: Vec<u8>,
}

impl SchemaEncoder {
    /// Starts a list of `count` parts: measurements, then shapes, then keys.
    pub fn list(&mut self, count: usize) {
        varint::put(&mut self.bytes, count as u64);
    }

    /// Adds a measurement; its columns follow.
    pub fn measurement(&mut self, symbol: u32, ids: Object, bounds: Object, columns: usize) {
        varint::put(&mut self.bytes, u64::from(symbol));
        for object in [ids, bounds] {
            varint::put(&mut self.bytes, object.offset);
            varint::put(&mut self.bytes, object.len);
        }
        self.list(columns);
    }

    /// Adds a column.
    pub fn column(&mut self, symbol: u32, field_type: FieldType, ids: Object, chunks: u32) {
        varint::put(&mut self.bytes, u64::from(symbol));
        self.bytes.push(field_type as u8);
        varint::put(&mut self.bytes, ids.offset);
        varint::put(&mut self.bytes, ids.len);
        varint::put(&mut self.bytes, u64::from(chunks));
    }

    /// Adds a shape.
    pub fn shape(&mut self, keys: &[u32]) {
        self.list(keys.len());
        for key in keys {
            varint::put(&mut self.bytes, u64::from(*key));
        }
    }

    /// Adds a tag key.
    pub fn key(&mut self, symbol: u32, values: usize, offset: u64, len: u64) {
        varint::put(&mut self.bytes, u64::from(symbol));
        self.list(values);
        varint::put(&mut self.bytes, offset);
        varint::put(&mut self.bytes, len);
    }
}

impl Schema {
    /// Reads the schema that `footer` names.
    pub fn read(pages: &Pages, footer: &Footer, symbols: &Symbols) -> Result<Self> {
        let span = footer.section(Section::Schema);
        let bytes = pages.slice(Section::Schema, span, 0, span.len)?;
        let mut cursor = Cursor::new(bytes);
        let malformed = |_: Malformed| pages.corrupt(Section::Schema.name(), span.offset);
        let mut schema = Self {
            measurements: Vec::new(),
            columns: Vec::new(),
            shapes: Vec::new(),
            keys: Vec::new(),
        };
        let mut first_group = 0u32;
        for _ in 0..count(&mut cursor).map_err(malformed)? {
            let symbol = cursor.u32().map_err(malformed)?;
            let ids = object(&mut cursor).map_err(malformed)?;
            let bounds = object(&mut cursor).map_err(malformed)?;
            let columns = count(&mut cursor).map_err(malformed)?;
            let start = schema.columns.len();
            for _ in 0..columns {
                let field = cursor.u32().map_err(malformed)?;
                let mut read = || {
                    let field_type =
                        FieldType::from_id(cursor.u8()?).ok_or(Malformed("no such type"))?;
                    Ok((field_type, object(&mut cursor)?, cursor.u32()?))
                };
                let (field_type, ids, chunks) = read().map_err(malformed)?;
                schema.columns.push(Column {
                    field: symbols.text(pages, field)?.into(),
                    field_type,
                    ids,
                    chunks: ColumnChunks {
                        count: chunks,
                        first_group,
                    },
                });
                first_group = first_group.saturating_add(chunks.div_ceil(GROUP));
            }
            schema.measurements.push(Measurement {
                name: symbols.text(pages, symbol)?.into(),
                ids,
                bounds,
                columns: start..schema.columns.len(),
            });
        }
        for _ in 0..count(&mut cursor).map_err(malformed)? {
            let mut shape = Vec::new();
            for _ in 0..count(&mut cursor).map_err(malformed)? {
                shape.push(cursor.u32().map_err(malformed)?);
            }
            schema.shapes.push(shape);
        }
        for _ in 0..count(&mut cursor).map_err(malformed)? {
            let symbol = cursor.u32().map_err(malformed)?;
            let values = cursor.u32().map_err(malformed)?;
            let place = object(&mut cursor).map_err(malformed)?;
            schema.keys.push(TagKey {
                name: unescaped(symbols.text(pages, symbol)?).into(),
                values,
                offset: place.offset,
                len: place.len,
            });
        }
        cursor.finish().map_err(malformed)?;
        Ok(schema)
    }

    /// The measurement of this name.
    pub fn measurement(&self, name: &str) -> Option<&Measurement> {
        let found = self.measurements.binary_search_by(|m| (*m.name).cmp(name));
        found.ok().map(|at| &self.measurements[at])
    }

    /// The tag key of this name.
    pub fn key(&self, name: &str) -> Option<&TagKey> {
        let found = self.keys.binary_search_by(|key| (*key.name).cmp(name));
        found.ok().map(|at| &self.keys[at])
    }
}

/// A count of parts, each of which takes at least a byte.
fn count(cursor: &mut Cursor<'_>) -> Result<usize, Malformed> {
    let most = cursor.remaining();
    cursor.len_up_to(most)
}

fn object(cursor: &mut Cursor<'_>) -> Result<Object, Malformed> {
    Ok(Object {
        offset: cursor.u64()?,
        len: cursor.u64()?,
    })
}
