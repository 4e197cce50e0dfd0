//! Contents are read back by this crate's own parsers; senders speak to servers of this process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;
use plimsoll_engine::{Batch, FieldValue, TagSet, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::{Access, Content, Destination, Outcome, Protocol, Sender};
use crate::line::{Precision, parse};
use crate::remote::{self, WriteRequest};

/// Measurement, tags, field, value and time.
type Written<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, FieldValue, i64);

fn batch(points: &[Written<'_>]) -> Batch {
    let mut batch = Batch::default();
    for (measurement, tags, field, value, time) in points {
        let tags = TagSet::from_pairs(tags.iter().copied()).unwrap();
        let fields = [(*field, value.clone())];
        batch.add(measurement, &tags, Timestamp(*time), fields);
    }
    batch
}

/// Points as texts, in order.
fn shown(batch: &Batch) -> Vec<String> {
    let names = batch.names();
    let points = batch.points().map(|point| {
        let fields = point.fields.iter();
        let fields: Vec<String> = fields
            .map(|(name, value)| format!("{:?}={value:?}", names[*name as usize]))
            .collect();
        format!(
            "{:?} {} {fields:?} {}",
            names[point.measurement as usize],
            batch.tag_sets()[point.tag_set as usize],
            point.time.0
        )
    });
    points.collect()
}

fn lines(batch: &Batch) -> Vec<u8> {
    let (contents, left_out) = Content::of(batch, Protocol::Lines, "k8s");
    assert_eq!(left_out, 0);
    let texts = contents.iter().map(|content| match content {
        Content::Lines(lines) => lines.text().to_vec(),
        Content::Series(_) => panic!("lines were asked for"),
    });
    texts.collect::<Vec<_>>().concat()
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let name = "[a-c ,=\"é]{1,6}";
    let value = prop_oneof![
        prop::num::f64::NORMAL.prop_map(FieldValue::Float),
        any::<i64>().prop_map(FieldValue::Integer),
        any::<u64>().prop_map(FieldValue::Unsigned),
        any::<bool>().prop_map(FieldValue::Boolean),
        "[a-c \\\\\",=\n]{0,8}".prop_map(|text| FieldValue::String(text.into())),
    ];
    let time = -1_000_000_000_000_i64..2_000_000_000_000_000_000;
    let point = (name, name, name, name, value, time);
    prop::collection::vec(point, 1..30).prop_map(|points| {
        let mut batch = Batch::default();
        for (measurement, key, tag, field, value, time) in points {
            let tags = TagSet::from_pairs([(key.as_str(), tag.as_str())]).unwrap();
            batch.add(
                &measurement,
                &tags,
                Timestamp(time),
                [(field.as_str(), value)],
            );
        }
        batch
    })
}

proptest! {
    #[test]
    fn lines_are_read_back_as_the_batch_they_were_made_of(batch in any_batch()) {
        let text = lines(&batch);
        let parsed = parse(&text, Precision::Nanoseconds, Timestamp(0));
        prop_assert!(parsed.rejected.is_empty(), "{:?}", String::from_utf8_lossy(&text));
        prop_assert_eq!(shown(&parsed.batch), shown(&batch));
    }

    #[test]
    fn halves_hold_the_whole_in_order(batch in any_batch()) {
        for protocol in [Protocol::Lines, Protocol::Series] {
            for content in Content::of(&batch, protocol, "k8s").0 {
                let count = content.len();
                match content.clone().halves() {
                    Some((first, second)) => {
                        prop_assert!(!first.is_empty() && !second.is_empty());
                        prop_assert_eq!(first.len() + second.len(), count);
                    }
                    None => prop_assert_eq!(count, 1),
                }
            }
        }
    }
}

#[test]
fn samples_have_the_names_and_the_order_that_prometheus_wants() {
    let integer = FieldValue::Integer;
    let batch = batch(&[
        (
            "cpu/usage_ns",
            &[("z", "1"), ("pod.name", "p")],
            "value",
            integer(7),
            2_999_999,
        ),
        (
            "cpu/usage_ns",
            &[("z", "1"), ("pod.name", "p")],
            "value",
            integer(5),
            1_000_000,
        ),
        (
            "cpu/usage_ns",
            &[("z", "1"), ("pod.name", "p")],
            "value",
            integer(9),
            2_000_000,
        ),
        (
            "7up",
            &[("db", "mine")],
            "is up",
            FieldValue::Boolean(true),
            -1,
        ),
        ("7up", &[], "text", FieldValue::String("x".into()), 0),
    ]);
    let (contents, left_out) = Content::of(&batch, Protocol::Series, "k8s");
    assert_eq!(left_out, 1, "a text is no number");
    let Content::Series(series) = &contents[0] else {
        panic!("series were asked for");
    };
    let shown: Vec<String> = series
        .iter()
        .map(|series| {
            let labels = series.labels.iter();
            let labels: Vec<String> = labels.map(|l| format!("{}={}", l.name, l.value)).collect();
            let samples = series.samples.iter();
            let samples: Vec<String> = samples
                .map(|s| format!("{}@{}", s.value, s.timestamp))
                .collect();
            format!("{} {}", labels.join(","), samples.join(" "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            // Of two in one ms the later line counts.
            "__name__=cpu_usage_ns,db=k8s,pod_name=p,z=1 5@1 9@2",
            "__name__=_7up_is_up,db=mine 1@-1",
        ]
    );
}

#[test]
fn a_large_batch_makes_several_requests() {
    let mut large = Batch::default();
    for time in 0..25_000 {
        let tags = TagSet::from_pairs([("n", (time % 100).to_string().as_str())]).unwrap();
        large.add(
            "m",
            &tags,
            Timestamp(time * 1_000_000),
            [("value", FieldValue::Integer(time))],
        );
    }
    for protocol in [Protocol::Lines, Protocol::Series] {
        let (contents, _) = Content::of(&large, protocol, "k8s");
        let counts: Vec<usize> = contents.iter().map(Content::len).collect();
        assert_eq!(counts.iter().sum::<usize>(), 25_000);
        assert_eq!(counts.len(), 3, "{counts:?}");
    }
    assert_eq!(Content::of(&Batch::default(), Protocol::Lines, "k8s").0, []);
}

#[test]
fn a_destination_knows_its_url_and_hides_its_password() {
    for (text, expected, is_shown) in [
        (
            "influxdb+http://me:secret@h:8086",
            "http://me:secret@h:8086/write?db=k8s&rp=r+p&precision=ns",
            "influxdb+http://h:8086",
        ),
        (
            "influxdb+https://h/proxy/write?db=central&u=a&precision=s",
            "https://h/proxy/write?db=central&u=a&rp=r+p&precision=ns",
            "influxdb+https://h/proxy/write",
        ),
        (
            "prometheus+http://h:9090/api/v1/write?x=1",
            "http://h:9090/api/v1/write?x=1",
            "prometheus+http://h:9090/api/v1/write",
        ),
    ] {
        let destination: Destination = text.parse().unwrap();
        assert_eq!(destination.write_url("k8s", "r p").as_str(), expected);
        assert_eq!(destination.to_string(), is_shown);
        assert_eq!(format!("{destination:?}"), is_shown);
    }
    let destination = Destination::of_subscription("http://h:8086").unwrap();
    let url = destination.write_url("k8s", "");
    assert_eq!(url.as_str(), "http://h:8086/write?db=k8s&precision=ns");
}

#[test]
fn what_is_no_destination_says_how_to_write_one() {
    for (text, why) in [
        ("http://h:8086", "write it as influxdb+http://HOST:8086"),
        ("prometheus+udp://h:1", "write it as"),
        ("prometheus+http://h:9090", "/api/v1/write"),
        ("influxdb+udp://h", "names no port"),
        ("influxdb+http://", "empty host"),
    ] {
        let error = text.parse::<Destination>().unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let error = Destination::of_subscription("tcp://me:secret@h").unwrap_err();
    assert!(
        error.contains("udp://") && !error.contains("secret"),
        "{error}"
    );
}

/// A head in lower case, and a body.
type Request = (String, Vec<u8>);

/// A server that answers each request with the next answer, and keeps the requests.
struct Store {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Store {
    async fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
        };
        let requests = Arc::clone(&store.requests);
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).await.unwrap();
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap().to_lowercase();
                let len = head.split_once("content-length: ").unwrap().1;
                let len = len.split_once("\r\n").unwrap().0.parse().unwrap();
                let mut body = vec![0; len];
                stream.read_exact(&mut body).await.unwrap();
                requests.lock().unwrap().push((head, body));
                let (head, text) = answer.split_once('|').unwrap();
                if head == "never" {
                    std::future::pending::<()>().await;
                }
                let answer = format!(
                    "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                    text.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        store
    }
}

fn one_point() -> Batch {
    batch(&[(
        "m",
        &[("a", "b")],
        "value",
        FieldValue::Integer(1),
        5_000_000,
    )])
}

fn content(protocol: Protocol) -> Content {
    Content::of(&one_point(), protocol, "k8s").0.remove(0)
}

#[tokio::test]
async fn an_answer_says_whether_to_try_again() {
    let store = Store::start(&[
        "204 X|",
        "400 X|{\"error\":\"partial write: field type conflict dropped=3\"}",
        "400 X|out of order sample",
        "413 X|too large",
        "404 X|database not found: \"k8s\"",
        "401 X|",
        "429 X\r\nretry-after: 7|slow down",
        "503 X|",
        "301 X|",
    ])
    .await;
    let text = format!("influxdb+http://me:secret@127.0.0.1:{}", store.port);
    let sender = Sender::new(text.parse().unwrap(), &Access::default()).unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..9 {
        let content = content(Protocol::Lines);
        outcomes.push(sender.send(&content, "k8s", "").await);
    }
    let kinds: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Taken => "taken".to_owned(),
            Outcome::Partly { lost, .. } => format!("lost {lost}"),
            Outcome::Refused { .. } => "refused".to_owned(),
            Outcome::TooLarge { .. } => "too large".to_owned(),
            Outcome::Later { after, .. } => format!("later {after:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "taken",
            "lost 3",
            "refused",
            "too large",
            "later None",
            "later None",
            "later Some(7s)",
            "later None",
            "later None",
        ]
    );
    let text = format!("{outcomes:?}");
    assert!(
        text.contains("out of order sample") && !text.contains("secret"),
        "{text}"
    );
    let requests = store.requests.lock().unwrap();
    let (head, body) = &requests[0];
    assert!(
        head.starts_with("post /write?db=k8s&precision=ns "),
        "{head}"
    );
    assert!(head.contains("authorization: basic bwu6c2vjcmv0"), "{head}");
    let mut unpacked = String::new();
    std::io::Read::read_to_string(&mut GzDecoder::new(&body[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, "m,a=b value=1i 5000000\n");
}

#[tokio::test]
async fn a_remote_write_is_packed_and_shows_its_token() {
    let store = Store::start(&["200 X|"]).await;
    let folder = TempDir::new().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "t0\n").unwrap();
    let text = format!("prometheus+http://127.0.0.1:{}/api/v1/write", store.port);
    let access = Access {
        token_file: Some(token_file),
        ..Access::default()
    };
    let sender = Sender::new(text.parse().unwrap(), &access).unwrap();
    let outcome = sender.send(&content(Protocol::Series), "k8s", "").await;
    assert_eq!(outcome, Outcome::Taken);
    let requests = store.requests.lock().unwrap();
    let (head, body) = &requests[0];
    for line in [
        "authorization: bearer t0",
        "content-encoding: snappy",
        "x-prometheus-remote-write-version: 0.1.0",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let request: WriteRequest = remote::unpack(body, 1 << 20).unwrap();
    assert_eq!(request.timeseries[0].samples[0].timestamp, 5);
}

#[tokio::test]
async fn what_is_not_there_or_never_answers_is_tried_later() {
    let store = Store::start(&["never|"]).await;
    let access = Access {
        timeout: Duration::from_millis(50),
        ..Access::default()
    };
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone_port = gone.local_addr().unwrap().port();
    drop(gone);
    for port in [store.port, gone_port] {
        let text = format!("influxdb+http://127.0.0.1:{port}");
        let sender = Sender::new(text.parse().unwrap(), &access).unwrap();
        let outcome = sender.send(&content(Protocol::Lines), "k8s", "").await;
        assert!(
            matches!(outcome, Outcome::Later { after: None, .. }),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn packets_hold_whole_lines() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let destination = Destination::of_subscription(&url).unwrap();
    let sender = Sender::new(destination, &Access::default()).unwrap();
    let mut batch = Batch::default();
    let long = "x".repeat(600);
    for time in 0..40 {
        let tags = TagSet::from_pairs([("t", if time == 20 { &*long } else { "y" })]).unwrap();
        batch.add(
            "m",
            &tags,
            Timestamp(time),
            [("v", FieldValue::Integer(time))],
        );
    }
    let content = Content::of(&batch, Protocol::Lines, "").0.remove(0);
    assert_eq!(sender.send(&content, "k8s", "").await, Outcome::Taken);
    let mut received = 0;
    while received < 40 {
        let mut packet = [0; 2_048];
        let len = socket.recv(&mut packet).await.unwrap();
        let parsed = parse(&packet[..len], Precision::Nanoseconds, Timestamp(0));
        assert!(parsed.rejected.is_empty());
        assert!(len <= 512 || parsed.batch.len() == 1);
        received += parsed.batch.len();
    }
    assert_eq!(received, 40);
}
