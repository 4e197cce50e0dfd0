//! `verify`, `inspect`, `repair`, `backup` and `restore`, by the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test stops where it fails"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::{Server, directory, now_ns, plimsoll};

fn run(arguments: &[&str], data: &Path) -> Output {
    let mut command = plimsoll();
    command.args(arguments);
    command
        .arg("--data")
        .arg(data)
        .output()
        .expect("the binary runs")
}

fn succeeds(arguments: &[&str], data: &Path) -> String {
    let output = run(arguments, data);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code and what stands on standard error.
fn fails(arguments: &[&str], data: &Path) -> (i32, String) {
    let output = run(arguments, data);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), error)
}

/// A directory with a segment of 60 values and as many in the log.
fn fill(data: &Path) -> String {
    let first = now_ns() / 1_000_000_000 - 3600;
    let lines = |from: i64| -> String {
        let line = |n: i64| {
            let time = first + from + n;
            format!(
                "cpu,node=n{},pod=p{} value={n}i {time}000000000\n",
                n % 2,
                n % 5
            )
        };
        (0..60).map(line).collect()
    };
    let server = Server::start(data);
    server.write("k8s", &lines(0));
    assert_eq!(server.stop().0.code(), Some(0));
    succeeds(&["compact"], data);
    let server = Server::start(data);
    server.write("k8s", &lines(60));
    let answer = ask(&server);
    server.kill();
    answer
}

fn ask(server: &Server) -> String {
    let text = "SELECT count(value), sum(value) FROM cpu GROUP BY pod, node";
    server.query("k8s", text, "&epoch=s").to_string()
}

fn files(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, suffix));
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

#[test]
fn verify_and_inspect_read_a_directory_and_change_nothing() {
    let data = directory();
    fill(data.path());
    let text = succeeds(&["verify"], data.path());
    assert!(text.contains("1 segments, "), "{text}");
    assert!(text.contains(" 60 values; log: "), "{text}");
    assert!(text.contains("all of it verifies"), "{text}");
    let text = succeeds(&["inspect"], data.path());
    for part in [
        "Partitions",
        "Tag sets by measurement",
        "Values by tag",
        "B/value",
        "k8s",
        "cpu",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = succeeds(&["inspect", "--format", "json"], data.path());
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["columns"][0]["values"], 60);
    assert_eq!(document["measurements"][0]["tag_sets"], 10);
    assert_eq!(
        document["tags"][1],
        serde_json::json!(
            {"database": "k8s", "policy": "default", "tag": "pod", "values": 5}
        )
    );
    assert_eq!(document["log"]["values"], 60);
    assert_eq!(
        succeeds(&["inspect", "--format", "json"], data.path()),
        text
    );
}

#[test]
fn damage_is_named_with_file_and_offset_and_an_exit_code() {
    let data = directory();
    fill(data.path());
    let segment = files(data.path(), ".seg").remove(0);
    flip(&segment, 80);
    let (code, text) = fails(&["verify"], data.path());
    assert_eq!(code, 5);
    assert!(text.contains(segment.to_str().unwrap()), "{text}");
    assert!(text.contains("at byte 0 is corrupt"), "{text}");
    flip(&segment, 80);
    fs::write(data.path().join("users"), b"nonsense").unwrap();
    let (code, text) = fails(&["verify"], data.path());
    assert_eq!(code, 5);
    assert!(text.contains("users"), "{text}");
}

#[test]
fn a_corrupt_log_is_repaired_and_the_damaged_file_is_kept() {
    let data = directory();
    let server = Server::start(data.path());
    for n in 0..20 {
        server.write("k8s", &format!("cpu value={n}i {}\n", now_ns()));
    }
    server.kill();
    assert_eq!(
        succeeds(&["repair"], data.path()),
        "nothing is to repair: log and positions verify\n"
    );
    let log = files(data.path(), ".log").remove(0);
    flip(&log, 200);
    let (code, text) = fails(
        &["serve", "--no-cgroup", "--listen", "127.0.0.1:0"],
        data.path(),
    );
    assert_eq!(code, 5, "{text}");
    assert!(text.contains("plimsoll repair"), "{text}");
    let text = succeeds(&["repair"], data.path());
    assert!(text.contains(&format!("{}: ", log.display())), "{text}");
    assert!(text.contains("lost 1, and "), "{text}");
    assert!(log.with_extension("log.damaged").exists());
    succeeds(&["verify"], data.path());
    let server = Server::start(data.path());
    server.write("k8s", "cpu value=1i\n");
    assert_eq!(server.stop().0.code(), Some(0));
}

#[test]
fn a_running_server_is_backed_up_and_the_backup_restores() {
    let data = directory();
    fill(data.path());
    let server = Server::start(data.path());
    for statement in [
        "CREATE CONTINUOUS QUERY hourly ON k8s BEGIN SELECT mean(v) INTO m FROM nothing GROUP BY \
         time(1h), * END",
        "CREATE SUBSCRIPTION away ON k8s.\"default\" DESTINATIONS ANY 'http://127.0.0.1:9'",
    ] {
        server.query("", statement, "");
    }
    let catalog = |server: &Server| {
        let shown = ["SHOW CONTINUOUS QUERIES", "SHOW SUBSCRIPTIONS"];
        shown.map(|text| server.query("", text, "").to_string())
    };
    let (before, catalog_before) = (ask(&server), catalog(&server));
    assert!(catalog_before[0].contains("hourly") && catalog_before[1].contains("away"));
    let url = server.url();
    let output = plimsoll()
        .args(["backup", "--url", &url, "--name", "nightly"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let path = text.split(": ").next().unwrap().to_owned();
    assert!(path.ends_with("/backups/nightly"), "{text}");
    server.write("k8s", "cpu,pod=later value=1i\n");
    let again = plimsoll()
        .args(["backup", "--url", &url, "--name", "nightly"])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));
    for bad in ["../up", "a%2Fb", ".x"] {
        let answer = server
            .client
            .post(&format!("/plimsoll/backups?name={bad}"), b"");
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    server.kill();
    succeeds(&["verify"], Path::new(&path));

    let new = directory();
    let target = new.path().join("restored");
    let text = succeeds(&["restore", &path], &target);
    assert!(text.contains("all of it verifies"), "{text}");
    let (code, text) = fails(&["restore", &path], &target);
    assert_eq!(code, 4);
    assert!(text.contains("is not empty"), "{text}");
    let server = Server::start(&target);
    assert_eq!(ask(&server), before);
    assert_eq!(catalog(&server), catalog_before);
}

#[test]
fn backups_are_for_admins_and_there_is_a_most() {
    let data = directory();
    let server = Server::start(data.path());
    for number in 0..16 {
        let answer = server
            .client
            .post(&format!("/plimsoll/backups?name=b{number}"), b"");
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let answer = server.client.post("/plimsoll/backups", b"");
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(
        answer.text().contains("the limit is 16"),
        "{}",
        answer.text()
    );
    server.kill();

    let data = directory();
    let config = data.path().join("config.toml");
    fs::write(&config, "auth_enabled = true\n").unwrap();
    let flags = ["--no-cgroup", "--config", config.to_str().unwrap()];
    let server = Server::start_with(&data.path().join("data"), &flags);
    assert_eq!(server.client.post("/plimsoll/backups", b"").status, 403);
    let made = server.client.post(
        "/query?q=CREATE%20USER%20ann%20WITH%20PASSWORD%20'secret'%20WITH%20ALL%20PRIVILEGES",
        b"",
    );
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(server.client.post("/plimsoll/backups", b"").status, 401);
    let answer = server
        .client
        .post("/plimsoll/backups?u=ann&p=secret&name=mine", b"");
    assert_eq!(answer.status, 201, "{}", answer.text());
    server.kill();
    let backup = data.path().join("data/backups/mine");
    let target = data.path().join("new");
    succeeds(&["restore", backup.to_str().unwrap()], &target);
    assert!(target.join("users").exists(), "users are in a backup");
}

#[test]
fn a_directory_that_no_server_uses_is_backed_up_by_its_path() {
    let data = directory();
    let answer = fill(data.path());
    let to = data.path().join("copy");
    let text = succeeds(&["backup", "--to", to.to_str().unwrap()], data.path());
    assert!(text.contains(" files, "), "{text}");
    let (code, text) = fails(&["backup", "--to", to.to_str().unwrap()], data.path());
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("is there already"), "{text}");
    let target = data.path().join("new");
    succeeds(&["restore", to.to_str().unwrap()], &target);
    assert_eq!(ask(&Server::start(&target)), answer);
    // Half of a backup is none.
    fs::remove_file(to.join("BACKUP")).unwrap();
    let (code, text) = fails(
        &["restore", to.to_str().unwrap()],
        &data.path().join("other"),
    );
    assert_eq!(code, 4);
    assert!(text.contains("is no backup"), "{text}");
    assert!(!data.path().join("other").exists());
}

/// Points of every type in two databases and policies.
fn fill_two(data: &Path) -> Server {
    let server = Server::start(data);
    server.query("", "CREATE DATABASE one WITH DURATION 52w NAME \"a b\"", "");
    server.query(
        "",
        "CREATE RETENTION POLICY other ON one DURATION INF REPLICATION 1",
        "",
    );
    server.query("", "CREATE DATABASE two", "");
    server.query(
        "",
        "CREATE CONTINUOUS QUERY hourly ON one BEGIN SELECT mean(v) INTO one.other.m FROM \
         nothing GROUP BY time(1h), * END",
        "",
    );
    server.query(
        "",
        "CREATE SUBSCRIPTION away ON two.autogen DESTINATIONS ANY 'http://127.0.0.1:9'",
        "",
    );
    let now = now_ns() / 1_000_000_000;
    let mut lines = String::new();
    for n in 0..3000 {
        let time = now - 3000 + n;
        lines.push_str(&format!(
            "m\\ x,pod=p{},n=a\\,b v={n}i,f={}.5,s=\"q\\\"{n}\",on=true {time}000000000\n",
            n % 7,
            n
        ));
    }
    server.write("one", &lines);
    let answer = server.client.post(
        "/write?db=one&rp=other",
        b"old v=1 1000\nold v=2u 900000000000000000\n",
    );
    assert_eq!(
        answer.status,
        204,
        "another partition, another type: {}",
        answer.text()
    );
    server.write("two", "cpu v=1\n");
    server
}

fn dump(server: &Server) -> String {
    let mut text = String::new();
    for (database, query) in [
        ("one", "SELECT * FROM /.*/"),
        ("one", "SELECT * FROM one.other./.*/"),
        ("two", "SELECT * FROM /.*/"),
        ("", "SHOW RETENTION POLICIES ON one"),
        ("", "SHOW CONTINUOUS QUERIES"),
    ] {
        text.push_str(&server.query(database, query, "&epoch=ns").to_string());
    }
    text
}

#[test]
fn what_is_exported_is_imported_by_a_server_and_into_a_directory() {
    let data = directory();
    let server = fill_two(data.path());
    let before = dump(&server);
    server.kill();
    for name in ["plain.txt", "packed.gz"] {
        let file = data.path().join(name);
        let file = file.to_str().unwrap();
        let text = succeeds(&["export", "--out", file], data.path());
        assert!(text.contains(" lines, "), "{text}");
        let (code, text) = fails(&["export", "--out", file], data.path());
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("is there already"), "{text}");

        let other = directory();
        let server = Server::start(other.path());
        let output = plimsoll()
            .args(["import", file, "--url", &server.url()])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(dump(&server), before);
        server.kill();

        let third = directory();
        Server::start(third.path()).kill();
        succeeds(&["import", file], third.path());
        assert_eq!(dump(&Server::start(third.path())), before);
    }
    let one = data.path().join("one.txt");
    let flags = [
        "export",
        "--out",
        one.to_str().unwrap(),
        "--database",
        "two",
    ];
    assert!(succeeds(&flags, data.path()).contains("1 values in 1 lines"));
    let text = fs::read_to_string(&one).unwrap();
    assert!(text.starts_with("# PLIMSOLL EXPORT: "), "{text}");
    assert!(
        text.contains("# DDL\nCREATE DATABASE \"two\" WITH "),
        "{text}"
    );
    assert!(
        text.contains(
            "\n# CREATE SUBSCRIPTION \"away\" ON \"two\".\"autogen\" DESTINATIONS ANY \
             'http://127.0.0.1:9'\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("# DML\n# CONTEXT-DATABASE:two\n# CONTEXT-RETENTION-POLICY:"),
        "{text}"
    );
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_was() {
    let data = directory();
    let file = data.path().join("lines");
    let now = now_ns() / 1_000_000_000;
    let line = |n: i64| format!("cpu,pod=p{} value={n}i {}000000000\n", n % 100, now - n);
    let text: String = (0..60_000).map(line).collect();
    fs::write(&file, text).unwrap();
    let state = data.path().join("lines.import");
    let server = Server::start(&data.path().join("data"));
    server.query("", "CREATE DATABASE d", "");
    let mut import = plimsoll();
    import.args([
        "import",
        file.to_str().unwrap(),
        "--url",
        &server.url(),
        "--database",
        "d",
    ]);
    let mut child = import.spawn().unwrap();
    support::eventually("the first batch", || {
        let is_over = child.try_wait().unwrap().is_some();
        (state.exists() || is_over).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = fs::read(&state).ok().map(|bytes| {
        let state: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        state["lines"].as_u64().unwrap()
    });
    assert!(
        lines.is_none_or(|lines| lines > 0 && lines % 5000 == 0),
        "{lines:?}"
    );
    let output = import.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("60000 lines written, 0 refused"), "{text}");
    assert!(!state.exists());
    let found = server.query("d", "SELECT count(value), sum(value) FROM cpu", "");
    let row = &found["results"][0]["series"][0]["values"][0];
    assert_eq!(
        (&row[1], &row[2]),
        (&60_000.into(), &(60_000_i64 * 59_999 / 2).into())
    );
}

#[test]
fn an_export_that_was_cut_off_goes_on_and_gives_the_same_file() {
    let data = directory();
    fill_two(data.path()).kill();
    let whole = data.path().join("whole.txt");
    succeeds(&["export", "--out", whole.to_str().unwrap()], data.path());
    // Cut where a chunk ended: the state is what an export that is killed leaves.
    let text = fs::read_to_string(&whole).unwrap();
    let first = text.find("m\\ x,n=a\\,b,pod=p3 ").unwrap();
    let part = data.path().join("part.txt");
    fs::write(
        &part,
        format!("{}garbage of a chunk that was not finished", &text[..first]),
    )
    .unwrap();
    let inspected = succeeds(&["inspect", "--format", "json"], data.path());
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let state = serde_json::json!({
        "scope": {"database": null, "policy": null, "segments": 0, "segment_bytes": 0,
                  "rows_in_log": inspected["log"]["rows"]},
        "next": {"database": "one", "policy": "a b", "partition": 1, "measurement": "m x", "series": 3},
        "bytes": first, "lines": 0, "values": 0, "left_out": 0,
    });
    let state_path = data.path().join("part.txt.state");
    fs::write(&state_path, state.to_string()).unwrap();
    succeeds(&["export", "--out", part.to_str().unwrap()], data.path());
    assert!(fs::read_to_string(&part).unwrap() == text, "the same file");
    assert!(!state_path.exists());
    // Of other data it does not go on.
    let mut other = state;
    other["scope"]["rows_in_log"] = 1.into();
    fs::write(&state_path, other.to_string()).unwrap();
    let (code, text) = fails(&["export", "--out", part.to_str().unwrap()], data.path());
    assert_eq!(code, 1);
    assert!(text.contains("--restart"), "{text}");
    succeeds(
        &["export", "--out", part.to_str().unwrap(), "--restart"],
        data.path(),
    );
}

#[test]
fn an_import_says_what_it_cannot_write() {
    let data = directory();
    let server = Server::start(data.path());
    server.query("", "CREATE DATABASE d", "");
    let url = server.url();
    let import = |text: &str, more: &[&str]| {
        let file = data.path().join("lines.txt");
        fs::write(&file, text).unwrap();
        let mut command = plimsoll();
        command
            .args(["import", file.to_str().unwrap(), "--url", &url])
            .args(more);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), text)
    };
    let (code, text) = import("cpu v=1\n", &[]);
    assert_eq!(code, 1);
    assert!(text.contains("line 1 has no database"), "{text}");
    let (code, text) = import("cpu v=1\nnonsense\ncpu v=2\n", &["--database", "d"]);
    assert_eq!(code, 1);
    assert!(text.contains("unable to parse 'nonsense'"), "{text}");
    assert!(text.contains("1 lines were refused"), "{text}");
    let (code, text) = import("cpu v=1\n", &["--database", "none"]);
    assert_eq!(code, 1);
    assert!(text.contains("database not found"), "{text}");
    let (code, text) = import("cpu v=1\n", &["--database", "d", "--precision", "x"]);
    assert_eq!(code, 2, "{text}");
    let nowhere = plimsoll()
        .args(["import", "/nowhere", "--url", &url])
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    let dead = plimsoll()
        .args(["import", data.path().join("lines.txt").to_str().unwrap()])
        .args(["--url", "http://127.0.0.1:1", "--database", "d"])
        .output()
        .unwrap();
    assert_eq!(dead.status.code(), Some(1));
}

#[test]
fn a_shell_answers_lines_and_ends_at_the_first_that_fails() {
    use std::io::Write;
    let data = directory();
    let server = Server::start(data.path());
    let shell = |lines: &str| {
        let mut child = plimsoll()
            .args(["shell", "--url", &server.url()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let lines = "CREATE DATABASE d\nuse d\ninsert cpu,pod=a v=7i 1000000000\n\
        SELECT v FROM cpu\nformat json\nSELECT v FROM cpu\nexit\nnonsense\n";
    let (code, out, error) = shell(lines);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("1970-01-01T00:00:01Z  7\n"), "{out}");
    assert!(out.contains("\"values\":[["), "{out}");
    let (code, _, error) = shell("nonsense\nSHOW DATABASES\n");
    assert_eq!(code, Some(1));
    assert!(error.contains("error parsing query"), "{error}");
}

#[test]
fn top_shows_the_greediest_first_and_bench_says_rates() {
    let data = directory();
    let server = Server::start(data.path());
    let now = now_ns();
    let mut lines = String::new();
    for (pod, cores, memory) in [("small", 1, 9000), ("large", 3, 5000)] {
        for second in 0..3 {
            let time = now - (10 - second) * 1_000_000_000;
            let tags = format!("nodename=n,namespace_name=web,pod_name={pod},container_name=c");
            lines.push_str(&format!(
                "cpu/usage_ns_cumulative,{tags} value={}i {time}\n\
                 memory/working_set_bytes_gauge,{tags} value={memory}i {time}\n",
                second * cores * 500_000_000
            ));
        }
    }
    server.write("k8s", &lines);
    let run = |arguments: &[&str]| {
        let output = plimsoll()
            .args(arguments)
            .args(["--url", &server.url()])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run(&["top", "--once"]);
    assert!(
        text.contains("2 containers, 2000.0 mCPU, 13.6 KiB"),
        "{text}"
    );
    let place = |text: &str, name: &str| text.find(name).unwrap_or_else(|| panic!("{text}"));
    assert!(place(&text, "large") < place(&text, "small"), "{text}");
    let text = run(&["top", "--once", "--by", "memory"]);
    assert!(place(&text, "small") < place(&text, "large"), "{text}");
    let text = run(&[
        "bench",
        "--containers",
        "20",
        "--rounds",
        "3",
        "--lines",
        "100",
    ]);
    assert!(text.contains("600 values in 6 requests, "), "{text}");
    let databases = server.query("", "SHOW DATABASES", "").to_string();
    assert!(
        !databases.contains("plimsoll_bench"),
        "it cleans up: {databases}"
    );
    server.kill();
    let text = succeeds(
        &["bench", "--containers", "20", "--rounds", "3"],
        data.path(),
    );
    assert!(text.contains("600 values in 1 requests, "), "{text}");
}

#[test]
fn directories_in_use_or_not_there_and_wrong_flags_are_refused() {
    let data = directory();
    let server = Server::start(data.path());
    for command in ["verify", "inspect", "repair"] {
        let (code, text) = fails(&[command], data.path());
        assert_eq!(code, 4, "{command}: {text}");
        assert!(
            text.contains("in use by another process"),
            "{command}: {text}"
        );
        let (code, text) = fails(&[command], &data.path().join("nowhere"));
        assert_eq!(code, 4, "{command}: {text}");
        assert!(
            text.contains("there is no data directory"),
            "{command}: {text}"
        );
        assert_eq!(fails(&[command, "--wrong"], data.path()).0, 2, "{command}");
    }
    server.kill();
    let (code, text) = fails(&["backup"], data.path());
    assert_eq!(code, 2);
    assert!(text.contains("--to"), "{text}");
    let (code, _) = fails(&["backup", "--url", "http://127.0.0.1:1"], data.path());
    assert_eq!(code, 2, "a server has its own directory");
    let empty = directory();
    let (code, text) = fails(&["verify"], empty.path());
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("is no data directory"), "{text}");
}
