//! Blocks of integers: constant, runs, patched bit-packing, ticks or raw, whichever is smallest.
//!
//! Unsigned numbers go through the same bytes: arithmetic wraps, so only the bits matter.

use super::varint::{self, Cursor};
use super::{BLOCK_POINTS_MAX, Codec, Malformed, cold, packed, ticks};

/// Appends `values[1..]` in the smallest way; the caller keeps `values[0]`, the count and the codec.
///
/// Shape: 1..=[`BLOCK_POINTS_MAX`] values. A block of one value throughout takes no bytes.
pub fn encode(values: &[i64], out: &mut Vec<u8>) -> Codec {
    debug_assert!((1..=BLOCK_POINTS_MAX).contains(&values.len()));
    let first = values[0];
    let changes = values.windows(2).filter(|two| two[0] != two[1]).count();
    if changes == 0 {
        return Codec::Run;
    }
    let start = out.len();
    let mut best_len = 8 * (values.len() - 1);
    let mut codec = Codec::Raw;
    if changes <= values.len() / 4 {
        encode_runs(values, out);
        if out.len() - start < best_len {
            best_len = out.len() - start;
            codec = Codec::Run;
        } else {
            out.truncate(start);
        }
    }
    let end = out.len();
    if packed::encode(values, best_len, out) {
        out.drain(start..end);
        best_len = out.len() - start;
        codec = Codec::Packed;
    }
    let end = out.len();
    if ticks::encode(values, best_len, out) {
        out.drain(start..end);
        codec = Codec::Ticks;
    } else if codec == Codec::Raw {
        out.extend(values[1..].iter().flat_map(|value| value.to_le_bytes()));
    }
    debug_assert!(first == values[0]);
    codec
}

/// Runs: length, then the step to the next run's value, …, the last length.
fn encode_runs(values: &[i64], out: &mut Vec<u8>) {
    let mut before: Option<i64> = None;
    for run in values.chunk_by(|a, b| a == b) {
        if let Some(before) = before {
            varint::put_signed(out, run[0].wrapping_sub(before));
        }
        varint::put(out, run.len() as u64);
        before = Some(run[0]);
    }
}

/// Appends `count` numbers, `seed` first.
///
/// # Errors
/// [`Malformed`] where the bytes are not such a block; what was appended until then is undefined,
/// so callers cut `out` back.
pub fn decode(
    codec: Codec,
    bytes: &[u8],
    seed: i64,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), Malformed> {
    if !(1..=BLOCK_POINTS_MAX).contains(&count) {
        return Err(Malformed("a block of an impossible count"));
    }
    match codec {
        Codec::Run if bytes.is_empty() => {
            out.resize(out.len() + count, seed);
            Ok(())
        }
        Codec::Run => decode_runs(bytes, seed, count, out),
        Codec::Packed => packed::decode(bytes, seed, count, out),
        Codec::Ticks => ticks::decode(bytes, seed, count, out),
        Codec::Cold => cold::decode_steps(bytes, seed, count, out),
        Codec::Raw => {
            if bytes.len() != 8 * (count - 1) {
                return Err(Malformed("raw numbers of another count"));
            }
            out.push(seed);
            out.extend(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|eight| i64::from_le_bytes(*eight)),
            );
            Ok(())
        }
        Codec::Tsz | Codec::Gorilla | Codec::Decimal | Codec::Text => {
            Err(Malformed("a codec that is not for integers"))
        }
    }
}

fn decode_runs(bytes: &[u8], seed: i64, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    let mut value = seed;
    let mut left = count;
    loop {
        let run = cursor.len_up_to(left)?;
        if run == 0 {
            return Err(Malformed("an empty run"));
        }
        out.resize(out.len() + run, value);
        left -= run;
        if left == 0 {
            return cursor.finish();
        }
        value = value.wrapping_add(cursor.i64()?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i64]) -> (Codec, usize) {
        let mut bytes = vec![0xee];
        let codec = encode(values, &mut bytes);
        let mut back = vec![7];
        decode(codec, &bytes[1..], values[0], values.len(), &mut back).unwrap();
        assert_eq!(&back[1..], values);
        (codec, bytes.len() - 1)
    }

    #[test]
    fn each_shape_takes_its_codec() {
        assert_eq!(round_trip(&[5; 256]), (Codec::Run, 0));
        assert_eq!(round_trip(&[i64::MIN]), (Codec::Run, 0));
        let steps: Vec<i64> = (0..256)
            .map(|i| if i < 100 { 9 } else { 1 << 40 })
            .collect();
        assert_eq!(round_trip(&steps).0, Codec::Run);
        let line: Vec<i64> = (0..256).map(|i| 1_700_000_000_000 + i * 10_000).collect();
        let (codec, len) = round_trip(&line);
        assert_eq!(codec, Codec::Packed);
        assert!(len <= 6, "{len}");
        let ticks: Vec<i64> = (0..256).map(|i| 4_000_000 * (i + i * i % 7)).collect();
        let (_, len) = round_trip(&ticks);
        assert!(len < 150, "a divisor must be found: {len}");
        let late: Vec<i64> = (0..256)
            .map(|i| 4_000_000 * (i + i * i % 7) - i / 16 * 977 % 1_000)
            .collect();
        assert_eq!(round_trip(&late).0, Codec::Ticks);
        let mut counter: Vec<i64> = (0..200).map(|i| 1_000_000 + i * 100 + i % 3).collect();
        for value in &mut counter[120..] {
            *value -= 1_000_000;
        }
        let (_, len) = round_trip(&counter);
        assert!(len < 80, "a reset is an exception: {len}");
        assert_eq!(
            round_trip(&[i64::MIN, i64::MAX, 0, -1, i64::MAX, i64::MIN + 1]).0,
            Codec::Raw
        );
    }

    fn column() -> impl Strategy<Value = Vec<i64>> {
        let extreme = prop_oneof![
            Just(i64::MIN),
            Just(i64::MAX),
            Just(-1),
            Just(0),
            any::<i64>(),
        ];
        let any_values = proptest::collection::vec(extreme, 1..=256);
        let walk = (
            any::<i64>(),
            proptest::collection::vec(-50i64..1000, 0..256),
            1i64..5_000_000,
            proptest::collection::vec((any::<prop::sample::Index>(), any::<i64>()), 0..4),
        )
            .prop_map(|(start, steps, unit, outliers)| {
                let mut values = vec![start];
                for step in steps {
                    let last = values[values.len() - 1];
                    values.push(last.wrapping_add(step.wrapping_mul(unit)));
                }
                for (index, by) in outliers {
                    let index = index.index(values.len());
                    values[index] = values[index].wrapping_add(by);
                }
                values
            });
        prop_oneof![any_values, walk]
    }

    proptest! {
        #[test]
        fn integers_come_back(values in column()) {
            round_trip(&values);
        }

        #[test]
        fn hostile_bytes_are_refused_or_decoded_but_never_more(
            id in 0u8..9,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            seed in any::<i64>(),
            count in 0usize..300,
        ) {
            if let Some(codec) = Codec::from_id(id) {
                let mut out = Vec::new();
                if decode(codec, &bytes, seed, count, &mut out).is_ok() {
                    prop_assert_eq!(out.len(), count);
                } else {
                    prop_assert!(out.len() <= count);
                }
            }
        }

        #[test]
        fn a_flipped_bit_never_panics(values in column(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = Vec::new();
            let codec = encode(&values, &mut bytes);
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                let mut out = Vec::new();
                if decode(codec, &bytes, values[0], values.len(), &mut out).is_ok() {
                    prop_assert_eq!(out.len(), values.len());
                }
            }
        }
    }
}
