//! A flush moves the head into segments, exactly once.

mod support;

use plimsoll_engine::catalog::DAY_NS;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{FieldType, FieldValue, TimeRange, Timestamp};
use support::*;

type Answer = Vec<(String, Vec<(i64, i64)>)>;

#[test]
fn answers_are_the_same_before_and_after_a_flush_and_after_restarts() {
    let (engine, storage) = fresh();
    for step in 0..600 {
        for pod in 0..7 {
            let tags = format!("node=n{},pod=p{pod}", pod % 2);
            write_integer(&engine, "cpu", &tags, NOW + step * SECOND, step * pod);
            if pod != 3 {
                write_integer(
                    &engine,
                    "memory",
                    &tags,
                    NOW + step * SECOND,
                    4096 * (step % 5),
                );
            }
        }
        if step % 50 == 7 {
            write_integer(
                &engine,
                "cpu",
                "node=n0,pod=p0",
                NOW + (step - 5) * SECOND,
                -step,
            );
        }
    }
    let before = [integers(&engine, "cpu"), integers(&engine, "memory")];
    engine.flush().unwrap();
    assert_eq!(engine.stats().segments, 1);
    assert_eq!(
        [integers(&engine, "cpu"), integers(&engine, "memory")],
        before
    );
    drop(engine);
    for _ in 0..2 {
        engine_reopened(&storage, &before);
    }
}

fn engine_reopened(storage: &std::sync::Arc<plimsoll_wal::storage::Memory>, before: &[Answer; 2]) {
    let (engine, report) = open(storage);
    assert_eq!(report.rows_replayed, 0, "the flush covered the whole log");
    assert!([integers(&engine, "cpu"), integers(&engine, "memory")] == *before);
}

#[test]
fn later_writes_win_over_segments_and_lower_segments() {
    let (engine, storage) = fresh();
    for round in 0..4 {
        for step in 0..10 {
            if (step + round) % 2 == 0 {
                write_integer(&engine, "cpu", "pod=a", NOW + step, 100 * round + step);
            }
        }
        if round < 3 {
            engine.flush().unwrap();
        }
    }
    let expected: Vec<(i64, i64)> = (0..10)
        .map(|step| {
            (
                NOW + step,
                if step % 2 == 0 {
                    200 + step
                } else {
                    300 + step
                },
            )
        })
        .collect();
    assert_eq!(
        integers(&engine, "cpu"),
        [("pod=a".to_owned(), expected.clone())]
    );
    drop(engine);
    let (engine, _) = open(&storage);
    assert_eq!(integers(&engine, "cpu"), [("pod=a".to_owned(), expected)]);
}

#[test]
fn each_partition_gets_a_segment_of_its_own() {
    let (engine, _) = fresh();
    for week in 0..3 {
        write_integer(&engine, "cpu", "pod=a", NOW - week * 7 * DAY_NS, week);
    }
    engine.flush().unwrap();
    let stats = engine.stats();
    assert_eq!((stats.partitions, stats.segments), (3, 3));
    let range = TimeRange {
        start: Timestamp(NOW - 8 * DAY_NS),
        end: Timestamp(NOW - 6 * DAY_NS),
    };
    let view = engine.snapshot().view("d", "", range).unwrap();
    let series = view.series("cpu", &TagPredicate::All).unwrap();
    assert_eq!(series.len(), 1);
    let column = view
        .column(&series[0], "value", FieldType::Integer)
        .unwrap();
    assert_eq!(column.times, [NOW - 7 * DAY_NS]);
}

#[test]
fn every_type_and_absent_values_come_back_from_a_segment() {
    let (engine, storage) = fresh();
    let values = [
        FieldValue::Float(-0.0),
        FieldValue::Integer(i64::MIN),
        FieldValue::Unsigned(u64::MAX),
        FieldValue::String("a \"b\"\n".into()),
        FieldValue::Boolean(true),
    ];
    for step in 0..20_i64 {
        let fields: Vec<(String, FieldValue)> = values
            .iter()
            .enumerate()
            .filter(|(index, _)| (step >> (index % 3)) % 2 == 0)
            .map(|(index, value)| (format!("f{index}"), value.clone()))
            .collect();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        engine
            .write("d", "", &point("m", "pod=a", NOW + step, &fields))
            .unwrap();
    }
    let read = |engine: &plimsoll_engine::Engine| {
        let view = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
        let series = view.series("m", &TagPredicate::All).unwrap();
        let fields = view.fields("m").unwrap();
        let columns = fields
            .iter()
            .map(|(name, kind)| view.column(&series[0], name, *kind).unwrap());
        format!("{fields:?} {:?}", columns.collect::<Vec<_>>())
    };
    let before = read(&engine);
    engine.flush().unwrap();
    assert_eq!(read(&engine), before);
    drop(engine);
    assert_eq!(read(&open(&storage).0), before);
}

#[test]
fn exact_metadata_comes_from_segments_too() {
    let (engine, _) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    write_integer(&engine, "cpu", "pod=b", NOW + 100, 1);
    engine.flush().unwrap();
    let range = TimeRange {
        start: Timestamp(NOW + 50),
        end: Timestamp(NOW + 150),
    };
    let view = engine.snapshot().view("d", "", range).unwrap();
    let names: Vec<String> = view
        .series("cpu", &TagPredicate::All)
        .unwrap()
        .iter()
        .filter(|series| view.has_points(series).unwrap())
        .map(|series| series.tags.to_string())
        .collect();
    assert_eq!(names, ["pod=b"]);
    assert_eq!(
        view.tag_keys("cpu")
            .unwrap()
            .into_iter()
            .collect::<Vec<_>>(),
        ["pod".into()]
    );
}
