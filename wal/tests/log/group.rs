use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;
use plimsoll_wal::Error;
use plimsoll_wal::log::{CommitSync, Durability, Log, recover};
use plimsoll_wal::storage::memory::{Survivors, Unsynced};
use plimsoll_wal::storage::{Disk, Storage};

use crate::workload::{DURABILITIES, dir, disk, options, shared, start};

const THREADS: u32 = 8;
const CHAINS: usize = 4;

/// What a record is a delta to: another record of its chain, or nothing.
const ABSOLUTE: u32 = u32::MAX;

/// A row group in small: records that are deltas to the one before.
#[derive(Default)]
struct Chain {
    buffer: Vec<u8>,
    records: u32,
    failures: u64,
}

/// Records that were acknowledged: chain, number, and at which sequence.
type Acknowledged = Vec<(usize, u32, u64)>;

/// Every thread writes records to chains that it shares with others, until it has done `count` or
/// the log is stopped. Answers what was acknowledged.
fn write_from_threads(log: &Log, count: u32) -> Acknowledged {
    let chains: Vec<Mutex<Chain>> = (0..CHAINS).map(|_| Mutex::default()).collect();
    let drain = |out: &mut Vec<u8>| {
        for chain in &chains {
            out.append(&mut chain.lock().buffer);
        }
    };
    let write = |thread: u32, step: u32| {
        let index = (thread + step) as usize % CHAINS;
        let mut chain = chains[index].lock();
        let ticket = log.ticket();
        let number = chain.records;
        let is_absolute = number == 0 || chain.failures != ticket.failures();
        let base = if is_absolute { ABSOLUTE } else { number - 1 };
        chain.failures = ticket.failures();
        chain.records += 1;
        for word in [u32::try_from(index).unwrap(), number, base] {
            chain.buffer.extend_from_slice(&word.to_le_bytes());
        }
        drop(chain);
        match log.commit(ticket, &drain, CommitSync::AsConfigured) {
            Ok(sequence) => Ok(Some((index, number, sequence))),
            Err(Error::Stopped { reason }) => Err(reason),
            Err(_) => Ok(None),
        }
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let write = &write;
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for step in 0..count {
                        match write(thread, step) {
                            Ok(record) => acknowledged.extend(record),
                            Err(_stopped) => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    })
}

/// Asserts that each acknowledged record is found at or before its sequence, and so is every record
/// that it builds on.
fn check(storage: &Arc<dyn Storage>, path: &std::path::Path, acknowledged: &Acknowledged) {
    let mut found = HashMap::new();
    recover(storage, path, 0, &mut |frame| {
        assert_eq!(frame.body.len() % 12, 0);
        for record in frame.body.chunks_exact(12) {
            let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
            let earlier = found.insert((word(0) as usize, word(4)), (word(8), frame.sequence));
            assert_eq!(earlier, None, "a record is in one frame");
        }
        Ok::<(), Error>(())
    })
    .unwrap();
    for &(chain, number, sequence) in acknowledged {
        let mut at = number;
        let mut bound = sequence;
        loop {
            let &(base, in_frame) = found.get(&(chain, at)).unwrap_or_else(|| {
                panic!("record {number} of chain {chain} was acknowledged, {at} is lost")
            });
            assert!(in_frame <= bound, "log order is the chain's order");
            bound = in_frame;
            if base == ABSOLUTE {
                break;
            }
            at = base;
        }
    }
}

#[test]
fn eight_threads_commit_and_each_finds_its_own_at_every_durability() {
    for durability in DURABILITIES {
        let memory = disk();
        let log = start(&memory, durability, 0).unwrap();
        let acknowledged = write_from_threads(&log, 300);
        assert_eq!(acknowledged.len(), 2400);
        let stats = log.stats();
        assert!(stats.frames <= 2400 && stats.files > 1, "{stats:?}");
        check(&shared(&memory), dir(), &acknowledged);
    }
}

#[test]
fn eight_threads_commit_to_a_real_disk_while_a_timer_syncs_and_prepares() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("log");
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let recovered = recover(&storage, &path, 0, &mut |_| Ok::<(), Error>(())).unwrap();
    let log = Log::start(storage.clone(), &path, options(DURABILITIES[1]), &recovered).unwrap();
    let done = AtomicBool::new(false);
    let acknowledged = thread::scope(|scope| {
        let timer = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                log.sync().unwrap();
                log.prepare().unwrap();
            }
        });
        let acknowledged = write_from_threads(&log, 200);
        done.store(true, Ordering::Release);
        timer.join().unwrap();
        acknowledged
    });
    assert_eq!(acknowledged.len(), 1600);
    check(&storage, &path, &acknowledged);
    log.sync().unwrap();
    let stats = log.stats();
    assert_eq!(stats.synced_sequence, stats.last_sequence);
}

#[test]
fn a_power_cut_under_eight_threads_keeps_what_each_was_told() {
    for cut in (10..200).step_by(9) {
        let memory = disk();
        let log = start(&memory, Durability::Sync, 0).unwrap();
        memory.cut_at(memory.operations() + cut);
        let acknowledged = write_from_threads(&log, 1000);
        for bytes in [Unsynced::Dropped, Unsynced::Torn(cut), Unsynced::Kept] {
            let left = memory.survivors(Survivors {
                bytes,
                entries: Unsynced::Dropped,
            });
            check(&shared(&left), dir(), &acknowledged);
        }
    }
}

#[test]
fn a_disk_that_is_full_now_and_then_costs_no_thread_an_acknowledged_record_or_its_base() {
    for seed in 0..6 {
        let memory = disk();
        let log = start(&memory, Durability::Sync, 0).unwrap();
        let start_at = memory.operations();
        for fault in 1..25 {
            let operation = start_at + fault * (17 + seed);
            memory.fail_at(operation, std::io::ErrorKind::StorageFull);
        }
        let acknowledged = write_from_threads(&log, 150);
        assert!(!acknowledged.is_empty());
        let left = memory.survivors(Survivors {
            bytes: Unsynced::Dropped,
            entries: Unsynced::Dropped,
        });
        check(&shared(&left), dir(), &acknowledged);
    }
}
