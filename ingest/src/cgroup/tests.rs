//! Trees of files made by hand, and this machine's own where it has cgroups.

use std::collections::BTreeMap;
use std::path::Path;

use plimsoll_engine::{FieldValue, Timestamp};
use tempfile::TempDir;

use super::{Collected, Collector, Paths, Protocol, Socket};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp(4_000_000_000_000_000_000);

/// A machine whose files lie in a folder.
pub(super) struct Machine {
    folder: TempDir,
}

impl Machine {
    pub(super) fn new() -> Self {
        let machine = Self {
            folder: TempDir::new().unwrap(),
        };
        machine.files(&[
            ("proc/uptime", "7792.62 13942.69\n"),
            (
                "proc/meminfo",
                "MemTotal:  8000 kB\nMemFree:  3000 kB\nInactive(file): 1000 kB\nAnonPages: 500 kB\nCached: 700 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n",
            ),
            ("proc/vmstat", "nr_free_pages 1\npgfault 77\npgmajfault 7\noom_kill 2\n"),
            ("proc/stat", "cpu  10 20 30 400 50 1 2 3 9 9\ncpu0 1 1 1 1\n"),
            (
                "proc/net/dev",
                "Inter-|   Receive\n face |bytes\n    lo: 5 1 1 0 0 0 0 0 5 1 1 0 0 0 0 0\n  eth0: 382860850 20504 3 0 0 0 0 0 1268591 11931 4 0 0 0 0 0\n veth1: 9 9 9 0 0 0 0 0 9 9 9 0 0 0 0 0\n",
            ),
            ("proc/pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 total=11\n"),
            (
                "proc/diskstats",
                " 254 0 vda 1 2 3 4 5 6 7 8 9 10 11\n 254 1 vda1 1 1 1 1 1 1 1 1 1 1 1\n 7 0 loop0 1 1 1 1 1 1 1 1 1 1 1\n",
            ),
            ("sys/block/vda/device/model", ""),
            ("sys/dev/block/254:0/uevent", "MAJOR=254\nMINOR=0\nDEVNAME=vda\n"),
        ]);
        machine
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn files(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.path(&name.replace("ID", ID));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("ID", ID)).unwrap();
        }
    }

    /// A process in a network of its own.
    fn process(&self, pid: &str, namespace: &str, rx_bytes: u64) {
        let dev = format!("h\nlo: 9 9 9 9 9 9 9 9 9 9 9\neth0: {rx_bytes} 0 1 0 0 0 0 0 6 0 2\n");
        self.files(&[(&format!("proc/{pid}/net/dev"), &dev)]);
        let ns = self.path(&format!("proc/{pid}/ns"));
        std::fs::create_dir_all(&ns).unwrap();
        std::os::unix::fs::symlink(format!("net:[{namespace}]"), ns.join("net")).unwrap();
    }

    pub(super) fn collector(&self) -> Collector {
        let paths = Paths {
            cgroup: self.path("cgroup"),
            proc: self.path("proc"),
            sys: self.path("sys"),
            root: self.folder.path().to_owned(),
            docker: self.path("docker"),
            podman: self.path("podman"),
            containerd: self.path("containerd"),
            sockets: vec![
                Socket {
                    protocol: Protocol::Docker,
                    path: self.path("docker.sock"),
                },
                Socket {
                    protocol: Protocol::Cri,
                    path: self.path("cri.sock"),
                },
            ],
        };
        Collector::new(
            paths,
            "h",
            "default",
            &["app".to_owned(), "io.k*".to_owned()],
        )
    }
}

/// Values by `measurement container_name resource_id`; panics where a row stands twice.
fn values(collected: &Collected) -> BTreeMap<String, i64> {
    let batch = &collected.batch;
    let mut values = BTreeMap::new();
    for point in batch.points() {
        let tags = &batch.tag_sets()[point.tag_set as usize];
        let tag = |key| tags.value(key).unwrap_or_default();
        assert_eq!(point.time, NOW);
        assert_eq!(
            tag("type"),
            match &*tag("container_name") {
                "machine" => "node",
                _ => "sys_container",
            }
        );
        assert_eq!((&*tag("hostname"), &*tag("nodename")), ("h", "h"));
        let key = format!(
            "{} {} {}",
            batch.names()[point.measurement as usize],
            tag("container_name"),
            tag("resource_id")
        );
        let FieldValue::Integer(value) = point.fields[0].1 else {
            panic!("{key} is an integer");
        };
        assert_eq!(values.insert(key.clone(), value), None, "{key}");
    }
    values
}

fn assert_values(values: &BTreeMap<String, i64>, expected: &[(&str, i64)]) {
    for (key, value) in expected {
        assert_eq!(values.get(*key), Some(value), "{key} in {values:#?}");
    }
}

fn rows(values: &BTreeMap<String, i64>) -> Vec<&str> {
    let mut rows: Vec<&str> = values
        .keys()
        .map(|key| key.split(' ').nth(1).unwrap())
        .collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

fn v2() -> Machine {
    let machine = Machine::new();
    machine.files(&[
        ("cgroup/cgroup.controllers", "cpu io memory pids\n"),
        ("cgroup/cgroup.procs", "1\n2\n"),
        ("cgroup/cpu.stat", "usage_usec 9000\nuser_usec 1\n"),
        ("cgroup/system.slice/cgroup.procs", ""),
        ("cgroup/system.slice/cpu.stat", "usage_usec 1\n"),
        (
            "cgroup/system.slice/docker-ID.scope/cgroup.procs",
            "10\n11\n",
        ),
        (
            "cgroup/system.slice/docker-ID.scope/cpu.stat",
            "usage_usec 1500\nnr_periods 10\nnr_throttled 4\nthrottled_usec 250\n",
        ),
        (
            "cgroup/system.slice/docker-ID.scope/cpu.max",
            "50000 100000\n",
        ),
        (
            "cgroup/system.slice/docker-ID.scope/memory.current",
            "10000\n",
        ),
        (
            "cgroup/system.slice/docker-ID.scope/memory.stat",
            "anon 3000\nfile 5000\ninactive_file 4000\npgfault 42\npgmajfault 2\n",
        ),
        (
            "cgroup/system.slice/docker-ID.scope/memory.swap.current",
            "8\n",
        ),
        ("cgroup/system.slice/docker-ID.scope/memory.max", "65536\n"),
        (
            "cgroup/system.slice/docker-ID.scope/memory.events",
            "low 0\noom 3\noom_kill 1\n",
        ),
        (
            "cgroup/system.slice/docker-ID.scope/cpu.pressure",
            "some avg10=1.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 total=3\n",
        ),
        (
            "cgroup/system.slice/docker-ID.scope/io.stat",
            "254:0 rbytes=4096 wbytes=512 rios=1 wios=1\n9:9 rbytes=1 wbytes=2\n",
        ),
        (
            "cgroup/system.slice/docker-ID.scope/init.scope/cgroup.procs",
            "12\n",
        ),
        (
            "cgroup/system.slice/docker-ID.scope/init.scope/memory.current",
            "1\n",
        ),
        ("cgroup/system.slice/ssh.service/cgroup.procs", "20\n"),
        ("cgroup/system.slice/ssh.service/memory.current", "100\n"),
        (
            "cgroup/system.slice/ssh.service/memory.stat",
            "inactive_file 400\n",
        ),
        ("cgroup/system.slice/ssh.service/memory.max", "max\n"),
        ("cgroup/system.slice/ssh.service/cpu.max", "max 100000\n"),
        (
            "cgroup/system.slice/ssh.service/cpu.stat",
            "usage_usec 7\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
        ),
        ("cgroup/system.slice/dead.service/cgroup.procs", ""),
        ("cgroup/system.slice/dead.service/memory.current", "1\n"),
        (
            "docker/ID/config.v2.json",
            r#"{"ID":"ID","Name":"/web","Config":{"Image":"nginx:1"}}"#,
        ),
    ]);
    machine
}

#[test]
fn v2_gives_a_row_for_the_machine_and_each_leaf() {
    let machine = v2();
    let mut collector = machine.collector();
    assert_eq!(collector.version(), Some("cgroup v2"));
    let collected = collector.collect(NOW);
    assert_eq!(collected.warnings, [""; 0]);
    let values = values(&collected);
    assert_eq!(rows(&values), ["machine", "ssh.service", "web"]);
    assert_values(
        &values,
        &[
            ("uptime_ms_cumulative machine ", 7_792_620),
            ("cpu/usage_ns_cumulative machine ", 9_000_000),
            ("memory/usage_bytes_gauge machine ", 5_120_000),
            ("memory/working_set_bytes_gauge machine ", 4_096_000),
            ("memory/limit_bytes_gauge machine ", 8_192_000),
            ("memory/swap_bytes_gauge machine ", 6_144),
            ("memory/page_faults_gauge machine ", 77),
            ("network/rx_bytes_cumulative machine ", 382_860_850),
            ("network/tx_errors_cumulative machine ", 4),
            ("pressure/io_some_ns_cumulative machine ", 12_000),
            ("disk/io_read_bytes_cumulative machine /dev/vda", 1_536),
            ("disk/io_write_bytes_cumulative machine /dev/vda", 3_584),
            ("process/count_gauge machine ", 6),
            ("cpu/usage_ns_cumulative web ", 1_500_000),
            ("cpu/limit_gauge web ", 500),
            ("cpu/periods_cumulative web ", 10),
            ("cpu/throttled_periods_cumulative web ", 4),
            ("cpu/throttled_ns_cumulative web ", 250_000),
            ("memory/usage_bytes_gauge web ", 10_000),
            ("memory/working_set_bytes_gauge web ", 6_000),
            ("memory/rss_bytes_gauge web ", 3_000),
            ("memory/cache_bytes_gauge web ", 5_000),
            ("memory/swap_bytes_gauge web ", 8),
            ("memory/limit_bytes_gauge web ", 65_536),
            ("memory/page_faults_gauge web ", 42),
            ("memory/major_page_faults_cumulative web ", 2),
            ("memory/oom_events_cumulative web ", 1),
            ("pressure/cpu_some_ns_cumulative web ", 5_000),
            ("pressure/cpu_full_ns_cumulative web ", 3_000),
            ("disk/io_read_bytes_cumulative web /dev/vda", 4_096),
            ("disk/io_write_bytes_cumulative web 9:9", 2),
            ("process/count_gauge web ", 3),
            // Never below 0.
            ("memory/working_set_bytes_gauge ssh.service ", 0),
        ],
    );
    for absent in [
        "memory/limit_bytes_gauge ssh.service ",
        "cpu/limit_gauge ssh.service ",
        "cpu/periods_cumulative ssh.service ",
    ] {
        assert_eq!(values.get(absent), None, "{absent}");
    }
    assert!(values["filesystem/usage machine /"] > 0);
    assert!(
        values["filesystem/limit_bytes_gauge machine /"]
            >= values["filesystem/available_bytes_gauge machine /"]
    );
    // The folder was made long before NOW.
    assert!(values["uptime_ms_cumulative web "] > 0);
}

#[test]
fn a_row_of_a_container_has_its_id_and_image() {
    let machine = v2();
    let collected = machine.collector().collect(NOW);
    let web = format!(
        "cluster_name=default,container_base_image=nginx:1,container_id={ID},container_name=web,hostname=h,nodename=h,type=sys_container"
    );
    let tag_sets = collected.batch.tag_sets();
    assert!(
        tag_sets.iter().any(|tags| tags.as_str() == web),
        "{tag_sets:?}"
    );
}

#[test]
fn v1_is_read_from_all_its_controllers() {
    let machine = Machine::new();
    machine.files(&[
        ("cgroup/unified/cgroup.controllers", ""),
        ("cgroup/memory/cgroup.procs", "1\n"),
        ("cgroup/memory/memory.usage_in_bytes", "70000\n"),
        ("cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 20000\ntotal_rss 3\ntotal_cache 4\n"),
        ("cgroup/memory/docker/cgroup.procs", ""),
        ("cgroup/memory/docker/ID/cgroup.procs", "10\n"),
        ("cgroup/memory/docker/ID/memory.usage_in_bytes", "5000\n"),
        ("cgroup/memory/docker/ID/memory.limit_in_bytes", "9223372036854771712\n"),
        ("cgroup/memory/docker/ID/memory.stat", "pgfault 1\ntotal_pgfault 10\ntotal_pgmajfault 3\ntotal_inactive_file 1000\ntotal_rss 2000\ntotal_cache 2500\ntotal_swap 0\n"),
        ("cgroup/memory/docker/ID/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n"),
        ("cgroup/cpu,cpuacct/cgroup.procs", "1\n2\n3\n"),
        ("cgroup/cpu,cpuacct/cpuacct.usage", "123456789\n"),
        ("cgroup/cpu,cpuacct/docker/ID/cgroup.procs", "10\n"),
        ("cgroup/cpu,cpuacct/docker/ID/cpuacct.usage", "1000000007\n"),
        ("cgroup/cpu,cpuacct/docker/ID/cpu.stat", "nr_periods 8\nnr_throttled 2\nthrottled_time 33\n"),
        ("cgroup/cpu,cpuacct/docker/ID/cpu.cfs_quota_us", "-1\n"),
        ("cgroup/cpu,cpuacct/docker/ID/cpu.cfs_period_us", "100000\n"),
        ("cgroup/blkio/cgroup.procs", "1\n"),
        ("cgroup/blkio/docker/ID/cgroup.procs", "10\n"),
        ("cgroup/blkio/docker/ID/blkio.throttle.io_service_bytes", "254:0 Read 100\n254:0 Write 200\n254:0 Sync 300\n254:0 Total 300\nTotal 300\n"),
        ("cgroup/systemd/cgroup.procs", "1\n"),
        ("cgroup/systemd/system.slice/cron.service/cgroup.procs", "30\n"),
        ("cgroup/systemd/system.slice/cron.service/worker/cgroup.procs", "31\n"),
    ]);
    let mut collector = machine.collector();
    assert_eq!(collector.version(), Some("cgroup v1"));
    let collected = collector.collect(NOW);
    let values = values(&collected);
    // cron.service holds a cgroup that holds a process, so it is no leaf.
    assert_eq!(rows(&values), [ID, "cron.service/worker", "machine"]);
    assert_values(
        &values,
        &[
            ("cpu/usage_ns_cumulative machine ", 123_456_789),
            ("memory/usage_bytes_gauge machine ", 70_000),
            ("memory/working_set_bytes_gauge machine ", 50_000),
            ("process/count_gauge machine ", 4),
            (&format!("cpu/usage_ns_cumulative {ID} "), 1_000_000_007),
            (&format!("memory/usage_bytes_gauge {ID} "), 5_000),
            (&format!("memory/working_set_bytes_gauge {ID} "), 4_000),
            (&format!("memory/page_faults_gauge {ID} "), 10),
            (&format!("memory/major_page_faults_cumulative {ID} "), 3),
            (&format!("memory/oom_events_cumulative {ID} "), 6),
            (&format!("disk/io_read_bytes_cumulative {ID} /dev/vda"), 100),
            (
                &format!("disk/io_write_bytes_cumulative {ID} /dev/vda"),
                200,
            ),
            ("process/count_gauge cron.service/worker ", 1),
        ],
    );
    let limits = [
        format!("memory/limit_bytes_gauge {ID} "),
        format!("cpu/limit_gauge {ID} "),
        format!("cpu/periods_cumulative {ID} "),
    ];
    assert!(limits.iter().all(|key| !values.contains_key(key)));
}

#[test]
fn without_cgroups_the_machine_alone_is_read_from_proc() {
    let machine = Machine::new();
    let mut collector = machine.collector();
    assert_eq!(collector.version(), None);
    let collected = collector.collect(NOW);
    let values = values(&collected);
    assert_eq!(rows(&values), ["machine"]);
    // 10 + 20 + 30 + 1 + 2 + 3 ticks of 10 ms: neither idle, waiting nor guests.
    assert_values(
        &values,
        &[("cpu/usage_ns_cumulative machine ", 660_000_000)],
    );
    assert_eq!(collected.warnings.len(), 1);
    assert!(collected.warnings[0].starts_with("no cgroups are mounted at "));
}

#[test]
fn a_network_that_several_share_is_counted_at_the_oldest() {
    let machine = v2();
    machine.process("1", "1", 0);
    machine.process("10", "7", 500);
    machine.process("20", "1", 600);
    let first = values(&machine.collector().collect(NOW));
    assert_values(
        &first,
        &[
            ("network/rx_bytes_cumulative web ", 500),
            ("network/rx_errors_cumulative web ", 1),
            ("network/tx_bytes_cumulative web ", 6),
            ("network/tx_errors_cumulative web ", 2),
        ],
    );
    assert!(!first.contains_key("network/rx_bytes_cumulative ssh.service "));
    // A younger one joins the same network.
    machine.files(&[("cgroup/system.slice/young.service/cgroup.procs", "40\n")]);
    machine.process("40", "7", 500);
    let both = values(&machine.collector().collect(NOW));
    assert_eq!(
        rows(&both),
        ["machine", "ssh.service", "web", "young.service"]
    );
    assert_values(&both, &[("network/rx_bytes_cumulative web ", 500)]);
    assert!(!both.contains_key("network/rx_bytes_cumulative young.service "));
}

#[test]
fn the_machines_physical_interfaces_are_summed() {
    let machine = Machine::new();
    machine.files(&[
        ("sys/class/net/eth0/device/x", ""),
        ("sys/class/net/eth1/device/x", ""),
        ("proc/net/dev", "h\nlo: 1 0 0 0 0 0 0 0 1 0 0\neth0: 10 0 0 0 0 0 0 0 1 0 0\neth1: 20 0 0 0 0 0 0 0 2 0 0\nbr-x: 30 0 0 0 0 0 0 0 3 0 0\n"),
    ]);
    let values = values(&machine.collector().collect(NOW));
    assert_values(&values, &[("network/rx_bytes_cumulative machine ", 30)]);
}

#[test]
fn cgroups_that_would_be_called_alike_are_called_by_their_paths() {
    let machine = Machine::new();
    machine.files(&[
        ("cgroup/cgroup.controllers", ""),
        ("cgroup/a/job/cgroup.procs", "1\n"),
        ("cgroup/b/job/cgroup.procs", "2\n"),
        ("cgroup/b/other/cgroup.procs", "3\n"),
    ]);
    let values = values(&machine.collector().collect(NOW));
    assert_eq!(rows(&values), ["a/job", "b/job", "machine", "other"]);
}

#[test]
fn engines_names_are_read_where_they_keep_them() {
    for (file, text, name) in [
        (
            "podman/overlay-containers/containers.json",
            r#"[{"id":"x"},{"id":"ID","names":["db"]}]"#,
            "db",
        ),
        (
            "containerd/k8s.io/ID/config.json",
            r#"{"annotations":{"io.kubernetes.cri.container-name":"api","io.kubernetes.cri.image-name":"i:1"}}"#,
            "api",
        ),
        (
            "containerd/default/ID/config.json",
            r#"{"annotations":{"nerdctl/name":"n"}}"#,
            "n",
        ),
        ("docker/ID/config.v2.json", "not json", "docker-ID.scope"),
        (
            "docker/ID/config.v2.json",
            r#"{"Name":"/"}"#,
            "docker-ID.scope",
        ),
    ] {
        let machine = Machine::new();
        machine.files(&[
            ("cgroup/cgroup.controllers", ""),
            ("cgroup/docker-ID.scope/cgroup.procs", "1\n"),
            (file, text),
        ]);
        let values = values(&machine.collector().collect(NOW));
        let mut expected = vec!["machine".to_owned(), name.replace("ID", ID)];
        expected.sort();
        assert_eq!(rows(&values), expected, "{file}");
    }
}

#[test]
fn a_cgroup_that_vanishes_leaves_no_row_and_no_memory() {
    let machine = v2();
    let mut collector = machine.collector();
    collector.collect(NOW);
    assert_eq!(collector.created.len(), 2);
    std::fs::remove_dir_all(machine.path(&format!("cgroup/system.slice/docker-{ID}.scope")))
        .unwrap();
    let values = values(&collector.collect(NOW));
    assert_eq!(rows(&values), ["machine", "ssh.service"]);
    // `seen` is the time of the collection, so what is gone is known by the next one.
    collector.collect(Timestamp(NOW.0 + 1));
    assert_eq!(collector.created.len(), 1);
}

#[test]
fn files_that_hold_nonsense_are_absent_values() {
    let machine = v2();
    for folder in [
        "system.slice/ssh.service",
        &format!("system.slice/docker-{ID}.scope"),
        "",
    ] {
        for name in [
            "cpu.stat",
            "cpu.max",
            "memory.current",
            "memory.stat",
            "io.stat",
            "cpu.pressure",
            "memory.events",
        ] {
            let path = machine.path("cgroup").join(folder).join(name);
            std::fs::write(path, b"\xff\xfe total= some 8:0 rbytes=x \n\n -1").unwrap();
        }
    }
    for name in [
        "meminfo",
        "vmstat",
        "stat",
        "uptime",
        "net/dev",
        "diskstats",
        "pressure/io",
    ] {
        std::fs::write(
            machine.path("proc").join(name),
            "cpu  x\nMemTotal:\n: 1\nsome total=\n",
        )
        .unwrap();
    }
    let values = values(&machine.collector().collect(NOW));
    assert_eq!(rows(&values), ["machine", "ssh.service", "web"]);
    assert!(!values.contains_key("cpu/usage_ns_cumulative machine "));
}

#[test]
fn this_machines_own_cgroups_are_read() {
    if !Path::new("/sys/fs/cgroup").exists() || !Path::new("/proc/meminfo").exists() {
        println!("SKIPPED this_machines_own_cgroups_are_read there are no cgroups here");
        return;
    }
    let mut collector = Collector::new(Paths::default(), "h", "default", &[]);
    let before = values(&collector.collect(NOW));
    assert!(before["cpu/usage_ns_cumulative machine "] > 0);
    assert!(before["memory/usage_bytes_gauge machine "] > 0);
    assert!(before["uptime_ms_cumulative machine "] > 0);
    assert!(before["filesystem/usage machine /"] > 0);
    // Work that the kernel must see: a page fault at least, until the counter moves.
    let mut pages = vec![0_u8; 1 << 24];
    pages.fill(1);
    let after = values(&collector.collect(NOW));
    assert!(
        after["memory/page_faults_gauge machine "] > before["memory/page_faults_gauge machine "]
    );
    assert!(
        after["cpu/usage_ns_cumulative machine "] >= before["cpu/usage_ns_cumulative machine "]
    );
    assert_eq!(pages.len(), 1 << 24);
}
