//! Continuous queries, how far they are, and subscriptions survive a cut at every storage call:
//! what was acknowledged is there, and nothing that was not sent.

mod support;

use std::sync::Arc;

use plimsoll_engine::catalog::{CatalogChange, Destinations, Ran, Subscription};
use plimsoll_engine::{Engine, Timestamp};
use plimsoll_wal::storage::memory::{Survivors, Unsynced};
use plimsoll_wal::storage::{Memory, Storage};
use support::*;

/// Runs of the query; behind every third all is flushed.
const RUNS: i64 = 7;

fn changes() -> Vec<CatalogChange> {
    let mut changes = vec![
        CatalogChange::CreateDatabase {
            name: "d".to_owned(),
            policy: None,
        },
        CatalogChange::CreateContinuousQuery {
            database: "d".to_owned(),
            name: "q".to_owned(),
            text: "text".to_owned(),
        },
        CatalogChange::CreateSubscription {
            database: "d".to_owned(),
            policy: "autogen".to_owned(),
            subscription: Subscription {
                name: "s".to_owned(),
                mode: Destinations::All,
                destinations: vec!["udp://h:1".to_owned()],
            },
        },
    ];
    changes.extend((0..RUNS).map(|run| {
        CatalogChange::ContinuousQueriesRan(vec![Ran {
            database: "d".to_owned(),
            name: "q".to_owned(),
            last_run: Timestamp(run),
        }])
    }));
    changes
}

/// How many changes were sent, and how many acknowledged.
fn work(storage: &Arc<Memory>) -> (usize, usize) {
    let shared: Arc<dyn Storage> = storage.clone();
    let Ok((engine, _)) = Engine::open(shared, options(), clock()) else {
        return (0, 0);
    };
    for (done, change) in changes().iter().enumerate() {
        if engine.change(change).is_err() {
            return (done + 1, done);
        }
        if done % 3 == 2 && engine.flush().is_err() {
            return (done + 1, done + 1);
        }
    }
    (changes().len(), changes().len())
}

/// How many of the changes a directory shows.
fn found(engine: &Engine, case: &str) -> usize {
    let snapshot = engine.snapshot();
    let Ok(database) = snapshot.catalog().database("d") else {
        return 0;
    };
    let Some(query) = database.continuous_queries.first() else {
        return 1;
    };
    assert_eq!(query.text, "text", "{case}");
    let policy = database.policy("").expect("it has a default");
    match (policy.subscriptions.len(), query.last_run) {
        (0, None) => 2,
        (1, None) => 3,
        (1, Some(Timestamp(run))) => 4 + usize::try_from(run).expect("it was sent"),
        other => panic!("{case}: found {other:?}"),
    }
}

#[test]
fn what_the_catalog_acknowledged_survives_a_cut_at_every_storage_call() {
    let whole = Arc::new(Memory::new());
    let all = changes().len();
    assert_eq!(work(&whole), (all, all), "without a cut nothing fails");
    for at in 0..whole.operations() {
        let storage = Arc::new(Memory::new());
        storage.cut_at(at);
        let (sent, acknowledged) = work(&storage);
        for bytes in [Unsynced::Kept, Unsynced::Dropped, Unsynced::Torn(at)] {
            for entries in [Unsynced::Kept, Unsynced::Dropped, Unsynced::Torn(at)] {
                let case = format!("cut at {at}, bytes {bytes:?}, entries {entries:?}");
                let left = Arc::new(storage.survivors(Survivors { bytes, entries }));
                for _ in 0..2 {
                    let (engine, _) = open(&left);
                    let there = found(&engine, &case);
                    assert!(
                        (acknowledged..=sent).contains(&there),
                        "{case}: {there} of {sent} sent, {acknowledged} acknowledged"
                    );
                }
            }
        }
    }
}
