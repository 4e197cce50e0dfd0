//! The state behind a log's writer lock: the current file, the closed ones, the sequences.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::Failure;
use super::file::{
    Epoch, FRAMES_START_BYTES, Header, Predecessor, SPARE_NAME, create_spare, discard_spare,
};
use super::follow::FilePlace;
use super::recovery::Recovered;
use super::{LogFile, LogState, LogStats};
use crate::Error;
use crate::frame::frame_bytes;
use crate::storage::{File, Storage};

/// A file that is not written to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClosedFile {
    pub(super) epoch: Epoch,
    /// No frame that counts is behind this one in it.
    pub(super) last_sequence: u64,
    pub(super) len_bytes: u64,
}

impl ClosedFile {
    pub(super) fn name(&self) -> String {
        self.epoch.file_name()
    }
}

/// The file that is written to.
#[derive(Debug)]
struct CurrentFile {
    file: Arc<dyn File>,
    path: PathBuf,
    epoch: Epoch,
    end_bytes: u64,
    len_bytes: u64,
}

/// What goes into the next frame's header, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) synced_sequence: u64,
}

#[derive(Debug)]
pub(super) struct Writer {
    state: LogState,
    current: Option<CurrentFile>,
    /// Oldest first; `last_sequence` never falls from one to the next.
    closed: VecDeque<ClosedFile>,
    /// The last file with frames, or that recovery ended in: the next header names it.
    predecessor: Option<Predecessor>,
    /// Of any file that was ever made, also where that failed half way.
    latest_epoch: Option<Epoch>,
    last_sequence: u64,
    synced_sequence: u64,
    frames: u64,
    bytes: u64,
    syncs: u64,
}

impl Writer {
    pub(super) fn new(recovered: &Recovered) -> Self {
        Self {
            state: LogState::Running,
            current: None,
            closed: recovered.files.iter().copied().collect(),
            predecessor: recovered.predecessor,
            latest_epoch: recovered.latest_epoch,
            last_sequence: recovered.last_sequence,
            synced_sequence: recovered.last_sequence,
            frames: 0,
            bytes: 0,
            syncs: 0,
        }
    }

    /// Fails where the log has stopped.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &self.state {
            LogState::Running | LogState::Full => Ok(()),
            LogState::Stopped(reason) => Err(Failure::Stopped {
                reason: Arc::clone(reason),
            }),
        }
    }

    /// Stops the log for good. The first reason stays.
    pub(super) fn stop(&mut self, reason: &str) -> Failure {
        let reason = match &self.state {
            LogState::Stopped(first) => Arc::clone(first),
            LogState::Running | LogState::Full => Arc::from(reason),
        };
        self.state = LogState::Stopped(Arc::clone(&reason));
        Failure::Stopped { reason }
    }

    fn stop_for(&mut self, error: &Error) -> Failure {
        self.stop(&error.to_string())
    }

    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    pub(super) fn has_room(&self, body_bytes: usize, file_bytes: u64) -> bool {
        self.current.as_ref().is_some_and(|current| {
            let end_bytes = current.end_bytes + frame_bytes(body_bytes) as u64;
            end_bytes <= file_bytes.max(current.len_bytes)
                || current.end_bytes == FRAMES_START_BYTES
        })
    }

    /// Whether the next file will be needed soon.
    pub(super) fn wants_spare(&self) -> bool {
        match (&self.state, &self.current) {
            (LogState::Stopped(_), _) => false,
            (_, None) => true,
            (_, Some(current)) => current.end_bytes >= current.len_bytes / 2,
        }
    }

    /// Where the next frame goes.
    pub(super) fn next_place(&mut self) -> Result<Place, Failure> {
        let current = self.current.as_ref().expect("a file was opened before");
        let epoch = current.epoch.0;
        match self.last_sequence.checked_add(1) {
            Some(sequence) => Ok(Place {
                epoch,
                sequence,
                synced_sequence: self.synced_sequence,
            }),
            None => Err(self.stop("the log has no sequence left")),
        }
    }

    /// Writes a sealed frame behind the others. Answers its sequence.
    ///
    /// Where the disk is full the caller has to [`Writer::close`] the file.
    pub(super) fn write(&mut self, place: &Place, frame: &[u8]) -> Result<u64, Failure> {
        let current = self.current.as_mut().expect("a file was opened before");
        match current.file.write_at(current.end_bytes, frame) {
            Ok(()) => {}
            Err(error) if error.is_full() => {
                self.state = LogState::Full;
                return Err(Failure::Full {
                    path: current.path.clone(),
                });
            }
            Err(error) => return Err(self.stop_for(&error)),
        }
        let frame_bytes = frame.len() as u64;
        current.end_bytes += frame_bytes;
        current.len_bytes = current.len_bytes.max(current.end_bytes);
        self.last_sequence = place.sequence;
        self.frames += 1;
        self.bytes += frame_bytes;
        Ok(place.sequence)
    }

    /// The file with frames that are not durable, and the last of them.
    pub(super) fn unsynced(&self) -> Option<(Arc<dyn File>, u64)> {
        let current = self.current.as_ref()?;
        (self.synced_sequence < self.last_sequence)
            .then(|| (Arc::clone(&current.file), self.last_sequence))
    }

    /// Notes how a sync of frames up to `last_sequence` went.
    pub(super) fn synced(
        &mut self,
        last_sequence: u64,
        synced: crate::Result<()>,
    ) -> Result<u64, Failure> {
        match synced {
            Ok(()) => {
                self.syncs += 1;
                self.synced_sequence = self.synced_sequence.max(last_sequence);
                Ok(self.synced_sequence)
            }
            Err(error) => Err(self.stop_for(&error)),
        }
    }

    /// Cuts the current file behind its last frame, syncs it, and takes it as closed. A file
    /// without frames stays current, unless the last write to it failed for want of space.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        self.check()?;
        let is_full = self.state == LogState::Full;
        let Some(current) = self
            .current
            .take_if(|current| is_full || current.end_bytes > FRAMES_START_BYTES)
        else {
            return Ok(());
        };
        let cut = current.file.set_len(current.end_bytes);
        if let Err(error) = cut.and_then(|()| current.file.sync()) {
            return Err(self.stop_for(&error));
        }
        self.syncs += 1;
        self.synced_sequence = self.last_sequence;
        self.predecessor = Some(Predecessor {
            epoch: current.epoch,
            end_bytes: current.end_bytes,
        });
        self.closed.push_back(ClosedFile {
            epoch: current.epoch,
            last_sequence: self.last_sequence,
            len_bytes: current.end_bytes,
        });
        Ok(())
    }

    /// Opens a new file, its header synced and its name durable. All frames before are durable.
    pub(super) fn open(
        &mut self,
        storage: &dyn Storage,
        dir: &Path,
        file_bytes: u64,
        prepared: Option<Box<dyn File>>,
    ) -> Result<(), Failure> {
        if self.current.is_some() {
            return Ok(());
        }
        let epoch = match Epoch::after(self.latest_epoch) {
            Ok(epoch) => epoch,
            Err(reason) => return Err(self.stop(reason)),
        };
        let first_sequence = match self.last_sequence.checked_add(1) {
            Some(sequence) => sequence,
            None => return Err(self.stop("the log has no sequence left")),
        };
        let path = dir.join(epoch.file_name());
        let header = Header {
            epoch,
            first_sequence,
            predecessor: self.predecessor,
        };
        self.latest_epoch = Some(epoch);
        let file = match make(storage, dir, &header, file_bytes, prepared) {
            Ok(file) => file,
            Err((severity, error)) => {
                // Whatever was made holds no frame and is in nobody's way.
                discard_spare(storage, dir);
                if error.is_full() {
                    self.state = LogState::Full;
                    return Err(Failure::Full { path });
                }
                return Err(match severity {
                    Severity::Retry => Failure::unopened(&error),
                    Severity::Stop => self.stop_for(&error),
                });
            }
        };
        if let Err(error) = storage.sync_directory(dir) {
            return Err(self.stop_for(&error));
        }
        self.state = LogState::Running;
        self.current = Some(CurrentFile {
            file,
            path,
            epoch,
            end_bytes: FRAMES_START_BYTES,
            len_bytes: file_bytes,
        });
        Ok(())
    }

    /// Takes the oldest closed file out of the list, where `through` covers it.
    pub(super) fn take_covered(&mut self, through: u64) -> Option<ClosedFile> {
        let oldest = self.closed.front()?;
        if oldest.last_sequence > through {
            return None;
        }
        self.closed.pop_front()
    }

    /// Puts a file that could not be removed back.
    pub(super) fn put_back(&mut self, file: ClosedFile) {
        self.closed.push_front(file);
    }

    /// Whether the frame `sequence` is written but not durable.
    pub(super) fn is_unsynced(&self, sequence: u64) -> bool {
        self.synced_sequence < sequence && sequence <= self.last_sequence
    }

    /// The file that the durable frame `sequence`, or where that is gone the next one, is in.
    pub(super) fn place_of(&self, sequence: u64) -> Option<FilePlace> {
        if sequence > self.synced_sequence {
            return None;
        }
        let closed = self.closed.iter().map(|file| FilePlace {
            epoch: file.epoch,
            end_bytes: file.len_bytes,
            last_sequence: file.last_sequence,
        });
        let current = self.current.iter().map(|current| FilePlace {
            epoch: current.epoch,
            end_bytes: current.end_bytes,
            last_sequence: self.synced_sequence,
        });
        let mut places = closed.chain(current);
        places.find(|place| place.last_sequence >= sequence)
    }

    /// Whether a file is not written to any more.
    pub(super) fn is_closed(&self, epoch: Epoch) -> bool {
        self.closed.iter().any(|file| file.epoch == epoch)
    }

    pub(super) fn files(&self) -> Vec<LogFile> {
        let closed = self.closed.iter().map(|file| LogFile {
            last_sequence: file.last_sequence,
            len_bytes: file.len_bytes,
        });
        let current = self.current.iter().map(|current| LogFile {
            last_sequence: self.last_sequence,
            len_bytes: current.end_bytes,
        });
        closed.chain(current).collect()
    }

    pub(super) fn stats(&self, failures: u64) -> LogStats {
        let closed_bytes: u64 = self.closed.iter().map(|file| file.len_bytes).sum();
        let current = self.current.as_ref();
        LogStats {
            frames: self.frames,
            bytes: self.bytes,
            syncs: self.syncs,
            failures,
            files: self.closed.len() as u64 + u64::from(current.is_some()),
            disk_bytes: closed_bytes + current.map_or(0, |current| current.len_bytes),
            last_sequence: self.last_sequence,
            synced_sequence: self.synced_sequence,
            state: self.state.clone(),
        }
    }
}

/// What a failure while a file is made means.
enum Severity {
    /// The next commit may try another file.
    Retry,
    /// The disk does not keep what it is given.
    Stop,
}

/// Makes a whole file with its header under its own name, which is not durable yet.
fn make(
    storage: &dyn Storage,
    dir: &Path,
    header: &Header,
    file_bytes: u64,
    prepared: Option<Box<dyn File>>,
) -> Result<Arc<dyn File>, (Severity, Error)> {
    let retry = |error| (Severity::Retry, error);
    let stop = |error| (Severity::Stop, error);
    let path = dir.join(header.epoch.file_name());
    let spare = match prepared {
        Some(spare) => spare,
        None => {
            let spare = create_spare(storage, dir).map_err(retry)?;
            spare.allocate(file_bytes).map_err(stop)?;
            spare
        }
    };
    spare.write_at(0, &header.encode()).map_err(stop)?;
    spare.sync().map_err(stop)?;
    storage
        .rename(&dir.join(SPARE_NAME), &path)
        .map_err(retry)?;
    // Opened by its own name, which errors then tell.
    Ok(Arc::from(storage.open(&path).map_err(retry)?))
}
