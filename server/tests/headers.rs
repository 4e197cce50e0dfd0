//! Headers, `/ping`, `/health` and paths that are not there.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use support::{Server, directory};

#[test]
fn every_answer_names_version_build_and_request() {
    let data = directory();
    let server = Server::start(data.path());
    for (method, path, status) in [
        ("GET", "/ping", 204),
        ("HEAD", "/ping", 204),
        ("GET", "/status", 204),
        ("GET", "/health", 200),
        ("GET", "/query?q=SHOW+DATABASES", 200),
        ("GET", "/query", 400),
        ("POST", "/write", 400),
        ("GET", "/write?db=k8s", 405),
        ("GET", "/nothing", 404),
    ] {
        let answer = server.client.send(method, path, &[], b"");
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("x-influxdb-version"), "1.12.2", "{path}");
        assert_eq!(answer.header("x-influxdb-build"), "OSS", "{path}");
        assert_eq!(answer.header("request-id").len(), 36, "{path}");
        assert_eq!(
            answer.header("request-id"),
            answer.header("x-request-id"),
            "{path}"
        );
        assert_eq!(
            status == 400,
            !answer.header("x-influxdb-error").is_empty(),
            "{path}"
        );
    }
}

#[test]
fn the_clients_request_id_comes_back() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server
        .client
        .send("GET", "/ping", &[("X-Request-Id", "mine")], b"");
    assert_eq!(
        (answer.header("request-id"), answer.header("x-request-id")),
        ("mine", "mine")
    );
}

#[test]
fn a_verbose_ping_answers_the_version() {
    let data = directory();
    let server = Server::start(data.path());
    for (path, status, body) in [
        ("/ping?verbose=true", 200, "{\"version\":\"1.12.2\"}"),
        ("/ping?verbose=false", 204, ""),
        ("/ping?wait_for_leader=1s", 204, ""),
    ] {
        let answer = server.client.get(path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (status, body),
            "{path}"
        );
    }
}

#[test]
fn health_is_what_v2_clients_read() {
    let data = directory();
    let server = Server::start(data.path());
    let health: serde_json::Value =
        serde_json::from_slice(&server.client.get("/health").body).unwrap();
    let expected = serde_json::json!({
        "name": "influxdb", "message": "ready for queries and writes", "status": "pass",
        "checks": [], "version": "1.12.2",
    });
    assert_eq!(health, expected);
}

#[test]
fn what_is_not_there_is_answered_as_go_answers_it() {
    let data = directory();
    let server = Server::start(data.path());
    let missing = server.client.get("/nothing");
    assert_eq!(missing.text(), "404 page not found\n");
    assert_eq!(missing.header("content-type"), "text/plain; charset=utf-8");
    let refused = server.client.get("/write?db=k8s");
    assert_eq!(refused.text(), "Method Not Allowed\n");
    assert!(refused.header("allow").contains("POST"));
}

#[test]
fn credentials_are_ignored_while_authentication_is_off() {
    let data = directory();
    let server = Server::start(data.path());
    for value in ["Basic Og==", "Token u:p", "Bearer x"] {
        let headers = [("Authorization", value)];
        let answer = server
            .client
            .send("GET", "/query?q=SHOW+DATABASES&u=a&p=b", &headers, b"");
        assert_eq!(answer.status, 200, "{value}");
    }
}

#[test]
fn the_figures_of_the_engine_are_prometheus_text() {
    let data = directory();
    let server = Server::start(data.path());
    server.write("k8s", "m a=1,b=2\nm,t=x a=1");
    let text = server.client.get("/metrics").text();
    assert!(
        text.contains("\nplimsoll_points_written_total 2\n"),
        "{text}"
    );
    assert!(
        text.contains("\nplimsoll_values_written_total 3\n"),
        "{text}"
    );
}

#[test]
fn figures_are_told_as_telegraf_reads_them() {
    let data = directory();
    let server = Server::start(data.path());
    server.write("k8s", "m v=1,w=2");
    assert_eq!(server.client.post("/write?db=none", b"m v=1").status, 404);
    server.query("k8s", "SELECT v FROM m", "");
    let answer = server.client.get("/debug/vars");
    assert_eq!(
        answer.header("content-type"),
        "application/json; charset=utf-8"
    );
    let vars: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    for (name, value, expected) in [
        ("httpd", "queryReq", 1),
        ("httpd", "writeReq", 2),
        ("httpd", "clientError", 1),
        ("httpd", "serverError", 0),
        ("httpd", "pointsWrittenOK", 1),
        ("write", "pointReq", 1),
        ("plimsoll", "valuesWritten", 2),
        ("plimsoll", "writesRefused", 0),
    ] {
        assert_eq!(vars[name]["name"], name);
        assert_eq!(vars[name]["values"][value], expected, "{name} {value}");
    }
    let time = |name: &str| vars["system"][name].as_str().unwrap().to_owned();
    assert!(time("started") <= time("currentTime"), "{vars}");
    assert_eq!(vars["cmdline"], serde_json::json!(["plimsoll"]));
    let metrics = server.client.get("/metrics").text();
    assert!(
        metrics.contains("\nplimsoll_http_write_requests_total 2\n"),
        "{metrics}"
    );
}
