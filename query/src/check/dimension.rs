//! GROUP BY.

use jiff::tz::TimeZone;

use crate::ast::{Dimension, Expr, Select};
use crate::condition::{ConditionError, looks_like_time, parse_time};
use crate::reduce::{Calls, Reducer};

use super::{CheckError, Result};

/// The interval of GROUP BY time(…) in ns, if there is one.
///
/// # Errors
/// InfluxDB's text where its arguments are wrong.
pub fn group_by_interval(select: &Select) -> Result<Option<i64>, String> {
    for dimension in &select.dimensions {
        let Expr::Call(call) = &dimension.expr else {
            continue;
        };
        if call.name == "time" {
            return interval(&call.arguments)
                .map(Some)
                .map_err(ToOwned::to_owned);
        }
    }
    Ok(None)
}

fn interval(arguments: &[Expr]) -> Result<i64, &'static str> {
    match arguments {
        [Expr::Duration(ns)] | [Expr::Duration(ns), _] => Ok(*ns),
        [_] | [_, _] => Err("time dimension must have duration argument"),
        _ => Err("time dimension expected 1 or 2 arguments"),
    }
}

/// The interval (0: none) and the dimensions with their constants folded.
pub(super) fn check(
    dimensions: &[Dimension],
    timezone: &TimeZone,
) -> Result<(i64, Vec<Dimension>)> {
    let reducer = Reducer {
        calls: Calls::Kept,
        timezone: &TimeZone::UTC,
    };
    let mut ns = 0;
    let mut folded = Vec::with_capacity(dimensions.len());
    for dimension in dimensions {
        let expr = reducer.reduce(&dimension.expr);
        match &expr {
            Expr::Reference(reference) if reference.name.eq_ignore_ascii_case("time") => {
                return Err(CheckError::rule(
                    "time() is a function and expects at least one argument",
                ));
            }
            Expr::Call(call) if call.name != "time" => {
                return Err(CheckError::rule("only time() calls allowed in dimensions"));
            }
            Expr::Call(call) => {
                let own = interval(&call.arguments).map_err(CheckError::rule)?;
                if ns != 0 {
                    return Err(CheckError::rule("multiple time dimensions not allowed"));
                }
                ns = own;
                if let Some(offset) = call.arguments.get(1) {
                    check_offset(offset, timezone)?;
                }
            }
            Expr::Reference(_) | Expr::Wildcard(_) | Expr::Regex(_) => {}
            _ => return Err(CheckError::rule("only time and tag dimensions allowed")),
        }
        folded.push(Dimension { expr });
    }
    Ok((ns, folded))
}

fn check_offset(offset: &Expr, timezone: &TimeZone) -> Result {
    let message = match offset {
        Expr::Duration(_) | Expr::Time(_) => return Ok(()),
        Expr::Call(call) if call.name != "now" => "time dimension offset function must be now()",
        Expr::Call(call) if call.arguments.is_empty() => return Ok(()),
        Expr::Call(_) => "time dimension offset now() function requires no arguments",
        Expr::String(text) if looks_like_time(text) => {
            return match parse_time(text, timezone) {
                Some(_) => Ok(()),
                None => Err(ConditionError::InvalidTime.into()),
            };
        }
        _ => "time dimension offset must be duration or now()",
    };
    Err(CheckError::rule(message))
}
