//! A full disk refuses writes and recovers by itself; reads go on.

mod support;

use plimsoll_engine::FieldValue;
use support::*;

#[test]
fn writes_are_refused_while_the_disk_is_full_and_go_on_when_there_is_space() {
    let (engine, storage) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    storage.limit_bytes(Some(storage.used_bytes()));
    let text: String = "x".repeat(200_000);
    let large = |n: i64| {
        let value = FieldValue::String(format!("{n}{text}").into());
        point("log", "pod=a", NOW + n, &[("line", value)])
    };
    let refused = (0..4)
        .map(|n| engine.write("d", "", &large(n)))
        .filter(|r| r.is_err())
        .count();
    assert!(
        refused >= 3,
        "a full disk takes no more than what was allocated"
    );
    assert!(engine.stats().writes_refused.is_some());
    assert_eq!(
        integers(&engine, "cpu"),
        [("pod=a".to_owned(), vec![(NOW, 1)])],
        "reads go on"
    );
    storage.limit_bytes(None);
    engine
        .write("d", "", &large(9))
        .expect("there is space again");
    write_integer(&engine, "cpu", "pod=a", NOW + 1, 2);
    assert_eq!(engine.stats().writes_refused, None);
    drop(engine);
    let (engine, report) = open(&storage);
    assert_eq!(report.rows_lost, 0);
    assert_eq!(
        integers(&engine, "cpu"),
        [("pod=a".to_owned(), vec![(NOW, 1), (NOW + 1, 2)])]
    );
}

#[test]
fn a_failed_sync_stops_writes_until_restart_and_reads_go_on() {
    let (engine, storage) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    let batch = point(
        "cpu",
        "pod=a",
        NOW + 1,
        &[("value", FieldValue::Integer(2))],
    );
    storage.fail_at(storage.operations() + 1, std::io::ErrorKind::Other);
    engine
        .write("d", "", &batch)
        .expect_err("the write or its sync failed");
    let error = engine
        .write("d", "", &batch)
        .expect_err("writes are stopped");
    assert!(error.to_string().contains("restart plimsoll"), "{error}");
    assert!(!integers(&engine, "cpu").is_empty(), "reads go on");
    drop(engine);
    let (engine, _) = open(&storage);
    write_integer(&engine, "cpu", "pod=a", NOW + 2, 3);
}
