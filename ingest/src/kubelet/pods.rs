//! `/pods`: labels, what containers ask for and may have, restarts, and which pods share the
//! node's network.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::Deserialize;

use super::{Options, Pages, null_is_none};
use crate::cadvisor::Images;
use crate::known::KnownTags;
use crate::names::{Mapped, Pod, Series, Subject, Writer};

/// The payload, as far as it is of use; kept for a minute, for thousands of nodes.
#[derive(Debug, Clone)]
pub struct PodList {
    pods: Vec<Entry>,
    /// Places in `pods`, by namespace and name: a static pod has two uids.
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
    node_name: Option<Box<str>>,
}

/// A pod's labels, in no order.
pub(crate) type Labels = [(Box<str>, Box<str>)];

#[derive(Debug, Clone)]
struct Entry {
    namespace: Box<str>,
    name: Box<str>,
    /// The one that the Kubelet's other payloads have.
    uid: Box<str>,
    labels: Box<Labels>,
    shares_node_network: bool,
    is_running: bool,
    containers: Box<[Wanted]>,
}

/// What a container asks for and may have.
#[derive(Debug, Clone)]
struct Wanted {
    name: Box<str>,
    image: Box<str>,
    amounts: Box<[(Series, i64)]>,
    restarts: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Payload {
    #[serde(default, deserialize_with = "null_is_none")]
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: Box<str>,
    #[serde(default)]
    namespace: Box<str>,
    #[serde(default)]
    uid: Box<str>,
    /// A static pod's uid in the Kubelet's other payloads is the hash of its file.
    #[serde(default)]
    annotations: HashMap<String, Box<str>>,
    #[serde(default)]
    labels: BTreeMap<Box<str>, Box<str>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    host_network: bool,
    #[serde(default)]
    node_name: Box<str>,
    #[serde(default, deserialize_with = "null_is_none")]
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    phase: String,
    #[serde(default, deserialize_with = "null_is_none")]
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    restart_count: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Container {
    name: Box<str>,
    #[serde(default)]
    image: Box<str>,
    #[serde(default)]
    resources: Resources,
}

#[derive(Debug, Default, Deserialize)]
struct Resources {
    #[serde(default)]
    requests: HashMap<String, String>,
    #[serde(default)]
    limits: HashMap<String, String>,
}

impl PodList {
    /// Reads a payload.
    ///
    /// # Errors
    /// Where it is no list of pods.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        let payload: Payload = serde_json::from_slice(body)?;
        let mut list = Self {
            pods: Vec::with_capacity(payload.items.len()),
            places: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            node_name: None,
        };
        for item in payload.items {
            list.push(item);
        }
        Ok(list)
    }

    fn push(&mut self, item: Item) {
        if self.node_name.is_none() && !item.spec.node_name.is_empty() {
            self.node_name = Some(item.spec.node_name.clone());
        }
        let mut metadata = item.metadata;
        let hash = metadata.annotations.remove("kubernetes.io/config.hash");
        let statuses = &item.status.container_statuses;
        let containers = item.spec.containers.into_iter().map(|container| {
            let mut statuses = statuses.iter();
            let status = statuses.find(|status| *status.name == *container.name);
            Wanted {
                amounts: amounts(&container.resources),
                restarts: status.and_then(|status| status.restart_count),
                name: container.name,
                image: container.image,
            }
        });
        let entry = Entry {
            uid: hash.unwrap_or(metadata.uid),
            namespace: metadata.namespace,
            name: metadata.name,
            labels: metadata.labels.into_iter().collect(),
            shares_node_network: item.spec.host_network,
            is_running: item.status.phase == "Running",
            containers: containers.collect(),
        };
        let hash = self.hasher.hash_one((&*entry.namespace, &*entry.name));
        // Of two that are called the same, the first counts.
        if self.find(&entry.namespace, &entry.name).is_none()
            && let Ok(place) = u32::try_from(self.pods.len())
        {
            let (pods, hasher) = (&self.pods, &self.hasher);
            self.places.insert_unique(hash, place, |at| {
                let there = &pods[*at as usize];
                hasher.hash_one((&*there.namespace, &*there.name))
            });
            self.pods.push(entry);
        }
    }

    fn find(&self, namespace: &str, name: &str) -> Option<&Entry> {
        let hash = self.hasher.hash_one((namespace, name));
        let is_it = |at: &u32| {
            let entry = &self.pods[*at as usize];
            *entry.name == *name && *entry.namespace == *namespace
        };
        let place = self.places.find(hash, is_it)?;
        Some(&self.pods[*place as usize])
    }

    /// Whether `pod` is in the node's network, so that its counters are the node's.
    #[must_use]
    pub fn shares_node_network(&self, pod: Pod<'_>) -> bool {
        let found = self.find(pod.namespace, pod.name);
        found.is_some_and(|entry| entry.shares_node_network)
    }

    /// Each pod's namespace, name and labels.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str, &Labels)> {
        let pods = self.pods.iter();
        pods.map(|pod| (&*pod.namespace, &*pod.name, &*pod.labels))
    }

    /// The labels of one pod.
    pub(crate) fn labels_of(&self, namespace: &str, name: &str) -> Option<&Labels> {
        Some(&self.find(namespace, name)?.labels)
    }

    /// The name of the node that they are on.
    #[must_use]
    pub fn node_name(&self) -> Option<&str> {
        self.node_name.as_deref()
    }

    /// The uid that the Kubelet's other payloads have for a pod, or empty.
    #[must_use]
    pub fn uid(&self, namespace: &str, name: &str) -> &str {
        let found = self.find(namespace, name);
        found.map_or("", |entry| &entry.uid)
    }

    /// Tells the images of containers, where `/metrics/cadvisor` is not read.
    pub(crate) fn tell(&self, images: &mut Images) {
        images.clear();
        for pod in &self.pods {
            for container in &pod.containers {
                images.insert(&pod.namespace, &pod.name, &container.name, &container.image);
            }
        }
    }
}

/// Adds requests and restarts of running containers, and their limits where
/// `/metrics/cadvisor`, which has them, is not read.
pub(super) fn map(
    pods: &PodList,
    options: Options<'_>,
    images: &Images,
    known: &mut KnownTags,
    mapped: &mut Mapped,
) {
    let mut writer = Writer::choosing(std::mem::take(&mut mapped.batch), options.wanted);
    let is_taken = |series| {
        options.pages != Pages::Full || !matches!(series, Series::CpuLimit | Series::MemoryLimit)
    };
    let mut kept = 0;
    for entry in pods.pods.iter().filter(|entry| entry.is_running) {
        let pod = Pod {
            namespace: &entry.namespace,
            name: &entry.name,
            uid: &entry.uid,
        };
        for container in &entry.containers {
            let amounts = container.amounts.iter().copied();
            let restarts = container
                .restarts
                .map(|count| (Series::RestartCount, count));
            let values = amounts.chain(restarts);
            let values = values.filter(|(series, _)| is_taken(*series));
            let count = values.clone().count();
            kept += count;
            if !values.clone().any(|(series, _)| options.wanted.has(series)) {
                writer.leave_out(count);
                continue;
            }
            let subject = Subject::PodContainer {
                pod,
                name: &container.name,
                image: images.image(pod.namespace, pod.name, &container.name),
            };
            let tag_set = known.tag_set(&mut writer, subject, "");
            for (series, value) in values {
                writer.value(series, tag_set, options.now, value);
            }
        }
    }
    mapped.take_written(writer, kept);
}

/// What a container asks for and may have; what is not set is absent.
fn amounts(resources: &Resources) -> Box<[(Series, i64)]> {
    let Resources { requests, limits } = resources;
    let wanted = [
        (Series::CpuRequest, requests, "cpu", 1_000.0),
        (Series::MemoryRequest, requests, "memory", 1.0),
        (Series::EphemeralRequest, requests, "ephemeral-storage", 1.0),
        (Series::EphemeralLimit, limits, "ephemeral-storage", 1.0),
        (Series::CpuLimit, limits, "cpu", 1_000.0),
        (Series::MemoryLimit, limits, "memory", 1.0),
    ];
    let amount = |(series, from, resource, factor): (_, &HashMap<String, String>, &str, f64)| {
        let amount = quantity(from.get(resource)?)? * factor;
        Some((series, crate::number::rounded(amount)?))
    };
    wanted.into_iter().filter_map(amount).collect()
}

/// A quantity of Kubernetes: a number with a decimal (`m`, `k`, `M`…) or binary (`Ki`…) suffix.
pub(crate) fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1_024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (digits, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0));
    let number: f64 = digits.parse().ok()?;
    number.is_finite().then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::quantity;

    #[test]
    fn quantities_are_read_in_every_unit() {
        for (text, expected) in [
            ("100m", Some(0.1)),
            ("2", Some(2.0)),
            ("0.5", Some(0.5)),
            ("70Mi", Some(73_400_320.0)),
            ("1G", Some(1e9)),
            ("1e3", Some(1_000.0)),
            ("12E", Some(12e18)),
            ("", None),
            ("x", None),
            ("infM", None),
        ] {
            assert_eq!(quantity(text), expected, "{text}");
        }
    }
}
