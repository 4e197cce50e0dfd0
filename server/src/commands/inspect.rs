//! `plimsoll inspect`: what a data directory that no server uses is made of.

use std::sync::Arc;

use clap::ValueEnum;
use plimsoll_engine::inspect::{Inspected, inspect};
use plimsoll_wal::storage::{Disk, Storage};
use serde_json::{Value, json};

use super::directory::{bytes, ratio, refused, table, there, time, warn};
use super::print;
use crate::config::Config;
use crate::exit::Failure;

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One document.
    Json,
}

/// Reads the directory's index and prints it.
///
/// # Errors
/// No such directory, one that is in use, data that does not verify.
pub(crate) fn run(config: &Config, warnings: &[String], format: Format) -> Result<(), Failure> {
    warn(warnings);
    let directory = there(&config.engine.directory)?;
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let inspected = inspect(&storage, directory).map_err(|error| refused(&error))?;
    print(&match format {
        Format::Table => tables(&inspected),
        Format::Json => document(&inspected).to_string(),
    });
    Ok(())
}

fn row<const N: usize>(cells: [String; N]) -> Vec<String> {
    cells.to_vec()
}

fn head<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn tables(inspected: &Inspected) -> String {
    let mut parts = Vec::new();
    let mut add = |title: &str, rows: Vec<Vec<String>>| {
        if rows.len() > 1 {
            parts.push(format!("{title}\n{}\n", table(&rows)));
        }
    };
    let mut partitions = vec![head([
        "partition",
        "database",
        "policy",
        "from",
        "to",
        "segments",
        "values",
        "size",
        "B/value",
        "deletions",
    ])];
    let mut segments = vec![head([
        "segment",
        "partition",
        "ranks",
        "from",
        "to",
        "tag sets",
        "values",
        "size",
        "B/value",
    ])];
    let (mut all_bytes, mut all_values) = (0, 0);
    for partition in &inspected.partitions {
        let size: u64 = partition.segments.iter().map(|s| s.len_bytes).sum();
        let values: u64 = partition.segments.iter().map(|s| s.values).sum();
        all_bytes += size;
        all_values += values;
        partitions.push(row([
            partition.id.0.to_string(),
            partition.database.clone(),
            partition.policy.clone(),
            time(partition.bounds.0),
            time(partition.bounds.1),
            partition.segments.len().to_string(),
            values.to_string(),
            bytes(size),
            ratio(size, values),
            partition.tombstones.to_string(),
        ]));
        for segment in &partition.segments {
            segments.push(row([
                segment.id.to_string(),
                partition.id.0.to_string(),
                format!("{}..{}", segment.ranks.0, segment.ranks.1),
                time(segment.range.start),
                time(segment.range.end),
                segment.tag_sets.to_string(),
                segment.values.to_string(),
                bytes(segment.len_bytes),
                ratio(segment.len_bytes, segment.values),
            ]));
        }
    }
    let mut columns = vec![head([
        "database",
        "policy",
        "measurement",
        "field",
        "type",
        "chunks",
        "values",
        "size",
        "B/value",
    ])];
    for ((database, policy, measurement, field, kind), column) in &inspected.columns {
        columns.push(row([
            database.clone(),
            policy.clone(),
            measurement.to_string(),
            field.to_string(),
            kind.to_string(),
            column.chunks.to_string(),
            column.values.to_string(),
            bytes(column.value_bytes),
            ratio(column.value_bytes, column.values),
        ]));
    }
    let mut measurements = vec![head(["database", "policy", "measurement", "tag sets"])];
    for ((database, policy, measurement), count) in &inspected.measurements {
        let name = measurement.to_string();
        measurements.push(row([
            database.clone(),
            policy.clone(),
            name,
            count.to_string(),
        ]));
    }
    let mut tags = vec![head(["database", "policy", "tag", "values"])];
    for ((database, policy, key), count) in &inspected.tags {
        tags.push(row([
            database.clone(),
            policy.clone(),
            key.clone(),
            count.to_string(),
        ]));
    }
    add("Partitions", partitions);
    add("Segments", segments);
    add("Columns (values alone, without times and index)", columns);
    add("Tag sets by measurement", measurements);
    add("Values by tag", tags);
    let log = &inspected.log;
    parts.push(format!(
        "{} values in segments, {}, {} bytes a value; in the log {} rows with {} values, {}, {} \
         bytes a value",
        all_values,
        bytes(all_bytes),
        ratio(all_bytes, all_values),
        log.rows,
        log.values,
        bytes(log.body_bytes),
        ratio(log.body_bytes, log.values),
    ));
    parts.join("\n")
}

fn document(inspected: &Inspected) -> Value {
    let partitions = inspected.partitions.iter().map(|partition| {
        let segments = partition.segments.iter().map(|segment| {
            json!({
                "id": segment.id,
                "rank_low": segment.ranks.0,
                "rank_high": segment.ranks.1,
                "first_ns": segment.range.start.0,
                "last_ns": segment.range.end.0,
                "tag_sets": segment.tag_sets,
                "values": segment.values,
                "bytes": segment.len_bytes,
                "value_bytes": segment.value_bytes,
            })
        });
        json!({
            "id": partition.id.0,
            "database": partition.database,
            "policy": partition.policy,
            "start_ns": partition.bounds.0.0,
            "end_ns": partition.bounds.1.0,
            "deletions": partition.tombstones,
            "segments": segments.collect::<Vec<_>>(),
        })
    });
    let columns = inspected.columns.iter().map(|(name, column)| {
        json!({
            "database": name.0,
            "policy": name.1,
            "measurement": &*name.2,
            "field": &*name.3,
            "type": name.4.to_string(),
            "chunks": column.chunks,
            "values": column.values,
            "value_bytes": column.value_bytes,
        })
    });
    let measurements = inspected.measurements.iter().map(|(name, count)| {
        json!({"database": name.0, "policy": name.1, "measurement": &*name.2, "tag_sets": count})
    });
    let tags = inspected.tags.iter().map(|(name, count)| {
        json!({"database": name.0, "policy": name.1, "tag": name.2, "values": count})
    });
    json!({
        "partitions": partitions.collect::<Vec<_>>(),
        "columns": columns.collect::<Vec<_>>(),
        "measurements": measurements.collect::<Vec<_>>(),
        "tags": tags.collect::<Vec<_>>(),
        "log": {
            "frames": inspected.log.frames,
            "bytes": inspected.log.body_bytes,
            "rows": inspected.log.rows,
            "values": inspected.log.values,
        },
    })
}
