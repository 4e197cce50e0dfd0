//! The glue: one open database directory.

use std::path::PathBuf;
use std::sync::Arc;

use plimsoll_wal::storage::{ReadMode, Storage};

use crate::catalog::{Applied, Catalog, CatalogChange};
use crate::model::Batch;
use crate::snapshot::Snapshot;
use crate::{Clock, Result};

/// When a write counts as acknowledged. See docs/operations.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After fdatasync.
    #[default]
    Sync,
    /// When the kernel has it; synced at this interval by [`Engine::maintain`].
    Interval(std::time::Duration),
    /// When the kernel has it.
    None,
}

/// How an engine is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; made where it is not there.
    pub directory: PathBuf,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// Size of a preallocated log file.
    pub log_file_bytes: u64,
    /// The head freezes and flushes at half of it; writes are refused above it.
    pub head_bytes_max: u64,
    /// The head freezes and flushes at this much log.
    pub log_bytes_max: u64,
    /// How segments are read.
    pub read_mode: ReadMode,
}

/// What happened to a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Points that are stored, at least one field of each.
    pub points_stored: usize,
    /// Points that were dropped, by reason, in InfluxDB's words without `partial write: `.
    pub rejected: Vec<Rejected>,
}

/// Points that the engine refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why, in InfluxDB's words: `field type conflict: input field "v" on measurement "m" is type
    /// float, already exists as type integer`, or `points beyond retention policy`.
    pub reason: String,
    /// How many points.
    pub points: usize,
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Rows that were read back from the log.
    pub rows_replayed: u64,
    /// A sentence where a torn tail was cut: which file, where, how many bytes.
    pub torn_tail: Option<String>,
}

/// One open database directory. Share it behind an [`Arc`]; all methods take `&self`.
#[derive(Debug)]
pub struct Engine {
    catalog: parking_lot::Mutex<Arc<Catalog>>,
}

impl Engine {
    /// Opens or creates the directory and replays its log.
    ///
    /// # Errors
    /// [`crate::Error::Storage`] with `Locked`, `NewerFormat`, `Io`; [`crate::Error::Corrupt`].
    pub fn open(
        _storage: Arc<dyn Storage>,
        _options: Options,
        _clock: Arc<dyn Clock>,
    ) -> Result<(Self, OpenReport)> {
        Ok((
            Self {
                catalog: parking_lot::Mutex::default(),
            },
            OpenReport::default(),
        ))
    }

    /// Writes a batch into `policy` (empty: the default one) of `database`; returns when it is
    /// as durable as configured.
    ///
    /// # Errors
    /// `DatabaseNotFound`, `PolicyNotFound`, `Busy` (nothing stored), `Storage` (not acknowledged).
    pub fn write(&self, _database: &str, _policy: &str, _batch: &Batch) -> Result<Written> {
        Ok(Written::default())
    }

    /// Changes the catalog, durably.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] with InfluxDB's text, the `NotFound`s, `Storage`.
    pub fn change(&self, change: &CatalogChange) -> Result<Applied> {
        let mut catalog = self.catalog.lock();
        Arc::make_mut(&mut catalog).apply(change)
    }

    /// A read view of everything, as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            catalog: Arc::clone(&self.catalog.lock()),
        }
    }

    /// Does what is due: flush, retention, interval sync. Call it about ten times a second from
    /// one thread.
    ///
    /// # Errors
    /// `Storage`, `Corrupt`: said once; the engine goes on as far as it can.
    pub fn maintain(&self) -> Result<()> {
        Ok(())
    }

    /// Writes the head into segments and frees its log.
    ///
    /// # Errors
    /// `Storage`.
    pub fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// Makes everything durable and gives the directory free.
    ///
    /// # Errors
    /// `Storage`.
    pub fn close(self) -> Result<()> {
        Ok(())
    }
}
