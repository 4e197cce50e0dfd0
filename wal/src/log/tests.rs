//! Who is in which group, which can only be seen from inside.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::*;
use crate::Error;
use crate::storage::Memory;

/// A log with one frame, so that its file is open, and its disk.
fn running(durability: Durability) -> (Memory, Log) {
    let memory = Memory::new();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let recovered = recover(&storage, Path::new("log"), 0, &mut |_| Ok::<(), Error>(())).unwrap();
    let options = LogOptions {
        file_bytes: LOG_FILE_BYTES_MIN,
        durability,
    };
    let log = Log::start(storage, Path::new("log"), options, &recovered).unwrap();
    let first = log.commit(log.ticket(), &|out| out.push(1), CommitSync::AsConfigured);
    assert_eq!(first.unwrap(), 1);
    (memory, log)
}

impl Log {
    /// How many wait for the next frame.
    fn waiting(&self) -> usize {
        self.queue.lock().waiting()
    }
}

/// Lets one thread lead and seven wait; answers the leader's and the others' answers.
fn commit_eight(log: &Log, sync: CommitSync) -> (Result<u64>, Vec<Result<u64>>) {
    let buffer = Mutex::new(Vec::new());
    let drain = |out: &mut Vec<u8>| out.append(&mut buffer.lock());
    let leader_drains = |out: &mut Vec<u8>| {
        out.push(100);
        while log.waiting() < 7 {
            thread::yield_now();
        }
    };
    let has_led = |log: &Log| log.queue.lock().is_led();
    thread::scope(|scope| {
        let leader = scope.spawn(|| log.commit(log.ticket(), &leader_drains, sync));
        while !has_led(log) {
            thread::yield_now();
        }
        let others: Vec<_> = (0..7)
            .map(|number| {
                let (buffer, drain) = (&buffer, &drain);
                scope.spawn(move || {
                    let ticket = log.ticket();
                    buffer.lock().push(number);
                    log.commit(ticket, drain, sync)
                })
            })
            .collect();
        let others = others
            .into_iter()
            .map(|other| other.join().unwrap())
            .collect();
        (leader.join().unwrap(), others)
    })
}

#[test]
fn those_who_wait_for_a_leader_share_one_frame_and_one_sync() {
    for durability in [Durability::Sync, Durability::None] {
        let (_memory, log) = running(durability);
        let before = log.stats();
        let (leader, others) = commit_eight(&log, CommitSync::Always);
        assert_eq!(leader.unwrap(), 2);
        for other in others {
            assert_eq!(other.unwrap(), 3);
        }
        let after = log.stats();
        assert_eq!(
            (after.frames - before.frames, after.syncs - before.syncs),
            (2, 2)
        );
    }
}

#[test]
fn all_of_a_group_that_failed_are_told_and_nobody_of_the_group_before() {
    for (kind, is_full) in [
        (io::ErrorKind::StorageFull, true),
        (io::ErrorKind::Other, false),
    ] {
        let (memory, log) = running(Durability::Sync);
        let group_writes = memory.operations() + 2; // the leader's write and sync come before
        memory.fail_at(group_writes, kind);
        let (leader, others) = commit_eight(&log, CommitSync::AsConfigured);
        assert_eq!(leader.unwrap(), 2);
        let texts: Vec<String> = others
            .into_iter()
            .map(|o| o.unwrap_err().to_string())
            .collect();
        assert_eq!(texts.len(), 7);
        for text in &texts {
            assert_eq!(text, &texts[0]);
            assert_eq!(text.contains("is full"), is_full, "{text}");
        }
        assert_eq!(log.failures(), 1);
    }
}

#[test]
fn a_caller_whose_bytes_were_in_a_lost_frame_is_refused_though_its_own_commit_goes_well() {
    let (memory, log) = running(Durability::Sync);
    let buffer = Mutex::new(Vec::new());
    let drain = |out: &mut Vec<u8>| out.append(&mut buffer.lock());

    let slow = log.ticket();
    buffer.lock().push(7); // and before it commits, another does
    memory.fail_at(memory.operations(), io::ErrorKind::StorageFull);
    let quick = log.commit(log.ticket(), &drain, CommitSync::AsConfigured);
    assert!(matches!(quick, Err(Error::Full { .. })));

    let answer = log.commit(slow, &drain, CommitSync::AsConfigured);
    assert!(matches!(answer, Err(Error::Full { .. })), "{answer:?}");
    assert_eq!(
        log.commit(log.ticket(), &drain, CommitSync::AsConfigured)
            .unwrap(),
        1
    );
}

#[test]
fn a_drain_that_panics_stops_the_log_and_nobody_waits_for_ever() {
    let (_memory, log) = running(Durability::Sync);
    let waiter_is_told = thread::scope(|scope| {
        let leader = scope.spawn(|| {
            catch_unwind(AssertUnwindSafe(|| {
                let drain = |_: &mut Vec<u8>| {
                    while log.waiting() < 1 {
                        thread::yield_now();
                    }
                    panic!("on purpose");
                };
                log.commit(log.ticket(), &drain, CommitSync::AsConfigured)
            }))
        });
        while !log.queue.lock().is_led() {
            thread::yield_now();
        }
        let waiter = scope.spawn(|| log.commit(log.ticket(), &|_| {}, CommitSync::AsConfigured));
        assert!(leader.join().unwrap().is_err());
        waiter.join().unwrap()
    });
    assert!(matches!(waiter_is_told, Err(Error::Stopped { .. })));
    assert!(matches!(log.stats().state, LogState::Stopped(_)));
    assert_eq!(log.failures(), 2);
}
