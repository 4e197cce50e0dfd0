//! Whether two answers are the same bytes, and where they may differ.

use plimsoll_query::ast::Statement;
use serde_json::Value;

use super::deviations::{self, Difference};

/// How two answers compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The same bytes.
    Same,
    /// Each difference is one of docs/influxql.md; its name.
    Deviation(&'static str),
    /// Not so.
    Different,
}

/// Compares the answers of a request; `again` gives our body for another one.
pub fn compare(
    query: &str,
    ours: &str,
    theirs: Option<&str>,
    again: &dyn Fn(&str) -> String,
) -> Verdict {
    let Some(theirs) = theirs else {
        return Verdict::Deviation("influxd breaks off");
    };
    if ours == theirs {
        return Verdict::Same;
    }
    // An answer of more rows than a chunk says there that more follow, though none do.
    const CHUNK_ROWS: usize = 10_000;
    let without = |body: &str| body.replace(",\"partial\":true", "");
    if theirs.matches("],[").count() >= CHUNK_ROWS && without(ours) == without(theirs) {
        return Verdict::Deviation("a long answer");
    }
    let statements = plimsoll_query::parse(query, &Default::default());
    if let Some(name) = deviations::of_request(ours, theirs) {
        return Verdict::Deviation(name);
    }
    let Ok(statements) = statements else {
        return Verdict::Different;
    };
    let is_broken = theirs.contains("unsupported value: ") && !theirs.starts_with('{');
    let Some(ours) = results(ours) else {
        return Verdict::Different;
    };
    let mut ours = whole(ours);
    let mut theirs = match results(theirs) {
        Some(theirs) => whole(theirs),
        // A number that is not finite, and is finite in ours: numbers must be what deviates.
        None if is_broken => ours.iter().map(deviations::without_numbers).collect(),
        None => return Verdict::Different,
    };
    let instead = |statement: &Statement| {
        let results = results(&again(&statement.to_string()));
        let first = whole(results.unwrap_or_default()).into_iter().next();
        first.unwrap_or_default()
    };
    let mut found = Verdict::Different;
    if let Some(failed) = deviations::forgets_an_error(&ours, &theirs) {
        ours.truncate(failed);
        theirs.truncate(failed);
        found = Verdict::Deviation("an error before others");
    }
    if ours.len() != theirs.len() {
        return Verdict::Different;
    }
    for (ours, theirs) in ours.iter().zip(&theirs) {
        if ours == theirs {
            continue;
        }
        let id = ours["statement_id"].as_u64().unwrap_or(0);
        let Some(statement) = usize::try_from(id).ok().and_then(|id| statements.get(id)) else {
            return Verdict::Different;
        };
        let difference = Difference {
            statement,
            ours,
            theirs,
            instead: &instead,
        };
        match deviations::name(&difference) {
            // One side refuses it: what follows is run on the other side only.
            Some(name) if ours.get("error").is_some() != theirs.get("error").is_some() => {
                return Verdict::Deviation(name);
            }
            Some(name) => found = Verdict::Deviation(name),
            None => return Verdict::Different,
        }
    }
    if found == Verdict::Different && statements.iter().any(deviations::comes_in_unmarked_pieces) {
        return Verdict::Deviation("pieces of names");
    }
    found
}

/// The results with the pieces of each statement joined.
fn whole(results: Vec<Value>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for mut result in results {
        if let Some(before) = all.last_mut()
            && before["statement_id"] == result["statement_id"]
        {
            let pieces = match result["series"].take() {
                Value::Array(pieces) => pieces,
                _ => Vec::new(),
            };
            for mut piece in pieces {
                let series = before["series"].as_array_mut();
                let is_open = |series: &Value| series.get("partial") == Some(&Value::Bool(true));
                match series.and_then(|series| series.last_mut()) {
                    Some(open) if is_open(open) => {
                        let rows = piece["values"].take();
                        let rows = rows.as_array().cloned().unwrap_or_default();
                        open["values"].as_array_mut().unwrap().extend(rows);
                        open["partial"] = piece["partial"].take();
                    }
                    _ => {
                        if !before["series"].is_array() {
                            before["series"] = Value::Array(Vec::new());
                        }
                        before["series"].as_array_mut().unwrap().push(piece);
                    }
                }
            }
            if let Some(error) = result.get("error") {
                before["error"] = error.clone();
            }
        } else {
            all.push(result);
        }
    }
    for result in &mut all {
        if let Some(members) = result.as_object_mut() {
            members.remove("partial");
        }
        for series in result["series"].as_array_mut().into_iter().flatten() {
            if let Some(members) = series.as_object_mut() {
                members.remove("partial");
            }
        }
        if result["series"].is_null()
            && let Some(members) = result.as_object_mut()
        {
            members.remove("series");
        }
    }
    all
}

/// The results of a body, or of each of its lines.
fn results(body: &str) -> Option<Vec<Value>> {
    let mut all = Vec::new();
    for line in body.lines() {
        let mut document: Value = serde_json::from_str(line).ok()?;
        match document.get_mut("results")?.take() {
            Value::Array(results) => all.extend(results),
            _ => return None,
        }
    }
    Some(all)
}

/// Whether a request may be sent at all.
pub fn is_endless(query: &str, now: plimsoll_engine::Timestamp) -> bool {
    let Ok(statements) = plimsoll_query::parse(query, &Default::default()) else {
        return false;
    };
    let changes = |statement: &Statement| {
        if let Statement::Select(select) = statement {
            return select.target.is_some();
        }
        !matches!(
            statement,
            Statement::Select(_)
                | Statement::Explain { .. }
                | Statement::ShowDatabases
                | Statement::ShowRetentionPolicies { .. }
                | Statement::ShowMeasurements(_)
                | Statement::ShowSeries(_)
                | Statement::ShowTagKeys(_)
                | Statement::ShowTagValues(_)
                | Statement::ShowFieldKeys(_)
                | Statement::ShowCardinality { .. }
        )
    };
    statements
        .iter()
        .any(|statement| changes(statement) || super::case::is_endless(statement, now))
}
