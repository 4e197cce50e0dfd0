//! Retention drops whole partitions, and nothing brings them back.

mod support;

use std::sync::Arc;

use plimsoll_engine::catalog::{CatalogChange, DAY_NS, HOUR_NS, MakeDefault, PolicySpec};
use plimsoll_engine::{Engine, FieldValue, Timestamp};
use plimsoll_wal::storage::{Memory, Storage};
use support::*;

fn with_policy(engine: &Engine, retention: i64) {
    let policy = PolicySpec {
        name: Some("short".to_owned()),
        retention: Some(retention),
        ..PolicySpec::default()
    };
    let change = CatalogChange::CreatePolicy {
        database: "d".to_owned(),
        policy,
        default: MakeDefault::Yes,
    };
    engine.change(&change).expect("the policy is made");
}

#[test]
fn a_partition_goes_when_all_of_it_is_too_old() {
    let storage = Arc::new(Memory::new());
    let turned = clock();
    let shared: Arc<dyn Storage> = storage.clone();
    let (engine, _) = Engine::open(shared, options(), turned.clone()).unwrap();
    create(&engine, "d");
    with_policy(&engine, DAY_NS);
    write_integer(&engine, "cpu", "pod=old", NOW - 20 * HOUR_NS, 1);
    write_integer(&engine, "cpu", "pod=new", NOW, 2);
    engine.flush().unwrap();
    write_integer(&engine, "cpu", "pod=old", NOW - 20 * HOUR_NS + 1, 3);
    assert_eq!(engine.enforce_retention().unwrap(), 0);
    turned.set(Timestamp(NOW + 6 * HOUR_NS));
    assert_eq!(engine.enforce_retention().unwrap(), 1);
    let left = [("pod=new".to_owned(), vec![(NOW, 2)])];
    assert_eq!(integers(&engine, "cpu"), left);
    drop(engine);
    let (engine, _) = open(&storage);
    assert_eq!(
        integers(&engine, "cpu"),
        left,
        "neither the log nor a segment brings it back"
    );
}

#[test]
fn a_point_that_is_too_old_is_refused_by_name() {
    let (engine, _) = fresh();
    with_policy(&engine, HOUR_NS);
    let written = write_integer(&engine, "cpu", "pod=a", NOW - 2 * HOUR_NS, 1);
    assert_eq!(written.points_stored, 0);
    assert_eq!(written.rejected[0].reason, "points beyond retention policy");
    assert_eq!(
        write_integer(&engine, "cpu", "pod=a", NOW, 1).points_stored,
        1
    );
}

#[test]
fn a_dropped_database_leaves_nothing_behind_and_may_be_made_again() {
    let (engine, storage) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    engine.flush().unwrap();
    write_integer(&engine, "cpu", "pod=a", NOW + 1, 2);
    engine
        .change(&CatalogChange::DropDatabase {
            name: "d".to_owned(),
        })
        .unwrap();
    create(&engine, "d");
    assert!(integers(&engine, "cpu").is_empty());
    let batch = point(
        "cpu",
        "pod=a",
        NOW + 2,
        &[("value", FieldValue::Float(1.0))],
    );
    assert_eq!(
        engine.write("d", "", &batch).unwrap().points_stored,
        1,
        "the type is free again"
    );
    assert_eq!(
        storage
            .list(std::path::Path::new("data/partitions"))
            .unwrap()
            .len(),
        0
    );
    drop(engine);
    let (engine, _) = open(&storage);
    let points = integers(&engine, "cpu");
    assert!(
        points.iter().all(|(_, points)| points.is_empty()),
        "{points:?}"
    );
}
