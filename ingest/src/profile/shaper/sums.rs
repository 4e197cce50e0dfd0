//! What of a target's rows adds up: pods of their containers, the node of its pods.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use plimsoll_engine::{TagSet, Timestamp};

use super::out::Out;
use super::{Level, NodeAmounts, Row};
use crate::choice::SeriesSet;
use crate::names::Series;
use crate::number::rounded;
use crate::profile::NamespaceSums;
use crate::profile::cluster::SUMMED;
use crate::profile::rate::rate_series;

/// A sum with the time of its latest part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) time: Timestamp,
    pub(super) value: f64,
}

pub(super) type Sums = BTreeMap<Series, Sum>;

pub(super) fn add(sums: &mut Sums, series: Series, time: Timestamp, value: f64) {
    let sum = sums.entry(series).or_insert(Sum { time, value: 0.0 });
    sum.time = sum.time.max(time);
    sum.value += value;
}

/// What is gathered of the node while its rows go by.
#[derive(Debug, Default)]
pub(super) struct NodeRow {
    pub(super) tags: Option<TagSet>,
    pub(super) capacity: NodeAmounts,
    pub(super) working_set: Option<f64>,
    pub(super) cpu_rate: Option<f64>,
    pub(super) sums: Sums,
}

/// Adds the rates of a row where they belong. The last rate counts where the counter was served
/// twice: a pod is not to lose a container for a scrape.
pub(super) fn sum_rates(
    row: &Row,
    now: Timestamp,
    pods: &mut HashMap<TagSet, (String, Sums)>,
    node: &mut NodeRow,
) {
    for (series, counter) in &row.counters {
        let Some((time, rate)) = counter.rate_at(now) else {
            continue;
        };
        match &row.level {
            Level::Node if *series == Series::CpuUsage => node.cpu_rate = Some(rate / MILLIS_NS),
            Level::PodContainer { pod, namespace } => {
                let summed = match series {
                    // Rounded as the containers' own are, so that they add up.
                    Series::CpuUsage => (Series::CpuUsageRate, (rate / MILLIS_NS).round()),
                    Series::PageFaults => (Series::PageFaultsRate, rate),
                    Series::MajorPageFaults => (Series::MajorPageFaultsRate, rate),
                    _ => continue,
                };
                let (_, sums) = pods
                    .entry_ref(pod)
                    .or_insert_with(|| (namespace.clone(), Sums::new()));
                add(sums, summed.0, time, summed.1);
            }
            _ => {}
        }
    }
}

/// Writes the sums of pods, and adds them up to namespaces and the node.
pub(super) fn write_pods(
    pods: &HashMap<TagSet, (String, Sums)>,
    node: &mut NodeRow,
    out: &mut Out,
) -> NamespaceSums {
    let mut namespaces = NamespaceSums::new();
    let mut ordered: Vec<_> = pods.iter().collect();
    ordered.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    for (tags, (namespace, sums)) in ordered {
        for (series, sum) in sums {
            // A pod's ephemeral storage is its own: it holds its volumes, too.
            if *series != Series::EphemeralUsage {
                out.sum(*series, tags, *sum);
            }
            if is_summed_over_pods(*series) {
                add(&mut node.sums, *series, sum.time, sum.value);
            }
            if SUMMED.contains(series)
                && let Some(value) = rounded(sum.value)
            {
                let amounts = namespaces.entry(namespace.clone()).or_default();
                let amount = amounts.entry(*series).or_default();
                *amount = amount.saturating_add(value);
            }
        }
    }
    namespaces
}

/// ns of processor time a second, in thousandths of a processor.
pub(super) const MILLIS_NS: f64 = 1e6;

/// Of a pod's own row, what its containers say: what is summed over pods, too, and more.
pub(super) fn is_summed_over_containers(series: Series) -> bool {
    is_summed_over_pods(series)
        || matches!(
            series,
            Series::MemoryUsage
                | Series::WorkingSet
                | Series::MemoryRss
                | Series::MemoryCache
                | Series::MemorySwap
                | Series::CpuLoad
                | Series::RestartCount
        )
}

/// Whether a series has to be read for what of the profiles of Heapster 1.x is computed and chosen.
///
/// The node's own are read always: computed series stand on its row, which is known by them.
pub(crate) fn is_wanted_for_what_is_computed(series: Series, chosen: SeriesSet) -> bool {
    let is_for_the_node = matches!(
        series,
        Series::CpuUsage
            | Series::WorkingSet
            | Series::CpuLimit
            | Series::MemoryLimit
            | Series::CpuRequest
            | Series::MemoryRequest
            | Series::EphemeralUsage
            | Series::EphemeralRequest
    );
    is_for_the_node || rate_series(series).is_some_and(|rate| chosen.has(rate))
}

/// Of the node's own row, what only its pods say.
pub(super) fn is_summed_over_pods(series: Series) -> bool {
    matches!(
        series,
        Series::CpuRequest
            | Series::CpuLimit
            | Series::MemoryRequest
            | Series::MemoryLimit
            | Series::EphemeralUsage
            | Series::EphemeralRequest
            | Series::EphemeralLimit
    )
}
