//! What the engine's tests share: an engine over memory, and short ways to write and read.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file uses some of it, none all"
)]

use std::sync::Arc;

use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::model::Values;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{
    Batch, Engine, FieldType, FieldValue, OpenReport, Options, TagSet, TimeRange, Timestamp,
    Written,
};
use plimsoll_wal::storage::{Memory, Storage};

pub const NOW: i64 = 1_700_000_000_000_000_000;
pub const SECOND: i64 = 1_000_000_000;

pub fn options() -> Options {
    Options {
        log_file_bytes: 64 << 10,
        ..Options::new("data")
    }
}

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp(NOW)))
}

pub fn open(storage: &Arc<Memory>) -> (Engine, OpenReport) {
    let storage: Arc<dyn Storage> = storage.clone();
    Engine::open(storage, options(), clock()).expect("the directory opens")
}

/// An engine over new memory with the database `d`.
pub fn fresh() -> (Engine, Arc<Memory>) {
    let storage = Arc::new(Memory::new());
    let (engine, _) = open(&storage);
    create(&engine, "d");
    (engine, storage)
}

pub fn create(engine: &Engine, name: &str) {
    let change = CatalogChange::CreateDatabase {
        name: name.to_owned(),
        policy: None,
    };
    engine.change(&change).expect("the database is made");
}

pub fn tags(text: &str) -> TagSet {
    TagSet::from_canonical(text)
}

pub fn point(measurement: &str, tag_set: &str, time: i64, fields: &[(&str, FieldValue)]) -> Batch {
    let mut batch = Batch::default();
    batch.add(
        measurement,
        &tags(tag_set),
        Timestamp(time),
        fields.iter().cloned(),
    );
    batch
}

pub fn write_integer(
    engine: &Engine,
    measurement: &str,
    tag_set: &str,
    time: i64,
    value: i64,
) -> Written {
    let batch = point(
        measurement,
        tag_set,
        time,
        &[("value", FieldValue::Integer(value))],
    );
    engine
        .write("d", "", &batch)
        .expect("the write is acknowledged")
}

/// Every integer point of field `value`, by series.
pub fn integers(engine: &Engine, measurement: &str) -> Vec<(String, Vec<(i64, i64)>)> {
    let view = engine
        .snapshot()
        .view("d", "", TimeRange::ALL)
        .expect("the database is there");
    let series = view
        .series(measurement, &TagPredicate::All)
        .expect("the index verifies");
    series
        .iter()
        .map(|series| {
            let column = view
                .column(series, "value", FieldType::Integer)
                .expect("the data verifies");
            let Values::Integer(values) = column.values else {
                panic!("integers were asked for")
            };
            (
                series.tags.to_string(),
                column.times.into_iter().zip(values).collect(),
            )
        })
        .collect()
}
