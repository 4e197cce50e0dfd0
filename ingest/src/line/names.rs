//! Names of measurements and fields as they stand in lines, to numbers of the batch.

use std::borrow::Cow;

use hashbrown::HashMap;
use plimsoll_engine::Batch;

use super::Reason;

/// A name that was seen.
#[derive(Debug)]
pub(super) struct Name {
    /// As it stands in lines.
    pub(super) raw: Box<[u8]>,
    /// Its number in the batch.
    pub(super) id: u32,
    /// The place of the name that stood behind it the last time.
    next: usize,
    /// Whether the quick reader may take it: nothing in it can end a line or be white space that is
    /// skipped.
    pub(super) is_quick: bool,
}

/// Raw names that were seen, in order.
#[derive(Debug, Default)]
pub(super) struct Names {
    places: HashMap<Box<[u8]>, usize>,
    list: Vec<Name>,
    last: usize,
}

impl Names {
    /// The number of a name.
    pub(super) fn id(&mut self, raw: &[u8], batch: &mut Batch) -> Result<u32, Reason> {
        let place = self.place(raw, batch)?;
        Ok(self.list[place].id)
    }

    /// The place of a name in the list; made where it is new.
    pub(super) fn place(&mut self, raw: &[u8], batch: &mut Batch) -> Result<usize, Reason> {
        if let Some(place) = self.places.get(raw) {
            return Ok(*place);
        }
        let name = unescape(raw);
        let name = std::str::from_utf8(&name).map_err(|_| Reason::KeyNotUtf8)?;
        let id = batch.name(name);
        let place = self.list.len();
        self.list.push(Name {
            raw: raw.into(),
            id,
            next: place,
            is_quick: is_quick(raw),
        });
        self.places.insert(raw.into(), place);
        Ok(place)
    }

    /// The name at a place.
    pub(super) fn at(&self, place: usize) -> Option<&Name> {
        self.list.get(place)
    }

    /// Where a name is that the quick reader may take.
    pub(super) fn find_quick(&self, raw: &[u8]) -> Option<usize> {
        let place = *self.places.get(raw)?;
        self.list[place].is_quick.then_some(place)
    }

    /// The place of the name that followed the last one before.
    pub(super) fn expected(&self) -> Option<usize> {
        let next = self.list.get(self.last)?.next;
        self.list[next].is_quick.then_some(next)
    }

    /// Notes that the name at `place` stood behind the last one; answers its number.
    pub(super) fn follow(&mut self, place: usize) -> u32 {
        self.list[self.last].next = place;
        self.last = place;
        self.list[place].id
    }

    /// Roughly how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        let own = |name: &Name| 2 * name.raw.len() + size_of::<Name>() + NAME_BYTES;
        self.list.iter().map(own).sum()
    }
}

/// What a name takes beside its text: its place in the map, allocations' own, its copy in the batch.
const NAME_BYTES: usize = 128;

fn is_quick(raw: &[u8]) -> bool {
    let unusual = |byte: &u8| {
        matches!(
            byte,
            b'\n' | b'\r' | b'\t' | 0 | b' ' | b',' | b'=' | b'"' | b'\\'
        )
    };
    !raw.iter().any(unusual) && raw != b"time"
}

/// Takes away the `\` before `,` `"` `=` and space, the escapes of measurements and field keys.
pub(super) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    unescape_bytes(raw, b",\" =")
}

/// Takes away the `\` before `,` `=` and space, the escapes of tags.
pub(super) fn unescape_tag(raw: &[u8]) -> Cow<'_, [u8]> {
    unescape_bytes(raw, b", =")
}

/// Takes away the `\` before `"` and `\`, the escapes of string values.
pub(super) fn unescape_string(raw: &[u8]) -> Cow<'_, [u8]> {
    unescape_bytes(raw, b"\"\\")
}

fn unescape_bytes<'b>(raw: &'b [u8], escaped: &[u8]) -> Cow<'b, [u8]> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'\\' && raw.get(at + 1).is_some_and(|next| escaped.contains(next)) {
            at += 1;
        }
        out.push(raw[at]);
        at += 1;
    }
    Cow::Owned(out)
}
