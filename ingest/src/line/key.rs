//! The part of a line before its first space: measurement and tags.

use hashbrown::HashMap;
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

/// Reads the tag parts of a body's lines, each distinct one once.
#[derive(Default)]
pub(super) struct Tags<'a> {
    last: Option<(&'a [u8], TagPart)>,
    seen: HashMap<&'a [u8], TagPart>,
    none: Option<u32>,
    spans: Vec<Pair>,
    builder: TagSetBuilder,
}

/// One tag of a line, by offsets from the start of the line.
#[derive(Clone, Copy)]
struct Pair {
    start: usize,
    equals: usize,
    end: usize,
}

impl<'a> Tags<'a> {
    /// The empty tag set.
    pub(super) fn none(&mut self, batch: &mut Batch) -> u32 {
        *self
            .none
            .get_or_insert_with(|| batch.tag_set(&TagSet::default()))
    }

    /// Reads the tags that start at `start`, and tells where they end.
    pub(super) fn read(
        &mut self,
        line: &'a [u8],
        start: usize,
        batch: &mut Batch,
    ) -> Result<(TagPart, usize), Reason> {
        if let Some((last, part)) = self.last
            && let Some(behind) = line[start..].strip_prefix(last)
            && behind.first() == Some(&b' ')
        {
            return Ok((part, start + last.len()));
        }
        let end = unescaped_space(line, start);
        let raw = &line[start..end.unwrap_or(line.len())];
        let part = match self.seen.get(raw) {
            // A part that was seen was followed by a space there; here it may not be.
            Some(part) if end.is_some() => *part,
            _ => {
                let part = self.parse(line, start, batch)?;
                self.seen.insert(raw, part);
                part
            }
        };
        self.last = Some((raw, part));
        Ok((part, start + raw.len()))
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
