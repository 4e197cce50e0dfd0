//! Taking the time range out of a WHERE clause.
//!
//! Conditions on `time` are intersected wherever they stand, under OR too, and what is left is
//! answered as a condition of its own. Source: `ConditionExpr` of influxql.

use jiff::civil;
use jiff::tz::TimeZone;
use plimsoll_engine::Timestamp;
use plimsoll_engine::model::{TIME_MAX, TIME_MIN};

use crate::ast::{Expr, Operator};

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

/// Splits a condition into what it says of time, and the rest.
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
        Some(condition) => Splitter { now, timezone }.split(condition),
    }
}

/// Evaluates what can be evaluated before a query runs: arithmetic on constants, `now()`.
#[must_use]
pub fn fold(expr: &Expr, now: Timestamp, timezone: &TimeZone) -> Expr {
    Splitter { now, timezone }.fold(expr)
}

struct Splitter<'a> {
    now: Timestamp,
    timezone: &'a TimeZone,
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
                    (Some(left), Some(right)) => Some(Expr::Binary {
                        op: *op,
                        left: Box::new(left),
                        right: Box::new(right),
                    }),
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
                Ok((Some(expr.clone()), TimeBounds::default()))
            }
            Expr::Paren(inner) => {
                let (rest, bounds) = self.split(inner)?;
                Ok((rest.map(|rest| Expr::Paren(Box::new(rest))), bounds))
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
                let time = parse_time(text, self.timezone).ok_or(ConditionError::InvalidTime)?;
                return in_range(time);
            }
            other => self.fold(other),
        };
        match literal {
            Expr::Time(time) => Ok(time.0),
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

    fn fold(&self, expr: &Expr) -> Expr {
        match expr {
            Expr::Paren(inner) => match self.fold(inner) {
                binary @ Expr::Binary { .. } => Expr::Paren(Box::new(binary)),
                other => other,
            },
            Expr::Call(call) if call.name == "now" && call.arguments.is_empty() => {
                Expr::Time(self.now)
            }
            Expr::Binary { op, left, right } => {
                let (left, right) = (self.fold(left), self.fold(right));
                self.combine(*op, &left, &right)
                    .unwrap_or_else(|| Expr::Binary {
                        op: *op,
                        left: Box::new(left),
                        right: Box::new(right),
                    })
            }
            other => other.clone(),
        }
    }

    /// The value of `left op right`, where both are constants that go together.
    fn combine(&self, op: Operator, left: &Expr, right: &Expr) -> Option<Expr> {
        match (left, right) {
            (Expr::String(text), Expr::Duration(_) | Expr::Integer(_)) if looks_like_time(text) => {
                let time = parse_time(text, self.timezone)?;
                let time = Expr::Time(Timestamp(i64::try_from(time).ok()?));
                self.combine(op, &time, right)
            }
            (Expr::Duration(_) | Expr::Integer(_), Expr::String(text)) if looks_like_time(text) => {
                let time = parse_time(text, self.timezone)?;
                let time = Expr::Time(Timestamp(i64::try_from(time).ok()?));
                self.combine(op, left, &time)
            }
            (Expr::Time(time), Expr::Duration(ns) | Expr::Integer(ns)) => {
                let moved = match op {
                    Operator::Add => time.0.checked_add(*ns)?,
                    Operator::Subtract => time.0.checked_sub(*ns)?,
                    _ => return None,
                };
                Some(Expr::Time(Timestamp(moved)))
            }
            (Expr::Duration(ns) | Expr::Integer(ns), Expr::Time(time)) if op == Operator::Add => {
                Some(Expr::Time(Timestamp(time.0.checked_add(*ns)?)))
            }
            (Expr::Time(a), Expr::Time(b)) if op == Operator::Subtract => {
                Some(Expr::Duration(a.0.checked_sub(b.0)?))
            }
            (Expr::Duration(a), Expr::Duration(b)) => match op {
                Operator::Add => Some(Expr::Duration(a.wrapping_add(*b))),
                Operator::Subtract => Some(Expr::Duration(a.wrapping_sub(*b))),
                _ => None,
            },
            (Expr::Duration(a), Expr::Integer(b)) => duration_by_integer(op, *a, *b),
            (Expr::Integer(a), Expr::Duration(b)) => match op {
                Operator::Add => Some(Expr::Duration(a.wrapping_add(*b))),
                Operator::Subtract => Some(Expr::Duration(a.wrapping_sub(*b))),
                Operator::Multiply => Some(Expr::Duration(a.wrapping_mul(*b))),
                _ => None,
            },
            (Expr::Duration(a), Expr::Number(b)) => duration_by_number(op, *a, *b),
            (Expr::Integer(a), Expr::Integer(b)) => integers(op, *a, *b),
            _ => numbers(op, left, right),
        }
    }
}

fn duration_by_integer(op: Operator, ns: i64, by: i64) -> Option<Expr> {
    Some(Expr::Duration(match op {
        Operator::Add => ns.wrapping_add(by),
        Operator::Subtract => ns.wrapping_sub(by),
        Operator::Multiply => ns.wrapping_mul(by),
        Operator::Divide if by == 0 => 0,
        Operator::Divide => ns.wrapping_div(by),
        _ => return None,
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "Go multiplies a duration by a float so"
)]
fn duration_by_number(op: Operator, ns: i64, by: f64) -> Option<Expr> {
    Some(Expr::Duration(match op {
        Operator::Multiply => (ns as f64 * by) as i64,
        Operator::Divide if by == 0.0 => 0,
        Operator::Divide => (ns as f64 / by) as i64,
        _ => return None,
    }))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "integer / integer is a float in InfluxQL"
)]
fn integers(op: Operator, a: i64, b: i64) -> Option<Expr> {
    Some(match op {
        Operator::Add => Expr::Integer(a.wrapping_add(b)),
        Operator::Subtract => Expr::Integer(a.wrapping_sub(b)),
        Operator::Multiply => Expr::Integer(a.wrapping_mul(b)),
        Operator::Divide if b == 0 => Expr::Number(0.0),
        Operator::Divide => Expr::Number(a as f64 / b as f64),
        Operator::Modulo if b == 0 => Expr::Integer(0),
        Operator::Modulo => Expr::Integer(a.wrapping_rem(b)),
        Operator::BitAnd => Expr::Integer(a & b),
        Operator::BitOr => Expr::Integer(a | b),
        Operator::BitXor => Expr::Integer(a ^ b),
        _ => return None,
    })
}

fn numbers(op: Operator, left: &Expr, right: &Expr) -> Option<Expr> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "an integer beside a float is a float"
    )]
    let number = |expr: &Expr| match expr {
        Expr::Number(number) => Some(*number),
        Expr::Integer(number) => Some(*number as f64),
        _ => None,
    };
    let (a, b) = (number(left)?, number(right)?);
    Some(Expr::Number(match op {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide if b == 0.0 => 0.0,
        Operator::Divide => a / b,
        Operator::Modulo => a % b,
        _ => return None,
    }))
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
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_nanosecond())
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
            (
                "(a = 1 OR time >= 5) AND time >= 3",
                "(a = 1)",
                Some(5),
                None,
            ),
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
            ("true", "true", None, None),
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
}
