//! What the kept directory of cold pages holds: a column for each way to compress a page. The
//! example that writes it and the test that reads it share this file.

use plimsoll_engine::FieldValue;

pub const CONTAINERS: i64 = 12;
pub const ROWS: i64 = 300;
pub const START: i64 = 1_700_000_000_000_000_000;
pub const STEP: i64 = 10_000_000_000;

/// The values of one row of one container. `state` starts at the container's number and 1, and goes through all rows of a
/// container.
pub fn row(container: i64, row: i64, state: &mut u64) -> Vec<(&'static str, FieldValue)> {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    let noise = (*state >> 40).cast_signed();
    let ticks = row * 40_000_000 + 4_000_000 * (noise % 7);
    let millis = i32::try_from(noise % 50_000).unwrap_or(0);
    let mut values = vec![
        (
            "ticks",
            FieldValue::Integer(if noise % 3 == 0 {
                ticks - noise % 9_000
            } else {
                ticks
            }),
        ),
        ("idle", FieldValue::Integer(row / 100)),
        (
            "huge",
            FieldValue::Unsigned(u64::MAX - noise.unsigned_abs()),
        ),
        ("seconds", FieldValue::Float(f64::from(millis) / 1000.0)),
        ("noise", FieldValue::Float(f64::from_bits(*state))),
        ("up", FieldValue::Boolean(noise % 5 != 0)),
        (
            "event",
            FieldValue::String(format!("container {container} was pulled {}", noise % 40).into()),
        ),
    ];
    if noise % 3 != 0 {
        values.push(("sparse", FieldValue::Integer(noise % 100)));
    }
    values
}
