//! A disk that fills up under the real binary: writes are refused, queries and tools say what is
//! wrong, and writes go on once there is room.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Server, directory, plimsoll};

/// The disk, and what stands in the way on it at first.
const DISK_MIB: usize = 12;
const FILLER_MIB: usize = 6;

/// A small file system in memory, for as long as this lives.
struct SmallDisk {
    at: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where this user may not mount one.
    fn mount() -> Option<Self> {
        let at = directory();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "tmpfs"])
            .arg(at.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self { at })
    }

    fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.at.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "it was mounted"
        );
    }
}

#[test]
fn a_full_disk_refuses_writes_keeps_reads_and_lets_writes_go_on() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED a_full_disk no file system may be mounted here");
        return;
    };
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; FILLER_MIB << 20]).unwrap();
    let data = disk.path().join("data");
    let mut command = plimsoll();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--no-cgroup", "--data"])
        .arg(&data)
        .env("PLIMSOLL_LOG_FILE_SIZE", "1MiB")
        .env("PLIMSOLL_LOG_SIZE_MAX", "64MiB")
        .env("PLIMSOLL_MONITOR_STORE_ENABLED", "false");
    let server = Server::spawn(&mut command);
    server.query("", "CREATE DATABASE d", "");
    let text = "x".repeat(100_000);
    let mut kept = 0;
    let refused = loop {
        let line = format!("m n={kept}i,s=\"{kept}{text}\" {}\n", 1 + kept);
        let answer = server.client.post("/write?db=d", line.as_bytes());
        if answer.status != 204 {
            break answer;
        }
        kept += 1;
        assert!(kept < 1000, "the disk has {DISK_MIB} MiB");
    };
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.error().contains("is full"), "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty());
    let count = |server: &Server| {
        let answer = server.query("d", "SELECT count(n) FROM m", "");
        answer["results"][0]["series"][0]["values"][0][1]
            .as_i64()
            .unwrap()
    };
    // What was refused may be there: it was sent.
    assert!((kept..=kept + 1).contains(&count(&server)), "reads go on");
    let out = disk.path().join("export");

    fs::remove_file(&filler).unwrap();
    let line = format!("m n=7i {}\n", 5_000_000);
    let answer = server.client.post("/write?db=d", line.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert!(count(&server) > kept);
    server.kill();

    // A tool that writes to a full disk says so and leaves nothing that looks whole.
    let used = fs::write(&filler, vec![1; DISK_MIB << 20]);
    assert!(used.is_err(), "the disk is full");
    let flags = ["export", "--out", out.to_str().unwrap(), "--data"];
    let output = plimsoll().args(flags).arg(&data).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("No space left"), "{error}");
    fs::remove_file(&filler).unwrap();
    let verified = plimsoll()
        .args(["verify", "--data"])
        .arg(&data)
        .status()
        .unwrap();
    assert!(verified.success());
}
