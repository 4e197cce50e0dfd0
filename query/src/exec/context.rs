//! What a statement runs in: the data, the time, the limits, and a way to stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use plimsoll_engine::{Snapshot, Timestamp};

use super::error::{Error, Result};
use crate::into::Points;
use crate::rows::{ColumnRows, Message, Rows};

/// What a statement runs in.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The data and the catalog.
    pub snapshot: &'a Snapshot,
    /// The request's `db`; may be empty.
    pub database: &'a str,
    /// The request's `rp`; empty is the database's default.
    pub policy: &'a str,
    /// What `now()` is.
    pub now: Timestamp,
    /// How much it may read and answer.
    pub limits: &'a Limits,
    /// Whether it shall stop.
    pub cancel: &'a Cancel,
    /// Rows in one piece of a series; none: a series comes whole.
    pub chunk_size: Option<usize>,
    /// Where it may do more than InfluxDB does.
    pub options: Options,
}

/// Where a statement may do more than InfluxDB does; the default is nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// `fill_previous_lookback`: how far fill(previous) sees.
    pub fill_previous: FillPrevious,
    /// Whether an answer carries hints.
    pub hints: Hints,
}

/// How far fill(previous) sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FillPrevious {
    /// What lies in the range, as in InfluxDB.
    #[default]
    InRange,
    /// So many ns before the range, too.
    LookBack(i64),
}

/// Whether an answer carries hints: messages that say what was probably meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hints {
    /// As in InfluxDB.
    #[default]
    None,
    /// `"a"` that is no field, where `'a'` would have matched a tag.
    Given,
}

/// How much one statement may read and answer; 0 is without limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// `max-select-point`: values that are read.
    pub select_points_max: u64,
    /// `max-select-memory-bytes`: what it holds in memory at a time, roughly.
    pub memory_bytes_max: u64,
    /// `query_memory_max`: what all statements that share [`Self::memory_shared`] hold together.
    pub memory_shared_bytes_max: u64,
    /// What they hold now.
    pub memory_shared: SharedMemory,
    /// `max-select-series`: series that are read.
    pub select_series_max: u64,
    /// `max-select-buckets`: windows of GROUP BY time in one series.
    pub select_buckets_max: u64,
    /// `max-row-limit`: rows of an answer that does not come in chunks; the rest is cut off.
    pub rows_max: u64,
}

/// Bytes that several statements hold together; clones count into the same.
#[derive(Debug, Clone, Default)]
pub struct SharedMemory(Arc<AtomicU64>);

impl SharedMemory {
    /// Bytes that are held now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts bytes more, and answers how many there are then.
    pub(crate) fn take(&self, bytes: u64) -> u64 {
        self.0.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl PartialEq for SharedMemory {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedMemory {}

/// A flag that stops a running statement, with the reason that its answer gives.
#[derive(Debug, Default)]
pub struct Cancel {
    stopped: AtomicBool,
    reason: Mutex<Option<Arc<str>>>,
}

/// The reason of KILL QUERY.
pub const INTERRUPTED: &str = "query interrupted";
/// The reason of a deadline that passed.
pub const TIMED_OUT: &str = "query-timeout limit exceeded";

impl Cancel {
    /// Stops the statement; the first reason stays.
    pub fn stop(&self, reason: &str) {
        self.reason.lock().get_or_insert_with(|| reason.into());
        self.stopped.store(true, Ordering::Release);
    }

    /// # Errors
    /// [`Error::Interrupted`] once it was stopped.
    pub fn check(&self) -> Result<()> {
        if !self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        let reason = self.reason.lock().clone();
        Err(Error::Interrupted(
            reason.unwrap_or_else(|| INTERRUPTED.into()),
        ))
    }
}

/// Takes the answer piece by piece.
pub trait Sink {
    /// A series, or the next piece of the one before where that said `partial`.
    ///
    /// # Errors
    /// Whatever ends the statement, for example that the client is gone.
    fn series(&mut self, rows: Rows) -> Result<()>;

    /// As [`Self::series`], a whole series by column: who prints it need not make rows of it.
    ///
    /// # Errors
    /// As [`Self::series`].
    fn columns(&mut self, rows: ColumnRows) -> Result<()> {
        self.series(rows.into_rows())
    }

    /// A note that goes with the answer.
    fn message(&mut self, message: Message);

    /// Points of a SELECT … INTO, a batch at a time while it runs; it goes on when they are
    /// written. Who only reads refuses them.
    ///
    /// # Errors
    /// Whatever keeps them from being written.
    fn write(&mut self, points: Points) -> Result<()> {
        drop(points);
        Err(Error::invalid(
            "SELECT INTO cannot write here: it is read only",
        ))
    }
}

/// A sink that keeps everything.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Collect {
    /// The series.
    pub series: Vec<Rows>,
    /// The notes.
    pub messages: Vec<Message>,
}

impl Sink for Collect {
    fn series(&mut self, rows: Rows) -> Result<()> {
        self.series.push(rows);
        Ok(())
    }

    fn message(&mut self, message: Message) {
        self.messages.push(message);
    }
}
