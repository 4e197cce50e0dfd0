//! Tag sets, sorted by canonical text; a tag set's number (its *id*) is its place in that order.
//!
//! A tag set is a shape (its keys) and the symbols of its values, stored as what differs from the
//! tag set before; every [`TAG_SETS_GROUP`]th stands for itself.

use std::cmp::Ordering;

use super::layout::{Footer, Section, Span, TAG_SETS_GROUP};
use super::pages::Pages;
use super::schema::Schema;
use super::symbols::Symbols;
use crate::Result;
use crate::codec::Malformed;
use crate::codec::boolean;
use crate::codec::varint::{self, Cursor};
use crate::model::TagSet;

/// Encodes tag sets that are added in order.
#[derive(Debug, Default)]
pub struct TagSetsEncoder {
    offsets: Vec<u8>,
    entries: Vec<u8>,
    count: u32,
    before: Option<(u32, Vec<u32>)>,
}

impl TagSetsEncoder {
    /// Adds the next tag set.
    pub fn push(&mut self, shape: u32, values: Vec<u32>) -> Result<()> {
        if self.count.is_multiple_of(TAG_SETS_GROUP) {
            let offset = u32::try_from(self.entries.len()).map_err(|_| crate::Error::Limit {
                what: "bytes of tag sets in a segment",
                got: self.entries.len() as u64,
                limit: u64::from(u32::MAX),
            })?;
            self.offsets.extend(offset.to_le_bytes());
            self.before = None;
        }
        self.count += 1;
        match &self.before {
            Some((before_shape, before)) if *before_shape == shape => {
                varint::put(&mut self.entries, 0);
                let changed: Vec<bool> = values.iter().zip(before).map(|(a, b)| a != b).collect();
                boolean::put_bitmap(&changed, &mut self.entries);
                for (value, before) in values.iter().zip(before).filter(|(a, b)| a != b) {
                    let step = i64::from(*value) - i64::from(*before);
                    varint::put_signed(&mut self.entries, step);
                }
            }
            _ => {
                varint::put(&mut self.entries, u64::from(shape) + 1);
                for value in &values {
                    varint::put(&mut self.entries, u64::from(*value));
                }
            }
        }
        self.before = Some((shape, values));
        Ok(())
    }

    /// The section: the groups' offsets, four bytes each, then the entries.
    pub fn finish(mut self) -> Vec<u8> {
        self.offsets.append(&mut self.entries);
        self.offsets
    }
}

/// Takes a tag set's id and canonical text, its shape, and the symbols of its values.
pub type VisitTagSet<'v> = &'v mut dyn FnMut(u32, &str, usize, &[u32]);

/// Reads tag sets by id and finds them by text.
#[derive(Debug, Clone, Copy)]
pub struct TagSets {
    span: Span,
    count: u32,
}

/// Reads the tag sets of one group in order.
struct Group<'a> {
    cursor: Cursor<'a>,
    shape: Option<usize>,
    values: Vec<u32>,
    /// The shape whose keys `keys` holds.
    keys_of: Option<usize>,
    keys: Vec<&'a str>,
    /// Texts of values, with the symbols that they are of.
    texts: Vec<(u32, &'a str)>,
}

impl TagSets {
    /// The tag sets that `footer` names.
    pub fn new(footer: &Footer) -> Self {
        Self {
            span: footer.section(Section::TagSets),
            count: footer.tag_sets,
        }
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.count
    }

    fn group<'a>(&self, pages: &'a Pages, group: u32) -> Result<Group<'a>> {
        let groups = self.count.div_ceil(TAG_SETS_GROUP);
        let entries_at = 4 * u64::from(groups);
        let offset = |group: u32| {
            if group == groups {
                return Ok(self.span.len);
            }
            let at = 4 * u64::from(group);
            pages
                .decode(Section::TagSets, self.span, at, 4, |bytes| {
                    Cursor::new(bytes).u32_fixed()
                })
                .map(|offset| entries_at + u64::from(offset))
        };
        let (start, end) = (offset(group)?, offset(group + 1)?);
        let len = end.saturating_sub(start);
        let bytes = pages.slice(Section::TagSets, self.span, start, len)?;
        Ok(Group {
            cursor: Cursor::new(bytes),
            shape: None,
            values: Vec::new(),
            keys_of: None,
            keys: Vec::new(),
            texts: Vec::new(),
        })
    }

    fn corrupt(&self, pages: &Pages) -> crate::Error {
        pages.corrupt(Section::TagSets.name(), self.span.offset)
    }

    /// Reads each of `ids`, which ascend, and calls `visit` with it.
    fn walk<'a>(
        &self,
        pages: &'a Pages,
        schema: &Schema,
        ids: impl Iterator<Item = u32>,
        mut visit: impl FnMut(u32, &mut Group<'a>) -> Result<()>,
    ) -> Result<()> {
        let mut open: Option<(u32, Group<'_>, u32)> = None;
        for id in ids {
            if id >= self.count {
                return Err(self.corrupt(pages));
            }
            let number = id / TAG_SETS_GROUP;
            let (_, group, next) = match &mut open {
                Some(here) if here.0 == number && here.2 <= id => here,
                _ => open.insert((number, self.group(pages, number)?, number * TAG_SETS_GROUP)),
            };
            while *next <= id {
                group.step(schema).map_err(|_| self.corrupt(pages))?;
                *next += 1;
            }
            visit(id, group)?;
        }
        Ok(())
    }

    /// Calls `visit` with the canonical text of each of `ids`, which ascend.
    pub fn each(
        &self,
        pages: &Pages,
        schema: &Schema,
        symbols: &Symbols,
        ids: impl Iterator<Item = u32>,
        visit: &mut dyn FnMut(u32, &str) -> Result<()>,
    ) -> Result<()> {
        let mut text = String::new();
        self.walk(pages, schema, ids, |id, group| {
            group.text(pages, schema, symbols, &mut text)?;
            visit(id, &text)
        })
    }

    /// Calls `visit` with the symbols of the values that each of `ids`, which ascend, has: the
    /// places in a shape are those of [`Schema::shapes`].
    pub fn each_values(
        &self,
        pages: &Pages,
        schema: &Schema,
        ids: impl Iterator<Item = u32>,
        visit: &mut dyn FnMut(u32, usize, &[u32]),
    ) -> Result<()> {
        self.walk(pages, schema, ids, |id, group| {
            if let Some(shape) = group.shape {
                visit(id, shape, &group.values);
            }
            Ok(())
        })
    }

    /// Calls `visit` with both: the canonical text, the shape and the symbols of the values.
    pub fn each_with_values(
        &self,
        pages: &Pages,
        schema: &Schema,
        symbols: &Symbols,
        ids: impl Iterator<Item = u32>,
        visit: VisitTagSet<'_>,
    ) -> Result<()> {
        let mut text = String::new();
        self.walk(pages, schema, ids, |id, group| {
            group.text(pages, schema, symbols, &mut text)?;
            visit(id, &text, group.shape.unwrap_or(usize::MAX), &group.values);
            Ok(())
        })
    }

    /// The tag set of an id.
    pub fn tag_set(
        &self,
        pages: &Pages,
        schema: &Schema,
        symbols: &Symbols,
        id: u32,
    ) -> Result<TagSet> {
        let mut found = TagSet::default();
        self.each(
            pages,
            schema,
            symbols,
            std::iter::once(id),
            &mut |_, text| {
                found = TagSet::from_canonical(text);
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// The id of a tag set, if it is here.
    pub fn find(
        &self,
        pages: &Pages,
        schema: &Schema,
        symbols: &Symbols,
        tags: &TagSet,
    ) -> Result<Option<u32>> {
        let wanted = tags.as_str();
        let mut text = String::new();
        // The last group whose first tag set is not beyond the wanted one.
        let (mut low, mut high) = (0, self.count.div_ceil(TAG_SETS_GROUP));
        while low < high {
            let middle = low + (high - low) / 2;
            let mut group = self.group(pages, middle)?;
            group.step(schema).map_err(|_| self.corrupt(pages))?;
            group.text(pages, schema, symbols, &mut text)?;
            if text.as_str() <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(number) = low.checked_sub(1) else {
            return Ok(None);
        };
        let mut group = self.group(pages, number)?;
        let first = number * TAG_SETS_GROUP;
        for id in first..self.count.min(first + TAG_SETS_GROUP) {
            group.step(schema).map_err(|_| self.corrupt(pages))?;
            group.text(pages, schema, symbols, &mut text)?;
            match text.as_str().cmp(wanted) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(id)),
                Ordering::Greater => break,
            }
        }
        Ok(None)
    }
}

impl<'a> Group<'a> {
    /// Reads the next tag set.
    fn step(&mut self, schema: &Schema) -> Result<(), Malformed> {
        let head = self.cursor.u32()?;
        if let Some(shape) = head.checked_sub(1) {
            let shape = shape as usize;
            let keys = schema.shapes.get(shape).ok_or(Malformed("no such shape"))?;
            self.values.clear();
            for _ in keys {
                self.values.push(self.cursor.u32()?);
            }
            self.shape = Some(shape);
        } else {
            if self.shape.is_none() {
                return Err(Malformed("a group that starts with a difference"));
            }
            let count = self.values.len();
            let changed = self.cursor.bytes(count.div_ceil(8))?;
            for (at, value) in self.values.iter_mut().enumerate() {
                if changed[at / 8] >> (at % 8) & 1 == 1 {
                    let next = i64::from(*value).wrapping_add(self.cursor.i64()?);
                    *value = u32::try_from(next).map_err(|_| Malformed("no such symbol"))?;
                }
            }
        }
        Ok(())
    }

    /// The canonical text of the tag set that was read last. Neighbours share most of their tags,
    /// so a symbol is looked up where it is another than before.
    fn text(
        &mut self,
        pages: &'a Pages,
        schema: &Schema,
        symbols: &Symbols,
        out: &mut String,
    ) -> Result<()> {
        out.clear();
        if self.keys_of != self.shape {
            self.keys.clear();
            self.texts.clear();
            for key in self.shape.map_or(&[][..], |shape| &schema.shapes[shape]) {
                self.keys.push(symbols.text(pages, *key)?);
            }
            for value in &self.values {
                self.texts.push((*value, symbols.text(pages, *value)?));
            }
            self.keys_of = self.shape;
        }
        for (value, text) in self.values.iter().zip(&mut self.texts) {
            if text.0 != *value {
                *text = (*value, symbols.text(pages, *value)?);
            }
        }
        for (key, (_, value)) in self.keys.iter().zip(&self.texts) {
            if !out.is_empty() {
                out.push(',');
            }
            // The empty key holds the text of a tag set that its pairs do not make up.
            if !key.is_empty() {
                out.push_str(key);
                out.push('=');
            }
            out.push_str(value);
        }
        Ok(())
    }
}
