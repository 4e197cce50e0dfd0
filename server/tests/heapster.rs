//! Heapster's sequence against a fresh server: ping, create, write into policy `default`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use serde_json::json;
use support::http::encode;
use support::{Server, directory, now_ns};

#[test]
fn heapster_finds_its_database_and_writes_into_its_policy() {
    let data = directory();
    writes_into_its_policy(&Server::start(data.path()));
}

#[test]
fn heapster_does_so_with_the_user_and_password_of_its_sink() {
    let data = directory();
    let mut command = support::plimsoll();
    command
        .args(["serve", "--no-cgroup", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .env("PLIMSOLL_AUTH_ENABLED", "true");
    let mut server = Server::spawn(&mut command);
    let admin = "CREATE USER root WITH PASSWORD 'root' WITH ALL PRIVILEGES";
    assert_eq!(server.client.query("", admin, "").status, 200);
    assert_eq!(server.client.get("/query?q=SHOW+DATABASES").status, 401);
    // `--sink=influxdb:…?user=root&pw=root` is Basic.
    server.client.authorization = "Basic cm9vdDpyb290".to_owned();
    writes_into_its_policy(&server);
}

fn writes_into_its_policy(server: &Server) {
    assert_eq!(server.client.get("/ping").status, 204);
    let create = encode("CREATE DATABASE k8s WITH NAME \"default\"");
    let answer = server.client.get(&format!("/query?db=&q={create}"));
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("\"error\""), "{}", answer.text());
    assert!(
        answer.text().contains("deprecated use of"),
        "{}",
        answer.text()
    );
    let retention =
        encode("CREATE RETENTION POLICY \"default\" ON k8s DURATION 0d REPLICATION 1 DEFAULT");
    let answer = server.client.get(&format!("/query?db=&q={retention}"));
    assert!(
        answer.text().contains("already exists"),
        "{}",
        answer.text()
    );

    let time = now_ns();
    let labels = r"labels=app:web\,tier:front\,version:1.2\,";
    let lines: String = (0..10_000)
        .map(|pod| {
            format!(
                "cpu/usage,{labels},pod_name=pod-{pod},namespace_name=ns-{} value={pod}i {time}\n",
                pod % 10
            )
        })
        .collect();
    let path = "/write?consistency=&db=k8s&precision=&rp=default";
    let answer = server.client.post(path, lines.as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));

    let select = "SELECT count(value), max(value) FROM \"default\".\"cpu/usage\"";
    let answer = server.query("k8s", select, "&epoch=ns");
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([[0, 10_000, 9_999]])
    );
    let values = "SHOW TAG VALUES FROM \"cpu/usage\" WITH KEY = \"labels\"";
    let answer = server.query("k8s", values, "");
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([["labels", "app:web,tier:front,version:1.2,"]])
    );
}
