//! Line protocol over the seeded fleet, and a real exposition: bytes to a batch.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plimsoll_benches::fleet::{Fleet, Layout, Shape};
use plimsoll_engine::Timestamp;
use plimsoll_ingest::choice::SeriesSet;
use plimsoll_ingest::line::{Precision, parse};
use plimsoll_ingest::names::Place;
use plimsoll_ingest::{cadvisor, prometheus};

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

/// A real Kubelet's `/metrics/cadvisor` of 1.4 MB, parsed alone and mapped to points.
fn exposition(criterion: &mut Criterion) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/data/kubelet/k8s-1.35-metrics-cadvisor"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED exposition ../shared/data is not there");
        return;
    };
    let place = Place {
        cluster_name: "default".to_owned(),
        nodename: "n".to_owned(),
        hostname: "n".to_owned(),
    };
    let mut group = criterion.benchmark_group("metrics/cadvisor");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            prometheus::parse(&text, |sample| {
                black_box(sample.value);
            })
        });
    });
    group.bench_function("parse and map", |bencher| {
        bencher.iter(|| {
            let options = cadvisor::Options {
                source: cadvisor::Source::KubeletBesideSummary,
                place: &place,
                label_tags: &[],
                wanted: SeriesSet::ALL,
                now: Timestamp(0),
            };
            black_box(cadvisor::map(
                &text,
                options,
                &mut cadvisor::Images::default(),
            ))
        });
    });
    group.finish();
}

criterion_group!(benches, line_protocol, exposition);
criterion_main!(benches);
