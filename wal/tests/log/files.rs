use std::sync::Arc;

use plimsoll_wal::Error;
use plimsoll_wal::frame::FRAME_BODY_BYTES_MAX;
use plimsoll_wal::log::{CommitSync, Durability, LOG_FILE_BYTES_MIN, Log, LogState, Tail, recover};
use plimsoll_wal::storage::{Disk, Storage};

use crate::workload::{body, commit, dir, disk, log_files, options, read, start};

#[test]
fn an_empty_directory_or_none_is_an_empty_log() {
    let memory = disk();
    let (recovered, frames) = read(&memory, 0).unwrap();
    assert_eq!(
        (recovered.last_sequence, &recovered.tail, frames.len()),
        (0, &Tail::Clean, 0)
    );
    let log = start(&memory, Durability::Sync, 0).unwrap();
    assert_eq!(
        log.stats().files,
        0,
        "nothing is allocated before the first frame"
    );
    assert_eq!(commit(&log, b"", CommitSync::Always).unwrap(), 0);
    assert_eq!(log_files(&memory).len(), 0);
    assert_eq!(read(&memory, 41).unwrap().0.last_sequence, 41);
    let log = start(&memory, Durability::Sync, 41).unwrap();
    assert_eq!(commit(&log, b"x", CommitSync::AsConfigured).unwrap(), 42);
}

#[test]
fn a_file_that_is_full_rolls_over_and_no_frame_is_split() {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    for number in 1..=40 {
        assert_eq!(
            commit(&log, &body(number), CommitSync::AsConfigured).unwrap(),
            number
        );
    }
    let files = log_files(&memory);
    assert!(files.len() > 4, "{files:?}");
    let (last, closed) = files.split_last().unwrap();
    assert_eq!(
        memory.bytes(last).unwrap().len() as u64,
        LOG_FILE_BYTES_MIN,
        "preallocated"
    );
    let mut sum = LOG_FILE_BYTES_MIN;
    for path in closed {
        let len = memory.bytes(path).unwrap().len() as u64;
        assert!(len <= LOG_FILE_BYTES_MIN, "cut to its frames");
        sum += len;
    }
    let stats = log.stats();
    assert_eq!(stats.files, files.len() as u64);
    assert_eq!(stats.disk_bytes, sum);
    assert_eq!((stats.frames, stats.failures), (40, 0));
    let (_, frames) = read(&memory, 0).unwrap();
    assert!(frames.iter().all(|(n, bytes)| bytes == &body(*n)));
    assert_eq!(frames.len(), 40);
}

#[test]
fn only_frames_after_the_given_one_are_visited_and_covered_files_go() {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    for number in 1..=10 {
        commit(&log, &body(number)[..20], CommitSync::AsConfigured).unwrap();
        if number % 3 == 0 {
            assert_eq!(log.rotate(&|_| {}).unwrap(), number);
        }
    }
    for after in 0..=10 {
        let (recovered, frames) = read(&memory, after).unwrap();
        assert_eq!(
            frames.first().map(|f| f.0),
            (after < 10).then_some(after + 1)
        );
        assert_eq!(recovered.last_sequence, 10);
    }
    assert_eq!(
        log.remove_covered(2).unwrap(),
        0,
        "the first file holds frame 3"
    );
    assert_eq!(log.remove_covered(3).unwrap(), 1);
    assert_eq!(log.remove_covered(3).unwrap(), 0);
    assert_eq!(log.remove_covered(8).unwrap(), 1);
    assert_eq!(log.remove_covered(10).unwrap(), 1, "the current file stays");
    assert_eq!(log_files(&memory).len(), 1);
    assert_eq!(log.stats().files, 1);
    assert_eq!(read(&memory, 9).unwrap().1, [(10, body(10)[..20].to_vec())]);
    assert!(
        matches!(read(&memory, 0), Err(Error::Corrupt { .. })),
        "frames 1 to 9 are gone"
    );
}

#[test]
fn files_from_before_a_restart_are_removed_once_covered() {
    let memory = disk();
    for round in 0..4 {
        let log = start(&memory, Durability::Sync, 0).unwrap();
        assert_eq!(
            commit(&log, &[round], CommitSync::AsConfigured).unwrap(),
            u64::from(round) + 1
        );
    }
    assert_eq!(
        log_files(&memory).len(),
        4,
        "recovery never appends to an old file"
    );
    assert_eq!(read(&memory, 0).unwrap().1.len(), 4);
    let log = start(&memory, Durability::Sync, 3).unwrap();
    assert_eq!(log.remove_covered(3).unwrap(), 3);
    assert_eq!(read(&memory, 3).unwrap().1, [(4, vec![3])]);
    assert_eq!(log.remove_covered(4).unwrap(), 1);
    assert_eq!(commit(&log, b"5", CommitSync::AsConfigured).unwrap(), 5);
    assert_eq!(read(&memory, 4).unwrap().1, [(5, b"5".to_vec())]);
}

#[test]
fn a_rotation_puts_what_it_drains_before_the_boundary() {
    let memory = disk();
    let log = start(&memory, Durability::None, 0).unwrap();
    commit(&log, b"old", CommitSync::AsConfigured).unwrap();
    let boundary = log
        .rotate(&|out| out.extend_from_slice(b"last of the old"))
        .unwrap();
    assert_eq!(boundary, 2);
    assert_eq!(log.stats().synced_sequence, 2, "the old file is durable");
    assert_eq!(
        log.rotate(&|_| {}).unwrap(),
        2,
        "an empty file is not rotated"
    );
    commit(&log, b"new", CommitSync::AsConfigured).unwrap();
    assert_eq!(log.remove_covered(boundary).unwrap(), 1);
    assert_eq!(read(&memory, boundary).unwrap().1, [(3, b"new".to_vec())]);
}

#[test]
fn each_durability_syncs_when_it_says() {
    for (durability, after_commit) in [(Durability::Sync, 2), (Durability::None, 0)] {
        let memory = disk();
        let log = start(&memory, durability, 0).unwrap();
        commit(&log, b"one", CommitSync::AsConfigured).unwrap();
        commit(&log, b"two", CommitSync::AsConfigured).unwrap();
        assert_eq!(log.stats().synced_sequence, after_commit, "{durability:?}");
        assert_eq!(log.stats().syncs, after_commit);
        commit(&log, b"", CommitSync::Always).unwrap();
        assert_eq!(
            log.stats().synced_sequence,
            2,
            "an empty commit makes the others durable"
        );
        let syncs = log.stats().syncs;
        log.sync().unwrap();
        assert_eq!(log.stats().syncs, syncs, "there is nothing to sync");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_log_goes_on() {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    let ticket = log.ticket();
    let large = |out: &mut Vec<u8>| out.resize(out.len() + FRAME_BODY_BYTES_MAX + 1, 1);
    match log.commit(ticket, &large, CommitSync::AsConfigured) {
        Err(Error::Limit { got, limit, .. }) => assert_eq!(got, limit + 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(log.failures(), 1);
    assert_eq!(commit(&log, b"small", CommitSync::AsConfigured).unwrap(), 1);
}

#[test]
fn a_log_on_a_real_disk_is_found_again() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("log");
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let mut sent = Vec::new();
    for round in 0..3 {
        let mut frames = Vec::new();
        let recovered = recover(&storage, &path, 0, &mut |frame| {
            frames.push(frame.body.to_vec());
            Ok::<(), Error>(())
        });
        let recovered = recovered.unwrap();
        assert_eq!(frames, sent);
        assert_eq!(recovered.tail, Tail::Clean);
        let log = Log::start(
            storage.clone(),
            &path,
            options(Durability::Sync),
            &recovered,
        )
        .unwrap();
        for number in 0..10 {
            if number == 5 {
                assert!(log.prepare().unwrap());
            }
            sent.push(body(round * 10 + number));
            commit(&log, sent.last().unwrap(), CommitSync::AsConfigured).unwrap();
        }
        assert_eq!(log.stats().state, LogState::Running);
    }
    assert!(storage.list(&path).unwrap().len() > 6);
}

#[test]
fn what_is_no_log_file_is_left_alone() {
    let memory = disk();
    memory.put(&dir().join("notes.txt"), b"hello");
    memory.put(&dir().join("spare"), b"half made");
    let log = start(&memory, Durability::Sync, 0).unwrap();
    commit(&log, b"x", CommitSync::AsConfigured).unwrap();
    assert_eq!(memory.bytes(&dir().join("notes.txt")).unwrap(), b"hello");
    assert_eq!(read(&memory, 0).unwrap().1.len(), 1);
    assert!(!memory.exists(&dir().join("spare")).unwrap());
}
