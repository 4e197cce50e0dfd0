//! Where an answer may differ from influxd 1.6.7: the table of docs/influxql.md as predicates.

use jiff::tz::TimeZone;
use plimsoll_engine::Timestamp;
use plimsoll_query::ast::{Expr, Fill, Select, Source, Statement};
use plimsoll_query::condition;
use serde_json::Value;

use super::case::{each_select, measurements};

/// Two results of one statement that are not equal.
pub struct Difference<'a> {
    pub statement: &'a Statement,
    pub ours: &'a Value,
    pub theirs: &'a Value,
}

type Deviation = (&'static str, fn(&Difference<'_>) -> bool);

const DEVIATIONS: &[Deviation] = &[
    ("internal names", internal_names),
    ("three digits", three_digits),
    ("write limits", write_limits),
    ("no window before", no_window_before),
    ("ties", ties),
    ("rows of subqueries", rows_of_subqueries),
    ("neighbours of ties", neighbours_of_ties),
    ("digits of mathematics", digits_of_mathematics),
    ("offset without limit", offset_without_limit),
    ("mathematics over a subquery", mathematics_over_subquery),
    ("abs of integers", abs_of_integers),
    ("series of a subquery", series_of_subquery),
    ("inexact sums", inexact_sums),
    ("names of other shards", names_of_other_shards),
    ("order of integrals", order_of_integrals),
    ("a type where there is no point", type_without_points),
    ("limit of ties", limit_of_ties),
    ("rows before the range", rows_before_the_range),
    ("a percentile that is none", percentile_of_none),
    ("distinct from the end", distinct_from_the_end),
    ("tags of SHOW", or_of_missing_tags),
    ("a type that nothing is read of", unread_type),
    ("series without rows", series_without_rows),
    ("a source without the argument", source_without_argument),
    ("order of sums", order_of_sums),
];

/// The deviation that explains a difference.
pub fn name(difference: &Difference<'_>) -> Option<&'static str> {
    DEVIATIONS
        .iter()
        .find(|(_, explains)| explains(difference))
        .map(|(name, _)| *name)
}

/// The deviation that explains a difference of whole bodies.
pub fn of_request(_query: &str, _parses: bool, ours: &str, theirs: &str) -> Option<&'static str> {
    if theirs.contains("unsupported value: ") && !theirs.starts_with('{') && ours.contains("null") {
        return Some("not finite");
    }
    None
}

fn error(result: &Value) -> &str {
    result["error"].as_str().unwrap_or_default()
}

fn internal_names(difference: &Difference<'_>) -> bool {
    let theirs = error(difference.theirs);
    !error(difference.ours).is_empty()
        && ["*query.", "*influxql.", "[panic:"]
            .iter()
            .any(|name| theirs.contains(name))
}

/// 1.6.7 forgets the error of a statement that others follow, and the last of these.
pub fn forgets_an_error(ours: &[Value], theirs: &[Value]) -> Option<usize> {
    let failed = ours.iter().position(|result| !error(result).is_empty())?;
    let is_so = ours.len() > failed + 1
        && ours[failed + 1..]
            .iter()
            .all(|result| error(result) == "not executed")
        && theirs.len() == failed + 1
        && error(&theirs[failed]) == "not executed";
    is_so.then_some(failed)
}

/// 1.6.7 prints a float of a statement with three digits.
fn three_digits(difference: &Difference<'_>) -> bool {
    let (ours, theirs) = (error(difference.ours), error(difference.theirs));
    let number = regex::Regex::new(r"[0-9]+\.[0-9]+").unwrap();
    let cut = number.replace_all(ours, |found: &regex::Captures<'_>| {
        format!("{:.3}", found[0].parse::<f64>().unwrap())
    });
    !ours.is_empty() && cut == theirs
}

/// The newest line's columns of SHOW RETENTION POLICIES.
fn write_limits(difference: &Difference<'_>) -> bool {
    if !matches!(
        difference.statement,
        Statement::ShowRetentionPolicies { .. }
    ) {
        return false;
    }
    let mut ours = difference.ours.clone();
    let Some(series) = ours.pointer_mut("/series/0") else {
        return false;
    };
    let rows = series["values"].as_array_mut().unwrap().iter_mut();
    for row in rows.filter_map(Value::as_array_mut) {
        row.drain(5..7);
    }
    series["columns"].as_array_mut().unwrap().drain(5..7);
    ours == *difference.theirs
}

/// Before the earliest time there is no window: influxd's sum wraps, and it answers nothing.
fn no_window_before(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let split = condition::split(select.condition.as_ref(), Timestamp(0), &TimeZone::UTC);
        let is_open = split.is_ok_and(|(_, bounds)| bounds.start.is_none());
        let reads_before = |select: &Select| {
            let mut fields = select.fields.iter();
            fields.any(|field| has_nested_call(&field.expr) || is_over_points(&field.expr))
        };
        has |= is_open && reads_before(select);
    });
    has && difference.theirs.get("series").is_none() && error(difference.theirs).is_empty()
}

fn has_nested_call(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => match call.arguments.first() {
            Some(Expr::Call(_)) => call.name != "count",
            _ => false,
        },
        Expr::Binary { left, right, .. } => has_nested_call(left) || has_nested_call(right),
        Expr::Paren(inner) => has_nested_call(inner),
        _ => false,
    }
}

/// Rows of a subquery that groups by tags, and not by time: 1.6.7 answers series after series, the
/// newest line and we by time.
fn rows_of_subqueries(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select.sources.iter().any(|source| match source {
            Source::Subquery(inner) => !inner.dimensions.is_empty(),
            Source::Measurement(_) => false,
        });
    });
    has && same_but_for_order(difference)
}

const NEIGHBOURS: &[&str] = &[
    "derivative",
    "non_negative_derivative",
    "difference",
    "non_negative_difference",
    "cumulative_sum",
    "moving_average",
    "elapsed",
    "integral",
];

/// A function of neighbours over series that have points at one time, where the order of these is
/// a heap's there: times are the same, values are not.
fn neighbours_of_ties(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let reads_ties = measurements(select)
            .iter()
            .any(|measurement| measurement.has_ties);
        has |= reads_ties
            && select
                .fields
                .iter()
                .any(|field| is_over_points(&field.expr));
    });
    has && times(difference.ours) == times(difference.theirs)
}

fn is_over_points(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => match call.arguments.first() {
            Some(Expr::Reference(_) | Expr::Wildcard(_) | Expr::Regex(_)) => {
                NEIGHBOURS.contains(&call.name.as_str())
            }
            Some(inner) => is_over_points(inner),
            None => false,
        },
        Expr::Binary { left, right, .. } => is_over_points(left) || is_over_points(right),
        Expr::Paren(inner) => is_over_points(inner),
        _ => false,
    }
}

/// A result with the times of its rows only.
fn times(result: &Value) -> Value {
    let mut times = result.clone();
    if let Some(series) = times.get_mut("series").and_then(Value::as_array_mut) {
        for series in series {
            if let Some(rows) = series.get_mut("values").and_then(Value::as_array_mut) {
                rows.iter_mut().for_each(|row| *row = row[0].take());
            }
        }
    }
    times
}

const MATHEMATICS: &[&str] = &[
    "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "exp", "ln", "log", "log2", "log10",
    "pow",
];

/// The last digits of functions that are another machine's there: floats differ by their last digit.
fn digits_of_mathematics(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, MATHEMATICS));
    });
    has && is_close(difference.ours, difference.theirs)
}

/// Whether two values are equal but for the last digits of floats.
fn is_close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 4.0 * f64::EPSILON * a.abs().max(b.abs()).max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_close(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut pairs = a.iter().zip(b);
            a.len() == b.len() && pairs.all(|((k, a), (l, b))| k == l && is_close(a, b))
        }
        _ => a == b,
    }
}

/// Whether an expression calls one of these functions.
fn calls(expr: &Expr, names: &[&str]) -> bool {
    match expr {
        Expr::Call(call) => {
            names.contains(&call.name.as_str()) || call.arguments.iter().any(|a| calls(a, names))
        }
        Expr::Binary { left, right, .. } => calls(left, names) || calls(right, names),
        Expr::Paren(inner) => calls(inner, names),
        _ => false,
    }
}

/// OFFSET without LIMIT: influxd leaves rows out behind the first.
fn offset_without_limit(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select.offset > 0 && select.limit == 0
    });
    has && error(difference.ours).is_empty() && error(difference.theirs).is_empty()
}

/// A function per row in WHERE over a subquery: influxd does not compute it, and takes no row.
fn mathematics_over_subquery(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let reads_rows = select
            .sources
            .iter()
            .any(|source| matches!(source, Source::Subquery(_)));
        let condition = select.condition.as_ref();
        let calls = condition.is_some_and(|c| calls(c, MATHEMATICS) || calls(c, &["abs"]));
        has |= reads_rows && calls;
    });
    has && error(difference.theirs).is_empty()
}

/// abs() of an integer is wrong in 1.6.7.
fn abs_of_integers(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, &["abs"]));
        has |= select
            .condition
            .as_ref()
            .is_some_and(|c| calls(c, &["abs"]));
    });
    has && error(difference.theirs).is_empty() && error(difference.ours).is_empty()
}

/// SHOW in chunks: influxd does not say that another series follows.
pub fn comes_in_unmarked_pieces(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::ShowTagKeys(_) | Statement::ShowTagValues(_)
    )
}

/// LIMIT, OFFSET and fill() of a subquery that groups by tags: there they start again whenever the
/// rows of its series take turns. SLIMIT and SOFFSET mean its series; there they mean nothing.
fn series_of_subquery(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let outer_groups = !select.dimensions.is_empty();
        has |= select.sources.iter().any(|source| match source {
            Source::Subquery(inner) => {
                let has_tags = |select: &Select| {
                    let mut all = select.dimensions.iter();
                    all.any(|dimension| !matches!(dimension.expr, Expr::Call(_)))
                };
                let is_cut = inner.limit > 0 || inner.offset > 0;
                let is_filled = !matches!(inner.fill, Fill::Null | Fill::None);
                let has_several = inner.fields.len() > 1
                    && inner.fields.iter().any(|field| is_over_points(&field.expr));
                inner.slimit > 0
                    || inner.soffset > 0
                    || (has_several && has_tags(inner))
                    || ((is_cut || is_filled) && (has_tags(inner) || outer_groups))
            }
            Source::Measurement(_) => false,
        });
    });
    has && error(difference.ours).is_empty() && error(difference.theirs).is_empty()
}

const SUMS: &[&str] = &[
    "sum",
    "mean",
    "stddev",
    "integral",
    "spread",
    "cumulative_sum",
    "moving_average",
    "derivative",
    "difference",
    "non_negative_derivative",
    "non_negative_difference",
    "holt_winters",
    "holt_winters_with_fit",
    "median",
];

/// Sums of numbers at the ends of their types depend on the order in which they are added: there it
/// is that of shards, and of a heap. All else is the same.
fn inexact_sums(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let is_inexact = measurements(select)
            .iter()
            .any(|measurement| measurement.is_inexact);
        has |= is_inexact && select.fields.iter().any(|field| calls(&field.expr, SUMS));
    });
    has && without_numbers(difference.ours) == without_numbers(difference.theirs)
}

/// A result whose rows have their times, and nothing in place of other numbers.
fn without_numbers(result: &Value) -> Value {
    let mut result = result.clone();
    let Some(series) = result.get_mut("series").and_then(Value::as_array_mut) else {
        return result;
    };
    let rows = series
        .iter_mut()
        .filter_map(|series| series.get_mut("values"));
    for row in rows.filter_map(Value::as_array_mut).flatten() {
        let cells = row.as_array_mut().unwrap();
        for cell in cells.iter_mut().skip(1).filter(|cell| cell.is_number()) {
            *cell = Value::Null;
        }
    }
    result
}

/// influxd's index knows the tags and fields that a measurement has anywhere in the database: in
/// other policies, and in shards outside the range. Here they are those of the partitions that are
/// read; the columns that are more there hold nothing.
fn names_of_other_shards(difference: &Difference<'_>) -> bool {
    let mut reads_other = false;
    selects(difference.statement, &mut |select| {
        let in_other = select.sources.iter().any(|source| match source {
            Source::Measurement(measurement) => measurement.policy == "other",
            Source::Subquery(_) => false,
        });
        reads_other |= in_other && select.condition.is_some();
    });
    let is_error = !error(difference.ours).is_empty() || !error(difference.theirs).is_empty();
    if is_error {
        return false;
    }
    reads_other || without_empty(difference.ours) == without_empty(difference.theirs)
}

/// A result without the tags and columns that are empty.
fn without_empty(result: &Value) -> Value {
    let mut result = result.clone();
    let Some(series) = result.get_mut("series").and_then(Value::as_array_mut) else {
        return result;
    };
    for series in series {
        if let Some(tags) = series.get_mut("tags").and_then(Value::as_object_mut) {
            tags.retain(|_, value| value != "");
        }
        if series["tags"]
            .as_object()
            .is_some_and(serde_json::Map::is_empty)
        {
            series["tags"].take();
        }
        let count = series["columns"].as_array().map_or(0, Vec::len);
        let Some(rows) = series["values"].as_array().cloned() else {
            continue;
        };
        let is_kept = |at: &usize| rows.iter().any(|row| !row[*at].is_null());
        let kept: Vec<usize> = (0..count).filter(is_kept).collect();
        let pick = |row: &Value| kept.iter().map(|at| row[*at].clone()).collect::<Value>();
        let columns = pick(&series["columns"]);
        series["columns"] = columns;
        series["values"] = rows.iter().map(pick).collect();
    }
    result
}

/// integral() GROUP BY: influxd answers its series in random order.
fn order_of_integrals(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, &["integral"]));
    });
    let sorted = |result: &Value| {
        let mut result = result.clone();
        if let Some(series) = result.get_mut("series").and_then(Value::as_array_mut) {
            series.sort_by_cached_key(|series| series["tags"].to_string());
        }
        result
    };
    let several = |select: &Select| !select.dimensions.is_empty();
    let mut is_joined = false;
    selects(difference.statement, &mut |select| {
        let beside =
            select.fields.len() > 1 || matches!(select.fields[0].expr, Expr::Binary { .. });
        is_joined |= several(select) && beside;
    });
    let is_error = !error(difference.ours).is_empty() || !error(difference.theirs).is_empty();
    // What stands beside an integral is joined with the series that comes by chance.
    has && !is_error && (is_joined || sorted(difference.ours) == sorted(difference.theirs))
}

/// A function on a field of a type that it does not take, where no series has a point in the range:
/// refused there for what the shard holds outside of it, empty here.
fn type_without_points(difference: &Difference<'_>) -> bool {
    let theirs = error(difference.theirs);
    theirs.starts_with("unsupported ")
        && theirs.contains(" iterator type: *query.")
        && error(difference.ours).is_empty()
        && difference.ours.get("series").is_none()
}

/// What LIMIT and OFFSET cut off of rows of one time.
fn limit_of_ties(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let reads_ties = measurements(select)
            .iter()
            .any(|measurement| measurement.has_ties);
        has |= reads_ties && (select.limit > 0 || select.offset > 0);
    });
    has && times(difference.ours) == times(difference.theirs)
}

/// Rows of a subquery whose window began before the range of the query around it: there a function
/// without windows answers nothing then.
fn rows_before_the_range(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let is_windowed = |select: &Select| {
            let mut all = select.dimensions.iter();
            all.any(|dimension| matches!(dimension.expr, Expr::Call(_)))
        };
        let below = select.sources.iter().any(|source| match source {
            Source::Subquery(inner) => is_windowed(inner),
            Source::Measurement(_) => false,
        });
        has |= below && !is_windowed(select) && plimsoll_query::check::has_call(select);
    });
    has && error(difference.theirs).is_empty() && difference.theirs.get("series").is_none()
}

/// percentile() by windows: influxd ends at the first window that has none.
fn percentile_of_none(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, &["percentile"]));
    });
    let rows = |result: &Value| {
        let series = result["series"].as_array().into_iter().flatten();
        series
            .map(|series| series["values"].as_array().map_or(0, Vec::len))
            .sum::<usize>()
    };
    let is_error = !error(difference.ours).is_empty() || !error(difference.theirs).is_empty();
    has && !is_error && rows(difference.theirs) <= rows(difference.ours)
}

/// SLIMIT and SOFFSET: there they count series without rows, too.
fn series_without_rows(difference: &Difference<'_>) -> bool {
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    let is_error = !error(difference.ours).is_empty() || !error(difference.theirs).is_empty();
    let count = |result: &Value| result["series"].as_array().map_or(0, Vec::len);
    select.slimit > 0 && !is_error && count(difference.theirs) <= count(difference.ours)
}

/// A call over several sources of which a subquery lacks its argument: influxd drops all of them.
fn source_without_argument(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let has_subquery = select
            .sources
            .iter()
            .any(|source| matches!(source, Source::Subquery(_)));
        has |= select.sources.len() > 1 && has_subquery && plimsoll_query::check::has_call(select);
    });
    has && error(difference.theirs).is_empty() && difference.theirs.get("series").is_none()
}

/// Functions that add floats up: there in the order of shards and of a heap.
fn order_of_sums(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, &["stddev", "mean", "integral"]));
    });
    has && is_close(difference.ours, difference.theirs)
}

/// distinct() in a descending query: 1.6.7 reads from the start, the newest line from the end.
fn distinct_from_the_end(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, &["distinct"]));
    });
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    has && !select.is_ascending() && times(difference.ours) == times(difference.theirs)
}

/// 1.6.7 forgets series without a tag in an OR of SHOW.
fn or_of_missing_tags(difference: &Difference<'_>) -> bool {
    let condition = match difference.statement {
        Statement::ShowTagKeys(show) | Statement::ShowTagValues(show) => &show.condition,
        _ => return false,
    };
    let has_or = |expr: &Expr| expr.to_string().contains(" OR ");
    let is_error = !error(difference.ours).is_empty() || !error(difference.theirs).is_empty();
    condition.as_ref().is_some_and(has_or) && !is_error
}

/// A function on a column whose type it does not take, in a subquery of which only a column without
/// a type is read: influxd does not notice.
fn unread_type(difference: &Difference<'_>) -> bool {
    error(difference.ours).contains("() is not supported on a field of type ")
        && error(difference.theirs).is_empty()
        && difference.theirs.get("series").is_none()
}

fn selects<'a>(statement: &'a Statement, visit: &mut dyn FnMut(&'a Select)) {
    if let Statement::Select(select) | Statement::Explain { select, .. } = statement {
        each_select(select, visit);
    }
}

fn ties(difference: &Difference<'_>) -> bool {
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    if !measurements(select)
        .iter()
        .any(|measurement| measurement.has_ties)
    {
        return false;
    }
    same_but_for_order(difference)
}

fn same_but_for_order(difference: &Difference<'_>) -> bool {
    let (mut ours, mut theirs) = (difference.ours.clone(), difference.theirs.clone());
    sort_ties(&mut ours);
    sort_ties(&mut theirs);
    ours == theirs
}

/// Sorts rows of one time by their text.
fn sort_ties(result: &mut Value) {
    let Some(series) = result.get_mut("series").and_then(Value::as_array_mut) else {
        return;
    };
    for series in series {
        if let Some(rows) = series.get_mut("values").and_then(Value::as_array_mut) {
            rows.sort_by_cached_key(|row| (row[0].to_string(), row.to_string()));
        }
    }
}
