//! Reading the log while it is written: durable frames in order, from any sequence on.
//!
//! A [`Follower`] holds no lock between calls and keeps no file: what it has not read may be
//! removed ([`Log::remove_covered`]), and then it says which frames are gone and goes on behind.

use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};

use super::file::{Epoch, FRAMES_START_BYTES, Header};
use super::{Log, LogFile};
use crate::frame::{FRAME_HEADER_BYTES, Frame, decode, find};
use crate::storage::{File, ReadMode, copy_bytes};
use crate::{Error, Result};

/// How much of a file is read at a time; a larger frame is read whole.
const READ_BYTES: usize = 256 << 10;

/// Where a reader of the log stands. See [`Log::follow`].
#[derive(Debug)]
pub struct Follower {
    next_sequence: u64,
    file: Option<OpenFile>,
}

/// The file that holds the next frame.
#[derive(Debug)]
struct OpenFile {
    file: Box<dyn File>,
    path: PathBuf,
    epoch: Epoch,
    /// Where the next frame starts.
    offset_bytes: u64,
    /// Bytes of the file from `offset_bytes` on that were read ahead.
    ahead: Vec<u8>,
    /// How many of them are used.
    used_bytes: usize,
}

/// How [`Log::follow`] ended.
#[derive(Debug)]
pub enum Followed {
    /// Every durable frame was visited.
    End,
    /// The visitor had enough.
    Paused,
    /// Frames are gone: removed, or damaged as the error says. The follower stands behind them.
    Lost {
        /// Their sequences.
        frames: RangeInclusive<u64>,
        /// `None` where their file was removed.
        damage: Option<Error>,
    },
}

impl Follower {
    /// One that reads the frame `next_sequence` first.
    #[must_use]
    pub fn at(next_sequence: u64) -> Self {
        Self {
            next_sequence: next_sequence.max(1),
            file: None,
        }
    }

    /// The frame that is read next.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    fn lose(&mut self, through: u64, damage: Option<Error>) -> Followed {
        let from = self.next_sequence;
        self.next_sequence = through.saturating_add(1);
        Followed::Lost {
            frames: from..=through,
            damage,
        }
    }
}

impl OpenFile {
    /// Reads the frame at the current offset; `None` where there is none within `end_bytes`.
    fn frame(&mut self, end_bytes: u64) -> Result<Option<(Frame<'_>, usize)>> {
        let mut wanted_bytes = FRAME_HEADER_BYTES;
        loop {
            if !self.read_ahead(wanted_bytes, end_bytes)? {
                return Ok(None);
            }
            let rest = &self.ahead[self.used_bytes..];
            let whole_bytes = crate::frame::announced_bytes(rest, self.epoch.0);
            match whole_bytes {
                Some(whole_bytes) if whole_bytes > rest.len() => {
                    if wanted_bytes == whole_bytes {
                        return Ok(None);
                    }
                    wanted_bytes = whole_bytes;
                }
                Some(_) => break,
                None => return Ok(None),
            }
        }
        Ok(decode(&self.ahead[self.used_bytes..], self.epoch.0))
    }

    /// Has at least `wanted_bytes` in `ahead`; whether there are so many before `end_bytes`.
    fn read_ahead(&mut self, wanted_bytes: usize, end_bytes: u64) -> Result<bool> {
        let there = self.ahead.len() - self.used_bytes;
        if there >= wanted_bytes {
            return Ok(true);
        }
        let left = end_bytes.saturating_sub(self.offset_bytes);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if left < wanted_bytes {
            return Ok(false);
        }
        self.ahead.drain(..self.used_bytes);
        self.used_bytes = 0;
        self.ahead.resize(left.min(wanted_bytes.max(READ_BYTES)), 0);
        let from = self.offset_bytes + there as u64;
        if let Err(error) = self.file.read_at(from, &mut self.ahead[there..]) {
            self.ahead.clear();
            return Err(error);
        }
        Ok(true)
    }

    fn advance(&mut self, bytes: usize) {
        self.used_bytes += bytes;
        self.offset_bytes += bytes as u64;
    }

    fn jump(&mut self, offset_bytes: u64) {
        self.ahead.clear();
        self.used_bytes = 0;
        self.offset_bytes = offset_bytes;
    }
}

impl Log {
    /// Visits frames from where `follower` stands, in order, up to the last that is durable or
    /// until `visit` breaks (the frame that it broke at counts as read). Where frames are written
    /// that are not durable yet, it makes them so first, whatever the durability.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Stopped`]: the follower stands where it was, try again. Damage is no
    /// error but [`Followed::Lost`].
    pub fn follow(
        &self,
        follower: &mut Follower,
        visit: &mut dyn FnMut(Frame<'_>) -> ControlFlow<()>,
    ) -> Result<Followed> {
        if self.writer.lock().is_unsynced(follower.next_sequence) {
            self.sync_frames()?;
        }
        loop {
            // At most one file at a time: it may be removed meanwhile.
            let Some(place) = self.writer.lock().place_of(follower.next_sequence) else {
                return Ok(Followed::End);
            };
            let is_open = follower.file.as_ref().map(|file| file.epoch) == Some(place.epoch);
            if !is_open && let Some(lost) = self.open_for(follower, &place)? {
                return Ok(lost);
            }
            let file = follower.file.as_mut().expect("it was opened");
            while follower.next_sequence <= place.last_sequence {
                let Some((frame, len)) = file.frame(place.end_bytes)? else {
                    match self.skip_damage(follower, &place)? {
                        Some(lost) => return Ok(lost),
                        None => break,
                    }
                };
                let sequence = frame.sequence;
                if sequence > follower.next_sequence {
                    return Ok(follower.lose(sequence - 1, None));
                }
                let flow = if sequence == follower.next_sequence {
                    follower.next_sequence += 1;
                    visit(frame)
                } else {
                    ControlFlow::Continue(())
                };
                file.advance(len);
                if flow.is_break() {
                    return Ok(Followed::Paused);
                }
            }
        }
    }

    /// The log files, oldest first.
    #[must_use]
    pub fn files(&self) -> Vec<LogFile> {
        self.writer.lock().files()
    }

    /// Copies what a start needs that knows everything up to `after` from elsewhere: a log that ends
    /// with the last frame that is durable now. Closed files become second names where the disk can
    /// do that. The caller keeps them from being removed meanwhile, and syncs `to`.
    ///
    /// Answers the last sequence, and the names of the files with their lengths.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Stopped`].
    pub fn copy_to(&self, to: &Path, after: u64) -> Result<(u64, Vec<(String, u64)>)> {
        let through = self.sync()?;
        let (mut from, mut copied) = (after, Vec::new());
        while from < through {
            // The lock is given back before anything is copied.
            let place = self.writer.lock().place_of(from + 1);
            let Some(place) = place else {
                break;
            };
            let name = place.epoch.file_name();
            let (source, target) = (self.dir.join(&name), to.join(&name));
            let is_closed = self.writer.lock().is_closed(place.epoch);
            if is_closed {
                crate::storage::link_or_copy(self.storage.as_ref(), &source, &target)?;
            } else {
                copy_bytes(self.storage.as_ref(), &source, &target, place.end_bytes)?;
            }
            copied.push((name, place.end_bytes));
            from = place.last_sequence;
        }
        Ok((from, copied))
    }

    /// Opens the file of `place` for the follower; what is lost where that cannot be.
    fn open_for(&self, follower: &mut Follower, place: &FilePlace) -> Result<Option<Followed>> {
        let path = self.dir.join(place.epoch.file_name());
        follower.file = None;
        let opened = self.storage.open(&path).and_then(|file| {
            let header = Header::read(self.storage.as_ref(), &path, place.epoch)?;
            Ok((file, header))
        });
        match opened {
            Ok((file, header)) => {
                follower.file = Some(OpenFile {
                    file,
                    path,
                    epoch: place.epoch,
                    offset_bytes: FRAMES_START_BYTES,
                    ahead: Vec::new(),
                    used_bytes: 0,
                });
                let is_gap = header.first_sequence > follower.next_sequence;
                Ok(is_gap.then(|| follower.lose(header.first_sequence - 1, None)))
            }
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Some(follower.lose(place.last_sequence, None)))
            }
            Err(damage @ Error::Corrupt { .. }) => {
                Ok(Some(follower.lose(place.last_sequence, Some(damage))))
            }
            Err(error) => Err(error),
        }
    }

    /// Looks for the next sound frame behind one that does not verify; `None` where that one was
    /// read or given up before.
    fn skip_damage(&self, follower: &mut Follower, place: &FilePlace) -> Result<Option<Followed>> {
        let wanted = follower.next_sequence..=place.last_sequence;
        let file = follower.file.as_mut().expect("a frame of it was read");
        let damage = Error::Corrupt {
            what: "log frame",
            path: file.path.clone(),
            offset: file.offset_bytes,
        };
        let region = self.storage.region(&file.path, ReadMode::Pread)?;
        let end = usize::try_from(place.end_bytes).unwrap_or(usize::MAX);
        let bytes = &region[..end.min(region.len())];
        let mut from = usize::try_from(file.offset_bytes).unwrap_or(usize::MAX);
        let found = loop {
            match find(bytes, from..bytes.len(), file.epoch.0) {
                Some((offset, frame, _)) if wanted.contains(&frame.sequence) => {
                    break Some((offset as u64, frame.sequence));
                }
                Some((offset, _, len)) => from = offset + len,
                None => break None,
            }
        };
        Ok(match found {
            Some((offset, sequence)) => {
                file.jump(offset);
                (sequence > *wanted.start()).then(|| follower.lose(sequence - 1, Some(damage)))
            }
            None => {
                // Should it grow, it is searched again from its start.
                follower.file = None;
                Some(follower.lose(place.last_sequence, Some(damage)))
            }
        })
    }
}

/// Where frames are: a file, up to where it is durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilePlace {
    pub(super) epoch: Epoch,
    pub(super) end_bytes: u64,
    /// The last durable frame in it.
    pub(super) last_sequence: u64,
}
