//! Bytes on disk of real container counters in Plimsoll, influxd 1.6.7 and VictoriaMetrics.
//!
//! The recording of ../shared/data/series, a value every 10 s, repeated under other names, goes to
//! each server through `/write`; then each compacts what it has, and what its directory occupies is
//! compared. `disk PLIMSOLL_BINARY [MILLION VALUES] [recorded|random]`: `random` is the opposite of
//! containers, one series a tag set, random times and random floats.
#![expect(clippy::print_stdout, reason = "the table is the program's output")]
#![expect(
    clippy::disallowed_methods,
    reason = "data ends now, so that it is not cold at once"
)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll_benches::recording::{Copies, Recording};
use plimsoll_benches::server::{Kind, Server, occupied};
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::{Engine, Options, Timestamp};
use plimsoll_wal::storage::Disk;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Seconds between two values of a series.
const EVERY: usize = 10;
/// Series and values of each in one request of random floats.
const RANDOM_SERIES: usize = 10_000;

/// Makes influxd compact as far as it ever does, a second after the last write, and take a large
/// request on a machine that has much else to do.
const COMPACT_SOON: [(&str, &str); 3] = [
    ("INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION", "1s"),
    ("INFLUXDB_DATA_COMPACT_FULL_WRITE_COLD_DURATION", "1s"),
    ("INFLUXDB_COORDINATOR_WRITE_TIMEOUT", "10m"),
];

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let usage = "usage: disk PLIMSOLL_BINARY [MILLION VALUES] [recorded|random]";
    let mut arguments = std::env::args().skip(1);
    let plimsoll = arguments.next().ok_or(usage)?;
    let millions: usize = arguments.next().map_or(Ok(50), |text| text.parse())?;
    let is_random = match arguments.next().as_deref() {
        None | Some("recorded") => false,
        Some("random") => true,
        Some(_) => return Err(usage.into()),
    };
    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let end = i64::try_from(end)?;
    let Some(recording) = Recording::read()? else {
        println!("SKIPPED disk ../shared/data is not there");
        return Ok(());
    };
    let one = Copies::new(&recording, 1, EVERY, end);
    let per_copy: u64 = (0..one.scrapes()).map(|scrape| one.lines(scrape).1).sum();
    let wanted = millions as u64 * 1_000_000;
    let copies = Copies::new(
        &recording,
        usize::try_from(wanted.div_ceil(per_copy))?,
        EVERY,
        end,
    );
    let batches = |each: &mut dyn FnMut(&str) -> Result<(), Failure>| -> Result<u64, Failure> {
        let mut values = 0;
        if is_random {
            let mut random = StdRng::seed_from_u64(7);
            while values < wanted {
                let lines = random_lines(&mut random, end);
                each(&lines)?;
                values += RANDOM_SERIES as u64;
            }
        } else {
            for scrape in 0..copies.scrapes() {
                let (lines, count) = copies.lines(scrape);
                each(&lines)?;
                values += count;
            }
        }
        Ok(values)
    };
    println!("| | CPU, µs a value | bytes | bytes a value |");
    println!("|---|---|---|---|");
    let mut cold = 0;
    for (kind, program) in [
        (Kind::Plimsoll, plimsoll.as_str()),
        (Kind::VictoriaMetrics, "victoria-metrics"),
        (Kind::Influxd, "influxd"),
    ] {
        let server = match Server::start_with(kind, program, &COMPACT_SOON) {
            Ok(server) => server,
            Err(error) if kind == Kind::Plimsoll => return Err(error),
            Err(error) => {
                println!("SKIPPED {} {error}", kind.name());
                continue;
            }
        };
        let values = batches(&mut |lines| server.write(lines))?;
        if kind == Kind::Plimsoll {
            cold = plimsoll_sizes(server, values, end)?;
        } else {
            server.compact_fully()?;
            let bytes = server.disk_bytes()?;
            row(kind.name(), server.cpu_seconds()?, bytes, values);
            println!(
                "| {} to Plimsoll, cold | | {:.2}× | |",
                kind.name(),
                ratio(bytes, cold)
            );
        }
    }
    Ok(())
}

/// Prints what it occupies when everything is flushed and merged as far as it is hot, and when it
/// is cold; answers the latter.
fn plimsoll_sizes(server: Server, values: u64, end: i64) -> Result<u64, Failure> {
    let loaded = server.cpu_seconds()?;
    let directory = server.end();
    let data = directory.path().join("data");
    let clock = Arc::new(ManualClock::new(Timestamp(end)));
    let stop = AtomicBool::new(false);
    // No log is preallocated again while the directory is measured.
    let (engine, _) = Engine::open(Arc::new(Disk), Options::new(&data), clock)?;
    let before = own_cpu_seconds()?;
    engine.flush()?;
    while engine.compact_step(&stop)?.is_some() {}
    let bytes = without_log(&data)?;
    row(
        "Plimsoll, hot",
        loaded + own_cpu_seconds()? - before,
        bytes,
        values,
    );
    let before = own_cpu_seconds()?;
    engine.compact_all(&stop)?;
    let bytes = without_log(&data)?;
    row(
        "Plimsoll, cold (CPU of the rewrite)",
        own_cpu_seconds()? - before,
        bytes,
        values,
    );
    engine.close()?;
    Ok(bytes)
}

/// What the directory occupies without the preallocated, empty log.
fn without_log(data: &Path) -> Result<u64, Failure> {
    Ok(occupied(data)? - occupied(&data.join("log"))?)
}

fn own_cpu_seconds() -> Result<f64, Failure> {
    plimsoll_benches::server::cpu_seconds_of(std::process::id())
}

/// A value for each of many series, at random times of an hour.
fn random_lines(random: &mut StdRng, end: i64) -> String {
    let mut out = String::new();
    for series in 0..RANDOM_SERIES {
        let time = end - random.random_range(0..3_600_000_000_000i64);
        let value: f64 = random.random();
        out.push_str(&format!("random,id=s{series} value={value} {time}\n"));
    }
    out
}

fn row(name: &str, cpu_seconds: f64, bytes: u64, values: u64) {
    let cpu = cpu_seconds * 1e6 / number(values);
    println!(
        "| {name} | {cpu:.2} | {bytes} | {:.3} |",
        ratio(bytes, values)
    );
}

fn ratio(a: u64, b: u64) -> f64 {
    number(a) / number(b)
}

#[expect(clippy::cast_precision_loss, reason = "an average")]
fn number(number: u64) -> f64 {
    number as f64
}
