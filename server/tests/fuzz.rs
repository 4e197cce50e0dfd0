//! Requests that nobody sends: random methods, paths, parameters, headers and bodies against the
//! real binary. No answer is a 500 and nothing panics.
//!
//! `PLIMSOLL_FUZZ_REQUESTS` sets how many; a failing one is printed and can be sent again by its
//! seed.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as expected"
)]

mod support;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::http::encode;
use support::{Server, directory};

const REQUESTS: usize = 3_000;
const PATHS: [&str; 19] = [
    "/query",
    "/query",
    "/query",
    "/write",
    "/write",
    "/ping",
    "/status",
    "/health",
    "/ready",
    "/metrics",
    "/debug/vars",
    "/targets",
    "/api/v2/write",
    "/api/v2/query",
    "/api/v2/buckets",
    "/api/v2/buckets/k8s%2Fdefault",
    "/api/v1/prom/write",
    "/api/v1/prom/read",
    "/nothing",
];
const NAMES: [&str; 19] = [
    "q",
    "db",
    "rp",
    "epoch",
    "chunked",
    "chunk_size",
    "pretty",
    "params",
    "async",
    "precision",
    "consistency",
    "u",
    "p",
    "bucket",
    "org",
    "limit",
    "offset",
    "after",
    "verbose",
];
const VALUES: [&str; 34] = [
    "",
    "k8s",
    "nosuch",
    "true",
    "false",
    "0",
    "-1",
    "1",
    "99999999999999999999",
    "ns",
    "us",
    "ms",
    "s",
    "default",
    "k8s/default",
    "/",
    "{}",
    "{\"a\":1}",
    "{\"a\":{\"regex\":\"(\"}}",
    "null",
    "[",
    "SHOW DATABASES",
    "SELECT * FROM m",
    "SELECT mean(x) FROM m WHERE a = $a GROUP BY time(1m)",
    "SELECT x FROM /(/",
    "SELECT sum(x) FROM (SELECT x FROM m) GROUP BY *",
    "SHOW TAG VALUES WITH KEY = a",
    "SELECT last(x) FROM m WHERE time > now() - 1h GROUP BY time(10s) fill(linear) LIMIT 3",
    "SELECT top(x, a, 2), y FROM m",
    "DROP SERIES FROM nosuch",
    "SHOW FIELD KEYS; SELECT",
    "CREATE DATABASE \"\"",
    "SELECT derivative(mean(x), 1s) FROM m WHERE time < '1677-09-21' GROUP BY time(1000w)",
    "SELECT x + 9223372036854775807 - -9223372036854775808 FROM m ORDER BY time DESC TZ('Nowhere')",
];
const HEADERS: [(&str, &[&str]); 7] = [
    (
        "Accept",
        &["*/*", "application/csv", "application/x-msgpack", "x", ","],
    ),
    (
        "Accept-Encoding",
        &["gzip", "gzip;q=0", "identity", ",;", "br"],
    ),
    (
        "Authorization",
        &[
            "Basic Og==",
            "Basic !",
            "Token a:b",
            "Bearer x.y.z",
            "Bearer",
            "",
        ],
    ),
    ("Content-Encoding", &["gzip", "snappy", "br", ""]),
    (
        "Content-Type",
        &[
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=B",
            "multipart/form-data",
            "application/json",
            "text/plain",
            "",
        ],
    ),
    ("X-Request-Id", &["1", "", "a b"]),
    ("Expect", &["100-continue"]),
];

#[derive(Debug, Clone)]
struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

fn parameter() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        8 => prop::sample::select(&VALUES[..]).prop_map(str::to_owned),
        1 => ".{0,40}",
        1 => prop::collection::vec(prop::sample::select(
            &["SELECT", " ", "x", "FROM", "m", "(", ")", "'", "\"", "/", "=~", "time", "1", "GROUP BY", ",", ";", "fill", "$a"][..]
        ), 0..20).prop_map(|words| words.concat()),
    ];
    (prop::sample::select(&NAMES[..]), value)
        .prop_map(|(name, value)| format!("{name}={}", encode(&value)))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(
        prop::sample::select(
            &[
                "m,a=b x=1 1",
                "m x=1i",
                "m x=\"a\\\"b\",y=t 5",
                "m",
                ",",
                "m,a= x=1",
                "m x=1e400",
                "m x=99999999999999999999i 1",
                "# c",
                "m\\ n,t\\,g=v x=-0 -9223372036854775806",
                "\u{0}",
                "m x=1 x",
            ][..],
        ),
        0..6,
    );
    prop_oneof![
        Just(Vec::new()),
        lines.prop_map(|lines| lines.join("\n").into_bytes()),
        parameter().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..200),
        parameter().prop_map(|text| format!(
            "--B\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n{text}\r\n--B--"
        )
        .into_bytes()),
        prop::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| [
            &b"\x1f\x8b\x08\0"[..],
            &bytes
        ]
        .concat()),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let method = prop::sample::select(
        &[
            "GET", "GET", "GET", "GET", "POST", "POST", "POST", "POST", "POST", "DELETE", "PATCH",
            "HEAD",
        ][..],
    );
    let header = prop::sample::select(&HEADERS[..])
        .prop_flat_map(|(name, values)| (Just(name), prop::sample::select(values)));
    let path = prop::sample::select(&PATHS[..]);
    let parameters = prop::collection::vec(parameter(), 0..5);
    let headers = prop::collection::vec(header, 0..4);
    (method, path, parameters, headers, body()).prop_map(
        |(method, path, parameters, headers, body)| Request {
            method,
            path: format!("{path}?{}", parameters.join("&")),
            headers,
            body,
        },
    )
}

#[test]
fn no_request_is_answered_with_a_500() {
    let count = std::env::var("PLIMSOLL_FUZZ_REQUESTS").ok();
    let count = count.map_or(REQUESTS, |text| text.parse().unwrap());
    let data = directory();
    let server = Server::start(data.path());
    server.write("k8s", "m,a=b x=1,y=2i\nm,a=c x=2,y=3i\n");
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut statuses = std::collections::BTreeMap::new();
    for number in 0..count {
        let request = request().new_tree(&mut runner).unwrap().current();
        let Request {
            method,
            path,
            headers,
            body,
        } = &request;
        let answer = server.client.try_send(method, path, headers, body);
        let status = answer.map_or(0, |answer| answer.status);
        *statuses.entry(status).or_insert(0) += 1;
        // An unknown policy is a 500 in InfluxDB, too.
        let is_policy = path.contains("rp=") || path.contains("bucket=");
        assert!(status != 500 || is_policy, "request {number}: {request:?}");
        assert!(status != 0, "request {number} has no answer: {request:?}");
    }
    let alive = server.client.get("/ping").status;
    assert_eq!(alive, 204);
    let log = server.log();
    assert!(
        !log.contains("panicked") && !log.contains("internal error"),
        "{log}"
    );
    assert!(statuses.len() > 4, "{statuses:?}");
    println!("{count} requests: {statuses:?}");
}
