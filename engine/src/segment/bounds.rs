//! Objects that measurements share where they are equal: sets of ids, and the first and last time
//! of each id of a set.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;

use super::layout::{Footer, Section, Span};
use super::pages::Pages;
use super::postings::decode_ids;
use crate::Result;
use crate::codec::varint::{self, Cursor};
use crate::codec::{Codec, Malformed, integer};
use crate::model::Timestamp;

/// Ids behind one offset of the bounds.
const GROUP: usize = 256;

/// Where an object lies in its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Object {
    /// From the section's start.
    pub offset: u64,
    /// Its length.
    pub len: u64,
}

/// Collects objects, equal ones once.
#[derive(Debug, Default)]
pub struct ObjectsEncoder {
    /// The section.
    pub bytes: Vec<u8>,
    known: HashMap<Vec<u8>, Object>,
}

impl ObjectsEncoder {
    /// The place of an object of these bytes.
    pub fn put(&mut self, bytes: Vec<u8>) -> Object {
        if let Some(object) = self.known.get(&bytes) {
            return *object;
        }
        let object = Object {
            offset: self.bytes.len() as u64,
            len: bytes.len() as u64,
        };
        self.bytes.extend_from_slice(&bytes);
        self.known.insert(bytes, object);
        object
    }
}

/// Encodes the first and last time of each id, in the ids' order.
pub fn encode(bounds: &[(i64, i64)]) -> Vec<u8> {
    let mut offsets = Vec::new();
    let mut groups = Vec::new();
    for group in bounds.chunks(GROUP) {
        let offset = u32::try_from(groups.len()).expect("at most 16 bytes for each of 2^28 ids");
        offsets.extend(offset.to_le_bytes());
        let firsts: Vec<i64> = group.iter().map(|(first, _)| *first).collect();
        let spans: Vec<i64> = group
            .iter()
            .map(|(first, last)| last.wrapping_sub(*first))
            .collect();
        for numbers in [firsts, spans] {
            let mut bytes = Vec::new();
            let codec = integer::encode(&numbers, &mut bytes);
            groups.push(codec as u8);
            varint::put_signed(&mut groups, numbers[0]);
            varint::put(&mut groups, bytes.len() as u64);
            groups.extend(bytes);
        }
    }
    offsets.extend(groups);
    offsets
}

/// Reads objects; each set of ids is decoded once.
#[derive(Debug)]
pub struct Objects {
    span: Span,
    ids_limit: u32,
    sets: HashMap<Object, OnceLock<Arc<RoaringBitmap>>>,
}

impl Objects {
    /// The objects that `footer` names, with the sets of ids that the schema refers to.
    pub fn new(footer: &Footer, sets: impl Iterator<Item = Object>) -> Self {
        Self {
            span: footer.section(Section::Objects),
            ids_limit: footer.tag_sets,
            sets: sets.map(|object| (object, OnceLock::new())).collect(),
        }
    }

    /// The set of ids at `object`, which the schema refers to.
    pub fn ids(&self, pages: &Pages, object: Object) -> Result<Arc<RoaringBitmap>> {
        let cell = &self.sets[&object];
        if let Some(ids) = cell.get() {
            return Ok(Arc::clone(ids));
        }
        let (offset, len) = (object.offset, object.len);
        let ids = pages.decode(Section::Objects, self.span, offset, len, |bytes| {
            decode_ids(bytes, self.ids_limit)
        })?;
        Ok(Arc::clone(cell.get_or_init(|| Arc::new(ids))))
    }

    /// The first and last times of the ids of `ranks` (ascending places in a set of `count` ids).
    pub fn bounds(
        &self,
        pages: &Pages,
        object: Object,
        count: u32,
        ranks: impl Iterator<Item = u32>,
        visit: &mut dyn FnMut(u32, Timestamp, Timestamp),
    ) -> Result<()> {
        let mut open = None;
        let (mut firsts, mut spans) = (Vec::new(), Vec::new());
        for rank in ranks {
            let group = rank as usize / GROUP;
            if open != Some(group) {
                firsts.clear();
                spans.clear();
                self.read_group(pages, object, count, group, &mut firsts, &mut spans)?;
                open = Some(group);
            }
            let place = rank as usize % GROUP;
            let first = firsts[place];
            let last = first.wrapping_add(spans[place]);
            visit(rank, Timestamp(first), Timestamp(last));
        }
        Ok(())
    }

    fn read_group(
        &self,
        pages: &Pages,
        object: Object,
        count: u32,
        group: usize,
        firsts: &mut Vec<i64>,
        spans: &mut Vec<i64>,
    ) -> Result<()> {
        let groups = (count as usize).div_ceil(GROUP);
        let offset = |group: usize| {
            if group == groups {
                return Ok(object.len);
            }
            let at = object.offset + 4 * group as u64;
            pages
                .decode(Section::Objects, self.span, at, 4, |bytes| {
                    Cursor::new(bytes).u32_fixed()
                })
                .map(|offset| 4 * groups as u64 + u64::from(offset))
        };
        let (start, end) = (offset(group)?, offset(group + 1)?);
        let rows = (count as usize).saturating_sub(group * GROUP).min(GROUP);
        let at = object.offset.saturating_add(start);
        let len = end.saturating_sub(start);
        pages.decode(Section::Objects, self.span, at, len, |bytes| {
            let mut cursor = Cursor::new(bytes);
            for out in [&mut *firsts, &mut *spans] {
                let codec = Codec::from_id(cursor.u8()?).ok_or(Malformed("an unknown codec"))?;
                let seed = cursor.i64()?;
                let len = cursor.len_up_to(cursor.remaining())?;
                integer::decode(codec, cursor.bytes(len)?, seed, rows, out)?;
            }
            cursor.finish()
        })
    }
}
