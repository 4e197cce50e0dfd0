//! A log under test, and what it promised.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_wal::log::{
    CommitSync, Durability, LOG_FILE_BYTES_MIN, Log, LogOptions, LogState, Recovered, recover,
};
use plimsoll_wal::storage::Storage;
use plimsoll_wal::storage::memory::{Memory, Survivors, Unsynced};
use plimsoll_wal::{Error, Result};

pub const DIR: &str = "data/log";

pub fn dir() -> &'static Path {
    Path::new(DIR)
}

pub fn options(durability: Durability) -> LogOptions {
    LogOptions {
        file_bytes: LOG_FILE_BYTES_MIN,
        durability,
    }
}

pub const DURABILITIES: [Durability; 3] = [
    Durability::Sync,
    Durability::Interval(Duration::from_millis(100)),
    Durability::None,
];

/// What crashes are tried: everything, nothing, and seeded parts of what was not synced.
pub fn crashes() -> Vec<Survivors> {
    use Unsynced::{Dropped, Kept, Torn, TornPages};
    let mut crashes = Vec::new();
    for bytes in [Kept, Dropped, Torn(1), Torn(2), TornPages(3), Torn(4)] {
        for entries in [Kept, Dropped, Torn(5)] {
            crashes.push(Survivors { bytes, entries });
        }
    }
    crashes
}

/// An empty disk with the directory that the log's lies in.
pub fn disk() -> Memory {
    let memory = Memory::new();
    memory.create_directory(Path::new("data")).unwrap();
    memory.sync_directory(Path::new("")).unwrap();
    memory
}

pub fn shared(memory: &Memory) -> Arc<dyn Storage> {
    Arc::new(memory.clone())
}

/// Sequences and bodies.
pub type Frames = Vec<(u64, Vec<u8>)>;

/// Recovers with every frame's sequence and body.
pub fn read(memory: &Memory, after: u64) -> Result<(Recovered, Frames)> {
    let mut frames = Vec::new();
    let recovered = recover(&shared(memory), dir(), after, &mut |frame| {
        frames.push((frame.sequence, frame.body.to_vec()));
        Ok::<(), Error>(())
    })?;
    Ok((recovered, frames))
}

/// Recovers and starts.
pub fn start(memory: &Memory, durability: Durability, after: u64) -> Result<Log> {
    let (recovered, _) = read(memory, after)?;
    Log::start(shared(memory), dir(), options(durability), &recovered)
}

/// Commits one body as a single writer.
pub fn commit(log: &Log, body: &[u8], sync: CommitSync) -> Result<u64> {
    log.commit(log.ticket(), &|out| out.extend_from_slice(body), sync)
}

/// A body that tells its number, of a length that varies with it.
pub fn body(number: u64) -> Vec<u8> {
    let len = 8 + usize::try_from(number * 397 % 1300).unwrap();
    let mut body = number.to_le_bytes().to_vec();
    body.resize(len, u8::try_from(number % 251).unwrap() + 1);
    body
}

pub fn log_files(memory: &Memory) -> Vec<PathBuf> {
    let names = memory.list(dir()).unwrap();
    let files = names.iter().filter(|name| name.ends_with(".log"));
    files.map(|name| dir().join(name)).collect()
}

/// Changes a file's bytes behind everyone's back.
pub fn overwrite(memory: &Memory, path: &Path, bytes: &[u8]) {
    memory.put(path, bytes);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Commit,
    CommitSynced,
    /// A commit whose drain finds nothing.
    CommitEmpty,
    /// A commit of a frame that is larger than a log file.
    CommitLarge,
    Sync,
    Rotate,
    /// A rotation that drains one more body into the old file.
    RotateWithBody,
    Prepare,
    /// Everything so far is durable elsewhere.
    Cover,
    /// The same of half of it.
    CoverHalf,
}

pub const STEPS: [Step; 26] = [
    Step::Commit,
    Step::Commit,
    Step::CommitSynced,
    Step::Commit,
    Step::CommitEmpty,
    Step::Commit,
    Step::Prepare,
    Step::Commit,
    Step::Commit,
    Step::Rotate,
    Step::Rotate,
    Step::Commit,
    Step::Sync,
    Step::Commit,
    Step::CoverHalf,
    Step::Commit,
    Step::CommitLarge,
    Step::Commit,
    Step::RotateWithBody,
    Step::Prepare,
    Step::Commit,
    Step::CommitSynced,
    Step::Cover,
    Step::Commit,
    Step::Rotate,
    Step::Cover,
];

/// What was sent to a log and what it promised.
#[derive(Debug, Default, Clone)]
pub struct Promises {
    /// Bodies by sequence, the first one's is 1. A refused one stays only where it is the last.
    pub sent: Vec<Vec<u8>>,
    /// Sequences up to this one survive a power cut.
    pub durable: u64,
    /// Sequences up to this one survive the end of the program.
    pub written: u64,
    /// Sequences up to this one are durable elsewhere.
    pub covered: u64,
    next_number: u64,
}

impl Promises {
    fn next_body(&mut self) -> Vec<u8> {
        self.next_number += 1;
        body(self.next_number)
    }

    /// Sends a body. A refused one takes no sequence, but may be found at the one it would have had.
    fn send(&mut self, body: Vec<u8>) {
        self.sent.truncate(usize::try_from(self.written).unwrap());
        self.sent.push(body);
    }

    fn acknowledge(&mut self, last: u64, durable: bool) {
        assert!(
            last <= self.sent.len() as u64,
            "{last} of {}",
            self.sent.len()
        );
        assert!(
            last >= self.written,
            "acknowledged {last} after {}",
            self.written
        );
        self.written = last;
        if durable {
            self.durable = last;
        }
    }

    /// Notes a body that was committed, synced, outside of the steps.
    pub fn committed(&mut self, last: u64, body: &[u8]) {
        self.send(body.to_vec());
        self.acknowledge(last, true);
    }

    /// One step; an error is the log's.
    pub fn step(&mut self, log: &Log, step: Step) -> Result<()> {
        let is_sync = log.options().durability == Durability::Sync;
        match step {
            Step::Commit | Step::CommitSynced | Step::CommitEmpty | Step::CommitLarge => {
                let sync = match step {
                    Step::CommitSynced => CommitSync::Always,
                    _ => CommitSync::AsConfigured,
                };
                let mut bytes = Vec::new();
                if step != Step::CommitEmpty {
                    bytes = self.next_body();
                    if step == Step::CommitLarge {
                        bytes.resize(6000, 77);
                    }
                    self.send(bytes.clone());
                }
                let last = commit(log, &bytes, sync)?;
                let expected = if bytes.is_empty() {
                    self.written
                } else {
                    self.written + 1
                };
                assert_eq!(last, expected, "the next sequence");
                self.acknowledge(last, is_sync || sync == CommitSync::Always);
            }
            Step::Sync => {
                let last = log.sync()?;
                self.acknowledge(last, true);
            }
            Step::Rotate => {
                let last = log.rotate(&|_| {})?;
                self.acknowledge(last, true);
            }
            Step::RotateWithBody => {
                let bytes = self.next_body();
                self.send(bytes.clone());
                let last = log.rotate(&|out| out.extend_from_slice(&bytes))?;
                self.acknowledge(last, true);
            }
            Step::Prepare => {
                log.prepare()?;
            }
            Step::Cover | Step::CoverHalf => {
                let share = if step == Step::Cover { 1 } else { 2 };
                // A flush syncs what it covers elsewhere first; it need not be durable here.
                self.covered = self.covered.max(self.written / share);
                log.remove_covered(self.covered)?;
            }
        }
        Ok(())
    }

    /// Runs all steps, until one fails.
    pub fn run(&mut self, memory: &Memory, durability: Durability, steps: &[Step]) -> Result<()> {
        let log = start(memory, durability, self.covered)?;
        for &step in steps {
            self.step(&log, step)?;
        }
        assert_eq!(log.stats().state, LogState::Running);
        Ok(())
    }

    /// Asserts acknowledged ⊆ recovered ⊆ sent, in order. Answers how far it was recovered.
    pub fn check(&self, memory: &Memory, acknowledged: u64, what: &dyn std::fmt::Debug) -> u64 {
        let (recovered, frames) = match read(memory, self.covered) {
            Ok(read) => read,
            Err(error) => panic!("{what:?}: {error}"),
        };
        for (index, (sequence, body)) in frames.iter().enumerate() {
            assert_eq!(*sequence, self.covered + 1 + index as u64, "{what:?}");
            let sent = self.sent.get(usize::try_from(sequence - 1).unwrap());
            assert_eq!(Some(body), sent, "{what:?}: frame {sequence}");
        }
        assert_eq!(recovered.last_sequence, self.covered + frames.len() as u64);
        assert_eq!(recovered.frames, frames.len() as u64);
        assert!(
            recovered.last_sequence >= acknowledged,
            "{what:?}: {acknowledged} were acknowledged, {} recovered",
            recovered.last_sequence
        );
        assert_eq!(
            read(memory, self.covered).unwrap(),
            (recovered.clone(), frames),
            "{what:?}"
        );
        recovered.last_sequence
    }

    /// What goes on after a crash that left the log up to `last`.
    pub fn continued(&self, last: u64) -> Self {
        let mut next = self.clone();
        next.sent.truncate(usize::try_from(last).unwrap());
        next.sent.resize(usize::try_from(last).unwrap(), Vec::new());
        next.written = last;
        next
    }
}
