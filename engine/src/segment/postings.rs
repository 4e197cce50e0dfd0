//! Postings: for each tag key its values in order, and for each value the ids of its tag sets.

use roaring::RoaringBitmap;

use super::layout::{Section, Span};
use super::pages::Pages;
use super::schema::TagKey;
use super::symbols::Symbols;
use crate::codec::Malformed;
use crate::codec::varint::{self, Cursor};
use crate::model::tags::unescaped;
use crate::{Error, Result};

/// Values behind one offset.
const GROUP: u32 = 32;
/// Up to this many ids are listed; more are a bitmap.
const LISTED_MAX: usize = 8;

/// Appends the values of one key, in order: (symbol, ascending ids).
pub fn encode<'a>(values: impl Iterator<Item = (u32, &'a [u32])>, out: &mut Vec<u8>) -> Result<()> {
    let mut offsets = Vec::new();
    let mut entries = Vec::new();
    for (number, (symbol, ids)) in values.enumerate() {
        if number % GROUP as usize == 0 {
            let offset = u32::try_from(entries.len()).map_err(|_| Error::Limit {
                what: "bytes of one tag key's postings in a segment",
                got: entries.len() as u64,
                limit: u64::from(u32::MAX),
            })?;
            offsets.extend(offset.to_le_bytes());
        }
        varint::put(&mut entries, u64::from(symbol));
        varint::put(&mut entries, ids.len() as u64);
        if ids.len() <= LISTED_MAX {
            let mut before = 0;
            for id in ids {
                varint::put(&mut entries, u64::from(id - before));
                before = *id;
            }
        } else {
            let bitmap = encode_ids(ids.iter().copied());
            varint::put(&mut entries, bitmap.len() as u64);
            entries.extend(bitmap);
        }
    }
    out.extend(offsets);
    out.extend(entries);
    Ok(())
}

/// Serialises ascending ids as a roaring bitmap.
pub fn encode_ids(ids: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut bitmap = RoaringBitmap::from_sorted_iter(ids).expect("ids ascend");
    bitmap.optimize();
    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
    bitmap
        .serialize_into(&mut bytes)
        .expect("a vector takes all bytes");
    bytes
}

/// Reads a bitmap of ids below `limit`.
pub fn decode_ids(bytes: &[u8], limit: u32) -> Result<RoaringBitmap, Malformed> {
    let mut rest = bytes;
    let bitmap = RoaringBitmap::deserialize_from(&mut rest)
        .map_err(|_| Malformed("a bitmap that roaring refuses"))?;
    if rest.is_empty() && bitmap.max().is_none_or(|id| id < limit) {
        Ok(bitmap)
    } else {
        Err(Malformed("a bitmap of ids that are not there"))
    }
}

/// The postings of one key.
#[derive(Debug, Clone, Copy)]
pub struct Postings<'a> {
    pages: &'a Pages,
    symbols: &'a Symbols,
    section: Span,
    key: &'a TagKey,
    ids_limit: u32,
}

impl<'a> Postings<'a> {
    /// The postings of `key` in `section`.
    pub fn new(
        pages: &'a Pages,
        symbols: &'a Symbols,
        section: Span,
        key: &'a TagKey,
        ids_limit: u32,
    ) -> Self {
        Self {
            pages,
            symbols,
            section,
            key,
            ids_limit,
        }
    }

    fn groups(&self) -> u32 {
        self.key.values.div_ceil(GROUP)
    }

    fn corrupt(&self) -> Error {
        let place = self.section.offset + self.key.offset;
        self.pages.corrupt(Section::Postings.name(), place)
    }

    fn group(&self, group: u32) -> Result<Cursor<'a>> {
        let offset = |group: u32| {
            if group == self.groups() {
                return Ok(self.key.len);
            }
            let at = self.key.offset + 4 * u64::from(group);
            self.pages
                .decode(Section::Postings, self.section, at, 4, |bytes| {
                    Cursor::new(bytes).u32_fixed()
                })
                .map(|offset| 4 * u64::from(self.groups()) + u64::from(offset))
        };
        let (start, end) = (offset(group)?, offset(group + 1)?);
        let len = end.saturating_sub(start);
        let at = self.key.offset.saturating_add(start);
        self.pages
            .slice(Section::Postings, self.section, at, len)
            .map(Cursor::new)
    }

    /// Calls `visit` for every value in order until it answers false.
    pub fn each(&self, visit: &mut dyn FnMut(&str, RoaringBitmap) -> bool) -> Result<()> {
        self.each_symbol(&mut |symbol, ids| {
            let value = unescaped(self.symbols.text(self.pages, symbol)?);
            Ok(visit(&value, ids.into_bitmap()))
        })
    }

    /// Calls `visit` for the symbol of every value, in order, until it answers false.
    pub fn each_symbol(&self, visit: &mut dyn FnMut(u32, Ids<'_>) -> Result<bool>) -> Result<()> {
        let mut listed = Vec::with_capacity(LISTED_MAX);
        for group in 0..self.groups() {
            let mut cursor = self.group(group)?;
            while cursor.remaining() > 0 {
                let symbol = cursor.u32().map_err(|_| self.corrupt())?;
                let ids = self.read_ids(&mut cursor, &mut listed);
                if !visit(symbol, ids.map_err(|_| self.corrupt())?)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The ids of `value`; empty where there is none.
    pub fn find(&self, value: &str) -> Result<RoaringBitmap> {
        // The last group whose first value is not beyond the wanted one.
        let (mut low, mut high) = (0, self.groups());
        while low < high {
            let middle = low + (high - low) / 2;
            let symbol = self.group(middle)?.u32().map_err(|_| self.corrupt())?;
            let first = unescaped(self.symbols.text(self.pages, symbol)?);
            if &*first <= value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(group) = low.checked_sub(1) else {
            return Ok(RoaringBitmap::new());
        };
        let mut cursor = self.group(group)?;
        let mut listed = Vec::with_capacity(LISTED_MAX);
        while cursor.remaining() > 0 {
            let symbol = cursor.u32().map_err(|_| self.corrupt())?;
            let ids = self.read_ids(&mut cursor, &mut listed);
            let ids = ids.map_err(|_| self.corrupt())?;
            if unescaped(self.symbols.text(self.pages, symbol)?) == value {
                return Ok(ids.into_bitmap());
            }
        }
        Ok(RoaringBitmap::new())
    }

    /// Reads the ids of a value, into `listed` where they are few.
    fn read_ids<'l>(
        &self,
        cursor: &mut Cursor<'_>,
        listed: &'l mut Vec<u32>,
    ) -> Result<Ids<'l>, Malformed> {
        let count = cursor.len_up_to(self.ids_limit as usize)?;
        if count > LISTED_MAX {
            let len = cursor.len_up_to(cursor.remaining())?;
            return decode_ids(cursor.bytes(len)?, self.ids_limit).map(Ids::Many);
        }
        listed.clear();
        let mut id = 0u32;
        for _ in 0..count {
            id = id.saturating_add(cursor.u32()?);
            if id >= self.ids_limit {
                return Err(Malformed("an id that is not there"));
            }
            listed.push(id);
        }
        Ok(Ids::Few(listed))
    }
}

/// The ids that have a value.
#[derive(Debug)]
pub enum Ids<'a> {
    /// Listed, ascending.
    Few(&'a [u32]),
    /// A set.
    Many(RoaringBitmap),
}

impl Ids<'_> {
    /// Whether none is one of `ids`.
    pub fn is_disjoint(&self, ids: &RoaringBitmap) -> bool {
        match self {
            Self::Few(listed) => !listed.iter().any(|id| ids.contains(*id)),
            Self::Many(own) => own.is_disjoint(ids),
        }
    }

    /// Those that are of `ids`, ascending.
    pub fn within(&self, ids: &RoaringBitmap, out: &mut Vec<u32>) {
        out.clear();
        match self {
            Self::Few(listed) => out.extend(listed.iter().filter(|id| ids.contains(**id))),
            Self::Many(own) => out.extend(own & ids),
        }
    }

    fn into_bitmap(self) -> RoaringBitmap {
        match self {
            Self::Few(listed) => listed.iter().copied().collect(),
            Self::Many(ids) => ids,
        }
    }
}
