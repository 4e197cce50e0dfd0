//! SELECT … INTO and continuous queries over HTTP: answers, rights, warnings, and that they last.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::http::encode;
use support::{Server, directory, eventually, now_ns, plimsoll};

const LINES: &str = "m,host=a v=1 1711800000000000000
m,host=b v=2 1711800010000000000
m,host=b v=3 1711800020000000000
";
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Looks for what is due ten times a second.
fn serve(data: &Path, more: &[(&str, &str)]) -> Server {
    let mut command = plimsoll();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--no-cgroup", "--data"])
        .arg(data)
        .env("PLIMSOLL_CONTINUOUS_QUERIES_RUN_INTERVAL", "100ms");
    for (key, value) in more {
        command.env(format!("PLIMSOLL_{}", key.to_uppercase()), value);
    }
    Server::spawn(&mut command)
}

fn values(answer: &Value) -> Value {
    answer["results"][0]["series"][0]["values"].clone()
}

fn ok(answer: &Value) {
    assert_eq!(*answer, json!({"results": [{"statement_id": 0}]}));
}

#[test]
fn what_is_selected_into_a_measurement_is_counted_and_lasts() {
    let data = directory();
    let server = serve(data.path(), &[]);
    ok(&server.query("", "CREATE DATABASE d", ""));
    server.write("d", LINES);
    let answer = server.query("d", "SELECT v INTO copy FROM m GROUP BY *", "&epoch=ms");
    let result = json!({"statement_id": 0, "series": [
        {"name": "result", "columns": ["time", "written"], "values": [[0, 3]]}]});
    assert_eq!(answer, json!({"results": [result]}));
    let text = encode("SELECT v INTO copy FROM m GROUP BY *");
    let answer = server.client.get(&format!("/query?db=d&q={text}")).text();
    let warning = "deprecated use of 'SELECT v INTO d.autogen.copy FROM d.autogen.m GROUP BY *' in \
                   a read only context, please use a POST request instead";
    assert!(answer.contains(warning), "{answer}");
    let chunked = "&chunked=true&chunk_size=1";
    let answer = server
        .client
        .query("d", "SELECT v INTO copy FROM m GROUP BY *", chunked);
    let expected = "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"result\",\"columns\":\
                    [\"time\",\"written\"],\"values\":[[\"1970-01-01T00:00:00Z\",3]]}]}]}\n";
    assert_eq!(answer.text(), expected);
    let answer = server.query("d", "SELECT v INTO d.nothing.copy FROM m", "");
    assert_eq!(
        answer["results"][0]["error"],
        "retention policy not found: nothing"
    );
    server.write("d", "text v=\"x\" 1711800000000000000");
    let answer = server.query("d", "SELECT v INTO text FROM m", "");
    let conflict = "partial write: field type conflict: input field \"v\" on measurement \"text\" \
                    is type float, already exists as type string dropped=";
    let error = answer["results"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with(conflict), "{error}");
    server.kill();
    let server = serve(data.path(), &[]);
    let answer = server.query("d", "SELECT count(v) FROM copy WHERE host = 'b'", "");
    assert_eq!(values(&answer)[0][1], 2);
}

#[test]
fn it_takes_a_right_to_read_and_one_to_write() {
    let data = directory();
    let server = serve(data.path(), &[("auth_enabled", "true")]);
    let admin = "CREATE USER root WITH PASSWORD 'root' WITH ALL PRIVILEGES";
    server.query("", admin, "");
    let root = "&u=root&p=root";
    for text in [
        "CREATE DATABASE from_here",
        "CREATE DATABASE to_there",
        "CREATE USER ann WITH PASSWORD 'ann'",
        "GRANT READ ON from_here TO ann",
        "GRANT READ ON to_there TO ann",
    ] {
        ok(&server.query("", text, root));
    }
    let line = b"m v=1 1";
    let path = "/write?db=from_here&u=root&p=root";
    assert_eq!(server.client.post(path, line).status, 204);
    let ann = "&u=ann&p=ann";
    let select = "SELECT v INTO to_there..x FROM m";
    let refused = server.client.query("from_here", select, ann);
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("requires WRITE on to_there"),
        "{}",
        refused.text()
    );
    let create = "CREATE CONTINUOUS QUERY q ON from_here BEGIN SELECT mean(v) INTO to_there..x \
                  FROM m GROUP BY time(1m) END";
    assert_eq!(server.client.query("from_here", create, ann).status, 403);
    ok(&server.query("", "GRANT ALL ON to_there TO ann", root));
    let answer = server.query("from_here", select, ann);
    assert_eq!(values(&answer), json!([["1970-01-01T00:00:00Z", 1]]));
    ok(&server.query("from_here", create, ann));
    let refused = server.client.query(
        "",
        "CREATE SUBSCRIPTION s ON to_there.autogen DESTINATIONS ANY 'udp://h:1'",
        ann,
    );
    assert_eq!(refused.status, 403);
}

/// Swarmpit's shape: into another policy, by minute and tag. RESAMPLE lets it look back when it is
/// made, so that nobody waits for a minute to end.
#[test]
fn a_continuous_query_runs_by_itself_once_an_interval() {
    let data = directory();
    let server = serve(data.path(), &[]);
    for text in [
        "CREATE DATABASE swarmpit",
        "CREATE RETENTION POLICY a_day ON swarmpit DURATION 1d REPLICATION 1",
        "CREATE RETENTION POLICY an_hour ON swarmpit DURATION 1h REPLICATION 1 DEFAULT",
    ] {
        ok(&server.query("", text, ""));
    }
    let minute = now_ns() / (60 * SECOND) * (60 * SECOND);
    let at = |minutes: i64| minute - minutes * 60 * SECOND;
    let lines = format!(
        "task_cpu,task=a usage=1 {}\ntask_cpu,task=a usage=3 {}\ntask_cpu,task=b usage=5 {}\n",
        at(5),
        at(5) + SECOND,
        at(4)
    );
    server.write("swarmpit", &lines);
    let create = "CREATE CONTINUOUS QUERY cq_tasks_1m ON swarmpit RESAMPLE FOR 30m BEGIN \
                  SELECT MEAN(usage) AS cpu INTO a_day.downsampled FROM swarmpit..task_cpu \
                  GROUP BY time(1m), task END";
    ok(&server.query("", create, ""));
    ok(&server.query("", create, ""));
    let other = create.replace("MEAN", "MAX");
    let answer = server.query("", &other, "");
    let error = "continuous query already exists";
    assert_eq!(answer["results"][0]["error"], error);
    let shown = server.query("", "SHOW CONTINUOUS QUERIES", "");
    let series = shown["results"][0]["series"].as_array().unwrap().clone();
    let swarmpit = series.iter().find(|series| series["name"] == "swarmpit");
    let expected = "CREATE CONTINUOUS QUERY cq_tasks_1m ON swarmpit RESAMPLE FOR 30m BEGIN SELECT \
                    mean(usage) AS cpu INTO swarmpit.a_day.downsampled FROM \
                    swarmpit.an_hour.task_cpu GROUP BY time(1m), task END";
    assert_eq!(
        swarmpit.unwrap()["values"],
        json!([["cq_tasks_1m", expected]])
    );
    let read = "SELECT cpu FROM swarmpit.a_day.downsampled GROUP BY task";
    let found = eventually("a run", || {
        let found = server.query("swarmpit", read, "&epoch=ns");
        let series = found["results"][0]["series"].as_array()?.clone();
        (series.len() == 2).then_some(series)
    });
    assert_eq!(found[0]["values"], json!([[at(5), 2]]));
    assert_eq!(found[1]["values"], json!([[at(4), 5]]));
    let log = eventually("its line in the log", || {
        let log = server.log();
        log.contains("a continuous query ran").then_some(log)
    });
    assert!(log.contains("cq_tasks_1m"), "{log}");
    let metrics = server.client.get("/metrics").text();
    assert!(
        metrics.contains("plimsoll_continuous_queries_total"),
        "{metrics}"
    );
    assert!(
        metrics.contains("plimsoll_continuous_query_points_total 2"),
        "{metrics}"
    );
    ok(&server.query("", "DROP CONTINUOUS QUERY cq_tasks_1m ON swarmpit", ""));
}

/// With windows of a day, the next run is far away.
#[test]
fn a_restart_computes_no_interval_twice() {
    let data = directory();
    let server = serve(data.path(), &[]);
    ok(&server.query("", "CREATE DATABASE d", ""));
    let today = now_ns() / DAY * DAY;
    server.write("d", &format!("m v=1 {}\n", today - DAY));
    let create = "CREATE CONTINUOUS QUERY q ON d RESAMPLE FOR 2d BEGIN SELECT count(v) AS n INTO \
                  days FROM m GROUP BY time(1d) END";
    ok(&server.query("", create, ""));
    let count = |server: &Server| {
        let answer = server.query("d", "SELECT n FROM days WHERE n > 0", "&epoch=ns");
        answer["results"][0]["series"][0]["values"][0][1].as_i64()
    };
    eventually("a run", || count(&server));
    // What came late would be counted by another run over the same day.
    server.write("d", &format!("m v=2 {}\n", today - DAY + SECOND));
    let (_, log) = server.stop();
    assert_eq!(log.matches("a continuous query ran").count(), 1, "{log}");
    let server = serve(data.path(), &[]);
    // Something that runs later shows that the first was looked at again.
    let other = "CREATE CONTINUOUS QUERY later ON d RESAMPLE FOR 2d BEGIN SELECT count(v) AS n \
                 INTO later FROM m GROUP BY time(1d) END";
    ok(&server.query("", other, ""));
    eventually("a run of the other", || {
        let answer = server.query("d", "SELECT n FROM later WHERE n > 0", "");
        answer["results"][0]["series"][0]["values"][0][1].as_i64()
    });
    assert_eq!(count(&server), Some(1));
    server.kill();
    let server = serve(data.path(), &[("continuous_queries_enabled", "false")]);
    let shown = server.query("", "SHOW CONTINUOUS QUERIES", "").to_string();
    assert!(shown.contains("later"), "{shown}");
    ok(&server.query("", "DROP DATABASE d", ""));
    let shown = server.query("", "SHOW CONTINUOUS QUERIES", "").to_string();
    assert!(!shown.contains("later"), "{shown}");
}

#[test]
fn a_run_that_fails_is_counted_and_said_and_others_go_on() {
    let data = directory();
    let server = serve(data.path(), &[]);
    for text in [
        "CREATE DATABASE d",
        "CREATE RETENTION POLICY gone ON d DURATION INF REPLICATION 1",
        "CREATE CONTINUOUS QUERY a ON d RESAMPLE EVERY 1s FOR 1h BEGIN SELECT mean(v) INTO \
         d.gone.x FROM m GROUP BY time(1m) END",
        "CREATE CONTINUOUS QUERY b ON d RESAMPLE EVERY 1s FOR 1h BEGIN SELECT mean(v) INTO x FROM \
         m GROUP BY time(1m) END",
        "DROP RETENTION POLICY gone ON d",
    ] {
        ok(&server.query("", text, ""));
    }
    let minute = now_ns() / (60 * SECOND) * (60 * SECOND);
    server.write("d", &format!("m v=1 {}\n", minute - 60 * SECOND));
    eventually("a run of the other", || {
        let answer = server.query("d", "SELECT mean FROM x", "");
        values(&answer).as_array().map(Vec::len)
    });
    let log = eventually("the line of the failure", || {
        let log = server.log();
        log.contains("a continuous query failed").then_some(log)
    });
    assert!(log.contains("retention policy not found: gone"), "{log}");
    let metrics = server.client.get("/metrics").text();
    let failed = "plimsoll_continuous_queries_failed_total ";
    let line = metrics.lines().find(|line| line.starts_with(failed));
    assert_ne!(line, Some("plimsoll_continuous_queries_failed_total 0"));
}
