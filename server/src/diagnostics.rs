//! What SHOW DIAGNOSTICS tells of the process and its settings, in InfluxDB's modules and columns.

use std::time::Duration;

use plimsoll_engine::Timestamp;
use plimsoll_query::rows::Cell;
use plimsoll_query::{go_duration, go_time};

use crate::app::App;

/// One module: facts by name.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: &'static str,
    pub(crate) facts: Vec<(&'static str, Cell)>,
}

/// All modules, by name.
pub(crate) fn modules(app: &App) -> Vec<Module> {
    let module = |name, facts: Vec<(&'static str, Cell)>| Module { name, facts };
    let now = app.clock.now();
    let limits = &app.query.limits;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    vec![
        module(
            "build",
            vec![
                // What a release is built of is not known to it.
                ("Branch", text("unknown")),
                ("Build Time", text("")),
                ("Commit", text("unknown")),
                ("Version", text(env!("CARGO_PKG_VERSION"))),
            ],
        ),
        module(
            "config-coordinator",
            vec![
                ("log-queries-after", duration(app.query.log_after)),
                (
                    "max-concurrent-queries",
                    count(app.query.concurrent_max.unwrap_or(0) as u64),
                ),
                ("max-select-buckets", count(limits.select_buckets_max)),
                ("max-select-point", count(limits.select_points_max)),
                ("max-select-series", count(limits.select_series_max)),
                ("query-timeout", duration(app.query.timeout)),
            ],
        ),
        module(
            "config-httpd",
            vec![
                ("enabled", Cell::Boolean(true)),
                ("https-enabled", Cell::Boolean(app.http.tls.is_some())),
                (
                    "max-connection-limit",
                    count(app.http.connections_max as u64),
                ),
                ("max-row-limit", count(limits.rows_max)),
            ],
        ),
        module("network", vec![("hostname", text(&app.hostname))]),
        module(
            "runtime",
            vec![
                ("GOARCH", text(architecture())),
                ("GOMAXPROCS", count(threads as u64)),
                ("GOOS", text(std::env::consts::OS)),
                (
                    "version",
                    text(concat!("plimsoll ", env!("CARGO_PKG_VERSION"))),
                ),
            ],
        ),
        module(
            "system",
            vec![
                ("PID", count(u64::from(std::process::id()))),
                ("currentTime", text(&go_time(now.0))),
                ("started", text(&go_time(app.started.0))),
                ("uptime", text(&uptime(app.started, now))),
            ],
        ),
    ]
}

fn uptime(started: Timestamp, now: Timestamp) -> String {
    go_duration(now.0.saturating_sub(started.0).max(0))
}

fn text(text: &str) -> Cell {
    Cell::String(text.into())
}

fn count(count: u64) -> Cell {
    Cell::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn duration(time: Option<Duration>) -> Cell {
    let ns = time.map_or(0, |time| time.as_nanos());
    text(&go_duration(i64::try_from(ns).unwrap_or(i64::MAX)))
}

/// Go's name of the architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
