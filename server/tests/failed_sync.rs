//! A sync that fails under the real binary: writes stop until restart and say so, reads go on.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Server, directory, plimsoll};

/// Stands before the C library's own: fails, once, where the file that it is told of is there.
const FAILING_SYNC: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd) {
    const char *flag = getenv("FAIL_SYNC_ONCE");
    if (flag && unlink(flag) == 0) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_fdatasync, fd);
}
"#;

/// The library to preload, `None` where there is no C compiler.
fn failing_sync(directory: &Path) -> Option<PathBuf> {
    let source = directory.join("sync.c");
    let library = directory.join("sync.so");
    fs::write(&source, FAILING_SYNC).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output();
    compiled
        .is_ok_and(|output| output.status.success())
        .then_some(library)
}

#[test]
fn a_failed_sync_stops_writes_until_restart_and_reads_go_on() {
    let place = directory();
    let Some(library) = failing_sync(place.path()) else {
        println!("SKIPPED a_failed_sync no C compiler makes shared libraries here");
        return;
    };
    let flag = place.path().join("fail");
    let data = place.path().join("data");
    let mut command = plimsoll();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--no-cgroup", "--data"])
        .arg(&data)
        .env("PLIMSOLL_MONITOR_STORE_ENABLED", "false")
        .env("LD_PRELOAD", &library)
        .env("FAIL_SYNC_ONCE", &flag);
    let server = Server::spawn(&mut command);
    server.query("", "CREATE DATABASE d", "");
    let write = |server: &Server, number: u32| {
        let line = format!("m n={number}i {number}");
        server.client.post("/write?db=d", line.as_bytes())
    };
    let numbers = |server: &Server| {
        let answer = server.query("d", "SELECT n FROM m", "&epoch=ns");
        let rows = answer["results"][0]["series"][0]["values"].as_array();
        let numbers = rows.into_iter().flatten().map(|row| row[1].as_u64());
        numbers.map(Option::unwrap).collect::<Vec<u64>>()
    };
    assert_eq!(write(&server, 1).status, 204);

    fs::write(&flag, "").unwrap();
    let failed = write(&server, 2);
    assert_eq!(failed.status, 500, "{}", failed.text());
    assert!(!flag.exists(), "the sync was asked for, and failed");
    // The disk is well again, but the kernel may have dropped what it held.
    let refused = write(&server, 3);
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert!(
        refused.error().contains("restart plimsoll"),
        "{}",
        refused.text()
    );
    let changed = server.client.get("/query?q=CREATE+DATABASE+e");
    assert!(
        changed.text().contains("restart plimsoll"),
        "{}",
        changed.text()
    );
    assert!(numbers(&server).contains(&1), "reads go on");
    assert!(!numbers(&server).contains(&3));
    assert!(server.log().contains("writes stopped"), "{}", server.log());
    server.kill();

    let server = Server::start(&data);
    let found = numbers(&server);
    assert!(found == [1] || found == [1, 2], "{found:?}");
    assert_eq!(
        write(&server, 4).status,
        204,
        "writes go on after a restart"
    );
}
