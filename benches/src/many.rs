//! Very many containers whose numbers follow from their own number: nothing is kept of them, so
//! that what a process holds is what it measures.

use std::fmt::Write as _;

use plimsoll_engine::{Batch, FieldValue, TagSet, Timestamp};

use crate::fleet::{Layout, METRICS, METRICS_PER_CONTAINER, Motion};

/// Containers of one node, which are scraped and sent together.
pub const CONTAINERS_PER_NODE: u64 = 60;
/// The first scrape, ns.
pub const START: i64 = 1_700_000_000_000_000_000;

/// The containers, and how often they are scraped.
#[derive(Debug, Clone, Copy)]
pub struct Many {
    /// How many containers.
    pub containers: u64,
    /// ns.
    pub interval_ns: i64,
    /// How lines are laid out.
    pub layout: Layout,
}

/// Mixes a number's bits (splitmix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number >> 1).unwrap_or(0)
}

/// The tags of a container, canonical.
fn put_tags(container: u64, out: &mut String) {
    let (node, pod) = (container / CONTAINERS_PER_NODE, container / 2);
    let (application, namespace) = (pod % 97, pod % 211);
    let hash = mix(pod);
    let name = ["main", "sidecar"][usize::from(container % 2 == 1)];
    write!(
        out,
        "cluster_name=default,container_base_image=registry.example.internal/app-{application:02}:v1.7.3,\
         container_name={name},hostname=node-{node:05}.example.internal,\
         labels=app:app-{application:02}\\,pod-template-hash:{:08x},namespace_name=namespace-{namespace:03},\
         nodename=node-{node:05}.example.internal,pod_id={:016x}{:016x},\
         pod_name=app-{application:02}-{:08x}-{:05x},type=pod_container",
        hash >> 32,
        mix(hash),
        mix(hash ^ 1),
        hash >> 32,
        hash & 0xfffff,
    )
    .expect("a String takes everything");
}

/// One metric of a container in a scrape.
fn value(container: u64, metric: u64, motion: Motion, scrape: u64, interval_ns: i64) -> i64 {
    let own = mix((container << 8) | metric);
    let now = mix(own ^ scrape.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let at = signed(scrape << 1);
    // Most containers do little: the square of a uniform number.
    let load = signed((mix(container) % 10 * (mix(container) % 10)) << 1);
    match motion {
        Motion::Clock => at * (interval_ns / 1_000_000) + signed(own % 10_000_000),
        Motion::Counter(step) => {
            let rate = (step * load / 100).max(1);
            signed(own % 1_000_000_000) + at * rate * 2 + signed(now) % rate
        }
        Motion::Burst(size) => size * (signed(own % 100_000) + (at + signed(own % 20)) / 10 * load),
        Motion::Gauge(page) => {
            let held = mix(own ^ (scrape / 4));
            page * (signed(own % 120_000) + signed(held % 100))
        }
        Motion::Still => signed(own % 3) * 1_048_576,
    }
}

impl Many {
    /// How many nodes.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.containers.div_ceil(CONTAINERS_PER_NODE)
    }

    /// How many values a scrape of all containers has.
    #[must_use]
    pub fn values_per_scrape(&self) -> u64 {
        self.containers * METRICS_PER_CONTAINER as u64
    }

    /// The containers of a node.
    fn containers_of(&self, node: u64) -> std::ops::Range<u64> {
        let first = node * CONTAINERS_PER_NODE;
        first..self.containers.min(first + CONTAINERS_PER_NODE)
    }

    /// When a node is scraped: at its own moment, a few ms later or earlier each time.
    #[must_use]
    pub fn time(&self, node: u64, scrape: u64) -> i64 {
        let phase = signed(mix(node)) % self.interval_ns / 1_000_000 * 1_000_000;
        let jitter = signed(mix((node << 20) ^ scrape)) % 10 * 1_000_000;
        START + signed(scrape << 1) * self.interval_ns + phase + jitter
    }

    fn values(&self, container: u64, scrape: u64) -> impl Iterator<Item = (&'static str, i64)> {
        let interval_ns = self.interval_ns;
        (0_u64..).zip(METRICS).map(move |(metric, (name, motion))| {
            (name, value(container, metric, motion, scrape, interval_ns))
        })
    }

    /// A node's scrape as line protocol, ns.
    #[must_use]
    pub fn lines(&self, node: u64, scrape: u64) -> String {
        let mut lines = String::with_capacity(512 << 10);
        let mut tags = String::new();
        let time = self.time(node, scrape);
        for container in self.containers_of(node) {
            tags.clear();
            put_tags(container, &mut tags);
            let values = self.values(container, scrape);
            match self.layout {
                Layout::Heapster => {
                    for (name, value) in values {
                        writeln!(lines, "{name},{tags} value={value}i {time}")
                            .expect("a String takes everything");
                    }
                }
                Layout::Telegraf => {
                    write!(lines, "container,{tags}").expect("a String takes everything");
                    for (at, (name, value)) in values.enumerate() {
                        let before = if at == 0 { ' ' } else { ',' };
                        write!(lines, "{before}{name}={value}i")
                            .expect("a String takes everything");
                    }
                    writeln!(lines, " {time}").expect("a String takes everything");
                }
            }
        }
        lines
    }

    /// A node's scrape as a batch.
    #[must_use]
    pub fn batch(&self, node: u64, scrape: u64) -> Batch {
        let mut batch = Batch::default();
        let mut tags = String::new();
        let time = Timestamp(self.time(node, scrape));
        let field = batch.name("value");
        let names: Vec<u32> = METRICS.iter().map(|(name, _)| batch.name(name)).collect();
        let measurement = batch.name("container");
        for container in self.containers_of(node) {
            tags.clear();
            put_tags(container, &mut tags);
            let tag_set = batch.tag_set(&TagSet::from_canonical(&tags));
            let values = self.values(container, scrape).zip(&names);
            let values = values.map(|((_, value), name)| (*name, FieldValue::Integer(value)));
            match self.layout {
                Layout::Heapster => {
                    for (name, value) in values {
                        batch.push(name, tag_set, time, [(field, value)]);
                    }
                }
                Layout::Telegraf => batch.push(measurement, tag_set, time, values),
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_have_tags_of_their_own_and_counters_that_grow() {
        let scale = Many {
            containers: 130,
            interval_ns: 10_000_000_000,
            layout: Layout::Heapster,
        };
        let (mut tags, mut len) = (std::collections::BTreeSet::new(), 0);
        for node in 0..scale.nodes() {
            let batch = scale.batch(node, 3);
            len += batch.len() as u64;
            tags.extend(batch.tag_sets().iter().cloned());
        }
        assert_eq!((tags.len(), len), (130, scale.values_per_scrape()));
        for container in 0..50 {
            for (metric, (_, motion)) in (0..).zip(METRICS) {
                let at = |scrape| value(container, metric, motion, scrape, scale.interval_ns);
                let grows = (1..50).all(|scrape| at(scrape - 1) <= at(scrape));
                assert!(grows || matches!(motion, Motion::Gauge(_)), "{motion:?}");
            }
        }
        let pairs = TagSet::from_pairs([("a", "1,2")]).expect("one tag");
        assert!(
            pairs.as_str().contains("\\,"),
            "labels are escaped as canonical text has them"
        );
        assert!(scale.lines(0, 0).lines().count() == 900);
    }
}
