//! DELETE and DROP over HTTP, and `/api/v2/delete`: answers, statuses, and that they last.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use serde_json::{Value, json};
use support::{Server, directory, now_ns};

const LINES: &str = "cpu,host=a,dc=x v=1i 1711800000000000000
cpu,host=b,dc=x v=2i 1711800010000000000
cpu,host=b v=3i 1711800020000000000
mem,host=a v=1i 1711800000000000000
mem,host=b v=2i 1711800020000000000
";

fn server_with_points() -> (tempfile::TempDir, Server) {
    let data = directory();
    let server = Server::start(data.path());
    server.query("", "CREATE DATABASE d", "");
    server.query(
        "",
        "CREATE RETENTION POLICY other ON d DURATION INF REPLICATION 1",
        "",
    );
    for policy in ["autogen", "other"] {
        let path = format!("/write?db=d&rp={policy}");
        assert_eq!(server.client.post(&path, LINES.as_bytes()).status, 204);
    }
    (data, server)
}

fn count(server: &Server, source: &str) -> i64 {
    let answer = server.query("d", &format!("SELECT count(v) FROM {source}"), "");
    answer["results"][0]["series"][0]["values"][0][1]
        .as_i64()
        .unwrap_or(0)
}

fn nothing() -> Value {
    json!({"results": [{"statement_id": 0}]})
}

#[test]
fn deletions_are_answered_as_influxdb_answers_them_and_last() {
    let (data, server) = server_with_points();
    assert_eq!(
        server.query("d", "DELETE FROM cpu WHERE host = 'a'", ""),
        nothing()
    );
    assert_eq!(count(&server, "cpu"), 2);
    assert_eq!(count(&server, "d.other.cpu"), 2);
    assert_eq!(
        server.query("d", "DROP SERIES FROM mem WHERE host = 'b'", ""),
        nothing()
    );
    assert_eq!(count(&server, "mem"), 1);
    assert_eq!(
        server.query("d", "DELETE FROM cpu WHERE v = 1", ""),
        json!({"results": [{"statement_id": 0,
            "error": "fields not supported in WHERE clause during deletion"}]})
    );
    assert_eq!(
        server.query("nowhere", "DROP MEASUREMENT cpu", ""),
        json!({"results": [{"statement_id": 0, "error": "database not found: nowhere"}]})
    );
    server.kill();
    let server = Server::start(data.path());
    assert_eq!((count(&server, "cpu"), count(&server, "mem")), (2, 1));
    assert_eq!(server.query("d", "DROP MEASUREMENT cpu", ""), nothing());
    assert_eq!(
        server.query("d", "SHOW SERIES", "")["results"][0]["series"][0]["values"],
        json!([["mem,host=a"]])
    );
    let metrics = server.client.get("/metrics").text();
    assert!(metrics.contains("plimsoll_deletions_total 1"), "{metrics}");
    server.kill();
    let server = Server::start(data.path());
    assert_eq!((count(&server, "cpu"), count(&server, "mem")), (0, 1));
}

#[test]
fn a_drop_by_get_is_warned_of_and_a_delete_is_not() {
    let (_data, server) = server_with_points();
    let get = |statement: &str| -> Value {
        let encoded = statement.replace(' ', "+");
        let answer = server.client.get(&format!("/query?db=d&q={encoded}"));
        serde_json::from_str(&answer.text()).unwrap()
    };
    assert_eq!(get("DELETE FROM nothing"), nothing());
    let warned = get("DROP SERIES FROM nothing");
    assert_eq!(
        warned["results"][0]["messages"][0]["text"],
        "deprecated use of 'DROP SERIES FROM nothing' in a read only context, \
         please use a POST request instead"
    );
}

#[test]
fn a_v2_client_deletes_from_its_bucket_between_two_times() {
    let (_data, server) = server_with_points();
    let delete = |bucket: &str, body: Value| {
        let path = format!("/api/v2/delete?org=any&bucket={bucket}");
        let answer = server.client.post(&path, body.to_string().as_bytes());
        (answer.status, answer.text())
    };
    let done = (200, String::new());
    let (start, stop) = ("2024-03-30T12:00:00Z", "2024-03-30T12:00:20Z");
    let body =
        json!({"start": start, "stop": stop, "predicate": "_measurement=\"cpu\" AND host=\"b\""});
    assert_eq!(delete("d", body), done);
    assert_eq!(count(&server, "cpu"), 2, "the stop is not deleted");
    assert_eq!(count(&server, "d.other.cpu"), 3, "another bucket stays");
    assert_eq!(count(&server, "mem"), 2);
    assert_eq!(
        delete("d/other", json!({"start": start, "stop": stop})),
        done
    );
    assert_eq!(count(&server, "d.other.cpu"), 1);
    assert_eq!(count(&server, "d.other.mem"), 1);
    for (bucket, body, status, text) in [
        ("", json!({}), 404, "delete - bucket: bucket name \"\" is missing a slash; not in \"database/retention-policy\" format".to_owned()),
        ("x", json!({}), 404, "delete - database not found: \"x\"".to_owned()),
        ("d/x", json!({}), 404, "delete - retention policy not found in \"d\": \"x\"".to_owned()),
        ("d", json!({}), 400, "delete - start field in RFC3339Nano format required".to_owned()),
        ("d", json!({"start": start}), 400, "delete - stop field in RFC3339Nano format required".to_owned()),
        (
            "d/autogen",
            json!({"start": start, "stop": stop, "predicate": "host=\"a\" OR host=\"b\""}),
            400,
            format!(
                "delete - predicate only supports equality operators and conjunctions. \
                 database: \"d\", retention policy: \"autogen\", start: \"{start}\", \
                 stop: \"{stop}\", predicate: \"host=\\\"a\\\" OR host=\\\"b\\\"\""
            ),
        ),
        (
            "d/autogen",
            json!({"start": start, "stop": stop, "predicate": "v=1"}),
            400,
            format!(
                "delete - database: \"d\", retention policy: \"autogen\", start: \"{start}\", \
                 stop: \"{stop}\", predicate: \"v=1\", error: fields not supported in WHERE \
                 clause during deletion"
            ),
        ),
    ] {
        let (found, answer) = delete(bucket, body);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((found, &answer["error"]), (status, &json!(text)));
    }
    for (start, text) in [
        (
            "yesterday",
            "delete - invalid format for start field \"yesterday\", please use RFC3339Nano: ",
        ),
        (
            "2024-03-30T12:00:00Z' OR time > '0",
            "delete - invalid format for start field ",
        ),
    ] {
        let (status, answer) = delete("d", json!({"start": start, "stop": stop}));
        assert_eq!(status, 400);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(
            answer["error"].as_str().unwrap().starts_with(text),
            "{answer}"
        );
    }
    let answer = server.client.post("/api/v2/delete?bucket=d", b"{");
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .text()
            .contains("delete - cannot parse request body: ")
    );
}

#[test]
fn points_that_come_in_after_a_deletion_stay() {
    let (_data, server) = server_with_points();
    server.query("d", "DELETE FROM cpu", "");
    server.write("d", &format!("cpu,host=a v=\"text\" {}\n", now_ns()));
    let answer = server.query("d", "SHOW FIELD KEYS FROM cpu", "");
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([["v", "string"]])
    );
}
