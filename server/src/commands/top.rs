//! `plimsoll top`: the containers that take most, as a server's last points say.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use form_urlencoded::Serializer;
use serde_json::Value;

use super::client::{Connection, Login, server};
use super::directory::{bytes, table};
use super::print;
use crate::app::DATABASE;
use crate::config::{Duration, Parsed};
use crate::exit::{Code, Failure};

/// What stands between two pictures on a terminal: clear, and go to the corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Options of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// The server to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086")]
    url: String,
    #[command(flatten)]
    login: Login,
    /// The database, with series of the profile classic
    #[arg(long, value_name = "NAME", default_value = DATABASE)]
    database: String,
    /// What is sorted by
    #[arg(long, value_enum, default_value_t = Order::Cpu)]
    by: Order,
    /// How many containers are shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// How old a container's last point may be
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    within: Parsed<Duration>,
    /// How often it is drawn again
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    interval: Parsed<Duration>,
    /// Draw once and end
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    Cpu,
    Memory,
}

/// A container's last figures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Usage {
    /// Cores, in thousandths.
    millicores: f64,
    memory_bytes: f64,
}

/// Draws until it is stopped, or once.
///
/// # Errors
/// No answer, or an error in it.
pub(crate) fn run(args: &TopArgs) -> Result<(), Failure> {
    let connection = Connection::open(
        server(&args.url)?,
        &args.login,
        std::time::Duration::from_secs(30),
    )?;
    loop {
        let picture = picture(&connection, args)?;
        if args.once {
            print(&picture);
            return Ok(());
        }
        print(&format!("{CLEAR}{picture}"));
        connection.pause(args.interval.0.0);
    }
}

fn picture(connection: &Connection, args: &TopArgs) -> Result<String, Failure> {
    let seconds = args.within.0.0.as_secs().max(1);
    let by =
        "GROUP BY \"nodename\", \"hostname\", \"namespace_name\", \"pod_name\", \"container_name\"";
    let text = format!(
        "SELECT last(v) FROM (SELECT non_negative_derivative(\"value\", 1s) / 1000000 AS v FROM \
         \"cpu/usage_ns_cumulative\" WHERE time > now() - {seconds}s AND \"container_name\" != '' {by}) \
         WHERE time > now() - {seconds}s {by}; \
         SELECT last(\"value\") FROM \"memory/working_set_bytes_gauge\" WHERE time > now() - {seconds}s \
         AND \"container_name\" != '' {by}"
    );
    let form = Serializer::new(String::new())
        .append_pair("q", &text)
        .append_pair("db", &args.database)
        .finish();
    let (status, body) = connection.post("/query", form.into_bytes())?;
    let failed = |text: String| Failure::new(Code::Failed, text);
    let answer: Value = serde_json::from_slice(&body)
        .map_err(|_| failed(format!("the server answered {status} and no JSON")))?;
    let errors = [
        &answer["error"],
        &answer["results"][0]["error"],
        &answer["results"][1]["error"],
    ];
    if let Some(error) = errors.into_iter().find_map(Value::as_str) {
        return Err(failed(error.to_owned()));
    }
    Ok(draw(&usages(&answer), args.by, args.limit))
}

fn usages(answer: &Value) -> BTreeMap<Vec<String>, Usage> {
    let mut found: BTreeMap<Vec<String>, Usage> = BTreeMap::new();
    for result in [0, 1] {
        let series = answer["results"][result]["series"].as_array();
        for one in series.into_iter().flatten() {
            let tag = |key: &str| one["tags"][key].as_str().unwrap_or_default().to_owned();
            let node = match tag("nodename") {
                empty if empty.is_empty() => tag("hostname"),
                name => name,
            };
            let name = vec![
                node,
                tag("namespace_name"),
                tag("pod_name"),
                tag("container_name"),
            ];
            let value = one["values"][0][1].as_f64().unwrap_or(0.0);
            let usage = found.entry(name).or_default();
            match result {
                0 => usage.millicores = value,
                _ => usage.memory_bytes = value,
            }
        }
    }
    found
}

fn draw(usages: &BTreeMap<Vec<String>, Usage>, by: Order, limit: usize) -> String {
    let key = |usage: &Usage| match by {
        Order::Cpu => usage.millicores,
        Order::Memory => usage.memory_bytes,
    };
    let mut sorted: Vec<_> = usages.iter().collect();
    sorted.sort_by(|a, b| key(b.1).total_cmp(&key(a.1)));
    let cores: f64 = usages.values().map(|usage| usage.millicores).sum();
    let memory: f64 = usages.values().map(|usage| usage.memory_bytes).sum();
    let head = ["node", "namespace", "pod", "container", "mCPU", "memory"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, usage) in sorted.into_iter().take(limit) {
        let mut row = name.clone();
        row.push(format!("{:.1}", usage.millicores));
        row.push(size(usage.memory_bytes));
        rows.push(row);
    }
    format!(
        "{} containers, {cores:.1} mCPU, {}\n\n{}",
        usages.len(),
        size(memory),
        table(&rows)
    )
}

fn size(count: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size for people; what is out of range saturates"
    )]
    let whole = count as u64;
    bytes(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greediest_stand_first() {
        let tags = |name: &str| {
            serde_json::json!({"nodename": "n", "hostname": "", "pod_name": name,
            "namespace_name": "web", "container_name": "c"})
        };
        let series = |name: &str, value: f64| serde_json::json!({"tags": tags(name), "values": [["t", value]]});
        let answer = serde_json::json!({"results": [
            {"series": [series("a", 20.0), series("b", 30.5)]},
            {"series": [series("a", 4096.0), series("b", 2048.0)]},
        ]});
        let text = draw(&usages(&answer), Order::Cpu, 1);
        assert_eq!(
            text,
            "2 containers, 50.5 mCPU, 6.0 KiB\n\n\
             node  namespace  pod  container  mCPU   memory\n\
             n     web        b    c          30.5  2.0 KiB"
        );
        assert!(draw(&usages(&answer), Order::Memory, 1).contains("web        a "));
    }
}
