//! What a block's values come to, kept in the block index so that a window which covers the block
//! need not decode it.

use crate::codec::varint::{self, Cursor};
use crate::codec::{Malformed, decimal};

/// What the values of one block come to. Blocks of strings, booleans, NaN or few rows have none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Summary {
    /// Of a float column.
    Float(FloatSummary),
    /// Of an integer column.
    Integer(IntegerSummary<i64>),
    /// Of an unsigned column.
    Unsigned(IntegerSummary<u64>),
}

/// A block of floats, none of them NaN. Float sums depend on their order, so they are not kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloatSummary {
    /// The first value in time.
    pub first: f64,
    /// The last value in time.
    pub last: f64,
    /// The smallest value, the earliest of equal ones.
    pub min: f64,
    /// The largest value, the earliest of equal ones.
    pub max: f64,
}

/// A block of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerSummary<T> {
    /// The first value in time.
    pub first: T,
    /// The last value in time.
    pub last: T,
    /// The smallest value.
    pub min: T,
    /// The largest value.
    pub max: T,
    /// The sum, wrapping.
    pub sum: T,
    /// The sum of all steps upwards within the block, wrapping: a counter's growth, where a step
    /// downwards (a restart) counts as nothing.
    pub increase: T,
}

/// An integer type of columns.
pub trait Integer: Copy + Ord {
    /// The value's bits.
    fn bits(self) -> u64;
    /// The value of the bits.
    fn from_bits(bits: u64) -> Self;
}

impl Integer for i64 {
    fn bits(self) -> u64 {
        self.cast_unsigned()
    }

    fn from_bits(bits: u64) -> Self {
        bits.cast_signed()
    }
}

impl Integer for u64 {
    fn bits(self) -> u64 {
        self
    }

    fn from_bits(bits: u64) -> Self {
        bits
    }
}

impl<T: Integer> IntegerSummary<T> {
    /// Of one value throughout.
    pub fn constant(value: T, count: usize) -> Self {
        Self {
            first: value,
            last: value,
            min: value,
            max: value,
            sum: T::from_bits(value.bits().wrapping_mul(count as u64)),
            increase: T::from_bits(0),
        }
    }

    /// Of these values, which are not empty.
    pub fn of(values: &[T]) -> Self {
        let first = values[0];
        let (mut min, mut max, mut before) = (first, first, first);
        let (mut sum, mut increase) = (0u64, 0u64);
        for &value in values {
            min = min.min(value);
            max = max.max(value);
            sum = sum.wrapping_add(value.bits());
            if value > before {
                increase = increase.wrapping_add(value.bits().wrapping_sub(before.bits()));
            }
            before = value;
        }
        Self {
            first,
            last: before,
            min,
            max,
            sum: T::from_bits(sum),
            increase: T::from_bits(increase),
        }
    }

    /// Appends all but `first` and the count, which the caller keeps.
    pub fn encode(&self, count: usize, out: &mut Vec<u8>) {
        let (first, last) = (self.first.bits(), self.last.bits());
        let flags_at = out.len();
        let mut flags = 0;
        out.push(0);
        varint::put_signed(out, last.wrapping_sub(first).cast_signed());
        if self.min == self.first {
        } else if self.min == self.last {
            flags |= MIN_IS_LAST;
        } else {
            flags |= MIN_FOLLOWS;
            varint::put(out, first.wrapping_sub(self.min.bits()));
        }
        if self.max == self.first {
        } else if self.max == self.last {
            flags |= MAX_IS_LAST;
        } else {
            flags |= MAX_FOLLOWS;
            varint::put(out, self.max.bits().wrapping_sub(first));
        }
        let expected = expected_sum(first, last, count);
        varint::put_signed(out, self.sum.bits().wrapping_sub(expected).cast_signed());
        if self.increase.bits() != last.wrapping_sub(first) {
            flags |= INCREASE_FOLLOWS;
            varint::put(out, self.increase.bits());
        }
        out[flags_at] = flags;
    }

    /// Reads what [`Self::encode`] appended.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes end early or have unknown flags.
    pub fn decode(first: T, count: usize, cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let flags = cursor.u8()?;
        let last = first.bits().wrapping_add(cursor.i64()?.cast_unsigned());
        let min = match flags & MIN_FLAGS {
            0 => first.bits(),
            MIN_IS_LAST => last,
            MIN_FOLLOWS => first.bits().wrapping_sub(cursor.u64()?),
            _ => return Err(UNKNOWN_FLAGS),
        };
        let max = match flags & MAX_FLAGS {
            0 => first.bits(),
            MAX_IS_LAST => last,
            MAX_FOLLOWS => first.bits().wrapping_add(cursor.u64()?),
            _ => return Err(UNKNOWN_FLAGS),
        };
        let expected = expected_sum(first.bits(), last, count);
        let sum = expected.wrapping_add(cursor.i64()?.cast_unsigned());
        let increase = match flags & !(MIN_FLAGS | MAX_FLAGS) {
            0 => last.wrapping_sub(first.bits()),
            INCREASE_FOLLOWS => cursor.u64()?,
            _ => return Err(UNKNOWN_FLAGS),
        };
        Ok(Self {
            first,
            last: T::from_bits(last),
            min: T::from_bits(min),
            max: T::from_bits(max),
            sum: T::from_bits(sum),
            increase: T::from_bits(increase),
        })
    }
}

const MIN_IS_LAST: u8 = 0x01;
const MIN_FOLLOWS: u8 = 0x02;
const MIN_FLAGS: u8 = 0x03;
const MAX_IS_LAST: u8 = 0x04;
const MAX_FOLLOWS: u8 = 0x08;
const MAX_FLAGS: u8 = 0x0c;
const INCREASE_FOLLOWS: u8 = 0x10;
const UNKNOWN_FLAGS: Malformed = Malformed("a summary of unknown flags");

/// The sum of `count` values on a straight line from `first` to `last`, roughly: what is stored
/// is the difference to it.
fn expected_sum(first: u64, last: u64, count: usize) -> u64 {
    let count = count as u64;
    let half_span = (last.wrapping_sub(first).cast_signed() >> 1).cast_unsigned();
    count.wrapping_mul(first.wrapping_add(half_span))
}

impl FloatSummary {
    /// Of one value throughout; None for NaN.
    pub fn constant(value: f64) -> Option<Self> {
        (!value.is_nan()).then_some(Self {
            first: value,
            last: value,
            min: value,
            max: value,
        })
    }

    /// Of these values, which are not empty; None where one is NaN.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut summary = Self::constant(values[0])?;
        for &value in values {
            if value.is_nan() {
                return None;
            }
            if value < summary.min {
                summary.min = value;
            }
            if value > summary.max {
                summary.max = value;
            }
            summary.last = value;
        }
        Some(summary)
    }

    /// Appends all but `first`, which the caller keeps.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let flags_at = out.len();
        let mut flags = 0;
        out.push(0);
        put_float(out, self.last, self.first);
        if same(self.min, self.first) {
        } else if same(self.min, self.last) {
            flags |= MIN_IS_LAST;
        } else {
            flags |= MIN_FOLLOWS;
            put_float(out, self.min, self.first);
        }
        if same(self.max, self.first) {
        } else if same(self.max, self.last) {
            flags |= MAX_IS_LAST;
        } else {
            flags |= MAX_FOLLOWS;
            put_float(out, self.max, self.first);
        }
        out[flags_at] = flags;
    }

    /// Reads what [`Self::encode`] appended.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes end early or have unknown flags.
    pub fn decode(first: f64, cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let flags = cursor.u8()?;
        let last = read_float(cursor, first)?;
        let min = match flags & MIN_FLAGS {
            0 => first,
            MIN_IS_LAST => last,
            MIN_FOLLOWS => read_float(cursor, first)?,
            _ => return Err(UNKNOWN_FLAGS),
        };
        let max = match flags & !MIN_FLAGS {
            0 => first,
            MAX_IS_LAST => last,
            MAX_FOLLOWS => read_float(cursor, first)?,
            _ => return Err(UNKNOWN_FLAGS),
        };
        Ok(Self {
            first,
            last,
            min,
            max,
        })
    }
}

const SAME_FLOAT: u8 = 0xfe;
const RAW_FLOAT: u8 = 0xff;

/// Appends a float: as the same as `before`, as a decimal, or raw.
pub fn put_float(out: &mut Vec<u8>, value: f64, before: f64) {
    if value.to_bits() == before.to_bits() {
        out.push(SAME_FLOAT);
        return;
    }
    let decimal = (0..=decimal::SCALE_MAX)
        .find_map(|scale| Some((scale, decimal::to_integer(value, scale)?)))
        .filter(|(_, integer)| varint::len(varint::zigzag(*integer)) < 8);
    if let Some((scale, integer)) = decimal {
        out.push(scale);
        varint::put_signed(out, integer);
    } else {
        out.push(RAW_FLOAT);
        out.extend(value.to_le_bytes());
    }
}

/// Reads what [`put_float`] appended.
pub fn read_float(cursor: &mut Cursor<'_>, before: f64) -> Result<f64, Malformed> {
    match cursor.u8()? {
        SAME_FLOAT => Ok(before),
        RAW_FLOAT => Ok(f64::from_bits(cursor.u64_fixed()?)),
        scale @ 0..=decimal::SCALE_MAX => Ok(decimal::to_float(cursor.i64()?, scale)),
        _ => Err(Malformed("a float of an unknown kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip<T: Integer + std::fmt::Debug>(values: &[T]) {
        let summary = IntegerSummary::of(values);
        let mut bytes = Vec::new();
        summary.encode(values.len(), &mut bytes);
        let mut cursor = Cursor::new(&bytes);
        let back = IntegerSummary::decode(values[0], values.len(), &mut cursor).unwrap();
        assert_eq!(back, summary);
        cursor.finish().unwrap();
    }

    #[test]
    fn a_restart_of_a_counter_adds_nothing_to_its_increase() {
        let summary = IntegerSummary::of(&[10i64, 15, 3, 4]);
        assert_eq!(summary.increase, 6);
        assert_eq!((summary.min, summary.max, summary.sum), (3, 15, 32));
        assert_eq!(
            IntegerSummary::constant(7u64, 3),
            IntegerSummary::of(&[7u64; 3])
        );
    }

    #[test]
    fn a_block_with_nan_has_no_summary() {
        assert_eq!(FloatSummary::of(&[1.0, f64::NAN]), None);
        assert_eq!(FloatSummary::constant(f64::NAN), None);
        let zeros = FloatSummary::of(&[0.0, -0.0]).unwrap();
        assert!(zeros.min.is_sign_positive(), "the earliest of equal ones");
    }

    proptest! {
        #[test]
        fn summaries_come_back(
            signed in proptest::collection::vec(any::<i64>(), 1..50),
            small in proptest::collection::vec(-9i64..9, 1..50),
            unsigned in proptest::collection::vec(any::<u64>(), 1..50),
            floats in proptest::collection::vec(
                prop_oneof![Just(-0.0), Just(0.0), Just(2.5), any::<f64>()], 1..50),
        ) {
            round_trip(&signed);
            round_trip(&small);
            round_trip(&unsigned);
            let floats: Vec<f64> = floats.into_iter().filter(|f| !f.is_nan()).collect();
            if let Some(first) = floats.first() {
                let summary = FloatSummary::of(&floats).unwrap();
                let mut bytes = Vec::new();
                summary.encode(&mut bytes);
                let back = FloatSummary::decode(*first, &mut Cursor::new(&bytes)).unwrap();
                prop_assert_eq!(format!("{back:?}"), format!("{summary:?}"));
            }
        }
    }
}
