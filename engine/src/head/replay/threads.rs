//! Threads that apply sections of the log, each shard's in their order.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{Fault, Target};

/// What is handed to a thread at a time, bytes.
const HANDED_BYTES: usize = 256 << 10;
/// What waits for a thread, beside what it works on.
const WAITING_MAX: usize = 4;
/// A log that is shorter is read by one thread.
const ALONE_BYTES_MAX: usize = 1 << 20;
/// The most threads.
const THREADS_MAX: usize = 8;

/// Where a section stood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) shard: usize,
    pub(super) sequence: u64,
    /// In the frame's body.
    pub(super) offset: usize,
}

/// Sections, one behind the other.
#[derive(Debug, Default)]
struct Sections {
    pieces: Vec<(Piece, usize)>,
    records: Vec<u8>,
}

impl Sections {
    fn push(&mut self, piece: Piece, records: &[u8]) {
        self.records.extend_from_slice(records);
        self.pieces.push((piece, records.len()));
    }

    fn apply(&self, target: &Target) -> Result<(), Fault> {
        let mut rest = self.records.as_slice();
        for (piece, len) in &self.pieces {
            let (records, behind) = rest.split_at(*len);
            rest = behind;
            let applied = target.apply(piece.shard, records);
            applied.map_err(|at| (piece.sequence, piece.offset + at))?;
        }
        Ok(())
    }
}

/// One thread, what is on its way to it, and what it says in the end.
#[derive(Debug)]
struct Thread {
    sections: Sections,
    sender: SyncSender<Sections>,
    handle: JoinHandle<Result<(), Fault>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Threads {
    /// What was read before it was worth a thread.
    first: Sections,
    threads: Vec<Thread>,
}

impl Threads {
    /// Takes a section.
    ///
    /// # Errors
    /// Where a record of a section makes no sense.
    pub(super) fn take(
        &mut self,
        target: &Arc<Target>,
        piece: Piece,
        records: &[u8],
    ) -> Result<(), Fault> {
        if self.threads.is_empty() {
            self.first.push(piece, records);
            if self.first.records.len() < ALONE_BYTES_MAX {
                return Ok(());
            }
            self.start(target);
            let first = std::mem::take(&mut self.first);
            let mut rest = first.records.as_slice();
            for (piece, len) in first.pieces {
                let (records, behind) = rest.split_at(len);
                rest = behind;
                self.hand(target, piece, records)?;
            }
            return Ok(());
        }
        self.hand(target, piece, records)
    }

    fn start(&mut self, target: &Arc<Target>) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.min(THREADS_MAX) {
            let (sender, receiver) = sync_channel::<Sections>(WAITING_MAX);
            let target = Arc::clone(target);
            let handle =
                std::thread::spawn(move || receiver.iter().try_for_each(|s| s.apply(&target)));
            self.threads.push(Thread {
                sections: Sections::default(),
                sender,
                handle,
            });
        }
    }

    fn hand(&mut self, target: &Arc<Target>, piece: Piece, records: &[u8]) -> Result<(), Fault> {
        let number = piece.shard % self.threads.len();
        let thread = &mut self.threads[number];
        thread.sections.push(piece, records);
        if thread.sections.records.len() >= HANDED_BYTES {
            let sections = std::mem::take(&mut thread.sections);
            if thread.sender.send(sections).is_err() {
                // It has stopped at a fault.
                return self.finish(target);
            }
        }
        Ok(())
    }

    /// Waits until everything is applied.
    ///
    /// # Errors
    /// The first fault of one of the threads.
    pub(super) fn finish(&mut self, target: &Arc<Target>) -> Result<(), Fault> {
        let first = std::mem::take(&mut self.first);
        let mut outcome = first.apply(target);
        for thread in std::mem::take(&mut self.threads) {
            let Thread {
                sections,
                sender,
                handle,
            } = thread;
            // Where it fails the thread has stopped at a fault, which is in its answer.
            sender.send(sections).ok();
            drop(sender);
            let answer = match handle.join() {
                Ok(answer) => answer,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            outcome = match (outcome, answer) {
                (Err(one), Err(other)) => Err(one.min(other)),
                (Err(one), Ok(())) | (Ok(()), Err(one)) => Err(one),
                (Ok(()), Ok(())) => Ok(()),
            };
        }
        outcome
    }
}
