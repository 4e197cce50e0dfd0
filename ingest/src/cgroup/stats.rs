//! What one cgroup uses, read from v1's or v2's files.

use std::path::Path;

use plimsoll_engine::Timestamp;

use super::read;
use super::tree::{self, Controllers};
use crate::names::{Series, Writer, stored};

/// Bytes above which v1 means that there is no limit.
const MEMORY_LIMIT_NONE: u64 = 1 << 62;

/// What one cgroup uses; absent where its files do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) uptime_ms: Option<u64>,
    pub(super) cpu_ns: Option<u64>,
    pub(super) cpu_limit_millicores: Option<u64>,
    pub(super) throttling: Option<Throttling>,
    pub(super) memory_usage: Option<u64>,
    pub(super) inactive_file: Option<u64>,
    pub(super) rss: Option<u64>,
    pub(super) cache: Option<u64>,
    pub(super) swap: Option<u64>,
    pub(super) memory_limit: Option<u64>,
    pub(super) page_faults: Option<u64>,
    pub(super) major_page_faults: Option<u64>,
    pub(super) oom_kills: Option<u64>,
    pub(super) processes: Option<u64>,
    pub(super) pressure: Pressures,
    pub(super) disks: Vec<Disk>,
}

/// How a limit of processor time was felt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Throttling {
    pub(super) periods: u64,
    pub(super) throttled_periods: u64,
    pub(super) throttled_ns: u64,
}

/// Stalls in ns, some and full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pressures {
    pub(super) cpu: [Option<u64>; 2],
    pub(super) memory: [Option<u64>; 2],
    pub(super) io: [Option<u64>; 2],
}

/// Bytes to and from one device, named by its numbers (`8:0`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) device: String,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

impl Stats {
    /// Writes all but disks, whose tags are their own.
    pub(super) fn write(&self, tag_set: u32, now: Timestamp, writer: &mut Writer) {
        let working_set = self
            .memory_usage
            .map(|usage| usage.saturating_sub(self.inactive_file.unwrap_or(0)));
        let throttling = |of: fn(&Throttling) -> u64| self.throttling.as_ref().map(of);
        let pressure = &self.pressure;
        for (series, value) in [
            (Series::Uptime, self.uptime_ms),
            (Series::CpuUsage, self.cpu_ns),
            (Series::MemoryUsage, self.memory_usage),
            (Series::WorkingSet, working_set),
            (Series::PageFaults, self.page_faults),
            (Series::MajorPageFaults, self.major_page_faults),
            (Series::MemoryRss, self.rss),
            (Series::MemoryCache, self.cache),
            (Series::MemorySwap, self.swap),
            (Series::MemoryLimit, self.memory_limit),
            (Series::OomEvents, self.oom_kills),
            (Series::CpuLimit, self.cpu_limit_millicores),
            (Series::CpuPeriods, throttling(|of| of.periods)),
            (
                Series::CpuThrottledPeriods,
                throttling(|of| of.throttled_periods),
            ),
            (Series::CpuThrottled, throttling(|of| of.throttled_ns)),
            (Series::ProcessCount, self.processes),
            (Series::PressureCpuSome, pressure.cpu[0]),
            (Series::PressureCpuFull, pressure.cpu[1]),
            (Series::PressureMemorySome, pressure.memory[0]),
            (Series::PressureMemoryFull, pressure.memory[1]),
            (Series::PressureIoSome, pressure.io[0]),
            (Series::PressureIoFull, pressure.io[1]),
        ] {
            if let Some(value) = value {
                writer.value(series, tag_set, now, stored(value));
            }
        }
    }
}

/// Reads a cgroup of v2.
pub(super) fn of_v2(folder: &Path) -> Stats {
    let mut stats = Stats::default();
    if let Some(text) = read::text(&folder.join("cpu.stat")) {
        let us = |key| read::keyed(&text, key).map(|us| us.saturating_mul(1_000));
        stats.cpu_ns = us("usage_usec");
        stats.throttling = throttling(&text, us("throttled_usec"));
    }
    if let Some(text) = read::text(&folder.join("cpu.max")) {
        let mut words = text.split_ascii_whitespace();
        let quota_us = words.next().and_then(|word| word.parse().ok());
        let period_us = words.next().and_then(|word| word.parse().ok());
        stats.cpu_limit_millicores = millicores(quota_us, period_us);
    }
    stats.memory_usage = read::number(&folder.join("memory.current"));
    if let Some(text) = read::text(&folder.join("memory.stat")) {
        memory_stat_of_v2(&text, &mut stats);
    }
    stats.swap = read::number(&folder.join("memory.swap.current"));
    stats.memory_limit = read::number(&folder.join("memory.max"));
    stats.oom_kills =
        read::text(&folder.join("memory.events")).and_then(|text| read::keyed(&text, "oom_kill"));
    stats.pressure = Pressures {
        cpu: pressure(&folder.join("cpu.pressure")),
        memory: pressure(&folder.join("memory.pressure")),
        io: pressure(&folder.join("io.pressure")),
    };
    let io = read::text(&folder.join("io.stat")).unwrap_or_default();
    for line in io.lines() {
        if let (Some(device), Some(read_bytes), Some(written_bytes)) = (
            line.split_ascii_whitespace().next(),
            read::word(line, "rbytes"),
            read::word(line, "wbytes"),
        ) {
            stats.disks.push(Disk {
                device: device.to_owned(),
                read_bytes,
                written_bytes,
            });
        }
    }
    stats.drop_throttling_without_limit();
    stats
}

/// Takes what a `memory.stat` of v2 says.
pub(super) fn memory_stat_of_v2(text: &str, stats: &mut Stats) {
    stats.inactive_file = read::keyed(text, "inactive_file");
    stats.rss = read::keyed(text, "anon");
    stats.cache = read::keyed(text, "file");
    stats.page_faults = read::keyed(text, "pgfault");
    stats.major_page_faults = read::keyed(text, "pgmajfault");
}

/// Reads a cgroup of v1, from each controller that has it.
pub(super) fn of_v1(controllers: &Controllers, path: &str) -> Stats {
    let mut stats = Stats::default();
    if let Some(root) = &controllers.cpuacct {
        stats.cpu_ns = read::number(&tree::folder(root, path).join("cpuacct.usage"));
    }
    if let Some(root) = &controllers.cpu {
        let folder = tree::folder(root, path);
        if let Some(text) = read::text(&folder.join("cpu.stat")) {
            stats.throttling = throttling(&text, read::keyed(&text, "throttled_time"));
        }
        // A quota of -1 is none, and no u64.
        stats.cpu_limit_millicores = millicores(
            read::number(&folder.join("cpu.cfs_quota_us")),
            read::number(&folder.join("cpu.cfs_period_us")),
        );
    }
    if let Some(root) = &controllers.memory {
        let folder = tree::folder(root, path);
        stats.memory_usage = read::number(&folder.join("memory.usage_in_bytes"));
        if let Some(text) = read::text(&folder.join("memory.stat")) {
            // `total_` is with all that lies below, as the usage is.
            stats.inactive_file = read::keyed(&text, "total_inactive_file");
            stats.rss = read::keyed(&text, "total_rss");
            stats.cache = read::keyed(&text, "total_cache");
            stats.swap = read::keyed(&text, "total_swap");
            stats.page_faults = read::keyed(&text, "total_pgfault");
            stats.major_page_faults = read::keyed(&text, "total_pgmajfault");
        }
        stats.memory_limit = read::number(&folder.join("memory.limit_in_bytes"))
            .filter(|limit| *limit < MEMORY_LIMIT_NONE);
        stats.oom_kills = read::text(&folder.join("memory.oom_control"))
            .and_then(|text| read::keyed(&text, "oom_kill"));
    }
    if let Some(root) = &controllers.blkio {
        let folder = tree::folder(root, path);
        stats.disks = [
            "blkio.throttle.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes",
        ]
        .iter()
        .find_map(|name| read::text(&folder.join(name)))
        .map(|text| disks_of_v1(&text))
        .unwrap_or_default();
    }
    stats.drop_throttling_without_limit();
    stats
}

impl Stats {
    /// Without a limit nothing is held back, and three series of zeros would say so for ever.
    fn drop_throttling_without_limit(&mut self) {
        if self.cpu_limit_millicores.is_none() {
            self.throttling = None;
        }
    }
}

fn throttling(cpu_stat: &str, throttled_ns: Option<u64>) -> Option<Throttling> {
    Some(Throttling {
        periods: read::keyed(cpu_stat, "nr_periods")?,
        throttled_periods: read::keyed(cpu_stat, "nr_throttled")?,
        throttled_ns: throttled_ns?,
    })
}

fn millicores(quota_us: Option<u64>, period_us: Option<u64>) -> Option<u64> {
    let (quota_us, period_us) = (quota_us?, period_us?);
    quota_us.checked_mul(1_000)?.checked_div(period_us)
}

/// Lines of `8:0 Read 4096`.
fn disks_of_v1(text: &str) -> Vec<Disk> {
    let mut disks: Vec<Disk> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(device), Some(operation), Some(bytes)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Ok(bytes) = bytes.parse::<u64>() else {
            continue;
        };
        if !matches!(operation, "Read" | "Write") {
            continue;
        }
        if disks.last().is_none_or(|disk| disk.device != device) {
            disks.push(Disk {
                device: device.to_owned(),
                read_bytes: 0,
                written_bytes: 0,
            });
        }
        if let Some(disk) = disks.last_mut() {
            match operation {
                "Read" => disk.read_bytes = bytes,
                _ => disk.written_bytes = bytes,
            }
        }
    }
    disks
}

/// Stalls in ns, some and full, of a file of lines `some avg10=0.00 … total=µs`.
pub(super) fn pressure(path: &Path) -> [Option<u64>; 2] {
    let text = read::text(path).unwrap_or_default();
    ["some", "full"].map(|kind| {
        let line = text.lines().find(|line| line.starts_with(kind))?;
        Some(read::word(line, "total")?.saturating_mul(1_000))
    })
}
