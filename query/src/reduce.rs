//! Constant folding: what can be evaluated before a query runs.
//!
//! Integers wrap and `/ 0` is 0, as in InfluxDB; a time that no longer fits stops at the end of
//! time, where the range check finds it. Source: `Reduce` of influxql.

use jiff::tz::TimeZone;
use plimsoll_engine::Timestamp;

use crate::ast::{Call, Expr, Operator};
use crate::condition::{looks_like_time, parse_time};
use crate::math;

/// Which calls are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// None.
    Kept,
    /// `now()`.
    Now(Timestamp),
    /// `sin(1.3)` and the like.
    Math,
}

/// Folds constants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reducer<'a> {
    pub(crate) calls: Calls,
    /// Where dates without an offset are read.
    pub(crate) timezone: &'a TimeZone,
}

impl Reducer<'_> {
    /// Folds, and takes the outermost parentheses away.
    pub(crate) fn reduce(&self, expr: &Expr) -> Expr {
        match self.inner(expr) {
            Expr::Paren(inner) => *inner,
            other => other,
        }
    }

    /// Folds; parentheses stay around what is still an operation.
    pub(crate) fn inner(&self, expr: &Expr) -> Expr {
        match expr {
            Expr::Binary { op, left, right } => self.join(*op, self.inner(left), self.inner(right)),
            Expr::Paren(inner) => match self.inner(inner) {
                binary @ Expr::Binary { .. } => Expr::Paren(Box::new(binary)),
                other => other,
            },
            Expr::Call(call) => self.call(call),
            other => other.clone(),
        }
    }

    fn call(&self, call: &Call) -> Expr {
        let arguments: Vec<Expr> = call.arguments.iter().map(|a| self.inner(a)).collect();
        let value = match self.calls {
            Calls::Now(now) if call.name == "now" && arguments.is_empty() => Some(Expr::Time(now)),
            Calls::Math if arguments.iter().all(is_literal) => {
                math::evaluate(&call.name, &arguments)
            }
            _ => None,
        };
        value.unwrap_or_else(|| {
            Expr::Call(Call {
                name: call.name.clone(),
                arguments,
            })
        })
    }

    /// `left op right` of two folded sides, as short as it can be said.
    pub(crate) fn join(&self, op: Operator, left: Expr, right: Expr) -> Expr {
        use Expr::Boolean;
        match (op, left, right) {
            (Operator::And, Boolean(false), _) | (Operator::And, _, Boolean(false)) => {
                Boolean(false)
            }
            (Operator::Or, Boolean(true), _) | (Operator::Or, _, Boolean(true)) => Boolean(true),
            (Operator::And, Boolean(true), rest) | (Operator::And, rest, Boolean(true)) => rest,
            (Operator::Or, Boolean(false), rest) | (Operator::Or, rest, Boolean(false)) => rest,
            (op, left, right) => self.combine(op, &left, &right).unwrap_or(Expr::Binary {
                op,
                left: Box::new(left),
                right: Box::new(right),
            }),
        }
    }

    /// The value of `left op right`, where both are constants that go together.
    fn combine(&self, op: Operator, left: &Expr, right: &Expr) -> Option<Expr> {
        use Expr::{Boolean, Duration, Integer, Nil, Number, String, Time, Unsigned};
        match (left, right) {
            (Boolean(_) | Duration(_) | Integer(_) | Number(_) | Time(_), Nil) => {
                Some(Boolean(false))
            }
            (Nil, _) | (String(_), Nil) if is_equality(op) => Some(Boolean(false)),
            (Boolean(a), Boolean(b)) => booleans(op, *a, *b),
            (Duration(a), Duration(b)) => match op {
                Operator::Add => Some(Duration(a.wrapping_add(*b))),
                Operator::Subtract => Some(Duration(a.wrapping_sub(*b))),
                _ => compare(op, a, b),
            },
            (Duration(ns), Integer(by)) => scaled(op, *ns, *by),
            (Duration(ns), Number(by)) => scaled(op, *ns, truncated(*by)),
            (Duration(ns) | Integer(ns), Time(time)) if op == Operator::Add => {
                Some(Time(moved(*time, *ns)))
            }
            (Integer(ns), Duration(by)) if op == Operator::Add => {
                Some(Time(moved(Timestamp(*ns), *by)))
            }
            (Integer(ns), Duration(by)) if op == Operator::Subtract => {
                Some(Time(moved(Timestamp(*ns), by.wrapping_neg())))
            }
            (Integer(a), Integer(b)) => integers(op, *a, *b),
            (Integer(a), Unsigned(b)) => match op {
                Operator::Less | Operator::LessOrEqual if *a < 0 => Some(Boolean(true)),
                Operator::Greater | Operator::GreaterOrEqual if *a < 0 => Some(Boolean(false)),
                _ => unsigned(op, a.cast_unsigned(), *b),
            },
            (Unsigned(a), Integer(b)) => match op {
                Operator::Less | Operator::LessOrEqual if *b < 0 => Some(Boolean(false)),
                Operator::Greater | Operator::GreaterOrEqual if *b < 0 => Some(Boolean(true)),
                _ => unsigned(op, *a, b.cast_unsigned()),
            },
            (Unsigned(a), Unsigned(b)) => unsigned(op, *a, *b),
            (Integer(_) | Unsigned(_) | Number(_), Number(_))
            | (Number(_), Integer(_) | Unsigned(_)) => {
                numbers(op, math::float(left)?, math::float(right)?)
            }
            (Time(time), Duration(ns) | Integer(ns)) => match op {
                Operator::Add => Some(Time(moved(*time, *ns))),
                Operator::Subtract => Some(Time(moved(*time, ns.wrapping_neg()))),
                _ => None,
            },
            (Time(a), Time(b)) if op == Operator::Subtract => {
                Some(Duration(a.0.saturating_sub(b.0)))
            }
            (Time(a), Time(b)) => compare(op, a, b),
            (String(a), String(b)) => self.strings(op, a, b),
            (String(text), Duration(_) | Integer(_) | Time(_)) => {
                self.combine(op, &self.time(text)?, right)
            }
            (Duration(_) | Integer(_) | Time(_), String(text)) => {
                self.combine(op, left, &self.time(text)?)
            }
            _ => None,
        }
    }

    /// Two texts that are both times are compared as such: one time can be written in many ways.
    fn strings(&self, op: Operator, a: &str, b: &str) -> Option<Expr> {
        if op == Operator::Add {
            return Some(Expr::String(format!("{a}{b}")));
        }
        let as_times = || self.combine(op, &self.time(a)?, &self.time(b)?);
        as_times().or_else(|| is_equality(op).then(|| compare(op, &a, &b)).flatten())
    }

    fn time(&self, text: &str) -> Option<Expr> {
        if !looks_like_time(text) {
            return None;
        }
        let ns = parse_time(text, self.timezone)?;
        let end = if ns < 0 { i64::MIN } else { i64::MAX };
        Some(Expr::Time(Timestamp(i64::try_from(ns).unwrap_or(end))))
    }
}

/// Whether an expression is a constant.
pub(crate) fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Regex(_)
        | Expr::Number(_)
        | Expr::Integer(_)
        | Expr::Unsigned(_)
        | Expr::String(_)
        | Expr::Boolean(_)
        | Expr::Duration(_)
        | Expr::Time(_)
        | Expr::Nil
        | Expr::BoundParameter(_)
        | Expr::List(_) => true,
        Expr::Binary { .. }
        | Expr::Paren(_)
        | Expr::Call(_)
        | Expr::Reference(_)
        | Expr::Wildcard(_)
        | Expr::Distinct(_) => false,
    }
}

fn is_equality(op: Operator) -> bool {
    matches!(op, Operator::Equal | Operator::NotEqual)
}

fn moved(time: Timestamp, ns: i64) -> Timestamp {
    Timestamp(time.0.saturating_add(ns))
}

fn compare<T: PartialOrd>(op: Operator, a: &T, b: &T) -> Option<Expr> {
    Some(Expr::Boolean(match op {
        Operator::Equal => a == b,
        Operator::NotEqual => a != b,
        Operator::Less => a < b,
        Operator::LessOrEqual => a <= b,
        Operator::Greater => a > b,
        Operator::GreaterOrEqual => a >= b,
        _ => return None,
    }))
}

fn booleans(op: Operator, a: bool, b: bool) -> Option<Expr> {
    Some(Expr::Boolean(match op {
        Operator::Equal => a == b,
        Operator::NotEqual | Operator::BitXor => a != b,
        Operator::And | Operator::BitAnd => a && b,
        Operator::Or | Operator::BitOr => a || b,
        _ => return None,
    }))
}

fn scaled(op: Operator, ns: i64, by: i64) -> Option<Expr> {
    Some(Expr::Duration(match op {
        Operator::Multiply => ns.wrapping_mul(by),
        Operator::Divide if by == 0 => 0,
        Operator::Divide => ns.wrapping_div(by),
        _ => return None,
    }))
}

fn integers(op: Operator, a: i64, b: i64) -> Option<Expr> {
    Some(match op {
        Operator::Add => Expr::Integer(a.wrapping_add(b)),
        Operator::Subtract => Expr::Integer(a.wrapping_sub(b)),
        Operator::Multiply => Expr::Integer(a.wrapping_mul(b)),
        Operator::Divide => return numbers(op, math::from_integer(a), math::from_integer(b)),
        Operator::Modulo if b == 0 => Expr::Integer(0),
        Operator::Modulo => Expr::Integer(a.wrapping_rem(b)),
        Operator::BitAnd => Expr::Integer(a & b),
        Operator::BitOr => Expr::Integer(a | b),
        Operator::BitXor => Expr::Integer(a ^ b),
        _ => return compare(op, &a, &b),
    })
}

fn unsigned(op: Operator, a: u64, b: u64) -> Option<Expr> {
    Some(Expr::Unsigned(match op {
        Operator::Add => a.wrapping_add(b),
        Operator::Subtract => a.wrapping_sub(b),
        Operator::Multiply => a.wrapping_mul(b),
        Operator::Divide => a.checked_div(b).unwrap_or(0),
        Operator::Modulo => a.checked_rem(b).unwrap_or(0),
        _ => return compare(op, &a, &b),
    }))
}

fn numbers(op: Operator, a: f64, b: f64) -> Option<Expr> {
    Some(Expr::Number(match op {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide if b == 0.0 => 0.0,
        Operator::Divide => a / b,
        Operator::Modulo => a % b,
        _ => return compare(op, &a, &b),
    }))
}

/// A duration's factor loses its fraction, in InfluxDB too.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what InfluxDB does to the factor of a duration"
)]
fn truncated(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_expression;

    const NOW: Timestamp = Timestamp(1_000_000_000_000_000_000);

    fn reduced(text: &str, calls: Calls) -> String {
        let timezone = TimeZone::get("Europe/Berlin").unwrap();
        let reducer = Reducer {
            calls,
            timezone: &timezone,
        };
        reducer.reduce(&parse_expression(text).unwrap()).to_string()
    }

    #[test]
    fn constants_are_folded_and_names_are_kept() {
        for (text, expected) in [
            ("1 + 2 * 3", "7"),
            ("1 / 2", "0.5"),
            ("1 / 0", "0.000"),
            ("7 % 0", "0"),
            ("5 & 4 | 3 ^ 1", "6"),
            ("9223372036854775807 + 1", "-9223372036854775808"),
            ("18446744073709551615 - 1", "18446744073709551614"),
            ("-1 < 18446744073709551615", "true"),
            ("18446744073709551615 > -1", "true"),
            ("18446744073709551615 / 0", "0"),
            ("2.5 * 2 >= 5", "true"),
            ("7.5 % 2", "1.5"),
            ("(a + 1) * (2 + 3)", "(a + 1) * 5"),
            ("((1 + 2))", "3"),
            ("(a)", "a"),
            ("true AND a = 1", "a = 1"),
            ("a = 1 OR 1 = 1", "true"),
            ("false OR (a = 1)", "a = 1"),
            ("1 = 2 AND a = 1", "false"),
            ("true = false", "false"),
            ("true ^ true", "false"),
            ("'a' + 'b'", "'ab'"),
            ("'a' = 'b'", "false"),
            ("'a' < 'b'", "'a' < 'b'"),
            ("1h * 1.9", "1h"),
            ("1h / 0", "0s"),
            ("1h - 90m", "-30m"),
            ("1h > 59m", "true"),
            ("1m + 5", "1m + 5"),
            ("5 + 1u", "'1970-01-01T00:00:00.000001005Z'"),
            ("'1970-01-01' + 1h", "'1970-01-01T00:00:00Z'"),
            (
                "'2020-01-01T00:00:00Z' = '2020-01-01T01:00:00+01:00'",
                "true",
            ),
            ("'2020-01-02' - '2020-01-01'", "1d"),
            ("mean(2 * 3)", "mean(6)"),
            ("now()", "now()"),
        ] {
            assert_eq!(reduced(text, Calls::Kept), expected, "{text}");
        }
    }

    #[test]
    fn calls_are_evaluated_where_that_is_asked_for() {
        for (text, expected) in [
            ("now() - 1s", "'2001-09-09T01:46:39Z'"),
            ("now() - now()", "0s"),
            ("now(1)", "now(1)"),
            ("sin(0)", "sin(0)"),
        ] {
            assert_eq!(reduced(text, Calls::Now(NOW)), expected, "{text}");
        }
        for (text, expected) in [
            ("abs(-3)", "3"),
            ("sqrt(16) + a", "4.000 + a"),
            ("pow(2, 10)", "1024.000"),
            ("abs(a)", "abs(a)"),
            ("abs('x')", "nil"),
            ("abs(1, 2)", "abs(1, 2)"),
            ("mean(3)", "mean(3)"),
            ("now()", "now()"),
        ] {
            assert_eq!(reduced(text, Calls::Math), expected, "{text}");
        }
    }

    #[test]
    fn a_time_that_does_not_fit_stops_at_the_end_of_time() {
        let end = Timestamp(i64::MAX);
        assert_eq!(
            reduced("'3000-01-01' + 1h", Calls::Kept),
            Expr::Time(end).to_string()
        );
    }
}
