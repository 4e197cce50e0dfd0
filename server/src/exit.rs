//! How a command ends: a code that scripts can rely on, and one line that says what to do.

use std::fmt;

/// Exit codes of `plimsoll`. They are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 1: it failed while it ran.
    Failed = 1,
    /// 2: the command line, the environment or the configuration file is wrong.
    Configuration = 2,
    /// 3: the listen address cannot be used.
    Listen = 3,
    /// 4: the data directory cannot be used: unwritable, in use, or of a newer format.
    Data = 4,
    /// 5: stored data does not verify.
    Corrupt = 5,
    /// 6: a file that the configuration names cannot be read.
    File = 6,
}

/// Why a command ended before its time.
#[derive(Debug)]
pub struct Failure {
    /// What the process answers.
    pub code: Code,
    /// What is wrong, where, and what to do about it; one line each.
    pub lines: Vec<String>,
}

impl Failure {
    /// A failure that one line explains.
    pub fn new(code: Code, line: impl Into<String>) -> Self {
        Self {
            code,
            lines: vec![line.into()],
        }
    }

    /// A failure of the engine, by what can be done about it.
    #[must_use]
    pub fn engine(error: &plimsoll_engine::Error) -> Self {
        use plimsoll_engine::Error as Engine;
        use plimsoll_wal::Error as Storage;
        let (code, advice) = match error {
            Engine::Storage(Storage::Locked { .. }) => (Code::Data, ""),
            Engine::Storage(Storage::NewerFormat { .. }) => (Code::Data, ""),
            Engine::Storage(Storage::Io { .. }) => (
                Code::Data,
                "; make it writable for this user, or choose another --data",
            ),
            Engine::Storage(Storage::Full { .. }) => {
                (Code::Data, "; make room, or choose another --data")
            }
            Engine::Storage(Storage::Corrupt { .. }) => (
                Code::Corrupt,
                "; `plimsoll repair` leaves it out and says what is lost; or restore a backup, or \
                 start with another --data",
            ),
            Engine::Corrupt { .. } | Engine::LogRecord { .. } => (
                Code::Corrupt,
                "; restore the file from a backup, or start with another --data",
            ),
            _ => (Code::Failed, ""),
        };
        Self::new(code, format!("{error}{advice}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "plimsoll: {line}")?;
        }
        Ok(())
    }
}
