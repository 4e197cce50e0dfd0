//! Dashboard queries over the seeded fleet.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plimsoll_benches::fleet::{Fleet, Layout, METRICS_PER_CONTAINER, Shape};
use plimsoll_benches::store::{DATABASE, Store};
use plimsoll_engine::{Durability, Timestamp};
use plimsoll_query::exec::{Cancel, Collect, Context, Limits, Options, execute};
use plimsoll_query::{Params, parse};

const QUERIES: [(&str, &str); 2] = [
    (
        "memory by namespace, 1m",
        r#"SELECT sum("value") FROM "memory/working_set_bytes_gauge" WHERE time >= 1700000000s AND time < 1700003600s GROUP BY time(1m), "namespace_name""#,
    ),
    (
        "one container, raw window",
        r#"SELECT mean("value") FROM "cpu/usage_ns_cumulative" WHERE "nodename" = 'node-0001.example.internal' AND time >= 1700000000s AND time < 1700003600s GROUP BY time(10s), "pod_name", "container_name""#,
    ),
];

fn run(store: &Store, text: &str, now: Timestamp) -> usize {
    let snapshot = store.engine.snapshot();
    let (limits, cancel) = (Limits::default(), Cancel::default());
    let context = Context {
        snapshot: &snapshot,
        database: DATABASE,
        policy: "",
        now,
        limits: &limits,
        cancel: &cancel,
        chunk_size: None,
        options: Options::default(),
    };
    let mut answer = Collect::default();
    for statement in parse(text, &Params::default()).expect("it parses") {
        execute(&statement, &context, &mut answer).expect("it runs");
    }
    answer.series.iter().map(|series| series.values.len()).sum()
}

fn group_by(criterion: &mut Criterion) {
    let store = Store::new(Durability::None);
    let mut fleet = Fleet::new(Shape {
        nodes: 5,
        ..Shape::default()
    });
    let mut values = 0;
    for _ in 0..360 {
        let batch = fleet.scrape(Layout::Heapster);
        values += batch.values_count() / METRICS_PER_CONTAINER;
        store
            .engine
            .write(DATABASE, "", &batch)
            .expect("acknowledged");
    }
    store.engine.flush().expect("flushes");
    let mut group = criterion.benchmark_group("query");
    group.sample_size(20);
    for (name, text) in QUERIES {
        assert!(run(&store, text, fleet.time()) > 0, "{name} finds rows");
        group.throughput(Throughput::Elements(values as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(run(&store, text, fleet.time())));
        });
    }
    group.finish();
}

criterion_group!(benches, group_by);
criterion_main!(benches);
