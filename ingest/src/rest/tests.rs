//! Expectations read in the captures by eye.

use plimsoll_engine::FieldValue;

use super::*;
use crate::cadvisor::Source;
use crate::choice::SeriesSet;
use crate::names::Place;
use crate::test_data;

/// A parser of one version of the interface.
type Map = fn(&[u8], Options<'_>) -> Result<(Mapped, Parsed), serde_json::Error>;

fn mapped(body: &str, map: Map) -> Mapped {
    let place = Place {
        cluster_name: "default".to_owned(),
        nodename: "n1".to_owned(),
        hostname: "n1".to_owned(),
    };
    let options = Options {
        source: Source::Standalone,
        place: &place,
        label_tags: &["vendor".to_owned()],
        wanted: SeriesSet::ALL,
        now: Timestamp(0),
    };
    map(body.as_bytes(), options).unwrap().0
}

/// `series resource value@ms` of the rows whose `container_name` is `name`.
fn shown(mapped: &Mapped, name: &str) -> Vec<String> {
    let batch = &mapped.batch;
    let mut lines: Vec<String> = batch
        .points()
        .filter_map(|point| {
            let tags = &batch.tag_sets()[point.tag_set as usize];
            let of = tags
                .value("container_name")
                .or_else(|| tags.value("pod_name"));
            if of.as_deref() != Some(name) {
                return None;
            }
            let FieldValue::Integer(value) = point.fields[0].1 else {
                panic!("all are integers");
            };
            Some(format!(
                "{}{} {value}@{}",
                batch.names()[point.measurement as usize],
                tags.value("resource_id")
                    .map(|id| format!(" {id}"))
                    .unwrap_or_default(),
                point.time.0 / 1_000_000
            ))
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_docker_container_of_version_1_is_read_whole() {
    let test = "a_docker_container_of_version_1_is_read_whole";
    let Some(texts) = test_data::payloads(test, &["cadvisor/api_v1_docker_2018.json"]) else {
        return;
    };
    let mapped = mapped(&texts[0].1, map_v1);
    let lines = shown(&mapped, "open-falcon-dashboard");
    // The later of two, 2018-06-06T05:24:47.917…Z; created 2018-06-05T02:58:49.098…Z, 95,158.819 s
    // before.
    for expected in [
        "cpu/load_gauge 0@1528262687917",
        "cpu/usage_ns_cumulative 486456528724@1528262687917",
        "disk/io_read_bytes_cumulative 253:0 27480064@1528262687917",
        "memory/cache_bytes_gauge 27828224@1528262687917",
        "memory/major_page_faults_cumulative 54@1528262687917",
        "memory/page_faults_gauge 26634@1528262687917",
        "memory/working_set_bytes_gauge 47841280@1528262687917",
        "network/rx_bytes_cumulative 1319803308@1528262687917",
        "uptime_ms_cumulative 95158819@1528262687917",
    ] {
        assert!(
            lines.contains(&expected.to_owned()),
            "{expected} in {lines:#?}"
        );
    }
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("limit_bytes_gauge 92"))
    );
    assert!(
        !lines.iter().any(|line| line.starts_with("memory/limit")),
        "no limit is absent"
    );
    let tags = &mapped.batch.tag_sets()[0];
    assert_eq!(tags.value("vendor").as_deref(), Some("CentOS"));
    assert_eq!(tags.value("build-date"), None);
}

#[test]
fn of_several_stats_the_last_counts() {
    let test = "of_several_stats_the_last_counts";
    let file = "cadvisor/api_v1_kubelet_system_2016.json";
    let Some(texts) = test_data::payloads(test, &[file]) else {
        return;
    };
    let lines = shown(&mapped(&texts[0].1, map_v1), "system");
    let expected = "cpu/usage_ns_cumulative 9192107007848@1466179584750";
    assert!(lines.contains(&expected.to_owned()), "{lines:#?}");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.starts_with("cpu/usage"))
            .count(),
        1
    );
    assert!(!lines.iter().any(|line| line.starts_with("memory/limit")));
}

#[test]
fn version_2_gives_pods_their_network_and_drops_slices() {
    let stat = r#""stats":[{"timestamp":"1970-01-01T00:00:02Z","cpu":{"usage":{"total":5},
        "psi":{"some":{"total":3}}},"network":{"interfaces":[{"rx_bytes":1},{"rx_bytes":2}]},
        "filesystem":{"totalUsageBytes":9}}]"#;
    let kube = |name: &str| {
        format!(
            r#"{{"spec":{{"creation_time":"1970-01-01T00:00:01Z","cpu":{{"quota":50000,"period":100000}},
            "labels":{{"io.kubernetes.pod.name":"p","io.kubernetes.pod.namespace":"d",
            "io.kubernetes.pod.uid":"u","io.kubernetes.container.name":"{name}"}}}},{stat}}}"#
        )
    };
    let body = format!(
        r#"{{"/":{{"spec":{{}},{stat}}},"/kubepods/c":{},"/kubepods/pause":{},
        "/kubepods":{{"spec":{{}},{stat}}},"/gone":{{"spec":{{}},"stats":null}}}}"#,
        kube("c"),
        kube("POD")
    );
    let mapped = mapped(&body, map_v2);
    assert_eq!(
        shown(&mapped, "c"),
        [
            "cpu/limit_gauge 500@2000",
            "cpu/usage_ns_cumulative 5@2000",
            "filesystem/usage / 9@2000",
            "network/rx_bytes_cumulative 3@2000",
            "pressure/cpu_some_ns_cumulative 3000@2000",
            "uptime_ms_cumulative 1000@2000",
        ]
    );
    assert_eq!(shown(&mapped, "p"), ["network/rx_bytes_cumulative 3@2000"]);
    assert_eq!(mapped.dropped["slice"], 1);
    assert_eq!(mapped.dropped["no stat with a time"], 1);
}

/// What cAdvisor 0.36 answered on both pages within a moment, about a cgroup with one busy process.
#[test]
fn a_real_cadvisor_says_the_same_in_both_versions() {
    let v1 = include_str!("testdata/cadvisor-0.36-v1.3-subcontainers.json");
    let v2 = include_str!("testdata/cadvisor-0.36-v2.1-stats.json");
    let name = "plimsoll-peer-a";
    let lines = shown(&mapped(v2, map_v2), name);
    assert_eq!(lines, shown(&mapped(v1, map_v1), name));
    let at = 1_795_689_967_492_u64;
    let expected = [
        ("cpu/load_gauge", 0),
        ("cpu/usage_ns_cumulative", 5_866_900_741_u64),
        ("memory/cache_bytes_gauge", 0),
        ("memory/major_page_faults_cumulative", 0),
        ("memory/page_faults_gauge", 0),
        ("memory/rss_bytes_gauge", 0),
        ("memory/swap_bytes_gauge", 0),
        ("memory/usage_bytes_gauge", 0),
        ("memory/working_set_bytes_gauge", 0),
        ("uptime_ms_cumulative", 9465),
    ];
    assert_eq!(
        lines,
        expected.map(|(name, value)| format!("{name} {value}@{at}"))
    );
}

#[test]
fn what_is_no_page_is_an_error() {
    for body in ["", "[1]", "<html>", "3"] {
        let place = Place {
            cluster_name: String::new(),
            nodename: String::new(),
            hostname: String::new(),
        };
        let options = Options {
            source: Source::Standalone,
            place: &place,
            label_tags: &[],
            wanted: SeriesSet::ALL,
            now: Timestamp(0),
        };
        assert!(map_v1(body.as_bytes(), options).is_err(), "{body}");
        assert!(map_v2(body.as_bytes(), options).is_err(), "{body}");
    }
}
