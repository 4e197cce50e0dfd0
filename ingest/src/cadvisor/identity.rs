//! Whom a cgroup belongs to, by its labels and its path.

use std::borrow::Cow;

use hashbrown::{Equivalent, HashMap};

use super::Source;
use super::rows::find;
use crate::cgroup::path;
use crate::prometheus::Sample;

/// Images by namespace, pod and container, kept from one scrape to the next so that a
/// container's file systems have its tags even when `/metrics/cadvisor` failed.
#[derive(Debug, Clone, Default)]
pub struct Images(HashMap<ImageKey, Box<str>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ImageKey {
    namespace: Box<str>,
    pod: Box<str>,
    container: Box<str>,
}

/// A key that is asked for.
#[derive(Hash)]
struct Named<'a> {
    namespace: &'a str,
    pod: &'a str,
    container: &'a str,
}

impl Equivalent<ImageKey> for Named<'_> {
    fn equivalent(&self, key: &ImageKey) -> bool {
        *self.pod == *key.pod
            && *self.container == *key.container
            && *self.namespace == *key.namespace
    }
}

impl From<&Named<'_>> for ImageKey {
    fn from(named: &Named<'_>) -> Self {
        Self {
            namespace: named.namespace.into(),
            pod: named.pod.into(),
            container: named.container.into(),
        }
    }
}

impl Images {
    /// Forgets all; a payload that was read whole says them again.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn insert(&mut self, namespace: &str, pod: &str, container: &str, image: &str) {
        let named = Named {
            namespace,
            pod,
            container,
        };
        self.0.insert(ImageKey::from(&named), image.into());
    }

    /// The image of a container, or empty.
    pub(crate) fn image(&self, namespace: &str, pod: &str, container: &str) -> &str {
        let named = Named {
            namespace,
            pod,
            container,
        };
        self.0.get(&named).map_or("", |image| image)
    }
}

/// Whom a row belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity<'a> {
    /// The machine.
    Machine,
    /// The sandbox of a pod; its network is the pod's.
    Pause(PodNames<'a>),
    /// The cgroup around a pod's containers.
    PodSlice(PodNames<'a>),
    /// A container of a pod.
    PodContainer {
        pod: PodNames<'a>,
        name: Cow<'a, str>,
        image: Cow<'a, str>,
    },
    /// A container or service outside of Kubernetes, if its cgroup is a leaf.
    System {
        name: Cow<'a, str>,
        container_id: String,
        image: Cow<'a, str>,
        /// Whether an engine made it, so that it counts even if it holds other cgroups.
        is_container: bool,
    },
    /// A cgroup that holds others.
    Slice,
}

/// A pod's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodNames<'a> {
    pub(super) namespace: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) uid: String,
}

/// Reads a row's identity off its first sample.
pub(super) fn of<'a>(id: &str, sample: &Sample<'_, 'a>, source: Source) -> Identity<'a> {
    if id == "/" {
        return Identity::Machine;
    }
    // `pod` and `container` were `pod_name` and `container_name` before Kubernetes 1.16; a
    // cAdvisor of its own knows them as labels of the container.
    let either = |now: &str, before: &str, label: &str| {
        find(sample, now)
            .or_else(|| find(sample, before))
            .cloned()
            .or_else(|| container_label(sample, label))
    };
    let image = find(sample, "image").cloned().unwrap_or_default();
    let Some(pod) = either("pod", "pod_name", "io.kubernetes.pod.name") else {
        return match source {
            Source::Standalone => system(id, sample, image),
            Source::Kubelet | Source::KubeletBesideSummary => Identity::Slice,
        };
    };
    let namespace = find(sample, "namespace")
        .cloned()
        .or_else(|| container_label(sample, "io.kubernetes.pod.namespace"))
        .unwrap_or_default();
    let uid = path::pod_uid(id)
        .or_else(|| container_label(sample, "io.kubernetes.pod.uid").map(Cow::into_owned))
        .unwrap_or_default();
    let pod = PodNames {
        namespace,
        name: pod,
        uid,
    };
    match either(
        "container",
        "container_name",
        "io.kubernetes.container.name",
    ) {
        Some(name) if name == "POD" => Identity::Pause(pod),
        Some(name) => Identity::PodContainer { pod, name, image },
        None if find(sample, "name").is_some() => Identity::Pause(pod),
        None => Identity::PodSlice(pod),
    }
}

fn system<'a>(id: &str, sample: &Sample<'_, 'a>, image: Cow<'a, str>) -> Identity<'a> {
    // What an engine's container made below itself is counted in the container.
    let is_nested = path::container_root(id).is_some_and(|root| root != id);
    if path::is_slice(id) || is_nested {
        return Identity::Slice;
    }
    let engine_name = find(sample, "name").cloned();
    let container_id = path::container_id(id).unwrap_or_default().to_owned();
    Identity::System {
        is_container: engine_name.is_some() || !container_id.is_empty(),
        name: engine_name.unwrap_or_else(|| Cow::Owned(path::container_name(id))),
        container_id,
        image,
    }
}

/// A label of the container itself: `a.b/c` stands as `container_label_a_b_c`.
pub(super) fn container_label<'a>(sample: &Sample<'_, 'a>, label: &str) -> Option<Cow<'a, str>> {
    let same = |name: &str| {
        name.len() == label.len()
            && name
                .bytes()
                .zip(label.bytes())
                .all(|(a, b)| a == b || (a == b'_' && !b.is_ascii_alphanumeric()))
    };
    sample
        .labels
        .iter()
        .find(|(name, value)| {
            !value.is_empty() && name.strip_prefix("container_label_").is_some_and(same)
        })
        .map(|(_, value)| value.clone())
}
