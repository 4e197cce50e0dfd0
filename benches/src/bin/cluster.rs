//! Serves a cluster of simulated Kubelets for demonstration and for the scale measurement.
//!
//! `cluster [NODES] [PODS] [CONTAINERS] [PORT] [PADDING]`, then
//! `plimsoll serve --no-cgroup --interval 15s` with `PLIMSOLL_KUBERNETES_API=http://127.0.0.1:PORT`
//! and `PLIMSOLL_KUBELET_SCHEME=http`. Its own CPU is that of this process, apart from Plimsoll's.
//! Pages are rendered once in 15 s for all nodes that are alike; PADDING is lines of unused metrics
//! for each container of `/metrics/cadvisor`, 250 make it as long as a real one.
#![expect(clippy::print_stdout, reason = "says where it listens")]
#![expect(clippy::disallowed_methods, reason = "it goes with the wall clock")]

use std::error::Error;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll_benches::cluster::Cluster;
use plimsoll_benches::cluster::model::Shape;
use plimsoll_engine::{Clock, Timestamp};

#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map_err(|error| {
            format!("{error}; usage: cluster [NODES] [PODS] [CONTAINERS] [PORT] [PADDING]")
        })?;
    let argument = |index: usize, default| arguments.get(index).copied().unwrap_or(default);
    let shape = Shape {
        nodes: argument(0, 100),
        pods_per_node: argument(1, 30),
        containers_per_pod: argument(2, 2),
        start: WallClock.now(),
        interval_ns: 15_000_000_000,
        // An hour: a tenth of the pods live so long.
        churn_ticks: 240,
        padding_lines: argument(4, 0),
        failing_one_in: 100,
        slow_one_in: 101,
        ..Shape::default()
    };
    let port = u16::try_from(argument(3, 16_443))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let nodes = shape.nodes;
        let cluster = Cluster::serve_rendered(shape, Arc::new(WallClock), port).await?;
        println!("{nodes} nodes; Kubernetes API at {}", cluster.api_url());
        std::future::pending::<Result<(), Box<dyn Error>>>().await
    })
}
