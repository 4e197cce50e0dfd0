//! What a SELECT must fulfil before it runs, with InfluxDB's messages.

use crate::ast::{Expr, Select};

/// Whether a SELECT calls a function in its fields.
#[must_use]
pub fn has_call(select: &Select) -> bool {
    fn calls(expr: &Expr) -> bool {
        match expr {
            Expr::Call(_) => true,
            Expr::Binary { left, right, .. } => calls(left) || calls(right),
            Expr::Paren(inner) => calls(inner),
            _ => false,
        }
    }
    select.fields.iter().any(|field| calls(&field.expr))
}

/// The interval of GROUP BY time(…) in ns, if there is one.
///
/// # Errors
/// InfluxDB's text where its arguments are wrong.
pub fn group_by_interval(select: &Select) -> Result<Option<i64>, String> {
    for dimension in &select.dimensions {
        let Expr::Call(call) = &dimension.expr else {
            continue;
        };
        if call.name != "time" {
            continue;
        }
        return match call.arguments.as_slice() {
            [Expr::Duration(ns)] | [Expr::Duration(ns), _] => Ok(Some(*ns)),
            [_] | [_, _] => Err("time dimension must have duration argument".to_owned()),
            _ => Err("time dimension expected 1 or 2 arguments".to_owned()),
        };
    }
    Ok(None)
}
