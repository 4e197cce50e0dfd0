//! Dashboard queries against Plimsoll, influxd 1.6.7 and VictoriaMetrics, side by side in one run.
//!
//! Each server is started in a temporary directory, takes the same lines through `/write`, and
//! answers the same questions: first with Plimsoll's data where the load left it, then with all of
//! it in segments. The tables go to standard output. A peer that is not installed is SKIPPED.
//! `dashboards PLIMSOLL_BINARY [HOURS] [NODES] [ROUNDS]`.
#![expect(clippy::print_stdout, reason = "the table is the program's output")]
#![expect(clippy::disallowed_methods, reason = "a stopwatch reads the time")]

use std::error::Error;
use std::time::{Duration, Instant};

use plimsoll_benches::dashboards::queries::{Question, questions};
use plimsoll_benches::fleet::{Fleet, Layout, Shape};
use plimsoll_benches::server::{Kind, Server};

/// For so long each server does nothing before the first question.
const SECONDS_STILL: u32 = 5;

/// How often each question is asked where nothing else is said, at least; the median counts.
const ROUNDS: usize = 15;

/// So often the servers take turns at a question, where it is asked more often than once: what
/// else the machine does then slows all of them.
const TURNS: usize = 5;

/// For so long a server is asked in a turn, at least, and before that without counting.
const SPELL: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let plimsoll = arguments
        .next()
        .ok_or("usage: dashboards PLIMSOLL_BINARY [HOURS] [NODES] [ROUNDS]")?;
    let hours: i64 = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let nodes: usize = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(ROUNDS), |text| text.parse())?;
    let mut servers = Vec::new();
    for (kind, program) in [
        (Kind::Plimsoll, plimsoll.as_str()),
        (Kind::Influxd, "influxd"),
        (Kind::VictoriaMetrics, "victoria-metrics"),
    ] {
        match Server::start(kind, program) {
            Ok(server) => servers.push(server),
            Err(error) if kind == Kind::Plimsoll => return Err(error),
            Err(error) => println!("SKIPPED {} {error}", kind.name()),
        }
    }
    let shape = Shape {
        nodes,
        churn_per_hour: 0.0,
        ..Shape::default()
    };
    let values = load(&servers, shape.clone(), hours)?;
    println!("| after {values} values | CPU, µs a value | resident, MB | disk, bytes a value |");
    println!("|---|---|---|---|");
    for server in &servers {
        let cpu = micros_a_value(server.cpu_seconds()?, values);
        row(server, &format!("{cpu:.2}"), values)?;
    }
    println!();
    let end = shape.start.0 / 1_000_000_000 + hours * 3600;
    let sample = Fleet::new(shape.clone()).scrape_lines(Layout::Heapster);
    let pod = sample
        .split("pod_name=")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .ok_or("a line has a pod_name")?;
    let questions = questions(pod, shape.start.0 / 1_000_000_000, end);
    ask(&servers, &questions, rounds)?;
    println!("\n| after a merge | CPU, µs a value | resident, MB | disk, bytes a value |");
    println!("|---|---|---|---|");
    for server in servers
        .iter_mut()
        .filter(|one| one.kind() == Kind::Plimsoll)
    {
        server.compact()?;
        row(server, "", values)?;
    }
    println!();
    ask(&servers, &questions, rounds)
}

/// A row of the table of what a server takes.
fn row(server: &Server, cpu: &str, values: u64) -> Result<(), Box<dyn Error>> {
    let resident_mb = server.resident_bytes()? / 1_000_000;
    let disk = bytes_a_value(server.disk_bytes()?, values);
    let name = server.kind().name();
    println!("| {name} | {cpu} | {resident_mb} | {disk:.2} |");
    Ok(())
}

/// Sends all scrapes to all servers; answers how many values they were.
fn load(servers: &[Server], shape: Shape, hours: i64) -> Result<u64, Box<dyn Error>> {
    let mut fleet = Fleet::new(shape);
    let mut values = 0;
    for _ in 0..hours * 360 {
        let lines = fleet.scrape_lines(Layout::Heapster);
        values += lines.lines().count() as u64;
        std::thread::scope(|scope| {
            let sent: Vec<_> = servers
                .iter()
                .map(|server| scope.spawn(|| server.write(&lines).map_err(|e| e.to_string())))
                .collect();
            sent.into_iter()
                .try_for_each(|sent| sent.join().map_err(|_| "a writer panicked".to_owned())?)
        })?;
    }
    for server in servers {
        server.settle()?;
    }
    // What one still does with the load would slow down the others' answers.
    for server in servers {
        server.rest(SECONDS_STILL)?;
    }
    Ok(values)
}

fn ask(servers: &[Server], questions: &[Question], rounds: usize) -> Result<(), Box<dyn Error>> {
    let names = servers.iter().map(|server| server.kind().name());
    let names: Vec<_> = names.map(|name| format!("{name}, ms | ")).collect();
    println!("| p50 | {}ratios |", names.concat());
    println!("|{}", "---|".repeat(2 + servers.len()));
    for question in questions {
        let mut millis = vec![Vec::new(); servers.len()];
        let turns = if rounds > 1 { TURNS } else { 1 };
        for _ in 0..turns {
            for (server, millis) in servers.iter().zip(&mut millis) {
                let mut spell = Duration::ZERO;
                if rounds > 1 {
                    // A machine that was idle, or did other work, is slow at first.
                    spell = SPELL;
                    times(server, question, 1, spell)?;
                }
                millis.extend(times(server, question, rounds.div_ceil(turns), spell)?);
            }
        }
        let medians = millis.iter_mut().map(|millis| {
            millis.sort_by(f64::total_cmp);
            millis[millis.len() / 2]
        });
        let medians: Vec<f64> = medians.collect();
        let shown: Vec<_> = medians.iter().map(|ms| format!("{ms:.2} | ")).collect();
        let ratios = medians[1..].iter().map(|ms| ms / medians[0]);
        let ratios: Vec<_> = ratios.map(|ratio| format!("{ratio:.1}×")).collect();
        let name = question.name;
        println!("| {name} | {}{} |", shown.concat(), ratios.join(", "));
    }
    Ok(())
}

/// Asks a question so often and for so long, at least; answers how many ms each answer took.
fn times(
    server: &Server,
    question: &Question,
    rounds: usize,
    spell: Duration,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let path = question.path(server.kind());
    let begun = Instant::now();
    let mut millis = Vec::new();
    while millis.len() < rounds || begun.elapsed() < spell {
        let start = Instant::now();
        let body = server.get(&path)?;
        millis.push(start.elapsed().as_secs_f64() * 1000.0);
        if body.len() < 60 || body.contains("\"error\"") {
            let shown: String = body.chars().take(200).collect();
            return Err(format!("{}: {shown}", question.name).into());
        }
    }
    Ok(millis)
}

#[expect(clippy::cast_precision_loss, reason = "an average")]
fn micros_a_value(seconds: f64, values: u64) -> f64 {
    seconds * 1e6 / values as f64
}

#[expect(clippy::cast_precision_loss, reason = "an average")]
fn bytes_a_value(bytes: u64, values: u64) -> f64 {
    bytes as f64 / values as f64
}
