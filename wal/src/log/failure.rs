//! Why a group of commits failed: told to each of its callers, so it can be cloned.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Error;
use crate::frame::FRAME_BODY_BYTES_MAX;

#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The disk is full; the next commit tries a new file.
    Full { path: PathBuf },
    /// More was drained than a frame holds.
    Limit { got: u64 },
    /// A new file could not be opened, before anything was written to it; the next commit tries
    /// again.
    Unopened {
        op: &'static str,
        path: PathBuf,
        os: Option<i32>,
        kind: io::ErrorKind,
    },
    /// Nothing is written any more.
    Stopped { reason: Arc<str> },
}

impl Failure {
    /// The failure of a step before the first byte of a file.
    pub(super) fn unopened(error: &Error) -> Self {
        match error {
            Error::Io { op, path, source } => Self::Unopened {
                op,
                path: path.clone(),
                os: source.raw_os_error(),
                kind: source.kind(),
            },
            other => Self::Stopped {
                reason: Arc::from(other.to_string()),
            },
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full { path } => Self::Full { path },
            Failure::Limit { got } => Self::Limit {
                what: "log frame",
                got,
                limit: FRAME_BODY_BYTES_MAX as u64,
            },
            Failure::Unopened { op, path, os, kind } => {
                let source = os.map_or_else(|| kind.into(), io::Error::from_raw_os_error);
                Self::Io { op, path, source }
            }
            Failure::Stopped { reason } => Self::Stopped {
                reason: reason.to_string(),
            },
        }
    }
}
