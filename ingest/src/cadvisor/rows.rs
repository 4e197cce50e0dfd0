//! Gathers samples into one row per cgroup.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::identity::{self, Identity};
use super::{Options, Source};
use crate::names::{Mapped, Series};
use crate::prometheus::{self, Sample};

/// All that one payload says of one cgroup.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The cgroup's path, the label `id`.
    pub(super) id: Cow<'a, str>,
    pub(super) identity: Identity<'a>,
    /// Labels that become tags.
    pub(super) more: Vec<(&'a str, Cow<'a, str>)>,
    /// Sums by series.
    pub(super) sums: Vec<Sum>,
    /// Sums by series and device.
    pub(super) devices: Vec<(Cow<'a, str>, Sum)>,
    pub(super) spec: Spec,
    /// The first time that a sample of the row has.
    pub(super) time_ms: Option<i64>,
    /// How many samples went into it.
    pub(super) samples: usize,
}

/// One value, summed over what the series does not tell apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) series: Series,
    pub(super) value: f64,
    pub(super) time_ms: Option<i64>,
    pub(super) samples: usize,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.value += value;
        self.samples += 1;
    }
}

/// What is said of a cgroup once and has no time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spec {
    pub(super) start_seconds: Option<f64>,
    pub(super) cpu_quota_us: Option<f64>,
    pub(super) cpu_period_us: Option<f64>,
    pub(super) memory_limit_bytes: Option<f64>,
    /// Of a machine: its processors.
    pub(super) cores: Option<f64>,
}

/// What a metric is good for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    /// A value times a factor.
    Sum(Series, f64),
    /// The same, per device that holds a file system.
    FileSystem(Series),
    /// The same, per device.
    Device(Series),
    /// Page faults, by the labels `scope` and `failure_type`.
    Faults,
    Start,
    Quota,
    Period,
    MemoryLimit,
    MachineMemory,
    MachineCores,
    /// Nothing.
    None,
}

const NS: f64 = 1e9;

fn use_of(metric: &str, source: Source) -> Use {
    let Some(name) = metric.strip_prefix("container_") else {
        return match metric {
            "machine_memory_bytes" => Use::MachineMemory,
            "machine_cpu_cores" => Use::MachineCores,
            _ => Use::None,
        };
    };
    let beside_summary = source == Source::KubeletBesideSummary;
    match name {
        "cpu_usage_seconds_total" => Use::Sum(Series::CpuUsage, NS),
        "memory_usage_bytes" => Use::Sum(Series::MemoryUsage, 1.0),
        "memory_working_set_bytes" => Use::Sum(Series::WorkingSet, 1.0),
        "memory_failures_total" => Use::Faults,
        "memory_rss" => Use::Sum(Series::MemoryRss, 1.0),
        "memory_cache" => Use::Sum(Series::MemoryCache, 1.0),
        "memory_swap" => Use::Sum(Series::MemorySwap, 1.0),
        "oom_events_total" => Use::Sum(Series::OomEvents, 1.0),
        "cpu_load_average_10s" => Use::Sum(Series::CpuLoad, 1.0),
        "cpu_cfs_throttled_seconds_total" => Use::Sum(Series::CpuThrottled, NS),
        "cpu_cfs_throttled_periods_total" => Use::Sum(Series::CpuThrottledPeriods, 1.0),
        "cpu_cfs_periods_total" => Use::Sum(Series::CpuPeriods, 1.0),
        "processes" => Use::Sum(Series::ProcessCount, 1.0),
        "pressure_cpu_waiting_seconds_total" => Use::Sum(Series::PressureCpuSome, NS),
        "pressure_cpu_stalled_seconds_total" => Use::Sum(Series::PressureCpuFull, NS),
        "pressure_memory_waiting_seconds_total" => Use::Sum(Series::PressureMemorySome, NS),
        "pressure_memory_stalled_seconds_total" => Use::Sum(Series::PressureMemoryFull, NS),
        "pressure_io_waiting_seconds_total" => Use::Sum(Series::PressureIoSome, NS),
        "pressure_io_stalled_seconds_total" => Use::Sum(Series::PressureIoFull, NS),
        "fs_reads_bytes_total" => Use::Device(Series::DiskRead),
        "fs_writes_bytes_total" => Use::Device(Series::DiskWrite),
        "start_time_seconds" => Use::Start,
        "spec_cpu_quota" => Use::Quota,
        "spec_cpu_period" => Use::Period,
        "spec_memory_limit_bytes" => Use::MemoryLimit,
        _ if beside_summary => Use::None,
        "network_receive_bytes_total" => Use::Sum(Series::NetworkRx, 1.0),
        "network_transmit_bytes_total" => Use::Sum(Series::NetworkTx, 1.0),
        "network_receive_errors_total" => Use::Sum(Series::NetworkRxErrors, 1.0),
        "network_transmit_errors_total" => Use::Sum(Series::NetworkTxErrors, 1.0),
        "fs_usage_bytes" => Use::FileSystem(Series::FilesystemUsage),
        "fs_limit_bytes" => Use::FileSystem(Series::FilesystemLimit),
        "fs_inodes_total" => Use::FileSystem(Series::FilesystemInodes),
        "fs_inodes_free" => Use::FileSystem(Series::FilesystemInodesFree),
        _ => Use::None,
    }
}

/// Gathers the rows of a payload, in its order.
pub(super) fn gather<'a>(
    text: &'a str,
    options: Options<'a>,
    mapped: &mut Mapped,
) -> (Vec<Row<'a>>, prometheus::Parsed) {
    let mut gathering = Gathering {
        options,
        rows: Vec::new(),
        by_id: HashMap::new(),
        next: 0,
        metric: (String::new(), Use::None),
        unused: 0,
        without_id: 0,
        not_numbers: 0,
        pseudo: 0,
    };
    let parsed = prometheus::parse(text, |sample| gathering.sample(sample));
    mapped.drop_samples("metric not used", gathering.unused);
    mapped.drop_samples("no cgroup", gathering.without_id);
    mapped.drop_samples("not a number", gathering.not_numbers);
    mapped.drop_samples("pseudo file system", gathering.pseudo);
    (gathering.rows, parsed)
}

struct Gathering<'a> {
    options: Options<'a>,
    rows: Vec<Row<'a>>,
    by_id: HashMap<Cow<'a, str>, usize>,
    /// The row that is likely to come next: every metric lists them in the same order.
    next: usize,
    metric: (String, Use),
    unused: usize,
    without_id: usize,
    not_numbers: usize,
    pseudo: usize,
}

impl<'a> Gathering<'a> {
    fn sample(&mut self, sample: &Sample<'_, 'a>) {
        if self.metric.0 != sample.name {
            self.metric = (
                sample.name.to_owned(),
                use_of(sample.name, self.options.source),
            );
        }
        let metric = self.metric.1;
        if metric == Use::None {
            self.unused += 1;
            return;
        }
        if !sample.value.is_finite() {
            self.not_numbers += 1;
            return;
        }
        let of_machine = matches!(metric, Use::MachineMemory | Use::MachineCores);
        let id = match find(sample, "id") {
            Some(id) => id.clone(),
            None if of_machine => Cow::Borrowed("/"),
            None => {
                self.without_id += 1;
                return;
            }
        };
        let index = self.row(id, sample, of_machine);
        self.next = index + 1;
        let row = &mut self.rows[index];
        row.samples += 1;
        // A machine's own metrics have no time, and come before the rest.
        if !of_machine {
            row.time_ms = row.time_ms.or(sample.timestamp_ms);
        }
        match metric {
            Use::Sum(series, factor) => row.sum(series, sample.value * factor, sample.timestamp_ms),
            Use::Faults => match fault_series(sample) {
                Some(series) => row.sum(series, sample.value, sample.timestamp_ms),
                None => {
                    row.samples -= 1;
                    self.unused += 1;
                }
            },
            Use::FileSystem(series) => match find(sample, "device") {
                Some(device) if !is_pseudo(device) => {
                    row.device_sum(device.clone(), series, sample);
                }
                _ => {
                    row.samples -= 1;
                    self.pseudo += 1;
                }
            },
            Use::Device(series) => match find(sample, "device") {
                Some(device) => row.device_sum(device.clone(), series, sample),
                None => row.sum(series, sample.value, sample.timestamp_ms),
            },
            Use::Start => row.spec.start_seconds = Some(sample.value),
            Use::Quota => row.spec.cpu_quota_us = Some(sample.value),
            Use::Period => row.spec.cpu_period_us = Some(sample.value),
            Use::MemoryLimit | Use::MachineMemory => {
                row.spec.memory_limit_bytes = Some(sample.value);
            }
            Use::MachineCores => row.spec.cores = Some(sample.value),
            Use::None => {}
        }
    }

    /// The number of the sample's row, which is made where there is none yet.
    fn row(&mut self, id: Cow<'a, str>, sample: &Sample<'_, 'a>, of_machine: bool) -> usize {
        if let Some(row) = self.rows.get(self.next)
            && row.id == id
        {
            return self.next;
        }
        // Processors, interfaces and devices of one row stand together.
        if let Some(before) = self.next.checked_sub(1)
            && self.rows[before].id == id
        {
            return before;
        }
        if let Some(index) = self.by_id.get(&id) {
            return *index;
        }
        let identity = if of_machine {
            Identity::Machine
        } else {
            identity::of(&id, sample, self.options.source)
        };
        let more = self
            .options
            .label_tags
            .iter()
            .filter_map(|name| Some((name.as_str(), identity::container_label(sample, name)?)))
            .collect();
        let index = self.rows.len();
        self.rows.push(Row {
            id: id.clone(),
            identity,
            more,
            sums: Vec::new(),
            devices: Vec::new(),
            spec: Spec::default(),
            time_ms: None,
            samples: 0,
        });
        self.by_id.insert(id, index);
        index
    }
}

impl<'a> Row<'a> {
    fn sum(&mut self, series: Series, value: f64, time_ms: Option<i64>) {
        match self.sums.iter_mut().rfind(|sum| sum.series == series) {
            Some(sum) => sum.add(value),
            None => self.sums.push(Sum {
                series,
                value,
                time_ms,
                samples: 1,
            }),
        }
    }

    fn device_sum(&mut self, device: Cow<'a, str>, series: Series, sample: &Sample<'_, 'a>) {
        let same = |(name, sum): &&mut (Cow<'a, str>, Sum)| sum.series == series && *name == device;
        match self.devices.iter_mut().rfind(same) {
            Some((_, sum)) => sum.add(sample.value),
            None => self.devices.push((
                device,
                Sum {
                    series,
                    value: sample.value,
                    time_ms: sample.timestamp_ms,
                    samples: 1,
                },
            )),
        }
    }
}

/// The value of a label that is not empty, with the text's lifetime.
pub(super) fn find<'s, 'a>(sample: &Sample<'s, 'a>, name: &str) -> Option<&'s Cow<'a, str>> {
    sample
        .labels
        .iter()
        .find(|(label, value)| label == name && !value.is_empty())
        .map(|(_, value)| value)
}

/// Which faults a sample counts: the container's own, not those of its hierarchy too.
fn fault_series(sample: &Sample<'_, '_>) -> Option<Series> {
    if sample.label("scope") != Some("container") {
        return None;
    }
    // The label was called `type` up to Kubernetes 1.18.
    match sample
        .label("failure_type")
        .or_else(|| sample.label("type"))?
    {
        "pgfault" => Some(Series::PageFaults),
        "pgmajfault" => Some(Series::MajorPageFaults),
        _ => None,
    }
}

/// Whether a device is none: a file system in memory, or a view of another.
fn is_pseudo(device: &str) -> bool {
    let kind = device.split(['_', '-']).next().unwrap_or(device);
    if device.starts_with('/') {
        return !device.starts_with("/dev/") || device.starts_with("/dev/shm");
    }
    matches!(
        kind,
        "tmpfs" | "shm" | "rootfs" | "none" | "devtmpfs" | "overlay" | "proc" | "sysfs" | "udev"
    )
}
