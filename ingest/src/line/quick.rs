//! Lines that repeat what was seen: the measurement that was expected, known tags, the keys of the
//! line before, numbers. They are taken in one pass, without a look for their ends first.
//!
//! What it takes it reads as the careful readers do; anything unusual is left to them. No more than
//! a line is ever looked at for it.

use plimsoll_engine::{Batch, FieldValue};

use super::fields::unquoted;
use super::key::Tags;
use super::names::Names;
use super::time::Times;
use super::{FIELDS_MAX, KEY_BYTES_MAX, LINE_BYTES_MAX};

/// Digits that fit into an i64, whatever they are.
const DIGITS_SAFE: usize = 18;
/// What InfluxDB counts to a key beside measurement, tags and field.
const KEY_JOINT_BYTES: usize = 4;

/// What quick lines are read with.
pub(super) struct Quick<'a> {
    pub(super) measurements: &'a mut Names,
    pub(super) fields: &'a mut Names,
    /// The places of the last line's field keys.
    pub(super) keys: &'a mut Vec<usize>,
    pub(super) tags: &'a mut Tags,
    pub(super) times: &'a mut Times,
    pub(super) values: &'a mut Vec<(u32, FieldValue)>,
}

impl Quick<'_> {
    /// Takes the line that `rest` starts with; answers where the next one starts. Nothing, and
    /// nothing is done, where the line is not all plain and known.
    pub(super) fn line(&mut self, rest: &[u8], batch: &mut Batch) -> Option<usize> {
        let (measurement, name_len) = self.measurement(rest)?;
        let (tag_set, key_end) = match rest.get(name_len)? {
            b',' => {
                let (tag_set, len) = self.tags.quick(&rest[name_len + 1..])?;
                (tag_set, name_len + 1 + len)
            }
            b' ' => (self.tags.none(batch), name_len),
            _ => return None,
        };
        if rest.get(key_end) != Some(&b' ') {
            return None;
        }
        let (fields_end, key_len_max) = self.fields(rest, key_end + 1)?;
        let (time, end) = match rest.get(fields_end) {
            Some(b' ') => {
                let (time, len) = self.times.quick(&rest[fields_end + 1..])?;
                (time, fields_end + 1 + len)
            }
            _ => (self.times.now(), fields_end),
        };
        let next = match rest[end..] {
            [] => end,
            [b'\n', ..] => end + 1,
            [b'\r', b'\n', ..] => end + 2,
            _ => return None,
        };
        if key_end + KEY_JOINT_BYTES + key_len_max > KEY_BYTES_MAX
            || self.values.len() > FIELDS_MAX
            || end > LINE_BYTES_MAX
        {
            return None;
        }
        let measurement = self.measurements.follow(measurement);
        batch.push(measurement, tag_set, time, self.values.drain(..));
        Some(next)
    }

    /// The place of the measurement that a line starts with, and its length.
    fn measurement(&self, rest: &[u8]) -> Option<(usize, usize)> {
        let ends = |len: usize| matches!(rest.get(len), Some(b',' | b' '));
        if let Some(place) = self.measurements.expected() {
            let raw = &self.measurements.at(place)?.raw;
            if rest.starts_with(raw) && ends(raw.len()) {
                return Some((place, raw.len()));
            }
        }
        let len = rest
            .iter()
            .position(|byte| matches!(byte, b',' | b' ' | b'\n' | b'\\'))?;
        let place = self.measurements.find_quick(&rest[..len])?;
        ends(len).then_some((place, len))
    }

    /// Reads fields from `at` on; answers where they end, and the longest key.
    fn fields(&mut self, rest: &[u8], mut at: usize) -> Option<(usize, usize)> {
        self.values.clear();
        let mut key_len_max = 0;
        loop {
            let (id, len) = self.key(&rest[at..])?;
            key_len_max = key_len_max.max(len);
            let start = at + len + 1;
            let (value, len) = value(rest.get(start..)?)?;
            self.values.push((id, value));
            let end = start + len;
            match rest.get(end) {
                Some(b',') => at = end + 1,
                _ => return Some((end, key_len_max)),
            }
        }
    }

    /// The field whose key and `=` stand first, and the length of the key.
    fn key(&mut self, rest: &[u8]) -> Option<(u32, usize)> {
        let index = self.values.len();
        if let Some(name) = self
            .keys
            .get(index)
            .and_then(|place| self.fields.at(*place))
            && let Some(behind) = rest.strip_prefix(&*name.raw)
            && behind.first() == Some(&b'=')
        {
            return Some((name.id, name.raw.len()));
        }
        let len = rest
            .iter()
            .position(|byte| matches!(byte, b'=' | b',' | b' ' | b'\n' | b'"' | b'\\'))
            .filter(|len| rest[*len] == b'=')?;
        let place = self.fields.find_quick(&rest[..len])?;
        self.keys.truncate(index);
        self.keys.push(place);
        Some((self.fields.at(place)?.id, len))
    }
}

/// The number or boolean that stands first, and its length.
fn value(rest: &[u8]) -> Option<(FieldValue, usize)> {
    if let Some((number, len)) = integer(rest) {
        return Some((FieldValue::Integer(number), len));
    }
    let is_end = |byte: &u8| matches!(byte, b',' | b' ' | b'\n' | b'\r' | b'"');
    let len = rest.iter().position(is_end).unwrap_or(rest.len());
    Some((unquoted(&rest[..len])?, len))
}

/// An integer of few digits and its `i`, where a field ends behind it.
fn integer(rest: &[u8]) -> Option<(i64, usize)> {
    let is_negative = rest.first() == Some(&b'-');
    let start = usize::from(is_negative);
    let (mut at, mut number) = (start, 0_i64);
    while let Some(eight) = rest.get(at..).and_then(|rest| rest.first_chunk())
        && at < start + 16
        && let Some(more) = eight_digits(*eight)
    {
        number = number * 100_000_000 + more;
        at += 8;
    }
    while let Some(digit @ b'0'..=b'9') = rest.get(at) {
        number = number
            .wrapping_mul(10)
            .wrapping_add(i64::from(digit - b'0'));
        at += 1;
    }
    let is_integer = rest.get(at) == Some(&b'i')
        && (start + 1..=start + DIGITS_SAFE).contains(&at)
        && matches!(rest.get(at + 1), None | Some(b',' | b' ' | b'\n' | b'\r'));
    is_integer.then(|| (if is_negative { -number } else { number }, at + 1))
}

/// Eight digits at once.
fn eight_digits(bytes: [u8; 8]) -> Option<i64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let text = u64::from_le_bytes(bytes);
    // Above 9 the sixes carry into the high half.
    let sixes = text.wrapping_add(0x0606_0606_0606_0606);
    if text & HIGH != ZEROS || sixes & HIGH != ZEROS {
        return None;
    }
    let digits = text & !HIGH;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    i64::try_from(eight).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_eight_digits_at_a_time() {
        for (text, read) in [
            ("0i", Some((0, 2))),
            ("7i,", Some((7, 2))),
            ("-7i ", Some((-7, 3))),
            ("12345678i\n", Some((12_345_678, 9))),
            ("123456789i\r", Some((123_456_789, 10))),
            ("00000000001i", Some((1, 12))),
            ("1234567890123456i", Some((1_234_567_890_123_456, 17))),
            ("-123456789012345678i", Some((-123_456_789_012_345_678, 20))),
            ("1234567890123456789i", None),
            ("1234567/i", None),
            ("1234567:i", None),
            ("12345678", None),
            ("12345678.5", None),
            ("i", None),
            ("-i", None),
            ("1ii", None),
            ("", None),
        ] {
            assert_eq!(integer(text.as_bytes()), read, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_digits_are_no_number() {
        for byte in 0..=255_u8 {
            for at in 0..8 {
                let mut bytes = *b"90817263";
                bytes[at] = byte;
                let text = std::str::from_utf8(&bytes).ok();
                let expected = text
                    .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                    .and_then(|text| text.parse().ok());
                assert_eq!(eight_digits(bytes), expected, "{bytes:?}");
            }
        }
    }
}
