//! Bit-packing: number `i` of width `w` stands in bits `i*w .. (i+1)*w`, lowest bit first.
//!
//! Unpacking goes by groups of 64 numbers, which fill exactly `w` words, so that every shift is a
//! constant to the compiler; a last, shorter group is padded with zeros.

use super::Malformed;

/// The widest number that is packed.
pub const WIDTH_MAX: u8 = 63;

const GROUP: usize = 64;

/// How many bytes `count` numbers of `width` bits take.
#[must_use]
pub fn packed_len(count: usize, width: u8) -> usize {
    (count * usize::from(width)).div_ceil(8)
}

/// Appends the low `width` bits of each number.
pub fn pack(values: &[u64], width: u8, out: &mut Vec<u8>) {
    debug_assert!(width <= WIDTH_MAX);
    if width == 0 {
        return;
    }
    let end = out.len() + packed_len(values.len(), width);
    let mask = (1u64 << width) - 1;
    let mut word = 0u64;
    let mut filled = 0u32;
    for value in values {
        let value = value & mask;
        word |= value << filled;
        filled += u32::from(width);
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            // The bits of `value` that did not fit; none where it ended with the word.
            word = if filled == 0 {
                0
            } else {
                value >> (u32::from(width) - filled)
            };
        }
    }
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

/// Reads `out.len()` numbers of `width` bits from the front of `bytes`.
///
/// # Errors
/// [`Malformed`] where `bytes` are fewer than [`packed_len`] or `width` is beyond [`WIDTH_MAX`].
pub fn unpack(bytes: &[u8], width: u8, out: &mut [u64]) -> Result<(), Malformed> {
    let Some(unpack_group) = UNPACK.get(usize::from(width)) else {
        return Err(Malformed("a width of more than 63 bits"));
    };
    let Some(bytes) = bytes.get(..packed_len(out.len(), width)) else {
        return Err(Malformed("packed numbers that end early"));
    };
    if width == 0 {
        out.fill(0);
        return Ok(());
    }
    let group_bytes = usize::from(width) * 8;
    let (words, rest) = bytes.split_at(out.len() / GROUP * group_bytes);
    let mut groups = out.chunks_exact_mut(GROUP);
    for (group, words) in groups.by_ref().zip(words.chunks_exact(group_bytes)) {
        let group = group.try_into().expect("chunks_exact gives 64 numbers");
        unpack_group(words, group);
    }
    let last = groups.into_remainder();
    if !last.is_empty() {
        let mut padded = [0u8; GROUP * 8];
        padded[..rest.len()].copy_from_slice(rest);
        let mut group = [0u64; GROUP];
        unpack_group(&padded[..group_bytes], &mut group);
        last.copy_from_slice(&group[..last.len()]);
    }
    Ok(())
}

/// Reads 64 numbers of `WIDTH` bits from `WIDTH` words.
///
/// Eight numbers start at a whole byte, so within them every place and shift is a constant.
fn unpack_group<const WIDTH: usize>(bytes: &[u8], out: &mut [u64; GROUP]) {
    // Eight bytes are read from where a number starts, so up to eight beyond the last word.
    let mut padded = [0u8; GROUP * 8 + 8];
    padded[..WIDTH * 8].copy_from_slice(&bytes[..WIDTH * 8]);
    let mask = (1u64 << WIDTH) - 1;
    for (index, eight) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let start = index * WIDTH;
        for (place, value) in eight.iter_mut().enumerate() {
            let (byte, shift) = (start + place * WIDTH / 8, place * WIDTH % 8);
            let mut read = load(&padded, byte) >> shift;
            if shift + WIDTH > 64 {
                read |= u64::from(padded[byte + 8]) << (64 - shift);
            }
            *value = read & mask;
        }
    }
}

#[inline(always)]
fn load(bytes: &[u8; GROUP * 8 + 8], at: usize) -> u64 {
    let eight = bytes[at..].first_chunk().expect("eight bytes of padding");
    u64::from_le_bytes(*eight)
}

type UnpackGroup = fn(&[u8], &mut [u64; GROUP]);

macro_rules! unpackers {
    ($($width:literal)*) => { [$(unpack_group::<$width>),*] };
}

static UNPACK: [UnpackGroup; 64] = unpackers!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_and_count_comes_back() {
        for width in 0..=WIDTH_MAX {
            for count in [0usize, 1, 2, 63, 64, 65, 127, 128, 200, 256] {
                let mask = (1u64 << width) - 1;
                let values: Vec<u64> = (0..count as u64)
                    .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask)
                    .collect();
                let mut bytes = Vec::new();
                pack(&values, width, &mut bytes);
                assert_eq!(bytes.len(), packed_len(count, width));
                let mut back = vec![0; count];
                unpack(&bytes, width, &mut back).unwrap();
                assert_eq!(back, values, "width {width}, count {count}");
                if !bytes.is_empty() {
                    assert!(unpack(&bytes[1..], width, &mut back).is_err());
                }
            }
        }
        assert!(unpack(&[0; 4096], 64, &mut [0; 8]).is_err());
    }
}
