//! Deviations that can be said as another statement: theirs answers as ours does to that one.

use plimsoll_query::ast::{Expr, Reference, Select, Source};

use super::{Difference, MATHEMATICS, calls, selects};

/// More abs() than these in one statement are not tried one by one.
const CALLS_MAX: usize = 5;

/// Calls `change` with a SELECT and all below it.
pub fn each(select: &mut Select, change: &mut dyn FnMut(&mut Select)) {
    change(select);
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            each(inner, change);
        }
    }
}

/// OFFSET without LIMIT in a SELECT without calls: influxd answers one row behind it, in each shard.
pub fn offset_without_limit(difference: &Difference<'_>) -> bool {
    let is_so = |select: &Select| select.offset > 0 && select.limit == 0 && !computes(select);
    let (mut has, mut is_nested, mut depth) = (false, false, 0);
    selects(difference.statement, &mut |select| {
        has |= is_so(select);
        is_nested |= is_so(select) && depth > 0;
        depth += 1;
    });
    if !has || !difference.is_of_rows() {
        return false;
    }
    let one = difference.with(&|select| {
        each(select, &mut |select| {
            if is_so(select) {
                select.limit = 1;
            }
        });
    });
    // Where the rows of a subquery's series take turns it starts again and again.
    let mut groups = false;
    selects(difference.statement, &mut |select| {
        groups |= !select.dimensions.is_empty()
    });
    if one.is_some_and(|one| super::same(difference.theirs, &one)) || (is_nested && groups) {
        return true;
    }
    // Where top() chooses among them, it is of those that it chooses from.
    let all = difference.with(&|select| {
        each(select, &mut |select| {
            if is_so(select) {
                select.offset = 0;
            }
            super::rows::choose_none(select);
        });
    });
    all.is_some_and(|all| super::rows::are_some_of(difference.theirs, &all))
}

/// A function per row in WHERE over a subquery: influxd does not compute it, nothing compares with it.
pub fn mathematics(difference: &Difference<'_>) -> bool {
    let is_so = |select: &Select| {
        let mut sources = select.sources.iter();
        sources.any(|source| matches!(source, Source::Subquery(_)))
            && select.condition.as_ref().is_some_and(|condition| {
                calls(condition, MATHEMATICS)
                    || calls(condition, &["abs", "floor", "ceil", "round", "sqrt"])
            })
    };
    let mut has = false;
    selects(difference.statement, &mut |select| has |= is_so(select));
    if !has {
        return false;
    }
    let without = difference.with(&|select| {
        each(select, &mut |select| {
            if is_so(select)
                && let Some(condition) = &mut select.condition
            {
                replace(condition, &mut |expr| match expr {
                    Expr::Call(call) if is_per_row(&call.name) => {
                        Some(Expr::Reference(Reference {
                            name: "\u{1}".to_owned(),
                            cast: None,
                        }))
                    }
                    _ => None,
                });
            }
        });
    });
    without.is_some_and(|without| super::same(difference.theirs, &without))
}

fn is_per_row(name: &str) -> bool {
    matches!(name, "abs" | "floor" | "ceil" | "round" | "sqrt") || MATHEMATICS.contains(&name)
}

/// Whether a SELECT computes rows of several points.
fn computes(select: &Select) -> bool {
    fn has_call(expr: &Expr) -> bool {
        match expr {
            Expr::Call(call) => !is_per_row(&call.name) || call.arguments.iter().any(has_call),
            Expr::Binary { left, right, .. } => has_call(left) || has_call(right),
            Expr::Paren(inner) => has_call(inner),
            Expr::Distinct(_) => true,
            _ => false,
        }
    }
    select.fields.iter().any(|field| has_call(&field.expr))
}

/// abs() of an integer is the integer in 1.6.7.
pub fn abs_of_integers(difference: &Difference<'_>) -> bool {
    let mut count = 0;
    let mut counted = difference.statement.clone();
    if let plimsoll_query::ast::Statement::Select(select) = &mut counted {
        count = leave_out_abs(select, 0);
    }
    if count == 0 || count > CALLS_MAX || !difference.is_of_rows() {
        return false;
    }
    // Which of them are of integers is not told: one choice has to fit.
    (1..1_usize << count).any(|chosen| {
        let without = difference.with(&|select| {
            leave_out_abs(select, chosen);
        });
        without.is_some_and(|without| super::same(difference.theirs, &without))
    })
}

/// Replaces the abs() whose bits are set by their arguments; how many there are.
fn leave_out_abs(select: &mut Select, chosen: usize) -> usize {
    let mut number = 0;
    each(select, &mut |select| {
        let mut one = |expr: &Expr| match expr {
            Expr::Call(call) if call.name == "abs" => {
                number += 1;
                let is_chosen = chosen >> (number - 1) & 1 == 1;
                is_chosen.then(|| Expr::Paren(Box::new(call.arguments[0].clone())))
            }
            _ => None,
        };
        for field in &mut select.fields {
            let name = name(&field.expr);
            let before = field.expr.clone();
            replace(&mut field.expr, &mut one);
            if field.alias.is_none() && field.expr != before {
                field.alias = Some(name);
            }
        }
        if let Some(condition) = &mut select.condition {
            replace(condition, &mut one);
        }
    });
    number
}

/// What a column is called: a function, a field, or the names in an expression joined.
pub fn name(expr: &Expr) -> String {
    match expr {
        Expr::Call(call) => call.name.clone(),
        Expr::Reference(reference) => reference.name.clone(),
        Expr::Paren(inner) => name(inner),
        Expr::Binary { left, right, .. } => {
            let names = [name(left), name(right)];
            let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
            names.join("_")
        }
        _ => String::new(),
    }
}

/// SLIMIT and SOFFSET of a subquery: there they mean nothing, or with SOFFSET all of it, or count in
/// each shard: then its series, and rows that are not computed, are among those without them.
pub fn slimit_of_subquery(difference: &Difference<'_>) -> bool {
    let (mut has, mut has_offset, mut depth) = (false, false, 0);
    selects(difference.statement, &mut |select| {
        has |= depth > 0 && (select.slimit > 0 || select.soffset > 0);
        has_offset |= depth > 0 && select.soffset > 0;
        depth += 1;
    });
    if !has || !difference.is_of_rows() {
        return false;
    }
    let without = difference.with(&|select| {
        for source in &mut select.sources {
            if let Source::Subquery(inner) = source {
                each(inner, &mut |inner| (inner.slimit, inner.soffset) = (0, 0));
            }
        }
    });
    if without
        .as_ref()
        .is_some_and(|without| super::same(difference.theirs, without))
    {
        return true;
    }
    if !has_offset {
        let mut is_computed = false;
        selects(difference.statement, &mut |select| {
            is_computed |= computes(select)
        });
        let is_some = |all: &_| super::rows::are_of_series_of(difference.theirs, all, is_computed);
        return without.as_ref().is_some_and(is_some);
    }
    // All of it: the other sources are left.
    let others = difference.with(&|select| {
        each(select, &mut |select| {
            select.sources.retain(|source| match source {
                Source::Subquery(inner) => inner.soffset == 0,
                Source::Measurement(_) => true,
            });
        });
    });
    difference.theirs.get("series").is_none()
        || others.is_some_and(|others| super::same(difference.theirs, &others))
}

/// Replaces what `by` gives something for; what comes out is not looked at again.
fn replace(expr: &mut Expr, by: &mut dyn FnMut(&Expr) -> Option<Expr>) {
    if let Some(other) = by(expr) {
        *expr = other;
        return;
    }
    match expr {
        Expr::Binary { left, right, .. } => {
            replace(left, by);
            replace(right, by);
        }
        Expr::Paren(inner) => replace(inner, by),
        Expr::Call(call) => {
            for argument in &mut call.arguments {
                replace(argument, by);
            }
        }
        _ => {}
    }
}
