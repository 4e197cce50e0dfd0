//! What a statement can fail with, in InfluxDB's words.

use std::sync::Arc;

/// The result of running a statement.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a statement has no answer, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement needs a database, and neither it nor the request names one.
    #[error("database name required")]
    DatabaseRequired,
    /// The statement makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The statement breaks a rule of the language.
    #[error(transparent)]
    Check(#[from] crate::check::CheckError),
    /// It would be answered by a later version.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    /// The answer, or the way to it, is larger than a limit.
    #[error("{what} limit exceeded: ({got}/{limit})")]
    Limit {
        /// The setting's name.
        what: &'static str,
        /// How much there was.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// It was killed, its client is gone, or it took too long; the text says which.
    #[error("{0}")]
    Interrupted(Arc<str>),
    /// The engine: an unknown database or policy, or data that does not verify.
    #[error(transparent)]
    Engine(#[from] plimsoll_engine::Error),
}

impl Error {
    /// Shorthand for [`Error::Invalid`].
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}
