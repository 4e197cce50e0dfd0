//! Expectations worked out by hand; the payloads of real Kubelets where they lie beside the
//! checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_engine::{Batch, FieldValue, Timestamp};

use super::{Aliases, ClusterSums, Naming, NodeAmounts, Profile, Shaper};
use crate::cadvisor::Images;
use crate::choice::SeriesSet;
use crate::kubelet::{self, Options, Pages, Payloads, PodList, Summary};
use crate::names::{Place, Pod, Series, Subject, Writer};
use crate::test_data;

const SECOND: i64 = 1_000_000_000;

fn place() -> Place {
    Place {
        cluster_name: "default".to_owned(),
        nodename: "n1".to_owned(),
        hostname: "n1".to_owned(),
    }
}

const POD: Pod<'_> = Pod {
    namespace: "shop",
    name: "web-1",
    uid: "u-1",
};

fn container(name: &str) -> Subject<'_> {
    Subject::PodContainer {
        pod: POD,
        name,
        image: "nginx:1",
    }
}

fn naming(profile: Profile, aliases: Aliases) -> Arc<Naming> {
    Arc::new(Naming {
        profile,
        aliases,
        ..Naming::default()
    })
}

fn batch(values: &[(Series, Subject<'_>, &str, i64, i64)]) -> Batch {
    let mut writer = Writer::new();
    for (series, subject, resource, seconds, value) in values {
        let tags = place().tags(*subject, &[("resource_id", resource)]);
        let tag_set = writer.tag_set(&tags);
        writer.value(*series, tag_set, Timestamp(seconds * SECOND), *value);
    }
    writer.finish()
}

/// `measurement.field tags value@seconds`, sorted, with the tags that tell rows apart.
fn shown(batch: &Batch) -> Vec<String> {
    let mut lines: Vec<String> = batch
        .points()
        .map(|point| {
            let tags = &batch.tag_sets()[point.tag_set as usize];
            let of: Vec<String> = ["type", "container_name", "resource_id"]
                .iter()
                .filter_map(|key| Some(tags.value(key)?.into_owned()))
                .collect();
            let (field, value) = &point.fields[0];
            let value = match value {
                FieldValue::Integer(value) => format!("{value}i"),
                FieldValue::Float(value) => format!("{value}"),
                other => panic!("{other:?}"),
            };
            format!(
                "{}.{} {} {value}@{}",
                batch.names()[point.measurement as usize],
                batch.names()[*field as usize],
                of.join(","),
                point.time.0 / SECOND
            )
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn every_series_has_one_name_in_each_profile() {
    for profile in [
        Profile::Classic,
        Profile::HeapsterV1,
        Profile::HeapsterV1Fields,
    ] {
        let names: BTreeSet<_> = Series::ALL
            .iter()
            .map(|series| profile.names(*series))
            .collect();
        assert_eq!(names.len(), Series::ALL.len(), "{profile}");
        assert_eq!(profile.to_string().parse(), Ok(profile));
    }
    assert_eq!(
        Profile::HeapsterV1Fields.names(Series::CpuUsageRate),
        ("cpu", "usage_rate")
    );
    assert_eq!(
        Profile::HeapsterV1Fields.names(Series::Uptime),
        ("uptime", "value")
    );
    assert!("v1".parse::<Profile>().is_err());
}

#[test]
fn rates_and_sums_of_pods_nodes_namespaces_and_the_cluster_are_computed() {
    let mut shaper = Shaper::new(naming(Profile::HeapsterV1, Aliases::None));
    let (node, web, side) = (Subject::Node, container("web"), container("side"));
    shaper.take_node(
        NodeAmounts {
            cpu_millis: Some(4_000.0),
            ..NodeAmounts::default()
        },
        NodeAmounts {
            cpu_millis: Some(2_000.0),
            ..NodeAmounts::default()
        },
    );
    let first = batch(&[
        (Series::CpuUsage, node, "", 10, 0),
        (Series::MemoryLimit, node, "", 10, 1_000),
        (Series::CpuUsage, web, "", 10, 5 * SECOND),
        (Series::CpuUsage, side, "", 10, SECOND),
    ]);
    let shaped = shaper.shape(first, Timestamp(10 * SECOND));
    assert_eq!(
        shown(&shaped.batch),
        [
            "cpu/node_allocatable.value node,machine 2000@10",
            "cpu/node_capacity.value node,machine 4000@10",
            "cpu/usage.value node,machine 0i@10",
            "cpu/usage.value pod_container,side 1000000000i@10",
            "cpu/usage.value pod_container,web 5000000000i@10",
            "memory/node_capacity.value node,machine 1000@10",
        ],
        "no rate yet"
    );
    let second = batch(&[
        (Series::CpuUsage, node, "", 20, 10 * SECOND),
        (Series::WorkingSet, node, "", 20, 500),
        (Series::MemoryLimit, node, "", 20, 1_000),
        (Series::CpuUsage, web, "", 20, 10 * SECOND),
        (Series::CpuLimit, web, "", 20, 250),
        (Series::MemoryUsage, web, "", 20, 70),
        (Series::MemoryRequest, web, "", 20, 100),
        // It restarted.
        (Series::CpuUsage, side, "", 21, 7),
        (Series::MemoryUsage, side, "", 21, 30),
        (Series::DiskRead, web, "/dev/vda", 20, 100),
        (Series::DiskRead, web, "/dev/vdb", 20, 100),
    ]);
    let shaped = shaper.shape(second, Timestamp(22 * SECOND));
    let lines = shown(&shaped.batch);
    let computed: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.contains("rate") || line.contains("node_") || line.contains(" pod "))
        .collect();
    assert_eq!(
        computed,
        [
            "cpu/limit.value pod 250i@20",
            "cpu/node_allocatable.value node,machine 2000@22",
            "cpu/node_capacity.value node,machine 4000@22",
            "cpu/node_utilization.value node,machine 0.5@22",
            "cpu/usage_rate.value node,machine 1000i@20",
            "cpu/usage_rate.value pod 500i@20",
            "cpu/usage_rate.value pod_container,web 500i@20",
            "memory/node_capacity.value node,machine 1000@22",
            "memory/node_reservation.value node,machine 0.1@22",
            "memory/node_utilization.value node,machine 0.5@22",
            "memory/request.value pod 100i@20",
            "memory/usage.value pod 100i@21",
        ]
    );
    // A node's limit is its pods'.
    assert!(lines.contains(&"cpu/limit.value node,machine 250i@20".to_owned()));
    assert!(!lines.iter().any(|line| line.starts_with("memory/limit")));

    let mut cluster = ClusterSums::default();
    cluster.put("n1", Timestamp(22 * SECOND), shaped.namespaces.clone());
    cluster.put("n2", Timestamp(22 * SECOND), shaped.namespaces);
    let now = Timestamp(30 * SECOND);
    let rows = cluster.rows(
        now,
        60 * SECOND,
        &naming(Profile::HeapsterV1, Aliases::None),
        "default",
    );
    assert_eq!(
        shown(&rows),
        [
            "cpu/limit.value cluster 500i@30",
            "cpu/limit.value ns 500i@30",
            "cpu/usage_rate.value cluster 1000i@30",
            "cpu/usage_rate.value ns 1000i@30",
            "memory/request.value cluster 200i@30",
            "memory/request.value ns 200i@30",
            "memory/usage.value cluster 200i@30",
            "memory/usage.value ns 200i@30",
        ]
    );
    // Nodes that are gone take their pods with them.
    let later = Timestamp(100 * SECOND);
    let rows = cluster.rows(
        later,
        60 * SECOND,
        &naming(Profile::HeapsterV1, Aliases::None),
        "default",
    );
    assert!(rows.is_empty() && cluster.is_empty());
}

#[test]
fn disks_have_rates_of_their_own_and_fields_share_a_measurement() {
    let mut shaper = Shaper::new(naming(Profile::HeapsterV1Fields, Aliases::None));
    for (seconds, value) in [(10, 0), (20, 100)] {
        let scrape = batch(&[
            (
                Series::DiskRead,
                container("web"),
                "/dev/vda",
                seconds,
                value,
            ),
            (
                Series::DiskRead,
                container("web"),
                "/dev/vdb",
                seconds,
                value * 2,
            ),
        ]);
        let lines = shown(&shaper.shape(scrape, Timestamp(seconds * SECOND)).batch);
        if seconds == 20 {
            assert_eq!(
                lines,
                [
                    "disk.io_read_bytes pod_container,web,/dev/vda 100i@20",
                    "disk.io_read_bytes pod_container,web,/dev/vdb 200i@20",
                    "disk.io_read_bytes_rate pod_container,web,/dev/vda 10@20",
                    "disk.io_read_bytes_rate pod_container,web,/dev/vdb 20@20",
                ]
            );
        }
    }
}

#[test]
fn labels_and_aliases_stand_on_the_rows_of_pods_alone() {
    let mut shaper = Shaper::new(naming(Profile::Classic, Aliases::HeapsterV0));
    let pods = r#"{"items":[{"metadata":{"name":"web-1","namespace":"shop","uid":"u-1",
        "labels":{"tier":"front","app":"shop","type":"x"}},"spec":{}}]}"#;
    shaper.take_pods(&PodList::parse(pods.as_bytes()).unwrap());
    let points = batch(&[
        (Series::FilesystemUsage, Subject::Pod(POD), "Volume:a", 1, 5),
        (Series::FilesystemUsage, Subject::Node, "/", 1, 6),
    ]);
    let shaped = shaper.shape(points, Timestamp(SECOND)).batch;
    assert_eq!(
        shown(&shaped),
        [
            "filesystem/usage.value node,machine,/ 6i@1",
            "filesystem/usage.value pod,Volume:a 5i@1",
            "filesystem/usage_bytes_gauge.value node,machine,/ 6i@1",
            "filesystem/usage_bytes_gauge.value pod,Volume:a 5i@1",
        ]
    );
    assert_eq!(
        shaped.tag_sets()[0].as_str(),
        "cluster_name=default,labels=app:shop\\,tier:front\\,type:x,namespace_name=shop,\
         nodename=n1,pod_id=u-1,pod_name=web-1,pod_namespace=shop,resource_id=Volume:a,type=pod"
    );
    assert_eq!(shaped.tag_sets()[1].value("pod_namespace"), None);
}

/// A real Kubelet's payloads, mapped and shaped.
fn real(test: &str, version: &str, naming: Arc<Naming>) -> Option<(Batch, super::NamespaceSums)> {
    let names = ["metrics-cadvisor", "stats-summary", "pods"]
        .map(|part| format!("kubelet/k8s-{version}-{part}"));
    let texts = test_data::payloads(test, &[&names[0], &names[1], &names[2]])?;
    let summary = Summary::parse(texts[1].1.as_bytes()).unwrap();
    let pods = PodList::parse(texts[2].1.as_bytes()).unwrap();
    // The payload's own hour: ages are looked at.
    let now: jiff::Timestamp = summary.node.time().parse().unwrap();
    let now = Timestamp(i64::try_from(now.as_nanosecond()).unwrap() + 30 * SECOND);
    let mut shaper = Shaper::new(naming);
    shaper.take_pods(&pods);
    let (mapped, _) = kubelet::map(
        Payloads {
            summary: Some(&summary),
            cadvisor: Some(&texts[0].1),
            pods: Some(&pods),
        },
        Options {
            place: &place(),
            label_tags: &[],
            wanted: SeriesSet::ALL,
            now,
            pages: Pages::Full,
        },
        &mut Images::default(),
    );
    let shaped = shaper.shape(mapped.batch, now);
    Some((shaped.batch, shaped.namespaces))
}

#[test]
fn a_real_kubelets_pods_sum_up() {
    let test = "a_real_kubelets_pods_sum_up";
    let naming = naming(Profile::HeapsterV1, Aliases::None);
    let Some((batch, namespaces)) = real(test, "1.35", naming) else {
        return;
    };
    // Requests of the running pods in /pods, added by hand: kube-system 100+100+100+100+200+250+100
    // millicores; scraper 200+40+40+40+40+5+40... of those that run.
    let kube_system = &namespaces["kube-system"];
    assert_eq!(kube_system[&Series::CpuRequest], 950);
    assert_eq!(kube_system[&Series::CpuLimit], 100);
    let mebi = 1 << 20;
    assert_eq!(
        kube_system[&Series::MemoryRequest],
        (200 + 50 + 100 + 70) * mebi
    );
    assert_eq!(kube_system[&Series::MemoryLimit], (50 + 170) * mebi);
    let mut containers: BTreeMap<String, i64> = BTreeMap::new();
    let mut pods: BTreeMap<String, i64> = BTreeMap::new();
    for point in batch.points() {
        let tags = &batch.tag_sets()[point.tag_set as usize];
        if &*batch.names()[point.measurement as usize] != "memory/working_set" {
            continue;
        }
        let FieldValue::Integer(value) = point.fields[0].1 else {
            panic!("a gauge is an integer");
        };
        let Some(pod) = tags.value("pod_name") else {
            continue;
        };
        let labels = tags.value("labels").unwrap_or_default().into_owned();
        assert!(labels.contains(':'), "{tags}");
        let of = match &*tags.value("type").unwrap() {
            "pod" => &mut pods,
            "pod_container" => &mut containers,
            other => panic!("{other}"),
        };
        *of.entry(pod.into_owned()).or_default() += value;
    }
    assert!(pods.len() > 10);
    assert_eq!(pods, containers);
    assert_eq!(
        pods.values().sum::<i64>(),
        namespaces
            .values()
            .map(|sums| sums[&Series::WorkingSet])
            .sum::<i64>()
    );
}

#[test]
fn no_series_stands_twice_in_any_profile() {
    let test = "no_series_stands_twice_in_any_profile";
    for version in ["1.31", "1.34", "1.35"] {
        for profile in [Profile::Classic, Profile::HeapsterV1] {
            let naming = naming(profile, Aliases::None);
            let Some((batch, _)) = real(test, version, naming) else {
                return;
            };
            let mut seen = std::collections::HashSet::new();
            for point in batch.points() {
                let measurement = &batch.names()[point.measurement as usize];
                let tags = &batch.tag_sets()[point.tag_set as usize];
                assert!(seen.insert((measurement, tags)), "{measurement} {tags}");
            }
        }
    }
}
