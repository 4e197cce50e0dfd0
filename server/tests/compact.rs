//! `plimsoll compact` merges a directory offline, and says what it did.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test stops where it fails"
)]

mod support;

use std::path::Path;

use support::{Server, directory, ends, plimsoll};

fn compact(data: &Path) -> String {
    let mut command = plimsoll();
    let output = command.args(["compact", "--data"]).arg(data).output();
    let output = output.expect("the binary runs");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn each_partition_becomes_one_segment_and_answers_stay() {
    let data = directory();
    let ask = |server: &Server| server.query("k8s", "SELECT v FROM cpu GROUP BY pod", "&epoch=s");
    let mut answers = Vec::new();
    for round in 0..3 {
        let server = Server::start(data.path());
        // One point of each round lies on the round before; two partitions, a day or more each.
        for second in round..round + 2 {
            let now = support::now_ns() / 86_400_000_000_000 * 86_400 - 86_400 + second;
            let early = now - 8 * 86_400;
            let lines =
                format!("cpu,pod=a v={round} {now}000000000\ncpu,pod=b v={round} {early}000000000");
            server.write("k8s", &lines);
        }
        answers.push(ask(&server));
        assert_eq!(server.stop().0.code(), Some(0));
        if round < 2 {
            // Flushes what this round wrote, and merges it with the rounds before.
            compact(data.path());
        }
    }
    let text = compact(data.path());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "two partitions and the sum: {text}");
    for line in &lines[..2] {
        assert!(line.starts_with("k8s.default "), "{line}");
        assert!(line.contains(": 2 -> 1 segments, "), "{line}");
    }
    assert!(
        lines[2].starts_with("2 partitions: 4 -> 2 segments, "),
        "{text}"
    );
    let server = Server::start(data.path());
    assert_eq!(Some(&ask(&server)), answers.last());
    let metrics = server.client.get("/metrics").text();
    assert!(metrics.contains("\nplimsoll_segments 2\n"), "{metrics}");
    assert!(
        metrics.contains("\nplimsoll_compactions_failed_total 0\n"),
        "{metrics}"
    );
}

#[test]
fn a_directory_that_is_in_use_or_not_there_is_refused() {
    let data = directory();
    let server = Server::start(data.path());
    let (code, text) = ends(plimsoll().args(["compact", "--data"]).arg(data.path()));
    assert_eq!(code, Some(4), "{text}");
    server.kill();
    let nowhere = data.path().join("nowhere");
    let (code, text) = ends(plimsoll().args(["compact", "--data"]).arg(&nowhere));
    assert_eq!(code, Some(4));
    assert!(text.contains("there is no data directory"), "{text}");
    assert!(!nowhere.exists());
}
