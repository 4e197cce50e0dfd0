//! `/pods`: labels, what containers ask for and may have, restarts, and which pods share the
//! node's network.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::{Options, Pages, null_is_none};
use crate::cadvisor::Images;
use crate::names::{Mapped, Pod, Series, Subject, Writer};

/// The payload, as far as it is of use.
#[derive(Debug, Clone, Deserialize)]
pub struct PodList {
    #[serde(default, deserialize_with = "null_is_none")]
    items: Vec<Item>,
}

#[derive(Debug, Clone, Deserialize)]
struct Item {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
    /// A static pod's uid in the Kubelet's other payloads is the hash of its file.
    #[serde(default)]
    annotations: HashMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    host_network: bool,
    #[serde(default)]
    node_name: String,
    #[serde(default, deserialize_with = "null_is_none")]
    containers: Vec<Container>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    phase: String,
    #[serde(default, deserialize_with = "null_is_none")]
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    restart_count: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
struct Container {
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    resources: Resources,
}

#[derive(Debug, Clone, Default, Deserialize)]
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
        serde_json::from_slice(body)
    }

    /// Whether `pod` is in the node's network, so that its counters are the node's.
    ///
    /// By namespace and name: a static pod has two uids.
    #[must_use]
    pub fn shares_node_network(&self, pod: Pod<'_>) -> bool {
        self.items.iter().any(|item| {
            item.spec.host_network
                && item.metadata.name == pod.name
                && item.metadata.namespace == pod.namespace
        })
    }
}

impl PodList {
    /// Each pod's namespace, name and labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str, &BTreeMap<String, String>)> {
        self.items.iter().map(|item| {
            let metadata = &item.metadata;
            (&*metadata.namespace, &*metadata.name, &metadata.labels)
        })
    }

    /// The name of the node that they are on.
    #[must_use]
    pub fn node_name(&self) -> Option<&str> {
        let names = self.items.iter().map(|item| item.spec.node_name.as_str());
        names.into_iter().find(|name| !name.is_empty())
    }

    /// The uid that the Kubelet's other payloads have for a pod, or empty.
    #[must_use]
    pub fn uid(&self, namespace: &str, name: &str) -> &str {
        let mut items = self.items.iter();
        let item =
            items.find(|item| item.metadata.name == name && item.metadata.namespace == namespace);
        item.map_or("", |item| item.metadata.uid_of_payloads())
    }

    /// Tells the images of containers, where `/metrics/cadvisor` is not read.
    pub(super) fn tell(&self, images: &mut Images) {
        images.clear();
        for item in &self.items {
            for container in &item.spec.containers {
                let metadata = &item.metadata;
                images.insert(
                    &metadata.namespace,
                    &metadata.name,
                    &container.name,
                    &container.image,
                );
            }
        }
    }
}

impl Metadata {
    fn uid_of_payloads(&self) -> &str {
        let hash = self.annotations.get("kubernetes.io/config.hash");
        hash.unwrap_or(&self.uid)
    }
}

/// Adds requests and restarts of running containers, and their limits where
/// `/metrics/cadvisor`, which has them, is not read.
pub(super) fn map(pods: &PodList, options: Options<'_>, images: &Images, mapped: &mut Mapped) {
    let mut writer = Writer::onto(std::mem::take(&mut mapped.batch));
    for item in &pods.items {
        let metadata = &item.metadata;
        if item.status.phase != "Running" {
            continue;
        }
        let pod = Pod {
            namespace: &metadata.namespace,
            name: &metadata.name,
            uid: metadata.uid_of_payloads(),
        };
        for container in &item.spec.containers {
            let tags = options.place.tags(
                Subject::PodContainer {
                    pod,
                    name: &container.name,
                    image: images.image(pod.namespace, pod.name, &container.name),
                },
                &[],
            );
            let tag_set = writer.tag_set(&tags);
            for (series, value) in amounts(container, options.pages) {
                writer.value(series, tag_set, options.now, value);
                mapped.kept += 1;
            }
            let mut statuses = item.status.container_statuses.iter();
            let status = statuses.find(|status| status.name == container.name);
            if let Some(count) = status.and_then(|status| status.restart_count) {
                writer.value(Series::RestartCount, tag_set, options.now, count);
                mapped.kept += 1;
            }
        }
    }
    mapped.batch = writer.finish();
}

/// What a container asks for and may have; what is not set is absent.
fn amounts(container: &Container, pages: Pages) -> Vec<(Series, i64)> {
    let Resources { requests, limits } = &container.resources;
    let mut wanted = vec![
        (Series::CpuRequest, requests, "cpu", 1_000.0),
        (Series::MemoryRequest, requests, "memory", 1.0),
        (Series::EphemeralRequest, requests, "ephemeral-storage", 1.0),
        (Series::EphemeralLimit, limits, "ephemeral-storage", 1.0),
    ];
    if pages != Pages::Full {
        wanted.extend([
            (Series::CpuLimit, limits, "cpu", 1_000.0),
            (Series::MemoryLimit, limits, "memory", 1.0),
        ]);
    }
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
