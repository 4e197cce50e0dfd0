//! Which ways out there should be: those of the settings and those of subscriptions. Pure.

use plimsoll_engine::READER_NAME_BYTES_MAX;
use plimsoll_engine::ReaderStart;
use plimsoll_engine::catalog::{Catalog, Destinations, Subscription};
use plimsoll_ingest::forward::Destination;
use sha2::{Digest, Sha256};

use crate::config::ForwardConfig;
use crate::monitor;

/// What the names of positions begin with, so that others are left alone.
const FORWARD: &str = "forward ";
const SUBSCRIPTION: &str = "subscription ";

/// What goes out on a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// These databases; none named: all but the server's own figures.
    Databases(Vec<String>),
    /// One policy of a database.
    Policy { database: String, policy: String },
}

impl Selection {
    /// Whether points of a policy go out.
    pub(super) fn takes(&self, database: &str, policy: &str) -> bool {
        match self {
            Self::Databases(names) if names.is_empty() => database != monitor::DATABASE,
            Self::Databases(names) => names.iter().any(|name| name == database),
            Self::Policy {
                database: of,
                policy: named,
            } => of == database && named == policy,
        }
    }

    /// The policy that is named to the peer: a subscription's, as InfluxDB does it. A store that
    /// everything is forwarded to has policies of its own.
    pub(super) fn policy(&self) -> &str {
        match self {
            Self::Databases(_) => "",
            Self::Policy { policy, .. } => policy,
        }
    }
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name of its position in the log.
    pub(super) reader: String,
    /// Where it begins.
    pub(super) start: ReaderStart,
    /// What goes out.
    pub(super) selection: Selection,
    /// Where to: one of them gets it, in turn.
    pub(super) destinations: Vec<Destination>,
    /// Whether it is an operator's own, who may show the operator's token.
    pub(super) owner: Owner,
}

/// Who asked for a way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Settings,
    Subscription,
}

/// Whether a position in the log is one of a way out.
pub(super) fn is_ours(reader: &str) -> bool {
    reader.starts_with(FORWARD) || reader.starts_with(SUBSCRIPTION)
}

/// All ways out.
pub(super) fn wanted(config: &ForwardConfig, catalog: &Catalog) -> Vec<Wanted> {
    let own = config.destinations.iter().map(|destination| Wanted {
        reader: name(format!("{FORWARD}{destination}")),
        // What came in between the start and now goes out, too.
        start: ReaderStart::Oldest,
        selection: Selection::Databases(config.databases.clone()),
        destinations: vec![destination.clone()],
        owner: Owner::Settings,
    });
    let mut all: Vec<Wanted> = own.collect();
    for database in catalog.databases.values() {
        for policy in &database.policies {
            let selection = Selection::Policy {
                database: database.name.clone(),
                policy: policy.name.clone(),
            };
            for subscription in &policy.subscriptions {
                all.extend(of_subscription(subscription, &selection));
            }
        }
    }
    all
}

fn of_subscription(subscription: &Subscription, selection: &Selection) -> Vec<Wanted> {
    let destinations = subscription.destinations.iter();
    let destinations: Vec<Destination> = destinations
        .filter_map(|text| {
            Destination::of_subscription(text)
                .map_err(|error| tracing::error!(subscription = subscription.name, "{error}"))
                .ok()
        })
        .collect();
    let Selection::Policy { database, policy } = selection else {
        return Vec::new();
    };
    let way = |destinations: Vec<Destination>| Wanted {
        // With its destinations: one that is made anew under an old name begins anew.
        reader: name(format!(
            "{SUBSCRIPTION}{database:?}.{policy:?}.{:?} to {destinations:?}",
            subscription.name
        )),
        start: ReaderStart::Now,
        selection: selection.clone(),
        destinations,
        owner: Owner::Subscription,
    };
    match subscription.mode {
        // Each for itself, so that one that is dead costs the others nothing.
        Destinations::All => destinations.into_iter().map(|to| way(vec![to])).collect(),
        Destinations::Any if destinations.is_empty() => Vec::new(),
        Destinations::Any => vec![way(destinations)],
    }
}

/// A name that is not too long: its end is replaced by a hash of all of it.
fn name(text: String) -> String {
    if text.len() <= READER_NAME_BYTES_MAX {
        return text;
    }
    let hash: String = Sha256::digest(&text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut end = READER_NAME_BYTES_MAX - hash.len() - 1;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} {hash}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_engine::catalog::CatalogChange;

    fn catalog(subscriptions: &[(&str, Destinations, &[&str])]) -> Catalog {
        let mut catalog = Catalog::default();
        let database = "d".to_owned();
        let change = CatalogChange::CreateDatabase {
            name: database.clone(),
            policy: None,
        };
        catalog.apply(&change).unwrap();
        for (name, mode, destinations) in subscriptions {
            let change = CatalogChange::CreateSubscription {
                database: database.clone(),
                policy: "autogen".to_owned(),
                subscription: Subscription {
                    name: (*name).to_owned(),
                    mode: *mode,
                    destinations: destinations.iter().map(|to| (*to).to_owned()).collect(),
                },
            };
            catalog.apply(&change).unwrap();
        }
        catalog
    }

    #[test]
    fn each_destination_of_all_is_a_way_of_its_own_and_those_of_any_are_one() {
        let both = ["http://a:8086", "udp://b:9"];
        let catalog = catalog(&[
            ("all", Destinations::All, &both),
            ("any", Destinations::Any, &both),
        ]);
        let config = ForwardConfig {
            destinations: vec!["prometheus+http://me:secret@c:9090/w".parse().unwrap()],
            ..ForwardConfig::default()
        };
        let ways = wanted(&config, &catalog);
        let shown: Vec<(&str, usize)> = ways
            .iter()
            .map(|way| (way.reader.as_str(), way.destinations.len()))
            .collect();
        assert_eq!(
            shown,
            [
                ("forward prometheus+http://c:9090/w", 1),
                (
                    "subscription \"d\".\"autogen\".\"all\" to [influxdb+http://a:8086]",
                    1
                ),
                (
                    "subscription \"d\".\"autogen\".\"all\" to [influxdb+udp://b:9]",
                    1
                ),
                (
                    "subscription \"d\".\"autogen\".\"any\" to [influxdb+http://a:8086, influxdb+udp://b:9]",
                    2
                ),
            ]
        );
        assert!(ways.iter().all(|way| is_ours(&way.reader)));
        assert!(!is_ours("other"));
    }

    #[test]
    fn what_is_selected_goes_out() {
        let all = Selection::Databases(Vec::new());
        let some = Selection::Databases(vec!["a".to_owned()]);
        let policy = Selection::Policy {
            database: "a".to_owned(),
            policy: "p".to_owned(),
        };
        for (database, name, expected) in [
            ("a", "p", [true, true, true]),
            ("a", "q", [true, true, false]),
            ("b", "p", [true, false, false]),
            ("_internal", "monitor", [false, false, false]),
        ] {
            let takes = [&all, &some, &policy].map(|selection| selection.takes(database, name));
            assert_eq!(takes, expected, "{database} {name}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_stays_its_own() {
        let long = |end: &str| name(format!("{FORWARD}{}{end}", "ä".repeat(200)));
        assert!(long("1").len() <= READER_NAME_BYTES_MAX && is_ours(&long("1")));
        assert_ne!(long("1"), long("2"));
    }
}
