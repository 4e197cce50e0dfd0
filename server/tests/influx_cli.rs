//! The `influx` command line of 1.6.7 connects, uses the database and selects.
#![expect(clippy::print_stdout, reason = "it says what it skips")]

mod support;

use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};
use support::{Server, directory, now_ns};

fn main() {
    let arguments = Arguments::from_args();
    let installed = Command::new("influx").arg("-version").output();
    let installed = installed.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).contains("InfluxDB shell version: 1.")
    });
    if !installed {
        println!("SKIPPED influx_cli influx is not installed");
    }
    let trials = [
        (
            "influx_connects_uses_the_database_and_selects",
            selects as fn() -> Result<(), Failed>,
        ),
        ("influx_inserts_and_reads_in_chunks", inserts),
        ("influx_shows_an_error_as_it_is", errors),
    ];
    let trials = trials.map(|(name, run)| Trial::test(name, run).with_ignored_flag(!installed));
    libtest_mimic::run(&arguments, trials.into()).exit();
}

fn influx(server: &Server, more: &[&str], execute: &str) -> Result<String, Failed> {
    let (host, port) = server
        .client
        .address
        .split_once(':')
        .ok_or("an address has a port")?;
    let output = Command::new("influx")
        .args(["-host", host, "-port", port, "-precision", "rfc3339"])
        .args(more)
        .args(["-execute", execute])
        .env("HOME", "/nonexistent")
        .output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn has(text: &str, parts: &[&str]) -> Result<(), Failed> {
    match parts.iter().find(|part| !text.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("{part:?} is not in {text:?}").into()),
    }
}

fn selects() -> Result<(), Failed> {
    let data = directory();
    let server = Server::start(data.path());
    let time = now_ns();
    server.write(
        "k8s",
        &format!("cpu,host=a value=1.5 {time}\ncpu,host=b value=2.5 {time}"),
    );
    has(
        &influx(&server, &[], "SHOW DATABASES")?,
        &["name: databases", "k8s"],
    )?;
    let selected = influx(
        &server,
        &["-database", "k8s"],
        "SELECT mean(value) FROM cpu GROUP BY host",
    )?;
    has(
        &selected,
        &["name: cpu", "tags: host=a", "1.5", "tags: host=b", "2.5"],
    )?;
    let measurements = influx(
        &server,
        &["-database", "k8s", "-format", "csv"],
        "SHOW MEASUREMENTS",
    )?;
    has(&measurements, &["name,name", "measurements,cpu"])
}

fn inserts() -> Result<(), Failed> {
    let data = directory();
    let server = Server::start(data.path());
    influx(&server, &[], "CREATE DATABASE made")?;
    let silent = influx(&server, &["-database", "made"], "INSERT foo,a=b v=1i")?;
    if !silent.is_empty() {
        return Err(format!("an insert says nothing: {silent}").into());
    }
    let lines: String = (0..25_000)
        .map(|i| format!("many v={i}i {}\n", now_ns() + i))
        .collect();
    server.write("made", &lines);
    let read = influx(
        &server,
        &["-database", "made", "-format", "json"],
        "SELECT v FROM foo",
    )?;
    has(&read, &["\"name\":\"foo\"", "\"columns\":[\"time\",\"v\"]"])?;
    let many = influx(
        &server,
        &["-database", "made", "-format", "csv"],
        "SELECT v FROM many",
    )?;
    if many.lines().count() != 25_001 {
        return Err(format!("{} lines", many.lines().count()).into());
    }
    Ok(())
}

fn errors() -> Result<(), Failed> {
    let data = directory();
    let server = Server::start(data.path());
    has(
        &influx(&server, &["-database", "nowhere"], "SELECT * FROM m")?,
        &["database not found: nowhere"],
    )?;
    has(
        &influx(&server, &[], "SELECT FROM m")?,
        &["error parsing query: found FROM"],
    )
}
