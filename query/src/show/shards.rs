//! SHOW SHARDS and SHOW SHARD GROUPS: the partitions, each a shard and a group of its own.

use plimsoll_engine::PartitionView;
use plimsoll_engine::catalog::{Database, Policy, Retention};

use super::{table, text};
use crate::exec::Emitter;
use crate::exec::context::Context;
use crate::exec::error::Result;
use crate::go_text::go_seconds;
use crate::rows::Cell;

/// SHOW SHARDS.
pub(crate) fn shards(context: &Context<'_>, emitter: &mut Emitter<'_>) -> Result<()> {
    let columns = [
        "id",
        "database",
        "retention_policy",
        "shard_group",
        "start_time",
        "end_time",
        "expiry_time",
        "owners",
    ];
    for database in context.snapshot.catalog().databases.values() {
        let values = partitions(context, database).map(|(policy, partition)| {
            vec![
                number(&partition),
                text(&database.name),
                text(&policy.name),
                number(&partition),
                text(&go_seconds(partition.start)),
                text(&go_seconds(partition.end)),
                // The newest line's: nothing where points never expire.
                text(&match policy.retention {
                    Retention::Forever => String::new(),
                    Retention::For(_) => expiry(policy, &partition),
                }),
                text(""),
            ]
        });
        emitter.rows(table(&database.name, &columns, values.collect()))?;
    }
    Ok(())
}

/// SHOW SHARD GROUPS.
pub(crate) fn shard_groups(context: &Context<'_>, emitter: &mut Emitter<'_>) -> Result<()> {
    let columns = [
        "id",
        "database",
        "retention_policy",
        "start_time",
        "end_time",
        "expiry_time",
    ];
    let mut values = Vec::new();
    for database in context.snapshot.catalog().databases.values() {
        values.extend(partitions(context, database).map(|(policy, partition)| {
            vec![
                number(&partition),
                text(&database.name),
                text(&policy.name),
                text(&go_seconds(partition.start)),
                text(&go_seconds(partition.end)),
                text(&expiry(policy, &partition)),
            ]
        }));
    }
    emitter.rows(table("shard groups", &columns, values))
}

/// The partitions of a database: policy by policy, in order of time.
fn partitions<'a>(
    context: &'a Context<'_>,
    database: &'a Database,
) -> impl Iterator<Item = (&'a Policy, PartitionView)> {
    database.policies.iter().flat_map(|policy| {
        let all = context.snapshot.partitions();
        let mut own: Vec<_> = all.filter(|there| there.policy == policy.id).collect();
        own.sort_by_key(|partition| partition.start);
        own.into_iter().map(move |partition| (policy, partition))
    })
}

fn number(partition: &PartitionView) -> Cell {
    Cell::Integer(i64::try_from(partition.id.0).unwrap_or(i64::MAX))
}

/// When a partition's points are all too old; its end, where they never are.
fn expiry(policy: &Policy, partition: &PartitionView) -> String {
    go_seconds(partition.end.saturating_add(policy.retention.as_ns()))
}
