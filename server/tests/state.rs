//! Statements about the server: which queries run, how one is killed, and what it tells of itself.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::http::encode;
use support::{Server, directory, eventually, now_ns};

fn server(data: &tempfile::TempDir) -> Server {
    let server = Server::start_with(data.path(), &["--no-cgroup"]);
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
    let server = server(&data);
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
