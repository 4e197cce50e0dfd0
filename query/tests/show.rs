//! SHOW … CARDINALITY, SHOW SHARDS and their kin: as a real influxd answers, and where the newest
//! line or this server answers otherwise, as it says here.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

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

use std::fmt::Write;

use influxd::Influxd;
use ours::ours;
use plimsoll_engine::Engine;

/// Series of `hourly` and `weekly` lie in several shards: 1.6.7 counts them once in each.
const SAME: &[&str] = &[
    "SHOW SERIES CARDINALITY",
    "SHOW SERIES CARDINALITY ON d",
    "SHOW SERIES CARDINALITY ON nope",
    "SHOW SERIES EXACT CARDINALITY ON nope",
    "SHOW SERIES EXACT CARDINALITY FROM cpu, net, plain, words",
    "SHOW SERIES EXACT CARDINALITY FROM cpu WHERE host = 'a'",
    "SHOW SERIES EXACT CARDINALITY FROM cpu, net WHERE host != 'a'",
    "SHOW SERIES EXACT CARDINALITY FROM cpu, net WHERE nope = 'x'",
    "SHOW SERIES EXACT CARDINALITY FROM cpu, net WHERE nope != 'x'",
    "SHOW SERIES EXACT CARDINALITY FROM cpu WHERE usage > 0",
    "SHOW SERIES EXACT CARDINALITY FROM cpu WHERE _name = 'cpu'",
    "SHOW SERIES EXACT CARDINALITY FROM cpu, net GROUP BY host",
    "SHOW SERIES CARDINALITY FROM cpu GROUP BY region",
    "SHOW SERIES EXACT CARDINALITY FROM cpu GROUP BY region LIMIT 1",
    "SHOW SERIES EXACT CARDINALITY FROM cpu LIMIT 1 OFFSET 1",
    "SHOW SERIES EXACT CARDINALITY FROM cpu GROUP BY /re/",
    "SHOW SERIES EXACT CARDINALITY FROM d.other.cpu",
    "SHOW SERIES EXACT CARDINALITY FROM /^p/",
    "SHOW SERIES EXACT CARDINALITY FROM nope",
    "SHOW SERIES EXACT CARDINALITY WHERE time > 0",
    "SHOW MEASUREMENT CARDINALITY",
    "SHOW MEASUREMENT EXACT CARDINALITY",
    "SHOW MEASUREMENT CARDINALITY FROM cpu",
    "SHOW MEASUREMENT EXACT CARDINALITY FROM cpu, net, plain WHERE host = 'a'",
    "SHOW MEASUREMENT EXACT CARDINALITY GROUP BY host",
    "SHOW MEASUREMENT EXACT CARDINALITY FROM cpu, net LIMIT 1",
    "SHOW MEASUREMENT EXACT CARDINALITY FROM d.other./.*/",
    "SHOW MEASUREMENT EXACT CARDINALITY FROM nope",
    "SHOW MEASUREMENT EXACT CARDINALITY WHERE time > 0",
    "SHOW TAG KEY CARDINALITY",
    "SHOW TAG KEY EXACT CARDINALITY FROM cpu, plain",
    "SHOW TAG KEY EXACT CARDINALITY FROM cpu, net WHERE host = 'd'",
    "SHOW TAG KEY EXACT CARDINALITY GROUP BY host",
    "SHOW TAG KEY EXACT CARDINALITY LIMIT 1",
    "SHOW TAG KEY EXACT CARDINALITY WHERE time > 0",
    "SHOW TAG VALUES CARDINALITY WITH KEY = host",
    "SHOW TAG VALUES EXACT CARDINALITY WITH KEY IN (host, region)",
    "SHOW TAG VALUES EXACT CARDINALITY FROM cpu WITH KEY =~ /./ WHERE host = 'a'",
    "SHOW TAG VALUES EXACT CARDINALITY WITH KEY != host",
    "SHOW TAG VALUES EXACT CARDINALITY WITH KEY !~ /o/",
    "SHOW TAG VALUES EXACT CARDINALITY WITH KEY = host GROUP BY region",
    "SHOW FIELD KEY CARDINALITY",
    "SHOW FIELD KEY EXACT CARDINALITY FROM cpu",
    "SHOW FIELD KEY EXACT CARDINALITY FROM d.other.cpu, cpu",
    "SHOW FIELD KEY EXACT CARDINALITY FROM cpu, net WHERE host = 'a'",
    "SHOW FIELD KEY EXACT CARDINALITY FROM cpu GROUP BY host",
    "SHOW FIELD KEY EXACT CARDINALITY FROM nope",
    "SHOW FIELD KEY EXACT CARDINALITY WHERE time > 0",
    "DROP SHARD 99",
    "SHOW TAG VALUES WITH KEY = host WHERE host = 'a' OR value = 'b'",
];

#[test]
fn cardinalities_are_those_of_a_real_influxd() {
    let Some(influxd) = Influxd::start() else {
        println!("SKIPPED cardinalities_are_those_of_a_real_influxd influxd is not installed");
        return;
    };
    influxd.query("", "ns", "CREATE DATABASE d");
    let policy = "CREATE RETENTION POLICY other ON d DURATION INF REPLICATION 1";
    influxd.query("", "ns", policy);
    influxd.write("d", "", &data::lines(&data::points()));
    influxd.write("d", "other", &data::lines(&data::other_policy()));
    let engine = data::engine();
    let mut report = String::new();
    for query in SAME {
        let (ours, theirs) = (ours(&engine, "ns", query), influxd.query("d", "ns", query));
        if ours != theirs {
            writeln!(report, "{query}\n  ours   {ours}  theirs {theirs}").unwrap();
        }
    }
    assert!(report.is_empty(), "these differ:\n{report}");
}

/// The rows of a statement's answer, one a line; its error where it has one.
fn rows(engine: &Engine, query: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(&ours(engine, "ns", query)).unwrap();
    let result = &answer["results"][0];
    if let Some(error) = result["error"].as_str() {
        return error.to_owned();
    }
    let mut out = String::new();
    for series in result["series"].as_array().into_iter().flatten() {
        let name = series["name"].as_str().unwrap_or_default();
        writeln!(out, "{name}{}: {}", series["columns"], series["values"]).unwrap();
    }
    out
}

#[test]
fn a_series_in_several_shards_is_counted_once() {
    let engine = data::engine();
    assert_eq!(
        rows(
            &engine,
            "SHOW SERIES EXACT CARDINALITY FROM weekly, hourly, mixed"
        ),
        "hourly[\"count\"]: [[1]]\nmixed[\"count\"]: [[1]]\nweekly[\"count\"]: [[1]]\n"
    );
    // The newest line estimates these, and says so.
    assert_eq!(
        rows(&engine, "SHOW SERIES CARDINALITY FROM cpu, net"),
        "cpu[\"cardinality estimation\"]: [[4]]\nnet[\"cardinality estimation\"]: [[3]]\n"
    );
    assert_eq!(
        rows(&engine, "SHOW SERIES EXACT CARDINALITY GROUP BY time(1d)"),
        "GROUP BY of SHOW … CARDINALITY takes tags, not time(1d)"
    );
}

#[test]
fn a_cardinality_of_tag_values_honours_the_time_range_exactly() {
    let engine = data::engine();
    let range = "time > '2024-03-30T12:00:00Z' AND time < '2024-03-30T12:00:05Z'";
    assert_eq!(
        rows(
            &engine,
            &format!("SHOW TAG VALUES CARDINALITY FROM cpu, net WITH KEY = host WHERE {range}")
        ),
        "cpu[\"count\"]: [[1]]\nnet[\"count\"]: [[2]]\n"
    );
}

#[test]
fn what_only_the_newest_line_answers_is_answered_in_its_words() {
    let engine = data::engine();
    for (query, expected) in [
        (
            "SHOW TAG VALUES FROM cpu WITH KEY = host WHERE value = 'a'",
            "cpu[\"key\",\"value\"]: [[\"host\",\"a\"]]\n",
        ),
        (
            "SHOW TAG VALUES FROM cpu WITH KEY = host WHERE value =~ /a|b/ AND region = 'eu'",
            "cpu[\"key\",\"value\"]: [[\"host\",\"a\"],[\"host\",\"b\"]]\n",
        ),
        (
            "SHOW TAG VALUES FROM cpu WITH KEY = host WHERE value != 'a' AND value !~ /[bc]/",
            "cpu[\"key\",\"value\"]: [[\"host\",\"d\"],[\"host\",\"z\"]]\n",
        ),
        ("SHOW TAG VALUES WITH KEY = host WHERE value = 'nope'", ""),
        ("SHOW TAG VALUES WITH KEY = host WHERE value = 5000", ""),
        (
            "SHOW TAG VALUES FROM d.other.cpu WITH KEY = host",
            "cpu[\"key\",\"value\"]: [[\"host\",\"z\"]]\n",
        ),
        (
            "SHOW TAG VALUES FROM d.other.cpu, d.autogen.cpu WITH KEY = host",
            "only one retention policy allowed in SHOW TAG VALUES query: \"autogen\", \"other\"",
        ),
        (
            "SHOW TAG VALUES WITH KEY = host WHERE host = \"a\"",
            "bad WHERE clause for metaquery; one term must be a string literal tag value within \
             single quotes: host = a",
        ),
        (
            "SHOW TAG KEYS WHERE (host = 'b' OR host != \"a\")",
            "bad WHERE clause for metaquery; one term must be a string literal tag value within \
             single quotes: host != a",
        ),
        (
            "SHOW TAG KEYS FROM cpu WITH KEY = host",
            "cpu[\"tagKey\"]: [[\"host\"]]\n",
        ),
        (
            "SHOW TAG KEYS FROM cpu WITH KEY IN (region, nope)",
            "cpu[\"tagKey\"]: [[\"region\"]]\n",
        ),
        (
            "SHOW TAG KEYS FROM cpu, net WITH KEY !~ /host/",
            "cpu[\"tagKey\"]: [[\"region\"]]\nnet[\"tagKey\"]: [[\"if\"]]\n",
        ),
        (
            "SHOW MEASUREMENTS ON d.other",
            "measurements[\"name\",\"database\",\"retention policy\"]: \
             [[\"cpu\",\"d\",\"other\"],[\"only_here\",\"d\",\"other\"]]\n",
        ),
        (
            "SHOW MEASUREMENTS ON *.* WITH MEASUREMENT =~ /only|plain/",
            "measurements[\"name\",\"database\",\"retention policy\"]: \
             [[\"plain\",\"d\",\"autogen\"],[\"only_here\",\"d\",\"other\"]]\n",
        ),
        (
            "SHOW MEASUREMENTS ON d.* WITH MEASUREMENT = cpu",
            "measurements[\"name\",\"database\",\"retention policy\"]: \
             [[\"cpu\",\"d\",\"autogen\"],[\"cpu\",\"d\",\"other\"]]\n",
        ),
        ("SHOW MEASUREMENTS ON nope.*", "unknown database nope"),
    ] {
        assert_eq!(rows(&engine, query), expected, "{query}");
    }
}

#[test]
fn each_partition_is_a_shard_and_a_group() {
    let engine = data::engine();
    let listed = |query: &str| -> Vec<Vec<String>> {
        let answer: serde_json::Value = serde_json::from_str(&ours(&engine, "ns", query)).unwrap();
        let rows = answer["results"][0]["series"][0]["values"].clone();
        let rows = rows.as_array().unwrap().clone();
        let texts = |row: serde_json::Value| -> Vec<String> {
            let cells = row.as_array().unwrap().clone();
            let texts = cells.iter().filter_map(serde_json::Value::as_str);
            texts.map(ToOwned::to_owned).collect()
        };
        rows.into_iter().map(texts).collect()
    };
    let shards = listed("SHOW SHARDS");
    assert_eq!(shards.len(), 7, "six weeks, and one of the other policy");
    let first = [
        "d",
        "autogen",
        "2024-02-26T00:00:00Z",
        "2024-03-04T00:00:00Z",
        "",
        "",
    ];
    assert_eq!(shards[0], first);
    assert!(shards[..6].is_sorted());
    assert_eq!(shards[6][1], "other");
    let groups = listed("SHOW SHARD GROUPS");
    assert_eq!(groups.len(), 7);
    // What never expires has its end there, as in InfluxDB.
    assert_eq!(
        groups[0][2..],
        [
            "2024-02-26T00:00:00Z",
            "2024-03-04T00:00:00Z",
            "2024-03-04T00:00:00Z"
        ]
    );
}

#[test]
fn a_shard_that_is_dropped_is_gone_from_every_answer() {
    let engine = data::engine();
    let other = |engine: &Engine| {
        let answer: serde_json::Value =
            serde_json::from_str(&ours(engine, "ns", "SHOW SHARDS")).unwrap();
        let values = answer["results"][0]["series"][0]["values"].clone();
        let rows = values.as_array().unwrap().clone();
        rows.into_iter().find(|row| row[2] == "other")
    };
    let shard = other(&engine).expect("the policy has a shard");
    assert_eq!(shard[0], shard[3]);
    assert_eq!(shard[6], "", "it never expires");
    let dropped = ours(&engine, "ns", &format!("DROP SHARD {}", shard[0]));
    assert_eq!(dropped, "{\"results\":[{\"statement_id\":0}]}\n");
    assert_eq!(other(&engine), None);
    assert_eq!(rows(&engine, "SELECT usage FROM d.other.cpu"), "");
    assert_eq!(rows(&engine, "SHOW MEASUREMENTS ON d.other"), "");
    // Again is fine, and a write makes another one.
    ours(&engine, "ns", &format!("DROP SHARD {}", shard[0]));
    let mut batch = plimsoll_engine::Batch::default();
    let point = &data::other_policy()[0];
    let tags = plimsoll_engine::TagSet::from_pairs(point.tags.iter().copied()).unwrap();
    let time = plimsoll_engine::Timestamp(point.time);
    batch.add(point.measurement, &tags, time, point.fields.iter().cloned());
    engine.write("d", "other", &batch).unwrap();
    assert_ne!(other(&engine).expect("a new shard")[0], shard[0]);
    assert!(rows(&engine, "SELECT usage FROM d.other.cpu").contains("77.5"));
    // Rows of the dropped one that are still in the head do not come back with a flush.
    ours(
        &engine,
        "ns",
        &format!("DROP SHARD {}", other(&engine).unwrap()[0]),
    );
    engine.flush().unwrap();
    assert_eq!(other(&engine), None);
    assert_eq!(rows(&engine, "SELECT usage FROM d.other.cpu"), "");
}
