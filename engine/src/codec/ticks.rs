//! Codec 8: counters that the kernel raises once a tick, such as a cgroup's user and system time:
//! steps are multiples of a tick, but for a small remainder here and there.
//!
//! The sum of whole ticks is a block of codec 3; a bitmap says which steps have a remainder, and
//! those follow. Arithmetic wraps throughout.

use super::varint::{self, Cursor};
use super::{BLOCK_POINTS_MAX, Malformed, boolean, packed};

/// Ticks in ns of the frequencies that a Linux kernel is built with: 250, 100, 1000, 300 Hz.
const TICKS: [i64; 4] = [4_000_000, 10_000_000, 1_000_000, 3_333_333];
/// Fewer steps than this are not worth it.
const STEPS_MIN: usize = 16;
/// So many steps at most are looked at to find the tick.
const SAMPLED_MAX: usize = 48;
/// One in so many steps is a whole number of ticks, at least, and is not zero.
const WHOLE_SHARE: usize = 8;

/// Appends `values[1..]`, where that is shorter than `size_max` bytes.
///
/// Shape: 2..=[`BLOCK_POINTS_MAX`] values, the first of which is the seed of [`decode`].
/// Returns whether anything was appended.
pub fn encode(values: &[i64], size_max: usize, out: &mut Vec<u8>) -> bool {
    debug_assert!((2..=BLOCK_POINTS_MAX).contains(&values.len()));
    let mut steps = [0i64; BLOCK_POINTS_MAX];
    for (step, two) in steps.iter_mut().zip(values.windows(2)) {
        *step = two[1].wrapping_sub(two[0]);
    }
    let steps = &steps[..values.len() - 1];
    let Some(tick) = tick_of(steps) else {
        return false;
    };
    let mut sums = [0i64; BLOCK_POINTS_MAX];
    let mut remainders = [0i64; BLOCK_POINTS_MAX];
    for (at, step) in steps.iter().enumerate() {
        let (ticks, remainder) = split(*step, tick);
        sums[at + 1] = sums[at].wrapping_add(ticks);
        remainders[at] = remainder;
    }
    let remainders = &remainders[..steps.len()];
    let start = out.len();
    varint::put(out, tick.cast_unsigned());
    let has_remainder: Vec<bool> = remainders.iter().map(|remainder| *remainder != 0).collect();
    boolean::put_bitmap(&has_remainder, out);
    for remainder in remainders.iter().filter(|remainder| **remainder != 0) {
        varint::put_signed(out, *remainder);
    }
    let left = size_max.saturating_sub(out.len() - start);
    if packed::encode(&sums[..values.len()], left, out) {
        true
    } else {
        out.truncate(start);
        false
    }
}

/// The tick that most of a sample of the steps are whole multiples of, where enough are.
fn tick_of(steps: &[i64]) -> Option<i64> {
    if steps.len() < STEPS_MIN {
        return None;
    }
    let sample = steps.iter().step_by(steps.len().div_ceil(SAMPLED_MAX));
    let sampled = sample.len();
    let counts = [
        whole::<{ TICKS[0] }>(sample.clone()),
        whole::<{ TICKS[1] }>(sample.clone()),
        whole::<{ TICKS[2] }>(sample.clone()),
        whole::<{ TICKS[3] }>(sample),
    ];
    // Of two that fit as well, the first.
    let (tick, count) = TICKS
        .into_iter()
        .zip(counts)
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    (count > 0 && count >= sampled / WHOLE_SHARE).then_some(tick)
}

/// How many steps are multiples of a tick, and not zero. It is known here, so that nothing is
/// divided.
fn whole<'a, const TICK: i64>(steps: impl Iterator<Item = &'a i64>) -> usize {
    steps
        .filter(|step| **step % TICK == 0 && **step != 0)
        .count()
}

/// A step as the nearest number of ticks, and what is left.
fn split(step: i64, tick: i64) -> (i64, i64) {
    let half = tick / 2;
    let ticks = step.saturating_add(half).div_euclid(tick);
    (ticks, step.wrapping_sub(ticks.wrapping_mul(tick)))
}

/// Appends `count` numbers, `seed` first.
///
/// Shape: `count` in 2..=[`BLOCK_POINTS_MAX`].
///
/// # Errors
/// [`Malformed`] where the bytes end early, are too many, or contradict each other; `out` is as
/// it was.
pub fn decode(bytes: &[u8], seed: i64, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
    if !(2..=BLOCK_POINTS_MAX).contains(&count) {
        return Err(Malformed("a block of ticks of an impossible count"));
    }
    let mut cursor = Cursor::new(bytes);
    let tick = cursor.u64()?.cast_signed();
    let bitmap = cursor.bytes((count - 1).div_ceil(8))?;
    if !(count - 1).is_multiple_of(8) && bitmap[bitmap.len() - 1] >> ((count - 1) % 8) != 0 {
        return Err(Malformed("a bitmap with bits beyond its end"));
    }
    // What is left over, summed up, by row.
    let mut over = [0i64; BLOCK_POINTS_MAX];
    let mut sum = 0i64;
    for (at, over) in over[1..count].iter_mut().enumerate() {
        if bitmap[at / 8] >> (at % 8) & 1 == 1 {
            sum = sum.wrapping_add(cursor.i64()?);
        }
        *over = sum;
    }
    let start = out.len();
    packed::decode(cursor.rest(), 0, count, out)?;
    for (number, over) in out[start..].iter_mut().zip(over) {
        *number = seed
            .wrapping_add(number.wrapping_mul(tick))
            .wrapping_add(over);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A counter of user time: whole ticks, and a remainder in one of `every` steps.
    fn counter(rows: i64, tick: i64, every: i64) -> Vec<i64> {
        let mut value = 1_407_570;
        let mut state = 7u64;
        let step = |row: i64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let noise = (state >> 40).cast_signed();
            value += noise % 9 * tick - if row % every == 0 { noise % 90_000 } else { 0 };
            value
        };
        (0..rows).map(step).collect()
    }

    fn round_trip(values: &[i64]) -> Option<usize> {
        let mut bytes = vec![0xee];
        if !encode(values, 8 * values.len(), &mut bytes) {
            assert_eq!(bytes, [0xee]);
            return None;
        }
        let mut back = vec![7];
        decode(&bytes[1..], values[0], values.len(), &mut back).unwrap();
        assert_eq!(&back[1..], values);
        Some(bytes.len() - 1)
    }

    #[test]
    fn ticks_with_remainders_take_a_fraction_of_what_packing_takes() {
        for tick in TICKS {
            for every in [2, 4, 10] {
                let values = counter(200, tick, every);
                let mut packed = Vec::new();
                assert!(packed::encode(&values, 8 * values.len(), &mut packed));
                let len = round_trip(&values).unwrap();
                assert!(len * 4 < packed.len() * 3, "{len} of {}", packed.len());
            }
        }
    }

    #[test]
    fn what_has_no_tick_is_left_to_others() {
        let squares: Vec<i64> = (0..200).map(|n| n * n + 1).collect();
        assert_eq!(round_trip(&squares), None);
        assert_eq!(round_trip(&[5; 200]), None, "no step is more than none");
        assert_eq!(round_trip(&counter(10, 4_000_000, 3)), None);
        let mut bytes = Vec::new();
        assert!(!encode(&counter(200, 4_000_000, 3), 20, &mut bytes));
        assert_eq!(bytes, []);
    }

    proptest! {
        #[test]
        fn counters_come_back_whatever_is_added_to_them(
            tick in prop::sample::select(TICKS.to_vec()),
            every in 2i64..20,
            rows in 2i64..=256,
            outliers in prop::collection::vec((any::<prop::sample::Index>(), any::<i64>()), 0..6),
            extremes in prop::collection::vec(
                (any::<prop::sample::Index>(), prop::sample::select(vec![i64::MIN, i64::MAX, 0, -1])),
                0..3,
            ),
        ) {
            let mut values = counter(rows, tick, every);
            for (at, by) in outliers {
                let at = at.index(values.len());
                values[at] = values[at].wrapping_add(by);
            }
            for (at, value) in extremes {
                let at = at.index(values.len());
                values[at] = value;
            }
            round_trip(&values);
        }

        #[test]
        fn hostile_bytes_are_refused_or_decoded_but_never_more(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            seed in any::<i64>(),
            count in 0usize..300,
        ) {
            let mut out = vec![1];
            match decode(&bytes, seed, count, &mut out) {
                Ok(()) => prop_assert_eq!(out.len(), count + 1),
                Err(_) => prop_assert_eq!(out, [1]),
            }
        }

        #[test]
        fn a_flipped_bit_never_panics(
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let values = counter(200, 4_000_000, 3);
            let mut bytes = Vec::new();
            prop_assert!(encode(&values, 1 << 12, &mut bytes));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut out = Vec::new();
            if decode(&bytes, values[0], values.len(), &mut out).is_ok() {
                prop_assert_eq!(out.len(), values.len());
            }
        }
    }
}
