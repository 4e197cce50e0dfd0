//! Targets that are pulled by the real binary: one that is slow, one that says things twice and
//! late, and the page that tells of them, with its key.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test ends where something is not as expected"
)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use support::{Server, directory, eventually};

/// Answers every request on a port of its own; for as long as the test runs.
fn serve(answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // A peer that never answers keeps its connections.
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // A client that is gone is the end of its request only.
            if answer(&mut stream).is_ok() {
                kept.push(stream);
            }
        }
    });
    format!("http://{address}/metrics")
}

fn page(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes())?;
    stream.shutdown(std::net::Shutdown::Both)
}

fn first_row(server: &Server, text: &str) -> Option<Vec<i64>> {
    let answer = server.query("k8s", text, "&epoch=ms");
    let row = answer["results"][0]["series"][0]["values"][0].as_array()?;
    row.iter().map(serde_json::Value::as_i64).collect()
}

#[test]
fn a_target_that_never_answers_costs_another_no_scrape() {
    let well = serve(|stream| {
        page(
            stream,
            "container_memory_rss{id=\"/docker/a\",name=\"a\"} 1\n",
        )
    });
    let slow = serve(|_| Ok(()));
    let data = directory();
    let flags = [
        "--no-cgroup",
        "--interval",
        "1s",
        "--cadvisor",
        &slow,
        "--cadvisor",
        &well,
    ];
    let server = Server::start_with(data.path(), &flags);
    let rows = |up: i64, target: &str| {
        let text = format!(
            "SELECT count(value) FROM \"scrape/up_gauge\" WHERE target = '{target}' AND value = {up}"
        );
        first_row(&server, &text).map_or(0, |row| row[1])
    };
    eventually("the slow one is given up", || {
        (rows(0, &slow) >= 1).then_some(())
    });
    let before = rows(1, &well);
    eventually("the other goes on", || {
        (rows(1, &well) >= before + 2).then_some(())
    });
    assert_eq!(rows(0, &well), 0);
    let of = |name: &str| {
        let json = server.client.get("/targets?format=json").text();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let mut targets = json["targets"].as_array().unwrap().iter();
        targets.find(|target| target["target"] == name).cloned()
    };
    let of = |name: &str| of(name).unwrap();
    assert_eq!(of(&well)["missed"], 0);
    eventually("what was left out behind it has its reason", || {
        let slow = of(&slow);
        let by = &slow["missed_by"];
        (by["answer"].as_u64() >= Some(1) && by["write"] == 0 && by["turn"] == 0).then_some(())
    });
    let figures = server.client.get("/metrics").text();
    for (name, is_zero) in [("answer", false), ("turn", true), ("write", true)] {
        let zero = format!("plimsoll_scrapes_missed_{name}_total 0\n");
        assert_eq!(figures.contains(&zero), is_zero, "{name}: {figures}");
    }
    assert!(figures.contains("plimsoll_scrapes_not_stored_total 0\n"));
    assert!(!figures.contains("plimsoll_scrape_bytes_total 0\n"));
    let problems = of(&slow)["problems"].to_string();
    assert!(
        problems.contains("no answer within the deadline of 1000 ms"),
        "{problems}"
    );
}

#[test]
fn samples_that_come_twice_count_once_and_late_ones_find_their_place() {
    let scrapes = Arc::new(AtomicI64::new(0));
    let now_ms = support::now_ns() / 1_000_000;
    let counter = Arc::clone(&scrapes);
    let target = serve(move |stream| {
        // The second scrape says the first again; the third is of a minute before.
        let late_ms = match counter.fetch_add(1, Ordering::SeqCst) {
            2 => 60_000,
            _ => 0,
        };
        let time_ms = now_ms - late_ms;
        let value = 100_000 - late_ms;
        let row = "container_memory_rss{id=\"/docker/a\",name=\"a\"}";
        page(stream, &format!("{row} {value} {time_ms}\n"))
    });
    let data = directory();
    let flags = ["--no-cgroup", "--interval", "1s", "--cadvisor", &target];
    let server = Server::start_with(data.path(), &flags);
    eventually("four scrapes", || {
        let up = first_row(&server, "SELECT count(value) FROM \"scrape/up_gauge\"")?;
        (up[1] >= 4).then_some(())
    });
    let answer = server.query(
        "k8s",
        "SELECT value FROM \"memory/rss_bytes_gauge\"",
        "&epoch=ms",
    );
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        serde_json::json!([[now_ms - 60_000, 40_000], [now_ms, 100_000]])
    );
}

#[test]
fn a_list_of_targets_that_changes_changes_what_is_read() {
    let counted = || {
        let scrapes = Arc::new(AtomicI64::new(0));
        let counter = Arc::clone(&scrapes);
        let target = serve(move |stream| {
            counter.fetch_add(1, Ordering::SeqCst);
            page(
                stream,
                "container_memory_rss{id=\"/docker/a\",name=\"a\"} 1\n",
            )
        });
        (target, scrapes)
    };
    let [(first, of_first), (second, of_second)] = [counted(), counted()];
    let data = directory();
    let list = data.path().join("targets");
    let write = |target: &str| std::fs::write(&list, format!("cadvisor {target}\n")).unwrap();
    write(&first);
    let mut command = support::plimsoll();
    command
        .args(["serve", "--no-cgroup", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path().join("data"))
        .args(["--interval", "1s"])
        .env("PLIMSOLL_TARGETS_FILE", &list);
    let _server = Server::spawn(&mut command);
    let reach = |scrapes: &AtomicI64, most: i64| {
        eventually("it is read", || {
            (scrapes.load(Ordering::SeqCst) >= most).then_some(())
        });
    };
    reach(&of_first, 1);
    assert_eq!(of_second.load(Ordering::SeqCst), 0);
    write(&second);
    reach(&of_second, 1);
    let before = of_first.load(Ordering::SeqCst);
    reach(&of_second, 4);
    assert_eq!(of_first.load(Ordering::SeqCst), before);
}

#[test]
fn the_page_of_targets_is_for_those_who_may_read_the_database() {
    let well = serve(|stream| {
        page(
            stream,
            "container_memory_rss{id=\"/docker/a\",name=\"a\"} 1\n",
        )
    });
    let data = directory();
    let mut command = support::plimsoll();
    command
        .args(["serve", "--no-cgroup", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .args(["--interval", "1s", "--cadvisor", &well])
        .env("PLIMSOLL_AUTH_ENABLED", "true");
    let server = Server::spawn(&mut command);
    let admin = "CREATE USER root WITH PASSWORD 'tiger' WITH ALL PRIVILEGES";
    assert_eq!(server.client.query("", admin, "").status, 200);
    let ask = |user: &str| {
        let token = format!("Token {user}");
        let headers: &[(&str, &str)] = match user {
            "" => &[],
            _ => &[("Authorization", &token)],
        };
        server.client.send("GET", "/targets", headers, b"")
    };
    for text in [
        "CREATE USER stranger WITH PASSWORD 's'",
        "CREATE USER reader WITH PASSWORD 'r'",
        "GRANT READ ON k8s TO reader",
    ] {
        let path = format!("/query?q={}", support::http::encode(text));
        let headers = [("Authorization", "Token root:tiger")];
        let answer = server.client.send("POST", &path, &headers, b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(ask("").status, 401);
    assert_eq!(ask("root:wrong").status, 401);
    assert_eq!(ask("stranger:s").status, 403);
    assert!(!ask("stranger:s").text().contains(&well));
    for user in ["root:tiger", "reader:r"] {
        eventually("the page names the target", || {
            let answer = ask(user);
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.text().contains(&well).then_some(())
        });
    }
}
