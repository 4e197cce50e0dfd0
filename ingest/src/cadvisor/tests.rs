use plimsoll_engine::{Batch, FieldValue, Timestamp};

use super::{Images, Options, Source, map};
use crate::choice::SeriesSet;
use crate::names::{Mapped, Place, Series};
use crate::test_data;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

fn map_standalone(text: &str, label_tags: &[&str]) -> Mapped {
    let place = Place {
        cluster_name: "default".to_owned(),
        nodename: "h".to_owned(),
        hostname: "h".to_owned(),
    };
    let label_tags: Vec<String> = label_tags.iter().map(|tag| (*tag).to_owned()).collect();
    let options = Options {
        source: Source::Standalone,
        place: &place,
        label_tags: &label_tags,
        wanted: SeriesSet::ALL,
        now: NOW,
    };
    let (mapped, parsed) = map(text, options, &mut Images::default());
    assert_eq!(parsed.error, None);
    assert_eq!(
        mapped.kept + mapped.dropped.values().sum::<usize>(),
        parsed.samples,
        "{:?}",
        mapped.dropped
    );
    mapped
}

/// `series tags value time in ms` of every point.
fn shown(batch: &Batch) -> Vec<String> {
    batch
        .points()
        .map(|point| {
            let FieldValue::Integer(value) = point.fields[0].1 else {
                panic!("classic series are integers");
            };
            format!(
                "{} {} {value} {}",
                batch.names()[point.measurement as usize],
                batch.tag_sets()[point.tag_set as usize],
                point.time.0 / 1_000_000
            )
        })
        .collect()
}

/// The shape of a cAdvisor on a Docker host: every series padded with the union of all labels.
fn docker_host() -> String {
    let pad = |labels: &str, app: &str| {
        format!(
            "container_label_com_docker_compose_service=\"{app}\",container_label_maintainer=\"\",{labels}"
        )
    };
    let mut text = String::new();
    for (id, name, image, app, cpu, memory) in [
        ("/", "", "", "", 9.0, 900),
        ("/docker", "", "", "", 3.0, 300),
        (
            &format!("/docker/{ID}"),
            "web",
            "nginx:1",
            "front",
            1.25,
            100,
        ),
        (&format!("/docker/{ID}/init.scope"), "", "", "", 0.25, 10),
        ("/system.slice", "", "", "", 2.0, 200),
        ("/system.slice/ssh.service", "", "", "", 0.5, 50),
    ] {
        let labels = pad(
            &format!("id=\"{id}\",image=\"{image}\",name=\"{name}\""),
            app,
        );
        text +=
            &format!("container_cpu_usage_seconds_total{{cpu=\"cpu00\",{labels}}} {cpu} 1000\n");
        text +=
            &format!("container_cpu_usage_seconds_total{{cpu=\"cpu01\",{labels}}} {cpu} 1000\n");
        text += &format!("container_memory_usage_bytes{{{labels}}} {memory} 1000\n");
        text += &format!("container_start_time_seconds{{{labels}}} 0.25\n");
        text += &format!("container_spec_memory_limit_bytes{{{labels}}} 9.223372036854772e+18\n");
    }
    text
}

#[test]
fn a_docker_hosts_leaves_are_rows_and_its_slices_are_not() {
    let mapped = map_standalone(&docker_host(), &["com.docker.compose.service"]);
    let node = "cluster_name=default,container_name=machine,hostname=h,nodename=h,type=node";
    let web = format!(
        "cluster_name=default,com.docker.compose.service=front,container_base_image=nginx:1,container_id={ID},container_name=web,hostname=h,nodename=h,type=sys_container"
    );
    let ssh =
        "cluster_name=default,container_name=ssh.service,hostname=h,nodename=h,type=sys_container";
    let mut expected = Vec::new();
    for (tags, cpu, memory) in [
        (node, 18_000_000_000_i64, 900),
        (&web, 2_500_000_000, 100),
        (ssh, 1_000_000_000, 50),
    ] {
        expected.push(format!("cpu/usage_ns_cumulative {tags} {cpu} 1000"));
        expected.push(format!("memory/usage_bytes_gauge {tags} {memory} 1000"));
        expected.push(format!("uptime_ms_cumulative {tags} 750 1000"));
    }
    assert_eq!(shown(&mapped.batch), expected);
    assert_eq!(mapped.dropped["slice"], 15);
}

#[test]
fn a_cadvisor_on_a_kubernetes_node_knows_pods_by_their_labels() {
    let labels = |container: &str| {
        format!(
            "id=\"/kubepods/pod16db8d0d-9838-46bc-a4d1-8abc88c3850d/{container}\",name=\"k8s_{container}\",\
             container_label_io_kubernetes_pod_name=\"p\",container_label_io_kubernetes_pod_namespace=\"ns\",\
             container_label_io_kubernetes_container_name=\"{container}\""
        )
    };
    let text = format!(
        "container_memory_usage_bytes{{{}}} 5 1000\n\
         container_network_receive_bytes_total{{interface=\"eth0\",{}}} 7 1000\n\
         container_network_receive_bytes_total{{interface=\"eth1\",{}}} 8 1000\n",
        labels("c"),
        labels("POD"),
        labels("POD")
    );
    let pod = "namespace_name=ns,nodename=h,pod_id=16db8d0d-9838-46bc-a4d1-8abc88c3850d,pod_name=p";
    assert_eq!(
        shown(&map_standalone(&text, &[]).batch),
        [
            format!(
                "memory/usage_bytes_gauge cluster_name=default,container_name=c,{pod},type=pod_container 5 1000"
            ),
            format!("network/rx_bytes_cumulative cluster_name=default,{pod},type=pod 15 1000"),
        ]
    );
}

#[test]
fn names_of_before_1_16_and_values_that_are_none_are_understood() {
    let text = "container_memory_rss{id=\"/k/c\",pod_name=\"p\",namespace=\"n\",container_name=\"c\"} 4\n\
                container_memory_rss{id=\"/k/p\",pod_name=\"p\",namespace=\"n\",container_name=\"POD\"} 3\n\
                container_memory_cache{id=\"/k/c\",pod_name=\"p\",namespace=\"n\",container_name=\"c\"} NaN\n\
                container_memory_swap{name=\"x\"} 1\n";
    let mapped = map_standalone(text, &[]);
    assert_eq!(
        shown(&mapped.batch),
        [
            "memory/rss_bytes_gauge cluster_name=default,container_name=c,namespace_name=n,nodename=h,pod_name=p,type=pod_container 4 1700000000000"
        ]
    );
    assert_eq!(
        Vec::from_iter(mapped.dropped),
        [
            ("no cgroup", 1),
            ("not a number", 1),
            ("pause container", 1)
        ]
    );
}

#[test]
fn file_systems_in_memory_are_no_devices() {
    let row =
        |device: &str| format!("container_fs_usage_bytes{{device=\"{device}\",id=\"/\"}} 1 1000\n");
    let devices = [
        "/dev/vda1",
        "/dev/mapper/root",
        "pool/data",
        "nas:/export",
        "tmpfs",
        "shm",
        "/run",
        "/dev/shm",
        "/dev",
        "overlay_0-63",
        "rootfs",
        "/var/lib/kubelet/pods/x",
    ];
    let text: String = devices.iter().map(|device| row(device)).collect();
    let mapped = map_standalone(&text, &[]);
    assert_eq!((mapped.kept, mapped.dropped["pseudo file system"]), (4, 8));
}

#[test]
fn cadvisors_own_example_is_mapped_by_hand_computed_values() {
    let test = "cadvisors_own_example_is_mapped_by_hand_computed_values";
    let name = "cadvisor/prometheus_metrics.prom";
    let Some(texts) = test_data::payloads(test, &[name]) else {
        return;
    };
    let mapped = map_standalone(&texts[0].1, &["foo.label"]);
    let shown = shown(&mapped.batch);
    let (before, after) = (
        "cluster_name=default,container_base_image=test,container_name=testcontaineralias,foo.label=bar,hostname=h,nodename=h",
        "type=sys_container",
    );
    for (series, resource, value) in [
        // 2 + 3 + 4 + 5 ns.
        (Series::CpuUsage, "", 14_i64),
        (Series::MemoryUsage, "", 8),
        (Series::WorkingSet, "", 9),
        (Series::MemoryRss, "", 15),
        (Series::MemoryCache, "", 14),
        (Series::MemorySwap, "", 8_192),
        (Series::PageFaults, "", 10),
        (Series::MajorPageFaults, "", 11),
        (Series::NetworkRx, "", 14),
        (Series::NetworkRxErrors, "", 16),
        (Series::NetworkTx, "", 18),
        (Series::NetworkTxErrors, "", 20),
        (Series::CpuThrottled, "", 1_724_314_000),
        (Series::CpuThrottledPeriods, "", 18),
        (Series::CpuPeriods, "", 723),
        (Series::CpuLoad, "", 2),
        // 10,000 of 100,000 µs.
        (Series::CpuLimit, "", 100),
        // 1395066363 - 1257895000 s.
        (Series::Uptime, "", 137_171_363_000),
        (Series::OomEvents, "", 0),
        (Series::ProcessCount, "", 1),
        (Series::PressureCpuSome, "", 200_000),
        (Series::PressureCpuFull, "", 100_000),
        (Series::PressureMemorySome, "", 2_000_000),
        (Series::PressureIoFull, "", 1_100_000),
        (Series::FilesystemUsage, "sda1", 23),
        (Series::FilesystemUsage, "sda2", 38),
        (Series::FilesystemLimit, "sda2", 37),
        (Series::FilesystemInodesFree, "sda1", 524_288),
        (Series::DiskRead, "/dev/sdb", 3),
        (Series::DiskWrite, "/dev/sdb", 6),
    ] {
        let resource = match resource {
            "" => String::new(),
            device => format!("resource_id={device},"),
        };
        let line = format!(
            "{} {before},{resource}{after} {value} 1395066363000",
            series.name()
        );
        assert!(shown.contains(&line), "{line}\n{shown:#?}");
    }
}
