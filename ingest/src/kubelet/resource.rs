//! `/metrics/resource`: the light page, which knows no node's name and no pod's uid.

use plimsoll_engine::Timestamp;
use plimsoll_engine::model::Batch;

use super::{Options, PodList};
use crate::cadvisor::Images;
use crate::known::KnownTags;
use crate::names::{Mapped, Pod, Series, Subject, Writer};
use crate::number::rounded;
use crate::prometheus::{self, Sample};

/// Maps the page.
pub(super) fn map(
    text: &str,
    pods: Option<&PodList>,
    options: Options<'_>,
    images: &Images,
    known: &mut KnownTags,
) -> (Mapped, prometheus::Parsed) {
    let mut mapped = Mapped::default();
    let mut writer = Writer::choosing(Batch::default(), options.wanted);
    let mut kept = 0;
    let parsed = prometheus::parse(text, |sample| {
        match point(sample, pods, options, images, known, &mut writer) {
            Ok(()) => kept += 1,
            Err(reason) => mapped.drop_samples(reason, 1),
        }
    });
    mapped.take_written(writer, kept);
    (mapped, parsed)
}

fn point(
    sample: &Sample<'_, '_>,
    pods: Option<&PodList>,
    options: Options<'_>,
    images: &Images,
    known: &mut KnownTags,
    writer: &mut Writer,
) -> Result<(), &'static str> {
    let (level, metric) = sample.name.split_once('_').ok_or("metric not used")?;
    if level == "pod" {
        return Err("sum over a pod");
    }
    let (series, factor) = match metric {
        "cpu_usage_seconds_total" => (Series::CpuUsage, 1e9),
        "memory_working_set_bytes" => (Series::WorkingSet, 1.0),
        "swap_usage_bytes" => (Series::MemorySwap, 1.0),
        "start_time_seconds" => (Series::Uptime, 1e3),
        _ => return Err("metric not used"),
    };
    let subject = match level {
        "node" => Subject::Node,
        "container" => {
            let label = |name| sample.label(name).ok_or("no container");
            let (namespace, name) = (label("namespace")?, label("pod")?);
            let container = label("container")?;
            Subject::PodContainer {
                pod: Pod {
                    namespace,
                    name,
                    uid: pods.map_or("", |pods| pods.uid(namespace, name)),
                },
                name: container,
                image: images.image(namespace, name, container),
            }
        }
        _ => return Err("metric not used"),
    };
    let value = rounded(sample.value * factor).ok_or("not a number")?;
    let time = sample
        .timestamp_ms
        .map_or(options.now, |ms| Timestamp(ms.saturating_mul(1_000_000)));
    let value = match series {
        Series::Uptime => (time.0 / 1_000_000).saturating_sub(value).max(0),
        _ => value,
    };
    if !writer.takes_any(&[series]) {
        writer.leave_out(1);
        return Ok(());
    }
    let tag_set = known.tag_set(writer, subject, "");
    writer.value(series, tag_set, time, value);
    Ok(())
}
