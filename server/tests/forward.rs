//! What is stored is sent on: nothing that was acknowledged is lost on the way, whatever the peer
//! or a kill does, and what a peer refuses is counted.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as expected"
)]

mod support;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::Path;

use support::peer::{Fake, Peer, free_port};
use support::{Server, directory, eventually, now_ns, plimsoll};

/// A server that forwards.
fn start(data: &Path, forward: &str, more: &[(&str, &str)]) -> Server {
    let mut command = plimsoll();
    command
        .args(["serve", "--no-cgroup", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .env("PLIMSOLL_FORWARD", forward)
        .env("PLIMSOLL_RETENTION", "0")
        .envs(more.iter().copied());
    Server::spawn(&mut command)
}

/// A figure of `/metrics`.
fn figure(server: &Server, name: &str) -> u64 {
    let text = server.client.get("/metrics").text();
    let line = format!("plimsoll_{name} ");
    let value = text.lines().find_map(|text| text.strip_prefix(&line));
    value
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}

/// The one number that a query answers, where it does.
fn count(peer: &Peer, text: &str) -> Option<i64> {
    let answer = peer.client.query("k8s", text, "&epoch=ns");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    json["results"][0]["series"][0]["values"][0][1].as_i64()
}

#[test]
fn an_influxd_that_was_down_gets_all_that_was_acknowledged_before_and_after_a_kill() {
    let test = "an_influxd_that_was_down_gets_all_that_was_acknowledged_before_and_after_a_kill";
    let (data, port) = (directory(), free_port());
    let forward = format!("influxdb+http://127.0.0.1:{port}");
    let server = start(data.path(), &forward, &[]);
    let write = |server: &Server, from: i64, count: i64| {
        let start = now_ns();
        let lines = (from..from + count).map(|number| {
            format!(
                "m,host=h\\ {} value={number}i,text=\"a,b\" {}\n",
                number % 7,
                start + number
            )
        });
        server.write("k8s", &lines.collect::<String>());
    };
    write(&server, 0, 3_000);
    eventually("a failure", || {
        (figure(&server, "forward_failures_total") > 0).then_some(())
    });
    server.kill();
    let server = start(data.path(), &forward, &[]);
    write(&server, 3_000, 500);
    let Some(peer) = Peer::influxd(test, port) else {
        return;
    };
    // A database that is not there is no reason to give up.
    peer.client.query("", "CREATE DATABASE k8s", "");
    let all = "SELECT count(value) FROM m";
    eventually("the points before the kill and behind it", || {
        (count(&peer, all) == Some(3_500)).then_some(())
    });
    assert_eq!(
        count(&peer, "SELECT sum(value) FROM m"),
        Some(3_499 * 3_500 / 2)
    );
    // Killed while it sends: what was sent and not noted is sent again, and is the same points.
    let mut server = server;
    for round in 0..3 {
        write(&server, 3_500 + round * 500, 500);
        server.kill();
        server = start(data.path(), &forward, &[]);
    }
    eventually("the points of servers that were killed", || {
        (count(&peer, all) == Some(5_000)).then_some(())
    });
    assert_eq!(figure(&server, "forward_points_refused_total"), 0);
}

#[test]
fn a_prometheus_takes_remote_writes() {
    let test = "a_prometheus_takes_remote_writes";
    let (data, port) = (directory(), free_port());
    let Some(peer) = Peer::prometheus(test, port) else {
        return;
    };
    let forward = format!("prometheus+http://127.0.0.1:{port}/api/v1/write");
    let server = start(data.path(), &forward, &[]);
    let now = now_ns();
    server.write(
        "k8s",
        &format!("memory/usage,pod_name=p-1 value=5i {now}\ncpu,pod_name=p-1 busy=0.5,state=\"on\" {now}\n"),
    );
    let ask = |query: &str| {
        let path = format!("/api/v1/query?query={query}");
        let answer = peer.client.get(&path);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        json["data"]["result"][0]["value"][1]
            .as_str()
            .map(str::to_owned)
    };
    for (query, expected) in [
        (
            "memory_usage%7Bpod_name%3D%22p-1%22%2Cdb%3D%22k8s%22%7D",
            "5",
        ),
        ("cpu_busy", "0.5"),
    ] {
        eventually(query, || (ask(query)? == expected).then_some(()));
    }
    assert_eq!(figure(&server, "forward_values_left_out_total"), 1);
    assert_eq!(figure(&server, "forward_points_total"), 2);
    // It takes nothing that is older than what it has of a series: refused, counted, and the
    // rest goes on.
    let old = now - 86_400_000_000_000;
    server.write("k8s", &format!("cpu,pod_name=p-1 busy=1 {old}\n"));
    eventually("the refusal", || {
        (figure(&server, "forward_points_refused_total") == 1).then_some(())
    });
    server.write("k8s", &format!("late value=1i {now}\n"));
    eventually("what came behind it", || ask("late"));
}

#[test]
fn a_peer_that_stumbles_gets_each_point_and_what_it_refuses_is_counted() {
    let fake = Fake::start(&[
        "503 Busy",
        "500 Oops",
        "429 Slow\r\nretry-after: 0",
        "400 Bad",
        "413 Large",
        "204 No Content",
    ]);
    let data = directory();
    let forward = format!("influxdb+http://127.0.0.1:{}?db=central", fake.port);
    let server = start(data.path(), &forward, &[]);
    server.write("k8s", "m value=1i 1700000000000000001\n");
    eventually("the refusal", || {
        (figure(&server, "forward_points_refused_total") == 1).then_some(())
    });
    assert_eq!(figure(&server, "forward_failures_total"), 3);
    // The next is too large once, and is sent in halves.
    server.write(
        "k8s",
        "m value=2i 1700000000000000002\nm value=3i 1700000000000000003\n",
    );
    let taken = eventually("both halves", || {
        let taken = fake.taken();
        (taken.len() == 2).then_some(taken)
    });
    let target = "/write?db=central&precision=ns";
    assert_eq!(
        taken,
        [
            format!("{target} m value=2i 1700000000000000002"),
            format!("{target} m value=3i 1700000000000000003"),
        ]
    );
    assert_eq!(fake.answers_left(), 1);
    let (_, log) = server.stop();
    assert!(
        log.contains("503 Service Unavailable")
            && log.contains("forwarded without a problem again"),
        "{log}"
    );
}

#[test]
fn only_the_databases_that_are_named_go_out_and_the_servers_own_never() {
    let fake = Fake::start(&[]);
    let data = directory();
    let forward = format!("influxdb+http://127.0.0.1:{}", fake.port);
    let server = start(
        data.path(),
        &forward,
        &[("PLIMSOLL_FORWARD_DATABASES", "b,c")],
    );
    for database in ["a", "b", "c"] {
        server.query("", &format!("CREATE DATABASE {database}"), "");
        server.write(database, "m value=1i 1700000000000000001\n");
    }
    let taken = eventually("two databases", || {
        let taken = fake.taken();
        (taken.len() >= 2).then_some(taken)
    });
    let databases: BTreeSet<&str> = taken
        .iter()
        .map(|line| line.split('&').next().unwrap())
        .collect();
    assert_eq!(databases, BTreeSet::from(["/write?db=b", "/write?db=c"]));
}

#[test]
fn a_subscription_gets_what_is_written_after_it_was_made_and_until_it_is_dropped() {
    let (first, second) = (Fake::start(&[]), Fake::start(&[]));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let data = directory();
    let server = Server::start(data.path());
    server.query("", "CREATE DATABASE d", "");
    let write = |number: i64| {
        server.write(
            "d",
            &format!("m value={number}i {}\n", 1_700_000_000_000_000_000 + number),
        );
    };
    write(0);
    let text = format!(
        "CREATE SUBSCRIPTION s ON d.autogen DESTINATIONS ALL 'http://127.0.0.1:{}', 'udp://{}'",
        first.port,
        udp.local_addr().unwrap()
    );
    server.query("", &text, "");
    write(1);
    server.query("", "DROP SUBSCRIPTION s ON d.autogen", "");
    let expected = "/write?db=d&rp=autogen&precision=ns m value=1i 1700000000000000001";
    // It may go before it has sent anything: made again, it begins anew.
    server.query("", &text, "");
    write(2);
    let taken = eventually("the second point", || {
        let taken = first.taken();
        taken.last()?.contains("value=2i").then_some(taken)
    });
    assert!(
        taken.len() == 1 || taken == [expected.to_owned(), taken[1].clone()],
        "{taken:?}"
    );
    let mut packet = [0; 2_048];
    let mut seen = String::new();
    while !seen.contains("value=2i") {
        let len = udp.recv(&mut packet).unwrap();
        seen.push_str(std::str::from_utf8(&packet[..len]).unwrap());
    }
    assert!(!seen.contains("value=0i"), "{seen}");
    server.query("", "DROP SUBSCRIPTION s ON d.autogen", "");
    // ANY: each request goes to one of them, and one that is down costs nothing.
    let text = format!(
        "CREATE SUBSCRIPTION one ON d.autogen DESTINATIONS ANY 'http://127.0.0.1:{}', 'http://127.0.0.1:{}'",
        second.port,
        free_port()
    );
    server.query("", &text, "");
    for number in 3..10 {
        write(number);
    }
    eventually("all of them at the one that is there", || {
        (second.taken().len() == 7).then_some(())
    });
    assert_eq!(
        first.taken().len(),
        taken.len(),
        "nothing after it was dropped"
    );
}

#[test]
fn a_subscription_of_a_bucket_that_is_removed_holds_no_log() {
    let fake = Fake::start(&["503 Down"]);
    let data = directory();
    let server = Server::start(data.path());
    server.query("", "CREATE DATABASE d", "");
    let policy = "CREATE RETENTION POLICY other ON d DURATION INF REPLICATION 1";
    server.query("", policy, "");
    let text = format!(
        "CREATE SUBSCRIPTION s ON d.other DESTINATIONS ALL 'http://127.0.0.1:{}'",
        fake.port
    );
    server.query("", &text, "");
    server.write("d&rp=other", "m value=1i 1700000000000000001\n");
    eventually("frames that wait for it", || {
        (figure(&server, "forward_frames_behind") > 0).then_some(())
    });
    let path = "/api/v2/buckets/d%2Fother";
    let answer = server.client.send("DELETE", path, &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(figure(&server, "forward_frames_behind"), 0);
}

#[test]
fn a_subscription_goes_on_after_a_kill() {
    let fake = Fake::start(&["503 Down"]);
    let data = directory();
    let server = Server::start(data.path());
    server.query("", "CREATE DATABASE d", "");
    let text = format!(
        "CREATE SUBSCRIPTION s ON d.autogen DESTINATIONS ALL 'http://127.0.0.1:{}'",
        fake.port
    );
    server.query("", &text, "");
    server.write("d", "m value=1i 1700000000000000001\n");
    eventually("a failure", || {
        (figure(&server, "forward_failures_total") > 0).then_some(())
    });
    server.kill();
    fake.answer(&["204 No Content"]);
    let _server = Server::start(data.path());
    eventually("the point", || (fake.taken().len() == 1).then_some(()));
}

#[test]
fn a_backlog_over_its_limit_is_dropped_and_counted() {
    let data = directory();
    let forward = format!("influxdb+http://127.0.0.1:{}", free_port());
    let server = start(
        data.path(),
        &forward,
        &[
            ("PLIMSOLL_FORWARD_BACKLOG_BYTES_MAX", "2MiB"),
            ("PLIMSOLL_LOG_FILE_SIZE", "1MiB"),
            ("PLIMSOLL_LOG_SIZE_MAX", "1MiB"),
        ],
    );
    let mut number = 0_u64;
    eventually("a drop", || {
        let lines: String = (0..2_000)
            .map(|_| {
                number += 1;
                let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                format!(
                    "m,n={} value={noise:?}u,text=\"{noise:x}\" {}\n",
                    number % 50,
                    1_700_000_000_000_000_000 + number
                )
            })
            .collect();
        server.write("k8s", &lines);
        (figure(&server, "forward_dropped_bytes_total") > 0).then_some(())
    });
}
