//! What was acknowledged is there: after kill -9, after restarts, behind a torn log.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use support::{Server, directory, now_ns};

/// Where the frames of a log file start: docs/format.md.
const FIRST_FRAME: usize = 64;
const WRITERS: usize = 6;
/// Requests that must be acknowledged before the server is killed.
const ACKNOWLEDGED_MIN: usize = 120;

/// Every point that `m` holds, as (writer, number).
fn points(server: &Server) -> Vec<(String, i64)> {
    let answer = server.query("k8s", "SELECT n FROM m GROUP BY w", "&epoch=ns");
    let series = answer["results"][0]["series"].as_array().cloned();
    let mut points = Vec::new();
    for series in series.unwrap_or_default() {
        let writer = series["tags"]["w"].as_str().unwrap().to_owned();
        for row in series["values"].as_array().unwrap() {
            points.push((writer.clone(), row[1].as_i64().unwrap()));
        }
    }
    points
}

/// The log files of a data directory, oldest first.
fn log_files(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(data.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    files
}

#[test]
fn kill_9_during_writes_loses_nothing_that_was_acknowledged() {
    let data = directory();
    let server = Server::start(data.path());
    let client = server.client.clone();
    let acknowledged = Mutex::new(Vec::new());
    let count = AtomicUsize::new(0);
    let base = now_ns();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (client, acknowledged, count) = (&client, &acknowledged, &count);
            scope.spawn(move || {
                for number in 0_i64.. {
                    let time = base + number;
                    let line = format!("m,w=w{writer} n={number}i,s=\"text {number}\" {time}");
                    let path = "/write?db=k8s";
                    match client.try_send("POST", path, &[], line.as_bytes()) {
                        Ok(answer) if answer.status == 204 => {
                            acknowledged
                                .lock()
                                .unwrap()
                                .push((format!("w{writer}"), number));
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
                        Err(_) => return,
                    }
                }
            });
        }
        support::eventually("writes", || {
            (count.load(Ordering::SeqCst) >= ACKNOWLEDGED_MIN).then_some(())
        });
        server.kill();
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    for restart in 0..2 {
        let server = Server::start(data.path());
        let found: std::collections::BTreeSet<_> = points(&server).into_iter().collect();
        for point in &acknowledged {
            assert!(
                found.contains(point),
                "{point:?} is gone after restart {restart}"
            );
        }
        // Sent, not acknowledged: at most one request a writer was on its way.
        assert!(found.len() <= acknowledged.len() + WRITERS);
        server.kill();
    }
}

#[test]
fn data_survives_a_flush_and_two_restarts() {
    let data = directory();
    let config = data.path().join("c.toml");
    // Little log, so that it flushes soon.
    fs::write(
        &config,
        "log_file_size = \"1MiB\"\nlog_size_max = \"1MiB\"\n",
    )
    .unwrap();
    let config = config.to_string_lossy().into_owned();
    let flags = ["--no-cgroup", "--config", &config];
    let server = Server::start_with(data.path(), &flags);
    let base = now_ns() - 100_000_000_000;
    let mut rows: i64 = 0;
    let flushed = |server: &Server| {
        let text = server.client.get("/metrics").text();
        !text.contains("\nplimsoll_flushes_total 0\n")
    };
    support::eventually("a flush", || {
        let lines: String = (rows..rows + 2_000)
            .map(|row| {
                format!(
                    "m,w=w{} n={row}i,s=\"a text that fills the log {row}\" {}\n",
                    row % 7,
                    base + row
                )
            })
            .collect();
        server.write("k8s", &lines);
        rows += 2_000;
        flushed(&server).then_some(())
    });
    let expected = json!([[0, rows, rows * (rows - 1) / 2]]);
    let read = |server: &Server| {
        let answer = server.query("k8s", "SELECT count(n), sum(n) FROM m", "&epoch=ns");
        answer["results"][0]["series"][0]["values"].clone()
    };
    assert_eq!(read(&server), expected, "after the flush");
    server.stop();
    let server = Server::start_with(data.path(), &flags);
    assert_eq!(read(&server), expected, "after a restart");
    server.kill();
    let server = Server::start_with(data.path(), &flags);
    assert_eq!(read(&server), expected, "after a kill");
}

#[test]
fn a_torn_end_of_the_log_is_cut_and_reported() {
    let data = directory();
    let server = Server::start(data.path());
    let base = now_ns();
    for number in 0..20 {
        server.write("k8s", &format!("m,w=a n={number}i {}", base + number));
    }
    server.kill();
    // A frame that was half written when the power went: magic, length, checksum, then garbage.
    let last = log_files(data.path()).pop().expect("there is a log");
    let bytes = fs::read(&last).unwrap();
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    let mut file = fs::OpenOptions::new().write(true).open(&last).unwrap();
    let start = used.next_multiple_of(8);
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start as u64)).unwrap();
    file.write_all(&[&bytes[FIRST_FRAME..FIRST_FRAME + 12], &[0xAB; 100][..]].concat())
        .unwrap();
    drop(file);

    let server = Server::start(data.path());
    assert_eq!(points(&server).len(), 20);
    server.write("k8s", &format!("m,w=a n=20i {}", base + 20));
    let (_, log) = server.stop();
    let name = last.file_name().unwrap().to_string_lossy().into_owned();
    assert!(
        log.lines()
            .any(|line| line.contains("WARN") && line.contains(&name)),
        "{log}"
    );

    let server = Server::start(data.path());
    assert_eq!(points(&server).len(), 21);
    let (_, log) = server.stop();
    assert!(
        !log.contains(&format!("WARN {name}")),
        "it is said once: {log}"
    );
}

#[test]
fn a_log_that_lost_its_end_keeps_what_stands_before() {
    let data = directory();
    let server = Server::start(data.path());
    let base = now_ns();
    for number in 0..20 {
        server.write("k8s", &format!("m,w=a n={number}i {}", base + number));
    }
    server.kill();
    let last = log_files(data.path()).pop().expect("there is a log");
    let bytes = fs::read(&last).unwrap();
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
    file.set_len(used as u64 - 3).unwrap();
    drop(file);
    let server = Server::start(data.path());
    let numbers: Vec<i64> = points(&server)
        .into_iter()
        .map(|(_, number)| number)
        .collect();
    assert_eq!(numbers, (0..19).collect::<Vec<_>>());
}
