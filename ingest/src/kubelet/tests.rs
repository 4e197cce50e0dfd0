//! Expectations are literals read in the payloads by eye, with the arithmetic done by hand.

use plimsoll_engine::{Batch, FieldValue, Timestamp};

use super::{Options, Pages, Payloads, PodList, Summary, map};
use crate::cadvisor::{self, Images, Source};
use crate::choice::SeriesSet;
use crate::names::{Mapped, Place, Series};
use crate::test_data;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

fn place(nodename: &str) -> Place {
    Place {
        cluster_name: "default".to_owned(),
        nodename: nodename.to_owned(),
        hostname: nodename.to_owned(),
    }
}

/// Values and times in ms of a series where the tags hold all of `tags`.
fn points(batch: &Batch, series: Series, tags: &[(&str, &str)]) -> Vec<(i64, i64)> {
    batch
        .points()
        .filter(|point| &*batch.names()[point.measurement as usize] == series.name())
        .filter(|point| {
            let tag_set = &batch.tag_sets()[point.tag_set as usize];
            tags.iter()
                .all(|(key, value)| tag_set.value(key).as_deref().unwrap_or("") == *value)
        })
        .map(|point| {
            let FieldValue::Integer(value) = point.fields[0].1 else {
                panic!("{} is an integer", series.name());
            };
            (value, point.time.0 / 1_000_000)
        })
        .collect()
}

fn assert_point(batch: &Batch, series: Series, tags: &[(&str, &str)], value: i64, time_ms: i64) {
    assert_eq!(
        points(batch, series, tags),
        [(value, time_ms)],
        "{} {tags:?}",
        series.name()
    );
}

/// No series may have two points of one tag set: a payload is one moment.
fn assert_no_point_stands_twice(batch: &Batch) {
    let mut seen = std::collections::HashSet::new();
    for point in batch.points() {
        assert!(
            seen.insert((point.measurement, point.tag_set)),
            "{} {}",
            batch.names()[point.measurement as usize],
            batch.tag_sets()[point.tag_set as usize]
        );
    }
}

fn map_version(test: &str, version: &str) -> Option<(Mapped, Images)> {
    let names = ["metrics-cadvisor", "stats-summary", "pods"]
        .map(|part| format!("kubelet/k8s-{version}-{part}"));
    let texts = test_data::payloads(test, &[&names[0], &names[1], &names[2]])?;
    let summary = Summary::parse(texts[1].1.as_bytes()).unwrap();
    let pods = PodList::parse(texts[2].1.as_bytes()).unwrap();
    let place = place(&summary.node.node_name);
    let mut images = Images::default();
    let (mapped, parsed) = map(
        Payloads {
            summary: Some(&summary),
            cadvisor: Some(&texts[0].1),
            pods: Some(&pods),
        },
        Options {
            place: &place,
            label_tags: &[],
            wanted: SeriesSet::ALL,
            now: NOW,
            pages: Pages::Full,
        },
        &mut images,
    );
    assert_eq!(parsed.error, None);
    assert_no_point_stands_twice(&mapped.batch);
    Some((mapped, images))
}

/// What `/metrics/cadvisor` says of one container.
struct Expected {
    pod: &'static str,
    uid: &'static str,
    container: &'static str,
    time_ms: i64,
    uptime_ms: i64,
    cpu_ns: i64,
    usage: i64,
    working_set: i64,
    faults: i64,
    major_faults: i64,
    memory_limit: Option<i64>,
    written: Option<i64>,
    pressure_cpu_ns: Option<(i64, i64)>,
}

fn assert_containers(batch: &Batch, node: &str, containers: &[Expected]) {
    for expected in containers {
        let tags = [
            ("type", "pod_container"),
            ("cluster_name", "default"),
            ("nodename", node),
            ("namespace_name", "kube-system"),
            ("pod_name", expected.pod),
            ("pod_id", expected.uid),
            ("container_name", expected.container),
            ("resource_id", ""),
        ];
        let time_ms = expected.time_ms;
        for (series, value) in [
            (Series::Uptime, expected.uptime_ms),
            (Series::CpuUsage, expected.cpu_ns),
            (Series::MemoryUsage, expected.usage),
            (Series::WorkingSet, expected.working_set),
            (Series::PageFaults, expected.faults),
            (Series::MajorPageFaults, expected.major_faults),
        ] {
            assert_point(batch, series, &tags, value, time_ms);
        }
        let limits = points(batch, Series::MemoryLimit, &tags);
        let limit = expected.memory_limit.map(|limit| (limit, time_ms));
        assert_eq!(limits, Vec::from_iter(limit), "{}", expected.pod);
        let mut device = tags;
        device[7] = ("resource_id", "/dev/vda");
        let written = expected.written.map(|bytes| (bytes, time_ms));
        assert_eq!(
            points(batch, Series::DiskWrite, &device),
            Vec::from_iter(written)
        );
        let pressure = expected.pressure_cpu_ns;
        for (series, value) in [
            (Series::PressureCpuSome, pressure.map(|both| both.0)),
            (Series::PressureCpuFull, pressure.map(|both| both.1)),
        ] {
            let value = value.map(|ns| (ns, time_ms));
            assert_eq!(points(batch, series, &tags), Vec::from_iter(value));
        }
    }
}

#[test]
fn kubernetes_1_16_without_a_summary_is_mapped_whole() {
    let test = "kubernetes_1_16_without_a_summary_is_mapped_whole";
    let name = "kubelet/k8s-1.16-metrics-cadvisor";
    let Some(texts) = test_data::payloads(test, &[name]) else {
        return;
    };
    let place = place("minikube");
    let options = cadvisor::Options {
        source: Source::Kubelet,
        place: &place,
        label_tags: &[],
        wanted: SeriesSet::ALL,
        // The payload has no times at all.
        now: Timestamp(1_521_600_000_000_000_000),
    };
    let (mapped, parsed) = cadvisor::map(&texts[0].1, options, &mut Images::default());
    assert_eq!(parsed.error, None);
    assert_eq!(
        mapped.kept + mapped.dropped.values().sum::<usize>(),
        parsed.samples
    );
    assert!(mapped.dropped["slice"] > 0);
    assert!(mapped.dropped["pause container"] > 0);
    let batch = &mapped.batch;
    assert_no_point_stands_twice(batch);
    let time_ms = 1_521_600_000_000;
    for (pod, container, values) in [
        (
            "heapster-5mz5f",
            "heapster",
            // Both processors: 4.949543914 + 4.058041406 s; 1521600000 - 1521544802 s.
            [
                9_007_585_320,
                30_572_544,
                23_465_984,
                11_707,
                219,
                55_198_000,
            ],
        ),
        (
            "influxdb-grafana-rsmwp",
            "influxdb",
            [
                46_335_224_109,
                74_510_336,
                64_798_720,
                57_101,
                134,
                55_201_000,
            ],
        ),
        (
            "kube-addon-manager-minikube",
            "kube-addon-manager",
            [
                804_273_204_676,
                36_892_672,
                35_053_568,
                11_100_973,
                321,
                55_202_000,
            ],
        ),
    ] {
        let tags = [
            ("pod_name", pod),
            ("container_name", container),
            ("type", "pod_container"),
            ("resource_id", ""),
        ];
        for (series, value) in [
            Series::CpuUsage,
            Series::MemoryUsage,
            Series::WorkingSet,
            Series::PageFaults,
            Series::MajorPageFaults,
            Series::Uptime,
        ]
        .into_iter()
        .zip(values)
        {
            assert_point(batch, series, &tags, value, time_ms);
        }
        // `spec_memory_limit_bytes` is 0, which is no limit.
        assert_eq!(points(batch, Series::MemoryLimit, &tags), []);
    }
    // The pause row has the pod's network; eth0 and sit0 are summed.
    let pod = [("pod_name", "heapster-5mz5f"), ("type", "pod")];
    assert_point(batch, Series::NetworkRx, &pod, 51_111_481, time_ms);
    assert_point(batch, Series::NetworkTx, &pod, 78_781_141, time_ms);
    assert_point(batch, Series::NetworkRxErrors, &pod, 0, time_ms);
    assert_eq!(points(batch, Series::CpuUsage, &pod), []);
    assert!(points(batch, Series::CpuUsage, &[("container_name", "POD")]).is_empty());
    // eth0 and eth1 of the node.
    let node = [
        ("type", "node"),
        ("container_name", "machine"),
        ("hostname", "minikube"),
        ("resource_id", ""),
    ];
    assert_point(
        batch,
        Series::NetworkRx,
        &node,
        302_260_415 + 261_626_858,
        time_ms,
    );
    assert_point(batch, Series::WorkingSet, &node, 1_449_017_344, time_ms);
    assert_point(
        batch,
        Series::FilesystemUsage,
        &[("type", "node"), ("resource_id", "/dev/sda1")],
        3_319_848_960,
        time_ms,
    );
    assert_eq!(points(batch, Series::FilesystemUsage, &node), []);
}

#[test]
fn kubernetes_1_31_is_mapped_from_both_payloads() {
    let Some((mapped, _)) = map_version("kubernetes_1_31_is_mapped_from_both_payloads", "1.31")
    else {
        return;
    };
    assert_containers(
        &mapped.batch,
        "datagen-1-31",
        &[
            Expected {
                pod: "kindnet-gmqkj",
                uid: "11d454af-149d-40a5-9529-be58b54181ca",
                container: "kindnet-cni",
                time_ms: 1_762_283_723_092,
                uptime_ms: 87_092,
                cpu_ns: 147_239_000,
                usage: 13_750_272,
                working_set: 13_746_176,
                faults: 4_854,
                major_faults: 0,
                memory_limit: Some(52_428_800),
                written: Some(4_096),
                pressure_cpu_ns: None,
            },
            Expected {
                pod: "coredns-6f6b679f8f-hktpp",
                uid: "a49e0345-24c7-4c39-b2fd-07b6b3fc99d0",
                container: "coredns",
                time_ms: 1_762_283_731_273,
                uptime_ms: 83_273,
                cpu_ns: 199_820_000,
                usage: 14_438_400,
                working_set: 14_438_400,
                faults: 3_965,
                major_faults: 0,
                memory_limit: Some(178_257_920),
                written: None,
                pressure_cpu_ns: None,
            },
            Expected {
                pod: "etcd-datagen-1-31",
                uid: "a9d723c948f6e052b5e5f90c6d73d3ef",
                container: "etcd",
                time_ms: 1_762_283_717_360,
                uptime_ms: 93_360,
                cpu_ns: 2_871_817_000,
                usage: 36_716_544,
                working_set: 33_058_816,
                faults: 4_539,
                major_faults: 2,
                memory_limit: None,
                written: Some(11_476_992),
                pressure_cpu_ns: None,
            },
        ],
    );
    let batch = &mapped.batch;
    let kindnet = [("container_name", "kindnet-cni"), ("resource_id", "")];
    assert_point(
        batch,
        Series::CpuThrottled,
        &kindnet,
        710_661_000,
        1_762_283_723_092,
    );
    assert_point(
        batch,
        Series::CpuThrottledPeriods,
        &kindnet,
        9,
        1_762_283_723_092,
    );
    // 10,000 of 100,000 µs.
    assert_point(batch, Series::CpuLimit, &kindnet, 100, 1_762_283_723_092);
    let pod = [
        ("pod_name", "coredns-6f6b679f8f-hktpp"),
        ("type", "pod"),
        ("resource_id", ""),
    ];
    assert_point(batch, Series::NetworkRx, &pod, 43_639, 1_762_283_726_000);
    assert_point(batch, Series::NetworkTx, &pod, 14_300, 1_762_283_726_000);
    assert_point(batch, Series::Uptime, &pod, 72_000, 1_762_283_720_000);
    assert_point(batch, Series::ProcessCount, &pod, 1, 1_762_283_720_000);
    let kubelet = [("container_name", "kubelet"), ("type", "sys_container")];
    assert_point(
        batch,
        Series::CpuUsage,
        &kubelet,
        2_525_913_000,
        1_762_283_722_000,
    );
    assert_point(
        batch,
        Series::WorkingSet,
        &kubelet,
        44_658_688,
        1_762_283_722_000,
    );
    assert_point(batch, Series::Uptime, &kubelet, 94_000, 1_762_283_722_000);
    let node = [("type", "node"), ("resource_id", "")];
    assert_point(
        batch,
        Series::NetworkRx,
        &node,
        586_088_171,
        1_762_283_730_000,
    );
    let root = [("type", "node"), ("resource_id", "/")];
    assert_point(
        batch,
        Series::FilesystemUsage,
        &root,
        35_415_257_088,
        1_762_283_730_000,
    );
    assert_point(
        batch,
        Series::FilesystemLimit,
        &root,
        1_081_100_128_256,
        1_762_283_730_000,
    );
}

#[test]
fn kubernetes_1_34_is_mapped_from_both_payloads() {
    let Some((mapped, images)) =
        map_version("kubernetes_1_34_is_mapped_from_both_payloads", "1.34")
    else {
        return;
    };
    assert_containers(
        &mapped.batch,
        "datagen-1-34",
        &[
            Expected {
                pod: "kindnet-zqk2n",
                uid: "c573a764-ebd5-4d94-ae1d-b123dbb0b4e8",
                container: "kindnet-cni",
                time_ms: 1_768_329_618_307,
                uptime_ms: 127_307,
                cpu_ns: 120_747_000,
                usage: 12_156_928,
                working_set: 12_152_832,
                faults: 5_233,
                major_faults: 0,
                memory_limit: Some(52_428_800),
                written: Some(4_096),
                pressure_cpu_ns: Some((249_409_000, 247_721_000)),
            },
            Expected {
                pod: "coredns-66bc5c9577-d98t2",
                uid: "d765336d-6173-4caa-997f-8c63f9ae32aa",
                container: "coredns",
                time_ms: 1_768_329_613_937,
                uptime_ms: 111_937,
                cpu_ns: 182_007_000,
                usage: 17_866_752,
                working_set: 17_866_752,
                faults: 3_323,
                major_faults: 0,
                memory_limit: Some(178_257_920),
                written: None,
                pressure_cpu_ns: Some((2_563_000, 2_372_000)),
            },
            Expected {
                pod: "etcd-datagen-1-34",
                uid: "278a74e9e7cfce1c035bb1b05e391008",
                container: "etcd",
                time_ms: 1_768_329_610_790,
                uptime_ms: 130_790,
                cpu_ns: 2_719_646_000,
                usage: 41_926_656,
                working_set: 38_391_808,
                faults: 5_005,
                major_faults: 0,
                memory_limit: None,
                written: Some(11_862_016),
                pressure_cpu_ns: Some((243_231_000, 234_986_000)),
            },
        ],
    );
    let batch = &mapped.batch;
    let node = [("type", "node"), ("resource_id", "")];
    assert_point(
        batch,
        Series::CpuUsage,
        &node,
        63_349_226_000,
        1_768_329_614_523,
    );
    assert_point(
        batch,
        Series::WorkingSet,
        &node,
        898_445_312,
        1_768_329_614_523,
    );
    assert_point(
        batch,
        Series::MemoryLimit,
        &node,
        16_749_006_848,
        1_768_329_614_523,
    );
    assert_point(batch, Series::Uptime, &node, 141_523, 1_768_329_614_523);
    assert_point(
        batch,
        Series::NetworkRx,
        &node,
        419_643_509,
        1_768_329_614_000,
    );
    // The Kubelet's stall is 147,378 µs.
    let kubelet = [("container_name", "kubelet")];
    assert_point(
        batch,
        Series::PressureCpuSome,
        &kubelet,
        147_378_000,
        1_768_329_605_000,
    );
    // What comes from the summary has the image that only `/metrics/cadvisor` knows.
    let image = "registry.k8s.io/coredns/coredns:v1.12.1";
    assert_eq!(
        images.image("kube-system", "coredns-66bc5c9577-d98t2", "coredns"),
        image
    );
    let rootfs = [
        ("container_name", "coredns"),
        ("container_base_image", image),
        ("resource_id", "/"),
    ];
    assert_point(
        batch,
        Series::FilesystemUsage,
        &rootfs,
        36_864,
        1_768_329_616_000,
    );
    let volume = [
        ("pod_name", "coredns-66bc5c9577-d98t2"),
        ("resource_id", "Volume:config-volume"),
    ];
    assert_point(
        batch,
        Series::FilesystemUsage,
        &volume,
        12_288,
        1_768_329_544_000,
    );
    let requests = [("container_name", "coredns"), ("resource_id", "")];
    assert_point(batch, Series::CpuRequest, &requests, 100, 1_800_000_000_000);
    assert_point(
        batch,
        Series::MemoryRequest,
        &requests,
        73_400_320,
        1_800_000_000_000,
    );
}

#[test]
fn kubernetes_1_35_is_mapped_from_both_payloads() {
    let Some((mapped, _)) = map_version("kubernetes_1_35_is_mapped_from_both_payloads", "1.35")
    else {
        return;
    };
    assert_containers(
        &mapped.batch,
        "datagen-1-35",
        &[
            Expected {
                pod: "kindnet-zkpn8",
                uid: "ebb73de1-03ec-4c34-bda3-bb8a44f01c2b",
                container: "kindnet-cni",
                time_ms: 1_782_468_880_155,
                uptime_ms: 131_155,
                cpu_ns: 128_632_000,
                usage: 13_959_168,
                working_set: 13_955_072,
                faults: 5_079,
                major_faults: 0,
                memory_limit: Some(52_428_800),
                written: Some(4_096),
                pressure_cpu_ns: Some((266_071_000, 265_052_000)),
            },
            Expected {
                pod: "coredns-7d764666f9-qdcxt",
                uid: "36447428-81f8-45eb-b825-414de2e8012b",
                container: "coredns",
                time_ms: 1_782_468_872_783,
                uptime_ms: 112_783,
                cpu_ns: 165_531_000,
                usage: 16_257_024,
                working_set: 16_232_448,
                faults: 3_431,
                major_faults: 0,
                memory_limit: Some(178_257_920),
                written: None,
                pressure_cpu_ns: Some((1_977_000, 1_967_000)),
            },
            Expected {
                pod: "etcd-datagen-1-35",
                uid: "eaf7d48161d81d9c3359e1c008571fd6",
                container: "etcd",
                time_ms: 1_782_468_870_634,
                uptime_ms: 140_634,
                cpu_ns: 2_628_368_000,
                usage: 47_861_760,
                working_set: 44_290_048,
                faults: 4_833,
                major_faults: 0,
                memory_limit: None,
                written: Some(12_185_600),
                pressure_cpu_ns: Some((136_001_000, 134_167_000)),
            },
        ],
    );
    let batch = &mapped.batch;
    let pod = [
        ("pod_name", "coredns-7d764666f9-qdcxt"),
        ("type", "pod"),
        ("resource_id", ""),
    ];
    assert_point(batch, Series::NetworkRx, &pod, 49_637, 1_782_468_868_000);
    assert_point(batch, Series::NetworkTx, &pod, 21_189, 1_782_468_868_000);
    // A pod in the node's network has no counters of its own.
    for shares in ["etcd-datagen-1-35", "kindnet-zkpn8"] {
        assert_eq!(
            points(batch, Series::NetworkRx, &[("pod_name", shares)]),
            []
        );
    }
}

#[test]
fn pods_that_share_the_nodes_network_are_known_only_by_the_list_of_pods() {
    let summary =
        br#"{"node":{"nodeName":"n"},"pods":[{"podRef":{"name":"p","namespace":"d","uid":"u"},
        "containers":null,"network":{"time":"2026-01-01T00:00:00Z","interfaces":[
        {"name":"eth0","rxBytes":5,"txBytes":7},{"name":"eth1","rxBytes":1}]}}]}"#;
    let summary = Summary::parse(summary).unwrap();
    let pods =
        br#"{"items":[{"metadata":{"name":"p","namespace":"d"},"spec":{"hostNetwork":true}}]}"#;
    let pods = PodList::parse(pods).unwrap();
    let place = place("n");
    let options = Options {
        place: &place,
        label_tags: &[],
        wanted: SeriesSet::ALL,
        now: NOW,
        pages: Pages::Full,
    };
    for (pods, expected) in [(None, &[(6, 1_767_225_600_000)][..]), (Some(&pods), &[])] {
        let payloads = Payloads {
            summary: Some(&summary),
            cadvisor: None,
            pods,
        };
        let (mapped, _) = map(payloads, options, &mut Images::default());
        let rx = points(&mapped.batch, Series::NetworkRx, &[("type", "pod")]);
        assert_eq!(rx, expected);
    }
}

#[test]
fn a_summary_without_its_parts_is_no_error() {
    for body in [
        r#"{"node":{"nodeName":"n"},"pods":null}"#,
        r#"{"node":{"nodeName":"n","cpu":null,"fs":{"time":"x","usedBytes":1}}}"#,
        r#"{"node":{"nodeName":"n","network":{"name":""}},"pods":[{"podRef":{"name":"p","namespace":"d"}}]}"#,
    ] {
        let summary = Summary::parse(body.as_bytes()).unwrap();
        let place = place("n");
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
            pages: Pages::Full,
        };
        let (mapped, _) = map(payloads, options, &mut Images::default());
        assert!(mapped.batch.is_empty(), "{body}");
    }
    assert!(Summary::parse(b"{}").is_err());
}
