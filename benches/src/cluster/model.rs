//! What the cluster looks like at a tick: pure numbers from a seed.

use plimsoll_engine::Timestamp;

/// At which tick a container that restarts does.
const RESTART_TICK: u64 = 3;
/// Pods in namespaces in turn.
const NAMESPACES: [&str; 3] = ["shop", "search", "kube-system"];

/// What a cluster looks like.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Nodes.
    pub nodes: usize,
    /// Pods on each; the first is in the node's network.
    pub pods_per_node: usize,
    /// Containers in each pod.
    pub containers_per_pod: usize,
    /// The time of tick 0.
    pub start: Timestamp,
    /// Between ticks.
    pub interval_ns: i64,
    /// One node of so many answers 500; 0 is none.
    pub failing_one_in: usize,
    /// One node of so many never answers, and is not Ready; 0 is none.
    pub slow_one_in: usize,
    /// How many ticks a pod that churns lives; one in ten does.
    pub churn_ticks: u64,
    /// Lines of metrics that nobody uses for each container of `/metrics/cadvisor`.
    pub padding_lines: usize,
    /// Where the numbers come from.
    pub seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            nodes: 50,
            pods_per_node: 10,
            containers_per_pod: 2,
            start: Timestamp(1_700_000_000_000_000_000),
            interval_ns: 10_000_000_000,
            failing_one_in: 0,
            slow_one_in: 0,
            churn_ticks: 6,
            padding_lines: 0,
            seed: 1,
        }
    }
}

/// What a node does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Well,
    /// It answers 500.
    Failing,
    /// It never answers.
    Slow,
}

/// A pod at a tick.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name, which churn changes.
    pub name: String,
    /// Its namespace.
    pub namespace: &'static str,
    /// Its uid.
    pub uid: String,
    /// Whether it is in the node's network.
    pub host_network: bool,
    /// Ticks since it started.
    pub age_ticks: u64,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// A container at a tick.
#[derive(Debug, Clone)]
pub struct Container {
    /// `main`, `side-1`…
    pub name: String,
    /// Ticks since it started.
    pub age_ticks: u64,
    /// How often it restarted.
    pub restarts: u64,
    /// Thousandths of a processor that it uses, all the time.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

impl Shape {
    /// The name of a node.
    #[must_use]
    pub fn node_name(&self, node: usize) -> String {
        format!("node-{node:04}")
    }

    /// What a node does when it is asked.
    #[must_use]
    pub fn health(&self, node: usize) -> Health {
        // The last of each so many, so that node 0 is well.
        let is_one = |of: usize| of > 0 && node % of == of - 1;
        match (is_one(self.failing_one_in), is_one(self.slow_one_in)) {
            (true, _) => Health::Failing,
            (_, true) => Health::Slow,
            _ => Health::Well,
        }
    }

    /// The pods of a node at a tick.
    #[must_use]
    pub fn pods(&self, node: usize, tick: u64) -> Vec<Pod> {
        (0..self.pods_per_node)
            .map(|pod| self.pod(node, pod, tick))
            .collect()
    }

    fn pod(&self, node: usize, pod: usize, tick: u64) -> Pod {
        let number = mixed(self.seed, &[node, pod]);
        let churns = number.is_multiple_of(10) && pod > 0;
        let (life, age_ticks) = match churns {
            true => {
                // Not all at a time.
                let tick = tick + (number >> 8) % self.churn_ticks;
                (tick / self.churn_ticks, tick % self.churn_ticks)
            }
            false => (0, tick),
        };
        let containers = (0..self.containers_per_pod)
            .map(|index| {
                let number = mixed(number, &[index]);
                let restarted = number % 20 == 1 && age_ticks >= RESTART_TICK;
                Container {
                    name: match index {
                        0 => "main".to_owned(),
                        _ => format!("side-{index}"),
                    },
                    age_ticks: match restarted {
                        true => age_ticks - RESTART_TICK,
                        false => age_ticks,
                    },
                    restarts: u64::from(restarted),
                    cpu_millis: 1 + number % 200,
                    memory_bytes: (16 + number % 240) << 20,
                }
            })
            .collect();
        Pod {
            name: format!("pod-{node:04}-{pod:03}-{life}"),
            namespace: NAMESPACES[pod % NAMESPACES.len()],
            uid: format!("{number:016x}-{life}"),
            host_network: pod == 0,
            age_ticks,
            containers,
        }
    }
}

/// A number that looks random and is not (splitmix64).
fn mixed(seed: u64, parts: &[usize]) -> u64 {
    let mut state = seed;
    for part in parts {
        state = state
            .wrapping_add(*part as u64)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_cluster_with_churn_and_restarts() {
        let shape = Shape::default();
        let names = |tick| -> Vec<String> {
            let nodes = 0..shape.nodes;
            let pods = nodes.flat_map(|node| shape.pods(node, tick));
            pods.map(|pod| pod.name).collect()
        };
        assert_eq!(names(3), names(3));
        let replaced = names(0)
            .iter()
            .zip(names(shape.churn_ticks))
            .filter(|(a, b)| **a != *b)
            .count();
        assert!((20..90).contains(&replaced), "{replaced} of 500");
        let restarts = |tick| -> u64 {
            let pods = (0..shape.nodes).flat_map(|node| shape.pods(node, tick));
            pods.flat_map(|pod| pod.containers)
                .map(|c| c.restarts)
                .sum()
        };
        // Pods that churn are of different ages; all others start with tick 0.
        assert!(restarts(3) > restarts(2) + 10);
    }
}
