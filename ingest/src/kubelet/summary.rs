//! `/stats/summary`: the Kubelet's own view of node, pods and volumes.
//!
//! Any part may be absent: under CRI stats a runtime leaves out what it does not know. Times are
//! whole seconds.

use std::borrow::Cow;

use plimsoll_engine::Timestamp;
use serde::Deserialize;

use super::{Options, Pages, PodList, null_is_none};
use crate::cadvisor::Images;
use crate::known::KnownTags;
use crate::names::{Mapped, Pod, Series, Subject, Writer, stored};
use crate::pressure::Psi;

/// The payload.
#[derive(Debug, Clone, Deserialize)]
pub struct Summary<'a> {
    /// The node.
    #[serde(borrow)]
    pub node: Node<'a>,
    /// Its pods.
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    pub pods: Vec<PodStats<'a>>,
}

/// The node's part.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node<'a> {
    /// The node's name in its cluster.
    #[serde(borrow)]
    pub node_name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    system_containers: Vec<Container<'a>>,
    /// Empty where it is not known: serde borrows no text of an `Option`.
    #[serde(borrow, default)]
    start_time: Cow<'a, str>,
    #[serde(borrow)]
    cpu: Option<Cpu<'a>>,
    #[serde(borrow)]
    memory: Option<Memory<'a>>,
    #[serde(borrow)]
    io: Option<Io<'a>>,
    #[serde(borrow)]
    swap: Option<Swap<'a>>,
    #[serde(borrow)]
    network: Option<Network<'a>>,
    #[serde(borrow)]
    fs: Option<FileSystem<'a>>,
}

/// A container's part.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    /// Empty where it is not known: serde borrows no text of an `Option`.
    #[serde(borrow, default)]
    start_time: Cow<'a, str>,
    #[serde(borrow)]
    cpu: Option<Cpu<'a>>,
    #[serde(borrow)]
    memory: Option<Memory<'a>>,
    #[serde(borrow)]
    io: Option<Io<'a>>,
    #[serde(borrow)]
    rootfs: Option<FileSystem<'a>>,
    #[serde(borrow)]
    logs: Option<FileSystem<'a>>,
    #[serde(borrow)]
    swap: Option<Swap<'a>>,
}

/// What a node has as a container has it.
struct Stats<'s> {
    start_time: &'s str,
    cpu: Option<&'s Cpu<'s>>,
    memory: Option<&'s Memory<'s>>,
    io: Option<&'s Io<'s>>,
    swap: Option<&'s Swap<'s>>,
}

impl Node<'_> {
    /// When the node's own processor time was read, or empty.
    #[must_use]
    pub fn time(&self) -> &str {
        self.cpu.as_ref().map_or("", |cpu| &cpu.time)
    }

    fn stats(&self) -> Stats<'_> {
        Stats {
            start_time: &self.start_time,
            cpu: self.cpu.as_ref(),
            memory: self.memory.as_ref(),
            io: self.io.as_ref(),
            swap: self.swap.as_ref(),
        }
    }
}

impl Container<'_> {
    fn stats(&self) -> Stats<'_> {
        Stats {
            start_time: &self.start_time,
            cpu: self.cpu.as_ref(),
            memory: self.memory.as_ref(),
            io: self.io.as_ref(),
            swap: self.swap.as_ref(),
        }
    }
}

/// A pod's part.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStats<'a> {
    #[serde(borrow)]
    pod_ref: PodRef<'a>,
    /// Empty where it is not known: serde borrows no text of an `Option`.
    #[serde(borrow, default)]
    start_time: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    containers: Vec<Container<'a>>,
    #[serde(borrow)]
    cpu: Option<Cpu<'a>>,
    #[serde(borrow)]
    network: Option<Network<'a>>,
    #[serde(borrow, default, rename = "volume", deserialize_with = "null_is_none")]
    volumes: Vec<FileSystem<'a>>,
    #[serde(borrow, rename = "ephemeral-storage")]
    ephemeral_storage: Option<FileSystem<'a>>,
    #[serde(rename = "process_stats")]
    process_stats: Option<Processes>,
}

#[derive(Debug, Clone, Deserialize)]
struct PodRef<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
}

#[derive(Debug, Clone, Deserialize)]
struct Processes {
    #[serde(rename = "process_count")]
    count: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cpu<'a> {
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    usage_core_nano_seconds: Option<u64>,
    psi: Option<Psi>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory<'a> {
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    available_bytes: Option<u64>,
    usage_bytes: Option<u64>,
    working_set_bytes: Option<u64>,
    rss_bytes: Option<u64>,
    page_faults: Option<u64>,
    major_page_faults: Option<u64>,
    psi: Option<Psi>,
}

#[derive(Debug, Clone, Deserialize)]
struct Io<'a> {
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    psi: Option<Psi>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Swap<'a> {
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    swap_usage_bytes: Option<u64>,
}

/// The counters are those of the interface that the Kubelet takes for the main one; absent where
/// it found none.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Network<'a> {
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    rx_bytes: Option<u64>,
    rx_errors: Option<u64>,
    tx_bytes: Option<u64>,
    tx_errors: Option<u64>,
    #[serde(default, deserialize_with = "null_is_none")]
    interfaces: Vec<Interface>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    rx_bytes: Option<u64>,
    rx_errors: Option<u64>,
    tx_bytes: Option<u64>,
    tx_errors: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileSystem<'a> {
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    /// A volume's name.
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    available_bytes: Option<u64>,
    capacity_bytes: Option<u64>,
    used_bytes: Option<u64>,
    inodes: Option<u64>,
    inodes_free: Option<u64>,
}

impl<'a> Summary<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// Where it is no summary.
    pub fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}

/// Adds what is taken from a summary to `mapped`.
pub(super) fn map<'o>(
    summary: &'o Summary<'_>,
    pods: Option<&PodList>,
    options: Options<'o>,
    images: &Images,
    known: &'o mut KnownTags,
    mapped: &mut Mapped,
) {
    let mut points = Points {
        writer: Writer::choosing(std::mem::take(&mut mapped.batch), options.wanted),
        known,
        options,
        last_time: ("", None),
        kept: 0,
        without_time: 0,
    };
    let node = &summary.node;
    points.network(node.network.as_ref(), Subject::Node);
    if let Some(fs) = &node.fs {
        points.file_system(fs, "/", Subject::Node);
    }
    if options.pages == Pages::Summary {
        points.stats(&node.stats(), Subject::Node);
        points.machine_memory(node.memory.as_ref());
    }
    for container in &node.system_containers {
        let subject = Subject::SysContainer {
            name: &container.name,
            id: "",
            image: "",
        };
        // `/metrics/cadvisor` has no names for them, so everything comes from here.
        points.stats(&container.stats(), subject);
    }
    let mut host_network = 0;
    for pod_stats in &summary.pods {
        let pod = Pod {
            namespace: &pod_stats.pod_ref.namespace,
            name: &pod_stats.pod_ref.name,
            uid: &pod_stats.pod_ref.uid,
        };
        let shares_network = pods.is_some_and(|pods| pods.shares_node_network(pod));
        if shares_network {
            host_network += 4;
        }
        points.pod(pod_stats, pod, shares_network, images);
    }
    mapped.drop_samples("time not readable", points.without_time);
    mapped.drop_samples("network of the node seen from a pod", host_network);
    mapped.take_written(points.writer, points.kept);
}

struct Points<'o> {
    writer: Writer,
    known: &'o mut KnownTags,
    options: Options<'o>,
    /// The text of a time that was read last, and what it is: neighbours have the same.
    last_time: (&'o str, Option<Timestamp>),
    kept: usize,
    without_time: usize,
}

impl<'o> Points<'o> {
    fn tag_set(&mut self, subject: Subject<'_>, resource: &str) -> u32 {
        self.known.tag_set(&mut self.writer, subject, resource)
    }

    fn time(&mut self, text: &'o str) -> Option<Timestamp> {
        if self.last_time.0 != text {
            self.last_time = (text, parse_time(text));
        }
        self.last_time.1
    }

    fn values(&mut self, tag_set: u32, time: &'o str, values: &[(Series, Option<u64>)]) {
        let Some(time) = self.time(time) else {
            self.without_time += values.len();
            return;
        };
        for (series, value) in values {
            if let Some(value) = value {
                self.writer.value(*series, tag_set, time, stored(*value));
                self.kept += 1;
            }
        }
    }

    fn uptime(&mut self, tag_set: u32, time: &'o str, start: &str) {
        if let (Some(time), Some(start)) = (self.time(time), parse_time(start)) {
            let uptime_ms = (time.0.saturating_sub(start.0) / 1_000_000).max(0);
            self.writer.value(Series::Uptime, tag_set, time, uptime_ms);
            self.kept += 1;
        }
    }

    fn network(&mut self, network: Option<&'o Network<'_>>, subject: Subject<'_>) {
        let Some(network) = network else { return };
        let tag_set = self.tag_set(subject, "");
        let counter = |main: Option<u64>, of: fn(&Interface) -> Option<u64>| {
            main.or_else(|| {
                network
                    .interfaces
                    .iter()
                    .filter_map(of)
                    .reduce(u64::saturating_add)
            })
        };
        let values = [
            (
                Series::NetworkRx,
                counter(network.rx_bytes, |one| one.rx_bytes),
            ),
            (
                Series::NetworkTx,
                counter(network.tx_bytes, |one| one.tx_bytes),
            ),
            (
                Series::NetworkRxErrors,
                counter(network.rx_errors, |one| one.rx_errors),
            ),
            (
                Series::NetworkTxErrors,
                counter(network.tx_errors, |one| one.tx_errors),
            ),
        ];
        self.values(tag_set, &network.time, &values);
    }

    fn file_system(&mut self, fs: &'o FileSystem<'_>, resource: &str, subject: Subject<'_>) {
        let values = [
            (Series::FilesystemUsage, fs.used_bytes),
            (Series::FilesystemLimit, fs.capacity_bytes),
            (Series::FilesystemAvailable, fs.available_bytes),
            (Series::FilesystemInodes, fs.inodes),
            (Series::FilesystemInodesFree, fs.inodes_free),
        ];
        // A file system has a tag set of its own, which is not made for nothing.
        if !self.writer.takes_any(&values.map(|(series, _)| series)) {
            let there = values.iter().filter(|(_, value)| value.is_some()).count();
            self.kept += there;
            self.writer.leave_out(there);
            return;
        }
        let tag_set = self.tag_set(subject, resource);
        self.values(tag_set, &fs.time, &values);
    }

    /// What the machine has: the Kubelet says what of it is not in the working set.
    fn machine_memory(&mut self, memory: Option<&'o Memory<'_>>) {
        let Some(memory) = memory else { return };
        let tag_set = self.tag_set(Subject::Node, "");
        let whole = memory.available_bytes.zip(memory.working_set_bytes);
        let whole = whole.map(|(free, used)| free.saturating_add(used));
        self.values(tag_set, &memory.time, &[(Series::MemoryLimit, whole)]);
    }

    /// Processor, memory and stalls.
    fn stats(&mut self, container: &Stats<'o>, subject: Subject<'_>) {
        let tag_set = self.tag_set(subject, "");
        if let Some(cpu) = container.cpu {
            let usage = (Series::CpuUsage, cpu.usage_core_nano_seconds);
            self.values(tag_set, &cpu.time, &[usage]);
            self.uptime(tag_set, &cpu.time, container.start_time);
            let stalls = [Series::PressureCpuSome, Series::PressureCpuFull];
            self.pressure(tag_set, &cpu.time, cpu.psi.as_ref(), stalls);
        }
        if let Some(memory) = container.memory {
            let values = [
                (Series::MemoryUsage, memory.usage_bytes),
                (Series::WorkingSet, memory.working_set_bytes),
                (Series::MemoryRss, memory.rss_bytes),
                (Series::PageFaults, memory.page_faults),
                (Series::MajorPageFaults, memory.major_page_faults),
            ];
            self.values(tag_set, &memory.time, &values);
            let stalls = [Series::PressureMemorySome, Series::PressureMemoryFull];
            self.pressure(tag_set, &memory.time, memory.psi.as_ref(), stalls);
        }
        if let Some(io) = container.io {
            let stalls = [Series::PressureIoSome, Series::PressureIoFull];
            self.pressure(tag_set, &io.time, io.psi.as_ref(), stalls);
        }
        if let Some(swap) = container.swap {
            let usage = (Series::MemorySwap, swap.swap_usage_bytes);
            self.values(tag_set, &swap.time, &[usage]);
        }
    }

    /// A container's writable layer and logs together.
    fn ephemeral(&mut self, container: &'o Container<'_>, subject: Subject<'_>) {
        let parts = [&container.rootfs, &container.logs];
        let used = parts
            .iter()
            .filter_map(|part| part.as_ref()?.used_bytes)
            .reduce(u64::saturating_add);
        let time = parts.iter().find_map(|part| Some(&part.as_ref()?.time));
        if let Some(time) = time {
            let tag_set = self.tag_set(subject, "");
            self.values(tag_set, time, &[(Series::EphemeralUsage, used)]);
        }
    }

    fn pressure(&mut self, tag_set: u32, time: &'o str, psi: Option<&Psi>, series: [Series; 2]) {
        let Some(psi) = psi else { return };
        let [some, full] = psi.stalled_ns();
        let values = [(series[0], some), (series[1], full)];
        self.values(tag_set, time, &values);
    }

    fn pod(
        &mut self,
        stats: &'o PodStats<'_>,
        pod: Pod<'_>,
        shares_network: bool,
        images: &Images,
    ) {
        let subject = Subject::Pod(pod);
        if !shares_network {
            self.network(stats.network.as_ref(), subject);
        }
        if let Some(cpu) = &stats.cpu {
            let tag_set = self.tag_set(subject, "");
            self.uptime(tag_set, &cpu.time, &stats.start_time);
            let count = stats.process_stats.as_ref().and_then(|stats| stats.count);
            self.values(tag_set, &cpu.time, &[(Series::ProcessCount, count)]);
        }
        if let Some(storage) = &stats.ephemeral_storage {
            let tag_set = self.tag_set(subject, "");
            let used = (Series::EphemeralUsage, storage.used_bytes);
            self.values(tag_set, &storage.time, &[used]);
        }
        for volume in &stats.volumes {
            self.file_system(volume, &format!("Volume:{}", volume.name), subject);
        }
        for container in &stats.containers {
            let subject = Subject::PodContainer {
                pod,
                name: &container.name,
                image: images.image(pod.namespace, pod.name, &container.name),
            };
            if self.options.pages == Pages::Summary {
                self.stats(&container.stats(), subject);
            }
            self.ephemeral(container, subject);
            if let Some(rootfs) = &container.rootfs {
                self.file_system(rootfs, "/", subject);
            }
            if let Some(logs) = &container.logs {
                self.file_system(logs, "logs", subject);
            }
        }
    }
}

/// RFC 3339, as the Kubelet writes it.
fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}
