//! Bit-packing: number `i` of width `w` stands in bits `i*w .. (i+1)*w`, lowest bit first.
//!
//! Unpacking goes by eights of numbers, which fill exactly `w` bytes, so that within one every place
//! and shift is a constant to the compiler.

use super::{BLOCK_POINTS_MAX, Malformed};

/// The widest number that is packed.
pub const WIDTH_MAX: u8 = 63;

/// A number is read by eight bytes from where it starts.
const READ_BYTES: usize = 8;
/// The last eights are read from a copy that has something behind it.
const PADDED_BYTES: usize = 2 * (WIDTH_MAX as usize + READ_BYTES + 1);

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

/// What packed numbers are read as.
pub trait Unpacked: Copy + Default + 'static {
    /// As many zeros as a block has numbers, at most: room for them is copied from here.
    const ZEROS: &'static [Self; BLOCK_POINTS_MAX];

    /// The number of these bits.
    fn of(bits: u64) -> Self;
    /// The bits of the number.
    fn bits(self) -> u64;
}

impl Unpacked for u64 {
    const ZEROS: &'static [Self; BLOCK_POINTS_MAX] = &[0; BLOCK_POINTS_MAX];

    #[inline(always)]
    fn of(bits: u64) -> Self {
        bits
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        self
    }
}

impl Unpacked for i64 {
    const ZEROS: &'static [Self; BLOCK_POINTS_MAX] = &[0; BLOCK_POINTS_MAX];

    #[inline(always)]
    fn of(bits: u64) -> Self {
        bits.cast_signed()
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        self.cast_unsigned()
    }
}

/// Reads `out.len()` numbers of `width` bits from the front of `bytes`. It is quicker where more
/// bytes follow.
///
/// # Errors
/// [`Malformed`] where `bytes` are fewer than [`packed_len`] or `width` is beyond [`WIDTH_MAX`].
pub fn unpack<N: Unpacked>(bytes: &[u8], width: u8, out: &mut [N]) -> Result<(), Malformed> {
    let Some(unpack) = Unpack::<N>::BY_WIDTH.get(usize::from(width)) else {
        return Err(Malformed("a width of more than 63 bits"));
    };
    if bytes.len() < packed_len(out.len(), width) {
        return Err(Malformed("packed numbers that end early"));
    }
    unpack(bytes, out);
    Ok(())
}

fn unpack_all<const WIDTH: usize, N: Unpacked>(bytes: &[u8], out: &mut [N]) {
    if WIDTH == 0 {
        out.fill(N::default());
        return;
    }
    let readable = (bytes.len().saturating_sub(READ_BYTES)) / WIDTH;
    let eights = (out.len() / 8).min(readable);
    let (whole, out) = out.split_at_mut(eights * 8);
    for (index, eight) in whole.as_chunks_mut().0.iter_mut().enumerate() {
        let start = index * WIDTH;
        unpack_eight::<WIDTH, N>(&bytes[start..start + WIDTH + READ_BYTES], eight);
    }
    if out.is_empty() {
        return;
    }
    let bytes = &bytes[eights * WIDTH..];
    // Fewer than WIDTH + 8 bytes are left, or fewer than eight numbers to read.
    let mut padded = [0u8; PADDED_BYTES];
    let left = bytes.len().min(WIDTH + READ_BYTES);
    padded[..left].copy_from_slice(&bytes[..left]);
    for (index, last) in out.chunks_mut(8).enumerate() {
        let mut eight = [N::default(); 8];
        let start = index * WIDTH;
        unpack_eight::<WIDTH, N>(&padded[start..start + WIDTH + READ_BYTES], &mut eight);
        last.copy_from_slice(&eight[..last.len()]);
    }
}

/// Reads eight numbers from `WIDTH` bytes, behind which there are eight more.
#[inline(always)]
fn unpack_eight<const WIDTH: usize, N: Unpacked>(bytes: &[u8], out: &mut [N; 8]) {
    let mask = (1u64 << WIDTH) - 1;
    for (place, value) in out.iter_mut().enumerate() {
        let (byte, shift) = (place * WIDTH / 8, place * WIDTH % 8);
        let mut read = load(bytes, byte) >> shift;
        if shift + WIDTH > 64 {
            read |= u64::from(bytes[byte + 8]) << (64 - shift);
        }
        *value = N::of(read & mask);
    }
}

#[inline(always)]
fn load(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes[at..].first_chunk().expect("eight bytes of padding");
    u64::from_le_bytes(*eight)
}

/// Puts the sums of `start` and of what `step` makes of numbers, up to each, in their place.
#[inline(always)]
pub fn add_up<N: Unpacked>(start: u64, numbers: &mut [N], step: impl Fn(u64) -> u64) {
    let mut sum = start;
    let mut add = |number: &mut N| {
        sum = sum.wrapping_add(step(number.bits()));
        *number = N::of(sum);
    };
    // Eight at a time, as the compiler does not unroll what depends on the number before.
    let (eights, rest) = numbers.as_chunks_mut::<8>();
    for eight in eights {
        for number in eight {
            add(number);
        }
    }
    rest.iter_mut().for_each(add);
}

type UnpackAll<N> = fn(&[u8], &mut [N]);

/// The functions that unpack each width.
struct Unpack<N>(std::marker::PhantomData<N>);

macro_rules! unpackers {
    ($($width:literal)*) => { [$(unpack_all::<$width, N>),*] };
}

impl<N: Unpacked> Unpack<N> {
    const BY_WIDTH: &'static [UnpackAll<N>] = &unpackers!(
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
        32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61
        62 63
    );
}

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
                let mut back = vec![0u64; count];
                unpack(&bytes, width, &mut back).unwrap();
                assert_eq!(back, values, "width {width}, count {count}");
                // What follows changes nothing.
                for more in [1, 7, 8, 9, 100] {
                    let longer: Vec<u8> = bytes.iter().copied().chain(vec![0xff; more]).collect();
                    back.fill(0);
                    unpack(&longer, width, &mut back).unwrap();
                    assert_eq!(back, values, "width {width}, count {count}, {more} more");
                }
                if !bytes.is_empty() {
                    assert!(unpack(&bytes[1..], width, &mut back).is_err());
                }
            }
        }
        assert!(unpack(&[0; 4096], 64, &mut [0u64; 8]).is_err());
    }
}
