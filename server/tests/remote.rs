//! Prometheus' remote write and read, as its client library packs them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use plimsoll_ingest::remote::{
    Label, LabelMatcher, MatchType, Query, ReadRequest, ReadResponse, Sample, TimeSeries,
    WriteRequest, pack, unpack,
};
use serde_json::json;
use support::{Server, directory, now_ns};

const WRITE: &str = "/api/v1/prom/write?db=k8s";
const READ: &str = "/api/v1/prom/read?db=k8s";

fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> TimeSeries {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let sample = |(value, timestamp): &(f64, i64)| Sample {
        value: *value,
        timestamp: *timestamp,
    };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
    }
}

/// A server with three series, and the ms of their first samples.
fn filled(data: &tempfile::TempDir) -> (Server, i64) {
    let server = Server::start(data.path());
    let ms = now_ns() / 1_000_000 - 60_000;
    let timeseries = vec![
        series(
            &[("__name__", "up"), ("instance", "a"), ("job", "x")],
            &[(1.0, ms), (0.0, ms + 1), (f64::NAN, ms + 2)],
        ),
        series(&[("__name__", "up"), ("instance", "b")], &[(1.0, ms)]),
        series(&[("__name__", "load:5m"), ("instance", "a")], &[(0.25, ms)]),
    ];
    let body = pack(&WriteRequest { timeseries }).unwrap();
    let answer = server.client.post(WRITE, &body);
    assert_eq!((answer.status, answer.text()), (204, String::new()));
    (server, ms)
}

fn read(
    server: &Server,
    from: i64,
    to: i64,
    matchers: &[(MatchType, &str, &str)],
) -> Vec<TimeSeries> {
    let matcher = |(kind, name, value): &(MatchType, &str, &str)| LabelMatcher {
        kind: *kind as i32,
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let query = Query {
        start_timestamp_ms: from,
        end_timestamp_ms: to,
        matchers: matchers.iter().map(matcher).collect(),
    };
    let body = pack(&ReadRequest {
        queries: vec![query],
    })
    .unwrap();
    let answer = server.client.post(READ, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/x-protobuf");
    assert_eq!(answer.header("content-encoding"), "snappy");
    let response: ReadResponse = unpack(&answer.body, 1 << 20).unwrap();
    assert_eq!(response.results.len(), 1);
    response.results.into_iter().next().unwrap().timeseries
}

#[test]
fn what_prometheus_writes_is_read_by_influxql() {
    let data = directory();
    let (server, ms) = filled(&data);
    let answer = server.query("k8s", "SELECT value FROM up GROUP BY *", "&epoch=ms");
    let expected = json!([
        {"name": "up", "tags": {"instance": "a", "job": "x"}, "columns": ["time", "value"],
         "values": [[ms, 1], [ms + 1, 0]]},
        {"name": "up", "tags": {"instance": "b", "job": ""}, "columns": ["time", "value"],
         "values": [[ms, 1]]},
    ]);
    assert_eq!(answer["results"][0]["series"], expected);
}

#[test]
fn what_was_written_is_read_back_by_each_kind_of_matcher() {
    use MatchType::{Equal, Matches, MatchesNot, NotEqual};
    let data = directory();
    let (server, ms) = filled(&data);
    let a = series(
        &[("__name__", "up"), ("instance", "a"), ("job", "x")],
        &[(1.0, ms), (0.0, ms + 1)],
    );
    let b = series(&[("__name__", "up"), ("instance", "b")], &[(1.0, ms)]);
    let load = series(&[("__name__", "load:5m"), ("instance", "a")], &[(0.25, ms)]);
    for (matchers, expected) in [
        (vec![(Equal, "__name__", "up")], vec![&a, &b]),
        (
            vec![(Equal, "__name__", "up"), (Equal, "job", "")],
            vec![&b],
        ),
        (vec![(NotEqual, "__name__", "up")], vec![&load]),
        (vec![(Matches, "__name__", "load.*|none")], vec![&load]),
        (vec![(Matches, "__name__", "u")], vec![]),
        (
            vec![(MatchesNot, "__name__", "l.*"), (NotEqual, "instance", "b")],
            vec![&a],
        ),
        (vec![(Equal, "instance", "a")], vec![&load, &a]),
        (
            vec![(Matches, "instance", "a|c"), (Matches, "job", ".+")],
            vec![&a],
        ),
        (vec![(MatchesNot, "instance", "a")], vec![&b]),
    ] {
        let found = read(&server, ms - 1000, ms + 1000, &matchers);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{matchers:?}");
    }
    let last = read(&server, ms + 1, ms + 1, &[(Equal, "__name__", "up")]);
    let expected = TimeSeries {
        samples: vec![Sample {
            value: 0.0,
            timestamp: ms + 1,
        }],
        ..a.clone()
    };
    assert_eq!(last, [expected]);
}

#[test]
fn a_bad_request_is_refused_with_its_reason() {
    let data = directory();
    let (server, ms) = filled(&data);
    let post = |path: &str, body: &[u8]| {
        let answer = server.client.post(path, body);
        (answer.status, answer.error())
    };
    let text = |status: u16, text: &str| (status, text.to_owned());
    let path = "/api/v1/prom/write";
    assert_eq!(post(path, b""), text(400, "database is required"));
    let path = "/api/v1/prom/read?db=none";
    assert_eq!(post(path, b""), text(404, "database not found: \"none\""));
    for path in [WRITE, READ] {
        let (status, error) = post(path, b"no snappy");
        assert_eq!(status, 400);
        assert!(error.contains("snappy"), "{error}");
    }
    server.write("k8s", "whole value=1i");
    let timeseries = vec![
        series(&[("__name__", "whole")], &[(1.0, ms)]),
        series(&[("__name__", "good")], &[(1.0, ms)]),
    ];
    let body = pack(&WriteRequest { timeseries }).unwrap();
    let (status, error) = post(WRITE, &body);
    assert_eq!(status, 400);
    assert!(
        error.starts_with("partial write: field type conflict"),
        "{error}"
    );
    assert!(error.ends_with("dropped=1"), "{error}");
    let good = server.query("k8s", "SELECT value FROM good", "&epoch=ms");
    assert_eq!(good["results"][0]["series"][0]["values"], json!([[ms, 1]]));
}
