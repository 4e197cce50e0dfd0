//! Makes a failing case small: parts of the statement, then points.

use plimsoll_query::ast::{Dimension, Expr, Field, Fill, Select, Source, Statement};

/// The shortest statement of those that this one shrinks to, step by step, while it `fails`.
pub fn statement(query: &str, fails: &mut dyn FnMut(&str) -> bool) -> String {
    let Ok(mut statements) = plimsoll_query::parse(query, &Default::default()) else {
        return query.to_owned();
    };
    let mut text = query.to_owned();
    // One statement of several.
    let mut at = 0;
    while statements.len() > 1 && at < statements.len() {
        let mut fewer = statements.clone();
        fewer.remove(at);
        let shorter: Vec<String> = fewer.iter().map(ToString::to_string).collect();
        let shorter = shorter.join("; ");
        if fails(&shorter) {
            (statements, text) = (fewer, shorter);
        } else {
            at += 1;
        }
    }
    let [Statement::Select(select)] = statements.as_slice() else {
        return text;
    };
    let mut best = (**select).clone();
    let printed = best.to_string();
    if printed != text && !fails(&printed) {
        // What it says depends on how it is written.
        return text;
    }
    while let Some(smaller) = smaller(&best).into_iter().find(|s| fails(&s.to_string())) {
        best = smaller;
    }
    best.to_string()
}

/// The fewest of `points` with which it still `fails`.
pub fn points<P: Clone>(mut points: Vec<P>, fails: &mut dyn FnMut(&[P]) -> bool) -> Vec<P> {
    let mut size = points.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < points.len() {
            let to = (from + size).min(points.len());
            let fewer: Vec<P> = [&points[..from], &points[to..]].concat();
            if fails(&fewer) {
                points = fewer;
            } else {
                from = to;
            }
        }
        size /= 2;
    }
    points
}

/// SELECTs with one part less.
fn smaller(select: &Select) -> Vec<Select> {
    let mut all = Vec::new();
    let mut change = |with: &dyn Fn(&mut Select)| {
        let mut changed = select.clone();
        with(&mut changed);
        if changed != *select {
            all.push(changed);
        }
    };
    for at in 0..select.sources.len() {
        if select.sources.len() > 1 {
            change(&|s| drop(s.sources.remove(at)));
        }
    }
    for at in 0..select.fields.len() {
        if select.fields.len() > 1 {
            change(&|s| drop(s.fields.remove(at)));
        }
    }
    change(&|s| s.limit = 0);
    change(&|s| s.offset = 0);
    change(&|s| s.slimit = 0);
    change(&|s| s.soffset = 0);
    change(&|s| s.timezone = None);
    change(&|s| s.sort.clear());
    change(&|s| s.fill = Fill::Null);
    change(&|s| s.condition = None);
    for at in 0..select.dimensions.len() {
        change(&|s| drop(s.dimensions.remove(at)));
    }
    if let Some(condition) = &select.condition {
        for smaller in smaller_expr(condition) {
            change(&|s| s.condition = Some(smaller.clone()));
        }
    }
    for (at, field) in select.fields.iter().enumerate() {
        if field.alias.is_some() {
            change(&|s| s.fields[at].alias = None);
        }
        for smaller in smaller_expr(&field.expr) {
            let field = Field {
                expr: smaller,
                alias: field.alias.clone(),
            };
            change(&|s| s.fields[at] = field.clone());
        }
    }
    for (at, dimension) in select.dimensions.iter().enumerate() {
        if let Expr::Call(call) = &dimension.expr
            && call.arguments.len() > 1
        {
            let mut call = call.clone();
            call.arguments.truncate(1);
            let dimension = Dimension {
                expr: Expr::Call(call),
            };
            change(&|s| s.dimensions[at] = dimension.clone());
        }
    }
    for (at, source) in select.sources.iter().enumerate() {
        if let Source::Subquery(inner) = source {
            change(&|s| s.sources.clone_from(&inner.sources));
            for smaller in smaller(inner) {
                change(&|s| s.sources[at] = Source::Subquery(Box::new(smaller.clone())));
            }
            change(&|s| s.clone_from(inner));
        }
    }
    all
}

/// Expressions that are a part of this one.
fn smaller_expr(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::Paren(inner) => {
            let mut all = vec![(**inner).clone()];
            all.extend(
                smaller_expr(inner)
                    .into_iter()
                    .map(|e| Expr::Paren(Box::new(e))),
            );
            all
        }
        Expr::Binary { op, left, right } => {
            let mut all = vec![(**left).clone(), (**right).clone()];
            let with = |left: Expr, right: Expr| Expr::Binary {
                op: *op,
                left: Box::new(left),
                right: Box::new(right),
            };
            all.extend(
                smaller_expr(left)
                    .into_iter()
                    .map(|l| with(l, (**right).clone())),
            );
            all.extend(
                smaller_expr(right)
                    .into_iter()
                    .map(|r| with((**left).clone(), r)),
            );
            all
        }
        Expr::Call(call) => {
            let mut all: Vec<Expr> = call.arguments.first().cloned().into_iter().collect();
            for (at, argument) in call.arguments.iter().enumerate() {
                for smaller in smaller_expr(argument) {
                    let mut call = call.clone();
                    call.arguments[at] = smaller;
                    all.push(Expr::Call(call));
                }
            }
            all
        }
        _ => Vec::new(),
    }
}
