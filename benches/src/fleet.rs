//! A fleet of containers whose counters grow, reset and churn, from a seed.
//!
//! Equal shapes give equal bytes: every number comes from the seed. Values look like those of
//! real containers: most are idle or grow slowly, a few are busy, gauges stay for a while.

use plimsoll_engine::{Batch, FieldValue, TagSet, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The classic series of a container, each with the way it moves.
pub(crate) const METRICS: [(&str, Motion); 15] = [
    ("uptime_ms_cumulative", Motion::Clock),
    ("cpu/usage_ns_cumulative", Motion::Counter(80_000_000)),
    ("memory/usage_bytes_gauge", Motion::Gauge(4096)),
    ("memory/working_set_bytes_gauge", Motion::Gauge(4096)),
    ("memory/rss_bytes_gauge", Motion::Gauge(4096)),
    ("memory/cache_bytes_gauge", Motion::Gauge(4096)),
    ("memory/page_faults_gauge", Motion::Counter(40)),
    ("memory/major_page_faults_cumulative", Motion::Still),
    ("memory/limit_bytes_gauge", Motion::Still),
    ("network/rx_bytes_cumulative", Motion::Counter(9_000)),
    ("network/tx_bytes_cumulative", Motion::Counter(12_000)),
    ("network/rx_errors_cumulative", Motion::Still),
    ("network/tx_errors_cumulative", Motion::Still),
    ("disk/io_read_bytes_cumulative", Motion::Burst(65_536)),
    ("disk/io_write_bytes_cumulative", Motion::Burst(131_072)),
];

/// How many metrics each container has.
pub const METRICS_PER_CONTAINER: usize = METRICS.len();

/// How a metric changes from one scrape to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Motion {
    /// By the interval, in ms.
    Clock,
    /// Grows by up to this times the container's load.
    Counter(i64),
    /// Grows by multiples of this, one scrape in ten.
    Burst(i64),
    /// Moves by multiples of this, one scrape in four.
    Gauge(i64),
    /// Stays.
    Still,
}

/// What a fleet looks like.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Nodes.
    pub nodes: usize,
    /// Pods on each node.
    pub pods_per_node: usize,
    /// Containers in each pod.
    pub containers_per_pod: usize,
    /// Time of the first scrape, ns.
    pub start: Timestamp,
    /// Time between scrapes, ns; each node's scrapes jitter by up to a hundredth of it.
    pub interval_ns: i64,
    /// Share of pods that are replaced by new ones in an hour, 0 to 1.
    pub churn_per_hour: f64,
    /// Share of containers that restart in an hour: their counters begin at 0.
    pub resets_per_hour: f64,
    /// Where the numbers come from.
    pub seed: u64,
}

impl Default for Shape {
    /// 20 nodes × 30 pods × 2 containers every 10 s, with 10 % churn and 5 % restarts an hour.
    fn default() -> Self {
        Self {
            nodes: 20,
            pods_per_node: 30,
            containers_per_pod: 2,
            start: Timestamp(1_700_000_000_000_000_000),
            interval_ns: 10_000_000_000,
            churn_per_hour: 0.1,
            resets_per_hour: 0.05,
            seed: 1,
        }
    }
}

/// How points are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One measurement per metric, field `value`.
    Heapster,
    /// One measurement with a field per metric.
    Telegraf,
}

#[derive(Debug)]
struct Container {
    tags: TagSet,
    /// 0 is idle, 100 is busy.
    load: i64,
    values: [i64; METRICS.len()],
}

#[derive(Debug)]
struct Pod {
    node: usize,
    containers: Vec<Container>,
}

/// A running fleet.
#[derive(Debug)]
pub struct Fleet {
    shape: Shape,
    random: StdRng,
    pods: Vec<Pod>,
    pods_made: usize,
    time: Timestamp,
}

impl Fleet {
    /// The fleet before its first scrape.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let random = StdRng::seed_from_u64(shape.seed);
        let time = shape.start;
        let mut fleet = Self {
            shape,
            random,
            pods: Vec::new(),
            pods_made: 0,
            time,
        };
        for node in 0..fleet.shape.nodes {
            for _ in 0..fleet.shape.pods_per_node {
                let pod = fleet.make_pod(node);
                fleet.pods.push(pod);
            }
        }
        fleet
    }

    /// How many containers run at a time.
    #[must_use]
    pub fn containers(&self) -> usize {
        self.pods.iter().map(|pod| pod.containers.len()).sum()
    }

    /// The time of the next scrape.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    fn make_pod(&mut self, node: usize) -> Pod {
        let number = self.pods_made;
        self.pods_made += 1;
        let (application, namespace) = (number % 97, number % 11);
        let hash: u32 = self.random.random();
        let (pod, identity) = (
            format!("app-{application:02}-{hash:08x}"),
            format!("{:032x}", self.random.random::<u128>()),
        );
        let containers = (0..self.shape.containers_per_pod)
            .map(|index| {
                let tags = TagSet::from_pairs([
                    ("type", "pod_container"),
                    ("cluster_name", "default"),
                    (
                        "nodename",
                        format!("node-{node:04}.example.internal").as_str(),
                    ),
                    (
                        "namespace_name",
                        format!("namespace-{namespace:02}").as_str(),
                    ),
                    ("pod_name", pod.as_str()),
                    ("pod_id", identity.as_str()),
                    (
                        "container_name",
                        ["main", "sidecar", "proxy", "logger"][index % 4],
                    ),
                    (
                        "labels",
                        format!("app:app-{application:02},pod-template-hash:{hash:08x}").as_str(),
                    ),
                ]);
                self.make_container(tags.expect("keys are distinct and not empty"))
            })
            .collect();
        Pod { node, containers }
    }

    fn make_container(&mut self, tags: TagSet) -> Container {
        let mut values = [0; METRICS.len()];
        for (value, (_, motion)) in values.iter_mut().zip(METRICS) {
            *value = match motion {
                Motion::Gauge(step) => step * self.random.random_range(1_000..60_000),
                Motion::Counter(step) => step * self.random.random_range(0..10_000),
                _ => 0,
            };
        }
        // Most containers do little: the square of a uniform number.
        let uniform = self.random.random_range(0..10_i64);
        Container {
            tags,
            load: uniform * uniform,
            values,
        }
    }

    /// One scrape of all containers; time goes on by the interval.
    pub fn scrape(&mut self, layout: Layout) -> Batch {
        let mut batch = Batch::default();
        self.advance();
        for pod in &self.pods {
            let time = node_time(&self.shape, self.time, pod.node);
            for container in &pod.containers {
                let values = METRICS
                    .iter()
                    .zip(container.values)
                    .map(|((name, _), v)| (*name, FieldValue::Integer(v)));
                match layout {
                    Layout::Telegraf => batch.add("container", &container.tags, time, values),
                    Layout::Heapster => {
                        for (name, value) in values {
                            batch.add(name, &container.tags, time, [("value", value)]);
                        }
                    }
                }
            }
        }
        self.time.0 += self.shape.interval_ns;
        batch
    }

    /// One scrape as line protocol, ns.
    pub fn scrape_lines(&mut self, layout: Layout) -> String {
        let batch = self.scrape(layout);
        let mut lines = String::new();
        for point in batch.points() {
            lines.push_str(&batch.names()[point.measurement as usize]);
            lines.push(',');
            lines.push_str(batch.tag_sets()[point.tag_set as usize].as_str());
            for (index, (field, value)) in point.fields.iter().enumerate() {
                lines.push(if index == 0 { ' ' } else { ',' });
                lines.push_str(&batch.names()[*field as usize]);
                let FieldValue::Integer(value) = value else {
                    continue;
                };
                lines.push_str(&format!("={value}i"));
            }
            lines.push_str(&format!(" {}\n", point.time.0));
        }
        lines
    }

    /// Moves every value, restarts some containers, replaces some pods.
    fn advance(&mut self) {
        #[expect(clippy::cast_precision_loss, reason = "a share of an hour")]
        let hours = self.shape.interval_ns as f64 / 3.6e12;
        let replaced = (self.shape.churn_per_hour * hours).clamp(0.0, 1.0);
        let restarted = (self.shape.resets_per_hour * hours).clamp(0.0, 1.0);
        for index in 0..self.pods.len() {
            if self.random.random_bool(replaced) {
                let node = self.pods[index].node;
                self.pods[index] = self.make_pod(node);
            }
        }
        let interval_ms = self.shape.interval_ns / 1_000_000;
        for container in self.pods.iter_mut().flat_map(|pod| &mut pod.containers) {
            if self.random.random_bool(restarted) {
                for (value, (_, motion)) in container.values.iter_mut().zip(METRICS) {
                    if !matches!(motion, Motion::Gauge(_)) {
                        *value = 0;
                    }
                }
            }
            step(&mut self.random, container, interval_ms);
        }
    }
}

fn step(random: &mut StdRng, container: &mut Container, interval_ms: i64) {
    let load = container.load;
    for (value, (_, motion)) in container.values.iter_mut().zip(METRICS) {
        *value += match motion {
            Motion::Clock => interval_ms,
            Motion::Counter(most) if load > 0 => random.random_range(0..most) * load / 100,
            Motion::Burst(size) if load > 0 && random.random_bool(0.1) => {
                size * random.random_range(1..40)
            }
            Motion::Gauge(page) if random.random_bool(0.25) => {
                (page * random.random_range(-50..60)).max(-*value)
            }
            _ => 0,
        };
    }
}

/// A node is scraped at its own moment of the interval, a little later or earlier each time.
fn node_time(shape: &Shape, time: Timestamp, node: usize) -> Timestamp {
    let node = i64::try_from(node).unwrap_or(0);
    let phase = node * 7_919_000_000 % shape.interval_ns;
    let jitter = (time.0 / 1_000_000_007 + node * 31) % 97 * (shape.interval_ns / 10_000);
    Timestamp(time.0 + phase + jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Shape {
        Shape {
            nodes: 2,
            pods_per_node: 3,
            ..Shape::default()
        }
    }

    #[test]
    fn equal_seeds_give_equal_lines() {
        let mut two = [Fleet::new(small()), Fleet::new(small())];
        for _ in 0..5 {
            let [a, b] = two
                .each_mut()
                .map(|fleet| fleet.scrape_lines(Layout::Heapster));
            assert_eq!(a, b);
        }
    }

    #[test]
    fn every_container_has_every_metric_in_each_scrape() {
        let mut fleet = Fleet::new(small());
        let containers = fleet.containers();
        assert_eq!(containers, 12);
        assert_eq!(
            fleet.scrape(Layout::Heapster).len(),
            containers * METRICS_PER_CONTAINER
        );
        let telegraf = fleet.scrape(Layout::Telegraf);
        assert_eq!(
            (telegraf.len(), telegraf.values_count()),
            (containers, containers * METRICS_PER_CONTAINER)
        );
    }

    #[test]
    fn pods_churn_and_counters_restart() {
        let shape = Shape {
            churn_per_hour: 30.0,
            resets_per_hour: 30.0,
            ..small()
        };
        let mut fleet = Fleet::new(shape);
        let first = fleet.scrape(Layout::Telegraf);
        for _ in 0..20 {
            fleet.scrape(Layout::Telegraf);
        }
        let last = fleet.scrape(Layout::Telegraf);
        assert!(first.tag_sets() != last.tag_sets(), "some pods are new");
        assert_eq!(first.tag_sets().len(), last.tag_sets().len());
    }

    #[test]
    fn times_of_a_container_grow() {
        let mut fleet = Fleet::new(Shape {
            churn_per_hour: 0.0,
            ..small()
        });
        let mut last = Timestamp(i64::MIN);
        for _ in 0..50 {
            let batch = fleet.scrape(Layout::Telegraf);
            let time = batch.points().next().expect("a fleet has points").time;
            assert!(time > last);
            last = time;
        }
    }
}
