//! One column over many series, read on one core: decoded from the head and from a segment, and
//! answered for by the summaries of its blocks.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plimsoll_benches::fleet::{Fleet, Layout, Shape};
use plimsoll_benches::store::{DATABASE, Store};
use plimsoll_engine::model::Values;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::segment::{BlockRef, Summary};
use plimsoll_engine::{Durability, FieldType, Rows, Summaries, TakePoints, TimeRange};

/// Two hours, every 10 s, of 300 containers.
const SCRAPES: usize = 720;
const NODES: usize = 5;

/// A column of each kind of movement.
const COLUMNS: [(&str, &str); 4] = [
    ("counter", "cpu/usage_ns_cumulative"),
    ("gauge", "memory/usage_bytes_gauge"),
    ("bursts", "disk/io_read_bytes_cumulative"),
    ("constant", "memory/limit_bytes_gauge"),
];

/// Sums up what it is given.
#[derive(Default)]
struct Sum {
    values: u64,
    sum: i64,
}

impl TakePoints for Sum {
    fn block(&mut self, block: &BlockRef) -> bool {
        let Some(Summary::Integer(summary)) = &block.summary else {
            return false;
        };
        self.values += u64::from(block.count);
        self.sum = self.sum.wrapping_add(summary.sum);
        true
    }

    fn points(&mut self, _: &[i64], values: &Values, rows: Range<usize>) {
        self.values += rows.len() as u64;
        if let Values::Integer(values) = values {
            let values = values[rows].iter();
            self.sum = values.fold(self.sum, |sum, value| sum.wrapping_add(*value));
        }
    }
}

/// Reads a column of every series; answers its sum and how many values it has.
fn read(store: &Store, measurement: &str, summaries: Summaries) -> Sum {
    let view = store
        .engine
        .snapshot()
        .view(DATABASE, "", TimeRange::ALL)
        .expect("it is there");
    let series = view
        .series(measurement, &TagPredicate::All)
        .expect("it verifies");
    let field = view.field(
        &Arc::from(measurement),
        "value",
        FieldType::Integer,
        summaries,
    );
    let mut reader = field.reader();
    let mut sum = Sum::default();
    for series in &series {
        reader
            .read(series, TimeRange::ALL, Rows::All, &mut sum)
            .expect("it verifies");
    }
    sum
}

fn scan(criterion: &mut Criterion) {
    let store = Store::new(Durability::None);
    let mut fleet = Fleet::new(Shape {
        nodes: NODES,
        churn_per_hour: 0.0,
        ..Shape::default()
    });
    for _ in 0..SCRAPES {
        let batch = fleet.scrape(Layout::Heapster);
        let written = store.engine.write(DATABASE, "", &batch);
        written.expect("it is acknowledged");
    }
    let mut group = criterion.benchmark_group("scan");
    for place in ["head", "segment"] {
        if place == "segment" {
            store.engine.flush().expect("it flushes");
        }
        for (kind, measurement) in COLUMNS {
            let decoded = read(&store, measurement, Summaries::Ignored);
            let offered = read(&store, measurement, Summaries::Offered);
            assert_eq!(
                (decoded.values, decoded.sum),
                (offered.values, offered.sum),
                "summaries say what the points do"
            );
            group.throughput(Throughput::Elements(decoded.values));
            group.bench_function(format!("{place}/{kind}"), |bencher| {
                bencher.iter(|| black_box(read(&store, measurement, Summaries::Ignored).sum));
            });
            if place == "segment" {
                group.bench_function(format!("summaries/{kind}"), |bencher| {
                    bencher.iter(|| black_box(read(&store, measurement, Summaries::Offered).sum));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
