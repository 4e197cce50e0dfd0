//! A query that takes too long, or whose client has left, is stopped; the server lives on.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::http::encode;
use support::{Server, directory, eventually, now_ns};

/// Far more windows than can be made in the time of a test.
const ENDLESS: &str = "SELECT count(v) FROM m WHERE time > now() - 10d GROUP BY time(1u)";

fn server(data: &tempfile::TempDir, settings: &str) -> Server {
    let config = data.path().join("c.toml");
    std::fs::write(&config, settings).unwrap();
    let flags = ["--no-cgroup", "--config", &config.to_string_lossy()];
    let server = Server::start_with(data.path(), &flags);
    let start = now_ns() - 1_000_000_000_000;
    let lines: String = (0..20_000)
        .map(|i| format!("m v={i}i {}\n", start + i * 1_000))
        .collect();
    server.write("k8s", &lines);
    server
}

#[test]
fn too_many_windows_are_refused_by_default() {
    let data = directory();
    let server = server(&data, "");
    let answer = server.query("k8s", ENDLESS, "");
    let error = answer["results"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("max-select-buckets limit exceeded"),
        "{error}"
    );
}

#[test]
fn a_query_over_its_time_is_stopped_and_says_so() {
    let data = directory();
    let server = server(&data, "query_timeout = \"1ms\"\n");
    let select = "SELECT * FROM m; ".repeat(2_000);
    let answer = server.query("k8s", &select, "&chunked=false");
    let results = answer["results"].as_array().unwrap();
    let errors: Vec<&str> = results.iter().filter_map(|r| r["error"].as_str()).collect();
    assert_eq!(errors.first(), Some(&"query-timeout limit exceeded"));
    assert!(errors[1..].iter().all(|error| *error == "not executed"));
}

#[test]
fn a_client_that_leaves_stops_its_query() {
    let data = directory();
    let server = server(&data, "max_concurrent_queries = 1\n");
    // An answer that is larger than what stands between the server and a client that reads nothing.
    let many = encode(&"SELECT * FROM m;".repeat(400));
    let mut stream = TcpStream::connect(&server.client.address).unwrap();
    let body = format!("q={many}&db=k8s");
    let head = format!(
        "POST /query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let ask = || server.client.query("k8s", "SHOW DATABASES", "");
    let busy = ask();
    assert_eq!(
        busy.status,
        503,
        "its answer waits for the client: {}",
        busy.text()
    );
    assert_eq!(busy.header("retry-after"), "1");
    assert!(
        busy.error()
            .contains("max-concurrent-queries limit exceeded")
    );
    drop(stream);
    eventually("the end of the query", || {
        (ask().status == 200).then_some(())
    });
}

#[test]
fn a_full_head_refuses_writes_for_a_moment() {
    let data = directory();
    let config = data.path().join("c.toml");
    std::fs::write(&config, "head_size_max = \"16MiB\"\n").unwrap();
    let flags = ["--no-cgroup", "--config", &config.to_string_lossy()];
    let server = Server::start_with(data.path(), &flags);
    // Some hundred bytes each, so more than the head may have.
    let lines: String = (0..100_000)
        .map(|series| format!("m,h=host-{series:07} v=1\n"))
        .collect();
    assert_eq!(
        server.client.post("/write?db=k8s", lines.as_bytes()).status,
        204
    );
    let refused = eventually("a refusal", || {
        let answer = server.client.post("/write?db=k8s", b"m,h=x v=1");
        (answer.status != 204).then_some(answer)
    });
    // Telegraf drops what is refused with 4xx, and sends again what is refused with 503.
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.error().contains("16777216"), "{}", refused.error());
    eventually("room again", || {
        let answer = server.client.post("/write?db=k8s", b"m,h=x v=1");
        (answer.status == 204).then_some(())
    });
}
