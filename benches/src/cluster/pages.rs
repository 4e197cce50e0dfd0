//! The pages of a Kubelet and of the Kubernetes API.

use plimsoll_query::json::{Epoch, write_cell};
use plimsoll_query::rows::Cell;
use std::fmt::Write;

use plimsoll_engine::Timestamp;
use serde::Serialize as _;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

use super::State;
use super::model::{Container, Health, Pod, Shape};

const CORES: u64 = 8;
const MEMORY_BYTES: u64 = 32 << 30;
const ALLOCATABLE_MILLIS: u64 = 7_800;
const ALLOCATABLE_BYTES: u64 = 30 << 30;
const REQUEST_MILLIS: u64 = 50;
const LIMIT_MILLIS: u64 = 500;
const REQUEST_BYTES: u64 = 32 << 20;
const LIMIT_BYTES: u64 = 512 << 20;
/// What the node itself uses besides its pods.
const NODE_MILLIS: u64 = 300;
const DISK_BYTES: u64 = 100 << 30;
/// What a pod's network namespace has on a node whose kernel loads the tunnels' modules, as recorded.
const POD_INTERFACES: [&str; 10] = [
    "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0",
    "eth0",
];

/// RFC 3339 of a whole second.
fn shown(time: Timestamp) -> String {
    const SECOND_NS: i64 = 1_000_000_000;
    let second = Cell::Time(time.0.div_euclid(SECOND_NS) * SECOND_NS);
    let mut quoted = Vec::new();
    write_cell(&second, Epoch::Rfc3339, None, &mut quoted);
    String::from_utf8_lossy(&quoted)
        .trim_matches('"')
        .to_owned()
}

/// A page of a Kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Page {
    Summary = 0,
    Cadvisor = 1,
    Resource = 2,
    Pods = 3,
}

impl Page {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/stats/summary" => Some(Self::Summary),
            "/metrics/cadvisor" => Some(Self::Cadvisor),
            "/metrics/resource" => Some(Self::Resource),
            "/pods" => Some(Self::Pods),
            _ => None,
        }
    }

    pub(super) fn render(self, shape: &Shape, node: usize, tick: u64, time: Timestamp) -> String {
        match self {
            Self::Summary => summary(shape, node, tick, time),
            Self::Cadvisor => cadvisor(shape, node, tick, time),
            Self::Resource => resource(shape, node, tick, time),
            Self::Pods => pods(shape, node, tick),
        }
    }
}

struct At<'s> {
    shape: &'s Shape,
    time: Timestamp,
    interval_s: u64,
}

impl<'s> At<'s> {
    fn new(shape: &'s Shape, time: Timestamp) -> Self {
        let interval_s = u64::try_from(shape.interval_ns / 1_000_000_000).unwrap_or(1);
        Self {
            shape,
            time,
            interval_s,
        }
    }

    fn start(&self, age_ticks: u64) -> Timestamp {
        let age = i64::try_from(age_ticks).unwrap_or(0);
        // It ran for a minute before the cluster was looked at.
        Timestamp(self.time.0 - age * self.shape.interval_ns - 60_000_000_000)
    }

    fn seconds(&self, age_ticks: u64) -> u64 {
        60 + age_ticks * self.interval_s
    }
}

fn node_millis(pods: &[Pod]) -> u64 {
    let containers = pods.iter().flat_map(|pod| &pod.containers);
    NODE_MILLIS
        + containers
            .map(|container| container.cpu_millis)
            .sum::<u64>()
}

fn node_bytes(pods: &[Pod]) -> u64 {
    let containers = pods.iter().flat_map(|pod| &pod.containers);
    (1 << 30)
        + containers
            .map(|container| container.memory_bytes)
            .sum::<u64>()
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a text takes everything");
}

/// `/stats/summary` as a Kubelet of 1.34 writes it: indented, with stalls, swap and every interface of a
/// pod, which is some 5.5 kB a container.
fn summary(shape: &Shape, node: usize, tick: u64, time: Timestamp) -> String {
    let at = At::new(shape, time);
    let now = shown(time);
    let pods = shape.pods(node, tick);
    let (millis, bytes) = (node_millis(&pods), node_bytes(&pods));
    let seconds = at.seconds(tick);
    let pods: Vec<Value> = pods
        .iter()
        .map(|pod| summary_of_pod(&at, pod, &now, tick))
        .collect();
    indented(&json!({
        "node": {
            "nodeName": shape.node_name(node),
            "startTime": shown(at.start(tick)),
            "cpu": cpu(&now, millis, seconds),
            "memory": memory(&now, bytes, seconds * 1_000),
            "io": {"time": now, "psi": stalls(seconds)},
            "network": network(&now, 100_000, seconds, &["eth0"]),
            "fs": disk(&now, 20 << 30),
            "swap": {"time": now, "swapAvailableBytes": 0, "swapUsageBytes": 0},
        },
        "pods": pods,
    }))
}

fn summary_of_pod(at: &At<'_>, pod: &Pod, now: &str, tick: u64) -> Value {
    let seconds = at.seconds(pod.age_ticks);
    let containers = || pod.containers.iter();
    let millis = containers().map(|container| container.cpu_millis).sum();
    let bytes = containers().map(|container| container.memory_bytes).sum();
    // A pod in the node's network repeats its counters.
    let network = match pod.host_network {
        true => network(now, 100_000, at.seconds(tick), &["eth0"]),
        false => network(now, 1_000, seconds, &POD_INTERFACES),
    };
    let volume = |name: &str| {
        let mut volume = disk(now, 4_096);
        volume["name"] = json!(name);
        volume
    };
    let containers: Vec<Value> = containers()
        .map(|container| {
            let seconds = at.seconds(container.age_ticks);
            json!({
                "name": container.name,
                "startTime": shown(at.start(container.age_ticks)),
                "cpu": cpu(now, container.cpu_millis, seconds),
                "memory": memory(now, container.memory_bytes, seconds * 10),
                "io": {"time": now, "psi": stalls(seconds)},
                "rootfs": disk(now, 8_192),
                "logs": disk(now, 4_096),
                "swap": {"time": now, "swapAvailableBytes": 0, "swapUsageBytes": 0},
            })
        })
        .collect();
    json!({
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": shown(at.start(pod.age_ticks)),
        "containers": containers,
        "cpu": cpu(now, millis, seconds),
        "memory": memory(now, bytes, seconds * 10),
        "io": {"time": now, "psi": stalls(seconds)},
        "network": network,
        "volume": [volume("data"), volume("kube-api-access-497g9")],
        "ephemeral-storage": disk(now, 12_288),
        "process_stats": {"process_count": pod.containers.len()},
        "swap": {"time": now, "swapUsageBytes": 0},
    })
}

fn cpu(now: &str, millis: u64, seconds: u64) -> Value {
    json!({
        "time": now,
        "usageNanoCores": millis * 1_000_000,
        "usageCoreNanoSeconds": seconds * millis * 1_000_000,
        "psi": stalls(seconds),
    })
}

fn memory(now: &str, bytes: u64, faults: u64) -> Value {
    json!({
        "time": now,
        "availableBytes": MEMORY_BYTES.saturating_sub(bytes),
        "usageBytes": bytes,
        "workingSetBytes": bytes,
        "rssBytes": bytes / 2,
        "pageFaults": faults,
        "majorPageFaults": faults / 100,
        "psi": stalls(0),
    })
}

/// Time that was lost to waiting, of which some is always none.
fn stalls(seconds: u64) -> Value {
    let of = |total: u64| json!({"total": total, "avg10": 0.15, "avg60": 0.02, "avg300": 0});
    json!({"full": of(seconds / 2 * 1_000), "some": of(seconds * 1_000)})
}

/// The counters of the last interface stand for all, as the Kubelet has it.
fn network(now: &str, per_second: u64, seconds: u64, names: &[&str]) -> Value {
    let counters = |name: &str, seconds: u64| {
        json!({
            "name": name,
            "rxBytes": per_second * seconds,
            "rxErrors": 0,
            "txBytes": per_second * seconds * 2,
            "txErrors": 0,
        })
    };
    let last = names.last().copied().unwrap_or("eth0");
    let idle = |name: &&str| counters(name, if *name == last { seconds } else { 0 });
    let mut network = counters(last, seconds);
    network["time"] = json!(now);
    network["interfaces"] = names.iter().map(idle).collect();
    network
}

fn disk(now: &str, used: u64) -> Value {
    json!({
        "time": now,
        "availableBytes": DISK_BYTES - used,
        "capacityBytes": DISK_BYTES,
        "usedBytes": used,
        "inodesFree": 59_206_606,
        "inodes": 60_710_912,
        "inodesUsed": 9,
    })
}

/// One space a level, as the Kubelet's encoder has it.
fn indented(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = PrettyFormatter::with_indent(b" ");
    value
        .serialize(&mut Serializer::with_formatter(&mut out, formatter))
        .expect("a tree of texts and numbers can be written");
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// `/metrics/cadvisor`.
fn cadvisor(shape: &Shape, node: usize, tick: u64, time: Timestamp) -> String {
    let at = At::new(shape, time);
    let time_ms = time.0 / 1_000_000;
    let pods = shape.pods(node, tick);
    let mut out = format!("machine_cpu_cores {CORES}\nmachine_memory_bytes {MEMORY_BYTES}\n");
    let (seconds, bytes) = (at.seconds(tick), node_bytes(&pods));
    put(
        &mut out,
        format_args!(
            "container_cpu_usage_seconds_total{{id=\"/\",cpu=\"total\"}} {} {time_ms}\n\
             container_memory_usage_bytes{{id=\"/\"}} {bytes} {time_ms}\n\
             container_memory_working_set_bytes{{id=\"/\"}} {bytes} {time_ms}\n\
             container_start_time_seconds{{id=\"/\"}} {} {time_ms}\n",
            decimal(seconds * node_millis(&pods)),
            at.start(tick).0 / 1_000_000_000,
        ),
    );
    type Shown<'v> = &'v dyn Fn(&Container) -> String;
    let pick = |container: &Container| at.seconds(container.age_ticks);
    let metrics: [(&str, &str, Shown<'_>); 13] = [
        ("cpu_usage_seconds_total", ",cpu=\"total\"", &|c| {
            decimal(pick(c) * c.cpu_millis)
        }),
        ("memory_usage_bytes", "", &|c| c.memory_bytes.to_string()),
        ("memory_working_set_bytes", "", &|c| {
            c.memory_bytes.to_string()
        }),
        ("memory_rss", "", &|c| (c.memory_bytes / 2).to_string()),
        ("memory_cache", "", &|c| (c.memory_bytes / 4).to_string()),
        (
            "memory_failures_total",
            ",failure_type=\"pgfault\",scope=\"container\"",
            &|c| (pick(c) * 10).to_string(),
        ),
        (
            "memory_failures_total",
            ",failure_type=\"pgmajfault\",scope=\"container\"",
            &|c| (pick(c) / 10).to_string(),
        ),
        ("fs_reads_bytes_total", ",device=\"/dev/vda\"", &|c| {
            (pick(c) * 4_096).to_string()
        }),
        ("fs_writes_bytes_total", ",device=\"/dev/vda\"", &|c| {
            (pick(c) * 8_192).to_string()
        }),
        ("start_time_seconds", "", &|c| {
            (at.start(c.age_ticks).0 / 1_000_000_000).to_string()
        }),
        ("spec_cpu_period", "", &|_| "100000".to_owned()),
        ("spec_cpu_quota", "", &|_| (LIMIT_MILLIS * 100).to_string()),
        ("spec_memory_limit_bytes", "", &|_| LIMIT_BYTES.to_string()),
    ];
    for (name, labels, value) in metrics {
        for pod in &pods {
            for container in &pod.containers {
                let (uid, main) = (&pod.uid, &container.name);
                put(
                    &mut out,
                    format_args!(
                        "container_{name}{{container=\"{main}\",id=\"/kubepods/pod{uid}/{main}\",image=\"registry.example/{main}:1\",name=\"{uid}-{main}\",namespace=\"{}\",pod=\"{}\"{labels}}} {} {time_ms}\n",
                        pod.namespace,
                        pod.name,
                        value(container)
                    ),
                );
            }
        }
    }
    for line in 0..shape.padding_lines {
        for pod in &pods {
            for container in &pod.containers {
                let (uid, main) = (&pod.uid, &container.name);
                put(
                    &mut out,
                    format_args!(
                        "container_blkio_device_usage_total{{container=\"{main}\",device=\"/dev/vda\",id=\"/kubepods/pod{uid}/{main}\",image=\"registry.example/{main}:1\",major=\"{line}\",minor=\"0\",name=\"{uid}-{main}\",namespace=\"{}\",operation=\"Read\",pod=\"{}\"}} 0 {time_ms}\n",
                        pod.namespace, pod.name
                    ),
                );
            }
        }
    }
    out
}

/// `/metrics/resource`.
fn resource(shape: &Shape, node: usize, tick: u64, time: Timestamp) -> String {
    let at = At::new(shape, time);
    let time_ms = time.0 / 1_000_000;
    let pods = shape.pods(node, tick);
    let mut out = format!(
        "node_cpu_usage_seconds_total {} {time_ms}\nnode_memory_working_set_bytes {} {time_ms}\n",
        decimal(at.seconds(tick) * node_millis(&pods)),
        node_bytes(&pods)
    );
    for pod in &pods {
        for container in &pod.containers {
            let labels = format!(
                "{{container=\"{}\",namespace=\"{}\",pod=\"{}\"}}",
                container.name, pod.namespace, pod.name
            );
            put(
                &mut out,
                format_args!(
                    "container_cpu_usage_seconds_total{labels} {} {time_ms}\n\
                     container_memory_working_set_bytes{labels} {} {time_ms}\n\
                     container_start_time_seconds{labels} {}\n",
                    decimal(at.seconds(container.age_ticks) * container.cpu_millis),
                    container.memory_bytes,
                    at.start(container.age_ticks).0 / 1_000_000_000
                ),
            );
        }
    }
    out
}

/// Thousandths as a decimal number.
fn decimal(thousandths: u64) -> String {
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

/// A Kubelet's `/pods`.
fn pods(shape: &Shape, node: usize, tick: u64) -> String {
    let mut out = r#"{"kind":"PodList","apiVersion":"v1","items":["#.to_owned();
    for (index, pod) in shape.pods(node, tick).iter().enumerate() {
        let containers: Vec<String> = pod
            .containers
            .iter()
            .map(|container| {
                format!(
                    r#"{{"name":"{0}","image":"registry.example/{0}:1","resources":{{"requests":{{"cpu":"{REQUEST_MILLIS}m","memory":"{REQUEST_BYTES}"}},"limits":{{"cpu":"{LIMIT_MILLIS}m","memory":"{LIMIT_BYTES}"}}}}}}"#,
                    container.name
                )
            })
            .collect();
        let statuses: Vec<String> = pod
            .containers
            .iter()
            .map(|c| format!(r#"{{"name":"{}","restartCount":{}}}"#, c.name, c.restarts))
            .collect();
        put(
            &mut out,
            format_args!(
                r#"{}{{"metadata":{{"name":"{}","namespace":"{}","uid":"{}","labels":{{"app":"app-{}","tier":"{}"}}}},"spec":{{"nodeName":"{}","hostNetwork":{},"containers":[{}]}},"status":{{"phase":"Running","containerStatuses":[{}]}}}}"#,
                if index > 0 { "," } else { "" },
                pod.name,
                pod.namespace,
                pod.uid,
                index % 7,
                pod.namespace,
                shape.node_name(node),
                pod.host_network,
                containers.join(","),
                statuses.join(",")
            ),
        );
    }
    out.push_str("]}");
    out
}

fn node_object(node: usize, state: &State) -> String {
    let is_ready = match state.shape.health(node) {
        Health::Well | Health::Failing => "True",
        Health::Slow => "False",
    };
    format!(
        r#"{{"kind":"Node","apiVersion":"v1","metadata":{{"name":"{}","resourceVersion":"1","uid":"n-{node}"}},"spec":{{}},"status":{{"addresses":[{{"type":"Hostname","address":"{0}"}},{{"type":"InternalIP","address":"{}"}}],"capacity":{{"cpu":"{CORES}","memory":"{MEMORY_BYTES}","ephemeral-storage":"{DISK_BYTES}"}},"allocatable":{{"cpu":"{ALLOCATABLE_MILLIS}m","memory":"{ALLOCATABLE_BYTES}","ephemeral-storage":"{DISK_BYTES}"}},"conditions":[{{"type":"Ready","status":"{is_ready}"}}],"daemonEndpoints":{{"kubeletEndpoint":{{"Port":{}}}}}}}}}"#,
        state.shape.node_name(node),
        state.address(node),
        state.port
    )
}

/// `/api/v1/nodes`.
pub(super) fn nodes(state: &State, is_there: impl Fn(usize) -> bool) -> String {
    let nodes = (0..state.nodes.len()).filter(|node| is_there(*node));
    let nodes: Vec<String> = nodes.map(|node| node_object(node, state)).collect();
    format!(
        r#"{{"kind":"NodeList","apiVersion":"v1","metadata":{{"resourceVersion":"1"}},"items":[{}]}}"#,
        nodes.join(",")
    )
}

/// One line of a watch.
pub(super) fn event(kind: &str, node: usize, state: &State) -> String {
    format!(
        r#"{{"type":"{kind}","object":{}}}"#,
        node_object(node, state)
    ) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_kubelet_does() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
        ] {
            assert_eq!(shown(Timestamp(seconds * 1_000_000_000)), expected);
        }
    }
}
