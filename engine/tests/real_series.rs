//! Real container counters through a segment: they come back, and how small they are.

#![expect(clippy::unwrap_used, reason = "a test's input is as its README says")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::model::{TagSet, TimeRange, Values};
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::segment::{Scratch, Segment, SegmentBuilder, SegmentIdentity};
use plimsoll_engine::{Batch, Engine, Options, Timestamp};
use plimsoll_wal::storage::memory::Memory;
use plimsoll_wal::storage::{ReadMode, Storage};

struct Series {
    target: usize,
    metric: String,
    start: usize,
    values: Values,
}

struct Recording {
    targets: Vec<(String, Vec<i64>)>,
    series: Vec<Series>,
}

/// Takes little-endian numbers and names from the front of bytes.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    fn number(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().unwrap()) as usize
    }

    fn name(&mut self) -> String {
        let len = self.number();
        String::from_utf8(self.take(len).to_vec()).unwrap()
    }

    fn numbers(&mut self, count: usize) -> Vec<i64> {
        self.take(count * 8)
            .chunks_exact(8)
            .map(|eight| i64::from_le_bytes(eight.try_into().unwrap()))
            .collect()
    }

    fn target(&mut self) -> (String, Vec<i64>) {
        let name = self.name();
        let count = self.number();
        (name, self.numbers(count))
    }

    fn series(&mut self) -> Series {
        let target = self.number();
        let metric = self.name();
        let floats = self.take(1)[0] == 2;
        let start = self.number();
        let count = self.number();
        let numbers = self.numbers(count);
        let values = if floats {
            let floats = numbers
                .iter()
                .map(|bits| f64::from_bits(bits.cast_unsigned()));
            Values::Float(floats.collect())
        } else {
            Values::Integer(numbers)
        };
        Series {
            target,
            metric,
            start,
            values,
        }
    }
}

/// The recording, or None where it is not there.
fn recording() -> Option<Recording> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/data/series/containers_1s.cts.zst"
    );
    let bytes = std::fs::read(path).ok()?;
    let bytes = zstd::bulk::decompress(&bytes, 64 << 20).unwrap();
    let mut input = Input(&bytes);
    assert_eq!(input.take(4), b"CTS1");
    let targets = (0..input.number()).map(|_| input.target()).collect();
    let series = (0..input.number()).map(|_| input.series()).collect();
    Some(Recording { targets, series })
}

/// Every `every`th value of a series, with its times.
fn sampled(recording: &Recording, series: &Series, every: usize) -> (Vec<i64>, Values) {
    let all = &recording.targets[series.target].1;
    let mut times = Vec::new();
    let mut values = Values::new(series.values.field_type());
    for row in 0..series.values.len() {
        if (series.start + row).is_multiple_of(every) {
            times.push(all[series.start + row]);
            values.push(series.values.value(row));
        }
    }
    (times, values)
}

fn tags(recording: &Recording, series: &Series) -> TagSet {
    let name = recording.targets[series.target].0.as_str();
    TagSet::from_pairs([("container_name", name)]).unwrap()
}

fn read(segment: &Segment, tags: &TagSet, series: &Series) -> (Vec<i64>, Values) {
    let kind = series.values.field_type();
    let (mut times, mut values) = (Vec::new(), Values::new(kind));
    let column = segment.column(&series.metric, "value", kind).unwrap();
    let id = segment.find(tags).unwrap().unwrap();
    let mut scratch = Scratch::default();
    let all = TimeRange::ALL;
    for block in segment.blocks(column, id, all).unwrap() {
        segment
            .read_block(&block, all, &mut scratch, &mut times, &mut values)
            .unwrap();
    }
    (times, values)
}

#[test]
fn real_series_come_back_and_are_small() {
    let Some(recording) = recording() else {
        eprintln!("SKIPPED real_series_come_back_and_are_small ../shared/data is not there");
        return;
    };
    // Interval, and the most bytes a value may take, index, tags and times among them.
    for (every, bytes_max) in [(1, 0.8), (10, 1.3), (60, 2.2)] {
        let mut builder = SegmentBuilder::new(SegmentIdentity {
            partition: 1,
            segment: 1,
            rank_lo: 1,
            rank_hi: 1,
        });
        let mut expected = Vec::new();
        for series in &recording.series {
            let (times, values) = sampled(&recording, series, every);
            if times.is_empty() {
                continue;
            }
            let tags = tags(&recording, series);
            let column = builder.time_column(&times).unwrap();
            builder
                .chunk(&series.metric, "value", &tags, column, None, &values)
                .unwrap();
            expected.push((series, tags, (times, values)));
        }
        let storage = Memory::new();
        storage.create_directory(Path::new("/d")).unwrap();
        let path = Path::new("/d/1.seg");
        let facts = builder.write(&storage, path).unwrap();
        let segment = Segment::open(&storage, path, &facts, ReadMode::Pread).unwrap();
        for (series, tags, rows) in expected {
            assert_eq!(read(&segment, &tags, series), rows);
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio to print")]
        let bytes = facts.len_bytes as f64 / facts.points as f64;
        println!(
            "every {every} s: {} values, {bytes:.3} bytes each",
            facts.points
        );
        assert!(bytes < bytes_max, "{bytes} bytes a value at {every} s");
    }
}

/// How many times the recording is flushed while it is written.
const FLUSHES: usize = 8;
const EVERY: usize = 10;

/// Every column of the database, by name.
fn columns(engine: &Engine) -> BTreeMap<String, (Vec<i64>, Values)> {
    let view = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
    let mut found = BTreeMap::new();
    for measurement in view.measurements().unwrap() {
        for series in view.series(&measurement, &TagPredicate::All).unwrap() {
            for (field, kind) in view.fields(&measurement).unwrap() {
                let column = view.column(&series, &field, kind).unwrap();
                let name = format!("{measurement} {} {field} {kind}", series.tags);
                found.insert(name, (column.times, column.values));
            }
        }
    }
    found
}

#[test]
fn real_series_of_many_flushes_are_merged_as_small_as_if_written_at_once() {
    let Some(recording) = recording() else {
        eprintln!(
            "SKIPPED real_series_of_many_flushes_are_merged_as_small_as_if_written_at_once \
             ../shared/data is not there"
        );
        return;
    };
    let mut rows: BTreeMap<i64, Batch> = BTreeMap::new();
    for series in &recording.series {
        let (times, values) = sampled(&recording, series, EVERY);
        let tags = tags(&recording, series);
        for (row, time) in times.iter().enumerate() {
            let value = values.value(row).to_owned();
            let batch = rows.entry(*time).or_default();
            batch.add(&series.metric, &tags, Timestamp(*time), [("value", value)]);
        }
    }
    let last = *rows.last_key_value().unwrap().0;
    let clock = Arc::new(ManualClock::new(Timestamp(last)));
    let (engine, _) = Engine::open(Arc::new(Memory::new()), Options::new("data"), clock).unwrap();
    let create = CatalogChange::CreateDatabase {
        name: "d".to_owned(),
        policy: None,
    };
    engine.change(&create).unwrap();
    let per_flush = rows.len().div_ceil(FLUSHES);
    for (written, batch) in (1..).zip(rows.values()) {
        engine.write("d", "", batch).unwrap();
        if written % per_flush == 0 || written == rows.len() {
            engine.flush().unwrap();
        }
    }
    let before = columns(&engine);
    let points: usize = before.values().map(|column| column.0.len()).sum();
    let done = engine.compact_all(&AtomicBool::new(false)).unwrap();
    assert!(columns(&engine) == before, "every value stays as it was");
    #[expect(clippy::cast_precision_loss, reason = "a ratio to print")]
    let per_point = |bytes: u64| bytes as f64 / points as f64;
    let bytes_before: u64 = done.iter().map(|one| one.bytes_before).sum();
    let bytes_after: u64 = done.iter().map(|one| one.bytes_after).sum();
    println!(
        "{points} values in {FLUSHES} flushes: {:.3} bytes each, {:.3} merged",
        per_point(bytes_before),
        per_point(bytes_after)
    );
    assert!(per_point(bytes_after) < 1.3, "as one segment at once takes");
}
