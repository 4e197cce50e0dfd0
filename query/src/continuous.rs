//! Continuous queries: the form in which they are kept and shown, when they run, and over what.

mod schedule;

use plimsoll_engine::TimeRange;
use plimsoll_engine::catalog::Catalog;

use crate::ast::{Dimension, Expr, Measurement, Operator, Reference, Select, Source, Statement};
use crate::check::{group_by_interval, has_call};
use crate::condition;
use crate::exec::error::{Error, Result};
use crate::{Params, parse};

pub use schedule::{Due, MISSED_WINDOWS_MAX, Schedule, plan};

/// A continuous query, ready to run.
#[derive(Debug, Clone)]
pub struct Continuous {
    select: Select,
    /// When it runs; none: it has no windows, and never does.
    pub schedule: Option<Schedule>,
}

impl Continuous {
    /// Reads the text that the catalog keeps.
    ///
    /// # Errors
    /// InfluxDB's text where it cannot run.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut statements = parse(text, &Params::default()).map_err(|error| error.to_string())?;
        match statements.pop() {
            Some(Statement::CreateContinuousQuery {
                resample_every,
                resample_for,
                select,
                ..
            }) if statements.is_empty() && select.target.is_some() => {
                Self::new(*select, resample_every, resample_for)
            }
            _ => Err("query isn't a valid continuous query".to_owned()),
        }
    }

    fn new(select: Select, every: Option<i64>, span: Option<i64>) -> Result<Self, String> {
        let interval = group_by_interval(&select)?.unwrap_or(0);
        if interval <= 0 {
            let schedule = None;
            return Ok(Self { select, schedule });
        }
        let offset = offset(&select.dimensions)?;
        if !has_call(&select) {
            return Err("continuous queries must be aggregate queries".to_owned());
        }
        let zone = match &select.timezone {
            None => None,
            Some(name) => Some(
                condition::timezone(name)
                    .ok_or_else(|| format!("unable to find time zone {name}"))?,
            ),
        };
        Ok(Self {
            schedule: Some(Schedule {
                interval,
                offset: offset % interval,
                every: every.filter(|ns| *ns > 0),
                span: span.filter(|ns| *ns > 0),
                zone,
            }),
            select,
        })
    }

    /// Its SELECT over one range; what its own WHERE says of time is left out.
    #[must_use]
    pub fn statement(&self, range: TimeRange) -> Statement {
        let mut select = self.select.clone();
        let end = range.end.0.saturating_add(1);
        let times = binary(
            Operator::And,
            time_is(Operator::GreaterOrEqual, range.start.0),
            time_is(Operator::Less, end),
        );
        select.condition = Some(match select.condition.take().and_then(without_time) {
            None => times,
            Some(rest) => binary(Operator::And, Expr::Paren(Box::new(rest)), times),
        });
        Statement::Select(Box::new(select))
    }
}

fn binary(op: Operator, left: Expr, right: Expr) -> Expr {
    Expr::Binary {
        op,
        left: Box::new(left),
        right: Box::new(right),
    }
}

fn time_is(op: Operator, ns: i64) -> Expr {
    let time = Reference {
        name: "time".to_owned(),
        cast: None,
    };
    binary(op, Expr::Reference(time), Expr::Integer(ns))
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Reference(reference) if reference.name.eq_ignore_ascii_case("time"))
}

/// A condition without its comparisons of time; none where nothing is left.
fn without_time(condition: Expr) -> Option<Expr> {
    match condition {
        Expr::Binary {
            op: op @ (Operator::And | Operator::Or),
            left,
            right,
        } => match (without_time(*left), without_time(*right)) {
            (Some(left), Some(right)) => Some(binary(op, left, right)),
            (left, right) => left.or(right),
        },
        Expr::Binary { left, right, .. } if is_time(&left) || is_time(&right) => None,
        Expr::Paren(inner) => without_time(*inner).map(|inner| Expr::Paren(Box::new(inner))),
        other => Some(other),
    }
}

/// The offset of GROUP BY time.
fn offset(dimensions: &[Dimension]) -> Result<i64, String> {
    let calls = dimensions
        .iter()
        .filter_map(|dimension| match &dimension.expr {
            Expr::Call(call) if call.name == "time" => Some(call),
            _ => None,
        });
    for call in calls {
        match call.arguments.get(1) {
            None => {}
            Some(Expr::Duration(offset)) => return Ok(*offset),
            Some(other) => return Err(format!("invalid time dimension offset: {other}")),
        }
    }
    Ok(0)
}

/// SELECT and CREATE CONTINUOUS QUERY with every database and policy in its place, the target's
/// first, as InfluxDB names them; another statement as it is.
///
/// # Errors
/// InfluxDB's texts for databases that are not there.
pub fn qualified(
    statement: &Statement,
    catalog: &Catalog,
    database: &str,
    policy: &str,
) -> Result<Statement> {
    let mut statement = statement.clone();
    let (database, select) = match &mut statement {
        Statement::Select(select) => (database, select),
        Statement::CreateContinuousQuery {
            database, select, ..
        } => (database.as_str(), select),
        _ => return Ok(statement),
    };
    each_measurement(select, &mut |measurement| {
        qualify(measurement, catalog, database, policy)
    })?;
    Ok(statement)
}

/// The text that the catalog keeps of CREATE CONTINUOUS QUERY.
///
/// # Errors
/// InfluxDB's texts for databases and policies that are not there, and for what can never run.
pub(crate) fn kept_text(statement: &Statement, catalog: &Catalog, policy: &str) -> Result<String> {
    let mut statement = qualified(statement, catalog, "", policy)?;
    if let Statement::CreateContinuousQuery { select, .. } = &mut statement {
        each_measurement(select, &mut |measurement| {
            policy_is_there(measurement, catalog)
        })?;
    }
    let text = statement.to_string();
    Continuous::parse(&text).map_err(Error::Invalid)?;
    Ok(text)
}

/// Calls `visit` with the target and the sources, in InfluxDB's order.
fn each_measurement(
    select: &mut Select,
    visit: &mut impl FnMut(&mut Measurement) -> Result<()>,
) -> Result<()> {
    if let Some(target) = &mut select.target {
        visit(target)?;
    }
    for source in &mut select.sources {
        match source {
            Source::Measurement(measurement) => visit(measurement)?,
            Source::Subquery(inner) => each_measurement(inner, visit)?,
        }
    }
    Ok(())
}

/// Puts in what a measurement leaves out.
///
/// # Errors
/// [`Error::DatabaseRequired`], an unknown database, one without a default policy.
pub(crate) fn qualify(
    measurement: &mut Measurement,
    catalog: &Catalog,
    database: &str,
    policy: &str,
) -> Result<()> {
    if measurement.database.is_empty() {
        database.clone_into(&mut measurement.database);
    }
    if measurement.database.is_empty() {
        return Err(Error::DatabaseRequired);
    }
    let there = catalog.database(&measurement.database)?;
    if !measurement.policy.is_empty() {
        return Ok(());
    }
    measurement.policy = if measurement.database == database && !policy.is_empty() {
        policy.to_owned()
    } else if there.default_policy.is_empty() {
        let name = &there.name;
        return Err(Error::invalid(format!(
            "default retention policy not set for: {name}"
        )));
    } else {
        there.default_policy.clone()
    };
    Ok(())
}

fn policy_is_there(measurement: &Measurement, catalog: &Catalog) -> Result<()> {
    let database = catalog.database(&measurement.database)?;
    database.policy(&measurement.policy).map_err(|_| {
        Error::invalid(format!(
            "retention policy not found: {}.{}",
            measurement.database, measurement.policy
        ))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use plimsoll_engine::Timestamp;

    use super::*;

    fn continuous(select: &str) -> Result<Continuous, String> {
        Continuous::parse(&format!(
            "CREATE CONTINUOUS QUERY q ON d RESAMPLE FOR 2h BEGIN {select} END"
        ))
    }

    fn over_a_minute(select: &str) -> String {
        let range = TimeRange {
            start: Timestamp(60),
            end: Timestamp(119),
        };
        continuous(select).unwrap().statement(range).to_string()
    }

    #[test]
    fn a_run_has_its_own_times_and_keeps_the_rest_of_where() {
        let table = [
            ("", "time >= 60 AND time < 120"),
            ("WHERE a = 'b'", "(a = 'b') AND time >= 60 AND time < 120"),
            ("WHERE time > now() - 1h", "time >= 60 AND time < 120"),
            (
                "WHERE (time > 5 AND (a = 'b' OR time < 7)) OR c > 2",
                "((a = 'b')) OR c > 2) AND time >= 60 AND time < 120",
            ),
        ];
        for (given, expected) in table {
            let text = over_a_minute(&format!(
                "SELECT mean(v) INTO x FROM m {given} GROUP BY time(1m)"
            ));
            assert!(
                text.ends_with(&format!("{expected} GROUP BY time(1m)")),
                "{given}: {text}"
            );
        }
    }

    #[test]
    fn what_can_never_run_is_said() {
        let table = [
            (
                "SELECT mean(v) INTO x FROM m GROUP BY time(1m, now())",
                "invalid time dimension offset: now()",
            ),
            (
                "SELECT v INTO x FROM m GROUP BY time(1m)",
                "continuous queries must be aggregate queries",
            ),
            (
                "SELECT mean(v) INTO x FROM m GROUP BY time(1m) tz('Nowhere')",
                "unable to find time zone Nowhere",
            ),
        ];
        for (select, expected) in table {
            assert_eq!(continuous(select).unwrap_err(), expected);
        }
        let raw = continuous("SELECT v INTO x FROM m").unwrap();
        assert!(raw.schedule.is_none(), "without windows it never runs");
    }
}
