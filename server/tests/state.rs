//! Statements about the server: which queries run, how one is killed, and what it tells of itself.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::http::encode;
use support::{Server, directory, eventually, now_ns};

fn server(data: &tempfile::TempDir) -> Server {
    server_with(data, "")
}

fn server_with(data: &tempfile::TempDir, settings: &str) -> Server {
    let config = data.path().join("c.toml");
    std::fs::write(&config, settings).expect("the settings can be written");
    let flags = ["--no-cgroup", "--config", &config.to_string_lossy()];
    let server = Server::start_with(data.path(), &flags);
    let start = now_ns() - 1_000_000_000_000;
    let lines: String = (0..20_000)
        .map(|i| format!("m v={i}i {}\n", start + i * 1_000))
        .collect();
    server.write("k8s", &lines);
    server
}

#[test]
fn show_queries_contains_itself() {
    let data = directory();
    let server = server(&data);
    let text = "SHOW QUERIES; CREATE USER ann WITH PASSWORD 'secret'";
    let answer = server.query("k8s", text, "");
    let series = &answer["results"][0]["series"][0];
    let columns = ["qid", "query", "database", "duration", "status"];
    assert_eq!(series["columns"], serde_json::json!(columns));
    let row = &series["values"][0];
    assert!(row[0].as_u64().is_some_and(|id| id > 0), "{row}");
    assert_eq!(
        row[1],
        "SHOW QUERIES;\nCREATE USER ann WITH PASSWORD [REDACTED]"
    );
    assert_eq!(row[2], "k8s");
    assert!(row[3].as_str().unwrap().ends_with('s'), "{row}");
    assert_eq!(row[4], "running");
    assert_eq!(series["values"].as_array().unwrap().len(), 1);
}

#[test]
fn a_killed_query_says_that_it_was_interrupted() {
    let data = directory();
    // Listing and killing find room where queries have taken all.
    let server = server_with(&data, "max_concurrent_queries = 1\n");
    // An answer that is larger than what stands between the server and a client that reads nothing.
    let many = encode(&"SELECT * FROM m;".repeat(400));
    let mut stream = TcpStream::connect(&server.client.address).unwrap();
    let body = format!("q={many}&db=k8s");
    let head = format!(
        "POST /query HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let id = eventually("the query in the list", || {
        let answer = server.query("k8s", "SHOW QUERIES", "");
        let rows = answer["results"][0]["series"][0]["values"].clone();
        let rows = rows.as_array().unwrap().clone();
        let long = rows
            .into_iter()
            .find(|row| row[1].as_str().unwrap().starts_with("SELECT"));
        long.map(|row| row[0].as_u64().unwrap())
    });
    // It has come as far as it can: what is killed before would be gone at once.
    let (mut unread, mut before) = (vec![0; 16 << 20], 0);
    eventually("an answer that fills what is not read", || {
        let now = stream.peek(&mut unread).unwrap();
        let is_full = now == before;
        before = now;
        is_full.then_some(())
    });
    let busy = server
        .client
        .query("k8s", "SHOW QUERIES; SHOW DATABASES", "");
    assert_eq!(busy.status, 503, "{}", busy.text());
    let kill = |id: u64| server.query("k8s", &format!("KILL QUERY {id}"), "");
    assert_eq!(kill(id).to_string(), "{\"results\":[{\"statement_id\":0}]}");
    assert_eq!(kill(id)["results"][0]["error"], "already killed");
    assert_eq!(
        kill(987_654)["results"][0]["error"],
        "no such query id: 987654"
    );
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.matches("\"query interrupted\"").count(), 1);
    assert!(answer.contains("\"not executed\""), "later statements");
    eventually("the end of the query", || {
        let answer = server.query("k8s", "SHOW QUERIES", "");
        let rows = answer["results"][0]["series"][0]["values"].clone();
        (rows.as_array().unwrap().len() == 1).then_some(())
    });
}

#[test]
fn stats_are_the_figures_of_the_server() {
    let data = directory();
    let server = server(&data);
    let answer = server.query("", "SHOW STATS FOR 'httpd'", "");
    let series = answer["results"][0]["series"].as_array().unwrap().clone();
    assert_eq!(series.len(), 1);
    assert_eq!(series[0]["name"], "httpd");
    let columns = series[0]["columns"].as_array().unwrap();
    let at = columns.iter().position(|name| name == "pointsWrittenOK");
    let value = &series[0]["values"][0][at.unwrap()];
    assert!(value.as_u64().unwrap() >= 20_000, "{value}");
    assert!(columns.is_sorted_by_key(|name| name.as_str().unwrap().to_owned()));
    let all = server.query("", "SHOW STATS", "");
    assert!(all["results"][0]["series"].as_array().unwrap().len() > 3);
    let none = server.query("", "SHOW STATS FOR 'nope'", "");
    assert_eq!(none.to_string(), "{\"results\":[{\"statement_id\":0}]}");
}

#[test]
fn diagnostics_name_version_process_and_settings() {
    let data = directory();
    let server = server(&data);
    let answer = server.query("", "SHOW DIAGNOSTICS", "");
    let series = answer["results"][0]["series"].as_array().unwrap().clone();
    let fact = |module: &str, name: &str| {
        let module = series.iter().find(|series| series["name"] == module);
        let module = module.unwrap();
        let columns = module["columns"].as_array().unwrap();
        let at = columns.iter().position(|column| column == name);
        module["values"][0][at.unwrap()].clone()
    };
    assert_eq!(fact("build", "Version"), env!("CARGO_PKG_VERSION"));
    assert!(fact("system", "PID").as_u64().is_some());
    assert!(fact("system", "started").as_str().unwrap().ends_with('Z'));
    assert_eq!(fact("config-coordinator", "max-concurrent-queries"), 64);
    assert_eq!(fact("config-coordinator", "query-timeout"), "1m0s");
    let one = server.query("", "SHOW DIAGNOSTICS FOR 'build'", "");
    assert_eq!(one["results"][0]["series"].as_array().unwrap().len(), 1);
}

#[test]
fn explain_analyze_times_its_phases() {
    let data = directory();
    let server = server(&data);
    let answer = server.query("k8s", "EXPLAIN ANALYZE SELECT count(v) FROM m", "");
    let series = &answer["results"][0]["series"][0];
    assert_eq!(series["columns"], serde_json::json!(["EXPLAIN ANALYZE"]));
    let lines = series["values"].as_array().unwrap();
    let lines: Vec<&str> = lines.iter().filter_map(|row| row[0].as_str()).collect();
    for phase in ["planning_time: ", "execution_time: ", "total_time: "] {
        let line = lines.iter().find(|line| line.starts_with(phase));
        assert!(line.is_some_and(|line| line.ends_with('s')), "{lines:?}");
    }
    assert!(lines.contains(&"answered: 1 rows in 1 series"), "{lines:?}");
}

#[test]
fn a_hint_goes_with_the_answer_unless_it_is_switched_off() {
    let query = "SELECT v FROM t WHERE host = \"a\"";
    for (settings, expected) in [("", 1), ("query_hints = false\n", 0)] {
        let data = directory();
        let server = server_with(&data, settings);
        server.write("k8s", "t,host=a v=1");
        let answer = server.query("k8s", query, "");
        let result = &answer["results"][0];
        assert!(result["series"].is_null(), "{answer}");
        let messages = result["messages"].as_array();
        assert_eq!(messages.map_or(0, Vec::len), expected, "{answer}");
        if expected == 1 {
            assert_eq!(result["messages"][0]["level"], "warning");
        }
    }
}

#[test]
fn fill_previous_looks_back_where_the_setting_says_so() {
    let query =
        "SELECT last(v) FROM rare WHERE time >= now() - 2m GROUP BY time(1m) fill(previous)";
    for (settings, is_answered) in [("", false), ("fill_previous_lookback = \"1h\"\n", true)] {
        let data = directory();
        let server = server_with(&data, settings);
        server.write("k8s", &format!("rare v=5 {}", now_ns() - 600_000_000_000));
        let answer = server.query("k8s", query, "");
        let series = &answer["results"][0]["series"];
        assert_eq!(series.is_array(), is_answered, "{answer}");
        if is_answered {
            assert_eq!(series[0]["values"][0][1], 5);
        }
    }
}
