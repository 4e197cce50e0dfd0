//! Durations: `1h30m`, and back.

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000 * MICROSECOND;
const SECOND: i64 = 1_000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

const INVALID: &str = "invalid duration";

/// Reads a duration of parts `n(ns|u|µ|ms|s|m|h|d|w)`, as ns.
///
/// # Errors
/// InfluxDB's text: `invalid duration`, or that it overflows.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    if text.len() < 2 {
        return Err(INVALID.to_owned());
    }
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut sum = 0_i64;
    let mut last = (0, "");
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(INVALID)?;
        let count: i64 = rest[..digits].parse().map_err(|_| INVALID.to_owned())?;
        let tail = &rest[digits..];
        let (unit, ns) = unit(tail).ok_or(INVALID)?;
        // Wraps as InfluxDB's does, which then looks at the sign alone.
        sum = sum.wrapping_add(count.wrapping_mul(ns));
        last = (count, unit);
        rest = &tail[unit.len()..];
    }
    if sum < 0 && !is_negative {
        let (count, unit) = last;
        return Err(format!(
            "overflowed duration {count}{unit}: choose a smaller duration or INF"
        ));
    }
    Ok(if is_negative { sum.wrapping_neg() } else { sum })
}

fn unit(text: &str) -> Option<(&str, i64)> {
    let units = [
        ("ns", 1),
        ("u", MICROSECOND),
        ("µ", MICROSECOND),
        ("ms", MILLISECOND),
        ("m", MINUTE),
        ("s", SECOND),
        ("h", HOUR),
        ("d", DAY),
        ("w", WEEK),
    ];
    let (unit, ns) = units.into_iter().find(|(unit, _)| text.starts_with(unit))?;
    Some((&text[..unit.len()], ns))
}

/// Prints a duration in its largest whole unit, as InfluxDB does.
#[must_use]
pub fn format_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let units = [
        ("w", WEEK),
        ("d", DAY),
        ("h", HOUR),
        ("m", MINUTE),
        ("s", SECOND),
        ("ms", MILLISECOND),
        ("u", MICROSECOND),
        ("ns", 1),
    ];
    let (unit, size) = units
        .into_iter()
        .find(|(_, size)| ns % size == 0)
        .unwrap_or(("ns", 1));
    format!("{}{unit}", ns / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed() {
        for (text, ns, printed) in [
            ("10s", 10 * SECOND, "10s"),
            ("1h30m", 90 * MINUTE, "90m"),
            ("7d", WEEK, "1w"),
            ("5u", 5_000, "5u"),
            ("5µ", 5_000, "5u"),
            ("1ms1ns", 1_000_001, "1000001ns"),
        ] {
            assert_eq!(parse_duration(text), Ok(ns), "{text}");
            assert_eq!(format_duration(ns), printed);
        }
        for text in ["", "5", "h", "1x", "1n", "99999999999999999999s"] {
            assert_eq!(
                parse_duration(text),
                Err("invalid duration".to_owned()),
                "{text}"
            );
        }
        assert!(parse_duration("20000w").is_err());
    }
}
