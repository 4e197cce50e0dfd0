//! A server that is told of a cAdvisor collects it, and says so when it cannot.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::{Server, directory, eventually, shared_data};

/// Answers every request on a port of its own with what `page` gives; for as long as the test runs.
fn serve_page(page: impl Fn() -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => request.push(byte[0]),
                    _ => break,
                }
            }
            let body = page();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // A client that is gone is the end of its request only.
            if stream.write_all((head + &body).as_bytes()).is_err() {
                continue;
            }
        }
    });
    address
}

#[test]
fn counters_of_a_container_grow_from_scrape_to_scrape() {
    let scrapes = Arc::new(AtomicU64::new(0));
    let address = serve_page(move || {
        let seconds = 10 + scrapes.fetch_add(1, Ordering::SeqCst);
        format!(
            "# TYPE container_cpu_usage_seconds_total counter\n\
             container_cpu_usage_seconds_total{{cpu=\"total\",id=\"/docker/ab\",image=\"busy:1\",name=\"busy\"}} {seconds}\n\
             # TYPE container_memory_working_set_bytes gauge\n\
             container_memory_working_set_bytes{{id=\"/docker/ab\",image=\"busy:1\",name=\"busy\"}} 4096\n"
        )
    });
    let data = directory();
    let url = format!("http://{address}");
    let flags = ["--no-cgroup", "--cadvisor", &url, "--interval", "1s"];
    let server = Server::start_with(data.path(), &flags);
    assert!(server.greeting[0].contains(&url), "{:?}", server.greeting);
    let last = || {
        let select = "SELECT last(value) FROM \"cpu/usage_ns_cumulative\" GROUP BY container_name";
        let answer = server.query("k8s", select, "&epoch=ns");
        let series = &answer["results"][0]["series"][0];
        let name = series["tags"]["container_name"].as_str()?.to_owned();
        Some((name, series["values"][0][1].as_i64()?))
    };
    let (name, first_ns) = eventually("a row of the container", last);
    assert_eq!(name, "busy");
    assert!(first_ns >= 10_000_000_000);
    eventually("a later row", || last().filter(|(_, ns)| *ns > first_ns));
}

#[test]
fn a_real_payload_is_stored_whole() {
    let file = "cadvisor/prometheus_metrics.prom";
    let Some(path) = shared_data("a_real_payload_is_stored_whole", file) else {
        return;
    };
    // Its times are of another year, far beyond the retention: without them, values are of now.
    let payload = std::fs::read_to_string(path).unwrap();
    let untimed: String = payload
        .lines()
        .map(|line| match line.rsplit_once(' ') {
            Some((rest, time)) if !line.starts_with('#') && time.len() == 13 => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let address = serve_page(move || untimed.clone());
    let data = directory();
    let url = format!("http://{address}/metrics");
    let flags = ["--no-cgroup", "--cadvisor", &url, "--interval", "1s"];
    let server = Server::start_with(data.path(), &flags);
    let up = "SELECT last(value) FROM \"scrape/up_gauge\"";
    eventually("a scrape", || {
        let answer = server.query("k8s", up, "");
        (answer["results"][0]["series"][0]["values"][0][1] == 1).then_some(())
    });
    let measurements = server.query("k8s", "SHOW MEASUREMENTS", "").to_string();
    for name in [
        "cpu/usage_ns_cumulative",
        "memory/working_set_bytes_gauge",
        "filesystem/usage",
    ] {
        assert!(measurements.contains(name), "{name}: {measurements}");
    }
}

#[test]
fn a_target_that_is_away_is_a_series_and_one_line_of_log() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let data = directory();
    let url = format!("http://user:secret@{free}");
    let flags = ["--no-cgroup", "--cadvisor", &url, "--interval", "1s"];
    let server = Server::start_with(data.path(), &flags);
    eventually("two failed scrapes", || {
        let count = "SELECT count(value) FROM \"scrape/up_gauge\" WHERE value = 0";
        let answer = server.query("k8s", count, "");
        let count = answer["results"][0]["series"][0]["values"][0][1].as_i64()?;
        (count >= 2).then_some(())
    });
    let greeting = server.greeting.join("\n");
    let (_, log) = server.stop();
    let lines = log.lines().filter(|line| line.contains("WARN"));
    assert_eq!(
        lines
            .filter(|line| line.contains(&free.to_string()))
            .count(),
        1,
        "{log}"
    );
    assert!(
        !log.contains("secret") && !greeting.contains("secret"),
        "{log}{greeting}"
    );
}
