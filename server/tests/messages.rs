//! What a person reads when something is wrong: one clear line, never a panic.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use support::{Server, directory, ends, plimsoll};

/// The line says all of `parts`, and nothing of the program's inside.
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert!(
        !text.contains("panicked") && !text.contains("RUST_BACKTRACE"),
        "{text}"
    );
}

#[test]
fn a_syntax_error_says_where() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server.client.query("k8s", "SELECT FROM m", "");
    assert_eq!(answer.status, 400);
    let text = "error parsing query: found FROM, expected identifier, string, number, bool at line 1, char 8";
    assert_eq!(answer.error(), text);
    assert_eq!(answer.header("x-influxdb-error"), text);
}

#[test]
fn an_unknown_database_is_named() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server.client.query("nowhere", "SELECT * FROM m", "");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.text(),
        "{\"results\":[{\"statement_id\":0,\"error\":\"database not found: nowhere\"}]}\n"
    );
}

#[test]
fn a_missing_query_and_a_missing_database_are_named() {
    let data = directory();
    let server = Server::start(data.path());
    for (path, headers) in [
        (
            "/query?db=k8s",
            ("Content-Type", "application/x-www-form-urlencoded"),
        ),
        ("/query?db=k8s&q=++", ("Content-Type", "application/json")),
    ] {
        let answer = server.client.send("POST", path, &[headers], b"");
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.text(),
            "{\"error\":\"missing required parameter \\\"q\\\"\"}\n"
        );
    }
    assert_eq!(
        server.client.query("", "SELECT * FROM m", "").text(),
        "{\"results\":[{\"statement_id\":0,\"error\":\"database name required\"}]}\n"
    );
}

#[test]
fn a_bad_flag_is_refused_with_a_hint() {
    let (code, text) = ends(plimsoll().args(["serve", "--lisen", "127.0.0.1:0"]));
    assert_eq!(code, Some(2));
    says(&text, &["--lisen", "--listen"]);
    let (code, text) = ends(plimsoll().args(["serve", "--interval", "soon"]));
    assert_eq!(code, Some(2));
    says(&text, &["--interval", "soon", "10s"]);
}

#[test]
fn an_unknown_key_is_named_with_file_and_line() {
    let data = directory();
    let config = data.path().join("plimsoll.toml");
    std::fs::write(
        &config,
        "# comment\nlisten = \"127.0.0.1:0\"\nintervall = \"1s\"\n",
    )
    .unwrap();
    for command in ["serve", "check-config"] {
        let (code, text) = ends(plimsoll().arg(command).arg("--config").arg(&config));
        assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
        says(
            &text,
            &[
                &format!("{}:3: ", config.display()),
                "`intervall`",
                "`interval`",
            ],
        );
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let (code, text) = ends(
        plimsoll()
            .arg("check-config")
            .env("PLIMSOLL_RETENTION", "5m"),
    );
    assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
    says(&text, &["PLIMSOLL_RETENTION", "5m", "1h"]);
}

#[test]
fn an_occupied_port_is_named_with_what_to_do() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    for command in ["serve", "check-config"] {
        let data = directory();
        let (code, text) = ends(
            plimsoll()
                .args([command, "--listen", &address, "--no-cgroup", "--data"])
                .arg(data.path()),
        );
        assert_eq!((code, text.lines().count()), (Some(3), 1), "{text}");
        says(&text, &[&address, "in use", "--listen"]);
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let data = directory();
    let file = data.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("data");
    for command in ["serve", "check-config"] {
        let (code, text) = ends(
            plimsoll()
                .args([command, "--listen", "127.0.0.1:0", "--data"])
                .arg(&below),
        );
        assert_eq!((code, text.lines().count()), (Some(4), 1), "{text}");
        says(&text, &[&*below.to_string_lossy(), "--data"]);
    }
}

#[test]
fn a_data_directory_without_permission_is_named() {
    let data = directory();
    let closed = data.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_ok() {
        println!(
            "SKIPPED a_data_directory_without_permission_is_named this user may write anywhere"
        );
        return;
    }
    for command in ["serve", "check-config"] {
        let (code, text) = ends(
            plimsoll()
                .args([command, "--listen", "127.0.0.1:0", "--data"])
                .arg(&closed),
        );
        assert_eq!((code, text.lines().count()), (Some(4), 1), "{text}");
        says(&text, &[&*closed.to_string_lossy(), "ermission", "--data"]);
    }
}

#[test]
fn a_data_directory_in_use_is_named() {
    let data = directory();
    let server = Server::start(data.path());
    for command in ["serve", "check-config"] {
        let (code, text) = ends(
            plimsoll()
                .args([command, "--listen", "127.0.0.1:0", "--data"])
                .arg(data.path()),
        );
        assert_eq!((code, text.lines().count()), (Some(4), 1), "{text}");
        says(
            &text,
            &[&*data.path().to_string_lossy(), "in use", "--data"],
        );
    }
    drop(server);
}

#[test]
fn files_that_cannot_be_read_and_contradictions_are_named() {
    let data = directory();
    let check = |flags: &[&str]| {
        let mut command = plimsoll();
        command
            .args(["check-config", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path());
        ends(command.args(flags))
    };
    let (code, text) = check(&["--kubelet-token-file", "/nowhere/token"]);
    assert_eq!(code, Some(6));
    says(&text, &["kubelet_token_file", "/nowhere/token"]);
    let (code, text) = check(&["--kubelet-ca-file", env!("CARGO_MANIFEST_PATH")]);
    assert_eq!(code, Some(6));
    says(&text, &["kubelet_ca_file", "PEM"]);
    let both = ["--kubelet-ca-file", "/x", "--kubelet-insecure-skip-verify"];
    let (code, text) = check(&both);
    assert_eq!(code, Some(2));
    says(&text, &["kubelet_ca_file", "kubelet_insecure_skip_verify"]);
    let (code, text) = check(&["--kubelet", "ftp://user:secret@node:10250"]);
    assert_eq!(code, Some(2));
    says(&text, &["http://", "***@node:10250"]);
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(check(&[]), (Some(0), String::new()));
}

#[test]
fn check_config_leaves_nothing_behind() {
    let data = directory();
    let below = data.path().join("a/b");
    let (code, text) = ends(
        plimsoll()
            .args(["check-config", "--listen", "127.0.0.1:0", "--data"])
            .arg(&below),
    );
    assert_eq!(code, Some(0), "{text}");
    assert!(!data.path().join("a").exists());
}
