//! Checking a data directory that nothing uses: every checksum, and that what is behind them reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_wal::Error as StorageError;
use plimsoll_wal::log::{Tail, recover};
use plimsoll_wal::storage::{ReadMode, Storage};

use crate::log::{Decoder, Entry};
use crate::manifest::{Manifest, Paths};
use crate::readers::Positions;
use crate::segment::Segment;
use crate::{Error, Result};

/// Something that does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in it; `None` where it is the whole file.
    pub offset: Option<u64>,
    /// What is wrong, in words.
    pub what: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Segments that were read.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Field values in them.
    pub segment_values: u64,
    /// Frames of the log that were read.
    pub frames: u64,
    /// Rows in them.
    pub rows: u64,
    /// A sentence where the log has a torn tail, which the next start cuts.
    pub torn_tail: Option<String>,
    /// What does not verify. Nothing else is to be done where it is empty.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// Takes an error that is a finding; gives back what kept the check from being made.
    fn note(&mut self, path: &Path, error: Error) -> Result<()> {
        let (path, offset) = match &error {
            Error::Corrupt { path, offset, .. }
            | Error::Storage(StorageError::Corrupt { path, offset, .. }) => {
                (path.clone(), Some(*offset))
            }
            // A file that is named and not there, or that cannot be read.
            Error::Storage(StorageError::Io { path, .. }) => (path.clone(), None),
            Error::LogRecord { .. } | Error::Invalid(_) => (path.to_owned(), None),
            _ => return Err(error),
        };
        self.problems.push(Problem {
            path,
            offset,
            what: error.to_string(),
        });
        Ok(())
    }
}

/// Reads all of a data directory. It changes nothing.
///
/// # Errors
/// `Invalid` where there is no data; `Storage` where another process has the directory, or its
/// format is newer. What does not verify is no error but a [`Problem`].
pub fn check(storage: &Arc<dyn Storage>, directory: &Path) -> Result<Checked> {
    let (paths, _lock) = take(storage, directory)?;
    let mut checked = Checked::default();
    let manifest = match Manifest::read(&**storage, &paths.root) {
        Ok(manifest) => manifest.unwrap_or_default(),
        Err(error) => {
            checked.note(&paths.root, error)?;
            return Ok(checked);
        }
    };
    if let Err(error) = Positions::read(&**storage, &paths.root) {
        checked.note(&paths.root, error)?;
    }
    for partition in &manifest.partitions {
        for entry in &partition.segments {
            let path = paths.segment(partition.id, entry.id);
            let opened = Segment::open(&**storage, &path, &entry.facts, ReadMode::Pread);
            match opened.and_then(|segment| segment.verify()) {
                Ok(()) => {}
                Err(error) => checked.note(&path, error)?,
            }
            checked.segments += 1;
            checked.segment_bytes += entry.facts.len_bytes;
            checked.segment_values += entry.facts.points;
        }
    }
    check_log(storage, &paths, manifest.log_covered, &mut checked)?;
    Ok(checked)
}

/// A directory that is there, for this process alone.
pub(crate) fn take(
    storage: &Arc<dyn Storage>,
    directory: &Path,
) -> Result<(Paths, Box<dyn plimsoll_wal::storage::DirectoryLock>)> {
    let paths = Paths {
        root: directory.to_owned(),
    };
    let is_data = storage.exists(&paths.log())? || storage.exists(&paths.partitions())?;
    if !is_data {
        return Err(Error::Invalid(format!(
            "{} is no data directory: it has neither log nor partitions",
            directory.display()
        )));
    }
    let lock = storage.lock(directory)?;
    Ok((paths, lock))
}

fn check_log(
    storage: &Arc<dyn Storage>,
    paths: &Paths,
    covered: u64,
    checked: &mut Checked,
) -> Result<()> {
    let (mut decoder, mut is_gapped) = (Decoder::default(), false);
    let (mut frames, mut rows) = (0, 0);
    let recovered = recover(storage, &paths.log(), covered, &mut |frame| {
        frames += 1;
        let read = decoder.apply(frame.body, &mut |entry| match entry {
            Entry::Row(_) => rows += 1,
            Entry::Gap => is_gapped = true,
            Entry::Deletion | Entry::Catalog => {}
        });
        match read {
            Err(offset) if !is_gapped => Err(Error::LogRecord {
                sequence: frame.sequence,
                offset,
            }),
            _ => Ok(()),
        }
    });
    (checked.frames, checked.rows) = (frames, rows);
    match recovered {
        Ok(recovered) => {
            if let Tail::Torn {
                path,
                valid_to,
                dropped_bytes,
            } = recovered.tail
            {
                checked.torn_tail = Some(format!(
                    "the log {} is torn at byte {valid_to}: {dropped_bytes} bytes behind it were \
                     never acknowledged as durable, and the next start cuts them",
                    path.display()
                ));
            }
            Ok(())
        }
        Err(error) => checked.note(&paths.log(), error),
    }
}
