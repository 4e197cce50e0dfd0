//! `plimsoll verify`: every checksum of a data directory that no server uses.

use std::sync::Arc;

use plimsoll_engine::check::{Checked, check};
use plimsoll_wal::storage::{Disk, Storage};

use super::directory::{bytes, refused, there, warn};
use super::print;
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::users::Users;

/// Reads all of the directory, prints what it read, and fails where something does not verify.
///
/// # Errors
/// No such directory, one that is in use; each thing that does not verify, with file and offset.
pub fn run(config: &Config, warnings: &[String]) -> Result<(), Failure> {
    warn(warnings);
    let directory = there(&config.engine.directory)?;
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let checked = check(&storage, directory).map_err(|error| refused(&error))?;
    print(&summary(&checked));
    let mut lines: Vec<String> = checked.problems.iter().map(|p| p.what.clone()).collect();
    if let Err(failure) = Users::open(directory) {
        lines.extend(failure.lines);
    }
    if lines.is_empty() {
        print("all of it verifies");
        return Ok(());
    }
    lines
        .push("`plimsoll repair` mends the log; anything else comes back from a backup".to_owned());
    Err(Failure {
        code: Code::Corrupt,
        lines,
    })
}

fn summary(checked: &Checked) -> String {
    let mut text = format!(
        "{} segments, {}, {} values; log: {} frames, {} rows",
        checked.segments,
        bytes(checked.segment_bytes),
        checked.segment_values,
        checked.frames,
        checked.rows,
    );
    if let Some(tail) = &checked.torn_tail {
        text.push('\n');
        text.push_str(tail);
    }
    text
}
