//! Parsing and printing: what InfluxDB accepts, how it refuses, and that print and parse agree.
//!
//! The tables in `parse/` are what influxql 1.4 answered to generated statements.

use plimsoll_engine::Timestamp;
use plimsoll_query::check::check_statement;
use plimsoll_query::{Parameter, Params, parse};

fn parsed(text: &str) -> String {
    match parse(text, &Params::default()) {
        Ok(statements) => statements
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; "),
        Err(error) => format!("error parsing query: {error}"),
    }
}

#[test]
fn statements_print_as_influxdb_prints_them() {
    for (text, printed) in [
        ("select * from cpu", "SELECT * FROM cpu"),
        (
            r#"SELECT mean("v") AS "x y" FROM "db"."rp"."m" WHERE "host"='a' AND time > now() - 1h GROUP BY time(10s), "host" fill(none) ORDER BY time DESC LIMIT 5 OFFSET 1 SLIMIT 2 SOFFSET 3 tz('Europe/Berlin')"#,
            r#"SELECT mean(v) AS "x y" FROM db.rp.m WHERE host = 'a' AND time > now() - 1h GROUP BY time(10s), host fill(none) ORDER BY time DESC LIMIT 5 OFFSET 1 SLIMIT 2 SOFFSET 3 TZ('Europe/Berlin')"#,
        ),
        ("select a+b*c from m", "SELECT a + b * c FROM m"),
        (
            "select (a+b)*-c from /^c.*/, db../x\\/y/",
            "SELECT (a + b) * -1 * c FROM /^c.*/, db../x\\/y/",
        ),
        (
            "select count(distinct(x)) from (select mean(y) as x from m group by host limit 1) fill(previous)",
            "SELECT count(distinct(x)) FROM (SELECT mean(y) AS x FROM m GROUP BY host LIMIT 1) fill(previous)",
        ),
        (
            "show tag values from m with key in (a, \"b c\") where x =~ /y/",
            "SHOW TAG VALUES FROM m WITH KEY IN (a, \"b c\") WHERE x =~ /y/",
        ),
        (
            "create database d with duration 24h",
            "CREATE DATABASE d WITH DURATION 1d",
        ),
        (
            "create database k8s with name \"default\"",
            "CREATE DATABASE k8s WITH NAME \"default\"",
        ),
        (
            "create retention policy p on d duration inf replication 1 default",
            "CREATE RETENTION POLICY p ON d DURATION 0s REPLICATION 1 DEFAULT",
        ),
        (
            "create continuous query c on d resample every 1m for 2m begin select mean(v) into d.rp.:MEASUREMENT from /.*/ group by time(1m), * end",
            "CREATE CONTINUOUS QUERY c ON d RESAMPLE EVERY 1m FOR 2m BEGIN SELECT mean(v) INTO d.rp.:MEASUREMENT FROM /.*/ GROUP BY time(1m), * END",
        ),
        (
            "grant all on d to u; revoke all privileges from u",
            "GRANT ALL PRIVILEGES ON d TO u; REVOKE ALL PRIVILEGES FROM u",
        ),
        (
            "show series exact cardinality on d",
            "SHOW SERIES EXACT CARDINALITY ON d",
        ),
        (
            "select *::field, *::tag from m -- a comment\n",
            "SELECT *::field, *::tag FROM m",
        ),
        (
            "select 1.5 * v from m where t = 10",
            "SELECT 1.5 * v FROM m WHERE t = 10",
        ),
        ("SELECT v FROM m;;", "SELECT v FROM m"),
    ] {
        assert_eq!(parsed(text), printed, "{text}");
        assert_eq!(parsed(printed), printed, "printing is stable");
    }
}

#[test]
fn errors_are_influxdbs_texts() {
    for (text, error) in [
        (
            "SELECT",
            "found EOF, expected identifier, string, number, bool at line 1, char 8",
        ),
        ("SELECT v", "found EOF, expected FROM at line 1, char 10"),
        (
            "SELECT v FROM",
            "found EOF, expected identifier at line 1, char 15",
        ),
        (
            "SELECT v FROM m WHERE",
            "found EOF, expected identifier, string, number, bool at line 1, char 23",
        ),
        (
            "SELECT v FROM m LIMIT x",
            "found x, expected integer at line 1, char 23",
        ),
        (
            "SELECT v FROM m foo",
            "found foo, expected ; at line 1, char 17",
        ),
        (
            "SELECT v FROM m GROUP host",
            "found host, expected BY at line 1, char 23",
        ),
        (
            "foo",
            "found foo, expected SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, REVOKE, ALTER, SET, KILL at line 1, char 1",
        ),
        (
            "SHOW TAG VALUES FROM m",
            "found EOF, expected WITH at line 1, char 24",
        ),
        (
            "SELECT v FROM m ORDER BY x",
            "only ORDER BY time supported at this time",
        ),
        (
            "SELECT v FROM m GROUP BY time(1m) fill(x)",
            "expected number argument in fill()",
        ),
        (
            "SELECT v FROM m tz('Nowhere')",
            "unable to find time zone Nowhere",
        ),
        (
            "SELECT v FROM m WHERE a = 'x\\q'",
            "found \\q, expected identifier, string, number, bool at line 1, char 30",
        ),
        (
            "SELECT v = 1 FROM m",
            "invalid operator = in SELECT clause at line 1, char 8; operator is intended for WHERE clause",
        ),
        (
            "DELETE",
            "found EOF, expected FROM, WHERE at line 1, char 8",
        ),
        (
            "SHOW FIELD",
            "found EOF, expected KEY, KEYS at line 1, char 12",
        ),
        ("SELECT v FROM m WHERE a = $b", "missing parameter: b"),
    ] {
        assert_eq!(
            parsed(text),
            format!("error parsing query: {error}"),
            "{text}"
        );
    }
}

/// Queries and what was answered: every second line, indented.
fn table(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut lines = text.lines();
    std::iter::from_fn(move || Some((lines.next()?, lines.next()?.trim_start())))
}

#[test]
fn the_newest_parser_accepts_and_prints_the_same() {
    for (text, printed) in table(include_str!("parse/accepted.txt")) {
        assert_eq!(parsed(text), printed, "{text}");
        // A password is not printed, and what stands in its place is no password.
        if !printed.contains("[REDACTED]") {
            assert_eq!(parsed(printed), printed, "printing is stable");
        }
    }
}

#[test]
fn the_newest_parser_refuses_with_the_same_words() {
    for (text, error) in table(include_str!("parse/refused.txt")) {
        let expected = format!("error parsing query: {error}");
        assert_eq!(parsed(text), expected, "{text}");
    }
}

#[test]
fn deep_nesting_is_refused_and_not_a_crash() {
    let deep = format!(
        "SELECT {}v{} FROM m",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    assert!(parsed(&deep).contains("nests deeper than"));
    let signs = format!("SELECT {}v FROM m", "-".repeat(10_001).replace("--", "- "));
    assert!(parsed(&signs).starts_with("error"));
    let queries = format!("SELECT v FROM {}m", "(SELECT v FROM ".repeat(10_000));
    assert!(parsed(&queries).contains("nests deeper than"));
    let chain = |terms| format!("SELECT {}v FROM m", "v + ".repeat(terms));
    assert_eq!(parsed(&chain(200)), chain(200));
    assert!(parsed(&chain(300)).contains("is deeper than 250 levels"));
    // Each level is the leftmost operand of a chain: together they would be 18,000 deep.
    let mut tower = "v".to_owned();
    for _ in 0..90 {
        tower = format!("({tower}){}", " + v".repeat(200));
    }
    assert!(parsed(&format!("SELECT {tower} FROM m")).contains("is deeper than 250 levels"));
}

#[test]
fn long_lists_of_and_and_or_are_shallow_trees() {
    let wide = |terms| {
        let terms = "a = 1 AND b = 2 OR ".repeat(terms);
        format!("SELECT v FROM m WHERE {terms}c = 3")
    };
    let text = wide(5_000);
    let statements = parse(&text, &Params::default()).unwrap();
    assert_eq!(statements[0].to_string(), text);
    assert_eq!(check_statement(&statements[0], Timestamp(0)), Ok(()));
    assert!(parsed(&wide(50_000)).contains("has more than 100000 operators"));
}

#[test]
fn names_in_any_case_are_kept_and_keywords_are_not_names() {
    assert_eq!(parsed("sElEcT Value FrOm CPU"), "SELECT Value FROM CPU");
    assert_eq!(
        parsed("SELECT key FROM m"),
        "error parsing query: found KEY, expected identifier, string, number, bool at line 1, char 8"
    );
    assert_eq!(parsed("SELECT \"key\" FROM m"), "SELECT \"key\" FROM m");
}

mod hostile {
    use super::*;
    use proptest::prelude::*;

    const WORDS: &[&str] = &[
        "SELECT",
        "mean(",
        ")",
        "v",
        "*",
        "FROM",
        "m",
        "WHERE",
        "time",
        ">",
        "now()",
        "-",
        "1h",
        "AND",
        "OR",
        "'x'",
        "/re/",
        "=~",
        "GROUP BY",
        ",",
        "fill(",
        "null",
        "(",
        "::",
        ".",
        "$a",
        "SHOW",
        "TAG VALUES",
        "WITH KEY",
        "IN",
        "LIMIT",
        "1",
        "1.5",
        "\"q\"",
        ";",
        "--",
        "/*",
        "CREATE DATABASE",
        "INTO",
        ":MEASUREMENT",
        "DISTINCT",
        "tz(",
        "ORDER BY",
        "DESC",
    ];

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            parsed(&text);
        }

        #[test]
        fn no_sequence_of_words_panics_and_what_parses_prints_to_an_equal_tree(
            words in prop::collection::vec(0..WORDS.len(), 0..25),
        ) {
            let text: Vec<&str> = words.iter().map(|word| WORDS[*word]).collect();
            if let Ok(statements) = parse(&text.join(" "), &Params::default()) {
                for statement in statements {
                    let printed = statement.to_string();
                    let again = parse(&printed, &Params::default());
                    prop_assert_eq!(again.as_deref(), Ok(&[statement][..]), "{}", printed);
                }
            }
        }
    }
}

/// The queries of public dashboards, with Grafana's macros replaced as it does.
#[test]
fn queries_of_public_dashboards_parse() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/data/queries/container_dashboards.txt"
    );
    let Ok(corpus) = std::fs::read_to_string(path) else {
        println!("SKIPPED queries_of_public_dashboards_parse ../shared/data is not there");
        return;
    };
    let mut refused = Vec::new();
    for query in corpus
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        if let Err(error) = parse(&expand(query), &Params::default()) {
            refused.push(error.to_string());
        }
    }
    // DURATION 0 without a unit: InfluxDB refuses it too.
    assert_eq!(refused, ["found 0, expected duration at line 1, char 51"]);
}

/// Heapster's dashboards, as Grafana sends them.
#[test]
fn queries_of_heapsters_dashboards_parse_and_are_checked() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/data/heapster-grafana/queries.json"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        println!(
            "SKIPPED queries_of_heapsters_dashboards_parse_and_are_checked ../shared/data is not \
             there"
        );
        return;
    };
    let panels: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(&text).unwrap();
    let mut count = 0;
    let mut reasons = std::collections::BTreeSet::new();
    for panel in &panels {
        for (key, query) in panel {
            let Some(query) = query.as_str() else {
                continue;
            };
            if key != "verbatim" && !key.starts_with("sent_") {
                continue;
            }
            let query = expand(query);
            let refused = match parse(&query, &Params::default()) {
                Ok(statements) => statements
                    .iter()
                    .find_map(|statement| check_statement(statement, Timestamp(0)).err())
                    .map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            count += 1;
            if let Some(reason) = refused {
                let reason = reason.split(" at line").next().unwrap_or_default();
                reasons.insert(reason.to_owned());
            }
        }
    }
    assert!(count > 50, "{count} statements");
    // The oldest are in the language of InfluxDB 0.8, which 1.x refuses, too.
    let expected = [
        "aggregate function required inside the call to derivative",
        "found ASC, expected BY",
        "mixing aggregate and non-aggregate queries is not supported",
    ];
    assert_eq!(
        reasons.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn parameters_stand_where_their_values_may() {
    let mut params = Params::default();
    for (name, value) in [
        ("host", Parameter::String("it's".to_owned())),
        ("tag", Parameter::Identifier("my tag".to_owned())),
        ("re", Parameter::Regex("a/b".to_owned())),
        ("since", Parameter::duration_ns(90_000_000_000)),
        ("n", Parameter::Integer(-5)),
        ("x", Parameter::Number(1.5)),
        ("yes", Parameter::Boolean(true)),
        ("bad", Parameter::Error("unknown thing".to_owned())),
    ] {
        params.insert(name, value);
    }
    let bound = |text: &str| match parse(text, &params) {
        Ok(statements) => statements[0].to_string(),
        Err(error) => error.to_string(),
    };
    for (text, expected) in [
        (
            "SELECT $tag FROM $tag WHERE a = $host AND b =~ $re AND time > now() - $since",
            "SELECT \"my tag\" FROM \"my tag\" WHERE a = 'it\\'s' AND b =~ /a\\/b/ AND time > now() - 90s",
        ),
        (
            "SELECT v FROM m WHERE a > $n AND b > $x AND c = $yes",
            "SELECT v FROM m WHERE a > -5 AND b > 1.5 AND c = true",
        ),
        ("SELECT v FROM m WHERE a = $bad", "unknown thing"),
        ("SELECT v FROM m WHERE a = $none", "missing parameter: none"),
        ("SELECT v FROM m WHERE a = $", "empty bound parameter"),
    ] {
        assert_eq!(bound(text), expected, "{text}");
    }
}

fn expand(query: &str) -> String {
    let mut text = query.to_owned();
    for (name, value) in [
        ("$timeFilter", "time >= now() - 1h"),
        ("$__timeFilter", "time >= now() - 1h"),
        (":dashboardTime:", "now() - 1h"),
        (":upperDashboardTime:", "now()"),
        (":interval:", "10s"),
        (":host:", "'h'"),
        ("$__interval_ms", "10000"),
        ("$__interval", "10s"),
        ("$interval", "10s"),
    ] {
        text = text.replace(name, value);
    }
    let regex = regex::Regex::new(r"\[\[\w+\]\]|\$\{\w+(:\w+)?\}|\$\w+").expect("a valid pattern");
    regex.replace_all(&text, "x1").into_owned()
}
