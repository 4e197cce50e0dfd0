//! `/write`: precisions, packed bodies, partial writes and refusals, in InfluxDB's words.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use std::io::Write;

use serde_json::json;
use support::{Server, directory, now_ns};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("memory takes all");
    packer.finish().expect("memory takes all")
}

#[test]
fn every_precision_is_understood() {
    let data = directory();
    let server = Server::start(data.path());
    // A whole hour, so that every unit can say it.
    let hour = now_ns() / 3_600_000_000_000;
    for (precision, unit) in [
        ("", 1),
        ("n", 1),
        ("ns", 1),
        ("u", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ] {
        let time = hour * (3_600_000_000_000 / unit);
        let line = format!("p{precision} v=1 {time}");
        let path = format!("/write?db=k8s&precision={precision}&rp=&consistency=");
        assert_eq!(
            server.client.post(&path, line.as_bytes()).status,
            204,
            "{precision}"
        );
        let select = format!("SELECT v FROM p{precision}");
        let answer = server.query("k8s", &select, "&epoch=ns");
        let expected = json!([[hour * 3_600_000_000_000_i64, 1]]);
        assert_eq!(
            answer["results"][0]["series"][0]["values"], expected,
            "{precision}"
        );
    }
}

#[test]
fn an_unknown_precision_stores_nothing() {
    let data = directory();
    let server = Server::start(data.path());
    for precision in ["us", "x", "MS"] {
        let answer = server
            .client
            .post(&format!("/write?db=k8s&precision={precision}"), b"m v=1");
        assert_eq!(answer.status, 400);
        let text = format!("invalid precision \"{precision}\" (use n, u, ms, s, m or h)");
        assert_eq!(answer.error(), text);
        assert_eq!(answer.header("x-influxdb-error"), text);
    }
    let answer = server.client.query("k8s", "SELECT * FROM m", "");
    assert_eq!(answer.text(), "{\"results\":[{\"statement_id\":0}]}\n");
}

#[test]
fn a_packed_body_is_unpacked() {
    let data = directory();
    let server = Server::start(data.path());
    let packed = [("Content-Encoding", "gzip")];
    let body = gzip(b"m v=1i\nm,a=b v=2i");
    let answer = server.client.send("POST", "/write?db=k8s", &packed, &body);
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    let sum = server.query("k8s", "SELECT sum(v) FROM m", "&epoch=ns");
    assert_eq!(sum["results"][0]["series"][0]["values"][0][1], 3);
    let answer = server
        .client
        .send("POST", "/write?db=k8s", &packed, b"no gzip");
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn good_lines_of_a_bad_batch_are_stored() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server
        .client
        .post("/write?db=k8s", b"m v=1i\nbad\nm,a=b v=2i\nm v=x");
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.error(),
        "partial write: unable to parse 'bad': missing fields\n\
         unable to parse 'm v=x': invalid boolean dropped=0"
    );
    let count = server.query("k8s", "SELECT count(v) FROM m", "&epoch=ns");
    assert_eq!(count["results"][0]["series"][0]["values"][0][1], 2);
    let answer = server.client.post("/write?db=k8s", b"bad");
    assert_eq!(answer.error(), "unable to parse 'bad': missing fields");
}

#[test]
fn a_type_conflict_drops_its_points_only() {
    let data = directory();
    let server = Server::start(data.path());
    server.write("k8s", "m value=1i");
    let answer = server.client.post(
        "/write?db=k8s",
        b"m,a=b value=1.5\nm,a=c value=2i\nm other=1",
    );
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.error(),
        "partial write: field type conflict: input field \"value\" on measurement \"m\" is type \
         float, already exists as type integer dropped=1"
    );
    let count = server.query("k8s", "SELECT count(value) FROM m", "&epoch=ns");
    assert_eq!(count["results"][0]["series"][0]["values"][0][1], 2);
}

#[test]
fn points_beyond_the_retention_are_dropped_and_named() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server.client.post("/write?db=k8s", b"m v=1 1\nm v=2");
    assert_eq!(answer.status, 400);
    let text = "partial write: points beyond retention policy dropped=1";
    assert_eq!(answer.error(), text);
}

#[test]
fn what_cannot_be_written_is_refused_with_its_status() {
    let data = directory();
    let config = data.path().join("c.toml");
    std::fs::write(&config, "max_body_size = 1000\n").unwrap();
    let flags = ["--no-cgroup", "--config", &config.to_string_lossy()];
    let server = Server::start_with(data.path(), &flags);
    let big = "x".repeat(1001);
    let packed = gzip("m v=1\n".repeat(500).as_bytes());
    let post = |path: &str, body: &[u8]| {
        let answer = server.client.post(path, body);
        (answer.status, answer.error())
    };
    let text = |status: u16, text: &str| (status, text.to_owned());
    assert_eq!(post("/write", b"m v=1"), text(400, "database is required"));
    assert_eq!(
        post("/write?db=x", b"m v=1"),
        text(404, "database not found: \"x\"")
    );
    assert_eq!(
        post("/write?db=k8s&rp=x", b"m v=1"),
        text(500, "retention policy not found: x")
    );
    assert_eq!(
        post("/write?db=k8s&consistency=some", b"m v=1"),
        text(400, "invalid consistency level")
    );
    assert_eq!(
        post("/write?db=k8s", big.as_bytes()),
        text(413, "Request Entity Too Large")
    );
    assert!(packed.len() < 1000, "it is small before it is unpacked");
    let headers = [("Content-Encoding", "gzip")];
    assert_eq!(
        server
            .client
            .send("POST", "/write?db=k8s", &headers, &packed)
            .status,
        413
    );
    assert_eq!(post("/write?db=k8s", b""), text(204, ""));
}
