//! The time range of a WHERE, and what of it is left.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use plimsoll_engine::model::{TIME_MAX, TIME_MIN};
use plimsoll_engine::{TimeRange, Timestamp};

use crate::ast::{Expr, Operator};
use crate::exec::error::{Error, Result};
use crate::functions::Number;

/// What a WHERE says about time, and the rest of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Split {
    /// What is left; none where time is all.
    pub(crate) rest: Option<Expr>,
    /// All conditions on time, intersected wherever they stand.
    pub(crate) range: TimeRange,
}

/// Splits a WHERE.
///
/// # Errors
/// [`Error::Invalid`] with InfluxDB's text.
pub(crate) fn split(
    condition: Option<&Expr>,
    now: Timestamp,
    zone: Option<&TimeZone>,
) -> Result<Split> {
    let clock = Clock { now, zone };
    let (rest, range) = match condition {
        None => (None, TimeRange::ALL),
        Some(condition) => clock.split(condition)?,
    };
    let rest = match rest {
        Some(Expr::Paren(inner)) => Some(*inner),
        Some(Expr::Boolean(true)) => None,
        other => other,
    };
    Ok(Split { rest, range })
}

/// The offset of `time(every, expr)`: a duration, or how far a time lies behind a multiple of `every`
/// since the year 1, as Go counts.
///
/// # Errors
/// [`Error::Invalid`] with InfluxDB's text.
pub(crate) fn offset(
    expr: &Expr,
    every: i64,
    now: Timestamp,
    zone: Option<&TimeZone>,
) -> Result<i64> {
    let clock = Clock { now, zone };
    let time = match clock.fold(expr)? {
        Operand::Duration(ns) => return Ok(ns % every),
        Operand::Time(ns) => ns,
        Operand::Text(text) if looks_like_time(&text) => clock.parse(&text)?,
        _ => {
            return Err(Error::invalid(
                "time dimension offset must be duration or now()",
            ));
        }
    };
    let since_year_one = i128::from(time) + YEAR_ONE_NS;
    Ok(i64::try_from(since_year_one.rem_euclid(i128::from(every))).unwrap_or(0))
}

/// From 0001-01-01 to 1970-01-01.
const YEAR_ONE_NS: i128 = 62_135_596_800 * 1_000_000_000;

struct Clock<'a> {
    now: Timestamp,
    zone: Option<&'a TimeZone>,
}

/// An operand of time arithmetic.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Time(i64),
    Duration(i64),
    Integer(i64),
    Number(f64),
    Text(String),
    Other,
}

impl Clock<'_> {
    fn split(&self, condition: &Expr) -> Result<(Option<Expr>, TimeRange)> {
        match condition {
            Expr::Binary {
                op: op @ (Operator::And | Operator::Or),
                left,
                right,
            } => {
                let (left, left_range) = self.split(left)?;
                let (right, right_range) = self.split(right)?;
                let rest = match (left, right) {
                    (Some(left), Some(right)) => Some(Expr::Binary {
                        op: *op,
                        left: Box::new(left),
                        right: Box::new(right),
                    }),
                    (left, right) => left.or(right),
                };
                Ok((rest, left_range.intersect(&right_range)))
            }
            Expr::Binary { op, left, right } => {
                if is_time(left) {
                    Ok((None, self.range(*op, right)?))
                } else if is_time(right) {
                    Ok((None, self.range(mirrored(*op), left)?))
                } else {
                    Ok((Some(condition.clone()), TimeRange::ALL))
                }
            }
            Expr::Paren(inner) => {
                let (rest, range) = self.split(inner)?;
                Ok((rest.map(|rest| Expr::Paren(Box::new(rest))), range))
            }
            Expr::Boolean(_) => Ok((Some(condition.clone()), TimeRange::ALL)),
            other => Err(Error::invalid(format!(
                "invalid condition expression: {other}"
            ))),
        }
    }

    fn range(&self, op: Operator, operand: &Expr) -> Result<TimeRange> {
        let mut operand = self.fold(operand)?;
        if let Operand::Text(text) = &operand
            && looks_like_time(text)
        {
            operand = Operand::Time(self.parse(text)?);
        }
        let time = match operand {
            Operand::Time(ns) | Operand::Duration(ns) | Operand::Integer(ns) => ns,
            #[expect(clippy::cast_possible_truncation, reason = "as InfluxDB casts it")]
            Operand::Number(number) => number as i64,
            Operand::Text(_) => {
                return Err(Error::invalid(
                    "invalid operation: time and a string are not compatible",
                ));
            }
            Operand::Other => {
                return Err(Error::invalid(
                    "invalid operation: time is compared with something that is not a time",
                ));
            }
        };
        let mut range = TimeRange::ALL;
        match op {
            Operator::Greater => range.start = Timestamp(time.saturating_add(1)),
            Operator::GreaterOrEqual => range.start = Timestamp(time),
            Operator::Less => range.end = Timestamp(time.saturating_sub(1)),
            Operator::LessOrEqual => range.end = Timestamp(time),
            Operator::Equal => (range.start, range.end) = (Timestamp(time), Timestamp(time)),
            other => {
                return Err(Error::invalid(format!(
                    "invalid time comparison operator: {other}"
                )));
            }
        }
        range.start = range.start.max(TIME_MIN);
        range.end = range.end.min(TIME_MAX);
        Ok(range)
    }

    fn fold(&self, expr: &Expr) -> Result<Operand> {
        Ok(match expr {
            Expr::Call(call) if call.name == "now" => Operand::Time(self.now.0),
            Expr::Time(time) => Operand::Time(time.0),
            Expr::Duration(ns) => Operand::Duration(*ns),
            Expr::Integer(value) => Operand::Integer(*value),
            Expr::Number(value) => Operand::Number(*value),
            Expr::String(text) => Operand::Text(text.clone()),
            Expr::Paren(inner) => self.fold(inner)?,
            Expr::Binary { op, left, right } => {
                let (left, right) = (self.fold(left)?, self.fold(right)?);
                self.combine(*op, left, right)?
            }
            _ => Operand::Other,
        })
    }

    fn combine(&self, op: Operator, left: Operand, right: Operand) -> Result<Operand> {
        use Operand::{Duration, Integer, Number, Text, Time};
        let time_of = |text: &str| -> Result<Operand> {
            if looks_like_time(text) {
                Ok(Time(self.parse(text)?))
            } else {
                Ok(Operand::Other)
            }
        };
        Ok(match (left, op, right) {
            (Text(text), _, right) => match time_of(&text)? {
                Operand::Other => Operand::Other,
                left => self.combine(op, left, right)?,
            },
            (left, _, Text(text)) => match time_of(&text)? {
                Operand::Other => Operand::Other,
                right => self.combine(op, left, right)?,
            },
            (Time(a), Operator::Subtract, Time(b)) => Duration(a.saturating_sub(b)),
            (Time(a), Operator::Add, Duration(b) | Integer(b))
            | (Duration(b) | Integer(b), Operator::Add, Time(a)) => Time(a.saturating_add(b)),
            (Time(a), Operator::Subtract, Duration(b) | Integer(b)) => Time(a.saturating_sub(b)),
            (Duration(a), Operator::Add, Duration(b) | Integer(b))
            | (Integer(b), Operator::Add, Duration(a)) => Duration(a.saturating_add(b)),
            (Duration(a), Operator::Subtract, Duration(b) | Integer(b)) => {
                Duration(a.saturating_sub(b))
            }
            (Duration(a), Operator::Multiply, Integer(b))
            | (Integer(b), Operator::Multiply, Duration(a)) => Duration(a.saturating_mul(b)),
            (Duration(a), Operator::Divide, Integer(b)) => Duration(a.checked_div(b).unwrap_or(0)),
            (Duration(a), Operator::Multiply, Number(b))
            | (Number(b), Operator::Multiply, Duration(a)) => Duration(scaled(a, b)),
            (Duration(a), Operator::Divide, Number(b)) => Duration(scaled(a, 1.0 / b)),
            (Integer(a), Operator::Add, Integer(b)) => Integer(a.wrapping_add(b)),
            (Integer(a), Operator::Subtract, Integer(b)) => Integer(a.wrapping_sub(b)),
            (Integer(a), Operator::Multiply, Integer(b)) => Integer(a.wrapping_mul(b)),
            (Integer(a), Operator::Divide, Integer(b)) if b != 0 => Number(a.float() / b.float()),
            (Number(a), Operator::Add, Number(b)) => Number(a + b),
            (Number(a), Operator::Subtract, Number(b)) => Number(a - b),
            (Number(a), Operator::Multiply, Number(b)) => Number(a * b),
            (Number(a), Operator::Divide, Number(b)) => Number(a / b),
            (Integer(a), _, right @ Number(_)) => self.combine(op, Number(a.float()), right)?,
            (left @ Number(_), _, Integer(b)) => self.combine(op, left, Number(b.float()))?,
            _ => Operand::Other,
        })
    }

    /// `'YYYY-MM-DD[ HH:MM:SS[.f]]'` in the statement's zone, or RFC 3339.
    fn parse(&self, text: &str) -> Result<i64> {
        let zone = self.zone.cloned().unwrap_or(TimeZone::UTC);
        let local = |time: DateTime| time.to_zoned(zone).ok().map(|zoned| zoned.timestamp());
        let parsed = if text.len() == 10 {
            text.parse::<Date>()
                .ok()
                .and_then(|date| local(date.at(0, 0, 0, 0)))
        } else if text.as_bytes().get(10) == Some(&b' ') {
            text.parse::<DateTime>().ok().and_then(local)
        } else {
            text.parse::<jiff::Timestamp>().ok()
        };
        parsed
            .and_then(|time| i64::try_from(time.as_nanosecond()).ok())
            .ok_or_else(|| Error::invalid("invalid timestamp string"))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "as InfluxDB casts it")]
fn scaled(duration: i64, by: f64) -> i64 {
    (duration.float() * by) as i64
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Reference(reference) if reference.name.eq_ignore_ascii_case("time"))
}

fn mirrored(op: Operator) -> Operator {
    match op {
        Operator::Greater => Operator::Less,
        Operator::Less => Operator::Greater,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        other => other,
    }
}

/// Whether a text begins as `YYYY-MM-DD`.
fn looks_like_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && (0..10).all(|at| match at {
            4 | 7 => bytes[at] == b'-',
            _ => bytes[at].is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000_000;

    fn range_of(condition: &str, zone: Option<&str>) -> Result<(i64, i64)> {
        let zone = zone.map(|name| TimeZone::get(name).unwrap());
        let condition = crate::parse_expression(condition).unwrap();
        let split = split(Some(&condition), Timestamp(NOW), zone.as_ref())?;
        Ok((split.range.start.0, split.range.end.0))
    }

    #[test]
    fn every_way_to_say_a_time_is_understood() {
        let (min, max) = (TIME_MIN.0, TIME_MAX.0);
        let second = 1_000_000_000;
        let table = [
            ("time > now() - 15m", (NOW - 900 * second + 1, max)),
            ("now() - 1m * 10 <= time", (NOW - 600 * second, max)),
            ("time < 1500ms", (min, 1_500_000_000 - 1)),
            ("time = 7", (7, 7)),
            ("time >= '2017-07-14' + 1s", (1_499_990_401 * second, max)),
            ("time >= '2017-07-14 04:40:00.5'", (1_500_007_200_500_000_000, max)),
            ("time <= '2017-07-14T02:40:00Z'", (min, 1_500_000_000 * second)),
            ("a = 1 OR (time > 5 AND time > 3)", (6, max)),
        ];
        for (text, expected) in table {
            assert_eq!(range_of(text, None).unwrap(), expected, "{text}");
        }
        assert_eq!(
            range_of("time >= '2017-07-14'", Some("Europe/Berlin")).unwrap().0,
            1_499_983_200 * second
        );
    }

    #[test]
    fn what_is_no_range_of_time_is_an_error() {
        for text in ["time != 5", "time > 'yesterday'", "time > '2017-99-99'", "time =~ /a/"] {
            assert!(range_of(text, None).is_err(), "{text}");
        }
    }
}
