//! Line protocol over the seeded fleet: bytes to a batch.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plimsoll_benches::fleet::{Fleet, Layout, Shape};
use plimsoll_engine::Timestamp;
use plimsoll_ingest::line::{Precision, parse};

fn line_protocol(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("line protocol");
    for (name, layout) in [
        ("heapster", Layout::Heapster),
        ("telegraf", Layout::Telegraf),
    ] {
        let body = Fleet::new(Shape {
            nodes: 5,
            ..Shape::default()
        })
        .scrape_lines(layout);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| black_box(parse(body.as_bytes(), Precision::Nanoseconds, Timestamp(0))));
        });
    }
    group.finish();
}

criterion_group!(benches, line_protocol);
criterion_main!(benches);
