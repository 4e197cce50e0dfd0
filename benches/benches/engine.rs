//! The engine's parts over the seeded fleet: write, flush, and what the log is read back with.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use plimsoll_benches::fleet::{Fleet, Layout, Shape};
use plimsoll_benches::store::{DATABASE, Store};
use plimsoll_engine::{Batch, Durability};

fn scrapes(layout: Layout, count: usize) -> Vec<Batch> {
    let mut fleet = Fleet::new(Shape {
        nodes: 5,
        ..Shape::default()
    });
    (0..count).map(|_| fleet.scrape(layout)).collect()
}

fn values(batches: &[Batch]) -> u64 {
    batches
        .iter()
        .map(|batch| batch.values_count() as u64)
        .sum()
}

fn write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write");
    group.sample_size(10);
    for (name, layout) in [
        ("heapster", Layout::Heapster),
        ("telegraf", Layout::Telegraf),
    ] {
        let batches = scrapes(layout, 30);
        group.throughput(Throughput::Elements(values(&batches)));
        for (durability_name, durability) in
            [("sync", Durability::Sync), ("none", Durability::None)]
        {
            group.bench_function(format!("{name}/{durability_name}"), |bencher| {
                bencher.iter_batched(
                    || Store::new(durability),
                    |store| {
                        for batch in &batches {
                            store
                                .engine
                                .write(DATABASE, "", batch)
                                .expect("acknowledged");
                        }
                        store
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

fn filled(count: usize) -> (Store, u64) {
    let store = Store::new(Durability::None);
    let batches = scrapes(Layout::Heapster, count);
    for batch in &batches {
        store
            .engine
            .write(DATABASE, "", batch)
            .expect("acknowledged");
    }
    (store, values(&batches))
}

fn flush(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flush");
    group.sample_size(10);
    group.throughput(Throughput::Elements(filled(60).1));
    group.bench_function("60 scrapes", |bencher| {
        bencher.iter_batched(
            || filled(60).0,
            |store| {
                store.engine.flush().expect("flushes");
                store
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn replay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10);
    for (name, layout) in [
        ("heapster", Layout::Heapster),
        ("telegraf", Layout::Telegraf),
    ] {
        // Enough that making a new log file, which every start does, is a small part of it.
        let batches = scrapes(layout, 600);
        group.throughput(Throughput::Elements(values(&batches)));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    let store = Store::new(Durability::None);
                    for batch in &batches {
                        store
                            .engine
                            .write(DATABASE, "", batch)
                            .expect("acknowledged");
                    }
                    store.killed()
                },
                |killed| killed.open(Durability::None, 8 << 30, 8 << 30),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, write, flush, replay);
criterion_main!(benches);
