//! Start and stop: what is printed, what answers, how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use serde_json::{Value, json};
use support::{Server, directory, ends, plimsoll};

#[test]
fn four_lines_say_what_it_does_and_what_to_open() {
    let data = directory();
    let server = Server::start(data.path());
    let [collects, data_line, grafana, next] = &server.greeting[..] else {
        panic!("{:?}", server.greeting)
    };
    assert!(collects.contains("/write"), "{collects}");
    assert!(
        data_line.contains(&*data.path().to_string_lossy()),
        "{data_line}"
    );
    assert!(
        data_line.contains("30d") && data_line.contains("sync"),
        "{data_line}"
    );
    assert!(
        grafana.contains(&server.url()) && grafana.contains("k8s"),
        "{grafana}"
    );
    assert!(next.contains("plimsoll query"), "{next}");
}

#[test]
fn sigterm_ends_it_in_order() {
    let data = directory();
    let (status, log) = Server::start(data.path()).stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("SIGTERM"), "{log}");
}

#[test]
fn ping_is_a_health_check_by_its_exit_code() {
    let data = directory();
    let server = Server::start(data.path());
    let url = server.url();
    let ping = |url: &str| ends(plimsoll().args(["ping", "--url", url]));
    assert_eq!(ping(&url), (Some(0), String::new()));
    server.kill();
    let (code, text) = ping(&url);
    assert_eq!(code, Some(1));
    assert!(text.contains(&url) && text.lines().count() == 1, "{text}");
}

#[test]
fn the_database_of_the_sources_is_there_with_its_policy() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server.query("", "SHOW RETENTION POLICIES ON k8s", "");
    let series = &answer["results"][0]["series"][0];
    assert_eq!(
        series["columns"].as_array().unwrap()[..5],
        [
            "name",
            "duration",
            "shardGroupDuration",
            "replicaN",
            "default"
        ]
        .map(Value::from)
    );
    assert_eq!(series["values"].as_array().unwrap().len(), 1);
    assert_eq!(
        series["values"][0].as_array().unwrap()[..5],
        [
            json!("default"),
            json!("720h0m0s"),
            json!("24h0m0s"),
            json!(1),
            json!(true)
        ]
    );
}

#[test]
fn a_retention_that_is_asked_for_takes_effect_on_the_next_start() {
    let data = directory();
    drop(Server::start(data.path()));
    let config = data.path().join("plimsoll.toml");
    std::fs::write(&config, "retention = \"7d\"\n").unwrap();
    let config = config.to_string_lossy();
    let server = Server::start_with(data.path(), &["--no-cgroup", "--config", &config]);
    let answer = server.query("", "SHOW RETENTION POLICIES ON k8s", "");
    assert_eq!(
        answer["results"][0]["series"][0]["values"][0][1],
        "168h0m0s"
    );
}
