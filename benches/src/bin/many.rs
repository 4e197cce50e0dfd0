//! Very many active series: what they take in memory, how fast they are written, flushed, and
//! read back after a kill.
//!
//! `many [--layout heapster|telegraf] [--containers N] [--scrapes N] [--head-mib N] [--log-mib N]
//! [--flush] [PLIMSOLL_BINARY]`: with a program through its `/write`, one node's scrape a request,
//! else through the engine in this process. All is written with durability `sync`. A program is also
//! asked which pods one namespace has.
#![expect(clippy::print_stdout, reason = "the report is the program's output")]
#![expect(clippy::cast_precision_loss, reason = "numbers to print")]

use std::error::Error;

use plimsoll_benches::fleet::Layout;
use plimsoll_benches::many::{Many, START};
use plimsoll_benches::server::{Kind, Server, cpu_seconds_of, memory_bytes};
use plimsoll_benches::store::{DATABASE, Store};
use plimsoll_benches::watch::Watch;
use plimsoll_engine::Durability;

/// How often the pods of a namespace are asked for.
const NAME_QUERIES: usize = 15;

/// What is asked for.
struct Asked {
    scale: Many,
    scrapes: u64,
    head_bytes: u64,
    log_bytes: u64,
    flush: bool,
    program: Option<String>,
}

fn asked() -> Result<Asked, Box<dyn Error>> {
    let mut asked = Asked {
        scale: Many {
            containers: 300_000,
            interval_ns: 15_000_000_000,
            layout: Layout::Heapster,
        },
        scrapes: 8,
        head_bytes: 512 << 20,
        log_bytes: 512 << 20,
        flush: false,
        program: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64, Box<dyn Error>> {
            let text = arguments.next().ok_or("a number is missing")?;
            Ok(text.parse()?)
        };
        match argument.as_str() {
            "--containers" => asked.scale.containers = number()?,
            "--scrapes" => asked.scrapes = number()?,
            "--head-mib" => asked.head_bytes = number()? << 20,
            "--log-mib" => asked.log_bytes = number()? << 20,
            "--flush" => asked.flush = true,
            "--layout" => {
                asked.scale.layout = match arguments.next().as_deref() {
                    Some("heapster") => Layout::Heapster,
                    Some("telegraf") => Layout::Telegraf,
                    _ => return Err("--layout heapster or telegraf".into()),
                }
            }
            _ => asked.program = Some(argument),
        }
    }
    Ok(asked)
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = asked()?;
    println!(
        "{} containers, {} series, {} scrapes, {:?}",
        asked.scale.containers,
        asked.scale.values_per_scrape(),
        asked.scrapes,
        asked.scale.layout
    );
    match &asked.program {
        Some(program) => through_server(&asked, program),
        None => through_engine(&asked),
    }
}

fn through_engine(asked: &Asked) -> Result<(), Box<dyn Error>> {
    let (scale, own) = (&asked.scale, std::process::id());
    let before = memory_bytes(own, "VmRSS:")?;
    let idle = cpu_seconds_of(own)?;
    for node in 0..scale.nodes() {
        std::hint::black_box(scale.batch(node, 0));
    }
    let making = cpu_seconds_of(own)? - idle;
    println!("making a scrape takes {making:.2} s of CPU, which is taken off below");
    let store = Store::with(Durability::Sync, asked.head_bytes, asked.log_bytes);
    let watch = Watch::start();
    let (mut cpu, mut flushing, mut flushes) = (cpu_seconds_of(own)?, 0.0, 0);
    for scrape in 0..asked.scrapes {
        for node in 0..scale.nodes() {
            let batch = scale.batch(node, scrape);
            store.engine.write(DATABASE, "", &batch)?;
            let turn = Watch::start();
            store.engine.maintain()?;
            let done = store.engine.stats().flushes;
            if done > flushes {
                flushes = done;
                flushing += turn.seconds();
            }
        }
        let now = cpu_seconds_of(own)?;
        let stats = store.engine.stats();
        println!(
            "scrape {scrape}: {:.3} µs of CPU a value, {:.0} MB resident, {:.0} MB head, {:.0} MB log, {flushes} flushes in {flushing:.1} s",
            (now - cpu - making) * 1e6 / scale.values_per_scrape() as f64,
            mb(memory_bytes(own, "VmRSS:")? - before),
            mb(stats.head_bytes),
            mb(stats.log_bytes),
        );
        cpu = now;
    }
    let values = scale.values_per_scrape() * asked.scrapes;
    println!(
        "{values} values in {:.1} s; at most {:.0} MB resident; {:.2} bytes of log a value since the last flush",
        watch.seconds(),
        mb(memory_bytes(own, "VmHWM:")? - before),
        store.engine.stats().log_bytes as f64 / values as f64,
    );
    let killed = store.killed();
    let watch = Watch::start();
    let cpu = cpu_seconds_of(own)?;
    let store = killed.open(Durability::Sync, asked.head_bytes, asked.log_bytes);
    println!(
        "opened again in {:.2} s ({:.2} s of CPU), {:.0} MB of log",
        watch.seconds(),
        cpu_seconds_of(own)? - cpu,
        mb(store.engine.stats().log_bytes),
    );
    if asked.flush {
        let (watch, cpu) = (Watch::start(), cpu_seconds_of(own)?);
        store.engine.flush()?;
        let stats = store.engine.stats();
        println!(
            "flushed in {:.1} s ({:.1} s of CPU): {:.2} bytes a value on disk, at most {:.0} MB resident",
            watch.seconds(),
            cpu_seconds_of(own)? - cpu,
            stats.segment_bytes as f64 / values as f64,
            mb(memory_bytes(own, "VmHWM:")? - before),
        );
    }
    Ok(())
}

fn through_server(asked: &Asked, program: &str) -> Result<(), Box<dyn Error>> {
    let scale = &asked.scale;
    let head = format!("{}MiB", asked.head_bytes >> 20);
    let log = format!("{}MiB", asked.log_bytes >> 20);
    let settings = [
        ("MALLOC_ARENA_MAX", "2"),
        ("PLIMSOLL_HEAD_SIZE_MAX", head.as_str()),
        ("PLIMSOLL_LOG_SIZE_MAX", log.as_str()),
    ];
    let mut server = Server::start_with(Kind::Plimsoll, program, &settings)?;
    println!("idle: {:.0} MB resident", mb(server.resident_bytes()?));
    let watch = Watch::start();
    let mut cpu = server.cpu_seconds()?;
    for scrape in 0..asked.scrapes {
        let mut bytes = 0;
        for node in 0..scale.nodes() {
            let lines = scale.lines(node, scrape);
            bytes += lines.len() as u64;
            server.write(&lines)?;
        }
        let now = server.cpu_seconds()?;
        println!(
            "scrape {scrape}: {:.3} µs of CPU a value, {:.0} MB resident, {:.0} MB of lines",
            (now - cpu) * 1e6 / scale.values_per_scrape() as f64,
            mb(server.resident_bytes()?),
            mb(bytes),
        );
        cpu = now;
    }
    let values = scale.values_per_scrape() * asked.scrapes;
    println!(
        "{values} values in {:.1} s; at most {:.0} MB resident; {:.0} MB on disk",
        watch.seconds(),
        mb(server.peak_bytes()?),
        mb(server.disk_bytes()?),
    );
    let measurement = match scale.layout {
        Layout::Heapster => "uptime_ms_cumulative%22",
        Layout::Telegraf => "container%22",
    };
    let field = match scale.layout {
        Layout::Heapster => "value",
        Layout::Telegraf => "uptime_ms_cumulative",
    };
    let count =
        format!("/query?db=bench&q=SELECT%20count(%22{field}%22)%20FROM%20%22{measurement}");
    let expected = format!(",{}]", scale.containers * asked.scrapes);
    let pods = format!(
        "/query?db=bench&q=SHOW%20TAG%20VALUES%20FROM%20%22{measurement}%20WITH%20KEY%20%3D%20pod_name%20\
         WHERE%20namespace_name%20%3D%20%27namespace-007%27%20AND%20time%20%3E%3D%20{START}"
    );
    let mut turns = Vec::new();
    let mut found = 0;
    for _ in 0..NAME_QUERIES {
        let watch = Watch::start();
        found = server.get(&pods)?.matches("[\"pod_name\"").count();
        turns.push(watch.seconds() * 1e3);
    }
    turns.sort_by(f64::total_cmp);
    println!(
        "SHOW TAG VALUES of a namespace: {found} pods in {:.2} ms (median of {NAME_QUERIES})",
        turns[turns.len() / 2]
    );
    let watch = Watch::start();
    server.kill_and_restart(program, &settings)?;
    let up = watch.seconds();
    let answer = server.get(&count)?;
    if !answer.contains(&expected) {
        return Err(format!("{expected} is not in {answer}").into());
    }
    println!(
        "killed and started: answers after {up:.2} s ({:.2} s of CPU), counts all after {:.2} s, {:.0} MB resident",
        server.cpu_seconds()?,
        watch.seconds(),
        mb(server.resident_bytes()?),
    );
    Ok(())
}
