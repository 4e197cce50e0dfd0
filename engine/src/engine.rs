//! The glue: one open database directory.

mod backup;
mod compaction;
mod delete;
mod flush;
mod limits;
mod open;
mod reader;
mod retention;
mod state;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use plimsoll_wal::log::{CommitSync, Log, LogState, Ticket};
use plimsoll_wal::storage::{DirectoryLock, ReadMode, Storage};

use crate::catalog::{Applied, CatalogChange};
use crate::log::Record;
use crate::manifest::{Manifest, Paths};
use crate::model::Timestamp;
use crate::readers::Positions;
use crate::segment::{ReadState, Segment, SegmentFacts};
use crate::snapshot::Snapshot;
use crate::{Clock, Result};

pub use backup::Companion;
pub use compaction::Compacted;
pub use delete::{Chosen, Deletion};
pub use limits::{COLUMNS_MAX, OverLimits, STRING_BYTES_MAX, TAG_SET_BYTES_MAX};
use limits::{LimitCounters, TagSetsSeen};
pub use open::OpenReport;
pub use reader::{Reader, ReaderBatch, ReaderPoints, ReaderPosition, ReaderStart, ReaderStats};
use state::State;
pub use write::{Rejected, WRITE_DELAY_MAX, Written};

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
    /// The head is frozen and flushed at half of it, at three quarters while merging is behind;
    /// writes are refused above it.
    pub head_bytes_max: u64,
    /// The head is frozen and flushed at this much log.
    pub log_bytes_max: u64,
    /// Log files that are kept for named readers alone; past it the oldest are dropped.
    pub reader_backlog_bytes_max: u64,
    /// How segments are read.
    pub read_mode: ReadMode,
    /// How many bytes a second a merge writes, unless a partition has too many segments. None: as
    /// many as it can.
    pub merge_bytes_per_second: Option<u64>,
    /// How many tag sets a database may have in the head, which are those that were written since
    /// the last flush; points of others are refused. None: as many as the head has room for.
    pub tag_sets_max: Option<u64>,
    /// How many fields a measurement may have in a partition; points with others are refused.
    pub columns_max: u64,
}

/// How many bytes a second a merge writes by default.
pub const MERGE_BYTES_PER_SECOND: u64 = 64 << 20;

impl Options {
    /// The defaults, for `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            durability: Durability::Sync,
            log_file_bytes: 64 << 20,
            head_bytes_max: 512 << 20,
            log_bytes_max: 512 << 20,
            reader_backlog_bytes_max: 1 << 30,
            read_mode: ReadMode::Map,
            merge_bytes_per_second: Some(MERGE_BYTES_PER_SECOND),
            tag_sets_max: None,
            columns_max: COLUMNS_MAX,
        }
    }
}

/// Figures about a running engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Points that were stored since the start.
    pub points_written: u64,
    /// Field values that were stored since the start.
    pub values_written: u64,
    /// Points that were refused since the start.
    pub points_rejected: u64,
    /// Those of them that were over a limit.
    pub over_limits: OverLimits,
    /// Flushes since the start.
    pub flushes: u64,
    /// Whether the head is being flushed.
    pub flushing: bool,
    /// Partitions that retention dropped since the start.
    pub partitions_expired: u64,
    /// Deletions of points (DELETE, DROP SERIES, DROP MEASUREMENT) since the start.
    pub deletions: u64,
    /// Tombstones that hide points until merges have left them out.
    pub tombstones: u64,
    /// Merges of segments since the start.
    pub compactions: u64,
    /// Merges that failed since the start; the old segments stayed.
    pub compactions_failed: u64,
    /// How often a merge was put off since the start, as too little of the disk was free.
    pub compactions_put_off: u64,
    /// Bytes of segments that merges read since the start.
    pub compaction_bytes_read: u64,
    /// Bytes of segments that merges wrote since the start.
    pub compaction_bytes_written: u64,
    /// Field values that merges took over encoded, without decoding them, since the start.
    pub compaction_values_copied: u64,
    /// Bytes the head holds, open and frozen.
    pub head_bytes: u64,
    /// Partitions with their segments.
    pub partitions: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of all segments.
    pub segment_bytes: u64,
    /// Segments that could not be opened; queries of their times fail.
    pub segments_damaged: u64,
    /// Reads since the start that found bytes of a segment which do not verify.
    pub corrupt_reads: u64,
    /// Bytes of log since the last flush.
    pub log_bytes: u64,
    /// Set where writes are refused, and why.
    pub writes_refused: Option<String>,
}

#[derive(Debug, Default)]
struct Counters {
    points_written: AtomicU64,
    values_written: AtomicU64,
    points_rejected: AtomicU64,
    over_limits: LimitCounters,
    flushes: AtomicU64,
    partitions_expired: AtomicU64,
    deletions: AtomicU64,
    compactions: AtomicU64,
    compactions_failed: AtomicU64,
    compactions_put_off: AtomicU64,
    compaction_bytes_read: AtomicU64,
    compaction_bytes_written: AtomicU64,
    compaction_values_copied: AtomicU64,
}

/// How long a flush that failed is not tried again, ns.
const FLUSH_RETRY_NS: i64 = 10_000_000_000;

/// The copy of the last drain keeps this much room between commits.
const UNDRAINED_KEPT_BYTES: usize = 1 << 20;

/// The bytes that the last drain gave to the log: given again where it could not append them.
#[derive(Debug, Default)]
struct Undrained {
    bytes: Vec<u8>,
    failures: u64,
}

/// One open database directory. Share it behind an [`Arc`]; all methods take `&self`.
#[derive(Debug)]
pub struct Engine {
    storage: Arc<dyn Storage>,
    options: Options,
    clock: Arc<dyn Clock>,
    paths: Paths,
    log: Log,
    /// Writers and readers share it; freezing, flushing and catalog changes have it alone.
    state: RwLock<State>,
    /// The manifest as it is on disk. One edit at a time; taken before `state`.
    manifest: Mutex<Manifest>,
    /// The format of the manifest on disk; 0 where there is none yet.
    format: AtomicU32,
    /// One merge at a time; taken before `manifest`.
    merging: Mutex<compaction::Merging>,
    being_merged: compaction::BeingMerged,
    /// What the open segments share.
    reading: Arc<ReadState>,
    undrained: Mutex<Undrained>,
    tag_sets_seen: Mutex<TagSetsSeen>,
    /// How far named readers of the log are. Taken after `manifest` and `state`.
    readers: Mutex<Positions>,
    /// Frames up to this sequence are in segments, as the manifest on disk says.
    log_covered: AtomicU64,
    /// The first frame of the open generation.
    open_from: AtomicU64,
    /// The last sequence of the frozen generation, where there is one.
    boundary: AtomicU64,
    /// Log bytes written since the start that a flush covers.
    log_bytes_flushed: AtomicU64,
    /// Log bytes that were replayed at the start and are not flushed.
    log_bytes_replayed: AtomicU64,
    last_sync: Mutex<Timestamp>,
    /// No flush by itself before this time.
    next_flush: Mutex<Timestamp>,
    counters: Counters,
    _lock: Box<dyn DirectoryLock>,
}

impl Engine {
    /// Changes the catalog, durably.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] with InfluxDB's text, the `NotFound`s, `Storage`.
    pub fn change(&self, change: &CatalogChange) -> Result<Applied> {
        self.raise_format(change.format())?;
        let gone = {
            let mut state = self.state.write();
            let mut catalog = (*state.catalog).clone();
            if catalog.apply(change)? == Applied::Unchanged {
                return Ok(Applied::Unchanged);
            }
            let record = Record::Catalog {
                version: catalog.version,
                change: change.clone(),
            };
            state.open.define(&record);
            // Installed before the log has it: the record stands in the buffer, in this order,
            // and a later commit writes it. An error means "not acknowledged", not "undone".
            state.catalog = Arc::new(catalog);
            self.commit(&state, self.log.ticket(), CommitSync::Always)?;
            state.partitions_without_policy()
        };
        self.drop_partitions(&gone)?;
        Ok(Applied::Changed)
    }

    /// The number of the open head; another one follows when it is flushed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.state.read().open.id
    }

    /// The data directory.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        &self.options.directory
    }

    /// Lets the manifest name a format that knows what the log is about to hold, so that an older
    /// program refuses the directory by its format.
    fn raise_format(&self, needed: u32) -> Result<()> {
        if needed <= 1 || self.format.load(Ordering::SeqCst) >= needed {
            return Ok(());
        }
        let mut manifest = self.manifest.lock();
        let same = manifest.clone();
        self.replace_manifest(&mut manifest, same)
    }

    /// A read view of everything, as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.state.read().snapshot()
    }

    /// Does what is due of [`Self::maintain_log`], [`Self::maintain_index`] and
    /// [`Self::maintain_head`], one after the other.
    ///
    /// # Errors
    /// `Storage`, `Corrupt`: said once; the engine goes on as far as it can.
    pub fn maintain(&self) -> Result<()> {
        self.maintain_log()?;
        self.maintain_index();
        self.maintain_head()
    }

    /// Enters tag sets that are new to the head into its index, so that the next query need not.
    /// Call it about ten times a second from a thread that may have a lower priority.
    pub fn maintain_index(&self) {
        let open = Arc::clone(&self.state.read().open);
        open.index_pending();
    }

    /// Syncs the log at its interval and prepares its next file, so that no writer waits for one.
    /// Call it about ten times a second from one thread.
    ///
    /// # Errors
    /// `Storage`: said once; the engine goes on as far as it can.
    pub fn maintain_log(&self) -> Result<()> {
        if let Durability::Interval(every) = self.options.durability {
            let now = self.clock.now();
            let mut last = self.last_sync.lock();
            let due = i128::from(now.0) - i128::from(last.0);
            if due < 0 || due.unsigned_abs() >= every.as_nanos() {
                *last = now;
                drop(last);
                self.log.sync()?;
            }
        }
        self.log.prepare()?;
        Ok(())
    }

    /// Flushes the head and drops what expired, where it is due. It may take long: call it about
    /// ten times a second from a thread of its own, which may have a lower priority than those that
    /// write and read. Merging is [`Self::compact_step`]'s.
    ///
    /// # Errors
    /// `Storage`, `Corrupt`: said once; the engine goes on as far as it can.
    pub fn maintain_head(&self) -> Result<()> {
        if self.is_flush_due() && self.clock.now() >= *self.next_flush.lock() {
            // Where it fails (a full disk, say), the next try waits: it begins afresh.
            let again = Timestamp(self.clock.now().0.saturating_add(FLUSH_RETRY_NS));
            *self.next_flush.lock() = again;
            self.flush()?;
            *self.next_flush.lock() = Timestamp::default();
        }
        self.enforce_retention()?;
        Ok(())
    }

    /// Figures for `/metrics`.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let state = self.state.read();
        let segments = || {
            state
                .partitions
                .values()
                .flat_map(|partition| &partition.segments)
        };
        EngineStats {
            points_written: self.counters.points_written.load(Ordering::Relaxed),
            values_written: self.counters.values_written.load(Ordering::Relaxed),
            points_rejected: self.counters.points_rejected.load(Ordering::Relaxed),
            over_limits: self.counters.over_limits.now(),
            flushes: self.counters.flushes.load(Ordering::Relaxed),
            flushing: state.frozen.is_some(),
            partitions_expired: self.counters.partitions_expired.load(Ordering::Relaxed),
            deletions: self.counters.deletions.load(Ordering::Relaxed),
            tombstones: state
                .partitions
                .values()
                .map(|partition| partition.masks.len() as u64)
                .sum(),
            compactions: self.counters.compactions.load(Ordering::Relaxed),
            compactions_failed: self.counters.compactions_failed.load(Ordering::Relaxed),
            compactions_put_off: self.counters.compactions_put_off.load(Ordering::Relaxed),
            compaction_bytes_read: self.counters.compaction_bytes_read.load(Ordering::Relaxed),
            compaction_bytes_written: self
                .counters
                .compaction_bytes_written
                .load(Ordering::Relaxed),
            compaction_values_copied: self
                .counters
                .compaction_values_copied
                .load(Ordering::Relaxed),
            head_bytes: state.head_bytes() as u64,
            partitions: state.partitions.len() as u64,
            segments: segments().count() as u64,
            segment_bytes: segments().map(|segment| segment.facts().len_bytes).sum(),
            segments_damaged: state
                .partitions
                .values()
                .map(|partition| partition.damaged.len() as u64)
                .sum(),
            corrupt_reads: self.reading.corrupt_reads(),
            log_bytes: self.log_bytes(),
            writes_refused: self.refusal(),
        }
    }

    /// Makes everything durable and gives the directory free.
    ///
    /// # Errors
    /// `Storage`.
    pub fn close(self) -> Result<()> {
        self.commit(&self.state.read(), self.log.ticket(), CommitSync::Always)
    }

    /// Gives the log what the open generation has buffered, and waits until it is acknowledged.
    ///
    /// The caller takes the ticket before it puts rows into the generation, and holds the state's
    /// lock until this returns, so that `state` is what every leader drains.
    fn commit(&self, state: &State, ticket: Ticket, sync: CommitSync) -> Result<()> {
        self.log
            .commit(ticket, &|out| self.drain(state, out), sync)?;
        Ok(())
    }

    fn open_segment(&self, path: &Path, facts: &SegmentFacts) -> Result<Segment> {
        let mode = self.options.read_mode;
        Segment::open_with(&*self.storage, path, facts, mode, &self.reading)
    }

    /// Bytes of log since the last flush.
    fn log_bytes(&self) -> u64 {
        let written = self.log.stats().bytes;
        let flushed = self.log_bytes_flushed.load(Ordering::SeqCst);
        written.saturating_sub(flushed) + self.log_bytes_replayed.load(Ordering::SeqCst)
    }

    /// Why writes are refused, where they are.
    fn refusal(&self) -> Option<String> {
        match self.log.stats().state {
            LogState::Running => None,
            LogState::Full => Some("the disk is full".to_owned()),
            LogState::Stopped(reason) => Some(reason.to_string()),
        }
    }

    fn drain(&self, state: &State, out: &mut Vec<u8>) {
        let mut undrained = self.undrained.lock();
        let failures = self.log.failures();
        if undrained.failures == failures {
            undrained.bytes.clear();
            undrained.bytes.shrink_to(UNDRAINED_KEPT_BYTES);
        }
        undrained.failures = failures;
        state.open.drain(&mut undrained.bytes);
        out.extend_from_slice(&undrained.bytes);
    }
}
