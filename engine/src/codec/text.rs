//! Blocks of strings: parts of up to 64 KiB of distinct text, each a dictionary and the rows'
//! places in it, through zstd where that is smaller.

use std::collections::HashMap;
use std::sync::Arc;

use super::varint::{self, Cursor};
use super::{BLOCK_POINTS_MAX, Codec, Malformed, bits};

/// The longest string that a block takes.
pub const STRING_BYTES_MAX: usize = 1 << 20;
/// Where a part of more than one distinct string ends.
const PART_TEXT_BYTES: usize = 64 << 10;
/// The largest part before compression: the text, or one string, with lengths and places.
const PART_BYTES_MAX: usize = STRING_BYTES_MAX + PART_TEXT_BYTES + 4 * BLOCK_POINTS_MAX + 16;
/// Shorter parts are not worth a zstd frame.
const ZSTD_BYTES_MIN: usize = 64;
const ZSTD_LEVEL: i32 = 3;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Appends all values; the caller keeps the count and the codec.
///
/// Shape: 1..=[`BLOCK_POINTS_MAX`] values of at most [`STRING_BYTES_MAX`] bytes each.
pub fn encode(values: &[Arc<str>], out: &mut Vec<u8>) -> Codec {
    encode_parts(values, Parts::Compressed, out)
}

/// As [`encode`], for a page that will be compressed as a whole.
pub fn encode_plain(values: &[Arc<str>], out: &mut Vec<u8>) -> Codec {
    encode_parts(values, Parts::Plain, out)
}

/// Whether parts go through zstd where that is smaller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    Compressed,
    Plain,
}

fn encode_parts(values: &[Arc<str>], parts: Parts, out: &mut Vec<u8>) -> Codec {
    debug_assert!((1..=BLOCK_POINTS_MAX).contains(&values.len()));
    let mut rest = values;
    while !rest.is_empty() {
        let rows = encode_part(rest, parts, out);
        rest = &rest[rows..];
    }
    Codec::Text
}

/// Appends one part and returns how many rows it took.
fn encode_part(values: &[Arc<str>], parts: Parts, out: &mut Vec<u8>) -> usize {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut texts: Vec<&str> = Vec::new();
    let mut places: Vec<u64> = Vec::new();
    let mut text_bytes = 0;
    for value in values {
        let number = match numbers.get(&**value) {
            Some(number) => *number,
            None => {
                text_bytes += value.len();
                if !texts.is_empty() && text_bytes > PART_TEXT_BYTES {
                    break;
                }
                numbers.insert(value, texts.len());
                texts.push(value);
                texts.len() - 1
            }
        };
        places.push(number as u64);
    }
    let mut part = Vec::new();
    varint::put(&mut part, texts.len() as u64);
    for text in &texts {
        varint::put(&mut part, text.len() as u64);
    }
    for text in &texts {
        part.extend_from_slice(text.as_bytes());
    }
    bits::pack(&places, place_width(texts.len()), &mut part);

    varint::put(out, places.len() as u64);
    let compressed = if parts == Parts::Compressed && part.len() >= ZSTD_BYTES_MIN {
        zstd::bulk::compress(&part, ZSTD_LEVEL).ok()
    } else {
        None
    };
    match compressed {
        Some(compressed) if compressed.len() + 4 < part.len() => {
            out.push(ZSTD);
            varint::put(out, part.len() as u64);
            varint::put(out, compressed.len() as u64);
            out.extend(compressed);
        }
        _ => {
            out.push(PLAIN);
            varint::put(out, part.len() as u64);
            out.extend(&part);
        }
    }
    places.len()
}

/// How many bits a place among `count` texts takes.
fn place_width(count: usize) -> u8 {
    let largest = count.saturating_sub(1);
    u8::try_from(usize::BITS - largest.leading_zeros()).expect("at most 64")
}

/// Appends `count` strings.
///
/// # Errors
/// [`Malformed`] where the bytes are not such a block; what was appended until then is undefined,
/// so callers cut `out` back.
pub fn decode(
    codec: Codec,
    bytes: &[u8],
    count: usize,
    out: &mut Vec<Arc<str>>,
) -> Result<(), Malformed> {
    if codec != Codec::Text || !(1..=BLOCK_POINTS_MAX).contains(&count) {
        return Err(Malformed("bytes that are not strings"));
    }
    let mut cursor = Cursor::new(bytes);
    let mut left = count;
    while left > 0 {
        let rows = cursor.len_up_to(left)?;
        if rows == 0 {
            return Err(Malformed("strings without rows"));
        }
        left -= rows;
        let kind = cursor.u8()?;
        let len = cursor.len_up_to(PART_BYTES_MAX)?;
        match kind {
            PLAIN => decode_part(cursor.bytes(len)?, rows, out)?,
            ZSTD => {
                let stored = cursor.len_up_to(PART_BYTES_MAX)?;
                let part = zstd::bulk::decompress(cursor.bytes(stored)?, len)
                    .map_err(|_| Malformed("strings that zstd refuses"))?;
                decode_part(&part, rows, out)?;
            }
            _ => return Err(Malformed("strings of an unknown kind")),
        }
    }
    cursor.finish()
}

fn decode_part(bytes: &[u8], rows: usize, out: &mut Vec<Arc<str>>) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.len_up_to(rows)?;
    let mut lens = [0usize; BLOCK_POINTS_MAX];
    for len in &mut lens[..count] {
        *len = cursor.len_up_to(STRING_BYTES_MAX)?;
    }
    let mut texts: Vec<Arc<str>> = Vec::with_capacity(count);
    for len in &lens[..count] {
        let text = std::str::from_utf8(cursor.bytes(*len)?)
            .map_err(|_| Malformed("a string that is not UTF-8"))?;
        texts.push(text.into());
    }
    let width = place_width(count);
    let mut places = [0u64; BLOCK_POINTS_MAX];
    let packed = cursor.bytes(bits::packed_len(rows, width))?;
    bits::unpack(packed, width, bits::Line::AS_IT_IS, &mut places[..rows])?;
    cursor.finish()?;
    for place in &places[..rows] {
        let text = usize::try_from(*place).ok().and_then(|at| texts.get(at));
        out.push(Arc::clone(text.ok_or(Malformed("a row of no string"))?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[Arc<str>]) -> usize {
        let mut bytes = Vec::new();
        let codec = encode(values, &mut bytes);
        let mut back = Vec::new();
        decode(codec, &bytes, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
        bytes.len()
    }

    #[test]
    fn repeated_and_long_strings_come_back() {
        let long: Arc<str> = "x".repeat(STRING_BYTES_MAX).into();
        assert!(round_trip(&[long]) < 1000);
        let events: Vec<Arc<str>> = (0..256)
            .map(|i| format!("{{\"reason\":\"Pulled\",\"count\":{i}}}").into())
            .collect();
        assert!(round_trip(&events) < 256 * 10);
        let mut state = 1u64;
        let noise: Vec<Arc<str>> = (0..256)
            .map(|_| {
                let text: String = (0..1000)
                    .map(|_| {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        char::from_u32(0x100 + (state >> 40) as u32 % 0x400).unwrap()
                    })
                    .collect();
                text.into()
            })
            .collect();
        round_trip(&noise);
    }

    proptest! {
        #[test]
        fn strings_come_back(values in proptest::collection::vec("[a-c]{0,3}|.*", 1..=256)) {
            let values: Vec<Arc<str>> = values.into_iter().map(Into::into).collect();
            round_trip(&values);
        }

        #[test]
        fn hostile_bytes_are_refused_or_decoded_but_never_more(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
            valid in proptest::collection::vec("[ab]{0,9}", 1..=256),
            flip in any::<prop::sample::Index>(),
            count in 0usize..300,
        ) {
            let mut out = Vec::new();
            prop_assert!(decode(Codec::Text, &bytes, count, &mut out).is_err() || out.len() == count);
            bytes.clear();
            let valid: Vec<Arc<str>> = valid.into_iter().map(Into::into).collect();
            encode(&valid, &mut bytes);
            let at = flip.index(bytes.len());
            bytes[at] ^= 0x41;
            out.clear();
            let decoded = decode(Codec::Text, &bytes, valid.len(), &mut out);
            prop_assert!(decoded.is_err() || out.len() == valid.len());
        }
    }
}
