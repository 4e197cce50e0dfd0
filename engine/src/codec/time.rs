//! Blocks of times: strictly ascending, so a block is known by its first, its last and its count
//! where the step is constant; otherwise ticks since the first, packed, or through tsz-compress.

use tsz_compress::prelude::Compressor;

use self::row::Tick;
use super::varint::{self, Cursor};
use super::{BLOCK_POINTS_MAX, Codec, Malformed, packed};

/// The first time, the last and how many; kept by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The first time.
    pub first: i64,
    /// The last time.
    pub last: i64,
    /// How many times, 1..=[`BLOCK_POINTS_MAX`].
    pub count: usize,
}

impl Extent {
    /// The extent of a block of times, which is not empty.
    #[must_use]
    pub fn of(times: &[i64]) -> Self {
        Self {
            first: times[0],
            last: times[times.len() - 1],
            count: times.len(),
        }
    }
}

/// Private, as the derives below make public types without docs.
mod row {
    use tsz_compress::prelude::*;

    // Decompressible is for the tests, which hold the crate's decoder against ours.
    /// A row for tsz-compress: ticks since the block's first time, so the first row is 0.
    #[derive(Copy, Clone, DeltaEncodable, Compressible, Decompressible)]
    pub struct Tick {
        pub at: i64,
    }
}

/// What tsz-compress writes for a first row of 0. Anything else is refused before it is read.
const FIRST_ROW: u8 = 0;
/// The most bytes that tsz-compress reads for one row.
const ROW_BYTES_MAX: usize = 16;

/// Appends the block by bit-packing; returns [`Codec::Run`] and appends nothing where the step is
/// constant.
///
/// Shape: 1..=[`BLOCK_POINTS_MAX`] strictly ascending times.
pub fn encode(times: &[i64], out: &mut Vec<u8>) -> Codec {
    debug_assert!((1..=BLOCK_POINTS_MAX).contains(&times.len()));
    debug_assert!(times.windows(2).all(|two| two[0] < two[1]));
    let extent = Extent::of(times);
    if let Some(step) = constant_step(extent)
        && times
            .windows(2)
            .all(|two| two[1].wrapping_sub(two[0]) == step)
    {
        return Codec::Run;
    }
    let start = out.len();
    if let Some((tick, ticks)) = ticks_of(times) {
        varint::put(out, tick);
        let head = out.len() - start;
        if packed::encode(&ticks, 8 * (times.len() - 1) - head, out) {
            return Codec::Packed;
        }
        out.truncate(start);
    }
    out.extend(times[1..].iter().flat_map(|time| time.to_le_bytes()));
    Codec::Raw
}

/// Appends the block by tsz-compress, where its ticks fit; returns whether it did.
///
/// Shape: as [`encode`]. The step is not constant (that is cheaper without bytes).
pub fn encode_tsz(times: &[i64], out: &mut Vec<u8>) -> bool {
    let Some((tick, ticks)) = ticks_of(times) else {
        return false;
    };
    varint::put(out, tick);
    let mut compressor = Compressor::new(ticks.len() * 2);
    for at in ticks {
        compressor.compress(Tick { at });
    }
    out.extend(compressor.finish().into_vec());
    true
}

/// The divisor of all distances from the first time, and the distances divided by it.
///
/// None where the block spans 2^61 ns or more, so that differences of differences fit too.
fn ticks_of(times: &[i64]) -> Option<(u64, Vec<i64>)> {
    let first = times[0];
    let distance = |time: &i64| time.wrapping_sub(first).cast_unsigned();
    let span = distance(&times[times.len() - 1]);
    if span >= 1 << 61 {
        return None;
    }
    let mut tick = span;
    for time in &times[1..] {
        let mut rest = distance(time) % tick;
        while rest != 0 {
            (tick, rest) = (rest, tick % rest);
        }
        if tick == 1 {
            break;
        }
    }
    let tick = tick.max(1);
    let ticks = times
        .iter()
        .map(|time| (distance(time) / tick).cast_signed());
    Some((tick, ticks.collect()))
}

/// The step of a block of constant step, if its extent allows one.
fn constant_step(extent: Extent) -> Option<i64> {
    let span = extent.last.wrapping_sub(extent.first).cast_unsigned();
    match (extent.count - 1) as u64 {
        0 => Some(0),
        steps if span.is_multiple_of(steps) => Some((span / steps).cast_signed()),
        _ => None,
    }
}

/// Appends the block's times.
///
/// # Errors
/// [`Malformed`] where the bytes are not such a block; `out` is as it was.
pub fn decode(
    codec: Codec,
    bytes: &[u8],
    extent: Extent,
    out: &mut Vec<i64>,
) -> Result<(), Malformed> {
    let start = out.len();
    let decoded = decode_into(codec, bytes, extent, out).and_then(|()| {
        let times = &out[start..];
        // Order is checked once here, so that every reader may search.
        let steps = times.iter().zip(times.get(1..).unwrap_or(&[]));
        let ascends = steps.fold(true, |ascends, (a, b)| ascends & (a < b));
        if times.len() == extent.count && times.last() == Some(&extent.last) && ascends {
            Ok(())
        } else {
            Err(Malformed("times that do not ascend to the last"))
        }
    });
    if decoded.is_err() {
        out.truncate(start);
    }
    decoded
}

fn decode_into(
    codec: Codec,
    bytes: &[u8],
    extent: Extent,
    out: &mut Vec<i64>,
) -> Result<(), Malformed> {
    let Extent { first, count, .. } = extent;
    if !(1..=BLOCK_POINTS_MAX).contains(&count) {
        return Err(Malformed("a block of an impossible count"));
    }
    let start = out.len();
    match codec {
        Codec::Run => {
            Cursor::new(bytes).finish()?;
            let step = constant_step(extent).ok_or(Malformed("a step that is not whole"))?;
            let mut time = first;
            out.extend((0..count).map(|_| {
                let this = time;
                time = time.wrapping_add(step);
                this
            }));
            return Ok(());
        }
        Codec::Raw => {
            if bytes.len() != 8 * (count - 1) {
                return Err(Malformed("raw times of another count"));
            }
            out.push(first);
            let eights = bytes.as_chunks().0.iter();
            out.extend(eights.map(|eight| i64::from_le_bytes(*eight)));
            return Ok(());
        }
        Codec::Packed | Codec::Tsz => {}
        Codec::Gorilla | Codec::Decimal | Codec::Cold | Codec::Ticks | Codec::Text => {
            return Err(Malformed("a codec that is not for times"));
        }
    }
    let mut cursor = Cursor::new(bytes);
    let tick = cursor.u64()?.cast_signed();
    if codec == Codec::Packed {
        packed::decode(cursor.rest(), 0, count, out)?;
    } else {
        decode_tsz(cursor.rest(), count, out)?;
    }
    for time in &mut out[start..] {
        *time = first.wrapping_add(time.wrapping_mul(tick));
    }
    Ok(())
}

/// Appends `count` ticks.
///
/// Reads tsz-compress's bits: lowest first, as many ones as say the width (a zero ends them, but
/// for the widest), then the difference of differences, less one where it is positive. Its own
/// decoder goes bit by bit (23 million a second, this 100), and indexes past bits that were cut;
/// a test holds the two against each other.
fn decode_tsz(bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
    if bytes.first() != Some(&FIRST_ROW) {
        return Err(Malformed("tsz-compress without its first row"));
    }
    let bits_len = (bytes.len() - 1) * 8;
    let mut padded = Vec::with_capacity(bytes.len() + ROW_BYTES_MAX);
    padded.extend_from_slice(&bytes[1..]);
    padded.resize(padded.len() + ROW_BYTES_MAX, 0);
    let (mut at, mut value, mut step) = (0usize, 0i64, 0i64);
    out.push(0);
    for _ in 1..count {
        let Some(bits) = padded.get(at / 8..).and_then(|rest| rest.first_chunk()) else {
            return Err(Malformed("tsz-compress that ends early"));
        };
        let bits = u128::from_le_bytes(*bits) >> (at % 8);
        let (control, width) = TSZ_WIDTHS[(bits.trailing_ones() as usize).min(8)];
        at += usize::from(control + width);
        step = step.wrapping_add(tsz_difference(bits >> control, width)?);
        value = value.wrapping_add(step);
        out.push(value);
    }
    if at <= bits_len && bits_len - at < 8 {
        Ok(())
    } else {
        Err(Malformed("tsz-compress of another length"))
    }
}

/// Bits of control and of difference, by the ones that a row starts with.
const TSZ_WIDTHS: [(u8, u8); 9] = [
    (1, 0),
    (2, 4),
    (3, 7),
    (4, 9),
    (5, 12),
    (6, 15),
    (7, 18),
    (8, 32),
    (8, 64),
];

#[expect(
    clippy::cast_possible_truncation,
    reason = "only the low 64 bits are a difference's"
)]
fn tsz_difference(bits: u128, width: u8) -> Result<i64, Malformed> {
    if width == 0 {
        return Ok(0);
    }
    let unused = 64 - u32::from(width);
    let stored = ((bits as u64) << unused).cast_signed() >> unused;
    if stored < 0 {
        Ok(stored)
    } else {
        stored
            .checked_add(1)
            .ok_or(Malformed("a difference that tsz-compress refuses"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsz_compress::prelude::{BitBufferSlice, Decompressor};

    /// What tsz-compress itself reads.
    fn decode_by_crate(bytes: &[u8]) -> Vec<i64> {
        let mut cursor = Cursor::new(bytes);
        cursor.u64().unwrap();
        let bits = BitBufferSlice::from_slice(cursor.rest());
        let mut decompressor = Decompressor::new(bits);
        let rows = decompressor.decompress::<Tick>();
        rows.map(|tick| tick.unwrap().at).collect()
    }

    fn round_trip(times: &[i64]) -> (Codec, usize, Option<usize>) {
        let extent = Extent::of(times);
        let mut bytes = Vec::new();
        let codec = encode(times, &mut bytes);
        let mut back = vec![i64::MAX];
        decode(codec, &bytes, extent, &mut back).unwrap();
        assert_eq!(&back[1..], times);
        let mut tsz = Vec::new();
        let fits = codec != Codec::Run && encode_tsz(times, &mut tsz);
        if fits {
            back.clear();
            decode(Codec::Tsz, &tsz, extent, &mut back).unwrap();
            assert_eq!(back, times);
            // The bits that fill the last byte read as rows, so the crate may see a few more.
            let ticks = decode_by_crate(&tsz);
            let tick = Cursor::new(&tsz).u64().unwrap().cast_signed();
            for (time, ticks) in times.iter().zip(ticks) {
                assert_eq!(*time, extent.first.wrapping_add(ticks * tick));
            }
        }
        (codec, bytes.len(), fits.then_some(tsz.len()))
    }

    #[test]
    fn each_shape_takes_its_codec() {
        let regular: Vec<i64> = (0..256).map(|i| i * 10_000_000_000).collect();
        assert_eq!(round_trip(&regular).0, Codec::Run);
        assert_eq!(round_trip(&[i64::MIN + 2]).0, Codec::Run);
        assert_eq!(round_trip(&[i64::MIN + 2, i64::MAX - 1]).0, Codec::Run);
        assert_eq!(round_trip(&[i64::MIN + 2, 1, i64::MAX - 1]).0, Codec::Raw);
        let jitter: Vec<i64> = (0..256)
            .map(|i| 1_700_000_000_000_000_000 + i * 10_000_000_000 + i * i % 13 * 1_000_000)
            .collect();
        let (codec, packed, tsz) = round_trip(&jitter);
        assert_eq!(codec, Codec::Packed);
        assert!(packed < 256, "{packed}");
        assert!(tsz.unwrap() < 320, "{tsz:?}");
    }

    #[test]
    fn times_that_do_not_ascend_are_refused() {
        let extent = Extent {
            first: 10,
            last: 5,
            count: 2,
        };
        assert!(decode(Codec::Run, &[], extent, &mut Vec::new()).is_err());
        let extent = Extent { count: 3, ..extent };
        let raw: Vec<u8> = [20i64, 5].iter().flat_map(|t| t.to_le_bytes()).collect();
        assert!(decode(Codec::Raw, &raw, extent, &mut Vec::new()).is_err());
    }

    fn column() -> impl Strategy<Value = Vec<i64>> {
        let any_times = proptest::collection::btree_set(any::<i64>(), 1..=256)
            .prop_map(|times| times.into_iter().collect());
        let scrape = (
            -(1i64 << 60)..1 << 60,
            proptest::collection::vec(prop_oneof![9_990i64..10_010, 1i64..100_000], 0..256),
            prop_oneof![Just(1i64), Just(1_000_000)],
        )
            .prop_map(|(start, steps, unit)| {
                let mut times = vec![start];
                for step in steps {
                    times.push(times[times.len() - 1] + step * unit);
                }
                times
            });
        prop_oneof![any_times, scrape]
    }

    proptest! {
        #[test]
        fn times_come_back(times in column()) {
            round_trip(&times);
        }

        #[test]
        fn hostile_bytes_are_refused_or_decoded_but_never_more(
            id in 0u8..8,
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
            times in column(),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
            cut in any::<prop::sample::Index>(),
        ) {
            let extent = Extent::of(&times);
            let mut out = Vec::new();
            let mut check = |codec, bytes: &[u8]| {
                out.clear();
                let decoded = decode(codec, bytes, extent, &mut out);
                assert_eq!(out.len(), if decoded.is_ok() { extent.count } else { 0 });
            };
            if let Some(codec) = Codec::from_id(id) {
                check(codec, &bytes);
            }
            bytes.clear();
            let codec = encode(&times, &mut bytes);
            if codec == Codec::Run {
                return Ok(());
            }
            for tsz in [false, true] {
                let mut codec = codec;
                if tsz {
                    bytes.clear();
                    codec = Codec::Tsz;
                    if !encode_tsz(&times, &mut bytes) {
                        continue;
                    }
                }
                check(codec, &bytes[..cut.index(bytes.len())]);
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                check(codec, &bytes);
            }
        }
    }
}
