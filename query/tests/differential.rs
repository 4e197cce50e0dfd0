//! The same points and queries, here and in a real influxd: the answers must be the same bytes.
//!
//! Random requests over random points come from `generate` and `world`: `PLIMSOLL_DIFF_SEED` and
//! `PLIMSOLL_DIFF_CASES` say which and how many. `PLIMSOLL_DIFF_NEWEST` is the port of an InfluxDB of the
//! newest line, which is asked where 1.6.7 answers otherwise than we do; `PLIMSOLL_DIFF_FILE` a file of
//! queries, of which the answers are printed; `PLIMSOLL_DIFF_PINS` prints an entry for `pinned.txt` of each
//! deviation that has none. Deviations are predicates there (`deviations`).
//!
//! Where an answer to a query by hand differs on purpose the query stands in `DEVIATIONS` with the reason. Two kinds
//! of difference are counted and let through: the last digits of floats, which InfluxDB adds up
//! shard by shard, and the order of rows of one time in several series, which is the order of the
//! series here and that of a heap there.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "differential/at_random.rs"]
mod at_random;
#[path = "differential/case.rs"]
mod case;
#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/corpus.rs"]
mod corpus;
#[path = "differential/data.rs"]
mod data;
#[path = "differential/deviations.rs"]
mod deviations;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/influxd.rs"]
mod influxd;
#[path = "differential/ours.rs"]
mod ours;
#[path = "differential/pinned.rs"]
mod pinned;
#[path = "differential/queries.rs"]
mod queries;
#[path = "differential/random.rs"]
mod random;
#[path = "differential/shrink.rs"]
mod shrink;
#[path = "differential/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fmt::Write;

use plimsoll_engine::Engine;

use influxd::Influxd;
use ours::ours;

/// How two answers compare.
#[derive(Debug, PartialEq)]
enum Kind {
    Same,
    LastDigits,
    OrderOfTies,
    Different,
}

/// Compares the answers to a query. Digits may differ where it adds floats up, order only within rows
/// of one time.
fn compare_by_hand(query: &str, ours: &str, theirs: &str) -> Kind {
    if ours == theirs {
        return Kind::Same;
    }
    let (Ok(mut ours), Ok(mut theirs)) = (serde_json::from_str(ours), serde_json::from_str(theirs))
    else {
        return Kind::Different;
    };
    let adds = [
        "mean(",
        "sum(",
        "stddev(",
        "integral(",
        "holt_winters",
        "derivative(",
        "average(",
    ];
    let adds = adds.iter().any(|call| query.contains(call));
    if adds && is_close(&ours, &theirs) {
        return Kind::LastDigits;
    }
    sort_ties(&mut ours);
    sort_ties(&mut theirs);
    if ours == theirs {
        Kind::OrderOfTies
    } else {
        Kind::Different
    }
}

/// Sorts rows of one time by their text.
fn sort_ties(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                match member.as_array_mut() {
                    Some(rows) if key == "values" => {
                        for rows in rows.chunk_by_mut(|a, b| a[0] == b[0]) {
                            rows.sort_by_cached_key(ToString::to_string);
                        }
                    }
                    _ => sort_ties(member),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(sort_ties),
        _ => {}
    }
}

/// Whether two values differ at most in the last digits of floats.
fn is_close(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) if a.is_f64() || b.is_f64() => {
                (x - y).abs() <= 1e-12 * x.abs().max(y.abs()).max(1e-9)
            }
            _ => a == b,
        },
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_close(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|((k, a), (l, b))| k == l && is_close(a, b))
        }
        _ => a == b,
    }
}

fn check(
    engine: &Engine,
    influxd: &Influxd,
    queries: &[String],
    report: &mut String,
) -> (usize, usize) {
    let (mut last_digits, mut ties) = (0, 0);
    for (number, query) in queries.iter().enumerate() {
        let epoch = ["ns", "", "ms"][number % 3];
        let theirs = influxd.query("d", epoch, query);
        let ours = ours(engine, epoch, query);
        let reason = queries::DEVIATIONS
            .iter()
            .find(|(deviating, _)| deviating == query);
        match (compare_by_hand(query, &ours, &theirs), reason) {
            (Kind::Same, None) => {}
            (Kind::LastDigits, None) => last_digits += 1,
            (Kind::OrderOfTies, None) => ties += 1,
            (Kind::Different, Some(_)) => {}
            (Kind::Different, None) => writeln!(
                report,
                "{query}\n  ours   {}\n  theirs {}",
                ours.trim_end(),
                theirs.trim_end()
            )
            .unwrap(),
            (_, Some((_, reason))) => {
                writeln!(report, "{query}\n  is the same, yet listed: {reason}").unwrap();
            }
        }
    }
    (last_digits, ties)
}

#[test]
fn answers_are_those_of_a_real_influxd() {
    let Some(influxd) = Influxd::start() else {
        println!("SKIPPED differential influxd is not installed");
        return;
    };
    influxd.query("", "ns", "CREATE DATABASE d");
    influxd.query(
        "",
        "ns",
        "CREATE RETENTION POLICY other ON d DURATION INF REPLICATION 1",
    );
    influxd.write("d", "", &data::lines(&data::points()));
    influxd.write("d", "other", &data::lines(&data::other_policy()));
    let engine = data::engine();

    let mut report = String::new();
    let written: Vec<String> = queries::QUERIES.iter().map(ToString::to_string).collect();
    let by_hand = check(&engine, &influxd, &written, &mut report);
    println!(
        "{} queries; {} differ in the last digits, {} in the order of ties",
        written.len(),
        by_hand.0,
        by_hand.1
    );
    assert!(report.is_empty(), "these differ:\n{report}");
}

#[test]
fn queries_of_public_dashboards_answer_as_influxd_does() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/data/queries/container_dashboards.txt"
    );
    let Ok(corpus) = std::fs::read_to_string(path) else {
        println!(
            "SKIPPED queries_of_public_dashboards_answer_as_influxd_does ../shared/data is not there"
        );
        return;
    };
    let Some(influxd) = Influxd::start() else {
        println!(
            "SKIPPED queries_of_public_dashboards_answer_as_influxd_does influxd is not installed"
        );
        return;
    };
    let requests = corpus::requests(&corpus);
    let (lines, batch) = corpus::points(&requests);
    let engine = data::empty_engine();
    let written = engine.write("d", "", &batch).unwrap();
    assert_eq!(written.points_stored, batch.len(), "{:?}", written.rejected);
    influxd.query("", "ns", "CREATE DATABASE d");
    influxd.write("d", "", &lines);

    let (mut equal, mut refused, mut with_rows) = (0, 0, 0);
    let mut report = String::new();
    for (number, request) in requests.iter().enumerate() {
        let epoch = ["ns", "", "ms"][number % 3];
        let theirs = influxd.query("d", epoch, &request.text);
        let ours = ours(&engine, epoch, &request.text);
        if ours != theirs {
            let query = &request.text;
            writeln!(report, "{query}\n  ours   {ours}  theirs {theirs}").unwrap();
        } else if theirs.contains("\"error\":") {
            refused += 1;
        } else {
            equal += 1;
            with_rows += usize::from(theirs.contains("\"values\":"));
        }
    }
    println!(
        "{} queries: {equal} answered alike ({with_rows} with rows), {refused} refused alike, {} differ",
        requests.len(),
        requests.len() - equal - refused
    );
    assert!(report.is_empty(), "these differ:\n{report}");
    assert_eq!((equal, refused), corpus::COUNTS);
    assert!(with_rows > 600, "the points match the queries");
}

#[test]
fn random_requests_over_random_points_answer_as_influxd_does() {
    let name = "random_requests_over_random_points_answer_as_influxd_does";
    let Some(influxd) = Influxd::start() else {
        println!("SKIPPED {name} influxd is not installed");
        return;
    };
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).ok();
        text.map_or(default, |text| text.parse().expect("a number is set"))
    };
    let seed = number("PLIMSOLL_DIFF_SEED", 1);
    let count = number("PLIMSOLL_DIFF_CASES", 500);
    let port = std::env::var("PLIMSOLL_DIFF_NEWEST").ok();
    let newest = port.map(|port| Influxd::at(port.parse().expect("a port is set")));
    let peers = (&influxd, newest.as_ref());
    if let Ok(file) = std::env::var("PLIMSOLL_DIFF_FILE") {
        println!("{}", at_random::answers(peers, seed, &file));
        return;
    }
    if std::env::var_os("PLIMSOLL_DIFF_PINS").is_some() {
        at_random::pins(peers, seed, count, &mut |entry| println!("{entry}"));
        return;
    }
    let summary = at_random::run(peers, seed, count, &mut |report| println!("{report}"));
    println!(
        "{count} requests from seed {seed} on: {} the same, {} not sent, {} newer, {} different; deviations {:?}",
        summary.same, summary.skipped, summary.newer, summary.different, summary.deviations
    );
    let report: Vec<String> = summary.failures.into_values().collect();
    assert!(report.is_empty(), "these differ:\n{}", report.join("\n"));
}

#[test]
fn each_deviation_is_pinned_by_a_statement() {
    let pinned: BTreeSet<String> = pinned::entries().into_iter().map(|e| e.name).collect();
    let missing: Vec<&str> = deviations::names()
        .filter(|name| !pinned.contains(*name))
        .collect();
    assert!(missing.is_empty(), "no statement pins {missing:?}");
    let docs = include_str!("../../docs/influxql.md");
    let is_told = |name: &str| docs.contains(&format!("\"{name}\""));
    let untold: Vec<&String> = pinned.iter().filter(|name| !is_told(name)).collect();
    assert!(
        untold.is_empty(),
        "docs/influxql.md does not name {untold:?}"
    );
    let Some(influxd) = Influxd::start() else {
        println!("SKIPPED each_deviation_is_pinned_by_a_statement influxd is not installed");
        return;
    };
    let failed: Vec<String> = pinned::entries()
        .iter()
        .filter_map(|entry| at_random::holds((&influxd, None), entry).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
