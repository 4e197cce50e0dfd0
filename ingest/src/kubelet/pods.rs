//! `/pods`: what containers ask for, and which pods share the node's network.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use super::{Options, null_is_none};
use crate::cadvisor::Images;
use crate::names::{Mapped, Pod, Series, Subject, Writer};

/// The payload, as far as it is of use.
#[derive(Debug, Clone, Deserialize)]
pub struct PodList<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    items: Vec<Item<'a>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
    #[serde(borrow, default)]
    status: Status<'a>,
}

#[derive(Debug, Clone, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    /// A static pod's uid in the Kubelet's other payloads is the hash of its file.
    #[serde(borrow, default)]
    annotations: HashMap<Cow<'a, str>, Cow<'a, str>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(default)]
    host_network: bool,
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    containers: Vec<Container<'a>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    phase: Cow<'a, str>,
}

#[derive(Debug, Clone, Deserialize)]
struct Container<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    resources: Resources<'a>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Resources<'a> {
    #[serde(borrow, default)]
    requests: HashMap<Cow<'a, str>, Cow<'a, str>>,
}

impl<'a> PodList<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// Where it is no list of pods.
    pub fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
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

/// Adds the requests of running containers; their limits are in `/metrics/cadvisor`.
pub(super) fn map(pods: &PodList<'_>, options: Options<'_>, images: &Images, mapped: &mut Mapped) {
    let mut writer = Writer::onto(std::mem::take(&mut mapped.batch));
    for item in &pods.items {
        let metadata = &item.metadata;
        if item.status.phase != "Running" {
            continue;
        }
        let pod = Pod {
            namespace: &metadata.namespace,
            name: &metadata.name,
            uid: metadata
                .annotations
                .get("kubernetes.io/config.hash")
                .unwrap_or(&metadata.uid),
        };
        for container in &item.spec.containers {
            let requests = &container.resources.requests;
            let values = [
                (Series::CpuRequest, "cpu", 1_000.0),
                (Series::MemoryRequest, "memory", 1.0),
            ];
            for (series, resource, factor) in values {
                let Some(amount) = requests.get(resource).and_then(|text| quantity(text)) else {
                    continue;
                };
                let Some(amount) = crate::number::rounded(amount * factor) else {
                    continue;
                };
                let tags = options.place.tags(
                    Subject::PodContainer {
                        pod,
                        name: &container.name,
                        image: images.image(pod.namespace, pod.name, &container.name),
                    },
                    &[],
                );
                let tag_set = writer.tag_set(&tags);
                writer.value(series, tag_set, options.now, amount);
                mapped.kept += 1;
            }
        }
    }
    mapped.batch = writer.finish();
}

/// A quantity of Kubernetes: a number with a decimal (`m`, `k`, `M`…) or binary (`Ki`…) suffix.
fn quantity(text: &str) -> Option<f64> {
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
