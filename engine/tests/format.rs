//! Every format that was ever written opens, and a newer one is refused by name.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "support/cold_model.rs"]
mod cold_model;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plimsoll_engine::catalog::{CatalogChange, Destinations};
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::model::Values;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{Engine, FieldType, Options, TimeRange, Timestamp, View};
use plimsoll_wal::storage::Disk;
use tempfile::TempDir;

const START: i64 = 1_700_000_000_000_000_000;
const STEP: i64 = 10_000_000_000;

/// A copy of a committed directory: opening one writes to it.
fn copy(name: &str) -> TempDir {
    fn copy_into(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy_into(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), &target).unwrap();
            }
        }
    }
    let directory = TempDir::new().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    copy_into(&source, directory.path());
    directory
}

fn open(directory: &Path) -> plimsoll_engine::Result<Engine> {
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    Engine::open(Arc::new(Disk), Options::new(directory), clock).map(|(engine, report)| {
        assert_eq!((report.rows_lost, report.torn_tail), (0, None));
        engine
    })
}

fn integers(view: &View, measurement: &str, pod: &str) -> Vec<(i64, i64)> {
    let series = view.series(measurement, &TagPredicate::All).unwrap();
    let series = series
        .iter()
        .find(|s| s.tags.value("pod").as_deref() == Some(pod))
        .unwrap();
    let column = view.column(series, "value", FieldType::Integer).unwrap();
    let Values::Integer(values) = column.values else {
        panic!("integers")
    };
    column.times.into_iter().zip(values).collect()
}

/// Format 2 is format 1 with tombstones.
#[test]
fn format_2_opens_and_holds_what_was_not_deleted() {
    let directory = copy("format-2");
    for opening in 0..3 {
        let engine = open(directory.path()).unwrap();
        let view = engine.snapshot().view("k8s", "", TimeRange::ALL).unwrap();
        let cpu = integers(&view, "cpu/usage_ns_cumulative", "a");
        assert_eq!(cpu.len(), 52, "the measurement beside it is whole");
        let first = START + STEP + 1;
        let a = integers(&view, "memory/usage_bytes_gauge", "a");
        assert_eq!((a.len(), a[0].0), (49, first), "the first step is deleted");
        let b = integers(&view, "memory/usage_bytes_gauge", "b c");
        assert_eq!((b.len(), b[0].0), (39, first), "the last ten as well");
        assert_eq!(b[38].0, START + 39 * STEP);
        if opening == 1 {
            engine.compact_all(&AtomicBool::new(false)).unwrap();
            assert_eq!(engine.stats().tombstones, 0);
        } else if opening == 0 {
            assert_eq!(engine.stats().tombstones, 2);
        }
        engine.close().unwrap();
    }
}

/// Segments with cold pages have a feature bit; nothing else of format 2 differs.
#[test]
fn cold_pages_of_format_2_open_and_hold_what_was_written() {
    let directory = copy("format-2-cold");
    holds_the_cold_model(&open(directory.path()).unwrap());
}

/// Blocks of codec 8 have a feature bit; nothing else of format 3 differs.
#[test]
fn ticks_of_format_3_open_and_hold_what_was_written_also_when_they_are_merged() {
    let directory = copy("format-3-ticks");
    let mut all = Vec::new();
    files(directory.path(), &mut all);
    let segment = all
        .iter()
        .find(|path| path.extension().is_some_and(|e| e == "seg"));
    let bytes = fs::read(segment.unwrap()).unwrap();
    assert_eq!(bytes[12], 2, "the feature bit is set");
    let engine = open(directory.path()).unwrap();
    holds_the_cold_model(&engine);
    engine.compact_all(&AtomicBool::new(false)).unwrap();
    holds_the_cold_model(&engine);
}

fn holds_the_cold_model(engine: &Engine) {
    let view = engine.snapshot().view("k8s", "", TimeRange::ALL).unwrap();
    let all = view.series("container", &TagPredicate::All).unwrap();
    assert_eq!(all.len(), usize::try_from(cold_model::CONTAINERS).unwrap());
    for (container, series) in (0i64..).zip(&all) {
        let mut expected: BTreeMap<(&str, FieldType), Vec<(i64, String)>> = BTreeMap::new();
        let mut state = container.unsigned_abs() + 1;
        for row in 0..cold_model::ROWS {
            let time = cold_model::START + row * cold_model::STEP + container;
            for (field, value) in cold_model::row(container, row, &mut state) {
                let rows = expected.entry((field, value.field_type())).or_default();
                rows.push((time, format!("{value:?}")));
            }
        }
        assert_eq!(expected.len(), 8);
        for ((field, kind), rows) in expected {
            let column = view.column(series, field, kind).unwrap();
            let values = (0..column.times.len()).map(|at| {
                (
                    column.times[at],
                    format!("{:?}", column.values.value(at).to_owned()),
                )
            });
            assert_eq!(values.collect::<Vec<_>>(), rows, "{field} of {container}");
        }
    }
}

/// Format 3 is format 2 with continuous queries and subscriptions.
#[test]
fn format_3_opens_and_holds_its_continuous_queries_and_subscriptions() {
    let directory = copy("format-3");
    for opening in 0..3 {
        let engine = open(directory.path()).unwrap();
        let snapshot = engine.snapshot();
        let database = snapshot.catalog().database("k8s").unwrap();
        let queries: Vec<_> = database
            .continuous_queries
            .iter()
            .map(|query| (query.name.as_str(), query.last_run))
            .collect();
        let expected = [("first", Some(Timestamp(START))), ("second", None)];
        assert_eq!(queries, expected);
        assert!(database.continuous_queries[1].text.contains("\"second\""));
        let subscriptions = &database.policy("").unwrap().subscriptions;
        let found: Vec<_> = subscriptions
            .iter()
            .map(|there| (there.name.as_str(), there.mode, there.destinations.len()))
            .collect();
        let expected = [
            ("both", Destinations::All, 2),
            ("one", Destinations::Any, 1),
        ];
        assert_eq!(found, expected);
        let view = snapshot.view("k8s", "", TimeRange::ALL).unwrap();
        assert_eq!(integers(&view, "memory/usage_bytes_gauge", "a").len(), 49);
        if opening == 1 {
            engine.flush().unwrap();
        }
        engine.close().unwrap();
    }
}

/// Else an older program would take the log for a damaged one.
#[test]
fn what_an_older_program_does_not_know_raises_the_manifests_format_first() {
    let format = |directory: &Path| {
        let manifest = fs::read(directory.join("MANIFEST")).unwrap();
        u32::from_le_bytes(manifest[8..12].try_into().unwrap())
    };
    let directory = copy("format-2");
    let engine = open(directory.path()).unwrap();
    assert_eq!(format(directory.path()), 2, "opening changes nothing");
    let change = CatalogChange::CreateContinuousQuery {
        database: "k8s".to_owned(),
        name: "q".to_owned(),
        text: "text".to_owned(),
    };
    engine.change(&change).unwrap();
    assert_eq!(format(directory.path()), 3);
    engine.close().unwrap();

    let directory = TempDir::new().unwrap();
    let engine = open(directory.path()).unwrap();
    let database = CatalogChange::CreateDatabase {
        name: "k8s".to_owned(),
        policy: None,
    };
    engine.change(&database).unwrap();
    assert!(!directory.path().join("MANIFEST").exists());
    engine.change(&change).unwrap();
    assert_eq!(format(directory.path()), 3);
    engine.close().unwrap();
    let engine = open(directory.path()).unwrap();
    let snapshot = engine.snapshot();
    let database = snapshot.catalog().database("k8s").unwrap();
    assert_eq!(database.continuous_queries[0].text, "text");
}

#[test]
fn format_1_opens_and_holds_what_was_written() {
    let directory = copy("format-1");
    for opening in 0..3 {
        let engine = open(directory.path()).unwrap();
        let snapshot = engine.snapshot();
        let database = snapshot.catalog().database("k8s").unwrap();
        assert_eq!(
            (database.policies.len(), database.default_policy.as_str()),
            (2, "autogen")
        );
        let view = snapshot.view("k8s", "", TimeRange::ALL).unwrap();
        let names: Vec<_> = view.measurements().unwrap().into_iter().collect();
        let expected = [
            "cpu/usage_ns_cumulative",
            "load",
            "memory/usage_bytes_gauge",
            "types",
        ]
        .map(Into::into);
        assert_eq!(names, expected);
        let cpu = integers(&view, "cpu/usage_ns_cumulative", "a");
        assert_eq!(cpu.len(), 52, "50 steps and two late points");
        assert_eq!(cpu[1], (START - 5, -1));
        assert_eq!(cpu[51], (START + 49 * STEP + 1, 49 * 1_234_567));
        assert_eq!(integers(&view, "memory/usage_bytes_gauge", "b c").len(), 50);
        let types = view.series("types", &TagPredicate::All).unwrap();
        let strings = view.column(&types[0], "string", FieldType::String).unwrap();
        let Values::String(strings) = strings.values else {
            panic!("strings")
        };
        assert_eq!((strings.len(), &*strings[7]), (50, "step 7"));
        let unsigned = view
            .column(&types[0], "unsigned", FieldType::Unsigned)
            .unwrap();
        let Values::Unsigned(unsigned) = unsigned.values else {
            panic!("unsigned")
        };
        assert_eq!(unsigned[9], u64::MAX - 9);
        if opening == 1 {
            engine.flush().unwrap();
        }
        engine.close().unwrap();
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
}

/// The log file's header is tested beside its code.
#[test]
fn a_newer_format_is_refused_by_name() {
    let mut refused = 0;
    let mut all = Vec::new();
    let original = copy("format-1");
    files(original.path(), &mut all);
    for file in all {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".log") {
            continue;
        }
        let directory = copy("format-1");
        let path = directory
            .path()
            .join(file.strip_prefix(original.path()).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
        if name.ends_with(".seg") {
            // A segment's header has a checksum of its own, which a newer program would have set.
            let crc = crc32fast::hash(&bytes[..60]).to_le_bytes();
            bytes[60..64].copy_from_slice(&crc);
        }
        fs::write(&path, bytes).unwrap();
        let error = open(directory.path())
            .expect_err("a newer format does not open")
            .to_string();
        let known = if name == "MANIFEST" { 3 } else { 1 };
        let expected = format!("has format 7, this program knows up to {known}");
        assert!(error.contains(&expected), "{error}");
        assert!(error.contains(&name), "{error}");
        refused += 1;
    }
    assert_eq!(refused, 3, "a manifest and two segments");
}
