//! A host with 50 containers: CPU and memory of `plimsoll serve` alone, and of cAdvisor with influxd
//! that do the same for the same containers at the same time.
//!
//! `host PLIMSOLL [CADVISOR] [SECONDS] [CONTAINERS]`; PLIMSOLL and CADVISOR are binaries, and
//! `.ci/peers.d/cadvisor-build command` prints that of a cAdvisor that can write to influxd. It
//! makes cgroups as Docker's cgroupfs driver does, each with a shell that wakes every few seconds,
//! and takes them away at the end; that needs root.
#![expect(clippy::print_stdout, reason = "the report is the program's output")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use plimsoll_benches::server::{Kind, Server, cpu_seconds_of, memory_bytes};

/// Between two looks at the containers, for all.
const INTERVAL: &str = "10s";
/// What comes before the measurement: programs start, and all series are made.
const WARM_UP_S: u64 = 15;
const GOAL_CPU_PERCENT: f64 = 1.0;
const GOAL_RESIDENT_MB: u64 = 50;
/// What a container does: next to nothing, but its counters grow.
const WORK: &str = "while :; do sleep 4; done";

/// A process that ends, with its group, when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the process has ended by itself, which is what is wanted.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Cgroups with a process each.
struct Containers {
    folders: Vec<PathBuf>,
    parents: Vec<PathBuf>,
    processes: Vec<Process>,
}

impl Containers {
    fn start(count: u64) -> Result<Self, Box<dyn Error>> {
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies: Vec<PathBuf> = match root.join("cgroup.controllers").exists() {
            true => vec![root.to_owned()],
            false => ["cpu", "cpuacct", "memory", "pids", "blkio"]
                .iter()
                .map(|controller| root.join(controller))
                .filter(|hierarchy| hierarchy.is_dir())
                .collect(),
        };
        if hierarchies.is_empty() {
            return Err("no hierarchy of cgroups is mounted".into());
        }
        let mut containers = Self {
            folders: Vec::new(),
            parents: Vec::new(),
            processes: Vec::new(),
        };
        for hierarchy in &hierarchies {
            let parent = hierarchy.join("docker");
            if !parent.exists() {
                std::fs::create_dir(&parent)?;
                containers.parents.push(parent);
            }
        }
        for number in 0..count {
            let shell = Command::new("sh")
                .args(["-c", WORK])
                .stdin(Stdio::null())
                .spawn()?;
            let process = shell.id();
            containers.processes.push(Process(shell));
            for hierarchy in &hierarchies {
                let folder = hierarchy.join("docker").join(id(number));
                std::fs::create_dir(&folder)?;
                std::fs::write(folder.join("cgroup.procs"), process.to_string())?;
                containers.folders.push(folder);
            }
        }
        Ok(containers)
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.processes.clear();
        // What a shell was waiting for outlives it.
        for folder in &self.folders {
            let left = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            for process in left.lines() {
                // It may have ended meanwhile.
                Command::new("kill").args(["-9", process]).status().ok();
            }
        }
        pause(Duration::from_millis(500));
        for folder in self.folders.iter().chain(&self.parents) {
            if let Err(error) = std::fs::remove_dir(folder) {
                println!("{} stays: {error}", folder.display());
            }
        }
    }
}

/// A container's id.
fn id(number: u64) -> String {
    format!("{:064x}", 0xbe9c_0000 + number)
}

/// What a process has used.
#[derive(Clone, Copy)]
struct Used {
    cpu_s: f64,
    resident_bytes: u64,
}

fn used(process: u32) -> Result<Used, Box<dyn Error>> {
    Ok(Used {
        cpu_s: cpu_seconds_of(process)?,
        resident_bytes: memory_bytes(process, "VmRSS:")?,
    })
}

fn quiet(command: &mut Command) -> std::io::Result<Process> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(Process(command.stderr(Stdio::null()).spawn()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: host PLIMSOLL [CADVISOR] [SECONDS] [CONTAINERS]";
    let program = arguments.first().ok_or(usage)?;
    let number = |index: usize, default: u64| -> Result<u64, Box<dyn Error>> {
        let given = arguments.get(index);
        Ok(given.map_or(Ok(default), |text| text.parse())?)
    };
    let (seconds, count) = (number(2, 90)?, number(3, 50)?);
    let containers = match Containers::start(count) {
        Ok(containers) => containers,
        Err(error) => {
            println!("SKIPPED host cgroups cannot be made: {error}");
            return Ok(());
        }
    };
    let directory = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port();
    let plimsoll = quiet(
        Command::new(program)
            .args(["serve", "--interval", INTERVAL, "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .arg("--data")
            .arg(directory.path().join("data")),
    )?;
    let peers = match arguments.get(1) {
        None => {
            println!("SKIPPED host the binary of cAdvisor is not given");
            None
        }
        Some(cadvisor) => match peers(cadvisor) {
            Ok(peers) => Some(peers),
            Err(error) => {
                println!("SKIPPED host {error}");
                None
            }
        },
    };
    pause(Duration::from_secs(WARM_UP_S));
    let look = || -> Result<Vec<(&str, Used)>, Box<dyn Error>> {
        let mut all = vec![("Plimsoll", used(plimsoll.0.id())?)];
        if let Some((influxd, cadvisor)) = &peers {
            all.push(("cAdvisor", used(cadvisor.0.id())?));
            let influxd = Used {
                cpu_s: influxd.cpu_seconds()?,
                resident_bytes: influxd.resident_bytes()?,
            };
            all.push(("influxd", influxd));
        }
        Ok(all)
    };
    let before = look()?;
    pause(Duration::from_secs(seconds));
    let after = look()?;
    #[expect(clippy::cast_precision_loss, reason = "a measured time")]
    let percent =
        |(before, after): (&Used, &Used)| (after.cpu_s - before.cpu_s) * 100.0 / seconds as f64;
    let ids: Vec<String> = (0..count).map(id).collect();
    let known = |text: &str| ids.iter().filter(|id| text.contains(*id)).count();
    let query = "SHOW TAG VALUES FROM \"cpu/usage_ns_cumulative\" WITH KEY = container_id";
    let answer = Command::new(program)
        .args(["query", query, "--url", &format!("http://127.0.0.1:{port}")])
        .args(["--database", "k8s"])
        .stdin(Stdio::null())
        .output()?;
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    println!("Plimsoll has rows of {} containers", known(&answer));
    if let Some((influxd, _)) = &peers {
        let query = "SHOW%20TAG%20VALUES%20FROM%20cpu_usage_total%20WITH%20KEY=container_name";
        let answer = influxd.get(&format!("/query?db=bench&q={query}"))?;
        println!("influxd has rows of {} containers", known(&answer));
    }
    println!("{count} containers, every {INTERVAL}, {seconds} s");
    println!("{:<22} CPU, % of a core   resident, MB", "");
    println!(
        "{:<22} {GOAL_CPU_PERCENT:>16.2} {GOAL_RESIDENT_MB:>14}",
        "goal"
    );
    let mut rows = Vec::new();
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        rows.push((*name, percent((before, after)), after.resident_bytes));
    }
    if let [(_, plimsoll_cpu, plimsoll_bytes), peers @ ..] = &rows[..]
        && !peers.is_empty()
    {
        let cpu: f64 = peers.iter().map(|(_, cpu, _)| cpu).sum();
        let bytes: u64 = peers.iter().map(|(_, _, bytes)| bytes).sum();
        #[expect(clippy::cast_precision_loss, reason = "a ratio that is printed")]
        let ratio = bytes as f64 / *plimsoll_bytes as f64;
        println!(
            "{:<22} {:>15.1}x {ratio:>13.1}x",
            "both to Plimsoll",
            cpu / plimsoll_cpu
        );
    }
    for (name, cpu, bytes) in rows {
        println!("{name:<22} {cpu:>16.2} {:>14}", bytes / 1_000_000);
    }
    drop(containers);
    Ok(())
}

/// influxd, and a cAdvisor that writes to it.
fn peers(cadvisor: &str) -> Result<(Server, Process), Box<dyn Error>> {
    let influxd = Server::start(Kind::Influxd, "influxd")
        .map_err(|error| format!("influxd does not start: {error}"))?;
    let cadvisor = quiet(
        Command::new(cadvisor)
            .args(["-listen_ip=127.0.0.1", "-port=0", "-logtostderr"])
            .args([
                "-docker=unix:///nonexistent/docker.sock",
                "-docker_only=false",
            ])
            .args(["-store_container_labels=false"])
            .args(["-disable_metrics=tcp,udp,percpu,sched,process"])
            .arg(format!("-housekeeping_interval={INTERVAL}"))
            .args([
                "-allow_dynamic_housekeeping=false",
                "-storage_driver=influxdb",
            ])
            .arg(format!("-storage_driver_host=127.0.0.1:{}", influxd.port()))
            .args(["-storage_driver_db=bench"])
            .arg(format!("-storage_driver_buffer_duration={INTERVAL}")),
    )
    .map_err(|error| format!("cAdvisor does not start: {error}"))?;
    Ok((influxd, cadvisor))
}

fn pause(time: Duration) {
    // Nothing is ever sent.
    let (_sender, receiver) = channel::<()>();
    receiver.recv_timeout(time).ok();
}
