//! Taking the time range out of a WHERE clause.
//!
//! Conditions on `time` are intersected wherever they stand, under OR too, and what is left is
//! answered as a condition of its own. Source: `ConditionExpr` of influxql.

use jiff::civil;
use jiff::tz::TimeZone;
use plimsoll_engine::Timestamp;
use plimsoll_engine::model::{TIME_MAX, TIME_MIN};

use crate::ast::{Expr, Operator};
use crate::reduce::{Calls, Reducer};

/// The bounds that a WHERE clause sets on time, both inclusive, ns; `None` where it sets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeBounds {
    /// The first time.
    pub start: Option<i64>,
    /// The last time.
    pub end: Option<i64>,
}

impl TimeBounds {
    /// The times that both allow.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        let both = |a: Option<i64>, b: Option<i64>, pick: fn(i64, i64) -> i64| match (a, b) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (one, other) => one.or(other),
        };
        Self {
            start: both(self.start, other.start, i64::max),
            end: both(self.end, other.end, i64::min),
        }
    }
}

/// Why a condition makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// A text that looks like a time is none.
    #[error("invalid timestamp string")]
    InvalidTime,
    /// A time cannot be stored.
    #[error("time {0} overflows time literal")]
    Overflows(String),
    /// A time cannot be stored.
    #[error("time {0} underflows time literal")]
    Underflows(String),
    /// `time != x`, `time =~ /x/` and the like.
    #[error("invalid time comparison operator: {0}")]
    Operator(&'static str),
    /// `time > 'x'`, `time > host`.
    #[error("invalid operation: time and {0} are not compatible")]
    Incompatible(String),
    /// Something that is neither a comparison nor a boolean.
    #[error("invalid condition expression: {0}")]
    Invalid(String),
}

/// Splits a condition into what it says of time, and the rest with its constants folded; nothing is
/// left where the rest is always true.
///
/// `now()` is `now`; dates without an offset are read in `timezone`.
///
/// # Errors
/// [`ConditionError`], in InfluxDB's words where they name no internal type.
pub fn split(
    condition: Option<&Expr>,
    now: Timestamp,
    timezone: &TimeZone,
) -> Result<(Option<Expr>, TimeBounds), ConditionError> {
    match condition {
        None => Ok((None, TimeBounds::default())),
        Some(condition) => {
            let reducer = Reducer {
                calls: Calls::Now(now),
                timezone,
            };
            let (rest, bounds) = Splitter { reducer }.split(condition)?;
            let rest = match rest {
                Some(Expr::Paren(inner)) => Some(*inner),
                other => other,
            };
            Ok((rest.filter(|rest| *rest != Expr::Boolean(true)), bounds))
        }
    }
}

/// Evaluates what can be evaluated before a query runs: arithmetic on constants, `now()`.
#[must_use]
pub fn fold(expr: &Expr, now: Timestamp, timezone: &TimeZone) -> Expr {
    let reducer = Reducer {
        calls: Calls::Now(now),
        timezone,
    };
    reducer.reduce(expr)
}

struct Splitter<'a> {
    reducer: Reducer<'a>,
}

impl Splitter<'_> {
    fn split(&self, expr: &Expr) -> Result<(Option<Expr>, TimeBounds), ConditionError> {
        match expr {
            Expr::Binary {
                op: op @ (Operator::And | Operator::Or),
                left,
                right,
            } => {
                let (left, left_bounds) = self.split(left)?;
                let (right, right_bounds) = self.split(right)?;
                let rest = match (left, right) {
                    (Some(left), Some(right)) => Some(self.reducer.join(*op, left, right)),
                    (one, other) => one.or(other),
                };
                Ok((rest, left_bounds.intersect(right_bounds)))
            }
            Expr::Binary { op, left, right } => {
                if is_time(left) {
                    return Ok((None, self.bounds(*op, right)?));
                }
                if is_time(right) {
                    return Ok((None, self.bounds(swapped(*op), left)?));
                }
                Ok((Some(self.reducer.inner(expr)), TimeBounds::default()))
            }
            Expr::Paren(inner) => {
                let (rest, bounds) = self.split(inner)?;
                let rest = rest.map(|rest| match rest {
                    binary @ Expr::Binary { .. } => Expr::Paren(Box::new(binary)),
                    other => other,
                });
                Ok((rest, bounds))
            }
            Expr::Boolean(_) => Ok((Some(expr.clone()), TimeBounds::default())),
            other => Err(ConditionError::Invalid(other.to_string())),
        }
    }

    fn bounds(&self, op: Operator, value: &Expr) -> Result<TimeBounds, ConditionError> {
        let time = self.time(value)?;
        let bounds = match op {
            Operator::Greater => TimeBounds {
                start: Some(time.saturating_add(1)),
                end: None,
            },
            Operator::GreaterOrEqual => TimeBounds {
                start: Some(time),
                end: None,
            },
            Operator::Less => TimeBounds {
                start: None,
                end: Some(time.saturating_sub(1)),
            },
            Operator::LessOrEqual => TimeBounds {
                start: None,
                end: Some(time),
            },
            Operator::Equal => TimeBounds {
                start: Some(time),
                end: Some(time),
            },
            other => return Err(ConditionError::Operator(other.symbol())),
        };
        Ok(bounds)
    }

    /// The time that an expression stands for, ns.
    fn time(&self, value: &Expr) -> Result<i64, ConditionError> {
        let literal = match value {
            Expr::String(text) if looks_like_time(text) => {
                let time =
                    parse_time(text, self.reducer.timezone).ok_or(ConditionError::InvalidTime)?;
                return in_range(time);
            }
            other => self.reducer.reduce(other),
        };
        match literal {
            Expr::Time(time) => in_range(i128::from(time.0)),
            Expr::Duration(ns) | Expr::Integer(ns) => Ok(ns),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "Go converts so, saturating here"
            )]
            Expr::Number(number) => Ok(number as i64),
            Expr::String(_) => Err(ConditionError::Incompatible("a string".to_owned())),
            other => Err(ConditionError::Incompatible(other.to_string())),
        }
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Reference(reference) if reference.name.eq_ignore_ascii_case("time"))
}

/// The operator when its sides change places.
fn swapped(op: Operator) -> Operator {
    match op {
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        other => other,
    }
}

fn in_range(time: i128) -> Result<i64, ConditionError> {
    let text = || {
        jiff::Timestamp::from_nanosecond(time).map_or_else(
            |_| time.to_string(),
            |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        )
    };
    if time > i128::from(TIME_MAX.0) {
        return Err(ConditionError::Overflows(text()));
    }
    if time < i128::from(TIME_MIN.0) {
        return Err(ConditionError::Underflows(text()));
    }
    i64::try_from(time).map_err(|_| ConditionError::Overflows(text()))
}

/// Whether a text begins as `YYYY-MM-DD`, which InfluxDB then insists on reading as a time.
#[must_use]
pub fn looks_like_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// A date, a date and time in `timezone`, or RFC 3339; ns.
#[must_use]
pub fn parse_time(text: &str, timezone: &TimeZone) -> Option<i128> {
    let local = |time: civil::DateTime| {
        timezone
            .to_ambiguous_timestamp(time)
            .compatible()
            .ok()
            .map(|t| t.as_nanosecond())
    };
    if text.len() == 10 {
        let date: civil::Date = text.parse().ok()?;
        return local(date.to_datetime(civil::Time::midnight()));
    }
    if text.as_bytes().get(10) == Some(&b' ') {
        // Seconds are not optional, and nothing may follow them but a fraction.
        let has_seconds =
            text.len() >= 19 && text[11..].bytes().filter(|b| *b == b':').count() == 2;
        let plain = text[11..]
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'));
        return if has_seconds && plain {
            local(text.parse().ok()?)
        } else {
            None
        };
    }
    let time: jiff::Timestamp = rfc3339(text).then(|| text.parse().ok())??;
    Some(time.as_nanosecond())
}

/// `YYYY-MM-DDTHH:MM:SS[.f](Z|±HH:MM)`, and nothing of what else ISO 8601 allows.
fn rfc3339(text: &str) -> bool {
    let Some((_, time)) = text.split_once('T') else {
        return false;
    };
    let (clock, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => return false,
    };
    let shape = |text: &str, pattern: &[u8]| {
        text.len() == pattern.len()
            && text
                .bytes()
                .zip(pattern)
                .all(|(byte, expected)| match expected {
                    b'0' => byte.is_ascii_digit(),
                    other => byte == *other,
                })
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    shape(clock, b"00:00:00")
        && !clock.ends_with("60")
        && is_digits(fraction)
        && (offset == "Z" || shape(&offset[1..], b"00:00"))
}

/// The zone that tz('…') names; `''` and `'Local'` are UTC.
#[must_use]
pub fn timezone(name: &str) -> Option<TimeZone> {
    match name {
        "" | "UTC" | "Local" => Some(TimeZone::UTC),
        _ => TimeZone::get(name).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_expression;

    const NOW: i64 = 1_000_000_000_000_000_000;
    const MINUTE: i64 = 60_000_000_000;

    fn parts(text: &str) -> Result<(String, Option<i64>, Option<i64>), String> {
        let expr = parse_expression(text).map_err(|error| error.to_string())?;
        let zone = TimeZone::get("Europe/Berlin").map_err(|error| error.to_string())?;
        let (rest, bounds) =
            split(Some(&expr), Timestamp(NOW), &zone).map_err(|error| error.to_string())?;
        Ok((
            rest.map_or(String::new(), |rest| rest.to_string()),
            bounds.start,
            bounds.end,
        ))
    }

    #[test]
    fn time_is_taken_out_wherever_it_stands() {
        for (text, rest, start, end) in [
            ("time > now() - 15m", "", Some(NOW - 15 * MINUTE + 1), None),
            ("time >= 10 AND time <= 20", "", Some(10), Some(20)),
            (
                "host = 'a' AND time < 5s",
                "host = 'a'",
                None,
                Some(4_999_999_999),
            ),
            ("(a = 1 OR time >= 5) AND time >= 3", "a = 1", Some(5), None),
            ("5 <= time AND \"TIME\" = 7", "", Some(7), Some(7)),
            (
                "time > now() - 1m * 10",
                "",
                Some(NOW - 10 * MINUTE + 1),
                None,
            ),
            (
                "time > now() - 1795459300000",
                "",
                Some(NOW - 1_795_459_300_000 + 1),
                None,
            ),
            (
                "time >= 1500ms and x =~ /y/",
                "x =~ /y/",
                Some(1_500_000_000),
                None,
            ),
            (
                "time >= '1970-01-01T00:00:01Z'",
                "",
                Some(1_000_000_000),
                None,
            ),
            ("time >= '1970-01-01'", "", Some(-60 * MINUTE), None),
            (
                "time >= '1970-01-01 01:00:00.5'",
                "",
                Some(500_000_000),
                None,
            ),
            ("time >= '1970-01-01T00:00:01Z' - 1s", "", Some(0), None),
            ("true", "", None, None),
            ("1 = 2 OR a = 1 + 2", "a = 3", None, None),
            (
                "(a = 1 OR b = 2) AND c = 3",
                "(a = 1 OR b = 2) AND c = 3",
                None,
                None,
            ),
        ] {
            assert_eq!(parts(text), Ok((rest.to_owned(), start, end)), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said_so() {
        for (text, error) in [
            ("time != 5", "invalid time comparison operator: !="),
            (
                "time > 'x'",
                "invalid operation: time and a string are not compatible",
            ),
            ("time > '2020-01-01T10:00Z'", "invalid timestamp string"),
            (
                "time > '2020-01-01T10:00:00+0100'",
                "invalid timestamp string",
            ),
            (
                "time > '3000-01-01' + 1h",
                "time 2262-04-11T23:47:16Z overflows time literal",
            ),
            (
                "time > 1m + 5",
                "invalid operation: time and 1m + 5 are not compatible",
            ),
            ("time > '2020-13-01'", "invalid timestamp string"),
            ("time > '2020-01-01 10:00'", "invalid timestamp string"),
            (
                "time > '3000-01-01T00:00:00Z'",
                "time 3000-01-01T00:00:00Z overflows time literal",
            ),
            (
                "time > host",
                "invalid operation: time and host are not compatible",
            ),
            ("host", "invalid condition expression: host"),
        ] {
            assert_eq!(parts(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn local_is_utc() {
        assert_eq!(timezone("Local"), Some(TimeZone::UTC));
        assert_eq!(timezone(""), Some(TimeZone::UTC));
        assert_eq!(timezone("Nowhere"), None);
    }
}
