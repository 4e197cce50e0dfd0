//! Statements other than SELECT.

use plimsoll_engine::Timestamp;

use crate::ast::{Cardinality, Expr, Operator, ShowWildcard, Statement};

use super::{CheckError, Result, check};

/// Checks any statement: SELECTs, their targets in continuous queries and EXPLAIN included, and
/// where `time` may stand.
///
/// # Errors
/// [`CheckError`], in InfluxDB's words.
pub fn check_statement(statement: &Statement, now: Timestamp) -> Result {
    let refused = match statement {
        Statement::Select(select)
        | Statement::Explain { select, .. }
        | Statement::CreateContinuousQuery { select, .. } => {
            return check(select, now).map(drop);
        }
        Statement::ShowMeasurements(show) if show.wildcard == ShowWildcard::Databases => {
            let policy = if show.policy.is_some() { ".rp" } else { "" };
            return Err(CheckError::rule(format!(
                "query 'SHOW MEASUREMENTS ON *{policy}' not supported. use 'ON *.*' or specify a \
                 database"
            )));
        }
        Statement::DropSeries { condition, .. } if has_time(condition.as_ref()) => "DROP SERIES",
        Statement::ShowCardinality { of, show, .. } if has_time(show.condition.as_ref()) => {
            match of {
                Cardinality::Series => "SHOW SERIES EXACT CARDINALITY",
                Cardinality::Measurement => "SHOW MEASUREMENT EXACT CARDINALITY",
                Cardinality::TagKey => "SHOW TAG KEY EXACT CARDINALITY",
                Cardinality::FieldKey => "SHOW FIELD KEY CARDINALITY",
                // Time is allowed there.
                Cardinality::TagValues => return Ok(()),
            }
        }
        _ => return Ok(()),
    };
    Err(CheckError::rule(format!(
        "{refused} doesn't support time in WHERE clause"
    )))
}

/// Whether `time` is compared anywhere, on the left side, as InfluxDB looks for it.
fn has_time(condition: Option<&Expr>) -> bool {
    fn compares_time(expr: &Expr) -> bool {
        match expr {
            Expr::Binary {
                op: Operator::And | Operator::Or,
                left,
                right,
            } => compares_time(left) || compares_time(right),
            Expr::Binary { left, .. } => matches!(
                &**left,
                Expr::Reference(reference) if reference.name.eq_ignore_ascii_case("time")
            ),
            Expr::Paren(inner) => compares_time(inner),
            _ => false,
        }
    }
    condition.is_some_and(compares_time)
}
