//! cAdvisor's REST pages, `/api/v1.3/subcontainers/` and `/api/v2.1/stats?recursive=true`, to
//! points.
//!
//! The series are those of its `/metrics`: the same rows, whatever page they were read from. Of
//! each container the last stat counts.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use plimsoll_engine::Timestamp;
use plimsoll_engine::model::Batch;
use serde::Deserialize;

use crate::cadvisor::Options;
use crate::cgroup::path;
use crate::names::{Mapped, Pod, Series, Subject, Writer, stored};
use crate::pressure::Psi;
use crate::prometheus::Parsed;

#[derive(Debug, Deserialize)]
struct Container {
    #[serde(default)]
    name: String,
    #[serde(default)]
    aliases: Option<Vec<String>>,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    stats: Option<Vec<Stat>>,
}

#[derive(Debug, Default, Deserialize)]
struct Spec {
    creation_time: Option<String>,
    #[serde(default)]
    aliases: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    image: Option<String>,
    cpu: Option<CpuSpec>,
    memory: Option<MemorySpec>,
    /// False where processes are not counted: the number that stands there all the same says nothing.
    has_processes: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct CpuSpec {
    quota: Option<u64>,
    period: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct MemorySpec {
    /// A float where it came through a program that knows no other numbers.
    limit: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Stat {
    timestamp: String,
    cpu: Option<Cpu>,
    memory: Option<Memory>,
    network: Option<Network>,
    diskio: Option<Disk>,
    #[serde(default)]
    filesystem: Option<FileSystems>,
    processes: Option<Processes>,
    oom_events: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Cpu {
    usage: Option<CpuUsage>,
    cfs: Option<Cfs>,
    load_average: Option<i64>,
    psi: Option<Psi>,
}

#[derive(Debug, Deserialize)]
struct CpuUsage {
    total: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Cfs {
    periods: Option<u64>,
    throttled_periods: Option<u64>,
    throttled_time: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Memory {
    usage: Option<u64>,
    working_set: Option<u64>,
    rss: Option<u64>,
    cache: Option<u64>,
    swap: Option<u64>,
    container_data: Option<Faults>,
    psi: Option<Psi>,
}

#[derive(Debug, Deserialize)]
struct Faults {
    pgfault: Option<u64>,
    pgmajfault: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Network {
    #[serde(default)]
    interfaces: Option<Vec<Interface>>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    rx_bytes: Option<u64>,
    rx_errors: Option<u64>,
    tx_bytes: Option<u64>,
    tx_errors: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Disk {
    #[serde(default)]
    io_service_bytes: Option<Vec<PerDisk>>,
    psi: Option<Psi>,
}

#[derive(Debug, Deserialize)]
struct PerDisk {
    #[serde(default)]
    device: String,
    major: Option<u64>,
    minor: Option<u64>,
    #[serde(default)]
    stats: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FileSystems {
    /// Version 1: by device.
    Devices(Vec<FileSystem>),
    /// Version 2: a container's own.
    Own(OwnFileSystem),
}

#[derive(Debug, Deserialize)]
struct FileSystem {
    device: String,
    capacity: Option<u64>,
    usage: Option<u64>,
    available: Option<u64>,
    inodes: Option<u64>,
    inodes_free: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnFileSystem {
    total_usage_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Processes {
    process_count: Option<u64>,
}

/// The forms in which version 1 answers: a list, an object by path, or one container.
#[derive(Deserialize)]
#[serde(untagged)]
enum Page {
    List(Vec<Container>),
    One(Box<Single>),
    ByPath(BTreeMap<String, Container>),
}

#[derive(Deserialize)]
struct Single {
    name: String,
    #[serde(default)]
    aliases: Option<Vec<String>>,
    spec: Spec,
    stats: Option<Vec<Stat>>,
}

/// Maps a page of version 1: `/api/v1.3/subcontainers/`, `/docker/` or `/containers/PATH`.
///
/// # Errors
/// Where it is none.
pub fn map_v1(body: &[u8], options: Options<'_>) -> Result<(Mapped, Parsed), serde_json::Error> {
    let containers = match serde_json::from_slice(body)? {
        Page::List(containers) => containers,
        Page::One(one) => vec![Container {
            name: one.name,
            aliases: one.aliases,
            spec: one.spec,
            stats: one.stats,
        }],
        Page::ByPath(by_path) => named(by_path),
    };
    Ok(map(&containers, options))
}

/// Maps `/api/v2.1/stats?recursive=true`.
///
/// # Errors
/// Where it is not that.
pub fn map_v2(body: &[u8], options: Options<'_>) -> Result<(Mapped, Parsed), serde_json::Error> {
    let by_path: BTreeMap<String, Container> = serde_json::from_slice(body)?;
    Ok(map(&named(by_path), options))
}

fn named(by_path: BTreeMap<String, Container>) -> Vec<Container> {
    let containers = by_path.into_iter();
    containers
        .map(|(path, container)| Container {
            name: path,
            ..container
        })
        .collect()
}

fn map(containers: &[Container], options: Options<'_>) -> (Mapped, Parsed) {
    let mut inner: HashSet<&str> = HashSet::new();
    for container in containers {
        let mut path = container.name.as_str();
        while let Some((parent, _)) = path.rsplit_once('/') {
            path = parent;
            if !inner.insert(path) {
                break;
            }
        }
    }
    let mut mapped = Mapped::default();
    let mut points = Points {
        writer: Writer::choosing(Batch::default(), options.wanted),
        options,
        kept: 0,
    };
    for container in containers {
        let stats = container.stats.iter().flatten();
        let last = stats
            .filter_map(|stat| Some((time_of(&stat.timestamp)?, stat)))
            .max_by_key(|(time, _)| *time);
        let Some((time, stat)) = last else {
            mapped.drop_samples("no stat with a time", 1);
            continue;
        };
        match identity(container, &inner) {
            Ok(identity) => points.container(container, &identity, time, stat),
            Err(reason) => mapped.drop_samples(reason, 1),
        }
    }
    let parsed = Parsed {
        samples: points.kept,
        ..Parsed::default()
    };
    mapped.take_written(points.writer, points.kept);
    (mapped, parsed)
}

struct Identity<'a> {
    subject: Subject<'a>,
    network_only: bool,
}

fn identity<'a>(
    container: &'a Container,
    inner: &HashSet<&str>,
) -> Result<Identity<'a>, &'static str> {
    let path = container.name.as_str();
    let whole = |subject| Identity {
        subject,
        network_only: false,
    };
    if path == "/" {
        return Ok(whole(Subject::Node));
    }
    let label = |name: &str| {
        let labels = container.spec.labels.as_ref()?;
        labels.get(name).map(String::as_str)
    };
    let image = container.spec.image.as_deref().unwrap_or_default();
    if let Some(name) = label("io.kubernetes.pod.name") {
        let pod = Pod {
            namespace: label("io.kubernetes.pod.namespace").unwrap_or_default(),
            name,
            uid: label("io.kubernetes.pod.uid").unwrap_or_default(),
        };
        return match label("io.kubernetes.container.name") {
            None | Some("POD") => Ok(Identity {
                subject: Subject::Pod(pod),
                network_only: true,
            }),
            Some(name) => Ok(whole(Subject::PodContainer { pod, name, image })),
        };
    }
    let is_nested = path::container_root(path).is_some_and(|root| root != path);
    if path::is_slice(path) || is_nested {
        return Err("slice");
    }
    let id = path::container_id(path).unwrap_or_default();
    let aliases = container
        .aliases
        .as_ref()
        .or(container.spec.aliases.as_ref());
    let alias = aliases.and_then(|aliases| aliases.first());
    if alias.is_none() && id.is_empty() && inner.contains(path) {
        return Err("slice");
    }
    let name = match alias {
        Some(alias) => alias.as_str(),
        None => path.rsplit('/').next().unwrap_or(path),
    };
    Ok(whole(Subject::SysContainer { name, id, image }))
}

struct Points<'o> {
    writer: Writer,
    options: Options<'o>,
    kept: usize,
}

impl Points<'_> {
    fn container(
        &mut self,
        container: &Container,
        identity: &Identity<'_>,
        time: Timestamp,
        stat: &Stat,
    ) {
        let labels = container.spec.labels.iter().flatten();
        let more: Vec<(&str, &str)> = labels
            .filter(|(key, _)| crate::labels::any(self.options.label_tags, key))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let at = At {
            subject: identity.subject,
            more: &more,
            time,
        };
        self.network(&at, stat.network.as_ref());
        if identity.network_only {
            return;
        }
        self.spec(&at, &container.spec);
        self.processor(&at, &container.spec, stat);
        self.memory(&at, stat);
        self.disks(&at, stat.diskio.as_ref());
        match &stat.filesystem {
            Some(FileSystems::Devices(devices)) => {
                for fs in devices {
                    let values = [
                        (Series::FilesystemUsage, fs.usage),
                        (Series::FilesystemLimit, fs.capacity),
                        (Series::FilesystemAvailable, fs.available),
                        (
                            Series::FilesystemInodes,
                            fs.inodes.filter(|count| *count > 0),
                        ),
                        (
                            Series::FilesystemInodesFree,
                            fs.inodes_free.filter(|_| fs.inodes != Some(0)),
                        ),
                    ];
                    self.values(&at, &fs.device, &values);
                }
            }
            Some(FileSystems::Own(own)) => {
                self.values(
                    &at,
                    "/",
                    &[(Series::FilesystemUsage, own.total_usage_bytes)],
                );
            }
            None => {}
        }
    }

    fn network(&mut self, at: &At<'_>, network: Option<&Network>) {
        let interfaces = network.and_then(|network| network.interfaces.as_ref());
        let Some(interfaces) = interfaces else { return };
        let sum = |of: fn(&Interface) -> Option<u64>| {
            interfaces.iter().filter_map(of).reduce(u64::saturating_add)
        };
        let values = [
            (Series::NetworkRx, sum(|one| one.rx_bytes)),
            (Series::NetworkTx, sum(|one| one.tx_bytes)),
            (Series::NetworkRxErrors, sum(|one| one.rx_errors)),
            (Series::NetworkTxErrors, sum(|one| one.tx_errors)),
        ];
        self.values(at, "", &values);
    }

    fn spec(&mut self, at: &At<'_>, spec: &Spec) {
        /// Numbers from here on say "no limit", in one way or another.
        const NO_LIMIT: f64 = 9.2e18;
        let created = spec.creation_time.as_deref().and_then(time_of);
        let uptime_ms = created.map(|created| at.time.0.saturating_sub(created.0) / 1_000_000);
        let memory = spec.memory.as_ref().and_then(|memory| memory.limit);
        let memory = memory.filter(|limit| *limit > 0.0 && *limit < NO_LIMIT);
        let cpu = spec.cpu.as_ref().and_then(|cpu| {
            let (quota, period) = (cpu.quota?, cpu.period?);
            (quota > 0).then_some(quota.checked_mul(1_000)?.checked_div(period)?)
        });
        let values = [
            (
                Series::Uptime,
                uptime_ms.and_then(|ms| u64::try_from(ms).ok()),
            ),
            (
                Series::MemoryLimit,
                memory
                    .and_then(crate::number::rounded)
                    .and_then(|limit| u64::try_from(limit).ok()),
            ),
            (Series::CpuLimit, cpu),
        ];
        self.values(at, "", &values);
    }

    fn processor(&mut self, at: &At<'_>, spec: &Spec, stat: &Stat) {
        let processes = stat.processes.as_ref();
        let processes = processes.filter(|_| spec.has_processes != Some(false));
        let counted = [
            (
                Series::ProcessCount,
                processes.and_then(|processes| processes.process_count),
            ),
            (Series::OomEvents, stat.oom_events),
        ];
        self.values(at, "", &counted);
        let Some(cpu) = &stat.cpu else { return };
        let cfs = cpu.cfs.as_ref().filter(|cfs| cfs.periods.unwrap_or(0) > 0);
        let values = [
            (Series::CpuUsage, cpu.usage.as_ref().and_then(|u| u.total)),
            (
                Series::CpuLoad,
                cpu.load_average.and_then(|load| u64::try_from(load).ok()),
            ),
            (Series::CpuPeriods, cfs.and_then(|cfs| cfs.periods)),
            (
                Series::CpuThrottledPeriods,
                cfs.and_then(|cfs| cfs.throttled_periods),
            ),
            (Series::CpuThrottled, cfs.and_then(|cfs| cfs.throttled_time)),
        ];
        self.values(at, "", &values);
        let stalls = [Series::PressureCpuSome, Series::PressureCpuFull];
        self.pressure(at, cpu.psi.as_ref(), stalls);
    }

    fn memory(&mut self, at: &At<'_>, stat: &Stat) {
        let Some(memory) = &stat.memory else { return };
        let faults = memory.container_data.as_ref();
        let values = [
            (Series::MemoryUsage, memory.usage),
            (Series::WorkingSet, memory.working_set),
            (Series::MemoryRss, memory.rss),
            (Series::MemoryCache, memory.cache),
            (Series::MemorySwap, memory.swap),
            (Series::PageFaults, faults.and_then(|faults| faults.pgfault)),
            (
                Series::MajorPageFaults,
                faults.and_then(|faults| faults.pgmajfault),
            ),
        ];
        self.values(at, "", &values);
        let stalls = [Series::PressureMemorySome, Series::PressureMemoryFull];
        self.pressure(at, memory.psi.as_ref(), stalls);
    }

    fn disks(&mut self, at: &At<'_>, disk: Option<&Disk>) {
        let Some(disk) = disk else { return };
        for device in disk.io_service_bytes.iter().flatten() {
            let name = match (device.device.as_str(), device.major, device.minor) {
                ("", Some(major), Some(minor)) => Cow::Owned(format!("{major}:{minor}")),
                (name, _, _) => Cow::Borrowed(name),
            };
            let values = [
                (Series::DiskRead, device.stats.get("Read").copied()),
                (Series::DiskWrite, device.stats.get("Write").copied()),
            ];
            self.values(at, &name, &values);
        }
        let stalls = [Series::PressureIoSome, Series::PressureIoFull];
        self.pressure(at, disk.psi.as_ref(), stalls);
    }

    fn pressure(&mut self, at: &At<'_>, psi: Option<&Psi>, series: [Series; 2]) {
        let Some(psi) = psi else { return };
        let [some, full] = psi.stalled_ns();
        let values = [(series[0], some), (series[1], full)];
        self.values(at, "", &values);
    }

    fn values(&mut self, at: &At<'_>, resource: &str, values: &[(Series, Option<u64>)]) {
        let there = values.iter().filter(|(_, value)| value.is_some());
        let count = there.clone().count();
        self.kept += count;
        if !there
            .clone()
            .any(|(series, _)| self.options.wanted.has(*series))
        {
            self.writer.leave_out(count);
            return;
        }
        let mut more = at.more.to_vec();
        more.push(("resource_id", resource));
        let tags = self.options.place.tags(at.subject, &more);
        let tag_set = self.writer.tag_set(&tags);
        for (series, value) in values {
            if let Some(value) = value {
                self.writer.value(*series, tag_set, at.time, stored(*value));
            }
        }
    }
}

/// Where and when values are.
struct At<'a> {
    subject: Subject<'a>,
    more: &'a [(&'a str, &'a str)],
    time: Timestamp,
}

fn time_of(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests;
