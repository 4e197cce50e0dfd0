//! Making a data directory usable again whose log is corrupt, and saying what is lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_wal::log::{self, DAMAGED_SUFFIX, Loss};
use plimsoll_wal::storage::Storage;

use crate::check::take;
use crate::log::Record;
use crate::manifest::Manifest;
use crate::readers::Positions;
use crate::{Clock, Engine, Error, Options, Result};

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Frames of the log that were kept.
    pub frames_kept: u64,
    /// Bytes of log files that are no sound frames. The files are beside the log, with the suffix
    /// `.damaged`.
    pub losses: Vec<Loss>,
    /// Frames that were acknowledged and are gone, as far as others stand behind them.
    pub frames_missing: u64,
    /// Frames that are there and cannot be read without those.
    pub frames_unreadable: u64,
    /// The file of reader positions, where it was damaged: it was set aside, and readers begin
    /// anew.
    pub readers_set_aside: Option<PathBuf>,
}

/// Leaves out of the log what does not verify, and writes the rest into segments. `None` where
/// there is nothing to repair; then nothing is changed.
///
/// Behind a frame that is lost, rows of its generation cannot be told from each other any more, and
/// are lost too, as the answer says.
///
/// # Errors
/// `Invalid` where there is no data; `Corrupt` where the manifest or a segment is damaged, which
/// only a backup mends; `Storage`.
pub fn repair(
    storage: &Arc<dyn Storage>,
    options: Options,
    clock: Arc<dyn Clock>,
) -> Result<Option<Repaired>> {
    let root = options.directory.clone();
    let mut repaired = Repaired::default();
    let (mut is_needed, mut gaps) = (false, 0);
    {
        let (paths, _lock) = take(storage, &root)?;
        let manifest = Manifest::read(&**storage, &root)?.unwrap_or_default();
        let covered = manifest.log_covered;
        match Positions::read(&**storage, &root) {
            Ok(mut positions) => {
                // Behind `covered` frames get new numbers: whoever stands there reads them again.
                let is_corrupt = is_corrupt(storage, &paths.log(), covered)?;
                if is_corrupt && positions.clamp(covered) {
                    positions.replace(&**storage, &root)?;
                }
            }
            Err(Error::Corrupt { path, .. }) => {
                is_needed = true;
                let aside = aside(&path);
                storage.rename(&path, &aside)?;
                storage.sync_directory(&root)?;
                repaired.readers_set_aside = Some(aside);
            }
            Err(error) => return Err(error),
        }
        if let Some(done) = log::repair(storage, &paths.log(), covered, Record::gap())? {
            is_needed = true;
            repaired.frames_kept = done.frames;
            repaired.losses = done.losses;
            gaps = done.missing.len() as u64;
            let missing = done.missing.iter();
            repaired.frames_missing = missing.map(|range| range.end() - range.start() + 1).sum();
        }
    }
    if !is_needed {
        return Ok(None);
    }
    // Opening puts what is read of a generation with a gap into segments.
    let (engine, report) = Engine::open(Arc::clone(storage), options, clock)?;
    engine.close()?;
    repaired.frames_unreadable = report.frames_lost.saturating_sub(gaps);
    Ok(Some(repaired))
}

fn is_corrupt(storage: &Arc<dyn Storage>, log_dir: &Path, covered: u64) -> Result<bool> {
    match log::recover(storage, log_dir, covered, &mut |_| {
        Ok::<(), plimsoll_wal::Error>(())
    }) {
        Err(plimsoll_wal::Error::Corrupt { .. }) => Ok(true),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(false),
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(DAMAGED_SUFFIX);
    PathBuf::from(name)
}
