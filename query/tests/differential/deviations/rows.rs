//! Deviations of which rows there are: what is left can be compared.

use std::collections::BTreeMap;

use plimsoll_query::ast::{Expr, Fill, MeasurementName, Select, Source, Statement};
use serde_json::Value;

use super::super::case::measurements;
use super::{Difference, calls, rewritten, selects, without_numbers};

/// The rows of each series, by its name, tags and columns; pieces of one series are joined.
pub fn by_tags(result: &Value) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for series in result["series"].as_array().into_iter().flatten() {
        let key = format!("{}{}{}", series["name"], series["tags"], series["columns"]);
        let rows = series["values"].as_array().into_iter().flatten();
        all.entry(key)
            .or_default()
            .extend(rows.map(Value::to_string));
    }
    all
}

/// The columns of the first series.
pub fn columns(result: &Value) -> Option<&Value> {
    result.pointer("/series/0/columns")
}

/// Whether all rows of a result are, as often as there, among those of another.
pub fn are_some_of(some: &Value, all: &Value) -> bool {
    let mut all = by_tags(all);
    by_tags(some).into_iter().all(|(series, rows)| {
        let Some(all) = all.get_mut(&series) else {
            return false;
        };
        rows.iter().all(|row| {
            let at = all.iter().position(|there| there == row);
            at.map(|at| all.swap_remove(at)).is_some()
        })
    })
}

/// Whether all series of a result are among those of another, and all of its rows, too, unless they
/// are computed.
pub fn are_of_series_of(some: &Value, all: &Value, is_computed: bool) -> bool {
    if !is_computed {
        return are_some_of(some, all);
    }
    let all = by_tags(all);
    by_tags(some).keys().all(|series| all.contains_key(series))
}

/// Puts the points that top() and bottom() of a SELECT choose from in their place.
pub fn choose_none(select: &mut Select) {
    for field in &mut select.fields {
        if let Expr::Call(call) = &field.expr
            && matches!(&*call.name, "top" | "bottom")
        {
            field.alias.get_or_insert_with(|| call.name.clone());
            field.expr = call.arguments[0].clone();
        }
    }
}

/// first() and last() of points of one time: the first that a heap gives, there. Alone, or with names
/// beside it, it is one of the points; beside others all but its values is the same.
pub fn first_of_ties(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let mut fields = select.fields.iter();
        let reads_ties = measurements(select).iter().any(|known| known.has_ties);
        has |= reads_ties && fields.any(|field| calls(&field.expr, &["first", "last"]));
    });
    if !has || !difference.is_of_rows() {
        return false;
    }
    let is_chosen = |expr: &Expr| matches!(expr, Expr::Call(call) if call.name != "count");
    let is_plain = matches!(difference.statement, Statement::Select(select)
        if select.fields.iter().filter(|field| is_chosen(&field.expr)).count() == 1
            && select.fields.iter().all(|field| {
                is_chosen(&field.expr) || matches!(field.expr, Expr::Reference(_))
            })
            && select.sources.iter().all(|s| matches!(s, Source::Measurement(_)))
            && select.dimensions.iter().all(|d| !matches!(d.expr, Expr::Call(_))));
    if !is_plain {
        return without_numbers(difference.ours) == without_numbers(difference.theirs);
    }
    let points = difference.with(&|select| {
        for field in &mut select.fields {
            if let Expr::Call(call) = &field.expr {
                field.alias.get_or_insert_with(|| call.name.clone());
                field.expr = call.arguments[0].clone();
            }
        }
    });
    points.is_some_and(|points| are_some_of(difference.theirs, &points))
}

/// top() and bottom() in a descending query: in 1.6.7 their points ascend in each window, on the newest
/// line they descend. Where LIMIT or a query around them goes by that, columns are the same.
pub fn top_from_the_end(difference: &Difference<'_>) -> bool {
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    let (mut has, mut is_cut, mut is_nested) = (false, false, false);
    selects(difference.statement, &mut |below| {
        let mut fields = below.fields.iter();
        let is_so = fields.any(|field| calls(&field.expr, &["top", "bottom"]));
        has |= is_so;
        is_nested |= is_so && !std::ptr::eq(below, &raw const **select);
        is_cut |= below.limit > 0 || below.offset > 0;
    });
    if !has || select.is_ascending() || !difference.is_of_rows() {
        return false;
    }
    if is_cut || is_nested {
        return columns(difference.theirs)
            .is_none_or(|theirs| columns(difference.ours).is_none_or(|ours| ours == theirs));
    }
    if select.fill == Fill::Previous {
        // What is missing beside a point is that of the one before it, which is another.
        return points(difference.theirs) == points(difference.ours);
    }
    are_some_of(difference.theirs, difference.ours)
        && are_some_of(difference.ours, difference.theirs)
}

/// Times and first values of all rows, in their order.
fn points(result: &Value) -> Vec<String> {
    let series = result["series"].as_array().into_iter().flatten();
    let points = series.flat_map(|series| {
        let rows = series["values"].as_array().into_iter().flatten();
        rows.map(move |row| format!("{} {} {}", series["tags"], row[0], row[1]))
    });
    let mut points: Vec<String> = points.collect();
    points.sort_unstable();
    points
}

/// top(f, n) and bottom(f, n) with LIMIT: there it cuts the points that they choose from, too.
pub fn limit_of_top(difference: &Difference<'_>) -> bool {
    let is_so = |select: &Select| {
        let is_cut = select.limit > 0 || select.offset > 0;
        let mut fields = select.fields.iter();
        is_cut
            && fields.any(|field| {
                matches!(&field.expr, Expr::Call(call)
                if matches!(&*call.name, "top" | "bottom") && call.arguments.len() == 2)
            })
    };
    let mut has = false;
    selects(difference.statement, &mut |select| has |= is_so(select));
    if !has || !difference.is_of_rows() {
        return false;
    }
    let is_flat = matches!(difference.statement, Statement::Select(select)
        if is_so(select) && select.sources.iter().all(|s| matches!(s, Source::Measurement(_))));
    if !is_flat {
        return columns(difference.theirs)
            .is_none_or(|theirs| columns(difference.ours).is_none_or(|ours| ours == theirs));
    }
    // Its rows are points of the field.
    let points = difference.with(&|select| {
        (select.limit, select.offset) = (0, 0);
        choose_none(select);
        select
            .dimensions
            .retain(|dimension| !matches!(dimension.expr, Expr::Call(_)));
    });
    points.is_some_and(|points| are_some_of(difference.theirs, &points))
}

/// top(f, k, n) by a name that is a tag and a field: there it tells points apart by the tag, and
/// answers the field. Columns are the same.
pub fn top_by_field(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let reads_both = select.sources.iter().any(|source| match source {
            Source::Measurement(measurement) => match &measurement.name {
                MeasurementName::Name(name) => name == "clash",
                _ => true,
            },
            Source::Subquery(_) => false,
        });
        let mut fields = select.fields.iter();
        has |= reads_both
            && fields.any(|field| match &field.expr {
                Expr::Call(call) if matches!(&*call.name, "top" | "bottom") => {
                    let mut by = call.arguments.iter().skip(1);
                    by.any(|by| {
                        matches!(by, Expr::Reference(reference)
                        if matches!(&*reference.name, "host" | "v"))
                    })
                }
                _ => false,
            });
    });
    has && difference.is_of_rows() && columns(difference.ours) == columns(difference.theirs)
}

/// top(x, tag, n) over a subquery that does not answer the tag: there points are still told apart by
/// it, though its column is empty.
pub fn top_by_hidden_tag(difference: &Difference<'_>) -> bool {
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    let is_over_subqueries = select
        .sources
        .iter()
        .all(|source| matches!(source, Source::Subquery(_)));
    let has = select.fields.iter().any(|field| {
        matches!(&field.expr, Expr::Call(call)
            if matches!(&*call.name, "top" | "bottom") && call.arguments.len() > 2)
    });
    let has_empty = |result: &Value| super::errors::has_empty_column(result);
    has && is_over_subqueries
        && difference.is_of_rows()
        && has_empty(difference.ours)
        && has_empty(difference.theirs)
        && are_some_of(&chosen(difference.ours), &chosen(difference.theirs))
}

/// A result of top() without what stands beside its times and values.
pub fn chosen(result: &Value) -> Value {
    let mut result = result.clone();
    for series in result["series"].as_array_mut().into_iter().flatten() {
        let columns = series["columns"].as_array_mut();
        columns.into_iter().for_each(|columns| columns.truncate(2));
        let rows = series["values"].as_array_mut().into_iter().flatten();
        for row in rows.filter_map(Value::as_array_mut) {
            row.truncate(2);
        }
    }
    result
}

/// mode() of a window in which several values are equally frequent: which one it is depends there on
/// how an unstable sort leaves them. All other cells are the same.
pub fn mode_of_ties(difference: &Difference<'_>) -> bool {
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, &["mode"]));
    });
    if !has || !difference.is_of_rows() {
        return false;
    }
    let is_flat = select
        .sources
        .iter()
        .all(|source| matches!(source, Source::Measurement(_)));
    if !is_flat {
        return columns(difference.ours) == columns(difference.theirs);
    }
    let modes: Vec<usize> = (1..)
        .zip(&select.fields)
        .filter(|(_, field)| calls(&field.expr, &["mode"]))
        .map(|(at, _)| at)
        .collect();
    let has_wildcard = select.to_string().contains('*') || select.to_string().contains("(/");
    let without = |result: &Value| {
        let mut result = result.clone();
        for series in result["series"].as_array_mut().into_iter().flatten() {
            let rows = series["values"].as_array_mut().into_iter().flatten();
            for row in rows.filter_map(Value::as_array_mut) {
                for (at, cell) in row.iter_mut().enumerate().skip(1) {
                    if has_wildcard || modes.contains(&at) {
                        *cell = Value::Bool(true);
                    }
                }
            }
        }
        result
    };
    without(difference.ours) == without(difference.theirs)
}

/// percentile() where several points have its value: which of them it is, and so its time and what
/// stands beside it, depends there on an unstable sort. It is one of the points.
pub fn percentile_of_equals(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let mut dimensions = select.dimensions.iter();
        let is_windowed = dimensions.any(|d| matches!(d.expr, Expr::Call(_)));
        let mut fields = select.fields.iter();
        let has_columns = select.fields.len() > 1 || !is_windowed;
        has |= has_columns && fields.any(|field| calls(&field.expr, &["percentile"]));
    });
    if !has || !difference.is_of_rows() {
        return false;
    }
    let is_plain = matches!(difference.statement, Statement::Select(select)
        if select.sources.iter().all(|s| matches!(s, Source::Measurement(_)))
            && select.dimensions.iter().all(|d| !matches!(d.expr, Expr::Call(_))));
    if !is_plain {
        return columns(difference.ours) == columns(difference.theirs);
    }
    let points = difference.with(&|select| {
        // A limit is one of results, not of the points that they are chosen from.
        (select.limit, select.offset) = (0, 0);
        for field in &mut select.fields {
            if calls(&field.expr, &["percentile"]) {
                let name = rewritten::name(&field.expr);
                unwrap(&mut field.expr);
                field.alias.get_or_insert(name);
            }
        }
    });
    points.is_some_and(|points| are_some_of(difference.theirs, &points))
}

/// Puts the argument of percentile() in its place.
fn unwrap(expr: &mut Expr) {
    match expr {
        Expr::Call(call) if call.name == "percentile" => {
            let argument = call.arguments[0].clone();
            *expr = argument;
        }
        Expr::Call(call) => call.arguments.iter_mut().for_each(unwrap),
        Expr::Binary { left, right, .. } => {
            unwrap(left);
            unwrap(right);
        }
        Expr::Paren(inner) => unwrap(inner),
        _ => {}
    }
}

/// A function without windows over a subquery's forecasts, which lie behind the range: there they do not
/// count. Columns are the same.
pub fn behind_the_range(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let mut sources = select.sources.iter();
        let forecasts = sources.any(|source| match source {
            Source::Subquery(inner) => inner
                .fields
                .iter()
                .any(|f| calls(&f.expr, &["holt_winters", "holt_winters_with_fit"])),
            Source::Measurement(_) => false,
        });
        let mut dimensions = select.dimensions.iter();
        let is_windowed = dimensions.any(|d| matches!(d.expr, Expr::Call(_)));
        has |= forecasts && !is_windowed && plimsoll_query::check::has_call(select);
    });
    let theirs = columns(difference.theirs);
    has && difference.is_of_rows()
        && theirs.is_none_or(|theirs| columns(difference.ours) == Some(theirs))
}
