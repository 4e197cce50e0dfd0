//! A query that asks for too much is refused with the setting that refuses it, and the process
//! never takes much more memory than queries have.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fmt::Write;

use support::{Server, directory, now_ns};

const QUERY_MEMORY_BYTES: u64 = 16 << 20;
/// What an answer on its way, the rows of a few series and the allocator may take beside it; the
/// whole of what is asked for takes several times as much.
const BESIDE_BYTES: u64 = 64 << 20;

const SERIES: i64 = 50;
const ROWS: i64 = 12_000;

fn server(data: &tempfile::TempDir) -> Server {
    let config = data.path().join("c.toml");
    let settings = format!("query_memory_max = \"{QUERY_MEMORY_BYTES}\"\n");
    std::fs::write(&config, settings).unwrap();
    let flags = ["--no-cgroup", "--config", &config.to_string_lossy()];
    let server = Server::start_with(data.path(), &flags);
    let start = now_ns() - ROWS * 1_000_000_000;
    for series in 0..SERIES {
        let mut lines = String::new();
        for row in 0..ROWS {
            let (time, value) = (start + row * 1_000_000_000, row * series);
            writeln!(lines, "m,host=host-{series:03} v={value}i {time}").unwrap();
        }
        server.write("k8s", &lines);
    }
    server
}

#[test]
fn a_query_for_too_much_is_refused_and_memory_stays_under_its_budget() {
    let data = directory();
    let server = server(&data);
    let before = server.resident_bytes();
    server.forget_peak();
    let year = "time > now() - 365d";
    for (query, setting) in [
        (
            format!("SELECT mean(v) FROM m WHERE {year} GROUP BY time(1s)"),
            "max-select-buckets",
        ),
        (
            format!("SELECT mean(v) FROM m WHERE {year} GROUP BY time(1s), host"),
            "max-select-buckets",
        ),
        ("SELECT * FROM m".to_owned(), "query_memory_max"),
        ("SELECT * FROM /.*/".to_owned(), "query_memory_max"),
        ("SELECT v FROM m GROUP BY *".to_owned(), "query_memory_max"),
        (
            "SELECT percentile(v, 95) FROM m".to_owned(),
            "query_memory_max",
        ),
        (
            "SELECT max(v) FROM (SELECT v * 2 AS v FROM m)".to_owned(),
            "query_memory_max",
        ),
    ] {
        let answer = server.query("k8s", &query, "");
        let error = answer["results"][0]["error"].as_str().unwrap_or_default();
        assert!(
            error.contains(&format!("{setting} limit exceeded")),
            "{query}: {error}"
        );
        let peak = server.resident_peak_bytes();
        assert!(
            peak <= before + QUERY_MEMORY_BYTES + BESIDE_BYTES,
            "{query}: from {before} to {peak} bytes"
        );
    }
    // What fits is answered, though it reads as much.
    let answer = server.query("k8s", "SELECT count(v) FROM m", "");
    assert_eq!(
        answer["results"][0]["series"][0]["values"][0][1],
        SERIES * ROWS
    );
}
