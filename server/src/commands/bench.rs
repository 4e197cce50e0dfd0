//! `plimsoll bench`: a small load, to see what a machine does. The numbers that the project is
//! measured by come from the benches.

use clap::Args;
use plimsoll_engine::Clock;
use plimsoll_ingest::line::Precision;

use super::client::Login;
use super::import::target::Target;
use super::print;
use crate::clock::SystemClock;
use crate::config::{Config, Duration, Parsed};
use crate::exit::{Code, Failure};

/// Where the points go.
const DATABASE: &str = "plimsoll_bench";
/// Values of a container.
const METRICS: [&str; 10] = [
    "uptime_ms_cumulative",
    "cpu/usage_ns_cumulative",
    "memory/usage_bytes_gauge",
    "memory/working_set_bytes_gauge",
    "memory/page_faults_gauge",
    "network/rx_bytes_cumulative",
    "network/tx_bytes_cumulative",
    "network/rx_errors_cumulative",
    "network/tx_errors_cumulative",
    "filesystem/usage",
];
/// Between two rounds of the containers, ns.
const STEP_NS: i64 = 10_000_000_000;

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The server to write to [default: http://127.0.0.1:8086]
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    url: Option<String>,
    #[command(flatten)]
    login: Login,
    /// How many containers there are
    #[arg(long, value_name = "N", default_value_t = 1000)]
    containers: u32,
    /// How often each is written, 10 s apart
    #[arg(long, value_name = "N", default_value_t = 30)]
    rounds: u32,
    /// Lines in a request
    #[arg(long, value_name = "N", default_value_t = 5000)]
    lines: usize,
    /// How long to wait for a request
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    timeout: Parsed<Duration>,
}

/// Writes, then prints how long it took; the database is dropped again.
///
/// # Errors
/// No server, no directory, a write that is refused.
pub(crate) fn run(args: &BenchArgs, data: Option<(Config, Vec<String>)>) -> Result<(), Failure> {
    let target = match &data {
        Some((config, _)) => Target::directory(config)?,
        None => {
            let url = args.url.as_deref().unwrap_or("http://127.0.0.1:8086");
            Target::server(url, &args.login, args.timeout.0.0, "n")?
        }
    };
    target.statement(&format!("CREATE DATABASE {DATABASE}"))?;
    let measured = load(args, &target);
    let dropped = target.statement(&format!("DROP DATABASE {DATABASE}"));
    let closed = target.close();
    print(&measured?);
    dropped?;
    closed
}

fn load(args: &BenchArgs, target: &Target) -> Result<String, Failure> {
    let start = SystemClock.now().0 - STEP_NS * i64::from(args.rounds);
    let (mut body, mut lines, mut values) = (String::new(), 0, 0_u64);
    let mut took_ns: Vec<i64> = Vec::new();
    let mut send = |body: &mut String, lines: &mut usize| {
        let begun = SystemClock.now().0;
        let refused = target.write(DATABASE, "", Precision::Nanoseconds, body.as_bytes())?;
        took_ns.push(SystemClock.now().0 - begun);
        body.clear();
        *lines = 0;
        match refused {
            Some((text, _)) => Err(Failure::new(Code::Failed, text)),
            None => Ok(()),
        }
    };
    for round in 0..args.rounds {
        for container in 0..args.containers {
            let time = start + STEP_NS * i64::from(round);
            for (number, metric) in METRICS.iter().enumerate() {
                let seed = u64::from(container) * 31 + number as u64;
                let value = seed * 1000 + u64::from(round) * (seed % 97);
                body.push_str(&format!(
                    "{metric},type=pod_container,nodename=node-{},namespace_name=ns-{},pod_name=pod-{},\
                     container_name=c{} value={value}i {time}\n",
                    container / 60,
                    container % 20,
                    container / 2,
                    container % 2
                ));
                lines += 1;
                values += 1;
                if lines >= args.lines.max(1) {
                    send(&mut body, &mut lines)?;
                }
            }
        }
    }
    if lines > 0 {
        send(&mut body, &mut lines)?;
    }
    Ok(told(values, &mut took_ns))
}

fn told(values: u64, took_ns: &mut [i64]) -> String {
    took_ns.sort_unstable();
    let all_ns: i64 = took_ns.iter().sum();
    let all_us = u64::try_from(all_ns / 1000).unwrap_or(0).max(1);
    let at = |percent: usize| {
        let index = (took_ns.len() * percent / 100).min(took_ns.len().saturating_sub(1));
        let us = took_ns.get(index).map_or(0, |ns| ns / 1000);
        format!("{}.{} ms", us / 1000, us % 1000 / 100)
    };
    format!(
        "{values} values in {} requests, {}.{:02} s: {} values/s; a request took {} (median), {} (95 %), \
         {} (longest)",
        took_ns.len(),
        all_us / 1_000_000,
        all_us % 1_000_000 / 10_000,
        u128::from(values) * 1_000_000 / u128::from(all_us),
        at(50),
        at(95),
        at(100),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_told() {
        let mut took = vec![1_500_000, 500_000, 3_000_000];
        assert_eq!(
            told(5000, &mut took),
            "5000 values in 3 requests, 0.00 s: 1000000 values/s; a request took 1.5 ms (median), \
             3.0 ms (95 %), 3.0 ms (longest)"
        );
    }
}
