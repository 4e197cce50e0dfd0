//! The machine as a whole: the root cgroup where it says, `/proc` where it does not.

use std::path::Path;

use super::Paths;
use super::read;
use super::stats::{self, Disk, Pressures, Stats};
use super::tree::Hierarchy;
use crate::names::Series;

/// Ticks of a second in `/proc/stat`, fixed where Linux shows them to programs.
const TICKS_A_SECOND: u64 = 100;
/// Bytes of a sector in `/proc/diskstats`, whatever the device's are.
const SECTOR_BYTES: u64 = 512;

/// What the machine uses.
pub(super) fn stats(paths: &Paths, hierarchy: Option<&Hierarchy>) -> Stats {
    let mut stats = hierarchy
        .and_then(|hierarchy| hierarchy.stats("/"))
        .unwrap_or_default();
    let proc = &paths.proc;
    if stats.cpu_ns.is_none() {
        stats.cpu_ns = read::text(&proc.join("stat")).and_then(|text| cpu_ns(&text));
    }
    if let Some(text) = read::text(&proc.join("meminfo")) {
        let bytes = |key: &str| Some(read_meminfo(&text, key)?.saturating_mul(1_024));
        stats.memory_limit = bytes("MemTotal").or(stats.memory_limit);
        if stats.memory_usage.is_none() {
            stats.memory_usage = bytes("MemTotal")
                .zip(bytes("MemFree"))
                .map(|(total, free)| total.saturating_sub(free));
            stats.inactive_file = stats.inactive_file.or_else(|| bytes("Inactive(file)"));
            stats.rss = stats.rss.or_else(|| bytes("AnonPages"));
            stats.cache = stats.cache.or_else(|| bytes("Cached"));
        }
        stats.swap = bytes("SwapTotal")
            .zip(bytes("SwapFree"))
            .map(|(total, free)| total.saturating_sub(free));
    }
    if let Some(text) = read::text(&proc.join("vmstat")) {
        // v1's root counts only what was charged to it.
        stats.page_faults = read::keyed(&text, "pgfault").or(stats.page_faults);
        stats.major_page_faults = read::keyed(&text, "pgmajfault").or(stats.major_page_faults);
        stats.oom_kills = read::keyed(&text, "oom_kill").or(stats.oom_kills);
    }
    stats.uptime_ms = read::text(&proc.join("uptime")).and_then(|text| uptime_ms(&text));
    let pressure = proc.join("pressure");
    stats.pressure = Pressures {
        cpu: stats::pressure(&pressure.join("cpu")),
        memory: stats::pressure(&pressure.join("memory")),
        io: stats::pressure(&pressure.join("io")),
    };
    stats.cpu_limit_millicores = None;
    stats.throttling = None;
    stats.disks = read::text(&proc.join("diskstats"))
        .map(|text| disks(&text, &paths.sys))
        .unwrap_or_default();
    stats
}

/// ns of processor time that was not idle, from the first line of `/proc/stat`.
fn cpu_ns(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guests are in user already.
    let (before_idle, behind) = (ticks.get(..3)?, ticks.get(5..ticks.len().min(8))?);
    let busy: u64 = before_idle.iter().chain(behind).sum();
    Some(busy.saturating_mul(1_000_000_000 / TICKS_A_SECOND))
}

fn read_meminfo(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix(':')?;
        value.trim().trim_end_matches(" kB").parse().ok()
    })
}

/// ms, of a text of seconds with two decimals.
fn uptime_ms(text: &str) -> Option<u64> {
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    let ms = crate::number::rounded(seconds * 1_000.0)?;
    u64::try_from(ms).ok()
}

/// Bytes of each disk that is a device of its own: no partition, no loop, no mapping.
fn disks(text: &str, sys: &Path) -> Vec<Disk> {
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (major, minor, name) = (words.first()?, words.get(1)?, words.get(2)?);
            let is_disk = sys.join("block").join(name).join("device").exists();
            let bytes = |index: usize| -> Option<u64> {
                let sectors: u64 = words.get(index)?.parse().ok()?;
                Some(sectors.saturating_mul(SECTOR_BYTES))
            };
            is_disk.then_some(Disk {
                device: format!("{major}:{minor}"),
                read_bytes: bytes(5)?,
                written_bytes: bytes(9)?,
            })
        })
        .collect()
}

/// `/dev/vda` for `254:0`; the numbers where they have no name.
pub(super) fn device_name(sys: &Path, numbers: &str) -> String {
    read::text(&sys.join("dev/block").join(numbers).join("uevent"))
        .and_then(|text| {
            let name = text
                .lines()
                .find_map(|line| line.strip_prefix("DEVNAME="))?;
            Some(format!("/dev/{name}"))
        })
        .unwrap_or_else(|| numbers.to_owned())
}

/// The file system at `root`.
pub(super) fn file_system(root: &Path) -> Option<[(Series, u64); 5]> {
    let fs = rustix::fs::statvfs(root).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
    Some([
        (
            Series::FilesystemUsage,
            bytes(fs.f_blocks.saturating_sub(fs.f_bfree)),
        ),
        (Series::FilesystemLimit, bytes(fs.f_blocks)),
        (Series::FilesystemAvailable, bytes(fs.f_bavail)),
        (Series::FilesystemInodes, fs.f_files),
        (Series::FilesystemInodesFree, fs.f_ffree),
    ])
}
