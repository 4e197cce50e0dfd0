//! Writing line protocol to Plimsoll, influxd 1.6.7 and VictoriaMetrics, side by side in one run.
//!
//! Each server is started in a temporary directory and takes the same requests through `/write`, one
//! whole scrape each, one server after the other, so that each has the machine to itself: in
//! Heapster's layout (a value a line, about 300 bytes) and in Telegraf's (15 values a line).
//! Plimsoll syncs each request and flushes on the way. What counts is CPU of the process; beside it
//! stand values taken a second, memory and disk. A peer that is not installed is SKIPPED.
//! `write PLIMSOLL_BINARY [HOURS] [NODES] [heapster|telegraf]`.
#![expect(clippy::print_stdout, reason = "the table is the program's output")]
#![expect(clippy::cast_precision_loss, reason = "numbers to print")]

use std::error::Error;

use plimsoll_benches::fleet::{Fleet, Layout, Shape};
use plimsoll_benches::server::{Kind, Server};
use plimsoll_benches::watch::Watch;

/// So that the load is flushed once and again, and not only logged, and that influxd takes a large
/// request on a machine that has much else to do.
const SETTINGS: [(&str, &str); 3] = [
    ("PLIMSOLL_LOG_FILE_SIZE", "8MiB"),
    ("PLIMSOLL_LOG_SIZE_MAX", "8MiB"),
    ("INFLUXDB_COORDINATOR_WRITE_TIMEOUT", "10m"),
];

/// A server and how long its requests took.
struct Contestant {
    server: Server,
    seconds: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: write PLIMSOLL_BINARY [HOURS] [NODES] [heapster|telegraf]";
    let mut arguments = std::env::args().skip(1);
    let plimsoll = arguments.next().ok_or(usage)?;
    let hours: u64 = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let nodes: usize = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let layouts: &[(&str, Layout)] = match arguments.next().as_deref() {
        None => &[
            ("Heapster", Layout::Heapster),
            ("Telegraf", Layout::Telegraf),
        ],
        Some("heapster") => &[("Heapster", Layout::Heapster)],
        Some("telegraf") => &[("Telegraf", Layout::Telegraf)],
        Some(_) => return Err(usage.into()),
    };
    for (name, layout) in layouts {
        compare(&plimsoll, name, *layout, hours * 360, nodes)?;
    }
    Ok(())
}

fn compare(
    plimsoll: &str,
    name: &str,
    layout: Layout,
    scrapes: u64,
    nodes: usize,
) -> Result<(), Box<dyn Error>> {
    let mut contestants = Vec::new();
    for (kind, program) in [
        (Kind::Plimsoll, plimsoll),
        (Kind::Influxd, "influxd"),
        (Kind::VictoriaMetrics, "victoria-metrics"),
    ] {
        match Server::start_with(kind, program, &SETTINGS) {
            Ok(server) => contestants.push(Contestant {
                server,
                seconds: 0.0,
            }),
            Err(error) if kind == Kind::Plimsoll => return Err(error),
            Err(error) => println!("SKIPPED {} {error}", kind.name()),
        }
    }
    let mut fleet = Fleet::new(Shape {
        nodes,
        churn_per_hour: 0.0,
        ..Shape::default()
    });
    let values_a_scrape = fleet.containers() as u64 * 15;
    let (mut lines_sent, mut bytes_sent) = (0, 0);
    for _ in 0..scrapes {
        let lines = fleet.scrape_lines(layout);
        lines_sent += lines.lines().count();
        bytes_sent += lines.len();
        for one in &mut contestants {
            let watch = Watch::start();
            one.server.write(&lines)?;
            one.seconds += watch.seconds();
        }
    }
    let values = values_a_scrape * scrapes;
    println!(
        "{name}: {values} values, {lines_sent} lines of {} bytes, {} lines a request\n",
        bytes_sent / lines_sent,
        lines_sent as u64 / scrapes,
    );
    println!(
        "| | CPU, µs a value | to Plimsoll | million values a second | resident, MB | at most, MB | disk, bytes a value |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut first = None;
    for Contestant { server, seconds } in &contestants {
        server.settle()?;
        let cpu = server.cpu_seconds()? * 1e6 / values as f64;
        let ratio = cpu / *first.get_or_insert(cpu);
        println!(
            "| {} | {cpu:.3} | {ratio:.1}× | {:.2} | {} | {} | {:.2} |",
            server.kind().name(),
            values as f64 / seconds / 1e6,
            server.resident_bytes()? / 1_000_000,
            server.peak_bytes()? / 1_000_000,
            server.disk_bytes()? as f64 / values as f64,
        );
    }
    println!();
    Ok(())
}
