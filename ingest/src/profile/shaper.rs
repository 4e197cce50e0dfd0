//! One target's rows: labels on them, their names, and what is computed of them.

mod out;
mod sums;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use plimsoll_engine::model::{Batch, TagSetBuilder};
use plimsoll_engine::{FieldValue, TagSet, Timestamp};

use self::out::Out;
pub(crate) use self::sums::is_wanted_for_what_is_computed;
use self::sums::{NodeRow, Sums, add, is_summed_over_containers, sum_rates, write_pods};
use super::rate::{AGE_NS_MAX, Counter, rate_series, to_f64};
use super::{Aliases, NamespaceSums, Naming, Profile};
use crate::choice::SeriesSet;
use crate::known::borrowed;
use crate::kubelet::PodList;
use crate::names::Series;

/// The measurement that dashboards of Heapster 0.19 read for `filesystem/usage`.
pub(crate) const FILESYSTEM_USAGE_V0: &str = "filesystem/usage_bytes_gauge";

/// What a node has, as the Kubernetes API says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NodeAmounts {
    /// Thousandths of a processor.
    pub cpu_millis: Option<f64>,
    /// Bytes.
    pub memory_bytes: Option<f64>,
    /// Bytes.
    pub ephemeral_bytes: Option<f64>,
}

/// What came of a target's points.
#[derive(Debug, Default)]
pub struct Shaped {
    /// All rows, named.
    pub batch: Batch,
    /// For [`ClusterSums`](super::ClusterSums); nothing in profile `classic`.
    pub namespaces: NamespaceSums,
    /// How many points of the target are not among the rows, as their series are left out.
    pub not_chosen: usize,
}

/// Names one target's rows, and remembers what rates need.
#[derive(Debug)]
pub struct Shaper {
    naming: Arc<Naming>,
    chosen: SeriesSet,
    /// The tags that labels become, by namespace and pod.
    pods: HashMap<(String, String), Vec<(String, String)>>,
    capacity: NodeAmounts,
    allocatable: NodeAmounts,
    rows: HashMap<TagSet, Row>,
}

/// What is remembered of a tag set.
#[derive(Debug)]
struct Row {
    /// With labels and aliases.
    tags: TagSet,
    level: Level,
    counters: Vec<(Series, Counter)>,
    seen: Timestamp,
    /// The number of `tags` in the batch that is being made.
    number: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    /// The machine, without a `resource_id`.
    Node,
    /// A container of a pod, without a `resource_id`; the pod's own tags.
    PodContainer {
        pod: TagSet,
        namespace: String,
    },
    /// A pod, without a `resource_id`.
    Pod,
    Other,
}

impl Shaper {
    /// A shaper that knows no pod yet.
    #[must_use]
    pub fn new(naming: Arc<Naming>) -> Self {
        Self {
            chosen: naming.chosen(),
            naming,
            pods: HashMap::new(),
            capacity: NodeAmounts::default(),
            allocatable: NodeAmounts::default(),
            rows: HashMap::new(),
        }
    }

    /// Takes the labels of a node's pods.
    pub fn take_pods(&mut self, pods: &PodList) {
        let rules = &self.naming.labels;
        self.pods = pods
            .labels()
            .map(|(namespace, name, labels)| {
                let labels = borrowed(labels);
                let key = (namespace.to_owned(), name.to_owned());
                (key, rules.tags_of(labels))
            })
            .filter(|(_, tags)| !tags.is_empty())
            .collect();
        // Their rows get their tags anew; what is known of counters stays.
        let mut rows = std::mem::take(&mut self.rows);
        for (key, row) in &mut rows {
            let (tags, level) = self.look(key);
            row.tags = tags;
            row.level = level;
        }
        self.rows = rows;
    }

    /// Takes what the node has, and what of it pods may have.
    pub fn take_node(&mut self, capacity: NodeAmounts, allocatable: NodeAmounts) {
        self.capacity = capacity;
        self.allocatable = allocatable;
    }

    /// Whether [`Self::shape`] leaves a batch as it is.
    pub(crate) fn is_plain(&self) -> bool {
        let Naming {
            profile, aliases, ..
        } = &*self.naming;
        *profile == Profile::Classic && *aliases == Aliases::None && self.pods.is_empty()
    }

    /// Names the points of one scrape, which are in profile `classic`.
    pub fn shape(&mut self, batch: Batch, now: Timestamp) -> Shaped {
        match self.naming.profile {
            Profile::Classic => Shaped {
                batch: self.classic(batch),
                namespaces: NamespaceSums::new(),
                not_chosen: 0,
            },
            Profile::HeapsterV1 | Profile::HeapsterV1Fields => self.heapster(&batch, now),
        }
    }

    fn classic(&self, batch: Batch) -> Batch {
        if self.is_plain() {
            return batch;
        }
        let mut named = Batch::default();
        let names: Vec<u32> = batch.names().iter().map(|name| named.name(name)).collect();
        let tag_sets: Vec<u32> = batch
            .tag_sets()
            .iter()
            .map(|tags| named.tag_set(&self.dress(tags)))
            .collect();
        let takes_alias = self.naming.choice.takes_alias(self.naming.aliases);
        let alias = takes_alias.then(|| named.name(FILESYSTEM_USAGE_V0));
        // It was taken for its alias alone.
        let is_alias_only = !self.chosen.has(Series::FilesystemUsage);
        for point in batch.points() {
            let tag_set = tag_sets[point.tag_set as usize];
            let fields = || {
                let fields = point.fields.iter();
                fields.map(|(field, value)| (names[*field as usize], value.clone()))
            };
            let measurement = point.measurement as usize;
            let is_usage =
                alias.is_some() && &*batch.names()[measurement] == Series::FilesystemUsage.name();
            if !(is_usage && is_alias_only) {
                named.push(names[measurement], tag_set, point.time, fields());
            }
            if let Some(alias) = alias.filter(|_| is_usage) {
                named.push(alias, tag_set, point.time, fields());
            }
        }
        named
    }

    /// A tag set with labels and aliases.
    fn dress(&self, tags: &TagSet) -> TagSet {
        let Some(namespace) = tags.value("namespace_name") else {
            return tags.clone();
        };
        let pod = tags.value("pod_name").unwrap_or_default();
        // `Equivalent` of a pair of borrowed texts is not to be had for a pair of owned ones.
        let labels = match self.pods.is_empty() {
            true => None,
            false => self
                .pods
                .get(&(namespace.clone().into_owned(), pod.into_owned())),
        };
        let labels = labels.map_or(&[][..], Vec::as_slice);
        dressed(tags, labels, self.naming.aliases)
    }

    fn look(&self, tags: &TagSet) -> (TagSet, Level) {
        let dressed = self.dress(tags);
        let kind = tags.value("type").unwrap_or_default();
        let level = match (&*kind, tags.value("resource_id")) {
            ("node", None) => Level::Node,
            ("pod", None) => Level::Pod,
            ("pod_container", None) => {
                let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = dressed
                    .pairs()
                    .filter(|(key, _)| {
                        !matches!(&**key, "container_name" | "container_base_image" | "type")
                    })
                    .collect();
                let pairs = pairs
                    .iter()
                    .map(|(key, value)| (key.as_ref(), value.as_ref()));
                Level::PodContainer {
                    pod: build(pairs.chain([("type", "pod")])),
                    namespace: tags
                        .value("namespace_name")
                        .unwrap_or_default()
                        .into_owned(),
                }
            }
            _ => Level::Other,
        };
        (dressed, level)
    }

    fn heapster(&mut self, batch: &Batch, now: Timestamp) -> Shaped {
        let profile = self.naming.profile;
        let mut known = std::mem::take(&mut self.rows);
        // By number while the points go by: a look-up for each point would cost more than the point.
        let mut rows: Vec<(TagSet, Row)> = batch
            .tag_sets()
            .iter()
            .map(|tags| {
                let (key, mut row) = known
                    .remove_entry(tags)
                    .unwrap_or_else(|| (tags.clone(), self.new_row(tags)));
                row.seen = now;
                row.number = None;
                (key, row)
            })
            .collect();
        let series: Vec<Option<Series>> = batch
            .names()
            .iter()
            .map(|name| Series::of_name(name))
            .collect();
        let mut out = Out::new(profile, self.chosen);
        let mut not_chosen = 0;
        let mut pods: HashMap<TagSet, (String, Sums)> = HashMap::new();
        let mut node = NodeRow::default();
        for point in batch.points() {
            let (_, row) = &mut rows[point.tag_set as usize];
            let Some(series) = series[point.measurement as usize] else {
                out.as_is(batch, &point, &row.tags);
                continue;
            };
            let [(_, FieldValue::Integer(value)), ..] = point.fields else {
                out.as_is(batch, &point, &row.tags);
                continue;
            };
            let (time, value) = (point.time, *value);
            if row.level == Level::Node {
                node.tags.get_or_insert_with(|| row.tags.clone());
                match series {
                    // Of a machine it is what it has; its pods' limits are its limit.
                    Series::CpuLimit => node.capacity.cpu_millis = Some(to_f64(value)),
                    Series::MemoryLimit => node.capacity.memory_bytes = Some(to_f64(value)),
                    _ => {}
                }
                if matches!(series, Series::CpuLimit | Series::MemoryLimit) {
                    continue;
                }
                if series == Series::WorkingSet {
                    node.working_set = Some(to_f64(value));
                }
            }
            out.row = *row
                .number
                .get_or_insert_with(|| out.batch.tag_set(&row.tags));
            if !out.own(series, time, FieldValue::Integer(value)) {
                not_chosen += 1;
            }
            if let Level::PodContainer { pod, namespace } = &row.level
                && is_summed_over_containers(series)
            {
                let (_, sums) = pods
                    .entry_ref(pod)
                    .or_insert_with(|| (namespace.clone(), Sums::new()));
                add(sums, series, time, to_f64(value));
            }
            if let Some(rate_of) = rate_series(series) {
                let known = row.counters.iter_mut().find(|(known, _)| *known == series);
                let rate = match known {
                    Some((_, counter)) => counter.next(time, value),
                    None => {
                        row.counters.push((series, Counter::new(time, value)));
                        None
                    }
                };
                if let Some(rate) = rate {
                    out.rate(rate_of, time, rate);
                }
            }
        }
        for (_, row) in &rows {
            sum_rates(row, now, &mut pods, &mut node);
        }
        known.retain(|_, row| now.0.saturating_sub(row.seen.0) <= AGE_NS_MAX);
        known.extend(rows);
        self.rows = known;
        let namespaces = write_pods(&pods, &mut node, &mut out);
        self.write_node(&node, now, &mut out);
        Shaped {
            batch: out.batch,
            namespaces,
            not_chosen,
        }
    }

    fn new_row(&self, tags: &TagSet) -> Row {
        let (tags, level) = self.look(tags);
        Row {
            tags,
            level,
            counters: Vec::new(),
            seen: Timestamp::default(),
            number: None,
        }
    }

    fn write_node(&self, node: &NodeRow, now: Timestamp, out: &mut Out) {
        let Some(tags) = &node.tags else { return };
        for (series, sum) in &node.sums {
            out.sum(*series, tags, *sum);
        }
        let requested = |series| node.sums.get(&series).map(|sum| sum.value);
        let had = &node.capacity;
        for (capacity, allocatable, used, requested, series) in [
            (
                self.capacity.cpu_millis.or(had.cpu_millis),
                self.allocatable.cpu_millis,
                node.cpu_rate,
                requested(Series::CpuRequest),
                [
                    Series::CpuCapacity,
                    Series::CpuAllocatable,
                    Series::CpuUtilization,
                    Series::CpuReservation,
                ],
            ),
            (
                self.capacity.memory_bytes.or(had.memory_bytes),
                self.allocatable.memory_bytes,
                node.working_set,
                requested(Series::MemoryRequest),
                [
                    Series::MemoryCapacity,
                    Series::MemoryAllocatable,
                    Series::MemoryUtilization,
                    Series::MemoryReservation,
                ],
            ),
            (
                self.capacity.ephemeral_bytes,
                self.allocatable.ephemeral_bytes,
                requested(Series::EphemeralUsage),
                requested(Series::EphemeralRequest),
                [
                    Series::EphemeralCapacity,
                    Series::EphemeralAllocatable,
                    Series::EphemeralUtilization,
                    Series::EphemeralReservation,
                ],
            ),
        ] {
            // Without the Kubernetes API all that the machine has counts as allocatable.
            let whole = allocatable.or(capacity).filter(|whole| *whole > 0.0);
            let part = |amount: Option<f64>| Some(amount? / whole?);
            let values = [capacity, allocatable, part(used), part(requested)];
            for (series, value) in series.into_iter().zip(values) {
                if let Some(value) = value {
                    out.float(series, tags, now, value);
                }
            }
        }
    }
}

/// A tag set of a pod with the tags of its labels and with aliases; any other as it is.
pub(crate) fn dressed(tags: &TagSet, labels: &[(String, String)], aliases: Aliases) -> TagSet {
    let Some(namespace) = tags.value("namespace_name") else {
        return tags.clone();
    };
    let mut more: Vec<(&str, &str)> = Vec::new();
    if aliases == Aliases::HeapsterV0 {
        more.push(("pod_namespace", &namespace));
    }
    let labels = labels.iter();
    more.extend(labels.map(|(key, value)| (key.as_str(), value.as_str())));
    let own: Vec<(Cow<'_, str>, Cow<'_, str>)> = tags.pairs().collect();
    // A label never takes the place of a tag of the level.
    more.retain(|(key, _)| !own.iter().any(|(taken, _)| taken == key));
    if more.is_empty() {
        return tags.clone();
    }
    let own = own.iter();
    let own = own.map(|(key, value)| (key.as_ref(), value.as_ref()));
    build(own.chain(more.iter().copied()))
}

fn build<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> TagSet {
    let mut builder = TagSetBuilder::default();
    for (key, value) in pairs {
        // A `\` at a value's end would escape the comma behind it.
        let value = value.trim_end_matches('\\');
        if !value.is_empty() {
            builder
                .push(key, value)
                .expect("keys are not empty, and values were looked at");
        }
    }
    TagSet::from_canonical(
        builder
            .finish()
            .expect("keys that were there already are left out"),
    )
}
