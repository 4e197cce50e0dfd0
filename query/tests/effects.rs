//! What statements change beside deleting: SELECT … INTO, continuous queries and subscriptions, here
//! and in a real influxd.
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

use std::fmt::Write;

use influxd::Influxd;
use ours::ours;
use plimsoll_engine::{Batch, Engine, FieldValue, TagSet, Timestamp};
use plimsoll_query::rows::{Cell, Message, Rows};
use plimsoll_query::{Cancel, Collect, Context, Error, Limits, Options, Params, Points, Sink};

/// The points of [`LINES`].
fn write(engine: &Engine) {
    let mut batch = Batch::default();
    let tags = |pairs: &[(&str, &str)]| TagSet::from_pairs(pairs.iter().copied()).unwrap();
    let float = FieldValue::Float;
    let (second, yes) = (1_000_000_000, FieldValue::Boolean(true));
    let first = [
        ("v", float(1.0)),
        ("s", FieldValue::String("t".into())),
        ("i", FieldValue::Integer(3)),
    ];
    let a = tags(&[("host", "a"), ("az", "x")]);
    batch.add("m", &a, Timestamp(second), first);
    let b = tags(&[("host", "b")]);
    batch.add("m", &b, Timestamp(2 * second), [("v", float(2.0))]);
    let a = tags(&[("host", "a")]);
    batch.add("m", &a, Timestamp(3 * second), [("v", float(3.0))]);
    let c = tags(&[("host", "c"), ("az", "y")]);
    let fields = [("v", float(0.5)), ("b", yes.clone())];
    batch.add("m", &c, Timestamp(4 * second), fields);
    let fields = [("v", float(9.0)), ("b", yes)];
    batch.add("n", &a, Timestamp(second), fields);
    batch.add("n", &b, Timestamp(61 * second), [("v", float(8.0))]);
    engine.write("d", "", &batch).unwrap();
}

/// Asked of both, in this order.
fn compare(statements: &[&str]) {
    let Some(influxd) = Influxd::start() else {
        eprintln!("SKIPPED effects: influxd is not installed");
        return;
    };
    let engine = data::empty_engine();
    write(&engine);
    influxd.query("", "ns", "CREATE DATABASE d");
    influxd.query(
        "",
        "ns",
        "CREATE RETENTION POLICY other ON d DURATION INF REPLICATION 1",
    );
    let (status, body) = influxd.post("/write?db=d", "text/plain", LINES);
    assert_eq!(status, 204, "{body}");
    let mut report = String::new();
    for statement in statements {
        let theirs = influxd.query("d", "ns", statement);
        let ours = ours(&engine, "ns", statement);
        if ours != theirs {
            writeln!(report, "{statement}\n  ours   {ours}  theirs {theirs}").unwrap();
        }
    }
    assert!(report.is_empty(), "{report}");
}

const LINES: &str = "m,host=a,az=x v=1,s=\"t\",i=3i 1000000000
m,host=b v=2 2000000000
m,host=a v=3 3000000000
m,host=c,az=y v=0.5,b=true 4000000000
n,host=a v=9,b=true 1000000000
n,host=b v=8 61000000000
";

#[test]
fn what_is_selected_into_a_measurement_is_what_influxdb_writes() {
    let mut statements = Vec::new();
    for (number, (select, rest)) in INTO.iter().enumerate() {
        statements.push(format!("SELECT {select} INTO t{number} {rest}"));
        statements.push(format!("SELECT * FROM t{number} GROUP BY *"));
        statements.push(format!("SHOW SERIES FROM t{number}"));
        statements.push(format!("SHOW FIELD KEYS FROM t{number}"));
    }
    statements.extend(TARGETS.iter().copied().map(str::to_owned));
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    compare(&statements);
}

/// What is selected, and from what.
const INTO: &[(&str, &str)] = &[
    ("*", "FROM m"),
    ("*", "FROM m GROUP BY *"),
    ("*", "FROM m, n"),
    ("*::field", "FROM m GROUP BY host"),
    ("v", "FROM m GROUP BY az"),
    ("v", "FROM m GROUP BY nothing"),
    ("host, v", "FROM m"),
    ("host, v", "FROM m GROUP BY host"),
    ("v, v", "FROM m"),
    ("v AS \"a b,c=d\", s AS text", "FROM m GROUP BY host"),
    ("v + i, v * 2", "FROM m"),
    ("i", "FROM m GROUP BY *"),
    ("nothing", "FROM m"),
    ("v", "FROM nothing"),
    ("v", "FROM m WHERE host = 'a' AND v > 1"),
    ("v", "FROM m ORDER BY time DESC LIMIT 1"),
    ("v", "FROM m TZ('Europe/Berlin')"),
    ("mean(v)", "FROM m"),
    ("mean(v), count(s)", "FROM m WHERE time > 1 GROUP BY host"),
    ("max(v)", "FROM m"),
    ("max(v), host", "FROM m"),
    (
        "mean(v)",
        "FROM m WHERE time >= 0 AND time < 6s GROUP BY time(1s), host",
    ),
    (
        "mean(v)",
        "FROM m WHERE time >= 0 AND time < 6s GROUP BY time(1s), host fill(0)",
    ),
    (
        "mean(v)",
        "FROM m WHERE time >= 0 AND time < 6s GROUP BY time(1s) fill(previous)",
    ),
    (
        "count(v)",
        "FROM m WHERE time >= 0 AND time < 6s GROUP BY time(2s), *",
    ),
    (
        "mean(*)",
        "FROM m WHERE time >= 0 AND time < 6s GROUP BY time(2s)",
    ),
    ("top(v, 2)", "FROM m"),
    ("top(v, host, 2)", "FROM m"),
    ("top(v, host, az, 2), i", "FROM m"),
    ("bottom(v, host, 2)", "FROM m GROUP BY az"),
    ("derivative(v)", "FROM m"),
    (
        "cumulative_sum(mean(v))",
        "FROM m WHERE time >= 0 AND time < 6s GROUP BY time(1s)",
    ),
    ("sum(x)", "FROM (SELECT mean(v) AS x FROM m GROUP BY host)"),
    ("*", "FROM (SELECT mean(v) AS x FROM m GROUP BY host)"),
    (
        "*",
        "FROM (SELECT v INTO inner FROM m GROUP BY host) GROUP BY host",
    ),
    ("log(v - 2, 2), v", "FROM m"),
    ("distinct(v)", "FROM m GROUP BY host"),
];

/// Where it is written, and what keeps it from that.
const TARGETS: &[&str] = &[
    "SELECT * FROM inner",
    "SELECT v INTO d.other.w FROM m",
    "SELECT v FROM d.other.w",
    "SELECT v INTO other.w2 FROM m GROUP BY *",
    "SELECT v FROM d.other.w2",
    "SELECT * INTO d.other.:MEASUREMENT FROM /^[mn]$/ GROUP BY *",
    "SELECT * FROM d.other.m, d.other.n",
    "SHOW SERIES",
    "CREATE DATABASE e",
    "SELECT v INTO e..x FROM m",
    "SELECT v INTO e..:MEASUREMENT FROM m, n GROUP BY host",
    "SELECT * FROM e../.*/",
    "SELECT mean(v), max(v) INTO \"\" FROM m",
    "SELECT \"max\" FROM m",
    "SELECT v INTO \"a b\".autogen.x FROM m",
    "SELECT v INTO nothing..x FROM m",
    "SELECT v INTO nothing.rp.x FROM m",
    "SELECT v INTO nothing..x FROM nowhere..m",
    "SELECT v INTO x FROM nowhere..m",
    "SELECT v INTO d.nothing.x FROM m",
    "SELECT v INTO nothing.x FROM m",
    "SELECT v INTO nothing.x FROM never.m",
    "SELECT v INTO d.nothing.x FROM nothing",
    "SELECT v INTO :MEASUREMENT FROM m",
    "SELECT time AS t, v INTO x FROM m",
    "SELECT time AS t, v INTO x FROM nothing",
    "SELECT s AS v INTO n FROM m",
    "SELECT v FROM n",
    "CREATE RETENTION POLICY short ON d DURATION 1h REPLICATION 1",
    "SELECT v INTO short.x FROM m",
    "SELECT v INTO x1 FROM m; SELECT v INTO x1 FROM m",
    "SELECT mean(v) INTO x2 FROM m WHERE time >= 0 AND time < 6s GROUP BY time(1s), v",
    "SELECT v, mean(v) INTO x2 FROM m",
];

/// A point that cannot be told from what it came of is not made up.
#[test]
fn a_field_that_is_called_time_cannot_be_written() {
    let engine = data::empty_engine();
    write(&engine);
    let answer = ours(&engine, "ns", "SELECT v AS time, i INTO x FROM m");
    let expected = "{\"results\":[{\"statement_id\":0,\"error\":\"error finding time index in \
                    result\"}]}\n";
    assert_eq!(answer, expected);
}

/// More points than a batch has, of strings that fill one by themselves.
#[test]
fn many_points_and_long_strings_are_written_in_batches() {
    let engine = data::empty_engine();
    let mut batch = Batch::default();
    let tags = TagSet::from_pairs([("host", "a")]).unwrap();
    for number in 0..25_000 {
        let value = FieldValue::Integer(number);
        batch.add("many", &tags, Timestamp(number), [("v", value)]);
    }
    let text: std::sync::Arc<str> = "x".repeat(1 << 20).into();
    for number in 0..20 {
        let value = FieldValue::String(std::sync::Arc::clone(&text));
        batch.add("long", &tags, Timestamp(number), [("s", value)]);
    }
    engine.write("d", "", &batch).unwrap();
    let snapshot = engine.snapshot();
    let (limits, cancel) = (Limits::default(), Cancel::default());
    let context = Context {
        snapshot: &snapshot,
        database: "d",
        policy: "",
        now: Timestamp(data::START),
        limits: &limits,
        cancel: &cancel,
        chunk_size: Some(10),
        options: Options::default(),
    };
    let sizes = |query: &str| {
        let statements = plimsoll_query::parse(query, &Params::default()).unwrap();
        let mut sizes = Sizes::default();
        plimsoll_query::execute(&statements[0], &context, &mut sizes).unwrap();
        (sizes.points, sizes.answers)
    };
    let (points, answers) = sizes("SELECT v INTO copy FROM many");
    assert_eq!(points, [10_000, 10_000, 5_000]);
    assert_eq!(answers, [vec![Cell::Time(0), Cell::Integer(25_000)]]);
    let (points, answers) = sizes("SELECT s INTO copy FROM long");
    assert_eq!(points, [8, 8, 4]);
    assert_eq!(answers, [vec![Cell::Time(0), Cell::Integer(20)]]);
}

/// Counts what it is given.
#[derive(Default)]
struct Sizes {
    points: Vec<usize>,
    answers: Vec<Vec<Cell>>,
}

impl Sink for Sizes {
    fn series(&mut self, rows: Rows) -> Result<(), Error> {
        self.answers.extend(rows.values);
        Ok(())
    }

    fn message(&mut self, _: Message) {}

    fn write(&mut self, points: Points) -> Result<(), Error> {
        self.points.push(points.batch.len());
        Ok(())
    }
}

#[test]
fn who_only_reads_refuses_what_is_to_be_written() {
    let engine = data::empty_engine();
    write(&engine);
    let snapshot = engine.snapshot();
    let (limits, cancel) = (Limits::default(), Cancel::default());
    let context = Context {
        snapshot: &snapshot,
        database: "d",
        policy: "",
        now: Timestamp(data::START),
        limits: &limits,
        cancel: &cancel,
        chunk_size: None,
        options: Options::default(),
    };
    let statements = plimsoll_query::parse("SELECT v INTO x FROM m", &Params::default()).unwrap();
    let mut sink = Collect::default();
    let error = plimsoll_query::execute(&statements[0], &context, &mut sink).unwrap_err();
    let expected = "SELECT INTO cannot write here: it is read only";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn subscriptions_are_made_shown_and_dropped_as_in_influxdb() {
    compare(&[
        "SHOW SUBSCRIPTIONS",
        "CREATE SUBSCRIPTION s ON d.autogen DESTINATIONS ALL 'http://a:1', 'udp://h:9090'",
        "CREATE SUBSCRIPTION s ON d.autogen DESTINATIONS ALL 'http://a:1', 'udp://h:9090'",
        "CREATE SUBSCRIPTION s ON d.other DESTINATIONS ANY 'http://a:2/path?x=1'",
        "CREATE SUBSCRIPTION \"my sub\" ON d.autogen DESTINATIONS ANY 'http://a:1', 'http://a:1'",
        "CREATE SUBSCRIPTION \"\" ON d.autogen DESTINATIONS ANY 'http://a:1'",
        "CREATE SUBSCRIPTION t ON nothing.autogen DESTINATIONS ANY 'http://a:2'",
        "CREATE SUBSCRIPTION t ON d.nothing DESTINATIONS ANY 'http://a:2'",
        "CREATE SUBSCRIPTION t ON nothing.autogen DESTINATIONS ANY 'ftp://a:2'",
        "CREATE SUBSCRIPTION t ON d.autogen DESTINATIONS ANY 'http://a:2', 'http://a'",
        "CREATE SUBSCRIPTION t ON d.autogen DESTINATIONS SOME 'http://a:2'",
        "SHOW SUBSCRIPTIONS",
        "DROP SUBSCRIPTION nothing ON d.autogen",
        "DROP SUBSCRIPTION s ON nothing.autogen",
        "DROP SUBSCRIPTION s ON d.nothing",
        "DROP SUBSCRIPTION s ON d.autogen",
        "SHOW SUBSCRIPTIONS",
        "CREATE DATABASE another",
        "CREATE SUBSCRIPTION z ON another.autogen DESTINATIONS ANY 'http://a:2'",
        "SHOW SUBSCRIPTIONS",
        "ALTER RETENTION POLICY other ON d DURATION 30d",
        "DROP DATABASE another",
        "SHOW SUBSCRIPTIONS",
        "DROP RETENTION POLICY other ON d",
        "SHOW SUBSCRIPTIONS",
    ]);
}

#[test]
fn continuous_queries_are_made_shown_and_dropped_as_in_influxdb() {
    compare(&[
        "SHOW CONTINUOUS QUERIES",
        "CREATE CONTINUOUS QUERY q1 ON d BEGIN SELECT mean(v) INTO avg FROM m GROUP BY time(1m), host END",
        "CREATE CONTINUOUS QUERY q1 ON d BEGIN SELECT mean(v) INTO avg FROM m GROUP BY time(1m), host END",
        "CREATE CONTINUOUS QUERY q1 ON d BEGIN SELECT mean(v) INTO AVG FROM m GROUP BY time(1m), host END",
        "CREATE CONTINUOUS QUERY q1 ON d BEGIN SELECT mean(w) INTO avg FROM m GROUP BY time(1m), host END",
        "CREATE DATABASE e",
        "CREATE CONTINUOUS QUERY q2 ON d RESAMPLE EVERY 30s FOR 2m BEGIN SELECT mean(v) AS x, max(v) INTO d.other.:MEASUREMENT FROM /m.*/, e..n WHERE host =~ /a|b/ AND time > now() - 1h GROUP BY time(1m, 10s), * fill(previous) ORDER BY time DESC LIMIT 3 TZ('Europe/Berlin') END",
        "CREATE CONTINUOUS QUERY q3 ON d BEGIN SELECT sum(x) INTO e..tot FROM (SELECT mean(v) AS x FROM m GROUP BY time(10s), host) GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY q4 ON d BEGIN SELECT v INTO raw FROM m END",
        "CREATE CONTINUOUS QUERY q5 ON d BEGIN SELECT mean(v) INTO d.nothing.x FROM m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY q5 ON d BEGIN SELECT mean(v) INTO x FROM d.nothing.m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY q5 ON d BEGIN SELECT mean(v) INTO nothing..x FROM m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY q5 ON d BEGIN SELECT mean(v) INTO nothing.autogen.x FROM m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY q5 ON d BEGIN SELECT mean(v) INTO x FROM nothing..m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY q5 ON nothing BEGIN SELECT mean(v) INTO x FROM m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY q5 ON nothing BEGIN SELECT mean(v) INTO d..x FROM d..m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY q5 ON d BEGIN SELECT mean(v) INTO x FROM m END",
        "CREATE CONTINUOUS QUERY q5 ON d RESAMPLE FOR 30s BEGIN SELECT mean(v) INTO x FROM m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY \"q 6\" ON d BEGIN SELECT top(v, host, 2), v INTO x FROM m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY q7 ON d BEGIN SELECT mean(v)/2 INTO x FROM m WHERE host = 'a' OR v > 2 GROUP BY time(90s) END",
        "CREATE CONTINUOUS QUERY q8 ON d BEGIN SELECT count(distinct(v)) INTO x FROM m GROUP BY time(1m), /h.*/ fill(0) END",
        "SHOW CONTINUOUS QUERIES",
        "DROP CONTINUOUS QUERY nothing ON d",
        "DROP CONTINUOUS QUERY q1 ON nothing",
        "DROP CONTINUOUS QUERY q1 ON d",
        "SHOW CONTINUOUS QUERIES",
        "DROP DATABASE d",
        "SHOW CONTINUOUS QUERIES",
    ]);
}

/// 1.6.7 takes it, and fails at each run.
#[test]
fn a_continuous_query_that_can_never_run_is_refused() {
    let engine = data::empty_engine();
    let create = "CREATE CONTINUOUS QUERY q ON d BEGIN SELECT nothing(v) INTO x FROM m \
                  GROUP BY time(1m) END";
    let answer = ours(&engine, "ns", create);
    let expected =
        "{\"results\":[{\"statement_id\":0,\"error\":\"undefined function nothing()\"}]}\n";
    assert_eq!(answer, expected);
}
