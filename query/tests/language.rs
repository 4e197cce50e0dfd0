//! The same statements, here and in a real influxd: both take them, or both refuse them in the same
//! words.
//!
//! The real one is 1.6.7. Where the newest line differs from it, or we from both, `excuse` says why.

#[path = "differential/influxd.rs"]
#[expect(dead_code, reason = "nothing is written here")]
mod influxd;

use influxd::Influxd;
use plimsoll_engine::Timestamp;
use plimsoll_query::ast::Statement;
use plimsoll_query::check::check;
use plimsoll_query::{Params, parse};

/// Good statements: sent as they are, and changed.
const GOOD: [&str; 2] = [
    include_str!("check/accepted.txt"),
    include_str!("parse/accepted.txt"),
];

/// Bad ones: sent as they are.
const BAD: [&str; 2] = [
    include_str!("check/refused.txt"),
    include_str!("parse/refused.txt"),
];

/// The statements of some tables, without the answers.
fn statements<'a>(tables: &[&'a str]) -> Vec<&'a str> {
    let lines = tables.iter().flat_map(|text| text.lines());
    lines.filter(|line| !line.starts_with(' ')).collect()
}

/// A small generator (xorshift), so that one seed is one list of statements.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits fit") % end
    }
}

/// Words, quoted texts, spaces and signs.
fn parts(text: &str) -> Vec<&str> {
    let pattern = r#"'[^']*'|"[^"]*"|\w+|\s+|=~|!~|<=|>=|!=|<>|::|."#;
    let regex = regex::Regex::new(pattern).expect("the pattern is one");
    regex.find_iter(text).map(|part| part.as_str()).collect()
}

/// Statements with a part left out, doubled, or put in from another.
fn generated(seed: u64, count: usize) -> Vec<String> {
    let queries = statements(&GOOD);
    let stock: Vec<&str> = queries.iter().flat_map(|query| parts(query)).collect();
    let mut random = Random(seed);
    let bad = statements(&BAD);
    let mut all: Vec<String> = queries
        .iter()
        .chain(&bad)
        .map(ToString::to_string)
        .collect();
    while all.len() < count {
        let mut query = parts(queries[random.below(queries.len())]);
        for _ in 0..=random.below(2) {
            if query.is_empty() {
                break;
            }
            let at = random.below(query.len());
            match random.below(4) {
                0 => drop(query.remove(at)),
                1 => query.insert(at, query[at]),
                2 => query.truncate(at),
                _ => query[at] = stock[random.below(stock.len())],
            }
        }
        // The server trims what it is sent; what is left must be a query.
        let query = query.concat().trim().to_owned();
        if !query.is_empty() {
            all.push(query);
        }
    }
    all
}

/// The parser's error, or that of the first SELECT.
fn ours(query: &str) -> Option<String> {
    match parse(query, &Params::default()) {
        Err(error) => Some(format!("error parsing query: {error}")),
        Ok(statements) => match statements.first() {
            Some(Statement::Select(select)) => check(select, Timestamp(1 << 60))
                .err()
                .map(|error| error.to_string()),
            _ => None,
        },
    }
}

fn theirs(influxd: &Influxd, query: &str) -> Option<String> {
    let answer: serde_json::Value =
        serde_json::from_str(&influxd.query("d", "ns", query)).unwrap_or_default();
    let error = answer
        .get("error")
        .or_else(|| answer.pointer("/results/0/error"));
    error
        .and_then(|error| error.as_str())
        .map(ToOwned::to_owned)
}

/// Why two answers may differ.
fn excuse(query: &str, ours: Option<&str>, theirs: Option<&str>) -> Option<&'static str> {
    let upper = query.to_ascii_uppercase();
    let upper = upper.split_whitespace().collect::<Vec<_>>().join(" ");
    let newer = ["FUTURE", "PAST", "VERBOSE", "_HLL", "MEASUREMENTS ON"];
    if newer.iter().any(|word| upper.contains(word)) {
        return Some("newer than 1.6.7");
    }
    let (text, theirs) = (ours.unwrap_or_default(), theirs.unwrap_or_default());
    if ours.is_none() && (theirs.contains(" not found") || !upper.contains("SELECT")) {
        let is_found_at_run_time = !theirs.starts_with("error parsing query");
        let is_delete = upper.starts_with("DELETE") && theirs.contains("retention policy not");
        return (is_found_at_run_time || is_delete).then_some("found when it runs, or newer");
    }
    if ours.is_some() && (theirs.contains("*influxql.") || theirs.contains("[panic:")) {
        return Some("internal names and panics are not shown");
    }
    if text.replace(", FUTURE, PAST", "") == theirs {
        return Some("newer than 1.6.7");
    }
    if text == theirs.replace(".500", ".5") {
        return Some("1.6.7 prints three digits of a float");
    }
    if theirs.starts_with("invalid time dimension offset") {
        return Some("the newest line takes times there");
    }
    None
}

#[test]
fn statements_are_taken_and_refused_as_by_a_real_influxd() {
    let Some(influxd) = Influxd::start() else {
        println!("SKIPPED language influxd is not installed");
        return;
    };
    influxd.query("", "ns", "CREATE DATABASE d");
    let seed = 20_261_124;
    let mut report = String::new();
    let queries = generated(seed, 4_000);
    let mut refused = 0;
    for query in &queries {
        let (ours, theirs) = (ours(query), theirs(&influxd, query));
        refused += usize::from(ours.is_some());
        let is_excused = || excuse(query, ours.as_deref(), theirs.as_deref()).is_some();
        if ours != theirs && !is_excused() {
            report += &format!("{query}\n  ours   {ours:?}\n  theirs {theirs:?}\n");
        }
    }
    println!(
        "{} statements, {refused} refused, seed {seed}",
        queries.len()
    );
    assert!(report.is_empty(), "these differ:\n{report}");
}
