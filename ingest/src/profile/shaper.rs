//! One target's rows: labels on them, their names, and what is computed of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use plimsoll_engine::model::{Batch, TagSetBuilder};
use plimsoll_engine::{FieldValue, TagSet, Timestamp};

use super::cluster::SUMMED;
use super::rate::{AGE_NS_MAX, Counter, rate_series, to_f64};
use super::{Aliases, NamespaceSums, Naming, Profile};
use crate::known::borrowed;
use crate::kubelet::PodList;
use crate::names::Series;
use crate::number::rounded;

/// The measurement that dashboards of Heapster 0.19 read for `filesystem/usage`.
const FILESYSTEM_USAGE_V0: &str = "filesystem/usage_bytes_gauge";

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
}

/// Names one target's rows, and remembers what rates need.
#[derive(Debug)]
pub struct Shaper {
    naming: Arc<Naming>,
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

/// A sum with the time of its latest part.
#[derive(Debug, Clone, Copy)]
struct Sum {
    time: Timestamp,
    value: f64,
}

type Sums = BTreeMap<Series, Sum>;

fn add(sums: &mut Sums, series: Series, time: Timestamp, value: f64) {
    let sum = sums.entry(series).or_insert(Sum { time, value: 0.0 });
    sum.time = sum.time.max(time);
    sum.value += value;
}

impl Shaper {
    /// A shaper that knows no pod yet.
    #[must_use]
    pub fn new(naming: Arc<Naming>) -> Self {
        Self {
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
        let alias =
            (self.naming.aliases == Aliases::HeapsterV0).then(|| named.name(FILESYSTEM_USAGE_V0));
        for point in batch.points() {
            let tag_set = tag_sets[point.tag_set as usize];
            let fields = || {
                let fields = point.fields.iter();
                fields.map(|(field, value)| (names[*field as usize], value.clone()))
            };
            let measurement = point.measurement as usize;
            named.push(names[measurement], tag_set, point.time, fields());
            if let Some(alias) = alias
                && &*batch.names()[measurement] == Series::FilesystemUsage.name()
            {
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
        let mut out = Out::new(profile);
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
            out.own(series, time, FieldValue::Integer(value));
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

/// What is gathered of the node while its rows go by.
#[derive(Debug, Default)]
struct NodeRow {
    tags: Option<TagSet>,
    capacity: NodeAmounts,
    working_set: Option<f64>,
    cpu_rate: Option<f64>,
    sums: Sums,
}

/// Adds the rates of a row where they belong. The last rate counts where the counter was served
/// twice: a pod is not to lose a container for a scrape.
fn sum_rates(
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
fn write_pods(
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
const MILLIS_NS: f64 = 1e6;

fn is_summed_over_containers(series: Series) -> bool {
    matches!(
        series,
        Series::MemoryUsage
            | Series::WorkingSet
            | Series::MemoryRss
            | Series::MemoryCache
            | Series::MemorySwap
            | Series::CpuLoad
            | Series::CpuRequest
            | Series::CpuLimit
            | Series::MemoryRequest
            | Series::MemoryLimit
            | Series::EphemeralUsage
            | Series::EphemeralRequest
            | Series::EphemeralLimit
            | Series::RestartCount
    )
}

/// Of the node's own row, what only its pods say.
fn is_summed_over_pods(series: Series) -> bool {
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

/// Rows on their way out.
struct Out {
    profile: Profile,
    batch: Batch,
    names: Vec<Option<(u32, u32)>>,
    /// The number of the tag set whose points go by.
    row: u32,
}

impl Out {
    fn new(profile: Profile) -> Self {
        Self {
            profile,
            batch: Batch::default(),
            names: vec![None; Series::ALL.len()],
            row: 0,
        }
    }

    fn push(&mut self, series: Series, tags: &TagSet, time: Timestamp, value: FieldValue) {
        self.row = self.batch.tag_set(tags);
        self.own(series, time, value);
    }

    /// Adds a value of the row that goes by.
    fn own(&mut self, series: Series, time: Timestamp, value: FieldValue) {
        let (profile, batch) = (self.profile, &mut self.batch);
        let (measurement, field) = *self.names[series as usize].get_or_insert_with(|| {
            let (measurement, field) = profile.names(series);
            (batch.name(measurement), batch.name(field))
        });
        batch.push(measurement, self.row, time, [(field, value)]);
    }

    fn integer(&mut self, series: Series, tags: &TagSet, time: Timestamp, value: i64) {
        self.push(series, tags, time, FieldValue::Integer(value));
    }

    fn float(&mut self, series: Series, tags: &TagSet, time: Timestamp, value: f64) {
        self.push(series, tags, time, FieldValue::Float(value));
    }

    /// A rate of what is counted, a second.
    fn rate(&mut self, series: Series, time: Timestamp, rate: f64) {
        let value = match series {
            Series::CpuUsageRate => match rounded(rate / MILLIS_NS) {
                Some(millis) => FieldValue::Integer(millis),
                None => return,
            },
            _ => FieldValue::Float(rate),
        };
        self.own(series, time, value);
    }

    fn sum(&mut self, series: Series, tags: &TagSet, sum: Sum) {
        match series {
            Series::PageFaultsRate | Series::MajorPageFaultsRate => {
                self.float(series, tags, sum.time, sum.value);
            }
            _ => {
                if let Some(value) = rounded(sum.value) {
                    self.integer(series, tags, sum.time, value);
                }
            }
        }
    }

    /// A point of a name that is none of ours.
    fn as_is(&mut self, from: &Batch, point: &plimsoll_engine::model::Point<'_>, tags: &TagSet) {
        let fields: Vec<(&str, FieldValue)> = point
            .fields
            .iter()
            .map(|(field, value)| (&*from.names()[*field as usize], value.clone()))
            .collect();
        let measurement = &from.names()[point.measurement as usize];
        self.batch.add(measurement, tags, point.time, fields);
    }
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
