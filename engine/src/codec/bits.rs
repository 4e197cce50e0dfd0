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

/// Integers that packed numbers are read as, in place.
pub trait Unpacked: Copy + Default + 'static {
    /// As many zeros as a block has numbers, at most: room for them is copied from here.
    const ZEROS: &'static [Self; BLOCK_POINTS_MAX];

    /// The same numbers, whatever their sign.
    fn as_bits(numbers: &mut [Self]) -> &mut [u64];
    /// The number of these bits.
    fn of(bits: u64) -> Self;
}

impl Unpacked for u64 {
    const ZEROS: &'static [Self; BLOCK_POINTS_MAX] = &[0; BLOCK_POINTS_MAX];

    fn as_bits(numbers: &mut [Self]) -> &mut [u64] {
        numbers
    }

    #[inline(always)]
    fn of(bits: u64) -> Self {
        bits
    }
}

impl Unpacked for i64 {
    const ZEROS: &'static [Self; BLOCK_POINTS_MAX] = &[0; BLOCK_POINTS_MAX];

    fn as_bits(numbers: &mut [Self]) -> &mut [u64] {
        bytemuck::cast_slice_mut(numbers)
    }

    #[inline(always)]
    fn of(bits: u64) -> Self {
        bits.cast_signed()
    }
}

/// What a packed number stands for: so many times itself, and so much more. Arithmetic wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What it is multiplied by.
    pub factor: u64,
    /// What is added.
    pub base: u64,
}

impl Line {
    /// A number stands for itself.
    pub const AS_IT_IS: Self = Self { factor: 1, base: 0 };

    /// What a number stands for.
    #[inline(always)]
    #[must_use]
    pub fn at(self, number: u64) -> u64 {
        number.wrapping_mul(self.factor).wrapping_add(self.base)
    }
}

/// Reads `out.len()` numbers of `width` bits from the front of `bytes`, as what they stand for. It
/// is quicker where more bytes follow.
///
/// # Errors
/// [`Malformed`] where `bytes` are fewer than [`packed_len`] or `width` is beyond [`WIDTH_MAX`].
pub fn unpack<N: Unpacked>(
    bytes: &[u8],
    width: u8,
    line: Line,
    out: &mut [N],
) -> Result<(), Malformed> {
    let unpack = of_width(LINES, bytes, width, out.len())?;
    unpack(bytes, line, N::as_bits(out));
    Ok(())
}

/// As [`unpack`], of numbers that stand for steps: answers `start` and all steps up to each, added
/// up.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_sums<N: Unpacked>(
    bytes: &[u8],
    width: u8,
    line: Line,
    start: u64,
    out: &mut [N],
) -> Result<(), Malformed> {
    let unpack = of_width(SUMS, bytes, width, out.len())?;
    unpack(bytes, line, start, N::as_bits(out));
    Ok(())
}

/// The function for a width, where all `count` numbers are there.
fn of_width<F: Copy>(
    functions: &[F; WIDTHS],
    bytes: &[u8],
    width: u8,
    count: usize,
) -> Result<F, Malformed> {
    let Some(function) = functions.get(usize::from(width)) else {
        return Err(Malformed("a width of more than 63 bits"));
    };
    if bytes.len() < packed_len(count, width) {
        return Err(Malformed("packed numbers that end early"));
    }
    Ok(*function)
}

fn lines<const WIDTH: usize>(bytes: &[u8], line: Line, out: &mut [u64]) {
    each::<WIDTH>(bytes, out, |number| line.at(number));
}

fn sums<const WIDTH: usize>(bytes: &[u8], line: Line, start: u64, out: &mut [u64]) {
    let mut sum = start;
    each::<WIDTH>(bytes, out, |step| {
        sum = sum.wrapping_add(line.at(step));
        sum
    });
}

/// Fills `out` with what `of` makes of each number, one after the other. For those that would fill
/// up the last eight it is called, too.
#[inline(always)]
fn each<const WIDTH: usize>(bytes: &[u8], out: &mut [u64], mut of: impl FnMut(u64) -> u64) {
    if WIDTH == 0 {
        out.iter_mut().for_each(|number| *number = of(0));
        return;
    }
    let readable = (bytes.len().saturating_sub(READ_BYTES)) / WIDTH;
    let eights = (out.len() / 8).min(readable);
    let (whole, out) = out.split_at_mut(eights * 8);
    for (index, eight) in whole.as_chunks_mut().0.iter_mut().enumerate() {
        let start = index * WIDTH;
        unpack_eight::<WIDTH>(&bytes[start..start + WIDTH + READ_BYTES], eight, &mut of);
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
        let mut eight = [0; 8];
        let start = index * WIDTH;
        let bytes = &padded[start..start + WIDTH + READ_BYTES];
        unpack_eight::<WIDTH>(bytes, &mut eight, &mut of);
        last.copy_from_slice(&eight[..last.len()]);
    }
}

/// Reads eight numbers from `WIDTH` bytes, behind which there are eight more.
#[inline(always)]
fn unpack_eight<const WIDTH: usize>(
    bytes: &[u8],
    out: &mut [u64; 8],
    of: &mut impl FnMut(u64) -> u64,
) {
    let mask = (1u64 << WIDTH) - 1;
    for (place, value) in out.iter_mut().enumerate() {
        let (byte, shift) = (place * WIDTH / 8, place * WIDTH % 8);
        let mut read = load(bytes, byte) >> shift;
        if shift + WIDTH > 64 {
            read |= u64::from(bytes[byte + 8]) << (64 - shift);
        }
        *value = of(read & mask);
    }
}

#[inline(always)]
fn load(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes[at..].first_chunk().expect("eight bytes of padding");
    u64::from_le_bytes(*eight)
}

/// How many widths there are.
const WIDTHS: usize = WIDTH_MAX as usize + 1;

/// A function for each width.
macro_rules! by_width {
    ($function:ident) => {
        by_width!($function: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26
            27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56
            57 58 59 60 61 62 63)
    };
    ($function:ident: $($width:literal)*) => { &[$($function::<$width>),*] };
}

type Lines = fn(&[u8], Line, &mut [u64]);
type Sums = fn(&[u8], Line, u64, &mut [u64]);

static LINES: &[Lines; WIDTHS] = by_width!(lines);
static SUMS: &[Sums; WIDTHS] = by_width!(sums);

/// Puts the sums of `start` and of numbers, up to each, in their place.
pub fn add_up<N: Unpacked>(start: u64, numbers: &mut [N]) {
    let mut sum = start;
    let mut add = |number: &mut u64| {
        sum = sum.wrapping_add(*number);
        *number = sum;
    };
    // Eight at a time, as the compiler does not unroll what depends on the number before.
    let (eights, rest) = N::as_bits(numbers).as_chunks_mut::<8>();
    for eight in eights {
        for number in eight {
            add(number);
        }
    }
    rest.iter_mut().for_each(add);
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
                unpack(&bytes, width, Line::AS_IT_IS, &mut back).unwrap();
                assert_eq!(back, values, "width {width}, count {count}");
                // What follows changes nothing.
                for more in [1, 7, 8, 9, 100] {
                    let longer: Vec<u8> = bytes.iter().copied().chain(vec![0xff; more]).collect();
                    back.fill(0);
                    unpack(&longer, width, Line::AS_IT_IS, &mut back).unwrap();
                    assert_eq!(back, values, "width {width}, count {count}, {more} more");
                }
                let line = Line {
                    factor: 1_000,
                    base: 7_u64.wrapping_neg(),
                };
                let mut expected: Vec<u64> = values.iter().map(|n| line.at(*n)).collect();
                unpack(&bytes, width, line, &mut back).unwrap();
                assert_eq!(back, expected, "on a line");
                add_up(u64::MAX, &mut expected);
                unpack_sums(&bytes, width, line, u64::MAX, &mut back).unwrap();
                assert_eq!(back, expected, "sums");
                let mut sum = u64::MAX;
                for (value, back) in values.iter().zip(&back) {
                    sum = sum.wrapping_add(value.wrapping_mul(1_000)).wrapping_sub(7);
                    assert_eq!(*back, sum);
                }
                if !bytes.is_empty() {
                    assert!(unpack(&bytes[1..], width, Line::AS_IT_IS, &mut back).is_err());
                }
            }
        }
        assert!(unpack(&[0; 4096], 64, Line::AS_IT_IS, &mut [0u64; 8]).is_err());
    }
}
