//! What is written is read back: from the head, and after the log was replayed.

mod support;

use plimsoll_engine::{FieldValue, TimeRange};
use support::*;

#[test]
fn points_are_read_in_order_of_time_and_the_last_write_wins() {
    let (engine, _) = fresh();
    for (time, value) in [(30, 3), (10, 1), (20, 2), (10, 9), (30, 7)] {
        write_integer(&engine, "cpu", "pod=a", NOW + time, value);
    }
    assert_eq!(
        integers(&engine, "cpu"),
        [(
            "pod=a".to_owned(),
            vec![(NOW + 10, 9), (NOW + 20, 2), (NOW + 30, 7)]
        )]
    );
}

#[test]
fn acknowledged_points_are_there_after_every_restart() {
    let (engine, storage) = fresh();
    for step in 0..200 {
        for pod in ["pod=a", "pod=b"] {
            write_integer(&engine, "cpu", pod, NOW + step * SECOND, step * 7);
        }
    }
    write_integer(&engine, "cpu", "pod=a", NOW + 5, -1);
    let before = integers(&engine, "cpu");
    drop(engine);
    for _ in 0..3 {
        let (engine, report) = open(&storage);
        assert_eq!((report.rows_lost, report.torn_tail), (0, None));
        let there = integers(&engine, "cpu");
        assert!(there[..2] == before, "the two series are as they were");
        write_integer(&engine, "cpu", "pod=c", NOW, 1);
        write_integer(&engine, "cpu", "pod=a", NOW + 199 * SECOND, 199 * 7);
        drop(engine);
    }
    let (engine, _) = open(&storage);
    assert_eq!(integers(&engine, "cpu").len(), 3);
}

#[test]
fn a_field_keeps_the_type_of_its_first_write() {
    let (engine, _) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    let float = point("cpu", "pod=b", NOW, &[("value", FieldValue::Float(1.5))]);
    let written = engine.write("d", "", &float).unwrap();
    assert_eq!(written.points_stored, 0);
    assert_eq!(
        written.rejected[0].reason,
        "field type conflict: input field \"value\" on measurement \"cpu\" is type float, \
         already exists as type integer"
    );
}

#[test]
fn another_partition_may_hold_another_type() {
    let (engine, storage) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    let week_ago = NOW - 8 * 24 * 3600 * SECOND;
    let float = point(
        "cpu",
        "pod=a",
        week_ago,
        &[("value", FieldValue::Float(1.5))],
    );
    assert_eq!(engine.write("d", "", &float).unwrap().points_stored, 1);
    drop(engine);
    let (engine, _) = open(&storage);
    let view = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
    assert_eq!(view.fields("cpu").unwrap().len(), 2);
}

#[test]
fn an_unknown_database_or_policy_is_named() {
    let (engine, _) = fresh();
    let batch = point("cpu", "", NOW, &[("value", FieldValue::Integer(1))]);
    let error = engine.write("x", "", &batch).unwrap_err();
    assert_eq!(error.to_string(), "database not found: x");
    let error = engine.write("d", "y", &batch).unwrap_err();
    assert_eq!(error.to_string(), "retention policy not found: y");
}

#[test]
fn more_than_64_columns_that_arrive_together_all_come_back() {
    let (engine, storage) = fresh();
    let names: Vec<String> = (0..150).map(|n| format!("f{n:03}")).collect();
    for time in [NOW, NOW + SECOND] {
        let fields: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), FieldValue::Integer(time)))
            .collect();
        engine
            .write("d", "", &point("wide", "pod=a", time, &fields))
            .unwrap();
    }
    drop(engine);
    let (engine, _) = open(&storage);
    let view = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
    assert_eq!(view.fields("wide").unwrap().len(), 150);
    let series = view
        .series("wide", &plimsoll_engine::predicate::TagPredicate::All)
        .unwrap();
    for name in &names {
        let column = view
            .column(&series[0], name, plimsoll_engine::FieldType::Integer)
            .unwrap();
        assert_eq!(column.times, [NOW, NOW + SECOND], "{name}");
    }
}

#[test]
fn a_log_that_is_long_enough_for_threads_comes_back_as_it_was() {
    let (engine, storage) = fresh();
    let text = |number: i64| FieldValue::String(format!("{number:01000}").into());
    let write = |engine: &plimsoll_engine::Engine, from: i64| {
        for step in from..from + 1_500 {
            let fields = [("text", text(step)), ("number", FieldValue::Integer(step))];
            let tag_set = format!("pod=p{}", step % 23);
            let time = NOW + step / 23 * SECOND;
            let batch = point("log", &tag_set, time, &fields);
            engine.write("d", "", &batch).unwrap();
        }
    };
    write(&engine, 0);
    engine.drop_measurement("d", "nothing").unwrap();
    let deletion = plimsoll_engine::Deletion {
        database: "d".to_owned(),
        policy: None,
        measurements: [std::sync::Arc::from("log")].into(),
        series: plimsoll_engine::Chosen::These([tags("pod=p3")].into()),
        range: TimeRange::ALL,
    };
    engine.delete(&deletion).unwrap();
    write(&engine, 1_500);
    let found = |engine: &plimsoll_engine::Engine| {
        let view = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
        let all = plimsoll_engine::predicate::TagPredicate::All;
        let mut found = Vec::new();
        for series in view.series("log", &all).unwrap() {
            for (field, kind) in view.fields("log").unwrap() {
                let column = view.column(&series, &field, kind).unwrap();
                found.push((series.tags.to_string(), field.to_string(), column));
            }
        }
        found
    };
    let before = found(&engine);
    assert_eq!(before.len(), 23 * 2);
    let rows: usize = before.iter().map(|(_, _, column)| column.times.len()).sum();
    assert!(rows > 5_000 && rows < 6_000, "{rows}");
    drop(engine);
    let (engine, report) = open(&storage);
    assert_eq!((report.rows_replayed, report.rows_lost), (3_000, 0));
    assert!(found(&engine) == before);
}

#[test]
fn new_series_are_found_at_once_whether_or_not_the_index_was_maintained() {
    let (engine, _) = fresh();
    let found = |engine: &plimsoll_engine::Engine| integers(engine, "cpu").len();
    for round in 0..6 {
        // More than are indexed at a time by who has time.
        let mut batch = plimsoll_engine::Batch::default();
        for pod in 0..3_000 {
            let tags = tags(&format!("node=n{},pod=p{round}-{pod}", pod % 7));
            let fields = [("value", FieldValue::Integer(pod))];
            batch.add("cpu", &tags, plimsoll_engine::Timestamp(NOW), fields);
        }
        engine.write("d", "", &batch).unwrap();
        if round % 2 == 0 {
            engine.maintain_index();
        }
        if round % 3 == 0 {
            assert_eq!(found(&engine), 3_000 * (round + 1));
        }
    }
    assert_eq!(found(&engine), 18_000);
    engine.maintain_index();
    assert_eq!(found(&engine), 18_000);
}
