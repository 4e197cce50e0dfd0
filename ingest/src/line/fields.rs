//! The fields of a line, quickly where they are plain and by [`scan`] where they are not.

use memchr::{memchr, memchr2};
use plimsoll_engine::{Batch, FieldValue};

use super::Reason;
use super::lines::skip_space;
use super::names::{Names, unescape_string};
use super::scan;

/// Where the fields end, and the longest key among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Read {
    pub(super) end: usize,
    pub(super) key_bytes_max: usize,
}

/// Reads the fields behind the space at `at` into `out`. A field named `time` is left out.
pub(super) fn read(
    line: &[u8],
    at: usize,
    names: &mut Names,
    batch: &mut Batch,
    out: &mut Vec<(u32, FieldValue)>,
) -> Result<Read, Reason> {
    let start = skip_space(line, at);
    match plain(line, start, names, batch, out)? {
        Some(read) => Ok(read),
        None => {
            out.clear();
            careful(line, start, names, batch, out)
        }
    }
}

/// Reads fields that hold nothing unusual: keys without escapes, quotes, commas and spaces,
/// values that are well formed. Answers nothing where something else stands there; what is wrong
/// with it, if anything, [`careful`] says.
pub(super) fn plain(
    line: &[u8],
    start: usize,
    names: &mut Names,
    batch: &mut Batch,
    out: &mut Vec<(u32, FieldValue)>,
) -> Result<Option<Read>, Reason> {
    let mut at = start;
    let mut key_bytes_max = 0;
    loop {
        let Some(len) = memchr(b'=', &line[at..]) else {
            return Ok(None);
        };
        let key = &line[at..at + len];
        if key.is_empty()
            || key
                .iter()
                .any(|byte| matches!(byte, b'\\' | b',' | b' ' | b'"'))
        {
            return Ok(None);
        }
        let value_start = at + len + 1;
        let Some((value, end)) = plain_value(line, value_start) else {
            return Ok(None);
        };
        key_bytes_max = key_bytes_max.max(key.len());
        if key != b"time" {
            out.push((names.id(key, batch)?, value));
        }
        match line.get(end) {
            None | Some(b' ') => return Ok(Some(Read { end, key_bytes_max })),
            Some(b',') => at = end + 1,
            Some(_) => return Ok(None),
        }
    }
}

fn plain_value(line: &[u8], start: usize) -> Option<(FieldValue, usize)> {
    let rest = &line[start..];
    let first = *rest.first()?;
    if first == b'"' {
        let len = memchr2(b'"', b'\\', &rest[1..])?;
        if rest[1 + len] == b'\\' {
            return None;
        }
        let text = std::str::from_utf8(&rest[1..=len]).ok()?;
        return Some((FieldValue::String(text.into()), start + len + 2));
    }
    let len = memchr2(b',', b' ', rest).unwrap_or(rest.len());
    let value = unquoted(&rest[..len])?;
    Some((value, start + len))
}

/// A number or a boolean; nothing where it is neither, or not in range.
pub(super) fn unquoted(text: &[u8]) -> Option<FieldValue> {
    let (last, head) = text.split_last()?;
    match text[0] {
        b'0'..=b'9' | b'-' | b'.' => match last {
            b'i' => {
                decimal(head).then(|| lexical_core::parse(head).ok().map(FieldValue::Integer))?
            }
            b'u' => (decimal(head) && head[0] != b'-')
                .then(|| lexical_core::parse(head).ok().map(FieldValue::Unsigned))?,
            _ => {
                let number: f64 = lexical_core::parse(text).ok()?;
                number.is_finite().then_some(FieldValue::Float(number))
            }
        },
        _ => boolean(text).map(FieldValue::Boolean),
    }
}

fn decimal(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(true),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}

/// Reads any fields: [`scan::fields`] finds the first fault or where they end, then they are
/// walked.
pub(super) fn careful(
    line: &[u8],
    start: usize,
    names: &mut Names,
    batch: &mut Batch,
    out: &mut Vec<(u32, FieldValue)>,
) -> Result<Read, Reason> {
    let end = scan::fields(line, start)?;
    let mut key_bytes_max = 0;
    let mut rest = &line[start..end];
    while !rest.is_empty() {
        let scan::Split {
            key,
            value,
            rest: behind,
        } = scan::split_field(rest)?;
        rest = behind;
        key_bytes_max = key_bytes_max.max(key.len());
        let value = if value.first() == Some(&b'"') {
            let inner = value.get(1..value.len() - 1).unwrap_or_default();
            let text = unescape_string(inner);
            FieldValue::String(String::from_utf8_lossy(&text).into())
        } else {
            unquoted(value).ok_or(Reason::InvalidNumber)?
        };
        if key != b"time" {
            out.push((names.id(key, batch)?, value));
        }
    }
    Ok(Read { end, key_bytes_max })
}
