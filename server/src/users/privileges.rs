//! What a statement needs; InfluxDB's table (`RequiredPrivileges` of its influxql).

use plimsoll_query::ast::{Measurement, Select, Show, Source, Statement};

use super::set::{Access, User};

/// One thing that a statement needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need<'a> {
    /// To be an admin.
    Admin,
    /// A right in a database; empty: the request's.
    In(&'a str, Access),
}

/// Whether the user may run all of them.
///
/// # Errors
/// InfluxDB's text.
pub(super) fn check(user: &User, statements: &[Statement], database: &str) -> Result<(), String> {
    if user.admin {
        return Ok(());
    }
    for statement in statements {
        for need in needs(statement) {
            let what = match need {
                Need::Admin => "requires admin privilege".to_owned(),
                Need::In(named, access) => {
                    let database = if named.is_empty() { database } else { named };
                    if user.may(access, database) {
                        continue;
                    }
                    format!("requires {access} on {database}")
                }
            };
            return Err(format!(
                "{} not authorized to execute statement '{statement}', {what}",
                user.name
            ));
        }
    }
    Ok(())
}

fn needs(statement: &Statement) -> Vec<Need<'_>> {
    use Statement as S;
    match statement {
        S::Select(select) | S::Explain { select, .. } => select_needs(select, ""),
        S::ShowSeries(show)
        | S::ShowTagKeys(show)
        | S::ShowTagValues(show)
        | S::ShowFieldKeys(show) => show_needs(show),
        S::ShowCardinality { show, .. } => show_needs(show),
        S::ShowMeasurements(show) => {
            // `ON *` names every database; only an admin may read them all.
            if show.wildcard == plimsoll_query::ast::ShowWildcard::default() {
                show_needs(show)
            } else {
                vec![Need::Admin]
            }
        }
        S::ShowRetentionPolicies { database } => {
            let database = database.as_deref().unwrap_or_default();
            vec![Need::In(database, Access::READ)]
        }
        S::ShowDatabases => vec![Need::In("", Access::NONE)],
        S::ShowQueries | S::ShowContinuousQueries => vec![Need::In("", Access::READ)],
        S::DropRetentionPolicy { database, .. } | S::DropContinuousQuery { database, .. } => {
            vec![Need::In(database, Access::WRITE)]
        }
        S::CreateContinuousQuery {
            database, select, ..
        } => {
            // InfluxDB asks for less: what it runs would read and write for who may not.
            let mut needs = vec![Need::In(database, Access::READ)];
            needs.extend(select_needs(select, database));
            needs
        }
        S::Delete { .. } | S::DropSeries { .. } => vec![Need::In("", Access::WRITE)],
        _ => vec![Need::Admin],
    }
}

fn show_needs(show: &Show) -> Vec<Need<'_>> {
    let on = show.database.as_deref().unwrap_or_default();
    let mut needs = vec![Need::In(on, Access::READ)];
    needs.extend(sources_needs(&show.sources, on));
    needs
}

fn select_needs<'a>(select: &'a Select, default: &'a str) -> Vec<Need<'a>> {
    let mut needs = sources_needs(&select.sources, default);
    if let Some(Measurement { database, .. }) = &select.target {
        let target = if database.is_empty() {
            default
        } else {
            database
        };
        needs.push(Need::In(target, Access::WRITE));
    }
    needs
}

fn sources_needs<'a>(sources: &'a [Source], default: &'a str) -> Vec<Need<'a>> {
    let needs = sources.iter().flat_map(|source| match source {
        Source::Measurement(measurement) if measurement.database.is_empty() => {
            vec![Need::In(default, Access::READ)]
        }
        Source::Measurement(measurement) => vec![Need::In(&measurement.database, Access::READ)],
        Source::Subquery(select) => select_needs(select, default),
    });
    needs.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use plimsoll_query::{Params, parse};

    use super::*;

    fn ask(text: &str) -> Result<(), String> {
        let databases = [
            ("r", Access::READ),
            ("w", Access::WRITE),
            ("a", Access::ALL),
        ];
        let user = User {
            name: "ann".to_owned(),
            hash: String::new(),
            admin: false,
            databases: BTreeMap::from(databases.map(|(name, access)| (name.to_owned(), access))),
        };
        check(&user, &parse(text, &Params::default()).unwrap(), "r")
    }

    #[test]
    fn what_is_granted_may_be_run() {
        for text in [
            "SELECT x FROM m",
            "SELECT x FROM a..m",
            "SELECT x INTO w..n FROM m",
            "SELECT mean(x) FROM (SELECT x FROM a..m)",
            "SHOW DATABASES",
            "SHOW MEASUREMENTS",
            "SHOW TAG VALUES ON a WITH KEY = k",
            "SHOW RETENTION POLICIES ON a",
            "SHOW QUERIES",
        ] {
            assert_eq!(ask(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_not_is_refused_by_name() {
        for (text, what) in [
            ("SELECT x FROM w..m", "requires READ on w"),
            ("SELECT x FROM o..m", "requires READ on o"),
            ("SELECT x INTO n FROM m", "requires WRITE on r"),
            ("SELECT x FROM (SELECT x FROM w..m)", "requires READ on w"),
            (
                "CREATE CONTINUOUS QUERY q ON a BEGIN SELECT mean(x) INTO n FROM w..m GROUP BY \
                 time(1m) END",
                "requires READ on w",
            ),
            (
                "CREATE CONTINUOUS QUERY q ON r BEGIN SELECT mean(x) INTO n FROM m GROUP BY \
                 time(1m) END",
                "requires WRITE on r",
            ),
            ("SHOW TAG KEYS ON w", "requires READ on w"),
            ("SHOW FIELD KEYS FROM w..m", "requires READ on w"),
            ("EXPLAIN SELECT x FROM w..m", "requires READ on w"),
            ("DELETE FROM m", "requires WRITE on r"),
            ("DROP SERIES FROM m", "requires WRITE on r"),
            ("DROP RETENTION POLICY p ON r", "requires WRITE on r"),
            ("CREATE DATABASE x", "requires admin privilege"),
            ("DROP MEASUREMENT m", "requires admin privilege"),
            ("SHOW USERS", "requires admin privilege"),
            ("SHOW GRANTS FOR ann", "requires admin privilege"),
            ("GRANT ALL ON r TO ann", "requires admin privilege"),
            ("KILL QUERY 1", "requires admin privilege"),
            ("SHOW SHARDS", "requires admin privilege"),
            ("SHOW STATS", "requires admin privilege"),
            (
                "SELECT x FROM m; CREATE DATABASE y",
                "requires admin privilege",
            ),
        ] {
            let refused = ask(text).unwrap_err();
            assert!(refused.ends_with(what), "{text}: {refused}");
            assert!(refused.starts_with("ann not authorized to execute statement '"));
        }
    }
}
