//! Codec 5: floats that are decimals, as integers of one scale.
//!
//! A float is a decimal of scale `e` where the integer nearest to `float × 10^e`, divided by
//! `10^e`, gives the same bits back; the few that are not (NaN, -0, more digits) are exceptions.
//! Source: ALP (SIGMOD 2024), with an exact division in place of its second factor.

use super::varint::Cursor;
use super::{BLOCK_POINTS_MAX, Codec, Malformed, integer};

/// The largest scale.
pub const SCALE_MAX: u8 = 18;

const POWERS: [f64; SCALE_MAX as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// Integers beyond this are not all floats.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// The integer that stands for `value` at `scale`, where there is one.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded and within 2^53, so the conversion is exact"
)]
pub fn to_integer(value: f64, scale: u8) -> Option<i64> {
    let scaled = (value * POWERS[usize::from(scale)]).round_ties_even();
    if scaled.abs() <= INTEGER_MAX {
        let integer = scaled as i64;
        (to_float(integer, scale).to_bits() == value.to_bits()).then_some(integer)
    } else {
        None
    }
}

/// The float that `integer` stands for at `scale`, which is at most [`SCALE_MAX`].
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "encoders keep to 2^53; larger integers come from hostile bytes only"
)]
pub fn to_float(integer: i64, scale: u8) -> f64 {
    integer as f64 / POWERS[usize::from(scale)]
}

/// Appends `values[1..]` where they are decimals of one scale but for few, and returns whether.
///
/// The caller keeps `values[0]` and the count.
pub fn encode(values: &[f64], out: &mut Vec<u8>) -> bool {
    let Some((scale, exceptions)) = scale_of(values) else {
        return false;
    };
    let mut integers = [0i64; BLOCK_POINTS_MAX];
    let mut before = 0;
    for (integer, value) in integers.iter_mut().zip(values) {
        // An exception's place repeats its neighbour, which costs least.
        before = to_integer(*value, scale).unwrap_or(before);
        *integer = before;
    }
    let codec_at = out.len() + 1;
    out.extend([scale, 0]);
    out.push(u8::try_from(exceptions.len()).expect("below a quarter of a block"));
    out.extend(&exceptions);
    for index in exceptions {
        out.extend(values[usize::from(index)].to_le_bytes());
    }
    out[codec_at] = integer::encode(&integers[..values.len()], out) as u8;
    true
}

/// Fills `integers` with what stands for each value at one scale, which is answered; None where
/// there is no such scale.
pub fn integers_of(values: &[f64], integers: &mut [i64; BLOCK_POINTS_MAX]) -> Option<u8> {
    let (scale, exceptions) = scale_of(values)?;
    if !exceptions.is_empty() {
        return None;
    }
    for (integer, value) in integers.iter_mut().zip(values) {
        *integer = to_integer(*value, scale)?;
    }
    Some(scale)
}

/// The smallest scale that fits all but at most an eighth, and which do not.
fn scale_of(values: &[f64]) -> Option<(u8, Vec<u8>)> {
    let mut scale = 0;
    let mut misfits = 0;
    for value in values {
        if to_integer(*value, scale).is_none() {
            match (scale..=SCALE_MAX).find(|scale| to_integer(*value, *scale).is_some()) {
                Some(larger) => scale = larger,
                None => misfits += 1,
            }
            if misfits > values.len() / 8 {
                return None;
            }
        }
    }
    let exceptions: Vec<u8> = (0u8..=255)
        .zip(values)
        .filter(|(_, value)| to_integer(**value, scale).is_none())
        .map(|(index, _)| index)
        .collect();
    let fits = exceptions.len() <= values.len() / 8 && exceptions.first() != Some(&0);
    fits.then_some((scale, exceptions))
}

/// Appends `count` floats, `seed` first. `integers` is scratch space.
///
/// # Errors
/// [`Malformed`] where the bytes are not such a block.
pub fn decode(
    bytes: &[u8],
    seed: f64,
    count: usize,
    integers: &mut Vec<i64>,
    out: &mut Vec<f64>,
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    let scale = cursor.u8()?;
    if scale > SCALE_MAX {
        return Err(Malformed("a decimal scale beyond 18"));
    }
    let codec = Codec::from_id(cursor.u8()?).ok_or(Malformed("an unknown codec"))?;
    let exceptions = usize::from(cursor.u8()?);
    let places = cursor.bytes(exceptions)?;
    let floats = cursor.bytes(exceptions * 8)?;
    let first = to_integer(seed, scale).ok_or(Malformed("a first float that is no decimal"))?;
    integers.clear();
    integer::decode(codec, cursor.rest(), first, count, integers)?;
    let start = out.len();
    let power = POWERS[usize::from(scale)];
    #[expect(
        clippy::cast_precision_loss,
        reason = "encoders keep to 2^53; larger integers come from hostile bytes only"
    )]
    out.extend(integers.iter().map(|integer| *integer as f64 / power));
    for (place, float) in places.iter().zip(floats.as_chunks().0) {
        *out[start..]
            .get_mut(usize::from(*place))
            .ok_or(Malformed("an exception beyond the block"))? = f64::from_le_bytes(*float);
    }
    Ok(())
}
