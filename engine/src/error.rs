//! The errors of this crate, each by what a caller can do about it.

use std::path::PathBuf;

/// The result of an engine operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that makes no sense.
    #[error("{0}")]
    Invalid(String),
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
    /// A database that does not exist.
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    /// A retention policy that does not exist.
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    /// A named reader of the log that does not exist, or does no more.
    #[error("log reader not found: {0}")]
    ReaderNotFound(String),
    /// Stored bytes do not verify; the rest of the data stays readable.
    #[error("{what} in {} at byte {offset} is corrupt", path.display())]
    Corrupt {
        /// The structure that did not verify.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Where the structure starts.
        offset: u64,
    },
    /// A frame of the log verifies but holds a record that makes no sense.
    #[error("frame {sequence} of the log holds an unknown record at byte {offset} of its body")]
    LogRecord {
        /// The frame.
        sequence: u64,
        /// Where in its body.
        offset: usize,
    },
    /// The memory budget is used up: try again after a flush.
    #[error("the head is over its memory budget of {budget_bytes} bytes: try again in a moment")]
    Busy {
        /// The budget.
        budget_bytes: u64,
    },
    /// The engine was closed.
    #[error("the database is closed")]
    Closed,
    /// The log or the disk below.
    #[error(transparent)]
    Storage(#[from] plimsoll_wal::Error),
}
