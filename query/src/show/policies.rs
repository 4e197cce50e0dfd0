//! SHOW DATABASES and SHOW RETENTION POLICIES.

use super::{table, text};
use crate::exec::Emitter;
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};
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

/// A duration as Go's `Duration.String` prints it: `168h0m0s`, `1.5s`, `0s`.
fn go_duration(ns: i64) -> String {
    let size = ns.unsigned_abs();
    let sign = if ns < 0 { "-" } else { "" };
    let fraction = |unit: u64, digits: usize| {
        let text = format!("{:0digits$}", size % unit);
        match text.trim_end_matches('0') {
            "" => String::new(),
            rest => format!(".{rest}"),
        }
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}{}µs", size / 1_000, fraction(1_000, 3)),
        1_000_000..1_000_000_000 => {
            format!("{sign}{}{}ms", size / 1_000_000, fraction(1_000_000, 6))
        }
        _ => {
            let seconds = size / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let hours_text = if hours > 0 {
                format!("{hours}h")
            } else {
                String::new()
            };
            let minutes_text = if hours > 0 || minutes > 0 {
                format!("{minutes}m")
            } else {
                String::new()
            };
            let rest = fraction(1_000_000_000, 9);
            format!("{sign}{hours_text}{minutes_text}{}{rest}s", seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::go_duration;

    #[test]
    fn durations_are_gos() {
        let table = [
            (0, "0s"),
            (604_800_000_000_000, "168h0m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (61_500_000_000, "1m1.5s"),
            (1_500_000, "1.5ms"),
            (15, "15ns"),
        ];
        for (ns, expected) in table {
            assert_eq!(go_duration(ns), expected);
        }
    }
}
