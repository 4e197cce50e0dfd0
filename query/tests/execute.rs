//! What a statement does besides its rows: pieces, limits, stops, effects, errors.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "differential/data.rs"]
mod data;

use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::{Batch, Engine, FieldValue, TagSet, Timestamp};
use plimsoll_query::rows::Cell;
use plimsoll_query::{Cancel, Collect, Context, Effect, Limits, Options, Outcome};

struct Setup {
    engine: Engine,
    database: &'static str,
    limits: Limits,
    cancel: Cancel,
    chunk_size: Option<usize>,
    options: Options,
}

impl Setup {
    fn new() -> Self {
        Self {
            engine: data::engine(),
            database: "d",
            limits: Limits::default(),
            cancel: Cancel::default(),
            chunk_size: None,
            options: Options::default(),
        }
    }

    fn run(&self, query: &str) -> (Result<Outcome, String>, Collect) {
        let snapshot = self.engine.snapshot();
        let context = Context {
            snapshot: &snapshot,
            database: self.database,
            policy: "",
            now: Timestamp(data::START + data::DAY),
            limits: &self.limits,
            cancel: &self.cancel,
            chunk_size: self.chunk_size,
            options: self.options,
        };
        let statements = plimsoll_query::parse(query, &Default::default()).unwrap();
        let mut sink = Collect::default();
        let result = plimsoll_query::execute(&statements[0], &context, &mut sink);
        (result.map_err(|error| error.to_string()), sink)
    }

    fn error(&self, query: &str) -> String {
        self.run(query).0.expect_err("it is refused")
    }

    fn rows(&self, query: &str) -> Vec<Vec<Cell>> {
        let (result, sink) = self.run(query);
        assert_eq!(result, Ok(Outcome::Done), "{query}");
        sink.series
            .into_iter()
            .flat_map(|rows| rows.values)
            .collect()
    }
}

const WINDOWED: &str = "SELECT mean(usage) FROM cpu WHERE time >= '2024-03-30T12:00:00Z' \
                        AND time < '2024-03-30T12:10:00Z' GROUP BY time(10s)";

#[test]
fn a_series_comes_in_pieces_that_say_whether_more_follows() {
    let mut setup = Setup::new();
    setup.chunk_size = Some(4);
    let (_, sink) = setup.run("SELECT value FROM plain");
    let pieces: Vec<_> = sink
        .series
        .iter()
        .map(|rows| (rows.values.len(), rows.partial))
        .collect();
    assert_eq!(pieces, [(4, true), (2, false)]);
}

#[test]
fn an_answer_is_cut_at_the_row_limit_and_says_so() {
    let mut setup = Setup::new();
    setup.limits.rows_max = 7;
    let (_, sink) = setup.run("SELECT value FROM plain, plain GROUP BY x");
    assert_eq!(
        sink.series
            .iter()
            .map(|rows| rows.values.len())
            .sum::<usize>(),
        7
    );
    assert!(sink.series.last().unwrap().partial);
}

#[test]
fn too_many_windows_series_or_points_are_refused_with_the_limits_name() {
    let mut setup = Setup::new();
    setup.limits.select_buckets_max = 59;
    assert_eq!(
        setup.error(WINDOWED),
        "max-select-buckets limit exceeded: (60/59)"
    );
    setup.limits = Limits {
        select_series_max: 3,
        ..Limits::default()
    };
    assert_eq!(
        setup.error(WINDOWED),
        "max-select-series limit exceeded: (4/3)"
    );
    setup.limits = Limits {
        select_points_max: 5,
        ..Limits::default()
    };
    assert_eq!(
        setup.error("SELECT value FROM plain"),
        "max-select-point limit exceeded: (12/5)"
    );
}

#[test]
fn windows_of_an_open_range_are_counted_before_they_are_made() {
    let mut setup = Setup::new();
    setup.limits.select_buckets_max = 1000;
    let error =
        setup.error("SELECT mean(n) FROM weekly WHERE time < '2024-04-05' GROUP BY time(1s)");
    assert!(
        error.starts_with("max-select-buckets limit exceeded: ("),
        "{error}"
    );
}

#[test]
fn a_stopped_statement_says_why() {
    let setup = Setup::new();
    setup.cancel.stop("query interrupted");
    setup.cancel.stop("too late");
    assert_eq!(setup.error("SELECT usage FROM cpu"), "query interrupted");
}

#[test]
fn unknown_places_are_named() {
    let mut setup = Setup::new();
    assert_eq!(setup.error("SELECT a FROM x..m"), "database not found: x");
    assert_eq!(
        setup.error("SELECT a FROM d.nope.m"),
        "retention policy not found: nope"
    );
    setup.database = "";
    for query in [
        "SELECT a FROM m",
        "SHOW TAG KEYS",
        "SHOW RETENTION POLICIES",
    ] {
        assert_eq!(setup.error(query), "database name required", "{query}");
    }
}

#[test]
fn changes_of_the_catalog_are_effects() {
    let setup = Setup::new();
    let (result, _) = setup.run("DROP DATABASE d");
    let expected = CatalogChange::DropDatabase {
        name: "d".to_owned(),
    };
    assert_eq!(result, Ok(Outcome::Effect(Effect::Catalog(expected))));
    let (result, _) = setup.run("CREATE DATABASE k8s WITH DURATION 30d NAME \"default\"");
    let Ok(Outcome::Effect(Effect::Catalog(change))) = result else {
        panic!("an effect was expected")
    };
    setup.engine.change(&change).unwrap();
    let rows = setup.rows("SHOW RETENTION POLICIES ON k8s");
    let text = |text: &str| Cell::String(text.into());
    assert_eq!(
        rows,
        [[
            text("default"),
            text("720h0m0s"),
            text("24h0m0s"),
            Cell::Integer(1),
            Cell::Boolean(true),
            text("0s"),
            text("0s"),
        ]]
    );
}

#[test]
fn what_comes_later_is_named() {
    let setup = Setup::new();
    assert_eq!(setup.error("SHOW USERS"), "SHOW USERS is not supported yet");
}

#[test]
fn show_honours_the_time_range_exactly() {
    let setup = Setup::new();
    let range = "time > '2024-03-30T12:00:00Z' AND time < '2024-03-30T12:00:05Z'";
    let values = setup.rows(&format!(
        "SHOW TAG VALUES FROM cpu WITH KEY = host WHERE {range}"
    ));
    assert_eq!(
        values,
        [[Cell::String("host".into()), Cell::String("d".into())]]
    );
    let series = setup.rows(&format!("SHOW SERIES FROM net WHERE {range}"));
    let keys: Vec<Vec<Cell>> = ["net,host=b,if=eth0", "net,host=c,if=eth0"]
        .map(|key| vec![Cell::String(key.into())])
        .to_vec();
    assert_eq!(series, keys);
    let measurements = setup.rows(&format!("SHOW MEASUREMENTS WHERE {range}"));
    let names: Vec<String> = measurements
        .iter()
        .map(|row| format!("{:?}", row[0]))
        .collect();
    assert!(names.iter().any(|name| name.contains("net")));
    assert!(!names.iter().any(|name| name.contains("ties")), "{names:?}");
}

#[test]
fn a_query_of_pods_sums_their_rates() {
    let setup = Setup::new();
    let rows = setup.rows(
        "SELECT sum(r) FROM (SELECT non_negative_derivative(max(rx), 1s) AS r FROM net \
         GROUP BY time(1m), host) WHERE time >= '2024-03-30T12:01:00Z' \
         AND time < '2024-03-30T12:04:00Z' GROUP BY time(1m)",
    );
    // Three hosts, 100 more every 10 s each; the two that skip a scrape are made up for later.
    assert_eq!(rows.len(), 3);
    assert!(matches!(rows[2][1], Cell::Float(rate) if (25.0..35.0).contains(&rate)));
}

#[test]
fn a_year_by_seconds_is_refused_before_anything_is_read() {
    let mut setup = Setup::new();
    setup.limits.select_buckets_max = 1_000_000;
    setup.limits.select_points_max = 1;
    let year = "SELECT mean(usage) FROM cpu WHERE time >= '2023-01-01T00:00:00Z' \
                AND time < '2024-01-01T00:00:00Z' GROUP BY time(1s)";
    assert_eq!(
        setup.error(year),
        "max-select-buckets limit exceeded: (31536000/1000000)"
    );
}

#[test]
fn rows_and_windows_that_must_be_held_together_have_a_memory_budget() {
    let mut setup = Setup::new();
    setup.limits.memory_bytes_max = 400;
    for query in ["SELECT usage FROM cpu", "SELECT median(usage) FROM cpu"] {
        let error = setup.error(query);
        assert!(
            error.starts_with("max-select-memory-bytes limit exceeded: ("),
            "{query}: {error}"
        );
    }
    // A sum keeps no points.
    assert_eq!(setup.rows("SELECT sum(usage) FROM cpu").len(), 1);
}

/// A measurement of many series whose rows have equal and unequal times.
fn with_many_series() -> Setup {
    let setup = Setup::new();
    let mut batch = Batch::default();
    for series in 0..150_i64 {
        let name = format!("s{series:03}");
        let tags = TagSet::from_pairs([("name", name.as_str())]).unwrap();
        for row in 0..20 {
            let time = data::START + (row * 7 + series % 5) * data::SECOND;
            let value = FieldValue::Integer(series * 100 + row);
            batch.add("many", &tags, Timestamp(time), [("v", value)]);
        }
    }
    let written = setup.engine.write("d", "", &batch).unwrap();
    assert!(written.rejected.is_empty());
    setup
}

#[test]
fn a_limit_answers_the_rows_that_all_rows_begin_with() {
    let setup = with_many_series();
    for (fields, order) in [
        ("v", ""),
        ("*", ""),
        ("v", " ORDER BY time DESC"),
        ("*", " ORDER BY time DESC"),
    ] {
        let all = setup.rows(&format!("SELECT {fields} FROM many{order}"));
        assert_eq!(all.len(), 3000);
        for (limit, offset) in [
            (1, 0),
            (7, 3),
            (200, 0),
            (2999, 0),
            (100, 2950),
            (5000, 0),
            (10, 4000),
        ] {
            let text = format!("SELECT {fields} FROM many{order} LIMIT {limit} OFFSET {offset}");
            let expected: Vec<_> = all.iter().skip(offset).take(limit).cloned().collect();
            assert_eq!(setup.rows(&text), expected, "{text}");
        }
    }
}

#[test]
fn queries_share_a_budget_of_memory_and_give_it_back() {
    let mut setup = with_many_series();
    setup.limits.memory_shared_bytes_max = 100_000;
    let error = setup.error("SELECT v FROM many");
    assert!(
        error.starts_with("query_memory_max limit exceeded: ("),
        "{error}"
    );
    assert_eq!(setup.limits.memory_shared.bytes(), 0);
    // What a LIMIT cannot answer is not held.
    assert_eq!(setup.rows("SELECT v FROM many LIMIT 5").len(), 5);
    assert_eq!(setup.limits.memory_shared.bytes(), 0);
}

#[test]
fn periods_that_cost_memory_are_refused() {
    let setup = Setup::new();
    for call in [
        "exponential_moving_average(n, 1000001)",
        "kaufmans_adaptive_moving_average(n, 2000000)",
        "holt_winters(mean(n), 1000001, 0)",
        "chande_momentum_oscillator(n, 1)",
    ] {
        let windows = if call.starts_with("holt") {
            " WHERE time < '2024-04-05' GROUP BY time(1d)"
        } else {
            ""
        };
        let error = setup.error(&format!("SELECT {call} FROM weekly{windows}"));
        assert!(!error.contains("not supported"), "{call}: {error}");
    }
}

#[test]
fn technical_analysis_answers_rows_after_its_warm_up() {
    let setup = with_many_series();
    let mut wrong = Vec::new();
    for (call, rows) in [
        ("exponential_moving_average(v, 3)", 18),
        ("double_exponential_moving_average(v, 3)", 18),
        ("triple_exponential_moving_average(v, 3)", 18),
        ("triple_exponential_derivative(v, 3)", 17),
        ("relative_strength_index(v, 3)", 17),
        ("chande_momentum_oscillator(v, 3)", 18),
        ("kaufmans_efficiency_ratio(v, 3)", 17),
        ("kaufmans_adaptive_moving_average(v, 3)", 17),
    ] {
        let text = format!("SELECT {call} FROM many WHERE \"name\" = 's007'");
        let found = setup.rows(&text);
        wrong.extend((found.len() != rows).then(|| format!("{call}: {}", found.len())));
        assert!(
            found.iter().all(|row| matches!(row[1], Cell::Float(_))),
            "{text}"
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
}
