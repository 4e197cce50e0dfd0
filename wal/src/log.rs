//! The write-ahead log: frames in files of one directory, group commit, recovery.
//!
//! Owns the files `<epoch>.log`, their order, and the promise that what was acknowledged at a
//! durability is found again after a crash that this durability covers. It never looks into a
//! frame's body and never starts a thread: the owner's timer calls [`Log::sync`] and
//! [`Log::prepare`].
//!
//! A new log file is opened by the first commit that needs one (after [`Log::start`], a
//! [`Log::rotate`], a file that is full, a disk that was full). Before that, its predecessor is cut
//! to its last whole frame and synced, so only the last file of a log can end in a torn frame.
//!
//! Locks, taken in this order: the queue (leader and waiting group; never held over I/O), the
//! leader's frame buffer, `syncing` (one sync at a time, for the kernel tells a write error to one
//! caller of fsync only), the writer (current file and sequences), the spare file.
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//! use parking_lot::Mutex;
//! use plimsoll_wal::log::{CommitSync, Log, LogOptions, recover};
//! use plimsoll_wal::storage::{Memory, Storage};
//!
//! let storage: Arc<dyn Storage> = Arc::new(Memory::new());
//! let recovered = recover(&storage, Path::new("log"), 0, &mut |_| Ok::<(), plimsoll_wal::Error>(()))?;
//! let log = Log::start(storage.clone(), Path::new("log"), LogOptions::default(), &recovered)?;
//!
//! let buffer = Mutex::new(Vec::new());
//! let drain = |out: &mut Vec<u8>| out.append(&mut buffer.lock());
//! let ticket = log.ticket(); // before the bytes are put where `drain` finds them
//! buffer.lock().extend_from_slice(b"a record");
//! assert_eq!(log.commit(ticket, &drain, CommitSync::AsConfigured)?, 1);
//!
//! let mut bodies = Vec::new();
//! recover(&storage, Path::new("log"), 0, &mut |frame| {
//!     bodies.push(frame.body.to_vec());
//!     Ok::<(), plimsoll_wal::Error>(())
//! })?;
//! assert_eq!(bodies, [b"a record"]);
//! # Ok::<(), plimsoll_wal::Error>(())
//! ```

mod failure;
mod file;
mod follow;
mod group;
mod recovery;
mod repair;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub use self::file::LOG_FORMAT_VERSION;
pub use self::follow::{Followed, Follower};
pub use self::recovery::{Recovered, Tail, recover};
pub use self::repair::{DAMAGED_SUFFIX, Loss, Repaired, repair};

use self::failure::Failure;
use self::group::{Queue, Role};
use self::writer::Writer;
use crate::Result;
use crate::frame::{FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, seal};
use crate::storage::{File, Storage};

/// The default of [`LogOptions::file_bytes`].
pub const LOG_FILE_BYTES_DEFAULT: u64 = 64 << 20;

/// The least that [`LogOptions::file_bytes`] can be; less is taken as this.
pub const LOG_FILE_BYTES_MIN: u64 = 4 << 10;

/// The frame buffer keeps this much between commits; more is given back.
const FRAME_BUFFER_KEPT_BYTES: usize = 4 << 20;

/// What "acknowledged" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// fdatasync has returned.
    #[default]
    Sync,
    /// Written to the kernel. The owner's timer calls [`Log::sync`] this often; a power cut loses
    /// at most that much.
    Interval(Duration),
    /// Written to the kernel, which syncs when it likes.
    None,
}

/// Whether one commit asks for more than the log's [`Durability`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommitSync {
    /// What the log's durability says.
    #[default]
    AsConfigured,
    /// fdatasync has returned, whatever the durability.
    Always,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// The preallocated length of a log file. A frame that does not fit goes to the next file; one
    /// that is larger than a whole file gets a larger file of its own.
    pub file_bytes: u64,
    /// What an acknowledgement promises.
    pub durability: Durability,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            file_bytes: LOG_FILE_BYTES_DEFAULT,
            durability: Durability::default(),
        }
    }
}

/// Whether a log takes commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    /// It does.
    Running,
    /// The disk was full at the last commit. The next one tries again, in a new file.
    Full,
    /// A write or sync failed. It takes none until it is started anew.
    Stopped(Arc<str>),
}

/// What a log has done and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStats {
    /// Frames written since the start.
    pub frames: u64,
    /// Bytes of those frames, with headers and padding.
    pub bytes: u64,
    /// Successful syncs of files with frames in them, since the start.
    pub syncs: u64,
    /// Commits answered with an error, by group, since the start.
    pub failures: u64,
    /// Log files there are.
    pub files: u64,
    /// The sum of their lengths, preallocated space included.
    pub disk_bytes: u64,
    /// The last frame that was written, now or before the start.
    pub last_sequence: u64,
    /// The last frame that is durable.
    pub synced_sequence: u64,
    /// Whether commits are taken.
    pub state: LogState,
}

/// One of a log's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFile {
    /// No frame of it is behind this one; its first follows the last of the file before.
    pub last_sequence: u64,
    /// Up to the end of its last frame.
    pub len_bytes: u64,
}

/// The number of failures before bytes were put where `drain` finds them: see [`Log::ticket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    failures: u64,
}

impl Ticket {
    /// [`Log::failures`] at the time. An encoder that takes the ticket first and writes absolute
    /// rows where this differs from the last time never acknowledges a delta to a lost row.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }
}

/// An open write-ahead log.
#[derive(Debug)]
pub struct Log {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    options: LogOptions,
    failures: AtomicU64,
    queue: Mutex<Queue>,
    /// Rung when a leader is through.
    turn: Condvar,
    frame: Mutex<Vec<u8>>,
    syncing: Mutex<()>,
    writer: Mutex<Writer>,
    /// The next file, prepared. Locked by whoever touches the file of that name.
    spare: Mutex<Option<Box<dyn File>>>,
}

impl Log {
    /// Starts a log behind what [`recover`] found in `dir`.
    ///
    /// Creates `dir` in a parent that is there and durable. A torn tail is cut off and the rest of that file synced. No file is appended to again: the
    /// next frame opens a new one, of a new epoch. Until then nothing is allocated, so a log starts
    /// on a full disk too.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn start(
        storage: Arc<dyn Storage>,
        dir: &Path,
        options: LogOptions,
        recovered: &Recovered,
    ) -> Result<Self> {
        storage.create_directory(dir)?;
        // Also where it was there: a start that was cut short may not have come to this.
        if let Some(parent) = dir.parent() {
            storage.sync_directory(parent)?;
        }
        let spare_path = dir.join(file::SPARE_NAME);
        if storage.exists(&spare_path)? {
            storage.remove(&spare_path)?;
        }
        recovered.settle(storage.as_ref(), dir)?;
        let options = LogOptions {
            file_bytes: options.file_bytes.max(LOG_FILE_BYTES_MIN),
            ..options
        };
        Ok(Self {
            writer: Mutex::new(Writer::new(recovered)),
            storage,
            dir: dir.to_owned(),
            options,
            failures: AtomicU64::new(0),
            queue: Mutex::default(),
            turn: Condvar::new(),
            frame: Mutex::default(),
            syncing: Mutex::default(),
            spare: Mutex::default(),
        })
    }

    /// Taken before the caller puts its bytes where `drain` finds them.
    ///
    /// Another thread's commit may drain them at once, and fail. Then the frame they were in is
    /// lost, and [`Log::commit`] knows by the ticket to refuse them.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket {
            failures: self.failures(),
        }
    }

    /// Makes everything that was put before the call as durable as configured, or `sync` asks.
    ///
    /// Group commit: of all callers one leads. It calls its `drain`, which must append what *every*
    /// caller has put so far (behind the bytes that are in the vector already), writes that as one
    /// frame, and syncs once. The others wait for a leader that drained after they came. `drain`
    /// must not commit. Where it appends nothing, no frame is written, and what came before is made
    /// durable all the same.
    ///
    /// Answers the last sequence that is acknowledged by it.
    ///
    /// # Errors
    /// All leave the callers' rows refused, though they may be found by a later recovery:
    /// [`crate::Error::Full`] while the disk is full; later commits try again by themselves.
    /// [`crate::Error::Limit`] where the drained bytes are over
    /// [`crate::frame::FRAME_BODY_BYTES_MAX`]. [`crate::Error::Io`] where a new file could not be
    /// opened; later commits try again. [`crate::Error::Stopped`] once any write or sync has failed
    /// otherwise; no later commit succeeds.
    pub fn commit(
        &self,
        ticket: Ticket,
        drain: &dyn Fn(&mut Vec<u8>),
        sync: CommitSync,
    ) -> Result<u64> {
        let outcome = match self.join(sync) {
            Role::Waited(outcome) => outcome,
            Role::Leads(lead) => {
                let sync = lead.sync();
                lead.finish(self.append(drain).and_then(|last| match sync {
                    CommitSync::Always => self.sync_frames(),
                    CommitSync::AsConfigured => Ok(last),
                }))
            }
        };
        outcome.answer(ticket)
    }

    /// Makes every frame that is written durable: the owner's timer calls it for
    /// [`Durability::Interval`]. Commits go on meanwhile.
    ///
    /// Answers the last sequence that is durable.
    ///
    /// # Errors
    /// [`crate::Error::Stopped`], also where this sync fails: it is never tried again.
    pub fn sync(&self) -> Result<u64> {
        Ok(self.sync_frames()?)
    }

    /// Ends the current file; the next frame opens a new one.
    ///
    /// What `drain` gives becomes the last frame before the boundary. No other drain runs at the
    /// same time, so a `drain` that locks all buffers, takes their bytes and starts a new
    /// generation puts all bytes of the old one at or before the boundary and all of the new one
    /// behind it. The old file is synced, whatever the durability.
    ///
    /// Answers the boundary: frames up to it are in files that are closed, later ones are not.
    /// Where the last frame did not fit on the disk its rows are refused, to those who commit them.
    ///
    /// # Errors
    /// [`crate::Error::Stopped`].
    pub fn rotate(&self, drain: &dyn Fn(&mut Vec<u8>)) -> Result<u64> {
        let lead = self.lead();
        let appended = self.append(drain);
        let closed = self.close_file();
        let outcome = match &closed {
            Ok(()) => appended,
            Err(failure) => Err(failure.clone()),
        };
        lead.finish(outcome);
        closed?;
        Ok(self.writer.lock().last_sequence())
    }

    /// Removes closed files whose every frame is at or before `through`, oldest first. Answers how
    /// many.
    ///
    /// The caller has made durable elsewhere that frames up to `through` are not needed: from then
    /// on [`recover`] is to be called with at least this `after`.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; the files that are left are tried again the next time.
    pub fn remove_covered(&self, through: u64) -> Result<usize> {
        let mut removed = 0;
        loop {
            // Without the lock on the writer: freeing the blocks of a large file takes a while.
            let Some(file) = self.writer.lock().take_covered(through) else {
                return Ok(removed);
            };
            if let Err(error) = self.storage.remove(&self.dir.join(file.name())) {
                self.writer.lock().put_back(file);
                return Err(error);
            }
            removed += 1;
        }
    }

    /// Allocates the next file before it is needed, so that no commit waits for it. The owner's
    /// timer calls this; it does nothing while the current file is less than half full.
    ///
    /// Answers whether it made one.
    ///
    /// # Errors
    /// [`crate::Error::Io`], a full disk among them; the log itself goes on.
    pub fn prepare(&self) -> Result<bool> {
        if !self.writer.lock().wants_spare() {
            return Ok(false);
        }
        let mut spare = self.spare.lock();
        if spare.is_some() {
            return Ok(false);
        }
        let made = file::create_spare(self.storage.as_ref(), &self.dir).and_then(|file| {
            file.allocate(self.options.file_bytes)?;
            file.sync()?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                *spare = Some(file);
                Ok(true)
            }
            Err(error) => {
                file::discard_spare(self.storage.as_ref(), &self.dir);
                Err(error)
            }
        }
    }

    /// How many groups of commits were answered with an error. After it changes, an encoder must
    /// not write deltas to rows from before: they may be lost.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// What the log has done and holds.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.writer.lock().stats(self.failures())
    }

    /// The options the log was started with.
    #[must_use]
    pub fn options(&self) -> LogOptions {
        self.options
    }

    /// Writes what `drain` gives as one frame. Only a leader comes here. Answers the last sequence.
    fn append(&self, drain: &dyn Fn(&mut Vec<u8>)) -> Result<u64, Failure> {
        let mut frame = self.frame.lock();
        frame.clear();
        frame.resize(FRAME_HEADER_BYTES, 0);
        drain(&mut frame);
        assert!(
            frame.len() >= FRAME_HEADER_BYTES,
            "a drain only appends to what is in the vector"
        );
        // Bytes are drained whatever the state, so that buffers do not grow while it is bad.
        let appended = self.append_frame(&mut frame);
        frame.clear();
        frame.shrink_to(FRAME_BUFFER_KEPT_BYTES);
        appended
    }

    fn append_frame(&self, frame: &mut Vec<u8>) -> Result<u64, Failure> {
        let body_bytes = frame.len() - FRAME_HEADER_BYTES;
        let has_room = {
            let writer = self.writer.lock();
            writer.check()?;
            if body_bytes == 0 {
                return Ok(writer.last_sequence());
            }
            if body_bytes > FRAME_BODY_BYTES_MAX {
                return Err(Failure::Limit {
                    got: body_bytes as u64,
                });
            }
            writer.has_room(body_bytes, self.options.file_bytes)
        };
        if !has_room {
            self.close_file()?;
            self.open_file(body_bytes)?;
        }
        let written = {
            let mut writer = self.writer.lock();
            let place = writer.next_place()?;
            seal(frame, place.epoch, place.sequence, place.synced_sequence)
                .expect("the limit was checked");
            writer.write(&place, frame)
        };
        match written {
            Err(failure @ Failure::Full { .. }) => {
                // Closing cuts off the part of the frame that was written.
                self.close_file()?;
                Err(failure)
            }
            other => other,
        }
    }

    /// Syncs what is written. Answers the last sequence that is durable.
    fn sync_frames(&self) -> Result<u64, Failure> {
        let _one_at_a_time = self.syncing.lock();
        let (file, last_sequence) = {
            let writer = self.writer.lock();
            writer.check()?;
            match writer.unsynced() {
                Some(unsynced) => unsynced,
                None => return Ok(writer.last_sequence()),
            }
        };
        let synced = file.sync();
        self.writer.lock().synced(last_sequence, synced)
    }

    /// Cuts the current file to its frames, syncs and closes it. A file without frames stays.
    fn close_file(&self) -> Result<(), Failure> {
        let _one_at_a_time = self.syncing.lock();
        self.writer.lock().close()
    }

    fn open_file(&self, body_bytes: usize) -> Result<(), Failure> {
        let mut writer = self.writer.lock();
        // Held until the file has a name of its own: both ways to make one use the same before.
        let mut spare = self.spare.lock();
        writer.open(
            self.storage.as_ref(),
            &self.dir,
            file::bytes_for(self.options.file_bytes, body_bytes),
            spare.take(),
        )
    }
}

#[cfg(test)]
mod tests;
