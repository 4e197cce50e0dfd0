//! The part of a line before its first space: measurement and tags.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use memchr::{memchr, memchr2};
use plimsoll_engine::model::TagSetBuilder;
use plimsoll_engine::{Batch, TagSet};

use super::names::unescape_tag;
use super::{Reason, TAGS_MAX};

/// Where a measurement ends and where its tags start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measurement {
    /// The bytes of the name, escapes and all.
    pub(super) end: usize,
    /// Behind the comma, if there is one.
    pub(super) tags_start: Option<usize>,
}

/// Finds the measurement at the start of `line`, which is not empty.
pub(super) fn measurement(line: &[u8]) -> Result<Measurement, Reason> {
    if line[0] == b',' {
        return Err(Reason::MissingMeasurement);
    }
    let mut at = 1;
    loop {
        let Some(found) = memchr2(b',', b' ', &line[at..]) else {
            return Err(Reason::MissingFields);
        };
        let end = at + found;
        if line[end - 1] == b'\\' {
            at = end + 1;
            continue;
        }
        return Ok(Measurement {
            end,
            tags_start: (line[end] == b',').then_some(end + 1),
        });
    }
}

/// What a line's tags are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagPart {
    /// A tag set of the batch.
    Set(u32),
    /// One that holds the tag `time`, which may not be stored.
    HoldsTime,
}

/// Reads the tag parts of lines, each distinct one once.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// Places in the list, by the hash of what stands in lines.
    places: HashTable<usize>,
    list: Vec<Seen>,
    hasher: DefaultHashBuilder,
    last: usize,
    /// How many of the list were used in this turn, and its number.
    used: usize,
    turn: u32,
    bytes: usize,
    none: Option<u32>,
    spans: Vec<Pair>,
    builder: TagSetBuilder,
}

/// A tag part that was seen, followed by a space.
#[derive(Debug)]
struct Seen {
    hash: u64,
    raw: Raw,
    part: TagPart,
    /// The turn in which it was used last.
    turn: u32,
    /// Whether the quick reader may take it: nothing in it can end a line.
    is_quick: bool,
}

/// A tag part as it stands in lines.
#[derive(Debug)]
enum Raw {
    /// It is canonical: its text is the tag set's.
    Canonical(TagSet),
    Other(Box<[u8]>),
}

impl Raw {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Canonical(tags) => tags.as_str().as_bytes(),
            Self::Other(bytes) => bytes,
        }
    }
}

/// What a tag part takes beside its text: its places here and in the batch, allocations' own.
const TAG_PART_BYTES: usize = size_of::<Seen>() + 64;

/// One tag of a line, by offsets from the start of the line.
#[derive(Debug, Clone, Copy)]
struct Pair {
    start: usize,
    equals: usize,
    end: usize,
}

impl Tags {
    /// The empty tag set.
    pub(super) fn none(&mut self, batch: &mut Batch) -> u32 {
        *self
            .none
            .get_or_insert_with(|| batch.tag_set(&TagSet::default()))
    }

    /// Roughly how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Begins a turn; answers whether most of what is known was used in the last one.
    pub(super) fn turn(&mut self) -> bool {
        let were_used = self.used * 2 >= self.list.len();
        self.used = 0;
        self.turn = self.turn.wrapping_add(1);
        were_used
    }

    /// Reads the tags that start at `start`, and tells where they end.
    pub(super) fn read(
        &mut self,
        line: &[u8],
        start: usize,
        batch: &mut Batch,
    ) -> Result<(TagPart, usize), Reason> {
        let end = unescaped_space(line, start);
        let raw = &line[start..end.unwrap_or(line.len())];
        let hash = self.hasher.hash_one(raw);
        let part = match self.find(hash, raw) {
            // A part that was seen was followed by a space there; here it may not be.
            Some(place) if end.is_some() => self.take(place),
            _ => {
                let part = self.parse(line, start, batch)?;
                self.learn(hash, raw, part, batch);
                part
            }
        };
        Ok((part, start + raw.len()))
    }

    /// The tag set that `behind` starts with, and its length, where it was seen and holds nothing
    /// unusual: that of the line before, or the one that was seen behind it, or any.
    pub(super) fn quick(&mut self, behind: &[u8]) -> Option<(u32, usize)> {
        let place = [self.last, self.last + 1]
            .into_iter()
            .find(|place| {
                let seen = self.list.get(*place);
                seen.is_some_and(|seen| {
                    let rest = behind.strip_prefix(seen.raw.bytes());
                    seen.is_quick && rest.is_some_and(|rest| rest.first() == Some(&b' '))
                })
            })
            .or_else(|| {
                let raw = quick_end(behind).map(|end| &behind[..end])?;
                self.find(self.hasher.hash_one(raw), raw)
            })?;
        let seen = &self.list[place];
        let TagPart::Set(tag_set) = seen.part else {
            return None;
        };
        let len = seen.is_quick.then(|| seen.raw.bytes().len())?;
        self.take(place);
        Some((tag_set, len))
    }

    fn find(&self, hash: u64, raw: &[u8]) -> Option<usize> {
        let is_same = |place: &usize| {
            let seen = &self.list[*place];
            seen.hash == hash && seen.raw.bytes() == raw
        };
        self.places.find(hash, is_same).copied()
    }

    /// Notes that a known part is used.
    fn take(&mut self, place: usize) -> TagPart {
        let seen = &mut self.list[place];
        if seen.turn != self.turn {
            seen.turn = self.turn;
            self.used += 1;
        }
        self.last = place;
        seen.part
    }

    fn learn(&mut self, hash: u64, raw: &[u8], part: TagPart, batch: &Batch) {
        let place = self.list.len();
        let tags = match part {
            TagPart::Set(number) => batch.tag_sets().get(number as usize),
            TagPart::HoldsTime => None,
        };
        let raw = match tags {
            Some(tags) if tags.as_str().as_bytes() == raw => Raw::Canonical(tags.clone()),
            _ => Raw::Other(raw.into()),
        };
        self.bytes += raw.bytes().len() + TAG_PART_BYTES;
        let is_quick = memchr2(b'\n', b'"', raw.bytes()).is_none();
        self.list.push(Seen {
            hash,
            raw,
            part,
            turn: self.turn,
            is_quick,
        });
        let list = &self.list;
        self.places
            .insert_unique(hash, place, |place| list[*place].hash);
        self.used += 1;
        self.last = place;
    }

    fn parse(&mut self, line: &[u8], start: usize, batch: &mut Batch) -> Result<TagPart, Reason> {
        let end = scan(line, start, &mut self.spans)?;
        if self.spans.len() > TAGS_MAX {
            return Err(Reason::TooManyTags {
                got: self.spans.len(),
            });
        }
        let key = |pair: &Pair| &line[pair.start..pair.equals];
        let value = |pair: &Pair| &line[pair.equals + 1..pair.end];
        let raw = &line[start..end];
        // Values are escaped here as they are in a canonical text, so it is the keys that decide.
        let is_canonical = self
            .spans
            .iter()
            .all(|pair| memchr(b'\\', key(pair)).is_none())
            && self.spans.windows(2).all(|two| key(&two[0]) < key(&two[1]))
            && self.spans.iter().all(|pair| value(pair)[0] != b'=');
        if is_canonical {
            if self.spans.iter().any(|pair| key(pair) == b"time") {
                return Ok(TagPart::HoldsTime);
            }
            let text = std::str::from_utf8(raw).map_err(|_| Reason::KeyNotUtf8)?;
            return Ok(TagPart::Set(batch.tag_set(&TagSet::from_canonical(text))));
        }
        self.builder.clear();
        let mut holds_time = false;
        for pair in &self.spans {
            let (key, value) = (unescape_tag(key(pair)), unescape_tag(value(pair)));
            holds_time |= *key == *b"time";
            let key = std::str::from_utf8(&key).map_err(|_| Reason::KeyNotUtf8)?;
            let value = std::str::from_utf8(&value).map_err(|_| Reason::KeyNotUtf8)?;
            self.builder
                .push(key, value)
                .map_err(|_| Reason::MissingTagValue)?;
        }
        let text = self.builder.finish().map_err(|_| Reason::DuplicateTags)?;
        if holds_time {
            return Ok(TagPart::HoldsTime);
        }
        Ok(TagPart::Set(batch.tag_set(&TagSet::from_canonical(text))))
    }
}

/// Where a tag part ends, if that is in this line.
fn quick_end(behind: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let end = at + memchr2(b' ', b'\n', &behind[at..])?;
        if behind[end] == b'\n' {
            return None;
        }
        if end == 0 || behind[end - 1] != b'\\' {
            return Some(end);
        }
        at = end + 1;
    }
}

fn unescaped_space(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let end = at + memchr(b' ', &line[at..])?;
        if end == 0 || line[end - 1] != b'\\' {
            return Some(end);
        }
        at = end + 1;
    }
}

/// Finds the tags from `start` to the first space that is not escaped, by InfluxDB's rules: a
/// byte is escaped where the byte before it is a `\`, whatever stands before that.
fn scan(line: &[u8], start: usize, pairs: &mut Vec<Pair>) -> Result<usize, Reason> {
    pairs.clear();
    let mut at = start;
    loop {
        let key_start = at;
        match line.get(at) {
            None | Some(b' ' | b',' | b'=') => return Err(Reason::MissingTagKey),
            Some(_) => {}
        }
        let equals = loop {
            at += 1;
            match line.get(at) {
                None => return Err(Reason::MissingTagValue),
                Some(b' ' | b',') if line[at - 1] != b'\\' => return Err(Reason::MissingTagValue),
                Some(b'=') if line[at - 1] != b'\\' => break at,
                Some(_) => {}
            }
        };
        at += 1;
        if matches!(line.get(at), None | Some(b' ' | b',')) {
            return Err(Reason::MissingTagValue);
        }
        loop {
            at += 1;
            match line.get(at) {
                None => return Err(Reason::MissingFields),
                Some(b'=') if line[at - 1] != b'\\' => return Err(Reason::InvalidTagFormat),
                Some(b',' | b' ') if line[at - 1] != b'\\' => break,
                Some(_) => {}
            }
        }
        pairs.push(Pair {
            start: key_start,
            equals,
            end: at,
        });
        if line[at] == b' ' {
            return Ok(at);
        }
        at += 1;
    }
}
