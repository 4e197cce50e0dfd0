//! Every recorded request of a real client, and what a real InfluxDB 1.6.7 answered to it: status,
//! headers that clients read, and the shape of the body are the same, but for what
//! [`DIFFERENCES`] lists. (`grafana.rs` compares Grafana's seven down to their values.)
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as expected"
)]

mod support;

use serde_json::Value;
use support::http::Answer;
use support::{Server, directory, shared_data};

const SECOND: i64 = 1_000_000_000;
/// The time of the recording's first point; there are 90, 10 s apart.
const START: i64 = 1_795_459_320;
const CONTAINERS: [&str; 3] = ["cache-1", "db-1", "web-1"];
/// Headers of a request that are sent again.
const SENT: [&str; 7] = [
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "User-Agent",
    "X-Request-Id",
];

/// How the newest 1.x answers what 1.6.7 did not know: method, path and status.
const DIFFERENCES: [(&str, &str, u16); 4] = [
    ("GET", "/health", 200),
    ("GET", "/ready", 200),
    ("POST", "/api/v2/write", 204),
    ("POST", "/api/v2/query", 403),
];

fn filled(data: &std::path::Path) -> Server {
    let server = Server::start(data);
    server.query("", "CREATE DATABASE telegraf", "");
    let mut lines = String::new();
    for point in 0..90 {
        let time = (START + point * 10) * SECOND;
        for (number, container) in CONTAINERS.iter().enumerate() {
            let usage = [300_000_000, 200_000_000, 100_000_000][number] + point * 1000;
            lines.push_str(&format!(
                "docker_container_cpu,container_name={container},cpu=cpu-total,host=h1 \
                 usage_percent=25.5 {time}\n\
                 docker_container_mem,container_name={container},host=h1 usage={usage}i {time}\n"
            ));
        }
    }
    lines.push_str(&format!("events title=\"deploy\" {}\n", START * SECOND));
    server.write("telegraf", &lines);
    server
}

fn sent_again(server: &Server, request: &Value) -> Answer {
    let text = |key: &str| request[key].as_str().unwrap_or_default();
    let recorded = request["headers"].as_object().unwrap();
    let headers: Vec<(&str, &str)> = recorded
        .iter()
        .filter(|(name, _)| SENT.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    server.client.send(
        text("method"),
        text("path"),
        &headers,
        text("body").as_bytes(),
    )
}

/// The words of a body of msgpack: the recording has kept its text only.
fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'))
        .filter(|word| word.len() > 3)
        .map(str::to_owned)
        .collect()
}

/// An answer without its values: names, tags and columns of series, and whether there are rows.
fn shape(text: &str) -> Vec<Value> {
    let mut documents: Vec<Value> = serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .map(Result::unwrap)
        .collect();
    let results = documents
        .iter_mut()
        .filter_map(|document| document["results"].as_array_mut())
        .flatten();
    for result in results {
        for series in result["series"].as_array_mut().into_iter().flatten() {
            let rows = series["values"].as_array().map_or(0, Vec::len);
            series["values"] = (rows > 0).into();
        }
    }
    documents
}

#[test]
fn every_recorded_request_is_answered_as_it_was() {
    let test = "every_recorded_request_is_answered_as_it_was";
    let Some(path) = shared_data(test, "requests/clients.jsonl") else {
        return;
    };
    let data = directory();
    let server = filled(data.path());
    let lines = std::fs::read_to_string(path).unwrap();
    let (mut same, mut newer) = (0, 0);
    for line in lines.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        let path = request["path"].as_str().unwrap();
        let answer = sent_again(&server, &request);
        for name in ["x-influxdb-version", "request-id", "x-request-id"] {
            assert!(!answer.header(name).is_empty(), "{path}: {name}");
        }
        assert_eq!(answer.header("x-influxdb-build"), "OSS", "{path}");
        let difference = DIFFERENCES
            .iter()
            .find(|(method, start, _)| request["method"] == *method && path.starts_with(start));
        if let Some((_, _, status)) = difference {
            assert_eq!(answer.status, *status, "{path}: {}", answer.text());
            newer += 1;
            continue;
        }
        assert_eq!(
            answer.status,
            request["status"],
            "{path}: {}",
            answer.text()
        );
        let recorded = &request["resp_headers"];
        // Chunks are JSON here where msgpack was asked for; the same client reads both.
        let is_msgpack = recorded["Content-Type"] == "application/x-msgpack";
        let is_chunked_msgpack = is_msgpack && path.contains("chunked=true");
        for name in ["Content-Type", "Content-Encoding"] {
            let mut expected = recorded[name].as_str().unwrap_or_default();
            if is_chunked_msgpack && name == "Content-Type" {
                expected = "application/json";
            }
            assert_eq!(
                answer.header(&name.to_lowercase()),
                expected,
                "{path}: {name}"
            );
        }
        same += 1;
        let expected = request["resp"].as_str().unwrap();
        // Time ranges of these seven end at the recording's present; `grafana.rs` moves it.
        let is_relative =
            path.contains("now%28%29") || request["body"].as_str().unwrap().contains("now");
        // This server has databases of its own.
        if is_relative || path.contains("SHOW+DATABASES") {
            continue;
        }
        if is_msgpack {
            let text = String::from_utf8_lossy(&answer.body).replace("\":true", "");
            assert_eq!(words(&text), words(expected), "{path}");
        } else if !expected.is_empty() {
            assert_eq!(shape(&answer.text()), shape(expected), "{path}");
        }
    }
    assert_eq!((same, newer), (24, 4));
}
