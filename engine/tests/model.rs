//! Long series against a map: rows of every type in order, late, twice, deleted, flushed, merged
//! and replayed, so many that the head seals them by column and sorts what came late.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{Batch, Chosen, Deletion, Engine, FieldValue, TimeRange, Timestamp};
use plimsoll_wal::storage::Memory;
use proptest::prelude::*;
use support::*;

static GO_ON: AtomicBool = AtomicBool::new(false);
const SERIES: [&str; 3] = ["pod=a", "pod=b", "node=n,pod=c"];
const MEASUREMENTS: [&str; 2] = ["cpu", "memory"];
const FIELDS: [&str; 7] = [
    "boolean", "constant", "decimal", "float", "integer", "text", "unsigned",
];

#[derive(Debug, Clone)]
enum Step {
    /// Rows of one series in one batch; `mask` says which fields, and `skip` how often one is left
    /// out.
    Rows {
        series: usize,
        measurement: usize,
        start: i64,
        count: i64,
        every: i64,
        mask: u8,
        skip: i64,
    },
    Delete {
        series: usize,
        measurement: usize,
        start: i64,
        len: i64,
    },
    Flush,
    Merge,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let rows = (
        0..SERIES.len(),
        0..MEASUREMENTS.len(),
        prop_oneof![3 => Just(None), 1 => (0..3_000_i64).prop_map(Some)],
        1..150_i64,
        prop_oneof![Just(1_i64), Just(10), Just(-1), Just(0)],
        prop_oneof![3 => Just(0x7f_u8), 1 => 1..0x80_u8],
        prop_oneof![3 => Just(0_i64), 1 => 2..9_i64],
    );
    let rows = rows.prop_map(
        |(series, measurement, start, count, every, mask, skip)| Step::Rows {
            series,
            measurement,
            // Most go on where the series ends: see `Twin::step`.
            start: start.unwrap_or(-1),
            count,
            every,
            mask,
            skip,
        },
    );
    let delete = (
        0..SERIES.len(),
        0..MEASUREMENTS.len(),
        0..3_000_i64,
        0..900_i64,
    );
    let delete = delete.prop_map(|(series, measurement, start, len)| Step::Delete {
        series,
        measurement,
        start,
        len,
    });
    prop_oneof![
        16 => rows, 2 => delete, 1 => Just(Step::Flush), 1 => Just(Step::Merge),
        2 => Just(Step::Reopen)
    ]
}

type Key = (&'static str, &'static str, &'static str);

struct Twin {
    engine: Option<Engine>,
    storage: Arc<Memory>,
    /// Of each measurement, series and field.
    points: BTreeMap<Key, BTreeMap<i64, FieldValue>>,
    writes: i64,
}

fn value(field: &str, time: i64, write: i64) -> FieldValue {
    let number = time * 37 % 1_009 + write;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let float = number as f64;
    match field {
        "boolean" => FieldValue::Boolean(number % 3 == 0),
        "constant" => FieldValue::Integer(4096),
        "decimal" => FieldValue::Float(float / 100.0),
        "float" => FieldValue::Float(1.0 / (float + 0.3)),
        "integer" => FieldValue::Integer(time * 1_000 + number % 7),
        "text" => FieldValue::String(format!("state {}", number % 40).into()),
        _ => FieldValue::Unsigned(u64::MAX - number.unsigned_abs()),
    }
}

impl Twin {
    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn last(&self, measurement: &str, series: &str) -> i64 {
        let of_series = self.points.iter();
        of_series
            .filter(|(key, _)| key.0 == measurement && key.1 == series)
            .filter_map(|(_, points)| points.last_key_value())
            .map(|(time, _)| time + 1)
            .max()
            .unwrap_or(1_000)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Rows {
                series,
                measurement,
                start,
                count,
                every,
                mask,
                skip,
            } => {
                let (measurement, series) = (MEASUREMENTS[measurement], SERIES[series]);
                let start = if start < 0 {
                    self.last(measurement, series)
                } else {
                    start
                };
                self.writes += 1;
                let mut batch = Batch::default();
                for row in 0..count {
                    let time = start + row * every;
                    let mut fields = Vec::new();
                    for (bit, field) in (0_i64..).zip(FIELDS) {
                        let left_out = skip > 0 && (row + bit) % skip == 0;
                        if mask >> bit & 1 == 1 && !left_out {
                            let value = value(field, time, self.writes);
                            let key = (measurement, series, field);
                            let points = self.points.entry(key).or_default();
                            points.insert(time, value.clone());
                            fields.push((field, value));
                        }
                    }
                    batch.add(measurement, &tags(series), at(time), fields);
                }
                let written = self.engine().write("d", "", &batch).unwrap();
                assert!(written.rejected.is_empty(), "{:?}", written.rejected);
            }
            Step::Delete {
                series,
                measurement,
                start,
                len,
            } => {
                let (measurement, series) = (MEASUREMENTS[measurement], SERIES[series]);
                let deletion = Deletion {
                    database: "d".to_owned(),
                    policy: None,
                    measurements: BTreeSet::from([Arc::from(measurement)]),
                    series: Chosen::These([tags(series)].into()),
                    range: TimeRange {
                        start: at(start),
                        end: at(start + len),
                    },
                };
                self.engine().delete(&deletion).unwrap();
                for (key, points) in &mut self.points {
                    if key.0 == measurement && key.1 == series {
                        points.retain(|time, _| !(start..=start + len).contains(time));
                    }
                }
            }
            Step::Flush => self.engine().flush().unwrap(),
            Step::Merge => {
                self.engine().compact_all(&GO_ON).unwrap();
            }
            Step::Reopen => {
                drop(self.engine.take());
                self.engine = Some(open(&self.storage).0);
            }
        }
    }

    /// Every column, whole and within some range.
    fn check(&self) {
        let view = |range| self.engine().snapshot().view("d", "", range).unwrap();
        let some = TimeRange {
            start: at(1_100 + self.writes % 13),
            end: at(1_300 + self.writes * 29 % 1_000),
        };
        for range in [TimeRange::ALL, some] {
            let view = view(range);
            let mut found = BTreeMap::new();
            for measurement in MEASUREMENTS {
                for series in view.series(measurement, &TagPredicate::All).unwrap() {
                    for (field, kind) in view.fields(measurement).unwrap() {
                        let column = view.column(&series, &field, kind).unwrap();
                        let key = (
                            measurement.to_owned(),
                            series.tags.to_string(),
                            field.to_string(),
                        );
                        let rows = column.times.iter().enumerate();
                        let rows =
                            rows.map(|(row, time)| (*time, column.values.value(row).to_owned()));
                        let rows: Vec<(i64, FieldValue)> = rows.collect();
                        if !rows.is_empty() {
                            found.insert(key, rows);
                        }
                    }
                }
            }
            let expected = self.points.iter().map(|(key, points)| {
                let points = points
                    .iter()
                    .map(|(time, value)| (at(*time).0, value.clone()));
                let points: Vec<_> = points
                    .filter(|point| range.contains(Timestamp(point.0)))
                    .collect();
                (
                    (key.0.to_owned(), key.1.to_owned(), key.2.to_owned()),
                    points,
                )
            });
            let expected: BTreeMap<_, _> =
                expected.filter(|(_, points)| !points.is_empty()).collect();
            assert!(found.keys().eq(expected.keys()), "{range:?}");
            for (key, points) in expected {
                assert_eq!(found[&key], points, "{key:?} {range:?}");
            }
        }
    }
}

/// Jitters by some ns, so that times are no round numbers.
fn at(time: i64) -> Timestamp {
    Timestamp(NOW + time * SECOND + time * 7_919 % 1_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn long_series_are_what_a_map_would_hold(steps in prop::collection::vec(step(), 1..60)) {
        let (engine, storage) = fresh();
        let mut twin = Twin {
            engine: Some(engine),
            storage,
            points: BTreeMap::new(),
            writes: 0,
        };
        for step in &steps {
            twin.step(step);
            if !matches!(step, Step::Rows { .. }) {
                twin.check();
            }
        }
        twin.check();
        for last in [Step::Reopen, Step::Flush, Step::Merge] {
            twin.step(&last);
            twin.check();
        }
    }
}
