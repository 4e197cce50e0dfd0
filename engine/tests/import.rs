//! Years of points, written in one go: in the order of time, series by series, and in none. The head
//! stays within its budget, and each flush writes a partition once.
//!
//! PLIMSOLL_IMPORT_WEEKS, _SERIES, _ROWS (a week and series) and _HEAD (bytes) make it another one;
//! what it took is printed.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]
#![expect(clippy::print_stdout, reason = "it tells what it measured")]

mod support;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{
    Batch, Engine, Error, FieldType, FieldValue, Options, TagSet, TimeRange, Timestamp,
};
use plimsoll_wal::storage::{Memory, Storage};
use support::*;

const WEEK: i64 = 7 * 24 * 3600 * SECOND;
const BATCH_ROWS: usize = 500;
const FIELDS: [&str; 3] = ["cpu", "memory", "network"];

fn setting(name: &str, default: i64) -> i64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

#[derive(Debug, Clone, Copy)]
struct Size {
    weeks: i64,
    series: i64,
    /// A week and series.
    rows: i64,
}

/// In which order rows come.
#[derive(Debug, Clone, Copy)]
enum Order {
    Time,
    Series,
    None,
}

/// (series, week, row in the week).
fn rows(order: Order, size: Size) -> Vec<(i64, i64, i64)> {
    let mut all = Vec::new();
    for week in 0..size.weeks {
        for row in 0..size.rows {
            for one in 0..size.series {
                all.push((one, week, row));
            }
        }
    }
    match order {
        Order::Time => {}
        Order::Series => all.sort(),
        Order::None => all.sort_by_key(|(one, week, row)| {
            // No order, but the same in every run.
            let mixed = ((one * 7919 + row) * size.weeks + week).cast_unsigned();
            mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
        }),
    }
    all
}

fn value((series, week, row): (i64, i64, i64), field: i64) -> i64 {
    series * 1_000_000 + week * 1_000 + row * 10 + field
}

fn time((_, week, row): (i64, i64, i64), size: Size) -> i64 {
    NOW - (size.weeks - week) * WEEK + row * (WEEK / size.rows)
}

#[test]
fn years_in_one_import_stay_within_the_head_and_are_flushed_partition_by_partition() {
    let size = Size {
        weeks: setting("PLIMSOLL_IMPORT_WEEKS", 104),
        series: setting("PLIMSOLL_IMPORT_SERIES", 8),
        rows: setting("PLIMSOLL_IMPORT_ROWS", 3),
    };
    for order in [Order::Time, Order::Series, Order::None] {
        import(order, size);
    }
}

fn import(order: Order, size: Size) {
    let head_bytes_max = u64::try_from(setting("PLIMSOLL_IMPORT_HEAD", 128 << 10)).unwrap();
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let options = Options {
        log_file_bytes: 1 << 20,
        head_bytes_max,
        ..options()
    };
    let (engine, _) = Engine::open(storage, options, clock()).unwrap();
    create(&engine, "d");
    let tag_sets: Vec<TagSet> = (0..size.series)
        .map(|one| tags(&format!("namespace=n{},pod=pod-{one}", one % 7)))
        .collect();
    let all = rows(order, size);
    let (mut head_bytes, mut segments) = (0, 0);
    for rows in all.chunks(BATCH_ROWS) {
        let mut batch = Batch::default();
        for row in rows {
            let values = (0i64..).zip(FIELDS);
            let values = values.map(|(n, field)| (field, FieldValue::Integer(value(*row, n))));
            let tags = &tag_sets[usize::try_from(row.0).unwrap()];
            let at = Timestamp(time(*row, size));
            batch.add("container", tags, at, values);
        }
        loop {
            match engine.write("d", "", &batch) {
                Err(Error::Busy { .. }) => engine.flush().unwrap(),
                written => break assert_eq!(written.unwrap().rejected, []),
            }
        }
        head_bytes = head_bytes.max(engine.stats().head_bytes);
        engine.maintain().unwrap();
        segments = segments.max(engine.stats().segments);
    }
    engine.flush().unwrap();
    let stats = engine.stats();
    // A partition is one more where weeks do not begin with the first point.
    let partitions = size.weeks.cast_unsigned() + 1;
    assert!(stats.partitions <= partitions, "{stats:?}");
    assert!(
        stats.segments <= partitions.saturating_mul(stats.flushes),
        "a flush writes a partition once: {stats:?}"
    );
    // A batch is taken whole where the head has room.
    assert!(head_bytes <= head_bytes_max + (256 << 10), "{head_bytes}");
    assert!(stats.flushes > 1, "{stats:?}");
    let (flushes, written) = (stats.flushes, segments.max(stats.segments));
    engine.compact_all(&AtomicBool::new(false)).unwrap();
    let stats = engine.stats();
    assert_eq!(stats.segments, stats.partitions);
    println!(
        "{order:?}: {} values, {flushes} flushes, up to {written} segments, then {}, {} bytes; the head \
         had up to {head_bytes} bytes",
        stats.values_written, stats.segments, stats.segment_bytes
    );
    check(&engine, size);
}

fn check(engine: &Engine, size: Size) {
    let view = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
    let found = view.series("container", &TagPredicate::All).unwrap();
    assert_eq!(found.len(), usize::try_from(size.series).unwrap());
    for one in &found {
        let number: i64 = one.tags.value("pod").unwrap()[4..].parse().unwrap();
        for (n, field) in (0i64..).zip(FIELDS) {
            let column = view.column(one, field, FieldType::Integer).unwrap();
            let rows = (0..size.weeks).flat_map(|week| (0..size.rows).map(move |row| (week, row)));
            let expected: Vec<(i64, i64)> = rows
                .map(|(week, row)| (number, week, row))
                .map(|row| (time(row, size), value(row, n)))
                .collect();
            let plimsoll_engine::model::Values::Integer(values) = column.values else {
                panic!("integers were written")
            };
            let there: Vec<(i64, i64)> = column.times.into_iter().zip(values).collect();
            assert_eq!(there, expected, "{field} of {}", one.tags);
        }
    }
}
