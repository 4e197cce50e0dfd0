//! Statements about the server itself: SHOW QUERIES, KILL QUERY, SHOW STATS, SHOW DIAGNOSTICS.

use std::collections::BTreeMap;

use plimsoll_engine::Timestamp;
use plimsoll_query::ast::Statement;
use plimsoll_query::rows::{Cell, Rows};
use plimsoll_query::{Error, Sink, go_duration};

use crate::app::App;
use crate::diagnostics;
use crate::figures::figures;

/// Runs a statement about the server; none where it is about something else.
///
/// # Errors
/// InfluxDB's text.
pub(super) fn execute(
    app: &App,
    statement: &Statement,
    sink: &mut dyn Sink,
) -> Option<Result<(), String>> {
    let shown = match statement {
        Statement::KillQuery { id, .. } => {
            return Some(app.queries.kill(*id).map_err(|error| error.to_string()));
        }
        Statement::ShowQueries => show_queries(app, sink),
        Statement::ShowStats { module } => show_stats(app, module.as_deref(), sink),
        Statement::ShowDiagnostics { module } => show_diagnostics(app, module.as_deref(), sink),
        _ => return None,
    };
    Some(shown.map_err(|error| error.to_string()))
}

fn show_queries(app: &App, sink: &mut dyn Sink) -> Result<(), Error> {
    let now = app.clock.now();
    let values = app.queries.list().into_iter().map(|query| {
        vec![
            Cell::Integer(i64::try_from(query.id).unwrap_or(i64::MAX)),
            Cell::String(query.text.into()),
            Cell::String(query.database.into()),
            Cell::String(go_duration(shortened(query.started, now)).into()),
            Cell::String(query.status.text().into()),
        ]
    });
    sink.series(Rows {
        columns: ["qid", "query", "database", "duration", "status"]
            .map(Into::into)
            .into(),
        values: values.collect(),
        ..Rows::default()
    })
}

/// ns since, in whole units of the largest that fits: seconds, ms or µs.
fn shortened(since: Timestamp, now: Timestamp) -> i64 {
    let ns = now.0.saturating_sub(since.0).max(0);
    let unit = match ns {
        1_000_000_000.. => 1_000_000_000,
        1_000_000.. => 1_000_000,
        1_000.. => 1_000,
        _ => 1,
    };
    ns - ns % unit
}

/// The figures, a series a group, columns by name.
fn show_stats(app: &App, module: Option<&str>, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut groups: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for figure in figures(app) {
        let group = groups.entry(figure.group).or_default();
        group.insert(figure.key, figure.value);
    }
    groups.retain(|name, _| is_meant(module, name));
    for (name, figures) in groups {
        let values = figures.values();
        let values = values.map(|value| Cell::Integer(i64::try_from(*value).unwrap_or(i64::MAX)));
        sink.series(Rows {
            name: name.into(),
            columns: figures.keys().map(|key| (*key).into()).collect(),
            values: vec![values.collect()],
            ..Rows::default()
        })?;
    }
    Ok(())
}

fn show_diagnostics(app: &App, module: Option<&str>, sink: &mut dyn Sink) -> Result<(), Error> {
    for module in diagnostics::modules(app)
        .into_iter()
        .filter(|there| is_meant(module, there.name))
    {
        let (columns, values): (Vec<_>, Vec<_>) = module.facts.into_iter().unzip();
        sink.series(Rows {
            name: module.name.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            values: vec![values],
            ..Rows::default()
        })?;
    }
    Ok(())
}

/// FOR; an empty name is all of them, as in InfluxDB.
fn is_meant(module: Option<&str>, name: &str) -> bool {
    module.is_none_or(|module| module.is_empty() || module == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shortened_to_its_largest_unit() {
        let shown = |ns: i64| go_duration(shortened(Timestamp(5), Timestamp(5 + ns)));
        for (ns, expected) in [
            (999, "999ns"),
            (1_999, "1µs"),
            (61_234_567, "61ms"),
            (61_900_000_000, "1m1s"),
            (-5, "0s"),
        ] {
            assert_eq!(shown(ns), expected);
        }
    }
}
