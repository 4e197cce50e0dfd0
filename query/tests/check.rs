//! What may run and what may not, with InfluxDB's messages.
//!
//! The tables are chosen from InfluxDB's `query/compile_test.go` (1.12, MIT), its internal type names
//! taken out, with more at their ends.

use plimsoll_engine::Timestamp;
use plimsoll_query::ast::Statement;
use plimsoll_query::check::{Checked, Shape, check, check_statement};
use plimsoll_query::{Params, parse};

const NOW: Timestamp = Timestamp(1_600_000_000_000_000_000);

fn checked(text: &str) -> Result<Checked, String> {
    let statements = parse(text, &Params::default()).map_err(|error| error.to_string())?;
    match statements.as_slice() {
        [Statement::Select(select)] => check(select, NOW).map_err(|error| error.to_string()),
        _ => Err("not one SELECT".to_owned()),
    }
}

#[test]
fn what_influxdb_accepts_is_accepted() {
    for query in include_str!("check/accepted.txt").lines() {
        assert_eq!(checked(query).map(drop), Ok(()), "{query}");
    }
}

#[test]
fn what_influxdb_refuses_is_refused_with_its_message() {
    let lines: Vec<&str> = include_str!("check/refused.txt").lines().collect();
    for case in lines.chunks(2) {
        let [query, message] = case else {
            panic!("a query has a message: {case:?}")
        };
        let message = message.trim_start().to_owned();
        assert_eq!(checked(query).map(drop), Err(message), "{query}");
    }
}

#[test]
fn log_takes_its_base_in_where_too() {
    let log = "SELECT v FROM m WHERE log(v, 2) > 3";
    assert_eq!(checked(log).map(drop), Ok(()));
}

#[test]
fn calls_in_parentheses_of_where_are_checked() {
    let error = checked("SELECT v FROM m WHERE a = 1 AND (pow(v) > 1)").map(drop);
    let expected = "invalid number of arguments for pow, expected 2, got 1";
    assert_eq!(error, Err(expected.to_owned()));
}

#[test]
fn no_internal_name_stands_in_a_message() {
    for (text, message) in [
        (
            "SELECT derivative(v, 10) FROM m",
            "second argument to derivative must be a duration, got 10",
        ),
        (
            "SELECT v FROM m WHERE time > host",
            "invalid operation: time and host are not compatible",
        ),
        (
            "SELECT v FROM m WHERE h =~ /a/ ^ b",
            "likely malformed statement, unable to rewrite: h =~ /a/ ^ b",
        ),
    ] {
        assert_eq!(checked(text).map(drop), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn facts_are_told() {
    let facts = |text: &str| {
        let checked = checked(text).unwrap();
        (checked.shape, checked.interval, checked.extra_windows)
    };
    assert_eq!(facts("SELECT v FROM m"), (Shape::Raw, None, 0));
    assert_eq!(facts("SELECT abs(v) FROM m"), (Shape::Raw, None, 0));
    assert_eq!(
        facts("SELECT max(v), h FROM m"),
        (Shape::Selectors, None, 0)
    );
    assert_eq!(
        facts("SELECT mean(v) FROM m GROUP BY time(1s)"),
        (Shape::Aggregates, Some(1_000_000_000), 0)
    );
    assert_eq!(
        facts("SELECT moving_average(max(v), 7), difference(max(v)) FROM m GROUP BY time(1s)"),
        (Shape::Aggregates, Some(1_000_000_000), 7)
    );
    let query = checked("SELECT time AS t, max(v) / mean(w) FROM m").unwrap();
    assert_eq!(query.time_column, "t");
    let calls: Vec<String> = query.calls.iter().map(ToString::to_string).collect();
    assert_eq!(calls, ["max(v)", "mean(w)"]);
}

#[test]
fn constants_are_folded_and_distinct_becomes_a_call() {
    for (text, folded) in [
        (
            "SELECT v * (2 + 3), (w), v - abs(-1) FROM m",
            "SELECT v * 5, w, v - 1 FROM m",
        ),
        ("SELECT DISTINCT v FROM m", "SELECT distinct(v) FROM m"),
        (
            "SELECT max(x) FROM (SELECT v * (1 + 1) AS x FROM m WHERE a = 1 + 1)",
            "SELECT max(x) FROM (SELECT v * 2 AS x FROM m WHERE a = 1 + 1)",
        ),
        (
            "SELECT max(v) FROM m GROUP BY time(1m * 5)",
            "SELECT max(v) FROM m GROUP BY time(5m)",
        ),
    ] {
        assert_eq!(checked(text).unwrap().select.to_string(), folded, "{text}");
    }
}

#[test]
fn time_in_where_is_refused_where_influxdb_refuses_it() {
    for (text, refused) in [
        ("DROP SERIES WHERE h = 'a' AND (TIME > 0)", "DROP SERIES"),
        (
            "SHOW SERIES CARDINALITY WHERE time > 0",
            "SHOW SERIES EXACT CARDINALITY",
        ),
        (
            "SHOW MEASUREMENT EXACT CARDINALITY WHERE time > 0",
            "SHOW MEASUREMENT EXACT CARDINALITY",
        ),
        (
            "SHOW TAG KEY CARDINALITY WHERE time > 0",
            "SHOW TAG KEY EXACT CARDINALITY",
        ),
        (
            "SHOW FIELD KEY CARDINALITY WHERE time > 0",
            "SHOW FIELD KEY CARDINALITY",
        ),
    ] {
        let statement = parse(text, &Params::default()).unwrap().remove(0);
        let error = check_statement(&statement, NOW).map_err(|error| error.to_string());
        let expected = format!("{refused} doesn't support time in WHERE clause");
        assert_eq!(error, Err(expected), "{text}");
    }
    for text in [
        "SHOW TAG VALUES WITH KEY = h WHERE time > 0",
        "SHOW SERIES WHERE time > 0",
        "SHOW TAG VALUES CARDINALITY WITH KEY = h WHERE time > 0",
        "DELETE WHERE time > 0",
        "EXPLAIN SELECT v FROM m",
    ] {
        let statement = parse(text, &Params::default()).unwrap().remove(0);
        assert_eq!(check_statement(&statement, NOW), Ok(()), "{text}");
    }
}
