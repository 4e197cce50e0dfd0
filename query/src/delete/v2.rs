//! The body of `/api/v2/delete`, as InfluxDB 1.12 takes it: times, and a predicate of equalities.

use std::collections::BTreeSet;

use jiff::Timestamp;
use plimsoll_engine::Deletion;

use super::resolve;
use crate::ast::{Expr, Operator};
use crate::exec::context::Context;
use crate::parse_expression;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The bucket's database.
    pub database: &'a str,
    /// The bucket's retention policy; points of others stay.
    pub policy: &'a str,
    /// The first time, RFC 3339.
    pub start: &'a str,
    /// The first time behind it, RFC 3339.
    pub stop: &'a str,
    /// `_measurement="cpu" AND host="a"`, or empty.
    pub predicate: &'a str,
}

/// Resolves a request.
///
/// # Errors
/// The text that InfluxDB 1.12 answers with status 400.
pub fn v2(request: &Request<'_>, context: &Context<'_>) -> Result<Vec<Deletion>, String> {
    for (name, text) in [("start", request.start), ("stop", request.stop)] {
        if text.is_empty() {
            return Err(format!(
                "delete - {name} field in RFC3339Nano format required"
            ));
        }
    }
    for (name, text) in [("start", request.start), ("stop", request.stop)] {
        if !is_rfc3339(text) {
            return Err(format!(
                "delete - invalid format for {name} field {text:?}, please use RFC3339Nano: \
                 parsing time {text:?} as \"2006-01-02T15:04:05.999999999Z07:00\": cannot parse"
            ));
        }
    }
    let times = format!("time >= '{}' AND time < '{}'", request.start, request.stop);
    let text = if request.predicate.is_empty() {
        times
    } else {
        format!("{} AND {times}", request.predicate)
    };
    let expr = parse_expression(&text)
        .map_err(|error| format!("delete - cannot parse predicate {text:?}: {error}"))?;
    let place = format!(
        "database: {:?}, retention policy: {:?}, start: {:?}, stop: {:?}, predicate: {:?}",
        request.database, request.policy, request.start, request.stop, request.predicate
    );
    let mut names = None;
    let rest = conjunction(expr, &mut names).ok_or_else(|| {
        format!("delete - predicate only supports equality operators and conjunctions. {place}")
    })?;
    let wanted = |name: &str| names.as_ref().is_none_or(|names| names.contains(name));
    let policy = Some(request.policy);
    resolve(context, request.database, policy, &wanted, rest.as_ref())
        .map_err(|error| format!("delete - {place}, error: {error}"))
}

/// Takes `_measurement = "name"` out of a conjunction, into `names`, and makes a text of every
/// quoted name on the right of `=`. `None` where it is more than equalities and AND.
#[expect(
    clippy::option_option,
    reason = "the outer says whether it is a conjunction, the inner whether something is left"
)]
fn conjunction(expr: Expr, names: &mut Option<BTreeSet<String>>) -> Option<Option<Expr>> {
    match expr {
        Expr::Paren(inner) => conjunction(*inner, names),
        Expr::Binary {
            op: Operator::And,
            left,
            right,
        } => {
            let left = conjunction(*left, names)?;
            let right = conjunction(*right, names)?;
            Some(match (left, right) {
                (Some(left), Some(right)) => Some(Expr::Binary {
                    op: Operator::And,
                    left: Box::new(left),
                    right: Box::new(right),
                }),
                (one, other) => one.or(other),
            })
        }
        Expr::Binary {
            op: Operator::Or | Operator::NotEqual | Operator::Matches | Operator::NotMatches,
            ..
        } => None,
        Expr::Binary {
            op: Operator::Equal,
            left,
            right,
        } => {
            let value = match *right {
                Expr::Reference(reference) if reference.cast.is_none() => {
                    Expr::String(reference.name)
                }
                other => other,
            };
            match (&*left, &value) {
                (Expr::Reference(reference), Expr::String(name))
                    if reference.name == "_measurement" =>
                {
                    let name = BTreeSet::from([name.clone()]);
                    // Of two, both would have to hold.
                    *names = Some(match names.take() {
                        Some(before) => before.intersection(&name).cloned().collect(),
                        None => name,
                    });
                    Some(None)
                }
                _ => Some(Some(Expr::Binary {
                    op: Operator::Equal,
                    left,
                    right: Box::new(value),
                })),
            }
        }
        other => Some(Some(other)),
    }
}

/// `2006-01-02T15:04:05.999999999Z07:00`, of which the fraction may be missing.
fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = |byte: &u8, wanted: &u8| match wanted {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    let Some((time, rest)) = bytes.split_at_checked(shape.len()) else {
        return false;
    };
    let fraction = match rest.strip_prefix(b".") {
        Some(digits) => digits.iter().take_while(|b| b.is_ascii_digit()).count() + 1,
        None => 0,
    };
    let zone = &rest[fraction..];
    let is_zone = zone == b"Z"
        || (zone.len() == 6
            && matches!(zone[0], b'+' | b'-')
            && zone[1..].iter().zip(b"dd:dd").all(|(a, b)| fits(a, b)));
    time.iter().zip(shape).all(|(a, b)| fits(a, b))
        && fraction != 1
        && is_zone
        && text.parse::<Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_and_nothing_else() {
        for (text, expected) in [
            ("2024-03-30T12:00:00Z", true),
            ("2024-03-30T12:00:00.123456789Z", true),
            ("2024-03-30T12:00:00.5+02:00", true),
            ("2024-03-30T12:00:00.Z", false),
            ("2024-03-30 12:00:00Z", false),
            ("2024-03-30T12:00Z", false),
            ("2024-03-30T12:00:00", false),
            ("2024-02-30T12:00:00Z", false),
            ("2024-03-30T12:00:00Z' OR time > '0", false),
            ("1711800000", false),
            ("€", false),
        ] {
            assert_eq!(is_rfc3339(text), expected, "{text}");
        }
    }

    #[test]
    fn a_measurement_is_taken_out_and_quoted_names_become_texts() {
        let cases = [
            (r#"_measurement="cpu""#, Some((Some(vec!["cpu"]), ""))),
            (
                r#"_measurement='a b' AND host="x""#,
                Some((Some(vec!["a b"]), "host = 'x'")),
            ),
            (
                r#"(host="x" AND (dc='y'))"#,
                Some((None, "host = 'x' AND dc = 'y'")),
            ),
            (
                r#"_measurement="a" AND _measurement="b""#,
                Some((Some(vec![]), "")),
            ),
            (r#"host="x" OR host="y""#, None),
            (r#"host!="x""#, None),
            (r#"host="x" AND dc=~/y/"#, None),
            (r#"host="x" AND (dc="y" OR dc="z")"#, None),
        ];
        for (text, expected) in cases {
            let mut names = None;
            let rest = conjunction(parse_expression(text).unwrap(), &mut names);
            let found = rest.map(|rest| {
                let names = names.map(|names| names.into_iter().collect::<Vec<_>>());
                (names, rest.map_or(String::new(), |rest| rest.to_string()))
            });
            let expected = expected.map(|(names, rest)| {
                let names = names.map(|names| names.into_iter().map(str::to_owned).collect());
                (names, rest.to_owned())
            });
            assert_eq!(found, expected, "{text}");
        }
    }
}
