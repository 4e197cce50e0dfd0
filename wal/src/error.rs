//! The errors of this crate, each by what a caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The result of a storage or log operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong below the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused an operation.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `write`, `sync`.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Bytes that were read back are not the bytes that were written.
    #[error("{what} in {} at byte {offset} is corrupt", path.display())]
    Corrupt {
        /// The structure that did not verify.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Where the structure starts.
        offset: u64,
    },
    /// The file was written by a newer Plimsoll.
    #[error("{} has format {found}, this program knows up to {known}: use a newer plimsoll", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The version (or feature bits) in the file.
        found: u32,
        /// The newest version this program reads.
        known: u32,
    },
    /// Another process holds the directory.
    #[error("{} is in use by another process: stop it, or choose another --data", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Something is larger than its named maximum.
    #[error("{what} is {got}, the limit is {limit}")]
    Limit {
        /// The thing that is limited.
        what: &'static str,
        /// Its size.
        got: u64,
        /// The maximum.
        limit: u64,
    },
    /// The disk is full: writes are refused, reads go on, and writes resume by themselves.
    #[error("the disk that holds {} is full: writes are refused until there is space", path.display())]
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// A write or sync failed earlier; nothing more is written until restart.
    #[error(
        "writes stopped after an earlier failure ({reason}): restart plimsoll once the disk is sound"
    )]
    Stopped {
        /// What failed first.
        reason: String,
    },
}

impl Error {
    /// An [`Error::Io`] of `op` on `path`.
    pub fn io(op: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io {
            op,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// Whether the operating system said that the disk or quota is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            }
            _ => false,
        }
    }
}
