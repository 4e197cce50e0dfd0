//! Deviations of which tags, columns and policies are named.

use plimsoll_query::ast::{Cardinality, Expr, Fill, FillNumber, Source, Statement};
use serde_json::Value;

use super::{Difference, error, has_empty_column, rows, same, selects, split};

/// The newest line's columns of SHOW RETENTION POLICIES.
pub fn write_limits(difference: &Difference<'_>) -> bool {
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

/// influxd's index knows the tags and fields that a measurement has anywhere in the database: in
/// other policies, and in shards outside the range. Here they are those of the partitions that are
/// read; the columns that are more there hold nothing.
pub fn names_of_other_shards(difference: &Difference<'_>) -> bool {
    // Fields that `cpu` has in the default policy only: in a WHERE over the other they are no tags there.
    let elsewhere = regex::Regex::new(r"\b(state|up|ticks|rare)\b").unwrap();
    let (mut reads_other, mut asks_elsewhere) = (false, false);
    selects(difference.statement, &mut |select| {
        let in_other = select.sources.iter().any(|source| match source {
            Source::Measurement(measurement) => measurement.policy == "other",
            Source::Subquery(_) => false,
        });
        reads_other |= in_other && select.condition.is_some();
        let condition = select.condition.as_ref().map(ToString::to_string);
        asks_elsewhere |= in_other && condition.is_some_and(|text| elsewhere.is_match(&text));
    });
    if !difference.is_of_rows() {
        // A name that is nothing in the range is a tag there, and goes with no number.
        let theirs = error(difference.theirs);
        let ours = difference.ours;
        return error(ours).is_empty()
            && (ours.get("series").is_none() || has_empty_column(ours))
            && theirs.starts_with("type error: ")
            && theirs.contains("::tag");
    }
    let counts = |result: &Value| {
        let series = rows::by_tags(result).into_values();
        series.map(|rows| rows.len()).collect::<Vec<_>>()
    };
    let (ours, theirs) = (
        without_empty(difference.ours),
        without_empty(difference.theirs),
    );
    // A row of nothing but names that are tags elsewhere is a row on one side only.
    let is_bare = |result: &Value| {
        let columns = rows::columns(result).and_then(Value::as_array);
        columns.is_some_and(|columns| columns.len() < 2)
    };
    let is_none = |result: &Value| result.get("series").is_none();
    if asks_hidden(difference) && rows::are_some_of(&theirs, &ours) {
        return true;
    }
    // A tag that only shards outside the range have is empty there, and nothing here.
    let is_bounded = matches!(difference.statement, Statement::Select(select)
        if split(select).is_some_and(|(_, bounds)| bounds.start.is_some() || bounds.end.is_some()));
    if is_bounded && without_blanks(&ours) == without_blanks(&theirs) {
        return true;
    }
    (reads_other && counts(&ours) == counts(&theirs))
        || (asks_elsewhere && rows::are_some_of(&theirs, &ours))
        || (is_bare(&theirs) && is_none(&ours))
        || (is_bare(&ours) && is_none(&theirs))
        || ours == theirs
        || ours == without_empty(&without_filled(difference))
}

/// Whether a WHERE compares a text that only shards outside of its range have: here that is a tag
/// which no series has.
fn asks_hidden(difference: &Difference<'_>) -> bool {
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    let mut condition = select.condition.clone();
    if !condition.as_mut().is_some_and(rename) {
        return false;
    }
    let renamed = difference.with(&|select| select.condition.clone_from(&condition));
    let is_bounded = split(select).is_some_and(|(rest, bounds)| {
        rest.is_some() && (bounds.start.is_some() || bounds.end.is_some())
    });
    is_bounded && renamed.is_some_and(|renamed| same(difference.ours, &renamed))
}

/// Gives fields that are texts a name that nothing has; answers whether there are some.
fn rename(condition: &mut Expr) -> bool {
    match condition {
        Expr::Reference(reference) if matches!(&*reference.name, "w" | "state") => {
            "nowhere".clone_into(&mut reference.name);
            true
        }
        Expr::Binary { left, right, .. } => {
            let is_left = rename(left);
            rename(right) || is_left
        }
        Expr::Paren(inner) => rename(inner),
        _ => false,
    }
}

/// Their answer without the columns that only they have and that hold nothing but fill()'s number.
fn without_filled(difference: &Difference<'_>) -> Value {
    let Statement::Select(select) = difference.statement else {
        return difference.theirs.clone();
    };
    let number = match select.fill {
        Fill::Number(FillNumber::Integer(number)) => Value::from(number),
        Fill::Number(FillNumber::Float(number)) => Value::from(number),
        _ => return difference.theirs.clone(),
    };
    let own = rows::columns(difference.ours).and_then(Value::as_array);
    let is_own = |name: &Value| own.is_some_and(|own| own.contains(name));
    let mut theirs = difference.theirs.clone();
    for series in theirs["series"].as_array_mut().into_iter().flatten() {
        let columns = series["columns"].as_array().cloned().unwrap_or_default();
        for row in series["values"].as_array_mut().into_iter().flatten() {
            for (name, cell) in columns.iter().zip(row.as_array_mut().unwrap()) {
                if !is_own(name) && *cell == number {
                    *cell = Value::Null;
                }
            }
        }
    }
    theirs
}

/// A result without the tags that are empty.
pub fn without_empty_tags(result: &Value) -> Value {
    let mut result = result.clone();
    for series in result["series"].as_array_mut().into_iter().flatten() {
        if let Some(tags) = series.get_mut("tags").and_then(Value::as_object_mut) {
            tags.retain(|_, value| value != "");
        }
        let tags = series.get("tags").and_then(Value::as_object);
        if tags.is_some_and(serde_json::Map::is_empty) {
            series.as_object_mut().unwrap().remove("tags");
        }
    }
    if result["series"].is_null()
        && let Some(members) = result.as_object_mut()
    {
        members.remove("series");
    }
    result
}

/// A result without the tags and columns that are empty.
pub fn without_empty(result: &Value) -> Value {
    let mut result = without_empty_tags(result);
    let Some(series) = result.get_mut("series").and_then(Value::as_array_mut) else {
        return result;
    };
    for series in series {
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

/// A result with null in place of empty texts.
fn without_blanks(result: &Value) -> Value {
    let mut result = result.clone();
    for series in result["series"].as_array_mut().into_iter().flatten() {
        let rows = series["values"].as_array_mut().into_iter().flatten();
        for cell in rows.filter_map(Value::as_array_mut).flatten() {
            if cell == "" {
                *cell = Value::Null;
            }
        }
    }
    without_empty(&result)
}

/// 1.6.7 forgets series without a tag in an OR of SHOW.
pub fn or_of_missing_tags(difference: &Difference<'_>) -> bool {
    let condition = match difference.statement {
        Statement::ShowTagKeys(show) | Statement::ShowTagValues(show) => &show.condition,
        _ => return false,
    };
    let has_or = |expr: &Expr| expr.to_string().contains(" OR ");
    if !condition.as_ref().is_some_and(has_or) || !difference.is_of_rows() {
        return false;
    }
    // What it names is among what is named without a limit.
    let mut all = difference.statement.clone();
    if let Statement::ShowTagKeys(show) = &mut all {
        (show.limit, show.offset) = (0, 0);
        (show.slimit, show.soffset) = (0, 0);
    }
    if let Statement::ShowTagValues(show) = &mut all {
        (show.limit, show.offset) = (0, 0);
    }
    rows::are_some_of(difference.theirs, &(difference.instead)(&all))
}

/// SHOW in chunks: influxd does not say that another series follows.
pub fn comes_in_unmarked_pieces(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::ShowTagKeys(_) | Statement::ShowTagValues(_)
    )
}

/// SHOW SERIES EXACT CARDINALITY: there a series counts once in each shard.
pub fn series_by_shard(difference: &Difference<'_>) -> bool {
    let Statement::ShowCardinality {
        of: Cardinality::Series,
        ..
    } = difference.statement
    else {
        return false;
    };
    let count = |series: &Value| series.pointer("/values/0/0").and_then(Value::as_u64);
    let all = |result: &Value| result["series"].as_array().cloned().unwrap_or_default();
    let (ours, theirs) = (all(difference.ours), all(difference.theirs));
    ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(|(ours, theirs)| {
            ours["name"] == theirs["name"]
                && ours["columns"] == theirs["columns"]
                && count(ours) <= count(theirs)
        })
}
