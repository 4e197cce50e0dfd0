//! Answers as InfluxDB 1.x prints them: Go's JSON, byte by byte.
//!
//! Owns how one series, number, text and time is written; bodies, headers and `pretty` are the
//! server's. It never fails: what JSON cannot say (NaN, infinities) is `null`.

use std::io::Write;
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use plimsoll_engine::model::Values;

use crate::exec::column::Column;
use crate::rows::{Cell, ColumnRows, Message, Rows};

/// How times are written: the `epoch` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Epoch {
    /// RFC 3339 with trimmed zeros.
    #[default]
    Rfc3339,
    /// A number of ns.
    Nanoseconds,
    /// A number of µs.
    Microseconds,
    /// A number of ms.
    Milliseconds,
    /// A number of seconds.
    Seconds,
    /// A number of minutes.
    Minutes,
    /// A number of hours.
    Hours,
}

impl Epoch {
    /// What `epoch=` means: empty is RFC 3339, an unknown text ns, as in InfluxDB.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" => Self::Rfc3339,
            "u" | "µ" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => Self::Nanoseconds,
        }
    }

    /// ns of one unit, none for text.
    #[must_use]
    pub fn unit_ns(self) -> Option<i64> {
        match self {
            Self::Rfc3339 => None,
            Self::Nanoseconds => Some(1),
            Self::Microseconds => Some(1_000),
            Self::Milliseconds => Some(1_000_000),
            Self::Seconds => Some(1_000_000_000),
            Self::Minutes => Some(60_000_000_000),
            Self::Hours => Some(3_600_000_000_000),
        }
    }
}

/// Appends one series: `{"name":…,"tags":{…},"columns":[…],"values":[[…]],"partial":true}`, where
/// what is empty is left out.
pub fn write_series(rows: &Rows, epoch: Epoch, out: &mut Vec<u8>) {
    out.push(b'{');
    if !rows.name.is_empty() {
        out.extend_from_slice(b"\"name\":");
        write_string(&rows.name, out);
        out.push(b',');
    }
    if !rows.tags.is_empty() {
        out.extend_from_slice(b"\"tags\":{");
        separated(&rows.tags, out, |(key, value), out| {
            write_string(key, out);
            out.push(b':');
            write_string(value, out);
        });
        out.extend_from_slice(b"},");
    }
    out.extend_from_slice(b"\"columns\":[");
    separated(&rows.columns, out, |column, out| write_string(column, out));
    out.push(b']');
    if !rows.values.is_empty() {
        out.extend_from_slice(b",\"values\":[");
        write_values(rows, epoch, out);
        out.push(b']');
    }
    if rows.partial {
        out.extend_from_slice(b",\"partial\":true");
    }
    out.push(b'}');
}

/// Appends the rows of a series, each in brackets, with a comma between them.
pub fn write_values(rows: &Rows, epoch: Epoch, out: &mut Vec<u8>) {
    let zone = rows
        .timezone
        .as_deref()
        .and_then(|name| TimeZone::get(name).ok());
    separated(&rows.values, out, |row, out| {
        out.push(b'[');
        separated(row, out, |cell, out| {
            write_cell(cell, epoch, zone.as_ref(), out)
        });
        out.push(b']');
    });
}

/// As [`write_values`], of rows that stand by column.
pub fn write_columns(rows: &ColumnRows, epoch: Epoch, out: &mut Vec<u8>) {
    let zone = rows.head().timezone.as_deref();
    let zone = zone.and_then(|name| TimeZone::get(name).ok());
    for (row, time) in rows.times().iter().enumerate() {
        out.extend_from_slice(if row > 0 { b",[" } else { b"[" });
        write_cell(&Cell::Time(*time), epoch, zone.as_ref(), out);
        for column in rows.columns() {
            out.push(b',');
            match column {
                Column::Typed {
                    present: Some(present),
                    ..
                } if !present[row] => out.extend_from_slice(b"null"),
                Column::Typed { values, .. } => match values {
                    Values::Float(values) => write_float(values[row], out),
                    Values::Integer(values) => print_integer(values[row], out),
                    Values::Unsigned(values) => print_integer(values[row], out),
                    Values::String(values) => write_string(&values[row], out),
                    Values::Boolean(values) => print(out, format_args!("{}", values[row])),
                },
                Column::Same(cell, _) => write_cell(cell, epoch, zone.as_ref(), out),
                Column::Mixed(cells) => write_cell(&cells[row], epoch, zone.as_ref(), out),
            }
        }
        out.push(b']');
    }
}

/// Appends a message: `{"level":…,"text":…}`.
pub fn write_message(message: &Message, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"level\":");
    write_string(message.level, out);
    out.extend_from_slice(b",\"text\":");
    write_string(&message.text, out);
    out.push(b'}');
}

/// Appends `items`, with a comma between them.
fn separated<T>(items: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

/// Appends one cell; a time in `zone`, or in UTC.
pub fn write_cell(cell: &Cell, epoch: Epoch, zone: Option<&TimeZone>, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Time(ns) => match epoch.unit_ns() {
            Some(unit) => print_integer(ns / unit, out),
            None => {
                out.push(b'"');
                write_time(*ns, zone, out);
                out.push(b'"');
            }
        },
        Cell::Float(value) => write_float(*value, out),
        Cell::Integer(value) => print_integer(*value, out),
        Cell::Unsigned(value) => print_integer(*value, out),
        Cell::String(text) => write_string(text, out),
        Cell::Boolean(value) => print(out, format_args!("{value}")),
        Cell::List(texts) => {
            out.push(b'[');
            separated(texts, out, |text, out| write_string(text, out));
            out.push(b']');
        }
    }
}

/// Sizes of floats that `ryu` prints without an exponent, and as Go does but for a `.0`.
const AS_RYU_PRINTS: Range<f64> = 1e-5..1e16;

/// Appends a float as Go's `encoding/json` does: shortest digits, an exponent below 1e-6 and from
/// 1e21 on; `null` where it is not finite.
pub fn write_float(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
    } else if AS_RYU_PRINTS.contains(&value.abs()) {
        let mut digits = ryu::Buffer::new();
        let text = digits.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    } else {
        write_any(value, out);
    }
}

/// As [`write_float`], of any size, and slower.
fn write_any(value: f64, out: &mut Vec<u8>) {
    let size = value.abs();
    let start = out.len();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        print(out, format_args!("{value}"));
    } else {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                print(out, format_args!("{digits}e+{exponent}"));
            }
            _ => print(out, format_args!("{text}")),
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        to_even(value, digits);
    }
}

/// Of two shortest texts that lie equally near Rust prints the greater one and Go the one that ends
/// in an even digit.
fn to_even(value: f64, text: &mut [u8]) {
    let end = text.iter().position(|byte| *byte == b'e');
    let exponent: i32 = match end.and_then(|end| text.get(end + 1..)) {
        None => 0,
        Some(digits) => std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0),
    };
    let end = end.unwrap_or(text.len());
    let Some(point) = text.iter().position(|byte| *byte == b'.') else {
        return;
    };
    let decimals = i32::try_from(end - point - 1).unwrap_or(0) - exponent;
    // A number that is odd in units of 2^-n has n decimals, of which the last is a 5: here one more
    // than were printed.
    let bits = value.to_bits();
    let power = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0).max(1) - 1075;
    let is_subnormal = bits >> 52 & 0x7ff == 0;
    let mantissa = bits & ((1 << 52) - 1) | (u64::from(!is_subnormal) << 52);
    let zeros = i32::try_from(mantissa.trailing_zeros()).unwrap_or(0);
    let Some(last) = text.get(end - 1).copied() else {
        return;
    };
    if power + zeros != -(decimals + 1) || last % 2 == 0 {
        return;
    }
    text[end - 1] = last - 1;
    let is_same = std::str::from_utf8(text).is_ok_and(|text| text.parse() == Ok(value));
    if !is_same {
        text[end - 1] = last;
    }
}

/// Appends a quoted text with Go's escapes, `<`, `>` and `&` among them.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.find(must_escape) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let found = rest[at..].chars().next().unwrap_or_default();
        match found {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            other => print(out, format_args!("\\u{:04x}", u32::from(other))),
        }
        rest = &rest[at + found.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

fn must_escape(c: char) -> bool {
    matches!(c, '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}') || c < ' '
}

/// Appends a time as RFC 3339 with trimmed zeros and the offset that `zone` has then.
pub fn write_time(ns: i64, zone: Option<&TimeZone>, out: &mut Vec<u8>) {
    let offset = zone.map_or(0, |zone| {
        let time = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
        i64::from(zone.to_offset(time).seconds())
    });
    let seconds = ns.div_euclid(1_000_000_000) + offset;
    let fraction = ns.rem_euclid(1_000_000_000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    print(
        out,
        format_args!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"),
    );
    if fraction != 0 {
        let digits = format!("{fraction:09}");
        print(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
    // Go prints a named zone as `Z` where its offset is zero, too.
    if offset == 0 {
        out.push(b'Z');
    } else {
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.abs() / 60;
        print(
            out,
            format_args!("{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        );
    }
}

/// Year, month and day of a number of days since 1970-01-01.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn print_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(value).as_bytes());
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_are_printed_as_their_rows_are() {
        let floats = vec![1.5, f64::NAN, -0.0, 1e300, f64::INFINITY];
        let texts = ["a", "<b>", "", "\"", "é"].map(std::sync::Arc::from);
        let mixed = vec![
            Cell::Float(f64::NAN),
            Cell::Null,
            Cell::Boolean(true),
            Cell::String("x".into()),
            Cell::Unsigned(7),
        ];
        let columns = vec![
            Column::full(Values::Float(floats)),
            Column::Typed {
                values: Values::Integer(vec![1, -2, 3, i64::MIN, 0]),
                present: Some(vec![true, false, true, true, false]),
            },
            Column::full(Values::Unsigned(vec![0, 1, 2, 3, u64::MAX])),
            Column::full(Values::Boolean(vec![true, false, true, false, true])),
            Column::full(Values::String(texts.to_vec())),
            Column::Same(Cell::String("same".into()), 5),
            Column::null(5),
            Column::Mixed(mixed),
        ];
        for (zone, epoch) in [
            (None, Epoch::Milliseconds),
            (None, Epoch::Rfc3339),
            (Some("Europe/Berlin".into()), Epoch::Rfc3339),
        ] {
            let head = Rows {
                timezone: zone,
                ..Rows::default()
            };
            let times = vec![0, 1, 1_500_000_000, -1, 1_700_000_000_000_000_000];
            let by_column = ColumnRows::new(head, times, columns.clone());
            let (mut printed, mut expected) = (Vec::new(), Vec::new());
            write_columns(&by_column, epoch, &mut printed);
            write_values(&by_column.into_rows(), epoch, &mut expected);
            assert_eq!(printed, expected);
            assert!(printed.len() > 100);
        }
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_printed_as_go_prints_them() {
        let table = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (9.5e-7, "9.5e-7"),
            // Two shortest texts lie equally near.
            (222_399_981_598_543.0 + 0.125, "222399981598543.12"),
            (-222_399_981_598_543.0 - 0.125, "-222399981598543.12"),
            (222_399_981_598_543.0 + 0.375, "222399981598543.38"),
            (0.5, "0.5"),
            (2.5, "2.5"),
            (5e-324, "5e-324"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ];
        for (value, expected) in table {
            assert_eq!(text(|out| write_float(value, out)), expected);
        }
    }

    proptest! {
        #[test]
        fn floats_are_printed_in_one_way(
            value in prop_oneof![
                any::<f64>(),
                // Of many of these two shortest texts lie equally near.
                (any::<u64>(), 1003_u64..1080).prop_map(|(n, power)| f64::from_bits(n >> 12 | power << 52)),
                (any::<i32>(), 0_i32..9).prop_map(|(n, power)| f64::from(n) / 10_f64.powi(power)),
            ],
        ) {
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            write_float(value, &mut fast);
            if value.is_finite() {
                write_any(value, &mut slow);
                prop_assert_eq!(String::from_utf8(fast), String::from_utf8(slow));
            }
        }
    }

    #[test]
    fn text_is_escaped_as_go_escapes_it() {
        assert_eq!(
            text(|out| write_string("a\"b\\<&>\n\u{1}é\u{2028}", out)),
            r#""a\"b\\\u003c\u0026\u003e\n\u0001é\u2028""#
        );
    }

    #[test]
    fn times_have_trimmed_zeros_and_the_zones_offset() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(text(|out| write_time(0, None, out)), "1970-01-01T00:00:00Z");
        assert_eq!(
            text(|out| write_time(-1, None, out)),
            "1969-12-31T23:59:59.999999999Z"
        );
        assert_eq!(
            text(|out| write_time(1_500_000_000_120_000_000, Some(&zone), out)),
            "2017-07-14T04:40:00.12+02:00"
        );
        assert_eq!(
            text(|out| write_time(i64::MIN + 2, None, out)),
            "1677-09-21T00:12:43.145224194Z"
        );
    }

    #[test]
    fn a_series_leaves_out_what_is_empty() {
        let mut rows = Rows {
            name: "m".into(),
            columns: ["time".into(), "v".into()].into(),
            ..Rows::default()
        };
        assert_eq!(
            text(|out| write_series(&rows, Epoch::Rfc3339, out)),
            r#"{"name":"m","columns":["time","v"]}"#
        );
        rows.tags = vec![("host".into(), "".into())];
        rows.values = vec![vec![Cell::Time(1_999_999), Cell::Null]];
        rows.partial = true;
        assert_eq!(
            text(|out| write_series(&rows, Epoch::Milliseconds, out)),
            r#"{"name":"m","tags":{"host":""},"columns":["time","v"],"values":[[1,null]],"partial":true}"#
        );
    }
}
