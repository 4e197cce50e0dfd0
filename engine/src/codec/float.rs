//! Blocks of floats: constant, decimal, Gorilla or raw, whichever is smallest.

use super::{BLOCK_POINTS_MAX, Codec, Malformed, cold, decimal, gorilla};

/// Appends `values[1..]` in the smallest way; the caller keeps `values[0]`, the count and the codec.
///
/// Shape: 1..=[`BLOCK_POINTS_MAX`] values. A block of one bit pattern throughout takes no bytes.
pub fn encode(values: &[f64], out: &mut Vec<u8>) -> Codec {
    debug_assert!((1..=BLOCK_POINTS_MAX).contains(&values.len()));
    let first = values[0].to_bits();
    if values.iter().all(|value| value.to_bits() == first) {
        return Codec::Run;
    }
    let start = out.len();
    let mut codec = Codec::Gorilla;
    if decimal::encode(values, out) {
        codec = Codec::Decimal;
        // Where decimals take under two bytes, Gorilla does not come close.
        if out.len() - start <= values.len() * 2 {
            return codec;
        }
    }
    let end = out.len();
    gorilla::encode(values, out);
    if codec == Codec::Gorilla || out.len() - end < end - start {
        out.drain(start..end);
        codec = Codec::Gorilla;
    } else {
        out.truncate(end);
    }
    if out.len() - start >= 8 * (values.len() - 1) {
        out.truncate(start);
        out.extend(values[1..].iter().flat_map(|value| value.to_le_bytes()));
        codec = Codec::Raw;
    }
    codec
}

/// Appends `count` floats, `seed` first. `integers` is scratch space.
///
/// # Errors
/// [`Malformed`] where the bytes are not such a block; what was appended until then is undefined,
/// so callers cut `out` back.
pub fn decode(
    codec: Codec,
    bytes: &[u8],
    seed: f64,
    count: usize,
    integers: &mut Vec<i64>,
    out: &mut Vec<f64>,
) -> Result<(), Malformed> {
    if !(1..=BLOCK_POINTS_MAX).contains(&count) {
        return Err(Malformed("a block of an impossible count"));
    }
    match codec {
        Codec::Run if bytes.is_empty() => {
            out.resize(out.len() + count, seed);
            Ok(())
        }
        Codec::Decimal => decimal::decode(bytes, seed, count, integers, out),
        Codec::Gorilla => gorilla::decode(bytes, seed, count, out),
        Codec::Cold => cold::decode_decimal_steps(bytes, seed, count, integers, out),
        Codec::Raw => {
            if bytes.len() != 8 * (count - 1) {
                return Err(Malformed("raw numbers of another count"));
            }
            out.push(seed);
            let eights = bytes.as_chunks().0.iter();
            out.extend(eights.map(|eight| f64::from_le_bytes(*eight)));
            Ok(())
        }
        Codec::Run | Codec::Tsz | Codec::Packed | Codec::Ticks | Codec::Text => {
            Err(Malformed("a codec that is not for floats"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[f64]) -> (Codec, usize) {
        let mut bytes = vec![0xee];
        let codec = encode(values, &mut bytes);
        let mut back = vec![0.5];
        let mut scratch = Vec::new();
        decode(
            codec,
            &bytes[1..],
            values[0],
            values.len(),
            &mut scratch,
            &mut back,
        )
        .unwrap();
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back[1..]), bits(values));
        (codec, bytes.len() - 1)
    }

    #[test]
    fn each_shape_takes_its_codec() {
        assert_eq!(round_trip(&[-0.0; 256]), (Codec::Run, 0));
        assert_eq!(round_trip(&[f64::NAN; 3]), (Codec::Run, 0));
        let seconds: Vec<f64> = (0..256i32)
            .map(|i| f64::from(i * 1237 + i % 7) / 1000.0)
            .collect();
        let (codec, len) = round_trip(&seconds);
        assert_eq!(codec, Codec::Decimal);
        assert!(len < 256, "{len}");
        let binary: Vec<f64> = (0..256i32)
            .map(|i| f64::from(i % 40) / f64::from(1 << 30))
            .collect();
        assert_eq!(round_trip(&binary).0, Codec::Gorilla);
        let noise: Vec<f64> = (0..256u64)
            .map(|i| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        assert_eq!(round_trip(&noise).0, Codec::Raw);
    }

    #[test]
    fn what_is_no_decimal_is_an_exception_bit_for_bit() {
        let mut values: Vec<f64> = (0..256i32).map(|i| f64::from(i) / 10.0).collect();
        values[3] = -0.0;
        values[77] = f64::from_bits(0x7ff8_dead_beef_0001);
        values[255] = f64::NEG_INFINITY;
        assert_eq!(round_trip(&values).0, Codec::Decimal);
        values[0] = f64::INFINITY;
        assert_eq!(round_trip(&values).0, Codec::Gorilla);
    }

    fn column() -> impl Strategy<Value = Vec<f64>> {
        let odd = prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            Just(-0.0),
            Just(f64::MAX),
            (-1_000_000i32..1_000_000).prop_map(|i| f64::from(i) / 100.0),
        ];
        let decimal = (-1_000_000i32..1_000_000, 0i32..6)
            .prop_map(|(i, e)| f64::from(i) / f64::from(10i32.pow(e.unsigned_abs())));
        prop_oneof![
            proptest::collection::vec(odd, 1..=256),
            proptest::collection::vec(decimal, 1..=256),
        ]
    }

    proptest! {
        #[test]
        fn floats_come_back_bit_for_bit(values in column()) {
            round_trip(&values);
        }

        #[test]
        fn hostile_bytes_are_refused_or_decoded_but_never_more(
            id in 0u8..8,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            seed in any::<u64>(),
            count in 0usize..300,
        ) {
            if let Some(codec) = Codec::from_id(id) {
                let (mut scratch, mut out) = (Vec::new(), Vec::new());
                let seed = if seed % 2 == 0 { 1.5 } else { f64::from_bits(seed) };
                if decode(codec, &bytes, seed, count, &mut scratch, &mut out).is_ok() {
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
                let (mut scratch, mut out) = (Vec::new(), Vec::new());
                if decode(codec, &bytes, values[0], values.len(), &mut scratch, &mut out).is_ok() {
                    prop_assert_eq!(out.len(), values.len());
                }
            }
        }
    }
}
