//! Statements that change the catalog, as the changes that they ask for.

use plimsoll_engine::catalog::{
    CatalogChange, Destinations, MakeDefault, PolicySpec, Subscription,
};

use crate::ast::{PolicyTerms, Statement};
use crate::continuous;
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};

/// The change that a statement asks for; none: it is not one of the catalog.
///
/// # Errors
/// InfluxDB's text where it can be refused before the catalog is asked.
pub(crate) fn of_statement(
    statement: &Statement,
    context: &Context<'_>,
) -> Result<Option<CatalogChange>> {
    Ok(Some(match statement {
        Statement::CreateDatabase { name, policy } => CatalogChange::CreateDatabase {
            name: name.clone(),
            policy: policy.as_ref().map(|terms| spec(terms, terms.name.clone())),
        },
        Statement::DropDatabase { name } => CatalogChange::DropDatabase { name: name.clone() },
        Statement::CreateRetentionPolicy {
            name,
            database,
            terms,
            default,
        } => CatalogChange::CreatePolicy {
            database: database.clone(),
            policy: spec(terms, Some(name.clone())),
            default: make_default(*default),
        },
        Statement::AlterRetentionPolicy {
            name,
            database,
            terms,
            default,
        } => CatalogChange::AlterPolicy {
            database: database.clone(),
            policy: spec(terms, Some(name.clone())),
            default: make_default(*default),
        },
        Statement::DropRetentionPolicy { name, database } => CatalogChange::DropPolicy {
            database: database.clone(),
            name: name.clone(),
        },
        Statement::CreateContinuousQuery { name, database, .. } => {
            CatalogChange::CreateContinuousQuery {
                database: database.clone(),
                name: name.clone(),
                text: continuous::kept_text(statement, context.snapshot.catalog(), context.policy)?,
            }
        }
        Statement::DropContinuousQuery { name, database } => CatalogChange::DropContinuousQuery {
            database: database.clone(),
            name: name.clone(),
        },
        Statement::CreateSubscription {
            name,
            database,
            policy,
            mode,
            destinations,
        } => {
            for destination in destinations {
                check_destination(destination)?;
            }
            let all = Destinations::All;
            CatalogChange::CreateSubscription {
                database: database.clone(),
                policy: policy.clone(),
                subscription: Subscription {
                    name: name.clone(),
                    mode: if mode == all.name() {
                        all
                    } else {
                        Destinations::Any
                    },
                    destinations: destinations.clone(),
                },
            }
        }
        Statement::DropSubscription {
            name,
            database,
            policy,
        } => CatalogChange::DropSubscription {
            database: database.clone(),
            policy: policy.clone(),
            name: name.clone(),
        },
        _ => return Ok(None),
    }))
}

fn make_default(default: bool) -> MakeDefault {
    if default {
        MakeDefault::Yes
    } else {
        MakeDefault::No
    }
}

fn spec(terms: &PolicyTerms, name: Option<String>) -> PolicySpec {
    PolicySpec {
        name,
        retention: terms.duration,
        shard_duration_ns: terms.shard_duration,
        replication: terms.replication,
    }
}

/// What InfluxDB asks of a subscription's address: `http`, `https` or `udp`, a host and a port.
///
/// Not a URL crate's rules: Go takes an empty host and ports above 65,535, and what it takes must
/// be taken here.
fn check_destination(address: &str) -> Result<()> {
    let is_good = || {
        let (scheme, rest) = address.split_once("://")?;
        let schemes = ["udp", "http", "https"];
        let is_known = schemes.iter().any(|s| scheme.eq_ignore_ascii_case(s));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
        let (name, port) = host.rsplit_once(':')?;
        let is_bracketed = name.starts_with('[') && name.ends_with(']');
        let inside = name.trim_start_matches('[').trim_end_matches(']');
        let is_name = if is_bracketed {
            !inside.contains(['[', ']'])
        } else {
            !name.contains(['[', ']', ':'])
        };
        let is_plain =
            |c: char| !c.is_whitespace() && !c.is_control() && !"<>\"%\\^`{|}".contains(c);
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        (is_known && is_name && is_port && name.chars().all(is_plain)).then_some(())
    };
    is_good().ok_or_else(|| Error::invalid(format!("invalid subscription URL: {address}")))
}

#[cfg(test)]
mod tests {
    use super::check_destination;

    /// Each is what influxd 1.6.7 says.
    #[test]
    fn destinations_are_judged_as_influxdb_judges_them() {
        for good in [
            "http://a:1",
            "udp://h1.example.com:9090",
            "https://user:pw@b:3?x=1",
            "http://a:2/path",
            "http://:8086",
            "http://[::1]:8086",
            "HTTP://a:80",
            "http://a:99999",
        ] {
            assert!(check_destination(good).is_ok(), "{good}");
        }
        for bad in [
            "ftp://a:2",
            "http://a",
            "http://a:",
            "http://::1:8086",
            "http://a:port",
            "a:80",
            "",
            "://",
            "http://a b:80",
        ] {
            let error = check_destination(bad).unwrap_err().to_string();
            assert_eq!(error, format!("invalid subscription URL: {bad}"));
        }
    }
}
