//! DELETE, DROP SERIES and DROP MEASUREMENT: what they delete and what they refuse, here and in a
//! real influxd, by hand and at random, over heads, segments and merges.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "the other differential tests use the rest"
)]
#[path = "differential/data.rs"]
mod data;
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "the other differential tests use the rest"
)]
#[path = "differential/influxd.rs"]
mod influxd;
#[path = "differential/ours.rs"]
mod ours;
#[path = "differential/random.rs"]
mod random;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::atomic::AtomicBool;

use data::{DAY, Point, SECOND, START};
use influxd::Influxd;
use ours::ours;
use plimsoll_engine::{Batch, Engine, FieldValue, TagSet, Timestamp};
use random::Random;

/// What is asked after one deletion of points that were written once.
const NAMES: [&str; 3] = ["SHOW MEASUREMENTS", "SHOW TAG KEYS", "SHOW FIELD KEYS"];

/// What is asked after each change. After several, 1.6.7 may go on to name measurements, tags and
/// fields that have no series any more; the engine's own tests hold names against the points.
const QUESTIONS: [&str; 4] = [
    "SHOW SERIES",
    "SELECT dc, host, s, v FROM cpu, mem, disk",
    "SELECT dc, host, s, v FROM d.other.cpu",
    "SELECT count(v), last(s) FROM /./ GROUP BY dc, host",
];

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// Points of three measurements over two weeks: partitions, and shards, end between them.
fn points() -> Vec<Point> {
    let mut points = Vec::new();
    for (number, host) in (0_i64..).zip(HOSTS) {
        for step in 0..6 {
            let time = START + (step - 3) * 4 * DAY + number * SECOND;
            let rows: [(&str, Vec<(&str, &str)>); 3] = [
                (
                    "cpu",
                    vec![("host", host), ("dc", if number < 2 { "a" } else { "c" })],
                ),
                ("mem", vec![("host", host)]),
                ("disk", vec![]),
            ];
            for (measurement, tags) in rows {
                points.push(Point {
                    measurement,
                    tags,
                    fields: vec![
                        ("v", FieldValue::Integer(step * 10 + number)),
                        ("s", FieldValue::String(host.into())),
                    ],
                    time,
                });
            }
        }
    }
    points
}

fn batch(points: &[Point]) -> Batch {
    let mut batch = Batch::default();
    for point in points {
        let tags = TagSet::from_pairs(point.tags.iter().copied()).unwrap();
        let fields = point.fields.iter().cloned();
        batch.add(point.measurement, &tags, Timestamp(point.time), fields);
    }
    batch
}

/// Both sides with the same points in two policies.
struct Pair {
    engine: Engine,
    influxd: Influxd,
    report: String,
}

impl Pair {
    fn new() -> Option<Self> {
        let mut pair = Self {
            engine: data::empty_engine(),
            influxd: Influxd::start()?,
            report: String::new(),
        };
        pair.fill();
        Some(pair)
    }

    /// Makes both databases new.
    fn fill(&mut self) {
        self.engine = data::empty_engine();
        for statement in [
            "DROP DATABASE d",
            "CREATE DATABASE d",
            "CREATE RETENTION POLICY other ON d DURATION INF REPLICATION 1",
        ] {
            self.influxd.query("", "ns", statement);
        }
        self.write("", &points());
        self.engine.flush().unwrap();
        let others: Vec<Point> = points()
            .into_iter()
            .filter(|p| p.measurement == "cpu")
            .collect();
        self.write("other", &others);
    }

    fn write(&mut self, policy: &str, points: &[Point]) {
        let path = format!("/write?db=d&rp={policy}");
        let (status, body) = self.influxd.post(&path, "text/plain", &data::lines(points));
        let written = self.engine.write("d", policy, &batch(points)).unwrap();
        let ours = if written.rejected.is_empty() {
            204
        } else {
            400
        };
        if ours != status {
            let lines = data::lines(points);
            writeln!(
                self.report,
                "{lines}  ours {written:?}\n  theirs {status} {body}"
            )
            .unwrap();
        }
    }

    fn compare(&mut self, history: &str, query: &str) {
        let theirs = without_shard(&self.influxd.query("d", "ns", query));
        let ours = ours(&self.engine, "ns", query);
        if ours != theirs {
            writeln!(
                self.report,
                "{history}: {query}\n  ours   {ours}  theirs {theirs}"
            )
            .unwrap();
        }
    }

    fn compare_all(&mut self, history: &str) {
        for question in QUESTIONS {
            self.compare(history, question);
        }
        // Values, too, it may name that no series has, so its series are asked.
        let series = self.influxd.query("d", "ns", "SHOW SERIES");
        let values = ours(&self.engine, "ns", "SHOW TAG VALUES WITH KEY =~ /./");
        let (theirs, ours) = (pairs_of_series(&series), pairs_of_values(&values));
        if ours != theirs {
            writeln!(
                self.report,
                "{history}: SHOW TAG VALUES\n  ours   {ours:?}\n  theirs {theirs:?}"
            )
            .unwrap();
        }
    }
}

type Pairs = BTreeSet<(String, String, String)>;

/// The tag pairs of each measurement in an answer to SHOW SERIES.
fn pairs_of_series(answer: &str) -> Pairs {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let rows = answer["results"][0]["series"][0]["values"].as_array();
    let keys = rows
        .into_iter()
        .flatten()
        .map(|row| row[0].as_str().unwrap());
    keys.flat_map(|key| {
        let (name, tags) = key.split_once(',').unwrap_or((key, ""));
        let pairs = tags.split(',').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (name.to_owned(), key.to_owned(), value.to_owned()))
    })
    .collect()
}

/// The tag pairs of each measurement in an answer to SHOW TAG VALUES.
fn pairs_of_values(answer: &str) -> Pairs {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let series = answer["results"][0]["series"].as_array();
    let mut pairs = Pairs::new();
    for series in series.into_iter().flatten() {
        for row in series["values"].as_array().unwrap() {
            pairs.insert((text(&series["name"]), text(&row[0]), text(&row[1])));
        }
    }
    pairs
}

/// InfluxDB says in which shard an error was, of which there are none here.
fn without_shard(answer: &str) -> String {
    let Some((before, after)) = answer.split_once("\"shard ") else {
        return answer.to_owned();
    };
    let rest = after.split_once(": ").map_or(after, |(_, rest)| rest);
    format!("{before}\"{rest}")
}

const STATEMENTS: &[&str] = &[
    "DELETE FROM cpu",
    "DELETE FROM nothing",
    "DELETE FROM cpu WHERE host = 'a'",
    "DELETE FROM cpu WHERE host != 'a'",
    "DELETE FROM cpu WHERE host = 'a' OR host = 'c'",
    "DELETE FROM cpu WHERE (host = 'a' AND dc = 'a') OR (dc = 'c')",
    "DELETE FROM cpu WHERE host =~ /a|b/",
    "DELETE FROM cpu WHERE host !~ /a|b/",
    "DELETE FROM cpu WHERE host = ''",
    "DELETE FROM cpu WHERE nothing = ''",
    "DELETE FROM cpu WHERE nothing = 'x'",
    "DELETE FROM cpu WHERE nothing != 'x'",
    "DELETE FROM cpu WHERE 'a' = host",
    "DELETE FROM cpu WHERE host = \"nothing\"",
    "DELETE FROM cpu WHERE host::tag = 'a'",
    "DELETE FROM cpu WHERE v::tag = 'a'",
    "DELETE FROM cpu WHERE _name = 'cpu' AND host = 'b'",
    "DELETE WHERE _name = 'mem'",
    "DELETE WHERE _name =~ /c|m/ AND host = 'b'",
    "DELETE WHERE host = 'b'",
    "DELETE FROM /c|d/ WHERE host = 'b'",
    "DELETE FROM /c|d/",
    "DELETE FROM cpu, mem WHERE host = 'b'",
    "DELETE FROM cpu WHERE time < '2024-03-30T12:00:00Z'",
    "DELETE FROM cpu WHERE time >= '2024-03-30T12:00:00Z' AND host = 'a'",
    "DELETE FROM cpu WHERE time > '2024-03-22' AND time <= '2024-03-30T12:00:01Z'",
    "DELETE FROM cpu WHERE time = '2024-03-30T12:00:01Z'",
    "DELETE WHERE time < '2024-03-30T12:00:01Z'",
    "DELETE WHERE time < '2035-01-01'",
    "DELETE WHERE time > now() - 100000d",
    "DELETE FROM cpu WHERE time > 5 AND time < 3",
    "DELETE FROM cpu WHERE time > '2024-03-25' OR host = 'a'",
    "DELETE FROM cpu WHERE true",
    "DELETE FROM cpu WHERE false",
    "DELETE FROM cpu WHERE 1 = 1",
    "DELETE FROM cpu WHERE v = 1",
    "DELETE FROM cpu WHERE v > 1 AND host = 'a'",
    "DELETE FROM cpu WHERE host = 'a' OR v = 1",
    "DELETE FROM cpu WHERE s = 'a'",
    "DELETE FROM cpu WHERE s != 'a'",
    "DELETE FROM cpu WHERE s =~ /a/",
    "DELETE FROM cpu WHERE host = 1",
    "DELETE FROM cpu WHERE host::field = 'a'",
    "DELETE FROM cpu WHERE v::float = 1",
    "DELETE FROM cpu WHERE abs(v) = 1",
    "DELETE FROM cpu WHERE v + 1 = 2",
    "DELETE WHERE v = 2",
    "DELETE FROM cpu WHERE time",
    "DELETE FROM cpu WHERE time > 'no time'",
    "DELETE",
    "DELETE FROM d.other.cpu",
    "DELETE FROM (SELECT * FROM cpu)",
    "DROP SERIES FROM cpu",
    "DROP SERIES FROM cpu WHERE host = 'a'",
    "DROP SERIES FROM /c|m/ WHERE host =~ /[ab]/",
    "DROP SERIES WHERE dc = 'a'",
    "DROP SERIES WHERE host = ''",
    "DROP SERIES FROM nothing",
    "DROP SERIES FROM cpu WHERE v = 1",
    "DROP SERIES FROM cpu WHERE time > 5",
    "DROP SERIES WHERE time > 5 AND host = 'a'",
    "DROP SERIES FROM other.cpu",
    "DROP SERIES FROM d.other.cpu",
    "DROP SERIES",
    "DROP MEASUREMENT cpu",
    "DROP MEASUREMENT disk",
    "DROP MEASUREMENT nothing",
    "DROP MEASUREMENT /c/",
    "DROP MEASUREMENT",
    "DELETE FROM cpu; DROP MEASUREMENT mem; SHOW MEASUREMENTS",
];

/// Statements that answer otherwise than influxd 1.6.7, each with the reason.
const DEVIATIONS: &[(&str, &str)] = &[
    (
        "DELETE FROM d.other.cpu",
        "1.6.7 knows no policy there; the newest line refuses the database only",
    ),
    (
        "DELETE FROM cpu WHERE time > 'no time'",
        "an error names no internal type",
    ),
];

#[test]
fn what_is_deleted_and_refused_is_what_influxd_deletes_and_refuses() {
    let Some(mut pair) = Pair::new() else {
        println!(
            "SKIPPED what_is_deleted_and_refused_is_what_influxd_deletes_and_refuses \
             influxd is not installed"
        );
        return;
    };
    for statement in STATEMENTS {
        pair.fill();
        if DEVIATIONS
            .iter()
            .any(|(deviating, _)| deviating == statement)
        {
            let before = pair.report.len();
            pair.compare(statement, statement);
            let is_different = pair.report.len() > before;
            assert!(is_different, "{statement} is the same, yet listed");
            pair.report.truncate(before);
        } else {
            pair.compare(statement, statement);
        }
        pair.compare_all(statement);
        for question in NAMES {
            pair.compare(statement, question);
        }
    }
    assert!(pair.report.is_empty(), "these differ:\n{}", pair.report);
}

/// A DELETE or DROP by chance.
fn statement(random: &mut Random) -> String {
    let from = random.one(&["cpu", "mem", "disk", "/c|m/", "cpu, disk"]);
    let tags = random.one(&[
        "host = 'a'",
        "host != 'b'",
        "host =~ /b|c/",
        "dc = 'a' AND host = 'b'",
        "host = 'c' OR dc = 'a'",
        "dc = ''",
    ]);
    let mut days = |n| i64::try_from(random.below(n)).unwrap() * DAY;
    let start = START - 14 * DAY + days(24);
    let end = start + days(10) + 2 * SECOND;
    let times = format!("time >= {start} AND time < {end}");
    match random.below(10) {
        0 => format!("DROP MEASUREMENT {}", random.one(&["cpu", "mem", "disk"])),
        1 => format!("DROP SERIES FROM {from} WHERE {tags}"),
        2 => format!("DROP SERIES WHERE {tags}"),
        3 => format!("DELETE FROM {from} WHERE {tags}"),
        4 => format!("DELETE WHERE {tags} AND {times}"),
        5 | 6 => format!("DELETE FROM {from} WHERE {times}"),
        _ => format!("DELETE FROM {from} WHERE {times} AND ({tags})"),
    }
}

#[test]
fn deletions_and_writes_in_any_order_leave_what_they_leave_in_influxd() {
    let Some(mut pair) = Pair::new() else {
        println!(
            "SKIPPED deletions_and_writes_in_any_order_leave_what_they_leave_in_influxd \
             influxd is not installed"
        );
        return;
    };
    let mut random = Random(20_261_124);
    let go_on = AtomicBool::new(false);
    for _ in 0..24 {
        pair.fill();
        let mut history = String::new();
        let mut new_hosts = (3..).zip(["d", "e", "f", "g"]);
        for _ in 0..10 {
            match random.below(6) {
                0 => {
                    // InfluxDB 1.6.7 may forget a measurement when it drops a series of it that
                    // was dropped before and has come back, so these are new ones.
                    let Some((number, host)) = new_hosts.next() else {
                        continue;
                    };
                    let mut new = points();
                    new.retain(|point| point.tags.contains(&("host", "a")));
                    new.retain(|_| random.below(3) > 0);
                    for point in &mut new {
                        // Of equal times InfluxDB answers in any order.
                        point.time += number * SECOND;
                        let host_tag = point.tags.iter_mut().find(|tag| tag.0 == "host");
                        host_tag.unwrap().1 = host;
                    }
                    pair.write("", &new);
                    write!(history, "{} points of {host}; ", new.len()).unwrap();
                }
                1 => pair.engine.flush().unwrap(),
                2 => {
                    pair.engine.compact_all(&go_on).unwrap();
                }
                _ => {
                    let statement = statement(&mut random);
                    write!(history, "{statement}; ").unwrap();
                    pair.compare(&history, &statement);
                }
            }
            pair.compare_all(&history);
        }
        if !pair.report.is_empty() {
            break;
        }
    }
    assert!(pair.report.is_empty(), "these differ:\n{}", pair.report);
}

#[test]
fn a_dropped_measurement_comes_back_with_other_types() {
    let engine = data::empty_engine();
    engine.write("d", "", &batch(&points())).unwrap();
    engine.flush().unwrap();
    ours(&engine, "ns", "DROP MEASUREMENT disk");
    let point = |value| Point {
        measurement: "disk",
        tags: vec![],
        fields: vec![("v", value)],
        time: START,
    };
    let text = batch(&[point(FieldValue::String("x".into()))]);
    assert_eq!(engine.write("d", "", &text).unwrap().points_stored, 1);
    let answer = ours(
        &engine,
        "ns",
        "SELECT v FROM disk; SHOW FIELD KEYS FROM disk",
    );
    assert_eq!(
        answer,
        "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"disk\",\
         \"columns\":[\"time\",\"v\"],\"values\":[[1711800000000000000,\"x\"]]}]},\
         {\"statement_id\":1,\"series\":[{\"name\":\"disk\",\
         \"columns\":[\"fieldKey\",\"fieldType\"],\"values\":[[\"v\",\"string\"]]}]}]}\n"
    );
}

/// What the newest line says where 1.6.7 cannot be asked, and where this is stricter on purpose.
#[test]
fn policies_and_operators_are_those_of_the_newest_line_or_refused() {
    let engine = data::empty_engine();
    for policy in ["", "other"] {
        engine.write("d", policy, &batch(&points())).unwrap();
    }
    let error = |statement: &str| {
        let answer: serde_json::Value =
            serde_json::from_str(&ours(&engine, "ns", statement)).unwrap();
        answer["results"][0]["error"].as_str().map(str::to_owned)
    };
    let count = |source: &str| {
        let answer = ours(&engine, "ns", &format!("SELECT count(v) FROM {source}"));
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["results"][0]["series"][0]["values"][0][1]
            .as_i64()
            .unwrap_or(0)
    };
    assert_eq!(error("DELETE FROM other.cpu WHERE host = 'a'"), None);
    assert_eq!((count("d.other.cpu"), count("cpu")), (12, 18));
    assert_eq!(
        error("DELETE FROM nothing.cpu"),
        None,
        "no shard is of that policy"
    );
    assert_eq!(
        error("DELETE FROM other.cpu, mem").as_deref(),
        Some("mixed retention policies not supported, wanted \"other\" got \"\"")
    );
    assert_eq!(
        error("DELETE FROM cpu WHERE host > 'a'").as_deref(),
        Some("only =, !=, =~ and !~ are supported on tags in WHERE clause during deletion")
    );
    assert_eq!((count("d.other.cpu"), count("cpu")), (12, 18));
    // InfluxDB deletes every series that has both tags.
    assert_eq!(error("DELETE FROM cpu WHERE host = dc"), None);
    assert_eq!(count("cpu"), 6);
    assert_eq!(error("DELETE FROM cpu WHERE host != dc"), None);
    assert_eq!(count("cpu"), 0);
}
