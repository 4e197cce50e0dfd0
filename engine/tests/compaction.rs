//! Merging segments changes no answer, whatever overlaps, and loses nothing when it fails.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plimsoll_engine::catalog::{CatalogChange, HOUR_NS};
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{
    Batch, Chosen, Clock, Deletion, Engine, FieldValue, Options, Snapshot, TimeRange, Timestamp,
};
use plimsoll_wal::storage::{Memory, Storage};
use proptest::prelude::*;
use support::*;

static GO_ON: AtomicBool = AtomicBool::new(false);

/// Every value of a database, bit for bit, within a range.
fn dump(snapshot: &Snapshot, range: TimeRange) -> BTreeMap<String, Vec<(i64, String)>> {
    let view = snapshot.view("d", "", range).unwrap();
    let mut found = BTreeMap::new();
    for measurement in view.measurements().unwrap() {
        for series in view.series(&measurement, &TagPredicate::All).unwrap() {
            for (field, kind) in view.fields(&measurement).unwrap() {
                let column = view.column(&series, &field, kind).unwrap();
                let rows: Vec<_> = (0..column.times.len())
                    .map(|at| match column.values.value(at).to_owned() {
                        FieldValue::Float(v) => (column.times[at], format!("{:x}", v.to_bits())),
                        other => (column.times[at], format!("{other:?}")),
                    })
                    .collect();
                if !rows.is_empty() {
                    assert!(view.has_points(&series).unwrap());
                    found.insert(
                        format!("{measurement} {} {field} {kind}", series.tags),
                        rows,
                    );
                }
            }
        }
    }
    found
}

fn files(storage: &Memory) -> usize {
    let partitions = Path::new("data/partitions");
    let names = storage.list(partitions).unwrap();
    let count = |name: &String| storage.list(&partitions.join(name)).unwrap().len();
    names.iter().map(count).sum()
}

/// Four flushes of overlapping points, and as many segments.
fn four_segments() -> (Engine, Arc<Memory>) {
    let (engine, storage) = fresh();
    for flush in 0..4 {
        for step in 0..6 {
            let pod = format!("pod=p{}", step % 2);
            let time = NOW + (flush * 2 + step) * SECOND;
            write_integer(&engine, "cpu", &pod, time, 100 * flush + step);
        }
        engine.flush().unwrap();
    }
    assert_eq!(engine.stats().segments, 4);
    (engine, storage)
}

#[derive(Debug, Clone)]
enum Step {
    Write {
        measurement: u8,
        pod: u8,
        time: i64,
        fields: u8,
        number: i64,
    },
    Delete {
        measurement: u8,
        pod: Option<u8>,
        start: i64,
        len: i64,
    },
    Flush,
    Merge,
    /// Everything into cold pages; what comes later is hot.
    MergeAll,
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0..2u8, 0..4u8, 0..60i64, 1..32u8, any::<i64>());
    let write = write.prop_map(|(measurement, pod, time, fields, number)| Step::Write {
        measurement,
        pod,
        time,
        fields,
        number,
    });
    let delete = (0..2u8, proptest::option::of(0..4u8), 0..60i64, 0..60i64);
    let delete = delete.prop_map(|(measurement, pod, start, len)| Step::Delete {
        measurement,
        pod,
        start,
        len,
    });
    prop_oneof![
        24 => write,
        2 => delete,
        4 => Just(Step::Flush),
        2 => Just(Step::Merge),
        1 => Just(Step::MergeAll),
    ]
}

/// The values of a write: five fields of five types, those whose bit is set.
fn values(fields: u8, number: i64) -> Vec<(&'static str, FieldValue)> {
    let float = f64::from(i32::try_from(number % 1000).unwrap()) / 8.0;
    let all = [
        (
            "float",
            FieldValue::Float(if number % 7 == 0 { -0.0 } else { float }),
        ),
        ("integer", FieldValue::Integer(number)),
        ("unsigned", FieldValue::Unsigned(number.cast_unsigned())),
        (
            "string",
            FieldValue::String(format!("s{}", number % 9).into()),
        ),
        ("boolean", FieldValue::Boolean(number % 2 == 0)),
    ];
    let is_set = |at: &usize| fields >> at & 1 == 1;
    (0..5).filter(is_set).map(|at| all[at].clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn answers_are_bit_for_bit_the_same_before_and_after(
        steps in proptest::collection::vec(step(), 1..120),
        start in 0..60i64,
        len in 0..60i64,
    ) {
        let (engine, storage) = fresh();
        let part = TimeRange {
            start: Timestamp(NOW + start * SECOND),
            end: Timestamp(NOW + (start + len) * SECOND),
        };
        let mut model: BTreeMap<(u8, u8, &str, i64), String> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Write { measurement, pod, time, fields, number } => {
                    let values = values(fields, number);
                    let (name, tags) = (format!("m{measurement}"), format!("pod=p{pod}"));
                    let batch = point(&name, &tags, NOW + time * SECOND, &values);
                    engine.write("d", "", &batch).unwrap();
                    for (field, value) in values {
                        model.insert((measurement, pod, field, time), format!("{value:?}"));
                    }
                }
                Step::Delete { measurement, pod, start, len } => {
                    let chosen = match pod {
                        Some(pod) => Chosen::These([tags(&format!("pod=p{pod}"))].into()),
                        None => Chosen::Where(TagPredicate::All),
                    };
                    let times = start..=start + len;
                    let deletion = Deletion {
                        database: "d".to_owned(),
                        policy: Some("autogen".to_owned()),
                        measurements: [format!("m{measurement}").into()].into(),
                        series: chosen,
                        range: TimeRange {
                            start: Timestamp(NOW + start * SECOND),
                            end: Timestamp(NOW + (start + len) * SECOND),
                        },
                    };
                    engine.delete(&deletion).unwrap();
                    model.retain(|(of, there, _, time), _| {
                        *of != measurement
                            || pod.is_some_and(|pod| pod != *there)
                            || !times.contains(time)
                    });
                }
                Step::Flush => engine.flush().unwrap(),
                Step::Merge => {
                    engine.compact_step(&GO_ON).unwrap();
                }
                Step::MergeAll => {
                    engine.compact_all(&GO_ON).unwrap();
                }
            }
        }
        let held = engine.snapshot();
        let (all, some) = (dump(&held, TimeRange::ALL), dump(&held, part));
        prop_assert_eq!(all.values().map(Vec::len).sum::<usize>(), model.len());
        engine.compact_all(&GO_ON).unwrap();
        prop_assert!(engine.stats().segments <= 1);
        prop_assert_eq!(files(&storage) as u64, engine.stats().segments);
        let merged = engine.snapshot();
        prop_assert_eq!(&dump(&merged, TimeRange::ALL), &all);
        prop_assert_eq!(&dump(&merged, part), &some);
        prop_assert_eq!(&dump(&held, TimeRange::ALL), &all, "a view that was taken before");
        drop(engine);
        let (engine, report) = open(&storage);
        prop_assert_eq!(report.files_removed, 0);
        prop_assert_eq!(&dump(&engine.snapshot(), TimeRange::ALL), &all);
    }
}

#[test]
fn what_one_segment_has_alone_is_copied_and_what_is_hidden_or_overlaps_is_not() {
    let (engine, storage) = fresh();
    let write = |pod: &str, start: i64| {
        for step in 0..300 {
            // Sparse, and of every type.
            let fields = values(if step % 3 == 0 { 31 } else { 3 }, step * 7 - 500);
            let time = NOW + (start + step) * SECOND;
            let batch = point("cpu", pod, time, &fields);
            engine.write("d", "", &batch).unwrap();
        }
    };
    write("pod=a", 0);
    write("pod=b", 0);
    write("pod=d", 0);
    engine.flush().unwrap();
    write("pod=c", 50);
    write("pod=b", 250);
    engine.flush().unwrap();
    for pod in ["pod=f", "pod=g"] {
        write(pod, 0);
        engine.flush().unwrap();
    }
    let deletion = Deletion {
        database: "d".to_owned(),
        policy: None,
        measurements: ["cpu".into()].into(),
        series: Chosen::These([tags("pod=d")].into()),
        range: TimeRange {
            start: Timestamp(NOW + 10 * SECOND),
            end: Timestamp(NOW + 20 * SECOND),
        },
    };
    engine.delete(&deletion).unwrap();
    let before = dump(&engine.snapshot(), TimeRange::ALL);
    engine.compact_step(&GO_ON).unwrap();
    assert_eq!(engine.stats().segments, 1);
    assert_eq!(dump(&engine.snapshot(), TimeRange::ALL), before);
    let of = |pod: &str| -> usize {
        let mine = before.iter().filter(|(series, _)| series.contains(pod));
        mine.map(|(_, rows)| rows.len()).sum()
    };
    let alone = ["pod=a", "pod=c", "pod=f", "pod=g"]
        .map(of)
        .iter()
        .sum::<usize>();
    assert_eq!(alone, 4 * (300 * 2 + 100 * 3));
    assert_eq!(engine.stats().compaction_values_copied, alone as u64);
    // A merge of what was merged copies it all the same.
    for flush in 0..3 {
        for pod in 0..3 {
            write(&format!("pod=h{flush}{pod}"), 0);
        }
        engine.flush().unwrap();
    }
    engine.compact_step(&GO_ON).unwrap();
    assert_eq!(engine.stats().segments, 1);
    let all: usize = dump(&engine.snapshot(), TimeRange::ALL)
        .values()
        .map(Vec::len)
        .sum();
    assert_eq!(
        engine.stats().compaction_values_copied,
        (alone + all) as u64
    );
    let after = dump(&engine.snapshot(), TimeRange::ALL);
    assert!(
        before
            .iter()
            .all(|(series, rows)| after.get(series) == Some(rows))
    );
    drop(engine);
    let (engine, _) = open(&storage);
    assert_eq!(dump(&engine.snapshot(), TimeRange::ALL), after);
}

#[test]
fn a_merge_keeps_the_last_write_of_every_field() {
    let (engine, _) = fresh();
    let both = [("a", FieldValue::Integer(1)), ("b", FieldValue::Integer(1))];
    engine
        .write("d", "", &point("m", "pod=a", NOW, &both))
        .unwrap();
    engine.flush().unwrap();
    let one = [("b", FieldValue::Integer(2))];
    engine
        .write("d", "", &point("m", "pod=a", NOW, &one))
        .unwrap();
    let done = engine.compact_all(&GO_ON).unwrap();
    let [done] = &done[..] else {
        panic!("one partition")
    };
    assert_eq!((done.segments_before, done.segments_after), (2, 1));
    assert_eq!((&*done.database, &*done.policy), ("d", "autogen"));
    assert!(done.bytes_after < done.bytes_before);
    let found = dump(&engine.snapshot(), TimeRange::ALL);
    let field = |name: &str| found[&format!("m pod=a {name} integer")][0].1.clone();
    assert_eq!(
        (field("a"), field("b")),
        ("Integer(1)".to_owned(), "Integer(2)".to_owned())
    );
}

#[test]
fn small_segments_are_merged_by_steps_until_nothing_is_left_to_do() {
    let (engine, storage) = four_segments();
    let before = dump(&engine.snapshot(), TimeRange::ALL);
    let done = engine
        .compact_step(&GO_ON)
        .unwrap()
        .expect("four small segments");
    assert_eq!((done.segments_before, done.segments_after), (4, 1));
    assert_eq!(engine.compact_step(&GO_ON).unwrap(), None);
    assert_eq!(dump(&engine.snapshot(), TimeRange::ALL), before);
    let stats = engine.stats();
    assert_eq!(
        (stats.segments, stats.compactions, files(&storage)),
        (1, 1, 1)
    );
    assert_eq!(stats.compaction_bytes_read, done.bytes_before);
    assert_eq!(stats.compaction_bytes_written, done.bytes_after);
}

#[test]
fn a_partition_that_has_ended_is_merged_into_one_segment() {
    let storage = Arc::new(Memory::new());
    let turned = clock();
    let shared: Arc<dyn Storage> = storage.clone();
    let (engine, _) = Engine::open(shared, options(), turned.clone()).unwrap();
    create(&engine, "d");
    for step in 0..2 {
        write_integer(&engine, "cpu", "pod=a", NOW + step * SECOND, step);
        engine.flush().unwrap();
    }
    assert_eq!(
        engine.compact_step(&GO_ON).unwrap(),
        None,
        "two are few while it is written to"
    );
    turned.set(Timestamp(NOW + 8 * 24 * HOUR_NS));
    assert!(engine.compact_step(&GO_ON).unwrap().is_some());
    assert_eq!(engine.stats().segments, 1);
}

#[test]
fn a_merge_that_is_stopped_changes_nothing() {
    let (engine, storage) = four_segments();
    let stopped = AtomicBool::new(true);
    assert_eq!(engine.compact_step(&stopped).unwrap(), None);
    assert_eq!((engine.stats().segments, files(&storage)), (4, 4));
    assert!(
        engine.compact_step(&GO_ON).unwrap().is_some(),
        "it was not a failure"
    );
}

#[test]
fn a_merge_that_fills_the_disk_leaves_nothing_behind() {
    let (engine, storage) = four_segments();
    let before = dump(&engine.snapshot(), TimeRange::ALL);
    let used = storage.used_bytes();
    for room in [0, 10, 100, 500] {
        storage.limit_bytes(Some(used + room));
        engine
            .compact_all(&GO_ON)
            .expect_err("there is no room for another segment");
        assert_eq!(files(&storage), 4, "nothing half-written is left");
    }
    storage.limit_bytes(None);
    engine.compact_all(&GO_ON).unwrap();
    assert_eq!(files(&storage), 1);
    assert_eq!(dump(&engine.snapshot(), TimeRange::ALL), before);
}

#[test]
fn a_merge_is_put_off_while_too_little_of_the_disk_is_free() {
    let (engine, storage) = four_segments();
    let used = storage.used_bytes();
    storage.limit_bytes(Some(used + (100 << 20)));
    assert_eq!(engine.compact_step(&GO_ON).unwrap(), None);
    assert_eq!(engine.stats().compactions_put_off, 1);
    assert_eq!(engine.compact_step(&GO_ON).unwrap(), None);
    assert_eq!(
        engine.stats().compactions_put_off,
        1,
        "not tried again at once"
    );
    assert_eq!(files(&storage), 4);
    drop(engine);
    storage.limit_bytes(Some(used + (1 << 30)));
    let (engine, _) = open(&storage);
    assert!(engine.compact_step(&GO_ON).unwrap().is_some());
    assert_eq!(files(&storage), 1);
}

#[test]
fn a_merge_writes_no_quicker_than_it_may() {
    let (engine, storage) = four_segments();
    drop(engine);
    let clock = clock();
    let options = Options {
        merge_bytes_per_second: Some(10),
        ..options()
    };
    let (engine, _) = Engine::open(storage.clone(), options, clock.clone()).unwrap();
    let before = dump(&engine.snapshot(), TimeRange::ALL);
    assert!(engine.compact_step(&GO_ON).unwrap().is_some());
    assert!(
        clock.now().0 >= NOW + SECOND,
        "the clock that it waits with has gone on"
    );
    assert_eq!(dump(&engine.snapshot(), TimeRange::ALL), before);
}

#[test]
fn a_storage_call_that_fails_leaves_every_answer_and_the_next_start_tidies_up() {
    let mut failed = 0;
    for call in 0.. {
        let (engine, storage) = four_segments();
        let before = dump(&engine.snapshot(), TimeRange::ALL);
        let at = storage.operations() + call;
        storage.fail_at(at, std::io::ErrorKind::Other);
        let result = engine.compact_step(&GO_ON);
        if storage.operations() <= at {
            assert!(matches!(result, Ok(Some(_))), "no call is left to fail");
            break;
        }
        assert_eq!(
            dump(&engine.snapshot(), TimeRange::ALL),
            before,
            "call {call}"
        );
        if result.is_err() {
            failed += 1;
            assert_eq!(engine.stats().compactions_failed, 1);
            assert_eq!(
                engine.compact_step(&GO_ON).unwrap(),
                None,
                "it waits before it tries again"
            );
        }
        write_integer(&engine, "cpu", "pod=p0", NOW - SECOND, 7);
        engine.flush().unwrap();
        let after = dump(&engine.snapshot(), TimeRange::ALL);
        drop(engine);
        let (engine, _) = open(&storage);
        assert_eq!(
            dump(&engine.snapshot(), TimeRange::ALL),
            after,
            "call {call}"
        );
        assert_eq!(
            files(&storage) as u64,
            engine.stats().segments,
            "call {call}"
        );
        engine.compact_all(&GO_ON).unwrap();
        assert_eq!(
            dump(&engine.snapshot(), TimeRange::ALL),
            after,
            "call {call}"
        );
    }
    assert!(failed >= 8, "{failed} calls of a merge failed");
}

#[test]
fn a_segment_that_does_not_verify_is_kept_and_other_partitions_are_merged() {
    let (engine, storage) = fresh();
    let ended = NOW - 30 * 24 * HOUR_NS;
    let mut random = 1_u64;
    for flush in 0..2 {
        let mut batch = Batch::default();
        for step in 0..2000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let value = FieldValue::Unsigned(random);
            let time = Timestamp(ended + (2000 * flush + step) * SECOND);
            batch.add("noise", &tags("pod=old"), time, [("value", value)]);
        }
        engine.write("d", "", &batch).unwrap();
        engine.flush().unwrap();
    }
    for step in 0..4 {
        write_integer(&engine, "cpu", "pod=new", NOW + step * SECOND, step);
        engine.flush().unwrap();
    }
    drop(engine);
    let partition = Path::new("data/partitions");
    let partition = partition.join(&storage.list(partition).unwrap()[0]);
    let path = partition.join(&storage.list(&partition).unwrap()[0]);
    let mut bytes = storage.bytes(&path).unwrap();
    bytes[70] ^= 1;
    storage.put(&path, &bytes);
    let (engine, _) = open(&storage);
    assert_eq!(engine.stats().segments, 6);
    let merged = engine
        .compact_step(&GO_ON)
        .unwrap()
        .expect("the small ones");
    assert_eq!(merged.segments_before, 4);
    let error = engine
        .compact_step(&GO_ON)
        .expect_err("a page does not verify");
    assert!(error.to_string().contains("corrupt"), "{error}");
    assert_eq!(
        engine.compact_step(&GO_ON).unwrap(),
        None,
        "it is not tried at once"
    );
    assert_eq!(engine.stats().segments, 3);
    assert_eq!(files(&storage), 3, "what was begun is gone");
}

#[test]
fn writes_flushes_and_queries_go_on_while_segments_are_merged() {
    let (engine, storage) = fresh();
    let writing = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while writing.load(Ordering::SeqCst) {
                engine.compact_step(&GO_ON).unwrap();
            }
        });
        scope.spawn(|| {
            let mut seen = 0;
            while writing.load(Ordering::SeqCst) {
                let points = integers(&engine, "cpu").iter().map(|s| s.1.len()).sum();
                assert!(points >= seen, "{points} points, {seen} before");
                seen = points;
            }
        });
        for step in 0..400 {
            let pod = format!("pod=p{}", step % 3);
            write_integer(&engine, "cpu", &pod, NOW + step % 100 * SECOND, step);
            if step % 10 == 9 {
                engine.flush().unwrap();
            }
        }
        writing.store(false, Ordering::SeqCst);
    });
    let expected: BTreeMap<(String, i64), i64> = (0..400)
        .map(|step| {
            (
                (format!("pod=p{}", step % 3), NOW + step % 100 * SECOND),
                step,
            )
        })
        .collect();
    let found = |engine: &Engine| -> BTreeMap<(String, i64), i64> {
        let series = integers(engine, "cpu").into_iter();
        let points = |(pod, points): (String, Vec<(i64, i64)>)| {
            let point = move |(time, value)| ((pod.clone(), time), value);
            points.into_iter().map(point).collect::<Vec<_>>()
        };
        series.flat_map(points).collect()
    };
    while engine.compact_step(&GO_ON).unwrap().is_some() {}
    assert_eq!(found(&engine), expected);
    assert!(engine.stats().segments <= 12);
    drop(engine);
    assert_eq!(found(&open(&storage).0), expected);
}

#[test]
fn a_database_can_be_dropped_while_its_segments_are_merged() {
    for _ in 0..20 {
        let (engine, storage) = four_segments();
        let drop_it = CatalogChange::DropDatabase {
            name: "d".to_owned(),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| engine.compact_all(&GO_ON).unwrap());
            engine.change(&drop_it).unwrap();
        });
        assert_eq!((engine.stats().segments, files(&storage)), (0, 0));
    }
}
