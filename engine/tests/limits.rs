//! A point that is over a limit is refused alone, with a reason, and counted by the limit.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::sync::Arc;

use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{
    Batch, Engine, FieldValue, Options, OverLimits, STRING_BYTES_MAX, TAG_SET_BYTES_MAX, TimeRange,
    Timestamp, Written,
};
use plimsoll_wal::storage::{Memory, Storage};
use support::*;

fn limited(tag_sets_max: Option<u64>, columns_max: u64) -> (Engine, Arc<Memory>) {
    let memory = Arc::new(Memory::new());
    let storage: Arc<dyn Storage> = memory.clone();
    let options = Options {
        tag_sets_max,
        columns_max,
        ..options()
    };
    let (engine, _) = Engine::open(storage, options, clock()).unwrap();
    create(&engine, "d");
    (engine, memory)
}

fn write(engine: &Engine, points: &[(&str, &str, &str, FieldValue)]) -> Written {
    let mut batch = Batch::default();
    for (measurement, tag_set, field, value) in points {
        let fields = [(*field, value.clone())];
        batch.add(measurement, &tags(tag_set), Timestamp(NOW), fields);
    }
    engine.write("d", "", &batch).unwrap()
}

fn text(len: usize) -> FieldValue {
    FieldValue::String("x".repeat(len).into())
}

fn one() -> FieldValue {
    FieldValue::Integer(1)
}

/// The one reason, of so many points.
fn reason(written: &Written, points: usize) -> &str {
    assert_eq!(written.rejected.len(), 1, "{written:?}");
    assert_eq!(written.rejected[0].points, points);
    &written.rejected[0].reason
}

#[test]
fn a_string_that_no_segment_can_hold_is_refused_and_the_head_can_be_flushed() {
    let (engine, storage) = fresh();
    let written = write(
        &engine,
        &[
            ("event", "pod=a", "value", text(STRING_BYTES_MAX + 1)),
            ("event", "pod=b", "value", text(STRING_BYTES_MAX)),
        ],
    );
    assert_eq!(written.points_stored, 1);
    assert_eq!(
        reason(&written, 1),
        "max string length exceeded: input field \"value\" on measurement \"event\" has over \
         1048576 bytes"
    );
    assert_eq!(engine.stats().over_limits.string_bytes, 1);
    engine.flush().unwrap();
    engine.close().unwrap();
    let (engine, _) = open(&storage);
    let view = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
    let series = view.series("event", &TagPredicate::All).unwrap();
    let names: Vec<String> = series.iter().map(|one| one.tags.to_string()).collect();
    assert_eq!(names, ["pod=b"]);
}

#[test]
fn tag_sets_and_names_that_are_too_long_are_refused_point_by_point() {
    let (engine, _storage) = fresh();
    let long = "x".repeat(TAG_SET_BYTES_MAX + 1);
    let (fits, over) = (
        &long[..TAG_SET_BYTES_MAX - 4],
        &long[..TAG_SET_BYTES_MAX - 3],
    );
    let written = write(
        &engine,
        &[
            ("cpu", &format!("pod={fits}"), "value", one()),
            ("cpu", &format!("pod={over}"), "value", one()),
            ("mem", &format!("pod={over}"), "value", one()),
        ],
    );
    assert_eq!(written.points_stored, 1);
    let expected = "max key length exceeded: a tag set has over 65536 bytes";
    assert_eq!(reason(&written, 2), expected);
    let written = write(&engine, &[(&long, "pod=a", "value", one())]);
    assert!(reason(&written, 1).contains("the name of a measurement has over 65536 bytes"));
    let written = write(&engine, &[("cpu", "pod=a", &long, one())]);
    assert!(reason(&written, 1).contains("the name of a field has over 65536 bytes"));
    let expected = OverLimits {
        tag_set_bytes: 4,
        ..OverLimits::default()
    };
    assert_eq!(engine.stats().over_limits, expected);
    assert_eq!(engine.stats().points_rejected, 4);
    engine.flush().unwrap();
}

#[test]
fn a_measurement_has_no_more_fields_than_it_may_also_after_a_restart() {
    let (engine, storage) = limited(None, 2);
    let fields = ["a", "b", "c", "a"];
    let points: Vec<_> = fields.map(|field| ("cpu", "pod=a", field, one())).into();
    let written = write(&engine, &points);
    let expected = "max_columns_per_measurement limit exceeded: (2) on measurement \"cpu\"";
    assert_eq!(reason(&written, 1), expected);
    assert_eq!(written.points_stored, 3);
    let written = write(&engine, &[("mem", "pod=a", "c", one())]);
    assert_eq!(written.points_stored, 1, "each measurement counts alone");
    engine.flush().unwrap();
    engine.close().unwrap();
    let shared: Arc<dyn Storage> = storage.clone();
    let options = Options {
        columns_max: 2,
        ..options()
    };
    let (engine, _) = Engine::open(shared, options, clock()).unwrap();
    let written = write(&engine, &points);
    assert_eq!(reason(&written, 1), expected);
    assert_eq!(engine.stats().over_limits.columns, 1);
}

#[test]
fn a_database_has_no_more_tag_sets_in_the_head_than_it_may() {
    let (engine, _storage) = limited(Some(2), 100);
    create(&engine, "other");
    let points = ["pod=a", "pod=b", "pod=c", "pod=a"].map(|pod| ("cpu", pod, "value", one()));
    let written = write(&engine, &points);
    let expected = "max_tag_sets_per_database limit exceeded: (2)";
    assert_eq!(reason(&written, 1), expected);
    assert_eq!(written.points_stored, 3);
    let pods = || -> Vec<String> {
        integers(&engine, "cpu")
            .into_iter()
            .map(|one| one.0)
            .collect()
    };
    assert_eq!(pods(), ["pod=a", "pod=b"]);
    let elsewhere = point("cpu", "pod=z", NOW, &[("value", one())]);
    let written = engine.write("other", "", &elsewhere).unwrap();
    assert_eq!(written.rejected, [], "each database counts alone");
    // What died makes room with the next flush.
    engine.flush().unwrap();
    let written = write(&engine, &points[2..]);
    assert_eq!(written.rejected, []);
    assert_eq!(pods(), ["pod=a", "pod=b", "pod=c"]);
    assert_eq!(engine.stats().over_limits.tag_sets, 1);
}
