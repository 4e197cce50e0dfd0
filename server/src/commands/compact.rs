//! `plimsoll compact`: merges every partition of a data directory into one segment, offline.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plimsoll_engine::{Compacted, Engine, Timestamp};
use plimsoll_wal::storage::Disk;

use super::print;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::exit::{Code, Failure};

/// Takes the directory, merges, and says for each partition what became of it.
///
/// # Errors
/// No such directory, one that is in use, data that does not verify.
pub fn run(config: &Config, warnings: &[String]) -> Result<(), Failure> {
    for warning in warnings {
        eprintln!("plimsoll: warning: {warning}");
    }
    let directory = &config.engine.directory;
    if !directory.is_dir() {
        return Err(Failure::new(
            Code::Data,
            format!("there is no data directory {}", directory.display()),
        ));
    }
    let failure = |error: plimsoll_engine::Error| Failure::engine(&error);
    let clock = Arc::new(SystemClock);
    let (engine, _) =
        Engine::open(Arc::new(Disk), config.engine.clone(), clock).map_err(failure)?;
    // A killed process leaves every partition as it was, or merged.
    let done = engine.compact_all(&AtomicBool::new(false));
    let done = done.map_err(failure)?;
    engine.close().map_err(failure)?;
    for partition in &done {
        print(&line(partition));
    }
    print(&format!(
        "{} partitions: {} -> {} segments, {} -> {} bytes",
        done.len(),
        done.iter().map(|one| one.segments_before).sum::<usize>(),
        done.iter().map(|one| one.segments_after).sum::<usize>(),
        done.iter().map(|one| one.bytes_before).sum::<u64>(),
        done.iter().map(|one| one.bytes_after).sum::<u64>(),
    ));
    Ok(())
}

fn line(done: &Compacted) -> String {
    format!(
        "{}.{} {} to {}: {} -> {} segments, {} -> {} bytes",
        done.database,
        done.policy,
        text(done.start),
        text(done.end),
        done.segments_before,
        done.segments_after,
        done.bytes_before,
        done.bytes_after
    )
}

/// As RFC 3339; in ns where a calendar has no such day.
fn text(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(time) => time.to_string(),
        Err(_) => time.0.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_engine::PartitionId;

    use super::*;

    #[test]
    fn a_partition_is_one_line() {
        let done = Compacted {
            partition: PartitionId(3),
            database: "k8s".to_owned(),
            policy: "default".to_owned(),
            start: Timestamp(1_699_920_000_000_000_000),
            end: Timestamp(1_700_006_400_000_000_000),
            segments_before: 9,
            segments_after: 1,
            bytes_before: 4000,
            bytes_after: 1000,
        };
        assert_eq!(
            line(&done),
            "k8s.default 2023-11-14T00:00:00Z to 2023-11-15T00:00:00Z: 9 -> 1 segments, \
             4000 -> 1000 bytes"
        );
    }
}
