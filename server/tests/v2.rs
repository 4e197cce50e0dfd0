//! What clients of InfluxDB 2 ask of a 1.x server: `/api/v2/write`, `/api/v2/query`, `/ready`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use serde_json::json;
use support::{Server, directory, now_ns};

#[test]
fn a_bucket_is_a_database_or_a_database_and_a_policy() {
    let data = directory();
    let server = Server::start(data.path());
    server.query(
        "",
        "CREATE RETENTION POLICY \"day\" ON \"k8s\" DURATION 1d REPLICATION 1",
        "",
    );
    let second = now_ns() / 1_000_000_000;
    for (bucket, precision, unit) in [
        ("k8s", "", 1_000_000_000),
        ("k8s/", "ns", 1_000_000_000),
        ("k8s/default", "us", 1_000_000),
        ("k8s%2Fday", "ms", 1_000),
        ("k8s/day", "s", 1),
    ] {
        let path = format!("/api/v2/write?org=any&bucket={bucket}&precision={precision}");
        let line = format!("m,from={precision}x v=1i {}", second * unit);
        let answer = server.client.post(&path, line.as_bytes());
        assert_eq!(
            (answer.status, answer.text()),
            (204, String::new()),
            "{bucket}"
        );
    }
    for (source, count) in [("m", 3), ("k8s.\"default\".m", 3), ("k8s.day.m", 2)] {
        let answer = server.query(
            "k8s",
            &format!("SELECT count(v) FROM {source}"),
            "&epoch=ns",
        );
        let values = &answer["results"][0]["series"][0]["values"];
        assert_eq!(*values, json!([[0, count]]), "{source}");
    }
    let times = server.query("k8s", "SELECT v FROM k8s.day.m", "&epoch=s");
    let values = times["results"][0]["series"][0]["values"]
        .as_array()
        .unwrap();
    assert!(values.iter().all(|row| row[0] == second), "{values:?}");
}

#[test]
fn what_a_bucket_cannot_take_is_refused_in_influxdbs_words() {
    let data = directory();
    let server = Server::start(data.path());
    for (query, line, status, text) in [
        (
            "bucket=",
            "m v=1",
            404,
            "bucket name \"\" is missing a slash; not in \"database/retention-policy\" format",
        ),
        (
            "bucket=/day",
            "m v=1",
            404,
            "bucket name \"/day\" is in db/rp form but has an empty database",
        ),
        ("bucket=none", "m v=1", 404, "database not found: \"none\""),
        (
            "bucket=k8s/none",
            "m v=1",
            500,
            "retention policy not found: none",
        ),
        (
            "bucket=k8s&precision=u",
            "m v=1",
            400,
            "invalid precision \"u\" (use ns, us, ms or s)",
        ),
        (
            "bucket=k8s",
            "m",
            400,
            "unable to parse 'm': missing fields",
        ),
    ] {
        let answer = server
            .client
            .post(&format!("/api/v2/write?{query}"), line.as_bytes());
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (status, text),
            "{query}"
        );
        assert_eq!(answer.header("x-influxdb-error"), text, "{query}");
    }
    let answer = server.client.query("k8s", "SELECT * FROM m", "");
    assert_eq!(answer.text(), "{\"results\":[{\"statement_id\":0}]}\n");
}

#[test]
fn flux_is_refused_and_readiness_is_told() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server
        .client
        .post("/api/v2/query?org=x", b"from(bucket: \"k8s\")");
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.error(),
        "Flux query service disabled: Plimsoll answers InfluxQL, at /query"
    );
    assert_eq!(server.client.get("/api/v2/query").status, 405);
    let answer = server.client.get("/ready");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "{\"status\":\"ready\"}")
    );
}
