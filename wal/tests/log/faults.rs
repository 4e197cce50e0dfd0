use std::io;

use plimsoll_wal::Error;
use plimsoll_wal::log::{CommitSync, Durability, Log, LogState};
use plimsoll_wal::storage::Memory;
use plimsoll_wal::storage::memory::{Survivors, Unsynced};

use crate::workload::{DURABILITIES, Promises, STEPS, commit, disk, log_files, read, start};

const DROPPED: Survivors = Survivors {
    bytes: Unsynced::Dropped,
    entries: Unsynced::Dropped,
};

/// Runs the workload with one fault, going on after errors as clients do.
fn run_through(memory: &Memory, log: &Log, fault: io::ErrorKind) -> (Promises, u32) {
    let mut promises = Promises::default();
    let mut refused = 0;
    for step in STEPS {
        match promises.step(log, step) {
            Ok(()) => {}
            Err(Error::Stopped { reason }) => {
                refused += 1;
                match log.stats().state {
                    LogState::Stopped(first) => assert_eq!(reason, *first),
                    other => panic!("{other:?}"),
                }
                let again = commit(log, b"refused", CommitSync::AsConfigured).unwrap_err();
                assert!(matches!(again, Error::Stopped { reason: same } if same == reason));
                assert!(matches!(log.rotate(&|_| {}), Err(Error::Stopped { .. })));
                assert!(matches!(log.sync(), Err(Error::Stopped { .. })));
                break;
            }
            Err(error) => {
                refused += 1;
                let is_full = matches!(error, Error::Full { .. }) || error.is_full();
                let full_fault = io::Error::from(fault);
                let expected = full_fault.kind() == io::ErrorKind::StorageFull
                    || full_fault.kind() == io::ErrorKind::QuotaExceeded;
                assert!(is_full == expected, "{error} at {}", memory.operations());
            }
        }
    }
    (promises, refused)
}

#[test]
fn one_failed_operation_anywhere_never_costs_an_acknowledged_frame() {
    for fault in [
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::Other,
    ] {
        for durability in DURABILITIES {
            let (mut stopped, mut went_on) = (0, 0);
            for at in 0.. {
                let memory = disk();
                let log = start(&memory, durability, 0).unwrap();
                let operation = memory.operations() + at;
                memory.fail_at(operation, fault);
                let (mut promises, refused) = run_through(&memory, &log, fault);
                if memory.operations() <= operation {
                    break; // the workload has fewer operations
                }
                let what = (fault, durability, at);
                if let LogState::Stopped(_) = log.stats().state {
                    stopped += 1;
                } else {
                    went_on += 1;
                    let last = commit(&log, b"goes on", CommitSync::Always).unwrap();
                    promises.committed(last, b"goes on");
                    assert!(refused <= 2, "one fault refuses little: {what:?}");
                }
                promises.check(&memory.survivors(DROPPED), promises.durable, &what);
                promises.check(&memory.killed(), promises.written, &what);
            }
            assert!(stopped > 5 && went_on > 5, "{fault:?}: {stopped} {went_on}");
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_they_resume_in_a_new_file_by_themselves() {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    commit(&log, b"before", CommitSync::AsConfigured).unwrap();
    memory.limit_bytes(Some(memory.used_bytes() + 1000));
    for attempt in 1..=3 {
        // Larger than what is left of the file, so a new one is needed.
        let error = commit(&log, &[7; 5000], CommitSync::AsConfigured).unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error}");
        let stats = log.stats();
        assert_eq!(
            (stats.state, stats.failures, stats.last_sequence),
            (LogState::Full, attempt, 1)
        );
    }
    // What was acknowledged can be made durable and read all the while.
    assert_eq!(commit(&log, b"", CommitSync::Always).unwrap(), 1);
    assert_eq!(read(&memory, 0).unwrap().1, [(1, b"before".to_vec())]);
    assert_eq!(log_files(&memory).len(), 1);

    memory.limit_bytes(None);
    assert_eq!(
        commit(&log, &[8; 5000], CommitSync::AsConfigured).unwrap(),
        2
    );
    assert_eq!(log.stats().state, LogState::Running);
    let left = memory.survivors(DROPPED);
    assert_eq!(
        read(&left, 0).unwrap().1,
        [(1, b"before".to_vec()), (2, vec![8; 5000])]
    );
}

#[test]
fn a_frame_that_was_written_in_part_is_cut_off_again() {
    for large in [true, false] {
        let memory = disk();
        let log = start(&memory, Durability::Sync, 0).unwrap();
        commit(&log, b"before", CommitSync::AsConfigured).unwrap();
        memory.fail_at(memory.operations(), io::ErrorKind::StorageFull);
        let bytes = vec![7; if large { 2000 } else { 20 }];
        let error = commit(&log, &bytes, CommitSync::AsConfigured).unwrap_err();
        let path = log_files(&memory).remove(0);
        assert!(matches!(error, Error::Full { path: named } if named == path));
        assert_eq!(memory.bytes(&path).unwrap().len(), 64 + 48);
        assert_eq!(commit(&log, b"after", CommitSync::AsConfigured).unwrap(), 2);
        assert_eq!(log_files(&memory).len(), 2);
        let frames = read(&memory.survivors(DROPPED), 0).unwrap().1;
        assert_eq!(frames, [(1, b"before".to_vec()), (2, b"after".to_vec())]);
    }
}

#[test]
fn a_failed_sync_stops_the_log_and_is_never_tried_again() {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    commit(&log, b"first", CommitSync::AsConfigured).unwrap();
    memory.fail_at(memory.operations() + 1, io::ErrorKind::Other);
    let error = commit(&log, b"second", CommitSync::AsConfigured).unwrap_err();
    let path = log_files(&memory).remove(0);
    match &error {
        Error::Stopped { reason } => assert!(reason.contains(&path.display().to_string())),
        other => panic!("{other}"),
    }
    let operations = memory.operations();
    for _ in 0..3 {
        let again = commit(&log, b"third", CommitSync::Always).unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
        assert!(log.sync().is_err());
    }
    assert_eq!(
        memory.operations(),
        operations,
        "the disk is not touched again"
    );
    assert_eq!(log.stats().last_sequence, 2, "written, refused");
    assert_eq!(log.stats().synced_sequence, 1);
    // Started again, the refused frame may be there; the acknowledged one is.
    assert_eq!(
        read(&memory.survivors(DROPPED), 0).unwrap().1[0].1,
        b"first"
    );
    let restarted = start(&memory.killed(), Durability::Sync, 0).unwrap();
    commit(&restarted, b"fourth", CommitSync::AsConfigured).unwrap();
}

#[test]
fn a_failed_sync_by_the_timer_stops_the_log_too() {
    let memory = disk();
    let log = start(&memory, DURABILITIES[1], 0).unwrap();
    commit(&log, b"one", CommitSync::AsConfigured).unwrap();
    memory.fail_at(memory.operations(), io::ErrorKind::Other);
    assert!(matches!(log.sync(), Err(Error::Stopped { .. })));
    assert!(matches!(
        commit(&log, b"two", CommitSync::AsConfigured),
        Err(Error::Stopped { .. })
    ));
}

#[test]
fn preparing_the_next_file_on_a_full_disk_harms_nothing() {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    commit(&log, &[1; 3000], CommitSync::AsConfigured).unwrap();
    memory.limit_bytes(Some(memory.used_bytes()));
    assert!(log.prepare().unwrap_err().is_full());
    assert_eq!(commit(&log, b"fits", CommitSync::AsConfigured).unwrap(), 2);
    memory.limit_bytes(None);
    assert!(log.prepare().unwrap());
    assert!(!log.prepare().unwrap(), "one is enough");
    assert_eq!(
        commit(&log, &[2; 3000], CommitSync::AsConfigured).unwrap(),
        3
    );
    assert_eq!(read(&memory, 0).unwrap().1.len(), 3);
}

#[test]
fn a_file_that_cannot_be_opened_refuses_one_commit_and_not_the_next() {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    let look_for_and_create = memory.operations() + 1;
    memory.fail_at(look_for_and_create, io::ErrorKind::PermissionDenied);
    match commit(&log, b"one", CommitSync::AsConfigured) {
        Err(Error::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::PermissionDenied),
        other => panic!("{other:?}"),
    }
    assert_eq!(commit(&log, b"two", CommitSync::AsConfigured).unwrap(), 1);
}
