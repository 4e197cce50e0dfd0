//! Floats of payloads to the integers that are stored.

/// The nearest integer, unless it is not one that i64 holds.
///
/// "No limit" is written as a number near 2^63 or 2^64, which is refused here like infinity.
pub(crate) fn rounded(value: f64) -> Option<i64> {
    /// 2^63 as a float; the largest float below it is 1,024 less.
    const END: f64 = 9_223_372_036_854_775_808.0;
    let value = value.round();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number between -2^63 and 2^63"
    )]
    (-END..END).contains(&value).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn only_what_i64_holds_is_a_number() {
        for (value, expected) in [
            (63.349226 * 1e9, Some(63_349_226_000)),
            (0.5, Some(1)),
            (-0.4, Some(0)),
            (9_223_372_036_854_775_000.0, Some(9_223_372_036_854_774_784)),
            (9_223_372_036_854_775_807.0, None),
            (18_446_744_073_709_551_615.0, None),
            (f64::INFINITY, None),
            (f64::NAN, None),
            (-9_223_372_036_854_775_808.0, Some(i64::MIN)),
        ] {
            assert_eq!(rounded(value), expected, "{value}");
        }
    }
}
