//! What Go prints: durations and times, which InfluxDB answers as texts.

use crate::json::write_time;

/// A duration as Go's `Duration.String` prints it: `168h0m0s`, `1.5s`, `0s`.
#[must_use]
pub fn go_duration(ns: i64) -> String {
    let size = ns.unsigned_abs();
    let sign = if ns < 0 { "-" } else { "" };
    let fraction = |unit: u64, digits: usize| {
        let text = format!("{:0digits$}", size % unit);
        match text.trim_end_matches('0') {
            "" => String::new(),
            rest => format!(".{rest}"),
        }
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}{}µs", size / 1_000, fraction(1_000, 3)),
        1_000_000..1_000_000_000 => {
            format!("{sign}{}{}ms", size / 1_000_000, fraction(1_000_000, 6))
        }
        _ => {
            let seconds = size / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let hours_text = if hours > 0 {
                format!("{hours}h")
            } else {
                String::new()
            };
            let minutes_text = if hours > 0 || minutes > 0 {
                format!("{minutes}m")
            } else {
                String::new()
            };
            let rest = fraction(1_000_000_000, 9);
            format!("{sign}{hours_text}{minutes_text}{}{rest}s", seconds % 60)
        }
    }
}

/// A time as RFC 3339 in UTC, fractions of a second with it.
#[must_use]
pub fn go_time(ns: i64) -> String {
    let mut text = Vec::new();
    write_time(ns, None, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A time as RFC 3339 in UTC, in whole seconds.
#[must_use]
pub fn go_seconds(ns: i64) -> String {
    go_time(ns - ns.rem_euclid(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::{go_duration, go_seconds, go_time};

    #[test]
    fn durations_are_gos() {
        let table = [
            (0, "0s"),
            (604_800_000_000_000, "168h0m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (61_500_000_000, "1m1.5s"),
            (1_500_000, "1.5ms"),
            (15, "15ns"),
        ];
        for (ns, expected) in table {
            assert_eq!(go_duration(ns), expected);
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(go_time(1_500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(go_seconds(1_500_000_000), "1970-01-01T00:00:01Z");
        assert_eq!(go_seconds(-1), "1969-12-31T23:59:59Z");
    }
}
