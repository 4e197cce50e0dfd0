//! Continuous queries: the form in which they are kept and shown.

use crate::ast::{Measurement, Select, Source, Statement};
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};

/// CREATE CONTINUOUS QUERY with every database and policy in its place, the target's first, as
/// InfluxDB keeps it.
///
/// # Errors
/// InfluxDB's texts for databases and policies that are not there.
pub(crate) fn qualified(statement: &Statement, context: &Context<'_>) -> Result<Statement> {
    let mut statement = statement.clone();
    if let Statement::CreateContinuousQuery {
        database, select, ..
    } = &mut statement
    {
        each_measurement(select, &mut |measurement| {
            qualify(measurement, database, context)
        })?;
        each_measurement(select, &mut |measurement| {
            policy_is_there(measurement, context)
        })?;
    }
    Ok(statement)
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
    database: &str,
    context: &Context<'_>,
) -> Result<()> {
    if measurement.database.is_empty() {
        database.clone_into(&mut measurement.database);
    }
    if measurement.database.is_empty() {
        return Err(Error::DatabaseRequired);
    }
    let there = context.snapshot.catalog().database(&measurement.database)?;
    if measurement.policy.is_empty() {
        if there.default_policy.is_empty() {
            let name = &there.name;
            let text = format!("default retention policy not set for: {name}");
            return Err(Error::invalid(text));
        }
        measurement.policy.clone_from(&there.default_policy);
    }
    Ok(())
}

fn policy_is_there(measurement: &Measurement, context: &Context<'_>) -> Result<()> {
    let database = context.snapshot.catalog().database(&measurement.database)?;
    database.policy(&measurement.policy).map_err(|_| {
        Error::invalid(format!(
            "retention policy not found: {}.{}",
            measurement.database, measurement.policy
        ))
    })?;
    Ok(())
}
