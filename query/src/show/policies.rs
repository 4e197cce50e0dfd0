//! SHOW DATABASES and SHOW RETENTION POLICIES.

use super::{table, text};
use crate::exec::Emitter;
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};
use crate::go_text::go_duration;
use crate::rows::Cell;

/// SHOW DATABASES.
pub(crate) fn databases(context: &Context<'_>, emitter: &mut Emitter<'_>) -> Result<()> {
    let names = context.snapshot.catalog().databases.keys();
    let values = names.map(|name| vec![text(name)]).collect();
    emitter.rows(table("databases", &["name"], values))
}

/// SHOW RETENTION POLICIES.
pub(crate) fn retention_policies(
    database: Option<&str>,
    context: &Context<'_>,
    emitter: &mut Emitter<'_>,
) -> Result<()> {
    let name = database.unwrap_or(context.database);
    if name.is_empty() {
        return Err(Error::DatabaseRequired);
    }
    let database = context.snapshot.catalog().database(name)?;
    let values = database.policies.iter().map(|policy| {
        vec![
            text(&policy.name),
            text(&go_duration(policy.retention.as_ns())),
            text(&go_duration(policy.shard_duration_ns)),
            Cell::Integer(i64::from(policy.replication)),
            // Before the newest line's two columns, for clients that read it by its place.
            Cell::Boolean(policy.name == database.default_policy),
            // There are no write limits: Go's zero.
            text("0s"),
            text("0s"),
        ]
    });
    let columns = [
        "name",
        "duration",
        "shardGroupDuration",
        "replicaN",
        "default",
        "futureWriteLimit",
        "pastWriteLimit",
    ];
    emitter.rows(table("", &columns, values.collect()))
}
