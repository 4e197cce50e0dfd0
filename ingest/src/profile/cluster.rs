//! Sums over namespaces and the cluster.

use std::collections::{BTreeMap, HashMap};

use plimsoll_engine::model::Batch;
use plimsoll_engine::{FieldValue, TagSet, Timestamp};

use super::Naming;
use crate::names::Series;

/// What is summed over pods.
pub(super) const SUMMED: [Series; 7] = [
    Series::CpuUsageRate,
    Series::CpuRequest,
    Series::CpuLimit,
    Series::MemoryUsage,
    Series::WorkingSet,
    Series::MemoryRequest,
    Series::MemoryLimit,
];

/// By namespace, what the pods of one target sum up to.
pub type NamespaceSums = BTreeMap<String, BTreeMap<Series, i64>>;

/// The last sums of every target, added up when they are asked for.
#[derive(Debug, Default)]
pub struct ClusterSums {
    targets: HashMap<String, (Timestamp, NamespaceSums)>,
}

impl ClusterSums {
    /// Takes what one target's pods sum up to, in place of what it said before; a target without
    /// pods counts no more.
    pub fn put(&mut self, target: &str, time: Timestamp, sums: NamespaceSums) {
        if sums.is_empty() {
            self.targets.remove(target);
        } else {
            self.targets.insert(target.to_owned(), (time, sums));
        }
    }

    /// Whether any target has pods.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The rows of all namespaces and the cluster at `now`.
    ///
    /// A target that said nothing for `age_ns_max` is forgotten: a node that is gone takes its
    /// pods with it.
    pub fn rows(
        &mut self,
        now: Timestamp,
        age_ns_max: i64,
        naming: &Naming,
        cluster_name: &str,
    ) -> Batch {
        let (profile, chosen) = (naming.profile, naming.chosen());
        self.targets
            .retain(|_, (time, _)| now.0.saturating_sub(time.0) <= age_ns_max);
        let mut namespaces: NamespaceSums = BTreeMap::new();
        let mut cluster: BTreeMap<Series, i64> = BTreeMap::new();
        for (_, sums) in self.targets.values() {
            for (namespace, amounts) in sums {
                let namespace = namespaces.entry(namespace.clone()).or_default();
                for (series, amount) in amounts {
                    for sums in [&mut *namespace, &mut cluster] {
                        let sum = sums.entry(*series).or_default();
                        *sum = sum.saturating_add(*amount);
                    }
                }
            }
        }
        let mut batch = Batch::default();
        let mut write = |namespace: &str, kind: &str, amounts: &BTreeMap<Series, i64>| {
            let tags = TagSet::from_pairs([
                ("cluster_name", cluster_name),
                ("namespace_name", namespace),
                ("type", kind),
            ])
            .expect("three keys that differ");
            let amounts = amounts.iter().filter(|(series, _)| chosen.has(**series));
            for (series, amount) in amounts {
                let (measurement, field) = profile.names(*series);
                batch.add(
                    measurement,
                    &tags,
                    now,
                    [(field, FieldValue::Integer(*amount))],
                );
            }
        };
        for (namespace, amounts) in &namespaces {
            write(namespace, "ns", amounts);
        }
        write("", "cluster", &cluster);
        batch
    }
}
