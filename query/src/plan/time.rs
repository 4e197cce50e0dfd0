//! Time as the planner needs it: the range of a WHERE, the offset of GROUP BY time.

use jiff::tz::TimeZone;
use plimsoll_engine::model::{TIME_MAX, TIME_MIN};
use plimsoll_engine::{TimeRange, Timestamp};

use crate::ast::Expr;
use crate::condition;
use crate::exec::error::{Error, Result};

/// What a WHERE says about time, and the rest of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Split {
    /// What is left; none where time is all.
    pub(crate) rest: Option<Expr>,
    /// All conditions on time, intersected.
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
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    let (rest, bounds) =
        condition::split(condition, now, &zone).map_err(crate::check::CheckError::from)?;
    let rest = match rest {
        Some(Expr::Paren(inner)) => Some(*inner),
        Some(Expr::Boolean(true)) => None,
        other => other,
    };
    let range = TimeRange {
        start: bounds.start.map_or(TIME_MIN, Timestamp),
        end: bounds.end.map_or(TIME_MAX, Timestamp),
    };
    Ok(Split {
        rest,
        range: range.intersect(&TimeRange::ALL),
    })
}

/// Splits the WHERE of a subquery, which is folded before its times are taken out: `time > x OR true`
/// is all times there, and those from `x` on elsewhere.
///
/// # Errors
/// As [`split`].
pub(crate) fn split_folded(
    condition: Option<&Expr>,
    now: Timestamp,
    zone: Option<&TimeZone>,
) -> Result<Split> {
    let utc = TimeZone::UTC;
    let as_written = split(condition, now, zone)?;
    let folded = condition.map(|condition| condition::fold(condition, now, zone.unwrap_or(&utc)));
    // A constant that is no condition is one as long as it is written as an operation.
    Ok(split(folded.as_ref(), now, zone).unwrap_or(as_written))
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
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    let time = match condition::fold(expr, now, &zone) {
        Expr::Duration(ns) => return Ok(ns % every),
        Expr::Time(time) => i128::from(time.0),
        // It is checked as a time, but the query engine of 1.x does not know it.
        text @ Expr::String(_) => {
            return Err(Error::invalid(format!(
                "invalid time dimension offset: {text}"
            )));
        }
        _ => {
            return Err(Error::invalid(
                "time dimension offset must be duration or now()",
            ));
        }
    };
    let since_year_one = time + YEAR_ONE_NS;
    Ok(i64::try_from(since_year_one.rem_euclid(i128::from(every))).unwrap_or(0))
}

/// From 0001-01-01 to 1970-01-01.
const YEAR_ONE_NS: i128 = 62_135_596_800 * 1_000_000_000;
