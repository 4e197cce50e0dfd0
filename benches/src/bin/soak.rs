//! A soak: many clients, some slow, some that leave, some over the limits, for a time; then
//! whether everything acknowledged is there, whether memory is flat, and how long answers took.
//!
//! `soak PLIMSOLL_BINARY [SECONDS] [CONNECTIONS]`; it ends with 1 where something is lost, memory
//! grows, or a server error was answered.
#![expect(clippy::print_stdout, reason = "the report is the program's output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use plimsoll_benches::server::{Kind, Server};
use plimsoll_benches::soak::{Behaviour, Seen, Soak};

/// Small, so that every limit is reached.
const SETTINGS: [(&str, &str); 6] = [
    ("PLIMSOLL_QUERY_MEMORY_MAX", "256MiB"),
    ("PLIMSOLL_MAX_BODY_SIZE", "1MiB"),
    ("PLIMSOLL_REQUEST_MEMORY_MAX", "4MiB"),
    ("PLIMSOLL_HEAD_SIZE_MAX", "64MiB"),
    ("PLIMSOLL_LOG_SIZE_MAX", "64MiB"),
    ("PLIMSOLL_MAX_CONCURRENT_QUERIES", "16"),
];
/// The last quarter's memory may be this many times that of the second.
const GROWTH_MAX: f64 = 1.3;
/// What is no growth, however little there was before: allocators keep some.
const GROWTH_BYTES_MIN: f64 = 50e6;
/// Growth of a shorter run is the server's start: head, caches and threads fill.
const GROWTH_SECONDS_MIN: usize = 120;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: soak PLIMSOLL_BINARY [SECONDS] [CONNECTIONS]";
    let program = arguments.next().ok_or(usage)?;
    let seconds: usize = arguments.next().map_or(Ok(600), |text| text.parse())?;
    let connections: usize = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let server = Server::start_with(Kind::Plimsoll, &program, &SETTINGS)?;
    let soak = Soak::new(server.port());
    let (seen, memory) = run(&soak, &server, seconds, connections)?;
    println!(
        "{} requests of {connections} clients in {seconds} s",
        soak.answered()
    );
    let mut good = report_statuses(&seen);
    report_latencies(&seen);
    good &= report_memory(&memory);
    good &= everything_is_there(&server, &seen)?;
    println!("CPU of the server: {:.1} s", server.cpu_seconds()?);
    if good {
        Ok(())
    } else {
        Err("the soak failed".into())
    }
}

/// What each client has seen, and the server's memory second by second.
fn run(
    soak: &Soak,
    server: &Server,
    seconds: usize,
    connections: usize,
) -> Result<(Vec<Seen>, Vec<u64>), Box<dyn Error>> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|number| scope.spawn(move || soak.client(number)))
            .collect();
        // Nothing is ever sent: waiting on it is a pause.
        let (_kept, pause) = std::sync::mpsc::channel::<()>();
        let memory: Result<Vec<u64>, _> = (0..seconds)
            .map(|_| {
                let sent = pause.recv_timeout(Duration::from_secs(1));
                debug_assert!(sent.is_err(), "nobody sends");
                server.resident_bytes()
            })
            .collect();
        soak.stop();
        let seen: Result<Vec<Seen>, _> = clients.into_iter().map(|client| client.join()).collect();
        Ok((seen.map_err(|_| "a client panicked")?, memory?))
    })
}

/// Whether no answer was a server error other than 503.
fn report_statuses(seen: &[Seen]) -> bool {
    let mut all: BTreeMap<String, BTreeMap<u16, u64>> = BTreeMap::new();
    for (number, seen) in seen.iter().enumerate() {
        let statuses = all
            .entry(format!("{:?}", Behaviour::of(number)))
            .or_default();
        for (status, count) in &seen.statuses {
            *statuses.entry(*status).or_default() += count;
        }
    }
    println!("| client | answers by status (0: none) |\n|---|---|");
    for (behaviour, statuses) in &all {
        println!("| {behaviour} | {statuses:?} |");
    }
    let mut statuses = all.values().flat_map(BTreeMap::keys);
    statuses.all(|status| *status < 500 || *status == 503)
}

fn report_latencies(seen: &[Seen]) {
    for behaviour in [Behaviour::Writes, Behaviour::Queries] {
        let of_kind = seen.iter().enumerate();
        let of_kind = of_kind.filter(|(number, _)| Behaviour::of(*number) == behaviour);
        let mut latencies: Vec<Duration> = of_kind
            .flat_map(|(_, seen)| seen.latencies.iter().copied())
            .collect();
        latencies.sort_unstable();
        let at = |percent: usize| latencies.get(latencies.len() * percent / 100);
        println!(
            "{behaviour:?}: p50 {:?}, p99 {:?}, of {}",
            at(50),
            at(99),
            latencies.len()
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory, in a report")]
fn report_memory(memory: &[u64]) -> bool {
    let quarter = (memory.len() / 4).max(1);
    let median = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).map_or(0.0, |bytes| *bytes as f64)
    };
    let quarters: Vec<f64> = memory.chunks(quarter).take(4).map(median).collect();
    let shown: Vec<String> = quarters
        .iter()
        .map(|bytes| format!("{:.0}", bytes / 1e6))
        .collect();
    println!("resident MB by quarter (median): {}", shown.join(", "));
    let (Some(second), Some(last)) = (quarters.get(1), quarters.get(3)) else {
        return true;
    };
    memory.len() < GROWTH_SECONDS_MIN
        || *last <= second * GROWTH_MAX
        || last - second <= GROWTH_BYTES_MIN
}

fn everything_is_there(server: &Server, seen: &[Seen]) -> Result<bool, Box<dyn Error>> {
    let (mut acknowledged, mut lost) = (0, 0);
    for (number, seen) in seen
        .iter()
        .enumerate()
        .filter(|(_, seen)| seen.acknowledged > 0)
    {
        let count = seen.acknowledged;
        let path = format!(
            "/query?db=bench&q=SELECT+count(v)+FROM+soak+WHERE+w=%27{number}%27+AND+v%3C{count}"
        );
        let answer = server.get(&path)?;
        let found = answer.rsplit(',').next().unwrap_or_default();
        let digits: String = found.chars().take_while(char::is_ascii_digit).collect();
        let found: u64 = digits
            .parse()
            .map_err(|_| format!("no count in {answer}"))?;
        acknowledged += count;
        lost += count - found.min(count);
    }
    println!("{acknowledged} points acknowledged, {lost} lost");
    Ok(lost == 0 && acknowledged > 0)
}
