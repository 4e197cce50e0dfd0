//! Numbers of variable length (LEB128), and a cursor that never reads past the end.

use super::Malformed;

/// Appends `value`, seven bits a byte, lowest first.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Appends `value`, zigzagged so that small magnitudes are short.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

/// How many bytes [`put`] takes for `value`.
#[must_use]
pub fn len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Maps 0, -1, 1, -2 … to 0, 1, 2, 3 …
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// The low seven bits of each byte, side by side.
fn gathered(word: u64) -> u64 {
    let word = word & 0x7f7f_7f7f_7f7f_7f7f;
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    (word & 0x0fff_ffff) | (word >> 32 << 28)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low byte is what is asked for"
)]
fn low_byte(value: u64) -> u8 {
    value as u8
}

/// Reads bytes from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

const ENDS_EARLY: Malformed = Malformed("bytes that end early");

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes that were not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes were not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Refuses bytes that are left over.
    ///
    /// # Errors
    /// [`Malformed`] where there are some.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed("bytes that are left over"))
        }
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        let (byte, rest) = self.rest.split_first().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(*byte)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Malformed`] where fewer are left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next `N` bytes, by value.
    ///
    /// # Errors
    /// [`Malformed`] where fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// A little-endian number of four bytes.
    ///
    /// # Errors
    /// [`Malformed`] where fewer are left.
    pub fn u32_fixed(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A little-endian number of eight bytes.
    ///
    /// # Errors
    /// [`Malformed`] where fewer are left.
    pub fn u64_fixed(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of [`put`].
    ///
    /// # Errors
    /// [`Malformed`] where it does not end, or does not fit in 64 bits.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        if let Some(eight) = self.rest.first_chunk() {
            let word = u64::from_le_bytes(*eight);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                let len = ends.trailing_zeros() as usize / 8 + 1;
                self.rest = &self.rest[len..];
                return Ok(gathered(word & (u64::MAX >> (64 - 8 * len))));
            }
        }
        self.longer()
    }

    /// As [`Self::u64`], byte by byte.
    fn longer(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a number of more than 64 bits"))
    }

    /// A number of [`put_signed`].
    ///
    /// # Errors
    /// As [`Self::u64`].
    #[inline]
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(unzigzag(self.u64()?))
    }

    /// A number of [`put`] that must fit in 32 bits.
    ///
    /// # Errors
    /// As [`Self::u64`], and where it is larger.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.u64()?).map_err(|_| Malformed("a number of more than 32 bits"))
    }

    /// A number of [`put`] that is a length or count of at most `max`.
    ///
    /// # Errors
    /// As [`Self::u64`], and where it is larger.
    pub fn len_up_to(&mut self, max: usize) -> Result<usize, Malformed> {
        usize::try_from(self.u64()?)
            .ok()
            .filter(|len| *len <= max)
            .ok_or(Malformed("a length beyond its limit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_the_length_that_was_said() {
        let numbers = (0..64)
            .flat_map(|bit| [1u64 << bit, (1u64 << bit) - 1, !(1u64 << bit)])
            .chain([0, u64::MAX]);
        for number in numbers {
            let mut out = Vec::new();
            put(&mut out, number);
            assert_eq!(out.len(), len(number), "{number}");
            assert_eq!(Cursor::new(&out).u64(), Ok(number));
            // Bytes that follow change nothing, however it is read.
            let len = out.len();
            out.extend([0xff; 8]);
            let mut cursor = Cursor::new(&out);
            assert_eq!(cursor.u64(), Ok(number));
            assert_eq!(cursor.remaining(), out.len() - len);
            assert_eq!(zigzag(unzigzag(number)), number);
        }
    }

    #[test]
    fn a_number_that_does_not_end_or_fit_is_refused() {
        assert!(Cursor::new(&[0x80; 3]).u64().is_err());
        assert!(Cursor::new(&[0xff; 11]).u64().is_err());
        let mut eleven_bits_too_many = [0xff; 10];
        eleven_bits_too_many[9] = 2;
        assert!(Cursor::new(&eleven_bits_too_many).u64().is_err());
    }
}
