//! rate(), increase(), sum_hll() and count_hll() in statements; fill(previous) that looks back; hints;
//! EXPLAIN: what 1.6.7 has not, or the newest line neither.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::{Batch, Engine, FieldValue, Options as EngineOptions, TagSet, Timestamp};
use plimsoll_query::json::{Epoch, write_series};
use plimsoll_query::{
    Cancel, Collect, Context, Execution, FillPrevious, Hints, Limits, Options, Outcome, execute_as,
};
use plimsoll_wal::storage::Memory;

const S: i64 = 1_000_000_000;

struct Setup {
    engine: Engine,
    options: Options,
}

/// Adds one point of the measurement `m`.
fn add(batch: &mut Batch, pod: &str, node: &str, second: i64, fields: &[(&str, FieldValue)]) {
    let tags = TagSet::from_pairs([("pod", pod), ("node", node)]).unwrap();
    batch.add("m", &tags, Timestamp(second * S), fields.iter().cloned());
}

impl Setup {
    /// Two pods that grow by 1 and by 2 a second over ten minutes, each 10 s, the second of them
    /// with a reset at 300 s; `g` is a rare gauge.
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(900 * S)));
        let options = EngineOptions {
            log_file_bytes: 4 << 20,
            ..EngineOptions::new("data")
        };
        let (engine, _) = Engine::open(Arc::new(Memory::new()), options, clock).unwrap();
        let change = CatalogChange::CreateDatabase {
            name: "d".to_owned(),
            policy: None,
        };
        engine.change(&change).unwrap();
        let mut batch = Batch::default();
        for step in 0..60_i64 {
            let second = step * 10;
            let (a, b) = (1_000 + second, 5_000 + second * 2);
            let b = if second >= 300 { (second - 290) * 2 } else { b };
            let fields = |value: i64| {
                [
                    ("i", FieldValue::Integer(value)),
                    ("u", FieldValue::Unsigned(value.cast_unsigned())),
                    (
                        "f",
                        FieldValue::Float(f64::from(i32::try_from(value).unwrap())),
                    ),
                    ("s", FieldValue::String(format!("{}", value % 7).into())),
                ]
            };
            add(&mut batch, "a", "x", second, &fields(a));
            add(&mut batch, "b", "y", second + 3, &fields(b));
        }
        add(&mut batch, "a", "x", 5, &[("g", FieldValue::Integer(42))]);
        add(&mut batch, "b", "y", 400, &[("g", FieldValue::Integer(7))]);
        let written = engine.write("d", "", &batch).unwrap();
        assert!(written.rejected.is_empty(), "{:?}", written.rejected);
        Self {
            engine,
            options: Options::default(),
        }
    }

    fn run(&self, query: &str) -> Result<Collect, String> {
        self.run_as(Execution::Parallel, query)
    }

    fn run_as(&self, execution: Execution, query: &str) -> Result<Collect, String> {
        self.run_with(execution, &Limits::default(), query)
    }

    fn run_with(
        &self,
        execution: Execution,
        limits: &Limits,
        query: &str,
    ) -> Result<Collect, String> {
        let snapshot = self.engine.snapshot();
        let context = Context {
            snapshot: &snapshot,
            database: "d",
            policy: "",
            now: Timestamp(900 * S),
            limits,
            cancel: &Cancel::default(),
            chunk_size: None,
            options: self.options,
        };
        let statements = plimsoll_query::parse(query, &Default::default()).unwrap();
        let mut sink = Collect::default();
        match execute_as(execution, &statements[0], &context, &mut sink) {
            Ok(Outcome::Done) => Ok(sink),
            Ok(effect) => panic!("{effect:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The series of an answer, one a line, times in seconds.
    fn rows(&self, query: &str) -> String {
        match self.run(query) {
            Ok(sink) => printed(&sink),
            Err(error) => error,
        }
    }

    /// The lines of EXPLAIN.
    fn lines(&self, query: &str) -> Vec<String> {
        let sink = self.run(query).unwrap();
        let rows = sink.series.into_iter().flat_map(|rows| rows.values);
        let text = |row: Vec<plimsoll_query::rows::Cell>| match &row[0] {
            plimsoll_query::rows::Cell::String(text) => text.to_string(),
            other => panic!("{other:?}"),
        };
        rows.map(text).collect()
    }
}

/// Series, one a line, times in seconds.
fn printed(sink: &Collect) -> String {
    let lines = sink.series.iter().map(|series| {
        let mut out = Vec::new();
        write_series(series, Epoch::Seconds, &mut out);
        let text = String::from_utf8(out).unwrap();
        let start = text.find(if series.tags.is_empty() {
            "\"columns"
        } else {
            "\"tags"
        });
        text[start.unwrap()..].trim_end_matches('}').to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// From 240 s to 420 s.
const RANGE: &str = "time >= 240s AND time < 420s";

#[test]
fn rates_of_series_are_added_up_in_one_pass() {
    let setup = Setup::new();
    for field in ["i", "u", "f"] {
        assert_eq!(
            setup.rows(&format!(
                "SELECT rate({field}) FROM m WHERE {RANGE} GROUP BY time(1m)"
            )),
            "\"columns\":[\"time\",\"rate\"],\"values\":[[240,3],[300,3],[360,3]]",
            "{field}: the reset at 300 s starts from zero"
        );
    }
    assert_eq!(
        setup.rows(&format!(
            "SELECT rate(i, 1m) FROM m WHERE {RANGE} GROUP BY time(1m), pod"
        )),
        "\"tags\":{\"pod\":\"a\"},\"columns\":[\"time\",\"rate\"],\
         \"values\":[[240,60],[300,60],[360,60]]\n\
         \"tags\":{\"pod\":\"b\"},\"columns\":[\"time\",\"rate\"],\
         \"values\":[[240,120],[300,120],[360,120]]"
    );
}

#[test]
fn an_increase_keeps_its_type_and_sums_up_over_windows() {
    let setup = Setup::new();
    assert_eq!(
        setup.rows(&format!(
            "SELECT increase(i) FROM m WHERE {RANGE} GROUP BY time(1m)"
        )),
        "\"columns\":[\"time\",\"increase\"],\"values\":[[240,180],[300,180],[360,180]]"
    );
    // Without windows nothing before the range is read: from its first point to its last.
    assert_eq!(
        setup.rows("SELECT increase(i) FROM m WHERE pod = 'a' AND time >= 240s AND time <= 300s"),
        "\"columns\":[\"time\",\"increase\"],\"values\":[[240,60]]"
    );
    assert_eq!(
        setup.rows("SELECT increase(f), increase(u) FROM m WHERE pod = 'a'"),
        "\"columns\":[\"time\",\"increase\",\"increase_1\"],\"values\":[[0,590,590]]"
    );
}

#[test]
fn the_direction_of_rows_changes_no_rate() {
    let setup = Setup::new();
    assert_eq!(
        setup.rows(&format!(
            "SELECT rate(i) FROM m WHERE {RANGE} GROUP BY time(1m) ORDER BY time DESC"
        )),
        "\"columns\":[\"time\",\"rate\"],\"values\":[[360,3],[300,3],[240,3]]"
    );
}

#[test]
fn counters_stand_in_subqueries_and_in_other_functions() {
    let setup = Setup::new();
    for (query, expected) in [
        (
            "SELECT max(r), sum(r) FROM (SELECT rate(i) AS r FROM m WHERE time >= 240s AND \
             time < 420s GROUP BY time(1m), pod) WHERE time >= 240s AND time < 420s GROUP BY time(1m)",
            "\"columns\":[\"time\",\"max\",\"sum\"],\
             \"values\":[[240,2,3],[300,2,3],[360,2,3]]",
        ),
        (
            "SELECT rate(x) FROM (SELECT max(i) AS x FROM m GROUP BY time(1m), pod) \
             WHERE time >= 240s AND time < 420s GROUP BY time(1m)",
            "\"columns\":[\"time\",\"rate\"],\"values\":[[240,3],[300,3],[360,3]]",
        ),
        (
            "SELECT rate(x), max(x) FROM (SELECT max(i) AS x FROM m GROUP BY time(1m), pod) \
             WHERE time >= 240s AND time < 420s GROUP BY time(1m)",
            "\"columns\":[\"time\",\"rate\",\"max\"],\
             \"values\":[[240,3,5580],[300,3,1350],[360,3,1410]]",
        ),
        (
            "SELECT moving_average(rate(i), 2) FROM m WHERE time >= 240s AND time < 420s \
             GROUP BY time(1m)",
            "\"columns\":[\"time\",\"moving_average\"],\"values\":[[240,3],[300,3],[360,3]]",
        ),
        (
            "SELECT rate(i) * 2, mean(i) FROM m WHERE pod = 'a' AND time >= 240s AND time < 360s \
             GROUP BY time(1m)",
            "\"columns\":[\"time\",\"rate\",\"mean\"],\"values\":[[240,2,1265],[300,2,1325]]",
        ),
        (
            "SELECT rate(/^[iu]$/) FROM m WHERE pod = 'a' AND time >= 240s AND time < 300s \
             GROUP BY time(1m)",
            "\"columns\":[\"time\",\"rate_i\",\"rate_u\"],\"values\":[[240,1,1]]",
        ),
        (
            "SELECT rate(i) FROM m WHERE time >= 540s AND time < 720s GROUP BY time(1m) fill(0)",
            "\"columns\":[\"time\",\"rate\"],\"values\":[[540,3],[600,0],[660,0]]",
        ),
        ("SELECT rate(i) FROM m WHERE time > 700s", ""),
        ("SELECT rate(nope) FROM m", ""),
        (
            "SELECT rate(s) FROM m",
            "rate() is not supported on a field of type string",
        ),
        (
            "SELECT rate(i, 0s) FROM m",
            "duration argument must be positive, got 0s",
        ),
        (
            "SELECT rate(i, 5) FROM m",
            "second argument to rate must be a duration, got 5",
        ),
        (
            "SELECT increase(i, 1s) FROM m",
            "invalid number of arguments for increase, expected 1, got 2",
        ),
        (
            "SELECT rate(i), i FROM m",
            "mixing aggregate and non-aggregate queries is not supported",
        ),
    ] {
        assert_eq!(setup.rows(query), expected, "{query}");
    }
}

#[test]
fn answers_do_not_depend_on_where_points_lie_or_on_threads() {
    let setup = Setup::new();
    let queries = [
        "SELECT rate(i), increase(u), rate(f, 1m) FROM m WHERE time < 700s GROUP BY time(90s)",
        "SELECT increase(i) FROM m WHERE time >= 100s AND time < 500s GROUP BY time(7s), node",
        "SELECT rate(f) FROM m",
        "SELECT sum_hll(s) FROM m GROUP BY pod",
        "SELECT count_hll(sum_hll(f)) FROM m WHERE time < 700s GROUP BY time(1m)",
    ];
    let answers = |setup: &Setup| queries.map(|query| setup.rows(query));
    let in_head = answers(&setup);
    assert!(
        in_head.iter().all(|answer| answer.contains("values")),
        "{in_head:?}"
    );
    setup.engine.flush().unwrap();
    assert_eq!(answers(&setup), in_head);
    for (query, expected) in queries.iter().zip(&in_head) {
        let sink = setup.run_as(Execution::Serial, query).unwrap();
        assert_eq!(&printed(&sink), expected, "{query}");
    }
}

#[test]
fn sketches_are_texts_that_can_be_counted() {
    let setup = Setup::new();
    for (query, expected) in [
        (
            "SELECT count_hll(sum_hll(s)) FROM m",
            "\"columns\":[\"time\",\"count_hll\"],\"values\":[[0,7]]",
        ),
        (
            "SELECT count_hll(sum_hll(i)), count(distinct(i)) FROM m WHERE pod = 'a'",
            "\"columns\":[\"time\",\"count_hll\",\"count\"],\"values\":[[0,60,60]]",
        ),
        (
            "SELECT count_hll(sum_hll(i)) FROM m WHERE time >= 240s AND time < 420s \
             GROUP BY time(1m), pod",
            "\"tags\":{\"pod\":\"a\"},\"columns\":[\"time\",\"count_hll\"],\
             \"values\":[[240,6],[300,6],[360,6]]\n\
             \"tags\":{\"pod\":\"b\"},\"columns\":[\"time\",\"count_hll\"],\
             \"values\":[[240,6],[300,6],[360,6]]",
        ),
        (
            "SELECT count_hll(x) FROM (SELECT sum_hll(f) AS x FROM m WHERE pod = 'a' AND \
             time >= 240s AND time < 360s GROUP BY time(1m))",
            "\"columns\":[\"time\",\"count_hll\"],\"values\":[[240,6],[300,6]]",
        ),
        (
            "SELECT count_hll(s) FROM m WHERE pod = 'a' AND time < 10s",
            "\"columns\":[\"time\",\"count_hll\"],\"values\":[[0,0]]",
        ),
        (
            "SELECT count_hll(i) FROM m",
            "count_hll() is not supported on a field of type integer",
        ),
        (
            "SELECT merge_hll(s) FROM m",
            "undefined function merge_hll()",
        ),
    ] {
        assert_eq!(setup.rows(query), expected, "{query}");
    }
    // One series' sketch is sparse, as its text in InfluxDB.
    let one = setup.rows("SELECT sum_hll(g) FROM m WHERE pod = 'a'");
    assert!(one.contains("[[0,\"HLL_AhABAAAAAAAAAA"), "{one}");
    // What was merged is dense: each register is a byte.
    let merged = setup.rows("SELECT sum_hll(g) FROM m");
    assert!(merged.contains("\"HLL_AhAAAAEAA"), "{}", &merged[..80]);
    assert!(merged.len() > 87_000);
}

#[test]
fn sketches_are_held_within_the_budget_of_memory() {
    let setup = Setup::new();
    let run = |limit: u64, query: &str| {
        let limits = Limits {
            memory_bytes_max: limit,
            ..Limits::default()
        };
        setup.run_with(Execution::Serial, &limits, query)
    };
    // Ten values of one series are few bytes; what is merged of two is 64 KiB.
    let sparse = "SELECT sum_hll(i) FROM m WHERE pod = 'a' AND time < 100s";
    assert!(run(1_000, sparse).is_ok());
    let error = run(60_000, "SELECT sum_hll(i) FROM m").unwrap_err();
    assert!(
        error.starts_with("max-select-memory-bytes limit exceeded: ("),
        "{error}"
    );
}

#[test]
fn fill_previous_looks_back_only_where_it_is_told_to() {
    let mut setup = Setup::new();
    let query = "SELECT last(g) FROM m WHERE time >= 120s AND time < 480s \
                 GROUP BY time(2m), pod fill(previous)";
    assert_eq!(
        setup.rows(query),
        "\"tags\":{\"pod\":\"b\"},\"columns\":[\"time\",\"last\"],\
         \"values\":[[120,null],[240,null],[360,7]]"
    );
    setup.options.fill_previous = FillPrevious::LookBack(600 * S);
    assert_eq!(
        setup.rows(query),
        "\"tags\":{\"pod\":\"a\"},\"columns\":[\"time\",\"last\"],\
         \"values\":[[120,42],[240,42],[360,42]]\n\
         \"tags\":{\"pod\":\"b\"},\"columns\":[\"time\",\"last\"],\
         \"values\":[[120,null],[240,null],[360,7]]"
    );
    // No further than it is told to, and not in a subquery's stead.
    setup.options.fill_previous = FillPrevious::LookBack(60 * S);
    assert!(!setup.rows(query).contains("42"));
    setup.options.fill_previous = FillPrevious::LookBack(600 * S);
    assert_eq!(
        setup.rows(
            "SELECT max(l) FROM (SELECT last(g) AS l FROM m GROUP BY time(2m), pod fill(previous)) \
             WHERE time >= 120s AND time < 480s GROUP BY time(2m)"
        ),
        "\"columns\":[\"time\",\"max\"],\"values\":[[120,42],[240,42],[360,42]]"
    );
    // Other fills are as before.
    assert_eq!(
        setup.rows(&query.replace("previous", "null")),
        "\"tags\":{\"pod\":\"b\"},\"columns\":[\"time\",\"last\"],\
         \"values\":[[120,null],[240,null],[360,7]]"
    );
}

#[test]
fn a_tag_compared_with_a_quoted_name_gives_a_hint_where_it_is_certain() {
    let mut setup = Setup::new();
    let hints = |setup: &Setup, query: &str| {
        let messages = setup.run(query).unwrap().messages;
        let texts: Vec<String> = messages.into_iter().map(|m| m.text).collect();
        texts
    };
    let wrong = "SELECT i FROM m WHERE pod = \"a\" AND time < 20s";
    assert_eq!(hints(&setup, wrong), [""; 0], "off by default");
    let without = setup.rows(wrong);
    setup.options.hints = Hints::Given;
    assert_eq!(setup.rows(wrong), without, "the answer is InfluxDB's");
    assert_eq!(without, "");
    let hint = "pod = \"a\" compares the tag with a field, and there is no field \"a\": \
                did you mean 'a'?";
    assert_eq!(hints(&setup, wrong), [hint]);
    let inner = "SELECT mean(i) FROM (SELECT i FROM m WHERE pod = \"a\")";
    assert_eq!(hints(&setup, inner), [hint]);
    for right in [
        "SELECT i FROM m WHERE pod = 'a'",
        "SELECT i FROM m WHERE pod = \"node\"",
        "SELECT i FROM m WHERE pod = \"s\"",
        "SELECT i FROM m WHERE i = \"a\"",
        "SELECT i FROM nope WHERE pod = \"a\"",
        "SELECT i FROM (SELECT i FROM m) WHERE pod = \"a\"",
    ] {
        assert_eq!(hints(&setup, right), [""; 0], "{right}");
    }
}

#[test]
fn explain_tells_what_will_be_read() {
    let setup = Setup::new();
    let query = format!(
        "EXPLAIN SELECT median(i) FROM m WHERE {RANGE} AND node = 'x' GROUP BY time(1m), pod"
    );
    let lines = setup.lines(&query);
    let expected = [
        "SELECT median(i) FROM m WHERE time >= 4m AND time < 7m AND node = 'x' GROUP BY time(1m), pod",
        "  range: 1970-01-01T00:04:00Z to 1970-01-01T00:06:59.999999999Z",
        "  windows: 3 of 1m0s",
        "  grouped by: pod",
        "  columns: median::float",
        "  call median: all points of a window together",
        "  source: m",
        "    partitions: 1, segments: 0, heads: 1",
        "    fields read: i::integer",
        "    series: 1 in 1 groups",
        "    blocks: 0 in the range (0 values, 0 bytes), 0 outside",
        "    summaries: none, a call needs the points",
        "    heads: rows of 1 columns' series",
    ];
    assert_eq!(lines, expected);
    // In a segment the blocks are told, and what lies outside of the range.
    setup.engine.flush().unwrap();
    let lines = setup.lines("EXPLAIN SELECT i FROM m WHERE time < 100s");
    let blocks: Vec<&String> = lines.iter().filter(|l| l.contains("blocks: ")).collect();
    assert!(
        blocks[0].starts_with("    blocks: 2 in the range (120 values, "),
        "{lines:?}"
    );
    let summaries = |query: &str| {
        let lines = setup.lines(&format!("EXPLAIN {query}"));
        let found = lines
            .iter()
            .find_map(|line| line.trim().strip_prefix("summaries: "));
        found.unwrap().to_owned()
    };
    for (query, expected) in [
        ("SELECT mean(i) FROM m", "may stand for 2 of them"),
        (
            "SELECT max(i), count(s) FROM m WHERE time < 1h GROUP BY pod",
            "may stand for 4 of them",
        ),
        (
            "SELECT max(i) FROM m WHERE time < 500s",
            "may stand for 0 of them",
        ),
        (
            "SELECT max(i) FROM m WHERE time < 1h GROUP BY time(1m)",
            "may stand for 0 of them",
        ),
        ("SELECT mean(f) FROM m", "none, a call needs the points"),
        ("SELECT rate(i) FROM m", "none, a call needs the points"),
        (
            "SELECT mean(i) FROM m WHERE f > 5",
            "none, rows are filtered",
        ),
        (
            "SELECT max(i), pod FROM m",
            "none, columns go with a selected point",
        ),
        ("SELECT i FROM m", "none, rows are asked for"),
    ] {
        assert_eq!(summaries(query), expected, "{query}");
    }
    let nothing = setup.lines("EXPLAIN SELECT i FROM nope");
    assert!(
        nothing
            .iter()
            .any(|line| line == "    series: 0 in 0 groups")
    );
    let verbose = setup.lines("EXPLAIN VERBOSE SELECT i FROM m");
    assert_eq!(
        verbose
            .iter()
            .filter(|l| l.contains("    series {"))
            .count(),
        2
    );
    assert_eq!(
        setup.run("EXPLAIN SELECT nope(i) FROM m").unwrap_err(),
        "undefined function nope()"
    );
}

#[test]
fn explain_analyze_tells_what_was_read() {
    let setup = Setup::new();
    let analyze = |query: &str| setup.lines(&format!("EXPLAIN ANALYZE {query}"));
    let has = |lines: &[String], wanted: &str| {
        assert!(
            lines.iter().any(|line| line == wanted),
            "{wanted}: {lines:?}"
        );
    };
    let lines = analyze("SELECT i FROM m WHERE time < 100s");
    has(&lines, "  series: 2");
    has(&lines, "  from heads: 20 values");
    has(&lines, "  used: 40 cells, as max-select-point counts them");
    has(&lines, "answered: 20 rows in 1 series");
    setup.engine.flush().unwrap();
    let lines = analyze("SELECT i FROM m WHERE time < 100s");
    has(
        &lines,
        "  blocks: 2 decoded, 0 outside the range skipped, 0 answered by their summaries",
    );
    has(&lines, "  from heads: 0 values");
    has(&lines, "  used: 40 cells, as max-select-point counts them");
    // Nothing is read where nothing is asked for, and the rows are not answered.
    let lines = analyze("SELECT i FROM m WHERE pod = 'nope'");
    has(&lines, "  series: 0");
    has(&lines, "answered: 0 rows in 0 series");
    let sum = analyze(
        "SELECT sum(r) FROM (SELECT rate(i) AS r FROM m WHERE time >= 0 GROUP BY time(1m), pod)",
    );
    has(&sum, "  source: a subquery");
    has(
        &sum,
        "    call rate: the steps of each series by itself, then added up",
    );
}
