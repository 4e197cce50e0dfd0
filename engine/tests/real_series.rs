//! Real container counters through a segment: they come back, and how small they are.

#![expect(clippy::unwrap_used, reason = "a test's input is as its README says")]

use std::path::Path;

use plimsoll_engine::model::{TagSet, TimeRange, Values};
use plimsoll_engine::segment::{Scratch, Segment, SegmentBuilder, SegmentIdentity};
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
