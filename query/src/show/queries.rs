//! SHOW CONTINUOUS QUERIES and SHOW SUBSCRIPTIONS.

use std::sync::Arc;

use plimsoll_engine::catalog::Database;

use super::{table, text};
use crate::exec::Emitter;
use crate::exec::context::Context;
use crate::exec::error::Result;
use crate::rows::Cell;

/// SHOW CONTINUOUS QUERIES: every database, those without one too.
pub(crate) fn continuous_queries(context: &Context<'_>, emitter: &mut Emitter<'_>) -> Result<()> {
    for database in in_order(context) {
        let queries = database.continuous_queries.iter();
        let values = queries.map(|query| vec![text(&query.name), text(&query.text)]);
        emitter.rows(table(&database.name, &["name", "query"], values.collect()))?;
    }
    Ok(())
}

/// SHOW SUBSCRIPTIONS: the databases that have one.
pub(crate) fn subscriptions(context: &Context<'_>, emitter: &mut Emitter<'_>) -> Result<()> {
    for database in in_order(context) {
        let mut values = Vec::new();
        for policy in &database.policies {
            values.extend(policy.subscriptions.iter().map(|subscription| {
                let destinations = subscription.destinations.iter();
                let destinations: Vec<Arc<str>> = destinations
                    .map(|address| address.as_str().into())
                    .collect();
                vec![
                    text(&policy.name),
                    text(&subscription.name),
                    text(subscription.mode.name()),
                    Cell::List(destinations.into()),
                ]
            }));
        }
        if !values.is_empty() {
            let columns = ["retention_policy", "name", "mode", "destinations"];
            emitter.rows(table(&database.name, &columns, values))?;
        }
    }
    Ok(())
}

/// The databases in the order in which they were made, as InfluxDB lists them here.
fn in_order<'a>(context: &Context<'a>) -> Vec<&'a Database> {
    let mut databases: Vec<_> = context.snapshot.catalog().databases.values().collect();
    databases.sort_by_key(|database| database.id);
    databases
}
