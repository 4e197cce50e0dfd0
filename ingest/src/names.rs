//! What things are called: series, tags, and points made of the two.
//!
//! Every source writes through [`Writer`] under the names of profile `classic`, so that a
//! container has one tag set whatever it was read from; [`profile`](crate::profile) renames.

use std::collections::BTreeMap;

use plimsoll_engine::model::{Batch, TagSetBuilder};
use plimsoll_engine::{FieldValue, TagSet, Timestamp};

use crate::choice::{NOT_CHOSEN, SeriesSet};

macro_rules! series {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $bare:literal,)+) => {
        /// A series that sources give or that is computed of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Series { $($(#[doc = $doc])+ $variant,)+ }

        impl Series {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The measurement's name in profile `classic`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The name without unit and kind, as Heapster's later versions have it.
            #[must_use]
            pub fn bare_name(self) -> &'static str {
                match self { $(Self::$variant => $bare,)+ }
            }

            /// The series of a name in profile `classic`.
            #[must_use]
            pub fn of_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

series! {
    /// ms since the container started.
    Uptime = "uptime_ms_cumulative", "uptime",
    /// ns of processor time.
    CpuUsage = "cpu/usage_ns_cumulative", "cpu/usage",
    /// Bytes.
    MemoryUsage = "memory/usage_bytes_gauge", "memory/usage",
    /// Bytes: usage without the inactive part of the page cache, at least 0.
    WorkingSet = "memory/working_set_bytes_gauge", "memory/working_set",
    /// A counter in spite of its name.
    PageFaults = "memory/page_faults_gauge", "memory/page_faults",
    /// Bytes received.
    NetworkRx = "network/rx_bytes_cumulative", "network/rx",
    /// Bytes sent.
    NetworkTx = "network/tx_bytes_cumulative", "network/tx",
    /// Errors on the way in.
    NetworkRxErrors = "network/rx_errors_cumulative", "network/rx_errors",
    /// Errors on the way out.
    NetworkTxErrors = "network/tx_errors_cumulative", "network/tx_errors",
    /// Bytes used; the tag `resource_id` says of which file system.
    FilesystemUsage = "filesystem/usage", "filesystem/usage",
    /// Count.
    MajorPageFaults = "memory/major_page_faults_cumulative", "memory/major_page_faults",
    /// Bytes; absent where there is no limit.
    MemoryLimit = "memory/limit_bytes_gauge", "memory/limit",
    /// Bytes.
    MemoryRequest = "memory/request_bytes_gauge", "memory/request",
    /// Bytes of anonymous memory.
    MemoryRss = "memory/rss_bytes_gauge", "memory/rss",
    /// Bytes of page cache.
    MemoryCache = "memory/cache_bytes_gauge", "memory/cache",
    /// Bytes.
    MemorySwap = "memory/swap_bytes_gauge", "memory/swap",
    /// Count of kills for want of memory.
    OomEvents = "memory/oom_events_cumulative", "memory/oom_events",
    /// Thousandths of a processor; absent where there is no limit.
    CpuLimit = "cpu/limit_gauge", "cpu/limit",
    /// Thousandths of a processor.
    CpuRequest = "cpu/request_gauge", "cpu/request",
    /// Thousandths of a runnable thread, as cAdvisor and Heapster count it.
    CpuLoad = "cpu/load_gauge", "cpu/load",
    /// ns for which the container was held back.
    CpuThrottled = "cpu/throttled_ns_cumulative", "cpu/throttled",
    /// Periods in which it was held back.
    CpuThrottledPeriods = "cpu/throttled_periods_cumulative", "cpu/throttled_periods",
    /// Periods in which it could run.
    CpuPeriods = "cpu/periods_cumulative", "cpu/periods",
    /// Bytes.
    FilesystemLimit = "filesystem/limit_bytes_gauge", "filesystem/limit",
    /// Bytes.
    FilesystemAvailable = "filesystem/available_bytes_gauge", "filesystem/available",
    /// Count.
    FilesystemInodes = "filesystem/inodes_gauge", "filesystem/inodes",
    /// Count.
    FilesystemInodesFree = "filesystem/inodes_free_gauge", "filesystem/inodes_free",
    /// Bytes; the tag `resource_id` says of which device.
    DiskRead = "disk/io_read_bytes_cumulative", "disk/io_read_bytes",
    /// Bytes; the tag `resource_id` says of which device.
    DiskWrite = "disk/io_write_bytes_cumulative", "disk/io_write_bytes",
    /// ns in which some task waited for a processor.
    PressureCpuSome = "pressure/cpu_some_ns_cumulative", "pressure/cpu_some",
    /// ns in which all tasks waited for a processor.
    PressureCpuFull = "pressure/cpu_full_ns_cumulative", "pressure/cpu_full",
    /// ns in which some task waited for memory.
    PressureMemorySome = "pressure/memory_some_ns_cumulative", "pressure/memory_some",
    /// ns in which all tasks waited for memory.
    PressureMemoryFull = "pressure/memory_full_ns_cumulative", "pressure/memory_full",
    /// ns in which some task waited for a device.
    PressureIoSome = "pressure/io_some_ns_cumulative", "pressure/io_some",
    /// ns in which all tasks waited for a device.
    PressureIoFull = "pressure/io_full_ns_cumulative", "pressure/io_full",
    /// Count of processes.
    ProcessCount = "process/count_gauge", "process/count",
    /// 1 where the target answered, else 0; the tag `target` says which.
    ScrapeUp = "scrape/up_gauge", "scrape/up",
    /// How long the target took.
    ScrapeDuration = "scrape/duration_ns_gauge", "scrape/duration",
    /// Points that came of it.
    ScrapeSamples = "scrape/samples_gauge", "scrape/samples",
    /// Samples that do not parse.
    ScrapeRejected = "scrape/rejected_gauge", "scrape/rejected",
    /// Count of restarts of a container.
    RestartCount = "restart_count_cumulative", "restart_count",
    /// Bytes of the node's disk that a pod or container takes: writable layers, logs, emptyDirs.
    EphemeralUsage = "ephemeral_storage/usage_bytes_gauge", "ephemeral_storage/usage",
    /// Bytes.
    EphemeralRequest = "ephemeral_storage/request_bytes_gauge", "ephemeral_storage/request",
    /// Bytes; absent where there is no limit.
    EphemeralLimit = "ephemeral_storage/limit_bytes_gauge", "ephemeral_storage/limit",
    /// Computed: thousandths of a processor.
    CpuUsageRate = "cpu/usage_rate", "cpu/usage_rate",
    /// Computed: faults a second.
    PageFaultsRate = "memory/page_faults_rate", "memory/page_faults_rate",
    /// Computed: faults a second.
    MajorPageFaultsRate = "memory/major_page_faults_rate", "memory/major_page_faults_rate",
    /// Computed: bytes a second.
    NetworkRxRate = "network/rx_rate", "network/rx_rate",
    /// Computed: bytes a second.
    NetworkTxRate = "network/tx_rate", "network/tx_rate",
    /// Computed: errors a second.
    NetworkRxErrorsRate = "network/rx_errors_rate", "network/rx_errors_rate",
    /// Computed: errors a second.
    NetworkTxErrorsRate = "network/tx_errors_rate", "network/tx_errors_rate",
    /// Computed: bytes a second, of one device.
    DiskReadRate = "disk/io_read_bytes_rate", "disk/io_read_bytes_rate",
    /// Computed: bytes a second, of one device.
    DiskWriteRate = "disk/io_write_bytes_rate", "disk/io_write_bytes_rate",
    /// Computed: thousandths of a processor that the node has.
    CpuCapacity = "cpu/node_capacity", "cpu/node_capacity",
    /// Computed: thousandths of a processor that pods may have.
    CpuAllocatable = "cpu/node_allocatable", "cpu/node_allocatable",
    /// Computed: the part of what is allocatable that is used.
    CpuUtilization = "cpu/node_utilization", "cpu/node_utilization",
    /// Computed: the part of what is allocatable that is requested.
    CpuReservation = "cpu/node_reservation", "cpu/node_reservation",
    /// Computed: bytes that the node has.
    MemoryCapacity = "memory/node_capacity", "memory/node_capacity",
    /// Computed: bytes that pods may have.
    MemoryAllocatable = "memory/node_allocatable", "memory/node_allocatable",
    /// Computed: the part of what is allocatable that is in the working set.
    MemoryUtilization = "memory/node_utilization", "memory/node_utilization",
    /// Computed: the part of what is allocatable that is requested.
    MemoryReservation = "memory/node_reservation", "memory/node_reservation",
    /// Computed: bytes that the node has.
    EphemeralCapacity = "ephemeral_storage/node_capacity", "ephemeral_storage/node_capacity",
    /// Computed: bytes that pods may have.
    EphemeralAllocatable = "ephemeral_storage/node_allocatable", "ephemeral_storage/node_allocatable",
    /// Computed: the part of what is allocatable that is used.
    EphemeralUtilization = "ephemeral_storage/node_utilization", "ephemeral_storage/node_utilization",
    /// Computed: the part of what is allocatable that is requested.
    EphemeralReservation = "ephemeral_storage/node_reservation", "ephemeral_storage/node_reservation",
}

/// Which machine, of which cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The tag `cluster_name` of every row.
    pub cluster_name: String,
    /// The node's name in its cluster; outside of one, the host's name.
    pub nodename: String,
    /// The host's name.
    pub hostname: String,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The machine.
    Node,
    /// A container or service outside of Kubernetes.
    SysContainer {
        /// The engine's name for it, else the unit's, else the last element of its path.
        name: &'a str,
        /// The engine's 64 digits, or empty.
        id: &'a str,
        /// The image, or empty.
        image: &'a str,
    },
    /// A pod.
    Pod(Pod<'a>),
    /// A container of a pod.
    PodContainer {
        /// Its pod.
        pod: Pod<'a>,
        /// Its name in the pod.
        name: &'a str,
        /// The image, or empty.
        image: &'a str,
    },
}

/// A pod's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pod<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
    /// The uid, or empty.
    pub uid: &'a str,
}

impl Place {
    /// The tags of a row about `subject`; `more` are added, empty values are dropped.
    #[must_use]
    pub fn tags(&self, subject: Subject<'_>, more: &[(&str, &str)]) -> TagSet {
        let mut tags = vec![("cluster_name", self.cluster_name.as_str())];
        let node = [
            ("nodename", self.nodename.as_str()),
            ("hostname", self.hostname.as_str()),
        ];
        match subject {
            Subject::Node => {
                tags.extend(node);
                tags.extend([("type", "node"), ("container_name", "machine")]);
            }
            Subject::SysContainer { name, id, image } => {
                tags.extend(node);
                tags.extend([
                    ("type", "sys_container"),
                    ("container_name", name),
                    ("container_id", id),
                    ("container_base_image", image),
                ]);
            }
            Subject::Pod(pod) => {
                tags.push(node[0]);
                tags.push(("type", "pod"));
                tags.extend(pod.tags());
            }
            Subject::PodContainer { pod, name, image } => {
                tags.push(node[0]);
                tags.push(("type", "pod_container"));
                tags.extend(pod.tags());
                tags.extend([("container_name", name), ("container_base_image", image)]);
            }
        }
        // What is asked for besides never takes the place of a tag of the level.
        for (key, value) in more {
            if !tags.iter().any(|(taken, _)| taken == key) && *key != "time" {
                tags.push((key, value));
            }
        }
        let mut builder = TagSetBuilder::default();
        for (key, value) in tags {
            // A `\` at a value's end would escape the comma behind it.
            let value = value.trim_end_matches('\\');
            if !value.is_empty() {
                builder
                    .push(key, value)
                    .expect("keys are not empty, and values were looked at");
            }
        }
        TagSet::from_canonical(builder.finish().expect("no key was added twice"))
    }
}

impl<'a> Pod<'a> {
    fn tags(self) -> [(&'static str, &'a str); 3] {
        [
            ("namespace_name", self.namespace),
            ("pod_name", self.name),
            ("pod_id", self.uid),
        ]
    }
}

/// What became of a payload.
#[derive(Debug, Clone, Default)]
pub struct Mapped {
    /// The points.
    pub batch: Batch,
    /// How many values of the payload went into them.
    pub kept: usize,
    /// How many did not, by reason.
    pub dropped: BTreeMap<&'static str, usize>,
}

impl Mapped {
    /// Counts values that are not kept.
    pub(crate) fn drop_samples(&mut self, reason: &'static str, count: usize) {
        if count > 0 {
            *self.dropped.entry(reason).or_default() += count;
        }
    }

    /// Takes the batch of a writer into which all values went, `kept` of them as it took them all;
    /// those that it left out are dropped.
    pub(crate) fn take_written(&mut self, writer: Writer, kept: usize) {
        let not_chosen = writer.not_chosen.min(kept);
        self.kept += kept - not_chosen;
        self.drop_samples(NOT_CHOSEN, not_chosen);
        self.batch = writer.finish();
    }
}

/// Makes points of series.
#[derive(Debug)]
pub struct Writer {
    batch: Batch,
    field: u32,
    names: Vec<Option<u32>>,
    wanted: SeriesSet,
    not_chosen: usize,
}

impl Writer {
    /// A writer into a batch of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::onto(Batch::default())
    }

    /// A writer that goes on with `batch`.
    #[must_use]
    pub fn onto(batch: Batch) -> Self {
        Self::choosing(batch, SeriesSet::ALL)
    }

    /// A writer that goes on with `batch`, and leaves out all but these series.
    #[must_use]
    pub fn choosing(mut batch: Batch, wanted: SeriesSet) -> Self {
        let field = batch.name("value");
        Self {
            batch,
            field,
            names: vec![None; Series::ALL.len()],
            wanted,
            not_chosen: 0,
        }
    }

    /// Whether it takes one of these series: where it takes none, tags need not be made.
    #[must_use]
    pub fn takes_any(&self, series: &[Series]) -> bool {
        series.iter().any(|series| self.wanted.has(*series))
    }

    /// How many values it left out.
    #[must_use]
    pub fn not_chosen(&self) -> usize {
        self.not_chosen
    }

    /// Counts values that stand for one that it left out.
    pub(crate) fn leave_out(&mut self, values: usize) {
        self.not_chosen += values;
    }

    /// Takes up a tag set.
    pub fn tag_set(&mut self, tags: &TagSet) -> u32 {
        self.batch.tag_set(tags)
    }

    /// Adds a point, unless its series is left out.
    pub fn value(&mut self, series: Series, tag_set: u32, time: Timestamp, value: i64) {
        if !self.wanted.has(series) {
            self.not_chosen += 1;
            return;
        }
        let name = &mut self.names[series as usize];
        let name = *name.get_or_insert_with(|| self.batch.name(series.name()));
        self.batch.push(
            name,
            tag_set,
            time,
            [(self.field, FieldValue::Integer(value))],
        );
    }

    /// The batch.
    #[must_use]
    pub fn finish(self) -> Batch {
        self.batch
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

/// A count as it is stored: i64, which is enough for 292 years of ns.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            cluster_name: "default".to_owned(),
            nodename: "n1".to_owned(),
            hostname: "n1.example".to_owned(),
        }
    }

    #[test]
    fn each_level_has_its_tags() {
        let pod = Pod {
            namespace: "kube-system",
            name: "coredns-1",
            uid: "u-1",
        };
        for (subject, more, expected) in [
            (
                Subject::Node,
                &[("resource_id", "/")][..],
                "cluster_name=default,container_name=machine,hostname=n1.example,nodename=n1,resource_id=/,type=node",
            ),
            (
                Subject::SysContainer {
                    name: "web 1",
                    id: "",
                    image: "nginx:1",
                },
                &[("type", "x"), ("time", "x"), ("app", "")],
                "cluster_name=default,container_base_image=nginx:1,container_name=web\\ 1,hostname=n1.example,nodename=n1,type=sys_container",
            ),
            (
                Subject::Pod(pod),
                &[],
                "cluster_name=default,namespace_name=kube-system,nodename=n1,pod_id=u-1,pod_name=coredns-1,type=pod",
            ),
            (
                Subject::PodContainer {
                    pod,
                    name: "coredns\\",
                    image: "",
                },
                &[],
                "cluster_name=default,container_name=coredns,namespace_name=kube-system,nodename=n1,pod_id=u-1,pod_name=coredns-1,type=pod_container",
            ),
        ] {
            assert_eq!(place().tags(subject, more).as_str(), expected);
        }
    }

    #[test]
    fn the_ten_series_have_heapsters_names() {
        let names: Vec<_> = Series::ALL[..10]
            .iter()
            .map(|series| series.name())
            .collect();
        assert_eq!(
            names,
            [
                "uptime_ms_cumulative",
                "cpu/usage_ns_cumulative",
                "memory/usage_bytes_gauge",
                "memory/working_set_bytes_gauge",
                "memory/page_faults_gauge",
                "network/rx_bytes_cumulative",
                "network/tx_bytes_cumulative",
                "network/rx_errors_cumulative",
                "network/tx_errors_cumulative",
                "filesystem/usage",
            ]
        );
    }
}
