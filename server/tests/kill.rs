//! The real binary is killed again and again while it is written to: what it acknowledged is there
//! after the next start, and nothing that was never sent.
//!
//! A few rounds by default; `PLIMSOLL_KILL_ROUNDS` asks for more.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test stops where it fails"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use support::{Client, Server, directory, eventually, plimsoll};

/// Rounds where nothing else is asked for.
const ROUNDS: u64 = 5;
/// Points in a request.
const POINTS: u64 = 8;
/// A value that is long, so that the log fills and is flushed within a round or two.
const FILLING_BYTES: usize = 6_000;

/// A server whose log is flushed at 2 MiB.
fn start(data: &Path) -> Server {
    let mut command = plimsoll();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--no-cgroup", "--data"])
        .arg(data)
        .env("PLIMSOLL_LOG_FILE_SIZE", "1MiB")
        .env("PLIMSOLL_LOG_SIZE_MAX", "2MiB")
        .env("PLIMSOLL_MONITOR_STORE_ENABLED", "false");
    Server::spawn(&mut command)
}

/// Writes requests until one fails; the numbers that were acknowledged.
fn write(client: &Client, first: u64, acknowledged: &AtomicU64) -> (BTreeSet<u64>, u64) {
    let filling = "x".repeat(FILLING_BYTES);
    let (mut told, mut next) = (BTreeSet::new(), first);
    loop {
        let numbers = next..next + POINTS;
        let line = |n: u64| {
            format!(
                "m,t=a{} n={n}i,s=\"{n}{filling}\" {}\n",
                n % 5,
                1 + n * 1000
            )
        };
        let body: String = numbers.clone().map(line).collect();
        next = numbers.end;
        let answer = client.try_send("POST", "/write?db=d", &[], body.as_bytes());
        match answer.map(|answer| answer.status) {
            Ok(204) => {
                told.extend(numbers);
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            _ => return (told, next),
        }
    }
}

fn found(server: &Server) -> BTreeSet<u64> {
    let answer = server.query("d", "SELECT n FROM m", "&epoch=ns");
    let rows = answer["results"][0]["series"][0]["values"]
        .as_array()
        .cloned();
    let rows = rows.unwrap_or_default();
    let numbers: BTreeSet<u64> = rows.iter().map(|row| row[1].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), rows.len(), "no point twice");
    for row in &rows {
        assert_eq!(
            row[0].as_u64().unwrap(),
            1 + row[1].as_u64().unwrap() * 1000
        );
    }
    numbers
}

#[test]
fn what_was_acknowledged_is_there_after_every_kill() {
    let rounds = std::env::var("PLIMSOLL_KILL_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok());
    let data = directory();
    let (mut told, mut next) = (BTreeSet::new(), 0);
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let server = start(data.path());
        if round == 0 {
            server.query("", "CREATE DATABASE d", "");
        }
        let before = found(&server);
        assert!(
            told.is_subset(&before),
            "round {round}: {:?}",
            told.difference(&before)
        );
        assert!(before.iter().all(|n| *n < next), "round {round}");
        let acknowledged = AtomicU64::new(0);
        // Another number of requests each round, so that other moments are hit.
        let wanted = 3 + round * 7 % 23;
        let client = server.client.clone();
        let (first, acks) = (next, &acknowledged);
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || write(&client, first, acks));
            eventually("acknowledged writes", || {
                (acknowledged.load(Ordering::SeqCst) >= wanted).then_some(())
            });
            server.kill();
            let (more, end) = writer.join().unwrap();
            told.extend(more);
            next = end;
        });
    }
    let server = start(data.path());
    let end = found(&server);
    assert!(told.is_subset(&end), "{:?}", told.difference(&end));
    assert!(end.iter().all(|n| *n < next));
    assert!(told.len() as u64 >= ROUNDS * POINTS);
    assert_eq!(server.stop().0.code(), Some(0));
    let verified = plimsoll()
        .args(["verify", "--data"])
        .arg(data.path())
        .status()
        .unwrap();
    assert!(verified.success());
}
