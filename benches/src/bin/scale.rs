//! A cluster pulled by one `plimsoll serve`: CPU seconds a second and memory of its process alone,
//! and how late scrapes are.
//!
//! `scale PLIMSOLL CLUSTER summary|resource|full [NODES] [SECONDS] [PODS] [CONTAINERS] [PADDING]`;
//! PLIMSOLL and CLUSTER are the binaries. `PLIMSOLL_…` settings of the environment hold too, so that
//! `PLIMSOLL_LOG_SIZE_MAX` makes a short run flush. Each interval in which scrapes were left out has
//! a line of its own; the last line says whether this many nodes were kept up with. The simulator is a process of its own, and its CPU is
//! printed apart. A tenth of the pods churns every hour; 2 % of the nodes fail or never answer.
#![expect(clippy::print_stdout, reason = "the report is the program's output")]

use std::error::Error;
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use plimsoll_benches::server::{Kind, Server, cpu_seconds_of};
use serde_json::Value;

/// Between scrapes of a node.
const INTERVAL_S: u64 = 15;
/// What comes before the measurement: nodes are found and all series made.
const WARM_UP_S: u64 = 45;
/// The goal: no scrape ends later than this behind its due time.
const LATE_MS_MAX: f64 = 15_000.0;

struct Simulator(Child);

impl Drop for Simulator {
    fn drop(&mut self) {
        // Both fail only where the process has ended by itself, which is what is wanted.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: scale PLIMSOLL CLUSTER summary|resource|full [NODES] [SECONDS] [PODS] \
                 [CONTAINERS] [PADDING]";
    let [program, cluster, pages, numbers @ ..] = &arguments[..] else {
        return Err(usage.into());
    };
    let number = |index: usize, default: u64| -> Result<u64, Box<dyn Error>> {
        Ok(numbers
            .get(index)
            .map_or(Ok(default), |text| text.parse())?)
    };
    let (nodes, seconds) = (number(0, 5_000)?, number(1, 900)?);
    let (pods, containers, padding) = (number(2, 30)?, number(3, 2)?, number(4, 0)?);
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port();
    let flags = [nodes, pods, containers, port.into(), padding].map(|number| number.to_string());
    let mut simulator = Command::new(cluster)
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = simulator.stdout.take().ok_or("its output is piped")?;
    let simulator = Simulator(simulator);
    let mut line = String::new();
    std::io::BufReader::new(output).read_line(&mut line)?;
    print!("{line}");
    let server = Server::start_with(
        Kind::Plimsoll,
        program,
        &[
            (
                "PLIMSOLL_KUBERNETES_API",
                &format!("http://127.0.0.1:{port}"),
            ),
            ("PLIMSOLL_KUBELET_SCHEME", "http"),
            ("PLIMSOLL_KUBELET_PAGES", pages),
            ("PLIMSOLL_INTERVAL", &format!("{INTERVAL_S}s")),
            // As deploy/ sets it: glibc keeps what was freed for each of its arenas.
            ("MALLOC_ARENA_MAX", "2"),
        ],
    )?;
    pause(WARM_UP_S);
    let cpu_before = server.cpu_seconds()?;
    let simulator_before = cpu_seconds_of(simulator.0.id())?;
    let before = Figures::of(&server)?;
    let mut ends = Vec::new();
    let mut resident_max = 0;
    let mut last = before;
    for interval in 1..=seconds.div_ceil(INTERVAL_S) {
        pause(INTERVAL_S);
        resident_max = resident_max.max(server.resident_bytes()?);
        ends.extend(lateness(&server)?);
        let now = Figures::of(&server)?;
        now.say_change(last, interval * INTERVAL_S);
        last = now;
    }
    #[expect(clippy::cast_precision_loss, reason = "a measured time")]
    let measured_s = (seconds.div_ceil(INTERVAL_S) * INTERVAL_S) as f64;
    let after = Figures::of(&server)?;
    let values = after.values - before.values;
    let cpu_s = server.cpu_seconds()? - cpu_before;
    let simulator_s = cpu_seconds_of(simulator.0.id())? - simulator_before;
    ends.sort_by(f64::total_cmp);
    let at = |part: usize| {
        ends.get((ends.len().saturating_sub(1)) * part / 1_000)
            .copied()
    };
    println!("{nodes} nodes x {pods} pods x {containers} containers, {pages}, {measured_s} s");
    println!("values a second           {:.0}", values / measured_s);
    println!("CPU, s a second           {:.3}", cpu_s / measured_s);
    println!(
        "CPU, us a value           {:.3}",
        cpu_s * 1e6 / values.max(1.0)
    );
    println!(
        "MB/s read and parsed      {:.1}",
        (after.bytes - before.bytes) / measured_s / 1e6
    );
    println!(
        "flushes                   {}",
        after.flushes - before.flushes
    );
    println!("CPU of the simulator      {:.3}", simulator_s / measured_s);
    println!("resident at most, MB      {}", resident_max / 1_000_000);
    println!(
        "scrapes end behind due, ms p50 {:.0} p99 {:.0} at most {:.0}",
        at(500).unwrap_or(f64::NAN),
        at(990).unwrap_or(f64::NAN),
        at(1_000).unwrap_or(f64::NAN)
    );
    let well = targets(&server)?.len();
    let left_out: Vec<f64> = after
        .missed
        .iter()
        .zip(before.missed)
        .map(|(after, before)| after - before)
        .collect();
    println!(
        "scrapes left out of {well} well targets: {} (behind one that waited for its turn {}, whose \
         answer took too long {}, that waited to be written {}); before the measurement {}; not \
         stored {}",
        left_out.iter().sum::<f64>(),
        left_out[0],
        left_out[1],
        left_out[2],
        before.missed.iter().sum::<f64>(),
        after.not_stored,
    );
    let latest_ms = at(1_000).unwrap_or(f64::NAN);
    let is_kept_up =
        left_out.iter().sum::<f64>() + after.not_stored == 0.0 && latest_ms <= LATE_MS_MAX;
    let (verb, end) = match is_kept_up {
        true => ("are kept up with", ""),
        false => (
            "are too many",
            ": a scrape of a well target was left out, not stored or over an interval late",
        ),
    };
    println!("{nodes} nodes {verb}{end}");
    Ok(())
}

/// What the server counts, at one time.
#[derive(Debug, Clone, Copy)]
struct Figures {
    values: f64,
    bytes: f64,
    flushes: f64,
    /// Scrapes of well targets that were left out: behind one that waited for its turn, whose answer
    /// took too long, that waited to be written.
    missed: [f64; 3],
    not_stored: f64,
    is_flushing: bool,
}

impl Figures {
    fn of(server: &Server) -> Result<Self, Box<dyn Error>> {
        let text = server.get("/metrics")?;
        let figure = |name: &str| -> Result<f64, Box<dyn Error>> {
            let line = text.lines().find_map(|line| {
                let rest = line.strip_prefix("plimsoll_")?.strip_prefix(name)?;
                rest.strip_prefix(' ')
            });
            Ok(line
                .ok_or_else(|| format!("no figure {name}"))?
                .trim()
                .parse()?)
        };
        Ok(Self {
            values: figure("values_written_total")?,
            bytes: figure("scrape_bytes_total")?,
            flushes: figure("flushes_total")?,
            missed: missed(server)?,
            not_stored: figure("scrapes_not_stored_total")?,
            is_flushing: figure("flushing")? > 0.0,
        })
    }

    /// A line where scrapes were left out or a flush ended since `before`.
    fn say_change(self, before: Self, after_s: u64) {
        let [turn, answer, write] =
            [0, 1, 2].map(|index| self.missed[index] - before.missed[index]);
        let flushes = self.flushes - before.flushes;
        if turn + answer + write + flushes > 0.0 || self.is_flushing {
            let state = if self.is_flushing {
                ", flushing now"
            } else {
                ""
            };
            println!(
                "at {after_s} s: left out behind a turn {turn}, an answer {answer}, a write {write}; \
                 {flushes} flushes ended{state}"
            );
        }
    }
}

fn targets(server: &Server) -> Result<Vec<Value>, Box<dyn Error>> {
    let text = server.get("/targets?format=json")?;
    let mut json: Value = serde_json::from_str(&text)?;
    let mut targets: Vec<Value> = serde_json::from_value(json["targets"].take())?;
    targets.retain(|target| {
        target["up"] == true
            && target["target"]
                .as_str()
                .is_some_and(|name| name.contains("://"))
    });
    Ok(targets)
}

/// How long behind its due time the last scrape of each well target had all it wanted, ms.
fn lateness(server: &Server) -> Result<Vec<f64>, Box<dyn Error>> {
    let ms = |target: &Value, key: &str| target[key].as_f64().unwrap_or(f64::NAN);
    let targets = targets(server)?;
    let ends = targets
        .iter()
        .map(|target| ms(target, "late_ms") + ms(target, "took_ms"));
    Ok(ends.collect())
}

/// How many scrapes were left out of well targets since the start, by reason.
fn missed(server: &Server) -> Result<[f64; 3], Box<dyn Error>> {
    let mut sums = [0.0; 3];
    for target in targets(server)? {
        for (sum, reason) in sums.iter_mut().zip(["turn", "answer", "write"]) {
            *sum += target["missed_by"][reason].as_f64().unwrap_or(f64::NAN);
        }
    }
    Ok(sums)
}

fn pause(seconds: u64) {
    // Nothing is ever sent.
    let (_sender, receiver) = channel::<()>();
    receiver.recv_timeout(Duration::from_secs(seconds)).ok();
}
