//! The points that both sides get.

use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::{Batch, Engine, FieldValue, Options, TagSet, Timestamp};
use plimsoll_wal::storage::Memory;
use std::fmt::Write;
use std::sync::Arc;

/// 2024-03-30T12:00:00Z, a Saturday: the day before the clocks change in Europe.
pub const START: i64 = 1_711_800_000_000_000_000;
pub const SECOND: i64 = 1_000_000_000;
pub const HOUR: i64 = 3600 * SECOND;
pub const DAY: i64 = 24 * HOUR;

#[derive(Clone)]
pub struct Point {
    pub measurement: &'static str,
    pub tags: Vec<(&'static str, &'static str)>,
    pub fields: Vec<(&'static str, FieldValue)>,
    pub time: i64,
}

fn float(value: f64) -> FieldValue {
    FieldValue::Float(value)
}

fn integer(value: i64) -> FieldValue {
    FieldValue::Integer(value)
}

fn text(value: &str) -> FieldValue {
    FieldValue::String(value.into())
}

/// All points, those of one series in order of time.
#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
pub fn points() -> Vec<Point> {
    let mut points = Vec::new();
    let mut add = |measurement, tags: &[_], time, fields: &[(&'static str, FieldValue)]| {
        points.push(Point {
            measurement,
            tags: tags.to_vec(),
            fields: fields.to_vec(),
            time,
        });
    };
    let hosts = [("a", "eu"), ("b", "eu"), ("c", "us")];
    for (number, (host, region)) in (0_i64..).zip(hosts) {
        for step in 0..60 {
            if step % (7 + number) == 3 {
                continue;
            }
            let time = START + step * 10 * SECOND;
            let usage =
                [0.25, 1.5, -2.75, 8.0, 3.125][usize::try_from((step + number) % 5).unwrap()];
            let mut fields = vec![
                ("usage", float(usage)),
                ("ticks", integer((step * 37 + number * 11) % 101 - 20)),
                ("up", FieldValue::Boolean(step % 3 == 0)),
                (
                    "state",
                    text(["ok", "warn", "bad"][usize::try_from(step % 3).unwrap()]),
                ),
            ];
            if step % 4 == 0 {
                fields.push(("rare", integer(step)));
            }
            add("cpu", &[("host", host), ("region", region)], time, &fields);
            if step % 3 != 1 {
                let resets = if step >= 30 { 3000 } else { 0 };
                add(
                    "net",
                    &[("host", host), ("if", "eth0")],
                    time + number * SECOND,
                    &[
                        ("rx", integer(step * 100 + number * 7 - resets)),
                        ("tx", float(step as f64)),
                    ],
                );
            }
        }
    }
    // A series without tags, one with fewer, names that must be escaped.
    for step in 0..6 {
        let time = START + step * 60 * SECOND;
        add("plain", &[], time, &[("value", integer(step * step))]);
        add(
            "my, m",
            &[("a b", "x,y=z")],
            time,
            &[("f \"1\"", float(0.1 * step as f64))],
        );
        add(
            "cpu",
            &[("host", "d")],
            time + 1,
            &[("usage", float(100.0))],
        );
    }
    // A tag and a field of one name, texts only, one point.
    add(
        "clash",
        &[("host", "t"), ("name", "tag")],
        START,
        &[("host", text("f")), ("v", integer(1))],
    );
    add(
        "clash",
        &[("host", "t")],
        START + 1,
        &[("host", text("g")), ("v", integer(2))],
    );
    add("words", &[("k", "1")], START, &[("w", text("one <&> two"))]);
    add(
        "words",
        &[("k", "2")],
        START + SECOND,
        &[("w", text("three"))],
    );
    add(
        "edge",
        &[],
        START,
        &[("i", integer(i64::MAX)), ("f", float(1e300))],
    );
    add(
        "edge",
        &[],
        START + 1,
        &[("i", integer(1)), ("f", float(1e-7))],
    );
    add(
        "edge",
        &[],
        START + 2,
        &[("i", integer(-5)), ("f", float(-0.0))],
    );
    // Ties: the same values and times in several series.
    for (host, value) in [("p", 1), ("q", 3), ("r", 3), ("s", 1)] {
        add("ties", &[("host", host)], START, &[("v", integer(value))]);
        add(
            "ties",
            &[("host", host)],
            START + 10 * SECOND,
            &[("v", integer(4 - value))],
        );
    }
    // Weeks apart: several partitions, and a field whose type changes between them.
    for week in 0..5 {
        let time = START - week * 7 * DAY;
        add(
            "weekly",
            &[("w", "x")],
            time,
            &[("n", integer(week)), ("m", float(0.5))],
        );
        let mixed = match week {
            0 | 1 => integer(10 + week),
            2 | 3 => float(week as f64 + 0.5),
            _ => text("old"),
        };
        add("mixed", &[], time, &[("v", mixed)]);
    }
    // Two days by the hour, over the change of the clocks.
    for hour in 0..48 {
        add(
            "hourly",
            &[("z", "e")],
            START + hour * HOUR,
            &[("v", integer(hour))],
        );
    }
    points
}

/// Points of the policy `other`.
pub fn other_policy() -> Vec<Point> {
    vec![
        Point {
            measurement: "cpu",
            tags: vec![("host", "z")],
            fields: vec![("usage", float(77.5))],
            time: START,
        },
        Point {
            measurement: "only_here",
            tags: vec![("t", "v")],
            fields: vec![("x", integer(1))],
            time: START,
        },
    ]
}

/// Points as line protocol.
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "only the differential test writes to a real influxd"
)]
pub fn lines(points: &[Point]) -> String {
    let escape = |text: &str, special: &[char]| {
        let mut out = String::new();
        for character in text.chars() {
            if special.contains(&character) {
                out.push('\\');
            }
            out.push(character);
        }
        out
    };
    let mut out = String::new();
    for point in points {
        out.push_str(&escape(point.measurement, &[',', ' ']));
        for (key, value) in &point.tags {
            let special = [',', ' ', '='];
            write!(
                out,
                ",{}={}",
                escape(key, &special),
                escape(value, &special)
            )
            .unwrap();
        }
        for (index, (key, value)) in point.fields.iter().enumerate() {
            out.push(if index == 0 { ' ' } else { ',' });
            out.push_str(&escape(key, &[',', ' ', '=']));
            match value {
                FieldValue::Float(v) => write!(out, "={v}"),
                FieldValue::Integer(v) => write!(out, "={v}i"),
                FieldValue::Unsigned(v) => write!(out, "={v}u"),
                FieldValue::String(v) => write!(out, "=\"{}\"", escape(v, &['"', '\\'])),
                FieldValue::Boolean(v) => write!(out, "={v}"),
            }
            .unwrap();
        }
        writeln!(out, " {}", point.time).unwrap();
    }
    out
}

/// A field of a line without escapes.
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "not every test reads lines"
)]
pub fn field(field: &str) -> (&str, FieldValue) {
    let (name, text) = field.split_once('=').unwrap();
    let value = match text {
        "true" => FieldValue::Boolean(true),
        "false" => FieldValue::Boolean(false),
        text if text.starts_with('"') => FieldValue::String(text.trim_matches('"').into()),
        text => match text.strip_suffix('i') {
            Some(integer) => FieldValue::Integer(integer.parse().unwrap()),
            None => FieldValue::Float(text.parse().unwrap()),
        },
    };
    (name, value)
}

/// An engine of ours with the database `d` and the policies `autogen` and `other`.
pub fn empty_engine() -> Engine {
    let clock = Arc::new(ManualClock::new(Timestamp(START + DAY)));
    let options = Options {
        log_file_bytes: 4 << 20,
        ..Options::new("data")
    };
    let (engine, _) = Engine::open(Arc::new(Memory::new()), options, clock).unwrap();
    for change in [
        CatalogChange::CreateDatabase {
            name: "d".to_owned(),
            policy: None,
        },
        CatalogChange::CreatePolicy {
            database: "d".to_owned(),
            policy: plimsoll_engine::catalog::PolicySpec {
                name: Some("other".to_owned()),
                retention: Some(0),
                shard_duration_ns: None,
                replication: Some(1),
            },
            default: plimsoll_engine::catalog::MakeDefault::No,
        },
    ] {
        engine.change(&change).unwrap();
    }
    engine
}

/// The same points in an engine of ours.
pub fn engine() -> Engine {
    let engine = empty_engine();
    for (policy, points) in [("", points()), ("other", other_policy())] {
        let mut batch = Batch::default();
        for point in &points {
            let tags = TagSet::from_pairs(point.tags.iter().copied()).unwrap();
            batch.add(
                point.measurement,
                &tags,
                Timestamp(point.time),
                point.fields.iter().cloned(),
            );
        }
        let written = engine.write("d", policy, &batch).unwrap();
        assert_eq!(
            written.points_stored,
            points.len(),
            "{:?}",
            written.rejected
        );
    }
    engine
}
