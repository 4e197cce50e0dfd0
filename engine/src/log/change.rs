//! Catalog changes, and their bytes. Byte tables are in docs/format.md.

use crate::catalog::{CatalogChange, Destinations, MakeDefault, PolicySpec, Ran, Subscription};
use crate::model::Timestamp;
use crate::varint::{Reader, put, put_signed, put_text};

const CREATE_DATABASE: u8 = 0;
const DROP_DATABASE: u8 = 1;
const CREATE_POLICY: u8 = 2;
const ALTER_POLICY: u8 = 3;
const DROP_POLICY: u8 = 4;
const CREATE_CONTINUOUS_QUERY: u8 = 5;
const DROP_CONTINUOUS_QUERY: u8 = 6;
const CONTINUOUS_QUERIES_RAN: u8 = 7;
const CREATE_SUBSCRIPTION: u8 = 8;
const DROP_SUBSCRIPTION: u8 = 9;

pub(super) fn put_change(out: &mut Vec<u8>, change: &CatalogChange) {
    match change {
        CatalogChange::CreateDatabase { name, policy } => {
            out.push(CREATE_DATABASE);
            put_text(out, name);
            out.push(u8::from(policy.is_some()));
            if let Some(policy) = policy {
                put_spec(out, policy);
            }
        }
        CatalogChange::DropDatabase { name } => {
            out.push(DROP_DATABASE);
            put_text(out, name);
        }
        CatalogChange::CreatePolicy {
            database,
            policy,
            default,
        } => {
            out.push(CREATE_POLICY);
            put_text(out, database);
            put_spec(out, policy);
            out.push(u8::from(*default == MakeDefault::Yes));
        }
        CatalogChange::AlterPolicy {
            database,
            policy,
            default,
        } => {
            out.push(ALTER_POLICY);
            put_text(out, database);
            put_spec(out, policy);
            out.push(u8::from(*default == MakeDefault::Yes));
        }
        CatalogChange::DropPolicy { database, name } => {
            out.push(DROP_POLICY);
            put_text(out, database);
            put_text(out, name);
        }
        CatalogChange::CreateContinuousQuery {
            database,
            name,
            text,
        } => {
            out.push(CREATE_CONTINUOUS_QUERY);
            put_text(out, database);
            put_text(out, name);
            put_text(out, text);
        }
        CatalogChange::DropContinuousQuery { database, name } => {
            out.push(DROP_CONTINUOUS_QUERY);
            put_text(out, database);
            put_text(out, name);
        }
        CatalogChange::ContinuousQueriesRan(runs) => {
            out.push(CONTINUOUS_QUERIES_RAN);
            put(out, runs.len() as u64);
            for run in runs {
                put_text(out, &run.database);
                put_text(out, &run.name);
                put_signed(out, run.last_run.0);
            }
        }
        CatalogChange::CreateSubscription {
            database,
            policy,
            subscription,
        } => {
            out.push(CREATE_SUBSCRIPTION);
            put_text(out, database);
            put_text(out, policy);
            put_subscription(out, subscription);
        }
        CatalogChange::DropSubscription {
            database,
            policy,
            name,
        } => {
            out.push(DROP_SUBSCRIPTION);
            put_text(out, database);
            put_text(out, policy);
            put_text(out, name);
        }
    }
}

/// As the manifest has it, too.
pub(crate) fn put_subscription(out: &mut Vec<u8>, subscription: &Subscription) {
    put_text(out, &subscription.name);
    out.push(match subscription.mode {
        Destinations::All => 0,
        Destinations::Any => 1,
    });
    put(out, subscription.destinations.len() as u64);
    for destination in &subscription.destinations {
        put_text(out, destination);
    }
}

/// As the manifest has it, too.
pub(crate) fn subscription(reader: &mut Reader<'_>) -> Option<Subscription> {
    let name = reader.text()?.to_owned();
    let mode = match reader.byte()? {
        0 => Destinations::All,
        1 => Destinations::Any,
        _ => return None,
    };
    let count = reader.count(1)?;
    let destinations = (0..count).map(|_| reader.text().map(str::to_owned));
    Some(Subscription {
        name,
        mode,
        destinations: destinations.collect::<Option<_>>()?,
    })
}

fn put_spec(out: &mut Vec<u8>, spec: &PolicySpec) {
    let set = u8::from(spec.name.is_some())
        | u8::from(spec.retention.is_some()) << 1
        | u8::from(spec.shard_duration_ns.is_some()) << 2
        | u8::from(spec.replication.is_some()) << 3;
    out.push(set);
    if let Some(name) = &spec.name {
        put_text(out, name);
    }
    if let Some(retention) = spec.retention {
        put_signed(out, retention);
    }
    if let Some(shard) = spec.shard_duration_ns {
        put_signed(out, shard);
    }
    if let Some(replication) = spec.replication {
        put(out, u64::from(replication));
    }
}

pub(super) fn change(reader: &mut Reader<'_>) -> Option<CatalogChange> {
    let default = |byte| match byte {
        0 => Some(MakeDefault::No),
        1 => Some(MakeDefault::Yes),
        _ => None,
    };
    Some(match reader.byte()? {
        CREATE_DATABASE => CatalogChange::CreateDatabase {
            name: reader.text()?.to_owned(),
            policy: match reader.byte()? {
                0 => None,
                1 => Some(spec(reader)?),
                _ => return None,
            },
        },
        DROP_DATABASE => CatalogChange::DropDatabase {
            name: reader.text()?.to_owned(),
        },
        CREATE_POLICY => CatalogChange::CreatePolicy {
            database: reader.text()?.to_owned(),
            policy: spec(reader)?,
            default: default(reader.byte()?)?,
        },
        ALTER_POLICY => CatalogChange::AlterPolicy {
            database: reader.text()?.to_owned(),
            policy: spec(reader)?,
            default: default(reader.byte()?)?,
        },
        DROP_POLICY => CatalogChange::DropPolicy {
            database: reader.text()?.to_owned(),
            name: reader.text()?.to_owned(),
        },
        CREATE_CONTINUOUS_QUERY => CatalogChange::CreateContinuousQuery {
            database: reader.text()?.to_owned(),
            name: reader.text()?.to_owned(),
            text: reader.text()?.to_owned(),
        },
        DROP_CONTINUOUS_QUERY => CatalogChange::DropContinuousQuery {
            database: reader.text()?.to_owned(),
            name: reader.text()?.to_owned(),
        },
        CONTINUOUS_QUERIES_RAN => {
            let count = reader.count(3)?;
            let mut runs = Vec::new();
            for _ in 0..count {
                runs.push(Ran {
                    database: reader.text()?.to_owned(),
                    name: reader.text()?.to_owned(),
                    last_run: Timestamp(reader.signed()?),
                });
            }
            CatalogChange::ContinuousQueriesRan(runs)
        }
        CREATE_SUBSCRIPTION => CatalogChange::CreateSubscription {
            database: reader.text()?.to_owned(),
            policy: reader.text()?.to_owned(),
            subscription: subscription(reader)?,
        },
        DROP_SUBSCRIPTION => CatalogChange::DropSubscription {
            database: reader.text()?.to_owned(),
            policy: reader.text()?.to_owned(),
            name: reader.text()?.to_owned(),
        },
        _ => return None,
    })
}

fn spec(reader: &mut Reader<'_>) -> Option<PolicySpec> {
    let set = reader.byte()?;
    if set > 0x0f {
        return None;
    }
    let mut spec = PolicySpec::default();
    if set & 1 != 0 {
        spec.name = Some(reader.text()?.to_owned());
    }
    if set & 2 != 0 {
        spec.retention = Some(reader.signed()?);
    }
    if set & 4 != 0 {
        spec.shard_duration_ns = Some(reader.signed()?);
    }
    if set & 8 != 0 {
        spec.replication = Some(reader.number()?);
    }
    Some(spec)
}
