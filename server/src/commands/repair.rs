//! `plimsoll repair`: leaves out of the log what does not verify, and says what is lost.

use std::sync::Arc;

use plimsoll_engine::repair::{Repaired, repair};
use plimsoll_wal::storage::{Disk, Storage};

use super::directory::{refused, there, warn};
use super::print;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::exit::Failure;

/// Repairs the directory and prints what it did.
///
/// # Errors
/// No such directory, one that is in use, damage that only a backup mends.
pub fn run(config: &Config, warnings: &[String]) -> Result<(), Failure> {
    warn(warnings);
    there(&config.engine.directory)?;
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let repaired = repair(&storage, config.engine.clone(), Arc::new(SystemClock))
        .map_err(|error| refused(&error))?;
    match repaired {
        None => print("nothing is to repair: log and positions verify"),
        Some(repaired) => print(&told(&repaired)),
    }
    Ok(())
}

fn told(repaired: &Repaired) -> String {
    let mut lines: Vec<String> = repaired
        .losses
        .iter()
        .map(|loss| {
            format!(
                "{}: {} bytes at byte {} do not verify and are left out",
                loss.path.display(),
                loss.bytes,
                loss.offset
            )
        })
        .collect();
    if !repaired.losses.is_empty() || repaired.frames_missing > 0 {
        lines.push(format!(
            "kept {} frames; lost {}, and {} behind them that cannot be read without those",
            repaired.frames_kept, repaired.frames_missing, repaired.frames_unreadable
        ));
        lines.push("damaged files stay beside the log with the suffix .damaged".to_owned());
    }
    if let Some(path) = &repaired.readers_set_aside {
        lines.push(format!(
            "the positions of log readers were damaged and are now in {}: readers begin anew",
            path.display()
        ));
    }
    lines.join("\n")
}
