//! `plimsoll export`: a data directory that no server uses as line protocol.
//!
//! The file has the headers that `influx_inspect export` writes, so that `influx -import` and
//! `plimsoll import` read it. Beside it stands, while it is written, how far it is: an export that
//! was cut off goes on from there.

mod lines;
mod output;

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use plimsoll_engine::catalog::{Database, Policy};
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::snapshot::PartitionView;
use plimsoll_engine::{Engine, Snapshot, TimeRange, Timestamp, View};
use serde::{Deserialize, Serialize};

use self::lines::Lines;
use self::output::Output;
use super::directory::{bytes, open, warn};
use super::print;
use crate::config::Config;
use crate::exit::{Code, Failure};

/// Text that is written at a time, before it is compressed.
const CHUNK_BYTES: usize = 1 << 20;

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// File to write; compressed where its name ends in .gz
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One database [default: all]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// One retention policy of it [default: all]
    #[arg(long, value_name = "NAME", requires = "database")]
    policy: Option<String>,
    /// Begin anew where an earlier export was cut off, and write over a file that is there
    #[arg(long)]
    restart: bool,
}

/// What is written next: everything before it is in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    database: String,
    policy: String,
    partition: u64,
    measurement: String,
    series: usize,
}

/// What an export covers and of what; one that goes on must find the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Scope {
    database: Option<String>,
    policy: Option<String>,
    segments: u64,
    segment_bytes: u64,
    rows_in_log: u64,
}

/// Writes the file.
///
/// # Errors
/// No such directory, one that is in use, data that does not verify, a file that cannot be written.
pub(crate) fn run(config: &Config, warnings: &[String], args: &ExportArgs) -> Result<(), Failure> {
    warn(warnings);
    let (engine, report) = open(config)?;
    let stats = engine.stats();
    let scope = Scope {
        database: args.database.clone(),
        policy: args.policy.clone(),
        segments: stats.segments,
        segment_bytes: stats.segment_bytes,
        rows_in_log: report.rows_replayed,
    };
    let exported = export(&engine, args, &scope);
    let closed = engine.close();
    exported?;
    closed.map_err(|error| Failure::engine(&error))
}

fn export(engine: &Engine, args: &ExportArgs, scope: &Scope) -> Result<(), Failure> {
    let failure = |error: plimsoll_engine::Error| Failure::engine(&error);
    let snapshot = engine.snapshot();
    let policies = policies(&snapshot, args)?;
    let (mut out, mut resume) = Output::open(&args.out, scope, args.restart)?;
    if resume.is_none() {
        out.text(&header(&policies, args.policy.is_none()));
    }
    let bar = bar(&snapshot, &policies);
    for (database, policy) in &policies {
        if resume.is_none() {
            out.text(&context(database, policy));
        }
        for partition in partitions(&snapshot, policy) {
            let range = TimeRange {
                start: Timestamp(partition.start),
                end: Timestamp(partition.end.saturating_sub(1)),
            };
            let view = snapshot.view(&database.name, &policy.name, range);
            let view = view.map_err(failure)?;
            for measurement in view.measurements().map_err(failure)? {
                let mut place = Place {
                    database: database.name.clone(),
                    policy: policy.name.clone(),
                    partition: partition.id.0,
                    measurement: measurement.to_string(),
                    series: 0,
                };
                match &resume {
                    Some(there) if !same_but_series(there, &place) => {
                        bar.inc(1);
                        continue;
                    }
                    Some(there) => place.series = there.series,
                    None => {}
                }
                resume = None;
                write_measurement(&view, place, &mut out)?;
                bar.inc(1);
            }
        }
    }
    if resume.is_some() {
        return Err(Failure::new(
            Code::Failed,
            "what was exported last is not there any more: begin anew with --restart",
        ));
    }
    let done = out.finish()?;
    bar.finish_and_clear();
    print(&format!(
        "{}: {} values in {} lines, {}",
        args.out.display(),
        done.values,
        done.lines,
        bytes(done.bytes),
    ));
    if done.left_out > 0 {
        print(&format!(
            "{} values that line protocol cannot say (not finite) are left out",
            done.left_out
        ));
    }
    Ok(())
}

fn same_but_series(a: &Place, b: &Place) -> bool {
    (&a.database, &a.policy, a.partition, &a.measurement)
        == (&b.database, &b.policy, b.partition, &b.measurement)
}

fn write_measurement(view: &View, mut place: Place, out: &mut Output) -> Result<(), Failure> {
    let failure = |error: plimsoll_engine::Error| Failure::engine(&error);
    let fields = view.fields(&place.measurement).map_err(failure)?;
    let series = view.series(&place.measurement, &TagPredicate::All);
    let series = series.map_err(failure)?;
    for one in series.iter().skip(place.series) {
        let mut lines = Lines::new(&place.measurement, &one.tags);
        for (field, field_type) in &fields {
            let column = view.column(one, field, *field_type).map_err(failure)?;
            lines.add(field, column);
        }
        out.lines(lines);
        place.series += 1;
        if out.waiting_bytes() >= CHUNK_BYTES {
            out.write(&place)?;
        }
    }
    Ok(())
}

/// The databases and policies that are asked for.
fn policies(snapshot: &Snapshot, args: &ExportArgs) -> Result<Vec<(Database, Policy)>, Failure> {
    let failure = |error: plimsoll_engine::Error| Failure::engine(&error);
    let databases: Vec<&Database> = match &args.database {
        Some(name) => vec![snapshot.catalog().database(name).map_err(failure)?],
        None => snapshot.catalog().databases.values().collect(),
    };
    let mut chosen = Vec::new();
    for database in databases {
        if let Some(name) = &args.policy {
            database.policy(name).map_err(failure)?;
        }
        for policy in &database.policies {
            if args.policy.as_ref().is_none_or(|name| *name == policy.name) {
                chosen.push((database.clone(), policy.clone()));
            }
        }
    }
    Ok(chosen)
}

fn partitions(snapshot: &Snapshot, policy: &Policy) -> Vec<PartitionView> {
    let all = snapshot.partitions();
    let mut of: Vec<PartitionView> = all.filter(|one| one.policy == policy.id).collect();
    of.sort_by_key(|one| one.start);
    of
}

/// Measurements of partitions are what is counted.
fn bar(snapshot: &Snapshot, policies: &[(Database, Policy)]) -> ProgressBar {
    let mut steps = 0;
    for (database, policy) in policies {
        for partition in partitions(snapshot, policy) {
            let range = TimeRange {
                start: Timestamp(partition.start),
                end: Timestamp(partition.end.saturating_sub(1)),
            };
            let view = snapshot.view(&database.name, &policy.name, range);
            let names = view.and_then(|view| view.measurements());
            steps += names.map_or(0, |names| names.len() as u64);
        }
    }
    let style = ProgressStyle::with_template(
        "{wide_bar} {pos}/{len} measurements and partitions, {elapsed}, {eta} left",
    );
    let bar = ProgressBar::new(steps);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Databases, policies and, where whole databases are exported, continuous queries as statements; a
/// default policy comes with its database. Subscriptions are comments: whoever makes one before the
/// points come sends all of them on.
fn header(policies: &[(Database, Policy)], is_whole: bool) -> String {
    let mut text = format!(
        "# PLIMSOLL EXPORT: {} - {}\n# DDL\n",
        super::directory::time(plimsoll_engine::model::TIME_MIN),
        super::directory::time(plimsoll_engine::model::TIME_MAX)
    );
    for (database, policy) in policies {
        let retention = match policy.retention.as_ns() {
            0 => "INF".to_owned(),
            ns => format!("{}s", ns / 1_000_000_000),
        };
        let terms = format!(
            "DURATION {retention} REPLICATION {} SHARD DURATION {}s",
            policy.replication.max(1),
            policy.shard_duration_ns / 1_000_000_000
        );
        let (name, of) = (quoted(&policy.name), quoted(&database.name));
        text.push_str(&if database.default_policy == policy.name {
            format!("CREATE DATABASE {of} WITH {terms} NAME {name}\n")
        } else {
            format!("CREATE RETENTION POLICY {name} ON {of} {terms}\n")
        });
    }
    let databases = policies.chunk_by(|(a, _), (b, _)| a.id == b.id);
    for (database, _) in databases.filter_map(<[_]>::first).filter(|_| is_whole) {
        for query in &database.continuous_queries {
            text.push_str(&query.text);
            text.push('\n');
        }
    }
    let subscriptions: Vec<String> = policies.iter().flat_map(subscriptions).collect();
    if !subscriptions.is_empty() {
        text.push_str("# Not made by an import, for all that it writes would be sent on:\n");
        for statement in subscriptions {
            text.push_str(&format!("# {statement}\n"));
        }
    }
    text.push_str("# DML\n");
    text
}

fn subscriptions((database, policy): &(Database, Policy)) -> impl Iterator<Item = String> {
    policy.subscriptions.iter().map(|subscription| {
        let destinations = subscription.destinations.iter();
        let destinations: Vec<String> = destinations.map(|to| text_literal(to)).collect();
        format!(
            "CREATE SUBSCRIPTION {} ON {}.{} DESTINATIONS {} {}",
            quoted(&subscription.name),
            quoted(&database.name),
            quoted(&policy.name),
            subscription.mode.name(),
            destinations.join(", ")
        )
    })
}

fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn context(database: &Database, policy: &Policy) -> String {
    format!(
        "# CONTEXT-DATABASE:{}\n# CONTEXT-RETENTION-POLICY:{}\n",
        database.name, policy.name
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}
