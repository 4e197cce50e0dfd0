//! Blocks of booleans (one byte where all are equal, else a bitmap) and bitmaps in general.

use super::{BLOCK_POINTS_MAX, Codec, Malformed};

/// Appends one bit a value, lowest first.
pub fn put_bitmap(values: &[bool], out: &mut Vec<u8>) {
    for eight in values.chunks(8) {
        let byte = eight
            .iter()
            .enumerate()
            .fold(0u8, |byte, (bit, set)| byte | u8::from(*set) << bit);
        out.push(byte);
    }
}

/// Appends the `count` bits of a bitmap, which must be as long as they need, zero beyond them.
///
/// # Errors
/// [`Malformed`] otherwise.
pub fn read_bitmap(bytes: &[u8], count: usize, out: &mut Vec<bool>) -> Result<(), Malformed> {
    if bytes.len() != count.div_ceil(8) {
        return Err(Malformed("a bitmap of another length"));
    }
    if !count.is_multiple_of(8) && bytes[bytes.len() - 1] >> (count % 8) != 0 {
        return Err(Malformed("a bitmap with bits beyond its end"));
    }
    out.extend((0..count).map(|index| bytes[index / 8] >> (index % 8) & 1 == 1));
    Ok(())
}

/// Appends all values; the caller keeps the count and the codec.
pub fn encode(values: &[bool], out: &mut Vec<u8>) -> Codec {
    debug_assert!((1..=BLOCK_POINTS_MAX).contains(&values.len()));
    if values.iter().all(|value| *value == values[0]) {
        out.push(u8::from(values[0]));
        Codec::Run
    } else {
        put_bitmap(values, out);
        Codec::Text
    }
}

/// Appends `count` values.
///
/// # Errors
/// [`Malformed`] where the bytes are not such a block.
pub fn decode(
    codec: Codec,
    bytes: &[u8],
    count: usize,
    out: &mut Vec<bool>,
) -> Result<(), Malformed> {
    if !(1..=BLOCK_POINTS_MAX).contains(&count) {
        return Err(Malformed("a block of an impossible count"));
    }
    match (codec, bytes) {
        (Codec::Run, [value @ (0 | 1)]) => {
            out.resize(out.len() + count, *value == 1);
            Ok(())
        }
        (Codec::Text, bytes) => read_bitmap(bytes, count, out),
        _ => Err(Malformed("bytes that are not booleans")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn booleans_come_back(values in proptest::collection::vec(any::<bool>(), 1..=256)) {
            let mut bytes = Vec::new();
            let codec = encode(&values, &mut bytes);
            let mut back = Vec::new();
            decode(codec, &bytes, values.len(), &mut back).unwrap();
            prop_assert_eq!(back, values);
        }

        #[test]
        fn hostile_bytes_are_refused(
            id in 0u8..8,
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            count in 0usize..300,
        ) {
            if let Some(codec) = Codec::from_id(id) {
                let mut out = Vec::new();
                if decode(codec, &bytes, count, &mut out).is_ok() {
                    prop_assert_eq!(out.len(), count);
                }
            }
        }
    }
}
