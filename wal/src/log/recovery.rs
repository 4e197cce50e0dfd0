//! Reading a log back: which files count, which frames do, and where it ends.
//!
//! The rule (DESIGN section 4): a file that has a successor was durable up to where the successor's
//! header says, so anything bad before is corruption. In the last file, a bad frame is corruption
//! only where a later sound frame says that it had been durable; otherwise unsynced pages reached
//! the disk in any order, and the log ends before it. Reading changes nothing on the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Epoch, HEADER_BYTES, Header, Predecessor};
use super::writer::ClosedFile;
use crate::frame::{Frame, decode, find};
use crate::storage::{ReadMode, Storage};
use crate::{Error, Result};

/// How a log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// Behind the last whole frame there is nothing.
    Clean,
    /// Behind the last whole frame there are bytes that were never durable.
    Torn {
        /// The last file.
        path: PathBuf,
        /// Where its last whole frame ends.
        valid_to: u64,
        /// How many bytes follow, up to the last that is not zero.
        dropped_bytes: u64,
    },
}

/// What [`recover`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The last frame's sequence; at least the `after` that was asked for.
    pub last_sequence: u64,
    /// How many frames were visited.
    pub frames: u64,
    /// The bytes of their bodies.
    pub body_bytes: u64,
    /// How the log ends.
    pub tail: Tail,
    /// Oldest first, also those that are covered by `after` and were not read.
    pub(super) files: Vec<ClosedFile>,
    /// What the next file's header names.
    pub(super) predecessor: Option<Predecessor>,
    pub(super) latest_epoch: Option<Epoch>,
}

impl Recovered {
    /// Cuts the last file to what was recovered and makes that durable, as the next file's header
    /// is going to say.
    pub(super) fn settle(&self, storage: &dyn Storage, dir: &Path) -> Result<()> {
        let Some(predecessor) = self.predecessor else {
            return Ok(());
        };
        let file = storage.open(&dir.join(predecessor.epoch.file_name()))?;
        if file.len()? > predecessor.end_bytes {
            file.set_len(predecessor.end_bytes)?;
        }
        file.sync()?;
        storage.sync_directory(dir)
    }
}

/// Visits every frame with a sequence over `after`, in order.
///
/// `after` is what the caller knows to be durable elsewhere; files that hold nothing later are not
/// read. Nothing on the disk is changed: [`super::Log::start`] cuts a torn tail.
///
/// # Errors
/// [`Error::Corrupt`] where a frame or header that was durable does not verify, or a file is
/// missing; [`Error::NewerFormat`]; [`Error::Io`]; whatever `visit` answers. Frames before the bad
/// one may have been visited.
pub fn recover<E: From<Error>>(
    storage: &Arc<dyn Storage>,
    dir: &Path,
    after: u64,
    visit: &mut dyn FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<Recovered, E> {
    let epochs = epochs(storage.as_ref(), dir)?;
    let chain = chain(storage.as_ref(), dir, &epochs, after)?;
    let mut recovered = Recovered {
        last_sequence: after,
        frames: 0,
        body_bytes: 0,
        tail: Tail::Clean,
        files: unread(storage.as_ref(), dir, &epochs, &chain, after),
        predecessor: None,
        latest_epoch: epochs.last().copied(),
    };
    let mut visit_later = |frame: Frame<'_>| {
        if frame.sequence <= after {
            return Ok(());
        }
        recovered.frames += 1;
        recovered.body_bytes += frame.body.len() as u64;
        visit(frame)
    };
    let mut end = None;
    for (index, header) in chain.iter().enumerate() {
        let path = dir.join(header.epoch.file_name());
        let bytes = storage.region(&path, ReadMode::Pread)?;
        let successor = chain.get(index + 1);
        let limit = match successor.and_then(|successor| successor.predecessor) {
            Some(this) => usize::try_from(this.end_bytes).unwrap_or(usize::MAX),
            None => bytes.len(),
        };
        let frames = bytes.get(..limit).unwrap_or(&bytes);
        let reached = walk(frames, header, &mut visit_later)?;
        match successor {
            Some(successor) => reached.check_whole(limit, successor, &path)?,
            None => recovered.tail = judge_tail(&bytes, header, reached, &path)?,
        }
        recovered.files.push(ClosedFile {
            epoch: header.epoch,
            last_sequence: reached.last_sequence,
            len_bytes: reached.offset as u64,
        });
        end = Some((header.epoch, reached));
    }
    if let Some((epoch, reached)) = end
        && reached.last_sequence >= after
    {
        recovered.last_sequence = reached.last_sequence;
        recovered.predecessor = Some(Predecessor {
            epoch,
            end_bytes: reached.offset as u64,
        });
    }
    // Otherwise the log had lost frames, unsynced, that were durable elsewhere. What it holds is
    // covered, and the next file starts a chain of its own.
    Ok(recovered)
}

/// The epochs of the files in `dir`, in order.
pub(super) fn epochs(storage: &dyn Storage, dir: &Path) -> Result<Vec<Epoch>> {
    if !storage.exists(dir)? {
        return Ok(Vec::new());
    }
    let names = storage.list(dir)?;
    let mut epochs: Vec<Epoch> = names.iter().filter_map(|n| Epoch::of_name(n)).collect();
    epochs.sort_unstable();
    Ok(epochs)
}

/// The headers of the files to read, oldest first: back from the last one, by what each says of its
/// predecessor, to the one that holds the frame `after + 1`.
///
/// Files between that nobody names were made while another was tried, and hold nothing.
fn chain(storage: &dyn Storage, dir: &Path, epochs: &[Epoch], after: u64) -> Result<Vec<Header>> {
    let mut chain = Vec::new();
    let mut next = epochs.last().copied();
    while let Some(epoch) = next {
        let path = dir.join(epoch.file_name());
        let header = Header::read(storage, &path, epoch)?;
        chain.push(header);
        if header.first_sequence <= after.saturating_add(1) {
            break;
        }
        let missing = |path| Error::Corrupt {
            what: "log file (missing)",
            path,
            offset: 0,
        };
        let Some(predecessor) = header.predecessor else {
            return Err(missing(path));
        };
        if epochs.binary_search(&predecessor.epoch).is_err() {
            return Err(missing(dir.join(predecessor.epoch.file_name())));
        }
        next = Some(predecessor.epoch);
    }
    chain.reverse();
    Ok(chain)
}

/// The files outside of the chain: all they hold is covered by `after`.
///
/// Those before it come in order, each with its last sequence, which the header behind it tells;
/// those that nobody names hold nothing and come first.
fn unread(
    storage: &dyn Storage,
    dir: &Path,
    epochs: &[Epoch],
    chain: &[Header],
    after: u64,
) -> Vec<ClosedFile> {
    let mut bound = after.min(chain.first().map_or(after, |h| h.first_sequence - 1));
    let mut unread = Vec::new();
    let read = |epoch| chain.iter().any(|header| header.epoch == epoch);
    for &epoch in epochs.iter().rev().filter(|&&epoch| !read(epoch)) {
        let path = dir.join(epoch.file_name());
        let is_before = chain.first().is_none_or(|first| epoch < first.epoch);
        unread.push(ClosedFile {
            epoch,
            last_sequence: if is_before { bound } else { 0 },
            // Whoever follows the log needs it, and says so where it is unreadable.
            len_bytes: storage.open(&path).and_then(|file| file.len()).unwrap_or(0),
        });
        if is_before && let Ok(header) = Header::read(storage, &path, epoch) {
            bound = bound.min(header.first_sequence - 1);
        }
    }
    unread.reverse();
    // Stable: whatever holds nothing goes first.
    unread.sort_by_key(|file| file.last_sequence);
    unread
}

/// How far the sound frames of a file go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    offset: usize,
    last_sequence: u64,
}

impl Reached {
    /// A file with a successor has to be sound up to where that says, and lead up to it.
    fn check_whole(self, limit: usize, successor: &Header, path: &Path) -> Result<()> {
        if self.offset != limit
            || self.last_sequence.checked_add(1) != Some(successor.first_sequence)
        {
            return Err(Error::Corrupt {
                what: "log frame",
                path: path.to_owned(),
                offset: self.offset as u64,
            });
        }
        Ok(())
    }
}

/// Visits the frames from the start of a file to the first that is not whole, sound and next.
fn walk<E>(
    bytes: &[u8],
    header: &Header,
    visit: &mut dyn FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<Reached, E> {
    let mut reached = Reached {
        offset: HEADER_BYTES,
        last_sequence: header.first_sequence - 1,
    };
    while let Some(rest) = bytes.get(reached.offset..)
        && let Some((frame, len)) = decode(rest, header.epoch.0)
        && Some(frame.sequence) == reached.last_sequence.checked_add(1)
    {
        visit(frame)?;
        reached.offset += len;
        reached.last_sequence = frame.sequence;
    }
    Ok(reached)
}

/// Decides what the bytes behind the last sound frame of the last file are.
fn judge_tail(bytes: &[u8], header: &Header, reached: Reached, path: &Path) -> Result<Tail> {
    let used = used_bytes(bytes);
    let mut from = reached.offset;
    while let Some((offset, frame, len)) = find(bytes, from..used, header.epoch.0) {
        if frame.sequence > reached.last_sequence && frame.synced_sequence > reached.last_sequence {
            return Err(Error::Corrupt {
                what: "log frame",
                path: path.to_owned(),
                offset: reached.offset as u64,
            });
        }
        from = offset + len;
    }
    if used <= reached.offset {
        return Ok(Tail::Clean);
    }
    Ok(Tail::Torn {
        path: path.to_owned(),
        valid_to: reached.offset as u64,
        dropped_bytes: (used - reached.offset) as u64,
    })
}

/// The length without the zeros at the end, which preallocation leaves.
pub(super) fn used_bytes(bytes: &[u8]) -> usize {
    const STEP_BYTES: usize = 4096;
    let zeros = [0; STEP_BYTES];
    let mut used = bytes.len();
    // By whole steps, which the compiler turns into comparisons of memory, then by bytes.
    while used >= STEP_BYTES && bytes[used - STEP_BYTES..used] == zeros {
        used -= STEP_BYTES;
    }
    bytes[..used]
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1)
}
