//! Codec 4: floats by the exclusive or with the float before.
//!
//! Source: Gorilla (VLDB 2015), section 4.1.2. Bits go highest first.

use super::{BLOCK_POINTS_MAX, Malformed};

/// Appends `values[1..]`; the caller keeps `values[0]` and the count.
pub fn encode(values: &[f64], out: &mut Vec<u8>) {
    let mut bits = BitWriter {
        out,
        word: 0,
        free: 64,
    };
    let mut before = values[0].to_bits();
    // The window of meaningful bits that is in force: leading zeros and length.
    let mut window: Option<(u32, u32)> = None;
    for value in &values[1..] {
        let value = value.to_bits();
        let change = value ^ before;
        before = value;
        if change == 0 {
            bits.put(0, 1);
            continue;
        }
        let leading = change.leading_zeros().min(31);
        let trailing = change.trailing_zeros();
        match window {
            Some((lead, len)) if leading >= lead && trailing >= 64 - lead - len => {
                bits.put(0b10, 2);
                bits.put(change >> (64 - lead - len), len);
            }
            _ => {
                let len = 64 - leading - trailing;
                bits.put(0b11, 2);
                bits.put(u64::from(leading), 5);
                bits.put(u64::from(len - 1), 6);
                bits.put(change >> trailing, len);
                window = Some((leading, len));
            }
        }
    }
    bits.finish();
}

/// Appends `count` floats, `seed` first.
///
/// # Errors
/// [`Malformed`] where the bytes end early or are too many.
pub fn decode(bytes: &[u8], seed: f64, count: usize, out: &mut Vec<f64>) -> Result<(), Malformed> {
    if !(1..=BLOCK_POINTS_MAX).contains(&count) {
        return Err(Malformed("a block of an impossible count"));
    }
    let mut bits = BitReader { bytes, at: 0 };
    let mut value = seed.to_bits();
    let (mut lead, mut len) = (0, 0);
    out.reserve(count);
    out.push(seed);
    for _ in 1..count {
        let control = bits.peek();
        if control >> 63 == 0 {
            bits.at += 1;
        } else {
            if control >> 62 == 0b10 {
                bits.at += 2;
            } else {
                lead = (control >> 57) & 31;
                len = ((control >> 51) & 63) + 1;
                bits.at += 13;
            }
            if len == 0 || lead + len > 64 {
                return Err(Malformed("a float's window beyond 64 bits"));
            }
            value ^= bits.take(len) << (64 - lead - len);
        }
        out.push(f64::from_bits(value));
    }
    if bits.at.div_ceil(8) == bytes.len() {
        Ok(())
    } else {
        Err(Malformed("float bits of another length"))
    }
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    free: u32,
}

impl BitWriter<'_> {
    /// Appends the low `count` bits of `bits`, 1..=64, the others being zero.
    fn put(&mut self, bits: u64, count: u32) {
        if count <= self.free {
            self.free -= count;
            self.word |= bits << self.free;
            if self.free == 0 {
                self.flush();
            }
        } else {
            let over = count - self.free;
            self.word |= bits >> over;
            self.flush();
            self.free = 64 - over;
            self.word = bits << self.free;
        }
    }

    fn flush(&mut self) {
        self.out.extend_from_slice(&self.word.to_be_bytes());
        self.word = 0;
        self.free = 64;
    }

    fn finish(self) {
        let used = (64 - self.free).div_ceil(8) as usize;
        self.out.extend_from_slice(&self.word.to_be_bytes()[..used]);
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    /// At least 57 bits from where the reader stands, highest first; zeros beyond the end.
    fn peek(&self) -> u64 {
        let byte = self.at / 8;
        let word = match self.bytes.get(byte..).and_then(|b| b.first_chunk::<8>()) {
            Some(eight) => u64::from_be_bytes(*eight),
            None => {
                let mut padded = [0u8; 8];
                let rest = self.bytes.get(byte..).unwrap_or(&[]);
                padded[..rest.len()].copy_from_slice(rest);
                u64::from_be_bytes(padded)
            }
        };
        word << (self.at % 8)
    }

    /// The next `count` bits, 1..=64.
    fn take(&mut self, count: u64) -> u64 {
        let high = count.min(32);
        let mut bits = self.peek() >> (64 - high);
        self.at += usize::try_from(high).expect("at most 32");
        if count > high {
            let low = count - high;
            bits = bits << low | self.peek() >> (64 - low);
            self.at += usize::try_from(low).expect("at most 32");
        }
        bits
    }
}
