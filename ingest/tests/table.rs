//! Every series that a Kubelet's pages give, container by container, against the real payloads:
//! what is expected is read out of them anew by other parsers (`prometheus-parse`, `serde_json`).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::allow_attributes,
    reason = "a test stops where it fails, says what it skips, and its numbers fit"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use plimsoll_engine::{Batch, FieldValue, Timestamp};
use plimsoll_ingest::cadvisor::{self, Images, Source};
use plimsoll_ingest::choice::SeriesSet;
use plimsoll_ingest::kubelet::{Options, Pages, Payloads, PodList, Summary, map};
use plimsoll_ingest::names::{Mapped, Place, Series};
use plimsoll_ingest::rest;
use prometheus_parse::{Sample, Scrape, Value};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/kubelet");
const VERSIONS: [&str; 3] = ["1.31", "1.34", "1.35"];

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

/// Values by namespace, pod, container and file system or device.
type Values = BTreeMap<[String; 4], i64>;

struct Payload {
    exposition: Vec<Sample>,
    summary: serde_json::Value,
    pods: serde_json::Value,
    mapped: Mapped,
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()
}

fn is_there(test: &str) -> bool {
    let is_there = Path::new(FOLDER).exists();
    if !is_there {
        println!("SKIPPED {test} ../shared/data is not there");
    }
    is_there
}

fn place() -> Place {
    Place {
        cluster_name: "default".to_owned(),
        nodename: "n".to_owned(),
        hostname: "n".to_owned(),
    }
}

fn payload(version: &str) -> Payload {
    let [cadvisor, summary, pods] = ["metrics-cadvisor", "stats-summary", "pods"]
        .map(|page| read(&format!("k8s-{version}-{page}")));
    let lines = cadvisor.lines().map(|line| Ok(line.to_owned()));
    let parsed_summary = Summary::parse(summary.as_bytes()).unwrap();
    let place = place();
    let payloads = Payloads {
        summary: Some(&parsed_summary),
        cadvisor: Some(&cadvisor),
        pods: Some(&PodList::parse(pods.as_bytes()).unwrap()),
    };
    let options = Options {
        place: &place,
        label_tags: &[],
        wanted: SeriesSet::ALL,
        now: NOW,
        pages: Pages::Full,
    };
    let (mapped, parsed) = map(payloads, options, &mut Images::default());
    assert_eq!(parsed.rejected, 0);
    Payload {
        exposition: Scrape::parse(lines).unwrap().samples,
        summary: serde_json::from_str(&summary).unwrap(),
        pods: serde_json::from_str(&pods).unwrap(),
        mapped,
    }
}

/// What was made of a series for rows of one level.
fn made(batch: &Batch, series: Series, level: &str) -> Values {
    let mut values = Values::new();
    for point in batch.points() {
        let tags = &batch.tag_sets()[point.tag_set as usize];
        let tag = |key: &str| tags.value(key).unwrap_or_default().into_owned();
        if *batch.names()[point.measurement as usize] != *series.name() || tag("type") != level {
            continue;
        }
        let FieldValue::Integer(value) = point.fields[0].1 else {
            panic!("{} is an integer", series.name());
        };
        let key = [
            "namespace_name",
            "pod_name",
            "container_name",
            "resource_id",
        ]
        .map(tag);
        assert_eq!(values.insert(key, value), None, "{series:?} stands twice");
    }
    values
}

fn number(sample: &Sample) -> f64 {
    match sample.value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
        _ => panic!("a histogram"),
    }
}

/// What the exposition says of containers of pods under a metric: `with` are labels that must
/// hold, `device` is a label that becomes part of the key, and samples of one key are summed.
fn said(
    payload: &Payload,
    metric: &str,
    with: &[(&str, &str)],
    device: &str,
    scale: f64,
) -> Values {
    let mut sums: BTreeMap<[String; 4], f64> = BTreeMap::new();
    for sample in payload
        .exposition
        .iter()
        .filter(|sample| sample.metric == metric)
    {
        let label = |name: &str| sample.labels.get(name).unwrap_or_default().to_owned();
        let is_container = !matches!(label("container").as_str(), "" | "POD");
        let holds = with.iter().all(|(name, value)| label(name) == *value);
        if is_container && holds {
            let device = if device.is_empty() {
                String::new()
            } else {
                label(device)
            };
            let key = [label("namespace"), label("pod"), label("container"), device];
            *sums.entry(key).or_default() += number(sample);
        }
    }
    sums.into_iter()
        .map(|(key, value)| (key, (value * scale).round() as i64))
        .collect()
}

#[test]
fn each_series_of_metrics_cadvisor_is_what_the_page_says_of_each_container() {
    if !is_there("each_series_of_metrics_cadvisor_is_what_the_page_says_of_each_container") {
        return;
    }
    const FAULTS: &str = "container_memory_failures_total";
    let scope = ("scope", "container");
    for version in VERSIONS {
        let payload = payload(version);
        let mut seen = BTreeSet::new();
        for (series, metric, with, device, scale) in [
            (
                Series::CpuUsage,
                "container_cpu_usage_seconds_total",
                &[][..],
                "",
                1e9,
            ),
            (
                Series::MemoryUsage,
                "container_memory_usage_bytes",
                &[],
                "",
                1.0,
            ),
            (
                Series::WorkingSet,
                "container_memory_working_set_bytes",
                &[],
                "",
                1.0,
            ),
            (
                Series::PageFaults,
                FAULTS,
                &[("failure_type", "pgfault"), scope],
                "",
                1.0,
            ),
            (
                Series::MajorPageFaults,
                FAULTS,
                &[("failure_type", "pgmajfault"), scope],
                "",
                1.0,
            ),
            (Series::MemoryRss, "container_memory_rss", &[], "", 1.0),
            (Series::MemoryCache, "container_memory_cache", &[], "", 1.0),
            (Series::MemorySwap, "container_memory_swap", &[], "", 1.0),
            (
                Series::CpuThrottled,
                "container_cpu_cfs_throttled_seconds_total",
                &[],
                "",
                1e9,
            ),
            (
                Series::CpuThrottledPeriods,
                "container_cpu_cfs_throttled_periods_total",
                &[],
                "",
                1.0,
            ),
            (
                Series::CpuPeriods,
                "container_cpu_cfs_periods_total",
                &[],
                "",
                1.0,
            ),
            (
                Series::OomEvents,
                "container_oom_events_total",
                &[],
                "",
                1.0,
            ),
            (Series::ProcessCount, "container_processes", &[], "", 1.0),
            (
                Series::DiskRead,
                "container_fs_reads_bytes_total",
                &[],
                "device",
                1.0,
            ),
            (
                Series::DiskWrite,
                "container_fs_writes_bytes_total",
                &[],
                "device",
                1.0,
            ),
            (
                Series::PressureCpuSome,
                "container_pressure_cpu_waiting_seconds_total",
                &[],
                "",
                1e9,
            ),
            (
                Series::PressureCpuFull,
                "container_pressure_cpu_stalled_seconds_total",
                &[],
                "",
                1e9,
            ),
            (
                Series::PressureMemorySome,
                "container_pressure_memory_waiting_seconds_total",
                &[],
                "",
                1e9,
            ),
            (
                Series::PressureMemoryFull,
                "container_pressure_memory_stalled_seconds_total",
                &[],
                "",
                1e9,
            ),
            (
                Series::PressureIoSome,
                "container_pressure_io_waiting_seconds_total",
                &[],
                "",
                1e9,
            ),
            (
                Series::PressureIoFull,
                "container_pressure_io_stalled_seconds_total",
                &[],
                "",
                1e9,
            ),
        ] {
            let said = said(&payload, metric, with, device, scale);
            let made = made(&payload.mapped.batch, series, "pod_container");
            assert_eq!(made, said, "{version} {series:?}");
            if !said.is_empty() {
                seen.insert(series);
            }
        }
        // The page of 1.31 has no pressure; what is tested is there.
        assert!(seen.len() >= 12, "{version}: {seen:?}");
        let starts = said(&payload, "container_start_time_seconds", &[], "", 1_000.0);
        let uptimes = made(&payload.mapped.batch, Series::Uptime, "pod_container");
        assert_eq!(
            starts.keys().collect::<Vec<_>>(),
            uptimes.keys().collect::<Vec<_>>(),
            "{version}"
        );
    }
}

/// A number below `path`, where it is there.
fn at(value: &serde_json::Value, path: &[&str]) -> Option<i64> {
    let found = path.iter().try_fold(value, |value, key| value.get(key))?;
    found
        .as_u64()
        .map(|number| i64::try_from(number).unwrap_or(i64::MAX))
}

fn text(value: &serde_json::Value, path: &[&str]) -> String {
    let found = path.iter().try_fold(value, |value, key| value.get(key));
    found
        .and_then(|value| value.as_str())
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn each_series_of_the_summary_is_what_the_page_says_of_each_pod_and_container() {
    if !is_there("each_series_of_the_summary_is_what_the_page_says_of_each_pod_and_container") {
        return;
    }
    for version in VERSIONS {
        let payload = payload(version);
        let batch = &payload.mapped.batch;
        let items = payload.pods["items"].as_array().unwrap();
        let on_host: BTreeSet<String> = items
            .iter()
            .filter(|pod| pod["spec"]["hostNetwork"].as_bool() == Some(true))
            .map(|pod| text(pod, &["metadata", "name"]))
            .collect();
        assert!(on_host.len() >= 5, "{version}: {on_host:?}");
        for (series, name) in [
            (Series::NetworkRx, "rxBytes"),
            (Series::NetworkTx, "txBytes"),
            (Series::NetworkRxErrors, "rxErrors"),
            (Series::NetworkTxErrors, "txErrors"),
        ] {
            let mut said = Values::new();
            for pod in payload.summary["pods"].as_array().unwrap() {
                let pod_name = text(pod, &["podRef", "name"]);
                let Some(value) = at(pod, &["network", name]) else {
                    continue;
                };
                if !on_host.contains(&pod_name) {
                    let key = [
                        text(pod, &["podRef", "namespace"]),
                        pod_name,
                        String::new(),
                        String::new(),
                    ];
                    said.insert(key, value);
                }
            }
            assert!(!said.is_empty());
            assert_eq!(made(batch, series, "pod"), said, "{version} {series:?}");
            let node = made(batch, series, "node");
            let said = at(&payload.summary, &["node", "network", name]);
            assert_eq!(
                node.values().copied().next(),
                said,
                "{version} node {series:?}"
            );
        }
        for (series, name) in [
            (Series::FilesystemUsage, "usedBytes"),
            (Series::FilesystemLimit, "capacityBytes"),
            (Series::FilesystemAvailable, "availableBytes"),
            (Series::FilesystemInodes, "inodes"),
            (Series::FilesystemInodesFree, "inodesFree"),
        ] {
            let mut said = Values::new();
            let mut volumes = Values::new();
            for pod in payload.summary["pods"].as_array().unwrap() {
                let of = [
                    text(pod, &["podRef", "namespace"]),
                    text(pod, &["podRef", "name"]),
                ];
                for container in pod["containers"].as_array().into_iter().flatten() {
                    for (page, resource) in [("rootfs", "/"), ("logs", "logs")] {
                        if let Some(value) = at(container, &[page, name]) {
                            let [namespace, pod] = of.clone();
                            let container = text(container, &["name"]);
                            said.insert([namespace, pod, container, resource.to_owned()], value);
                        }
                    }
                }
                for volume in pod["volume"].as_array().into_iter().flatten() {
                    if let Some(value) = at(volume, &[name]) {
                        let [namespace, pod] = of.clone();
                        let volume = format!("Volume:{}", text(volume, &["name"]));
                        volumes.insert([namespace, pod, String::new(), volume], value);
                    }
                }
            }
            assert_eq!(
                made(batch, series, "pod_container"),
                said,
                "{version} {series:?}"
            );
            let mut made_of_pods = made(batch, series, "pod");
            made_of_pods.retain(|key, _| key[3].starts_with("Volume:"));
            assert_eq!(made_of_pods, volumes, "{version} volumes {series:?}");
            let node = made(batch, series, "node");
            let of_root = node
                .iter()
                .find(|(key, _)| key[3] == "/")
                .map(|(_, value)| *value);
            assert_eq!(
                of_root,
                at(&payload.summary, &["node", "fs", name]),
                "{version} node {series:?}"
            );
        }
    }
}

/// What a summary says of processor, memory and stalls: the series, where it stands, and by what it
/// is multiplied.
const STATS: [(Series, &[&str], i64); 13] = [
    (Series::CpuUsage, &["cpu", "usageCoreNanoSeconds"], 1),
    (Series::MemoryUsage, &["memory", "usageBytes"], 1),
    (Series::WorkingSet, &["memory", "workingSetBytes"], 1),
    (Series::MemoryRss, &["memory", "rssBytes"], 1),
    (Series::PageFaults, &["memory", "pageFaults"], 1),
    (Series::MajorPageFaults, &["memory", "majorPageFaults"], 1),
    (Series::MemorySwap, &["swap", "swapUsageBytes"], 1),
    // In µs, though documented as ns.
    (
        Series::PressureCpuSome,
        &["cpu", "psi", "some", "total"],
        1_000,
    ),
    (
        Series::PressureCpuFull,
        &["cpu", "psi", "full", "total"],
        1_000,
    ),
    (
        Series::PressureMemorySome,
        &["memory", "psi", "some", "total"],
        1_000,
    ),
    (
        Series::PressureMemoryFull,
        &["memory", "psi", "full", "total"],
        1_000,
    ),
    (
        Series::PressureIoSome,
        &["io", "psi", "some", "total"],
        1_000,
    ),
    (
        Series::PressureIoFull,
        &["io", "psi", "full", "total"],
        1_000,
    ),
];

/// Whole seconds between a node's, pod's or container's start and the time of its processor's stat.
fn uptime_ms(stats: &serde_json::Value) -> Option<i64> {
    let time = |path: &[&str]| text(stats, path).parse::<jiff::Timestamp>().ok();
    let up = time(&["cpu", "time"])?.duration_since(time(&["startTime"])?);
    i64::try_from(up.as_millis()).ok()
}

#[test]
fn a_summary_alone_gives_processor_memory_and_stalls_of_node_systems_and_containers() {
    let test = "a_summary_alone_gives_processor_memory_and_stalls_of_node_systems_and_containers";
    if !is_there(test) {
        return;
    }
    for version in VERSIONS {
        let body = read(&format!("k8s-{version}-stats-summary"));
        let summary = Summary::parse(body.as_bytes()).unwrap();
        let place = place();
        let payloads = Payloads {
            summary: Some(&summary),
            cadvisor: None,
            pods: None,
        };
        let options = Options {
            place: &place,
            label_tags: &[],
            wanted: SeriesSet::ALL,
            now: NOW,
            pages: Pages::Summary,
        };
        let (mapped, _) = map(payloads, options, &mut Images::default());
        let page: serde_json::Value = serde_json::from_str(&body).unwrap();
        let key = |namespace: String, pod: String, container: String| {
            [namespace, pod, container, String::new()]
        };
        let none = String::new;
        let mut levels: BTreeMap<&str, Vec<([String; 4], &serde_json::Value)>> = BTreeMap::new();
        let node = &page["node"];
        let machine = key(none(), none(), "machine".to_owned());
        levels.insert("node", vec![(machine, node)]);
        let systems = node["systemContainers"].as_array().unwrap().iter();
        let systems = systems.map(|one| (key(none(), none(), text(one, &["name"])), one));
        levels.insert("sys_container", systems.collect());
        for pod in page["pods"].as_array().unwrap() {
            let of = |name: &str| text(pod, &["podRef", name]);
            for one in pod["containers"].as_array().into_iter().flatten() {
                let key = key(of("namespace"), of("name"), text(one, &["name"]));
                levels.entry("pod_container").or_default().push((key, one));
            }
        }
        let mut seen = BTreeSet::new();
        for (level, stats) in levels {
            assert!(!stats.is_empty(), "{version} {level}");
            for (series, path, factor) in STATS {
                let said = stats
                    .iter()
                    .filter_map(|(key, stats)| Some((key.clone(), at(stats, path)? * factor)));
                let said: Values = said.collect();
                seen.extend((!said.is_empty()).then_some(series));
                let made = made(&mapped.batch, series, level);
                assert_eq!(made, said, "{version} {level} {series:?}");
            }
            let said = stats
                .iter()
                .filter_map(|(key, stats)| Some((key.clone(), uptime_ms(stats)?)));
            let made = made(&mapped.batch, Series::Uptime, level);
            assert_eq!(made, said.collect(), "{version} {level} uptime");
        }
        // The page of 1.31 has no stalls and knows nothing of swap.
        assert!(seen.len() >= 6, "{version}: {seen:?}");
    }
}

#[test]
fn the_light_page_gives_processor_working_set_and_uptime_of_node_and_containers() {
    let test = "the_light_page_gives_processor_working_set_and_uptime_of_node_and_containers";
    if !is_there(test) {
        return;
    }
    let page = read("eks-metrics-resource");
    let place = place();
    let payloads = Payloads {
        summary: None,
        cadvisor: Some(&page),
        pods: None,
    };
    let options = Options {
        place: &place,
        label_tags: &[],
        wanted: SeriesSet::ALL,
        now: NOW,
        pages: Pages::Resource,
    };
    let (mapped, _) = map(payloads, options, &mut Images::default());
    let lines = page.lines().map(|line| Ok(line.to_owned()));
    let samples = Scrape::parse(lines).unwrap().samples;
    let said = |metric: &str, value: &dyn Fn(&Sample) -> f64| -> Values {
        let of = samples.iter().filter(|sample| sample.metric == metric);
        let keyed = of.map(|sample| {
            let label = |name: &str| sample.labels.get(name).unwrap_or_default().to_owned();
            let container = match label("container") {
                none if none.is_empty() => "machine".to_owned(),
                container => container,
            };
            let key = [label("namespace"), label("pod"), container, String::new()];
            (key, value(sample).round() as i64)
        });
        keyed.collect()
    };
    for (level, prefix, count) in [("pod_container", "container", 4), ("node", "node", 1)] {
        for (series, metric, scale) in [
            (Series::CpuUsage, "cpu_usage_seconds_total", 1e9),
            (Series::WorkingSet, "memory_working_set_bytes", 1.0),
        ] {
            let said = said(&format!("{prefix}_{metric}"), &|sample| {
                number(sample) * scale
            });
            assert_eq!(said.len(), count);
            assert_eq!(
                made(&mapped.batch, series, level),
                said,
                "{level} {series:?}"
            );
        }
    }
    // Two of the four containers have a start, which has no time of its own.
    let mut up = said("container_start_time_seconds", &|sample| {
        number(sample) * 1e3
    });
    for start_ms in up.values_mut() {
        *start_ms = NOW.0 / 1_000_000 - *start_ms;
    }
    assert_eq!(up.len(), 2);
    assert_eq!(made(&mapped.batch, Series::Uptime, "pod_container"), up);
}

#[test]
fn what_is_kept_and_dropped_of_each_payload_is_counted_by_its_reason() {
    if !is_there("what_is_kept_and_dropped_of_each_payload_is_counted_by_its_reason") {
        return;
    }
    let mut shown = Vec::new();
    let mut show = |name: &str, mapped: &Mapped| {
        let (kept, points, dropped) = (mapped.kept, mapped.batch.len(), &mapped.dropped);
        shown.push(format!(
            "{name}: {kept} kept, {points} points, dropped {dropped:?}"
        ));
    };
    for version in VERSIONS {
        show(version, &payload(version).mapped);
    }
    let place = place();
    let options = |source| cadvisor::Options {
        source,
        place: &place,
        label_tags: &[],
        wanted: SeriesSet::ALL,
        now: NOW,
    };
    let shared = |name: &str| read(&format!("../{name}"));
    for (name, source) in [
        ("kubelet/k8s-1.16-metrics-cadvisor", Source::Kubelet),
        ("cadvisor/prometheus_metrics.prom", Source::Standalone),
        (
            "cadvisor/prometheus_metrics_whitelist_filtered.prom",
            Source::Standalone,
        ),
    ] {
        let text = shared(name);
        let (mapped, _) = cadvisor::map(&text, options(source), &mut Images::default());
        show(name, &mapped);
    }
    for name in ["api_v1_docker_2018.json", "api_v1_kubelet_system_2016.json"] {
        let text = shared(&format!("cadvisor/{name}"));
        let (mapped, _) = rest::map_v1(text.as_bytes(), options(Source::Standalone)).unwrap();
        show(name, &mapped);
    }
    let text = read("eks-metrics-resource");
    let payloads = Payloads {
        summary: None,
        cadvisor: Some(&text),
        pods: None,
    };
    let resource = Options {
        place: &place,
        label_tags: &[],
        wanted: SeriesSet::ALL,
        now: NOW,
        pages: Pages::Resource,
    };
    show(
        "eks-metrics-resource",
        &map(payloads, resource, &mut Images::default()).0,
    );
    let expected = [
        "1.31: 742 kept, 712 points, dropped {\"metric not used\": 3160, \"network of the node seen from a pod\": 32, \"pause container\": 252, \"slice\": 366}",
        "1.34: 919 kept, 888 points, dropped {\"metric not used\": 3511, \"network of the node seen from a pod\": 32, \"pause container\": 380, \"slice\": 524}",
        "1.35: 862 kept, 832 points, dropped {\"metric not used\": 3349, \"network of the node seen from a pod\": 32, \"pause container\": 360, \"slice\": 498}",
        "kubelet/k8s-1.16-metrics-cadvisor: 315 kept, 232 points, dropped {\"metric not used\": 2499, \"pause container\": 136, \"pseudo file system\": 8, \"slice\": 621}",
        "cadvisor/prometheus_metrics.prom: 40 kept, 36 points, dropped {\"metric not used\": 247}",
        "cadvisor/prometheus_metrics_whitelist_filtered.prom: 40 kept, 36 points, dropped {\"metric not used\": 247}",
        "api_v1_docker_2018.json: 16 kept, 16 points, dropped {}",
        "api_v1_kubelet_system_2016.json: 10 kept, 10 points, dropped {}",
        "eks-metrics-resource: 12 kept, 12 points, dropped {\"metric not used\": 1, \"sum over a pod\": 4}",
    ];
    assert_eq!(shown, expected);
}
