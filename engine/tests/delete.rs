//! Deleting: seen at once, exact in values and in names, over head, segments, merges and restarts.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plimsoll_engine::catalog::DAY_NS;
use plimsoll_engine::predicate::{TagPredicate, ValueTest};
use plimsoll_engine::{
    Chosen, Deletion, Engine, Error, FieldType, FieldValue, TimeRange, Timestamp,
};
use plimsoll_wal::storage::Memory;
use proptest::prelude::*;
use support::*;

static GO_ON: AtomicBool = AtomicBool::new(false);

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange {
        start: Timestamp(start),
        end: Timestamp(end),
    }
}

fn names(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn pod_is(pod: &str) -> Chosen {
    Chosen::Where(TagPredicate::Tag {
        key: "pod".into(),
        test: ValueTest::In(Arc::new([pod.into()])),
    })
}

const EVERY: Chosen = Chosen::Where(TagPredicate::All);

fn delete(engine: &Engine, measurements: &[&str], series: Chosen, range: TimeRange) {
    engine
        .delete(&Deletion {
            database: "d".to_owned(),
            policy: None,
            measurements: names(measurements),
            series,
            range,
        })
        .expect("the deletion is acknowledged");
}

/// What a reader finds: values, and every name that metadata gives.
#[derive(Debug, Default, PartialEq)]
struct Found {
    points: BTreeMap<(String, String, String, i64), String>,
    series: BTreeSet<(String, String)>,
    fields: BTreeSet<(String, String, FieldType)>,
    keys: BTreeSet<(String, String)>,
}

fn found(engine: &Engine) -> Found {
    let view = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
    let mut found = Found::default();
    for name in view.measurements().unwrap() {
        for key in view.tag_keys(&name).unwrap() {
            found.keys.insert((name.to_string(), key.to_string()));
        }
        let fields = view.fields(&name).unwrap();
        assert!(!fields.is_empty(), "a measurement has a field: {name}");
        let series = view.series(&name, &TagPredicate::All).unwrap();
        assert!(!series.is_empty(), "a measurement has a series: {name}");
        assert!(view.any_points(&name, &TagPredicate::All).unwrap());
        for series in series {
            assert!(view.has_points(&series).unwrap());
            let tags = series.tags.to_string();
            found.series.insert((name.to_string(), tags.clone()));
            for (field, kind) in &fields {
                let column = view.column(&series, field, *kind).unwrap();
                for (at, time) in column.times.iter().enumerate() {
                    let key = (name.to_string(), tags.clone(), field.to_string(), *time);
                    let value = format!("{:?}", column.values.value(at).to_owned());
                    found.points.insert(key, value);
                }
            }
        }
        for (field, kind) in fields {
            found
                .fields
                .insert((name.to_string(), field.to_string(), kind));
        }
    }
    found
}

/// What must be found: every name from the points alone.
fn expected(points: &BTreeMap<(String, String, String, i64), FieldValue>) -> Found {
    let mut expected = Found::default();
    for ((measurement, tags, field, time), value) in points {
        let name = || measurement.clone();
        expected.series.insert((name(), tags.clone()));
        expected
            .fields
            .insert((name(), field.clone(), value.field_type()));
        for (key, _) in support::tags(tags).pairs() {
            expected.keys.insert((name(), key.to_string()));
        }
        let key = (name(), tags.clone(), field.clone(), *time);
        expected.points.insert(key, format!("{value:?}"));
    }
    expected
}

#[derive(Debug, Clone)]
enum Step {
    Write {
        measurement: u8,
        series: u8,
        time: i64,
        field: u8,
        value: FieldValue,
    },
    Delete {
        measurements: Vec<u8>,
        series: Option<u8>,
        times: Option<(i64, i64)>,
    },
    Flush,
    Merge,
    MergeAll,
    Reopen,
}

const SERIES: [&str; 4] = ["", "node=n,pod=a", "pod=a", "pod=b\\ c"];

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        4 => any::<i64>().prop_map(FieldValue::Integer),
        1 => any::<bool>().prop_map(FieldValue::Boolean),
        1 => (0..9u8).prop_map(|n| FieldValue::String(format!("s{n}").into())),
    ];
    let write = (0..2u8, 0..3u8, 0..20i64, 0..2u8, value);
    let write = write.prop_map(|(measurement, series, time, field, value)| Step::Write {
        measurement,
        series,
        time,
        field,
        value,
    });
    let delete = (
        proptest::collection::vec(0..3u8, 1..3),
        proptest::option::weighted(0.7, 0..4u8),
        proptest::option::of((0..20i64, 0..20i64)),
    );
    let delete = delete.prop_map(|(measurements, series, times)| Step::Delete {
        measurements,
        series,
        times,
    });
    prop_oneof![
        24 => write, 5 => delete, 3 => Just(Step::Flush), 1 => Just(Step::Merge),
        1 => Just(Step::MergeAll), 1 => Just(Step::Reopen)
    ]
}

/// The engine beside a map of its points, and the types that fields have.
struct Twin {
    engine: Option<Engine>,
    storage: Arc<Memory>,
    points: BTreeMap<(String, String, String, i64), FieldValue>,
    types: BTreeMap<(String, String), FieldType>,
}

impl Twin {
    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write {
                measurement,
                series,
                time,
                field,
                value,
            } => {
                let (name, field) = (format!("m{measurement}"), format!("f{field}"));
                let (tags, time) = (SERIES[usize::from(series)], NOW + time * SECOND);
                let batch = point(&name, tags, time, &[(&field, value.clone())]);
                let written = self.engine().write("d", "", &batch).unwrap();
                let key = (name.clone(), field.clone());
                let kind = *self.types.entry(key).or_insert(value.field_type());
                let fits = kind == value.field_type();
                assert_eq!(written.rejected.is_empty(), fits, "{:?}", written.rejected);
                if fits {
                    self.points
                        .insert((name, tags.to_owned(), field, time), value);
                }
            }
            Step::Delete {
                measurements,
                series,
                times,
            } => {
                let range = times.map_or(TimeRange::ALL, |(start, len)| {
                    range(NOW + start * SECOND, NOW + (start + len) * SECOND)
                });
                let only = series.map(|at| SERIES[usize::from(at)]);
                let chosen = only.map_or(EVERY, |only| Chosen::These([tags(only)].into()));
                let wanted: Vec<String> = measurements.iter().map(|m| format!("m{m}")).collect();
                let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
                delete(self.engine(), &wanted, chosen, range);
                self.points.retain(|(name, tags, _, time), _| {
                    !(wanted.contains(&name.as_str())
                        && only.is_none_or(|only| only == tags)
                        && range.contains(Timestamp(*time)))
                });
                let points = &self.points;
                self.types.retain(|(name, field), _| {
                    points.keys().any(|key| key.0 == *name && key.2 == *field)
                });
            }
            Step::Flush => self.engine().flush().unwrap(),
            Step::Merge => {
                self.engine().compact_step(&GO_ON).unwrap();
            }
            Step::MergeAll => {
                let before = found(self.engine());
                self.engine().compact_all(&GO_ON).unwrap();
                assert_eq!(found(self.engine()), before, "a merge changes no answer");
                let stats = self.engine().stats();
                assert!(stats.segments <= 1, "{stats:?}");
                assert_eq!(stats.tombstones, 0, "what is merged out needs no tombstone");
            }
            Step::Reopen => {
                drop(self.engine.take());
                self.engine = Some(open(&self.storage).0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_found_is_what_a_map_would_hold(steps in proptest::collection::vec(step(), 1..120)) {
        let (engine, storage) = fresh();
        let mut twin = Twin {
            engine: Some(engine),
            storage,
            points: BTreeMap::new(),
            types: BTreeMap::new(),
        };
        for step in steps {
            let is_write = matches!(step, Step::Write { .. });
            twin.step(step);
            if !is_write {
                prop_assert_eq!(found(twin.engine()), expected(&twin.points));
            }
        }
        for last in [Step::Reopen, Step::MergeAll, Step::Reopen] {
            twin.step(last);
            prop_assert_eq!(found(twin.engine()), expected(&twin.points));
        }
    }
}

#[test]
fn a_deletion_hides_segments_the_frozen_head_and_the_open_one_alike() {
    let (engine, storage) = fresh();
    for flush in 0..3 {
        for second in 0..10 {
            write_integer(
                &engine,
                "cpu",
                "pod=a",
                NOW + (flush * 10 + second) * SECOND,
                second,
            );
            write_integer(
                &engine,
                "cpu",
                "pod=b",
                NOW + (flush * 10 + second) * SECOND,
                second,
            );
        }
        if flush < 2 {
            engine.flush().unwrap();
        }
    }
    let middle = range(NOW + 5 * SECOND, NOW + 24 * SECOND);
    delete(&engine, &["cpu"], pod_is("a"), middle);
    let check = |engine: &Engine| {
        let series = integers(engine, "cpu");
        let times = |at: usize| series[at].1.iter().map(|p| (p.0 - NOW) / SECOND);
        assert!(times(0).eq((0..5).chain(25..30)), "{:?}", series[0]);
        assert!(times(1).eq(0..30));
    };
    check(&engine);
    drop(engine);
    let (engine, _) = open(&storage);
    check(&engine);
    engine.compact_all(&GO_ON).unwrap();
    check(&engine);
}

/// A flush that fails leaves a frozen generation, which a deletion masks as it does a segment.
#[test]
fn a_deletion_after_a_flush_that_failed_holds_for_what_was_frozen() {
    let mut deleted = 0;
    for at in 0..30 {
        let (engine, storage) = fresh();
        write_integer(&engine, "cpu", "pod=a", NOW, 1);
        write_integer(&engine, "cpu", "pod=b", NOW, 1);
        storage.fail_at(storage.operations() + at, std::io::ErrorKind::Other);
        let flushed = engine.flush();
        let number = [("value", FieldValue::Integer(2))];
        let batch = point("cpu", "pod=c", NOW, &number);
        if flushed.is_ok() || engine.write("d", "", &batch).is_err() {
            // Not reached, or the log itself has stopped.
            continue;
        }
        deleted += 1;
        delete(&engine, &["cpu"], pod_is("a"), TimeRange::ALL);
        write_integer(&engine, "cpu", "pod=b", NOW, 3);
        let expected = [
            ("pod=b".to_owned(), vec![(NOW, 3)]),
            ("pod=c".to_owned(), vec![(NOW, 2)]),
        ];
        assert_eq!(integers(&engine, "cpu"), expected, "failed at {at}");
        drop(engine);
        let (engine, _) = open(&storage);
        assert_eq!(integers(&engine, "cpu"), expected, "failed at {at}");
        engine.flush().unwrap();
        assert_eq!(integers(&engine, "cpu"), expected, "failed at {at}");
        engine.compact_all(&GO_ON).unwrap();
        assert_eq!(integers(&engine, "cpu"), expected, "failed at {at}");
        assert_eq!(engine.stats().tombstones, 0);
    }
    assert!(deleted >= 5, "{deleted} flushes failed behind the log");
}

#[test]
fn points_written_after_a_deletion_stay() {
    let (engine, storage) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    write_integer(&engine, "cpu", "pod=a", NOW + SECOND, 1);
    engine.flush().unwrap();
    write_integer(&engine, "cpu", "pod=a", NOW, 2);
    delete(&engine, &["cpu"], EVERY, TimeRange::ALL);
    assert!(integers(&engine, "cpu").is_empty());
    write_integer(&engine, "cpu", "pod=a", NOW, 3);
    let expected = vec![("pod=a".to_owned(), vec![(NOW, 3)])];
    assert_eq!(integers(&engine, "cpu"), expected);
    engine.flush().unwrap();
    assert_eq!(integers(&engine, "cpu"), expected);
    drop(engine);
    let (engine, _) = open(&storage);
    assert_eq!(integers(&engine, "cpu"), expected);
    engine.compact_all(&GO_ON).unwrap();
    assert_eq!(integers(&engine, "cpu"), expected);
}

#[test]
fn a_series_that_comes_back_is_found_again() {
    let (engine, storage) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    write_integer(&engine, "cpu", "pod=b", NOW, 1);
    for round in 2..5 {
        delete(&engine, &["cpu"], pod_is("a"), TimeRange::ALL);
        assert_eq!(found(&engine).series.len(), 1);
        write_integer(&engine, "cpu", "pod=a", NOW, round);
        assert_eq!(found(&engine).series.len(), 2);
    }
    drop(engine);
    let (engine, _) = open(&storage);
    let expected = [
        ("pod=a".into(), vec![(NOW, 4)]),
        ("pod=b".into(), vec![(NOW, 1)]),
    ];
    assert_eq!(integers(&engine, "cpu"), expected);
    assert_eq!(found(&engine).series.len(), 2);
}

#[test]
fn a_dropped_measurement_frees_the_types_of_its_fields() {
    let (engine, storage) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    engine.flush().unwrap();
    write_integer(&engine, "cpu", "pod=a", NOW + SECOND, 1);
    let text = [("value", FieldValue::String("x".into()))];
    let batch = point("cpu", "pod=a", NOW + 2 * SECOND, &text);
    assert_eq!(engine.write("d", "", &batch).unwrap().points_stored, 0);
    engine.drop_measurement("d", "cpu").unwrap();
    assert_eq!(found(&engine), Found::default());
    assert_eq!(engine.write("d", "", &batch).unwrap().points_stored, 1);
    let kinds = |engine: &Engine| {
        let fields = found(engine).fields.into_iter();
        fields.map(|(_, _, kind)| kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&engine), [FieldType::String]);
    drop(engine);
    let (engine, _) = open(&storage);
    engine.flush().unwrap();
    assert_eq!(kinds(&engine), [FieldType::String]);
    drop(engine);
    let (engine, _) = open(&storage);
    let number = [("value", FieldValue::Integer(1))];
    let batch = point("cpu", "pod=a", NOW, &number);
    let rejected = engine.write("d", "", &batch).unwrap().rejected;
    assert!(
        rejected[0]
            .reason
            .ends_with("already exists as type string")
    );
}

#[test]
fn a_field_keeps_its_type_while_one_point_of_it_is_left() {
    let (engine, _) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    write_integer(&engine, "cpu", "pod=b", NOW, 1);
    engine.flush().unwrap();
    delete(&engine, &["cpu"], pod_is("a"), TimeRange::ALL);
    let text = [("value", FieldValue::String("x".into()))];
    let batch = point("cpu", "pod=a", NOW, &text);
    assert_eq!(engine.write("d", "", &batch).unwrap().points_stored, 0);
}

#[test]
fn a_deletion_may_be_of_one_policy_only_and_ends_at_its_partitions() {
    let (engine, _) = fresh();
    for day in [0, 10, 20] {
        write_integer(&engine, "cpu", "pod=a", NOW - day * DAY_NS, day);
    }
    engine.flush().unwrap();
    assert_eq!(engine.stats().partitions, 3);
    delete(
        &engine,
        &["cpu"],
        EVERY,
        range(NOW - 15 * DAY_NS, NOW - 5 * DAY_NS),
    );
    let times: Vec<i64> = integers(&engine, "cpu")[0].1.iter().map(|p| p.1).collect();
    assert_eq!(times, [20, 0]);
    assert_eq!(engine.stats().tombstones, 1);
    let other = Deletion {
        database: "d".to_owned(),
        policy: Some("none".to_owned()),
        measurements: names(&["cpu"]),
        series: EVERY,
        range: TimeRange::ALL,
    };
    let error = engine.delete(&other).unwrap_err();
    assert!(matches!(error, Error::PolicyNotFound(name) if name == "none"));
    let error = engine.drop_measurement("nowhere", "cpu").unwrap_err();
    assert!(matches!(error, Error::DatabaseNotFound(_)));
}

#[test]
fn deleting_what_only_the_head_holds_leaves_no_tombstone() {
    let (engine, storage) = fresh();
    write_integer(&engine, "old", "pod=a", NOW, 1);
    engine.flush().unwrap();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    engine.drop_measurement("d", "cpu").unwrap();
    assert_eq!(engine.stats().tombstones, 0);
    engine.drop_measurement("d", "nothing").unwrap();
    drop(engine);
    let (engine, _) = open(&storage);
    assert_eq!(engine.stats().tombstones, 0);
    assert!(integers(&engine, "cpu").is_empty());
    assert_eq!(integers(&engine, "old").len(), 1);
    engine.flush().unwrap();
    assert_eq!(engine.stats().segments, 1, "nothing was left to write");
}

#[test]
fn a_view_that_was_taken_before_keeps_what_segments_held() {
    let (engine, _) = fresh();
    write_integer(&engine, "cpu", "pod=a", NOW, 1);
    engine.flush().unwrap();
    let held = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
    engine.drop_measurement("d", "cpu").unwrap();
    engine.compact_all(&GO_ON).unwrap();
    assert_eq!(engine.stats().segments, 0);
    let series = held.series("cpu", &TagPredicate::All).unwrap();
    let column = held
        .column(&series[0], "value", FieldType::Integer)
        .unwrap();
    assert_eq!(column.times, [NOW]);
    assert!(integers(&engine, "cpu").is_empty());
}

#[test]
fn deletions_and_merges_go_on_beside_each_other() {
    let (engine, storage) = fresh();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let merges = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                engine.compact_all(&GO_ON).unwrap();
            }
        });
        for round in 0..60 {
            for pod in ["pod=a", "pod=b"] {
                write_integer(&engine, "cpu", pod, NOW + round * SECOND, round);
                write_integer(&engine, "cpu", pod, NOW + (round + 100) * SECOND, round);
            }
            if round % 3 == 0 {
                engine.flush().unwrap();
            }
            let before = range(NOW, NOW + round * SECOND);
            delete(&engine, &["cpu"], pod_is("a"), before);
            let series = integers(&engine, "cpu");
            let counts: Vec<i64> = series
                .iter()
                .map(|(_, points)| i64::try_from(points.len()).unwrap())
                .collect();
            assert_eq!(counts, [round + 1, 2 * round + 2]);
        }
        done.store(true, Ordering::SeqCst);
        merges.join().unwrap();
    });
    engine.compact_all(&GO_ON).unwrap();
    assert_eq!(engine.stats().tombstones, 0);
    let left = found(&engine);
    assert_eq!(left.points.len(), 60 + 120);
    drop(engine);
    assert_eq!(found(&open(&storage).0), left);
}
