//! Rows to points.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};
use plimsoll_engine::Timestamp;
use plimsoll_engine::model::Batch;

use super::identity::{Identity, Images, PodNames};
use super::rows::{Row, Sum};
use super::{Options, Source};
use crate::choice::SeriesSet;
use crate::known::KnownTags;
use crate::names::{Mapped, Pod, Series, Subject, Writer};
use crate::number::rounded;

/// Makes the points of all rows.
pub(super) fn points(
    rows: &[Row<'_>],
    options: Options<'_>,
    images: &mut Images,
    known: &mut KnownTags,
    mapped: &mut Mapped,
) {
    let inner = inner_paths(rows, options.source);
    let pod_networks = pod_networks(rows);
    let mut writer = Writer::choosing(Batch::default(), options.wanted);
    let mut all_kept = 0;
    if rows
        .iter()
        .any(|row| matches!(row.identity, Identity::PodContainer { .. }))
    {
        images.clear();
    }
    for (index, row) in rows.iter().enumerate() {
        let (subject, part) = match &row.identity {
            Identity::Machine => (Subject::Node, Part::All),
            Identity::Pause(pod) | Identity::PodSlice(pod) => {
                if pod_networks.get(&key(pod)) != Some(&index) {
                    let reason = match row.identity {
                        Identity::Pause(_) => "pause container",
                        _ => "slice",
                    };
                    mapped.drop_samples(reason, row.samples);
                    continue;
                }
                (Subject::Pod(pod.as_pod()), Part::Network)
            }
            Identity::PodContainer { pod, name, image } => {
                images.insert(&pod.namespace, &pod.name, name, image);
                let pod = pod.as_pod();
                (Subject::PodContainer { pod, name, image }, Part::All)
            }
            Identity::System {
                is_container: false,
                ..
            } if inner.contains(row.id.as_ref()) => {
                mapped.drop_samples("slice", row.samples);
                continue;
            }
            Identity::System {
                name,
                container_id: id,
                image,
                ..
            } => (Subject::SysContainer { name, id, image }, Part::All),
            Identity::Slice => {
                mapped.drop_samples("slice", row.samples);
                continue;
            }
        };
        let kept = write_row(row, subject, part, options, known, &mut writer);
        all_kept += kept;
        mapped.drop_samples("pause container", row.samples.saturating_sub(kept));
    }
    mapped.take_written(writer, all_kept);
}

/// Which values of a row count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// Those of a pod's sandbox: the rest is the sandbox's own.
    Network,
}

/// Writes a row and answers how many samples are in what was written.
fn write_row(
    row: &Row<'_>,
    subject: Subject<'_>,
    part: Part,
    options: Options<'_>,
    known: &mut KnownTags,
    writer: &mut Writer,
) -> usize {
    let more: Vec<(&str, &str)> = row
        .more
        .iter()
        .map(|(key, value)| (*key, value.as_ref()))
        .collect();
    // A cAdvisor of its own tells containers apart by more than a Kubelet does.
    let is_kubelet = options.source != Source::Standalone && more.is_empty();
    let mut tag_set_of = |resource: &str, writer: &mut Writer| {
        if is_kubelet {
            return known.tag_set(writer, subject, resource);
        }
        let mut more = more.clone();
        more.push(("resource_id", resource));
        writer.tag_set(&options.place.tags(subject, &more))
    };
    let tag_set = tag_set_of("", writer);
    let row_time = row.time_ms.map_or(options.now, from_ms);
    let time = |sum: &Sum| sum.time_ms.map_or(row_time, from_ms);
    let mut written = 0;
    for sum in &row.sums {
        if part == Part::Network && !is_network(sum.series) {
            continue;
        }
        if !options.wanted.has(sum.series) {
            writer.leave_out(sum.samples);
            written += sum.samples;
        } else if let Some(value) = rounded(sum.value) {
            writer.value(sum.series, tag_set, time(sum), value);
            written += sum.samples;
        }
    }
    if part == Part::Network {
        return written;
    }
    write_spec(row, tag_set, row_time, options.wanted, writer);
    let mut device_tags: Option<(&str, u32)> = None;
    for (device, sum) in &row.devices {
        if !options.wanted.has(sum.series) {
            writer.leave_out(sum.samples);
            continue;
        }
        let device_tag_set = match device_tags {
            Some((last, tag_set)) if last == device => tag_set,
            _ => tag_set_of(device, writer),
        };
        device_tags = Some((device, device_tag_set));
        if let Some(value) = rounded(sum.value) {
            writer.value(sum.series, device_tag_set, time(sum), value);
        }
    }
    row.samples
}

fn write_spec(
    row: &Row<'_>,
    tag_set: u32,
    time: Timestamp,
    wanted: SeriesSet,
    writer: &mut Writer,
) {
    let mut spec = row.spec;
    for (series, samples) in [
        (Series::Uptime, &mut [&mut spec.start_seconds][..]),
        (Series::MemoryLimit, &mut [&mut spec.memory_limit_bytes]),
        (
            Series::CpuLimit,
            &mut [
                &mut spec.cores,
                &mut spec.cpu_quota_us,
                &mut spec.cpu_period_us,
            ],
        ),
    ] {
        if !wanted.has(series) {
            let samples = samples.iter_mut().filter_map(|sample| sample.take());
            writer.leave_out(samples.count());
        }
    }
    if let Some(start_ms) = spec
        .start_seconds
        .and_then(|start| rounded(start * 1_000.0))
        && start_ms > 0
    {
        let uptime_ms = (time.0 / 1_000_000).saturating_sub(start_ms).max(0);
        writer.value(Series::Uptime, tag_set, time, uptime_ms);
    }
    // Of a limit, 0 means none; so does a number that no i64 holds.
    if let Some(limit) = spec.memory_limit_bytes.and_then(rounded)
        && limit > 0
        && limit < MEMORY_LIMIT_NONE
    {
        writer.value(Series::MemoryLimit, tag_set, time, limit);
    }
    if let Some(millicores) = spec.cores.and_then(|cores| rounded(cores * 1_000.0)) {
        // What a machine has, whatever its own cgroup may use of it.
        writer.value(Series::CpuLimit, tag_set, time, millicores);
    } else if let (Some(quota), Some(period)) = (spec.cpu_quota_us, spec.cpu_period_us)
        && quota > 0.0
        && period > 0.0
        && let Some(millicores) = rounded(quota / period * 1_000.0)
    {
        writer.value(Series::CpuLimit, tag_set, time, millicores);
    }
}

/// cgroup v1 says "no limit" as 2^63 − 1 cut down to a page; float text then cuts it again.
const MEMORY_LIMIT_NONE: i64 = 9_223_372_036_854_000_000;

fn is_network(series: Series) -> bool {
    matches!(
        series,
        Series::NetworkRx | Series::NetworkTx | Series::NetworkRxErrors | Series::NetworkTxErrors
    )
}

fn from_ms(ms: i64) -> Timestamp {
    Timestamp(ms.saturating_mul(1_000_000))
}

type PodKey<'r> = (&'r str, &'r str, &'r str);

fn key<'r>(pod: &'r PodNames<'_>) -> PodKey<'r> {
    (&pod.namespace, &pod.name, &pod.uid)
}

impl PodNames<'_> {
    fn as_pod(&self) -> Pod<'_> {
        Pod {
            namespace: &self.namespace,
            name: &self.name,
            uid: &self.uid,
        }
    }
}

/// Which row gives each pod its network: the sandbox's, else that of the cgroup around it.
fn pod_networks<'r>(rows: &'r [Row<'_>]) -> HashMap<PodKey<'r>, usize> {
    let mut networks = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        if !row.sums.iter().any(|sum| is_network(sum.series)) {
            continue;
        }
        match &row.identity {
            Identity::Pause(pod) => {
                networks.insert(key(pod), index);
            }
            Identity::PodSlice(pod) => {
                networks.entry(key(pod)).or_insert(index);
            }
            _ => {}
        }
    }
    networks
}

/// The paths that hold other paths.
fn inner_paths<'r>(rows: &'r [Row<'_>], source: Source) -> HashSet<&'r str> {
    let mut inner = HashSet::new();
    if source != Source::Standalone {
        return inner;
    }
    for row in rows {
        let id: &'r Cow<'_, str> = &row.id;
        let mut path = id.as_ref();
        while let Some((parent, _)) = path.rsplit_once('/') {
            path = parent;
            if !inner.insert(path) {
                break;
            }
        }
    }
    inner
}
