use plimsoll_wal::Error;
use plimsoll_wal::log::{CommitSync, Durability, Loss, repair};
use plimsoll_wal::storage::memory::{Survivors, Unsynced};
use plimsoll_wal::storage::{Memory, Storage};

use crate::workload::{commit, dir, disk, log_files, read, shared, start};

/// What stands for frames that are lost.
const GAP: &[u8] = &[0xff];

/// Two closed files of three frames and a current one of three.
fn small_log() -> Memory {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    for number in 1..=9 {
        commit(&log, &[number; 5], CommitSync::AsConfigured).unwrap();
        if number % 3 == 0 {
            log.rotate(&|_| {}).unwrap();
        }
    }
    memory
}

fn damage(memory: &Memory, file: usize, at: usize) {
    let path = log_files(memory).remove(file);
    let mut bytes = memory.bytes(&path).unwrap();
    bytes[at] ^= 0x10;
    memory.put(&path, &bytes);
}

fn bodies(memory: &Memory, after: u64) -> Vec<u8> {
    let (_, frames) = read(memory, after).unwrap();
    frames.iter().map(|(_, body)| body[0]).collect()
}

#[test]
fn a_sound_log_is_not_changed() {
    let memory = small_log();
    let files = log_files(&memory);
    assert_eq!(repair(&shared(&memory), dir(), 0, GAP).unwrap(), None);
    assert_eq!(log_files(&memory), files);
}

#[test]
fn corrupt_frames_are_skipped_and_reported_and_the_log_goes_on() {
    let memory = small_log();
    let path = log_files(&memory).remove(1);
    damage(&memory, 1, 64 + 48 + 20);
    assert!(matches!(read(&memory, 0), Err(Error::Corrupt { .. })));
    let repaired = repair(&shared(&memory), dir(), 0, GAP).unwrap().unwrap();
    assert_eq!(repaired.frames, 8);
    assert_eq!(repaired.missing, [5..=5]);
    assert_eq!(
        repaired.losses,
        [Loss {
            path: path.clone(),
            offset: 112,
            bytes: 48
        }]
    );
    assert_eq!(bodies(&memory, 0), [1, 2, 3, 4, 255, 6, 7, 8, 9]);
    let mut aside = path.into_os_string();
    aside.push(".damaged");
    assert!(memory.exists(aside.as_ref()).unwrap());

    let log = start(&memory, Durability::Sync, 0).unwrap();
    assert_eq!(commit(&log, &[10], CommitSync::AsConfigured).unwrap(), 10);
    assert_eq!(bodies(&memory, 0), [1, 2, 3, 4, 255, 6, 7, 8, 9, 10]);
    assert_eq!(repair(&shared(&memory), dir(), 0, GAP).unwrap(), None);
    log.remove_covered(9).unwrap();
    assert_eq!(
        log_files(&memory).len(),
        1,
        "the replaced files go with the rest"
    );
}

#[test]
fn a_file_whose_header_is_damaged_gives_its_frames() {
    for file in 0..3 {
        let memory = small_log();
        damage(&memory, file, 30);
        let repaired = repair(&shared(&memory), dir(), 0, GAP).unwrap().unwrap();
        assert_eq!((repaired.frames, repaired.missing.len()), (9, 0));
        assert_eq!(repaired.losses[0].bytes, 64);
        assert_eq!(bodies(&memory, 0), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}

#[test]
fn frames_that_are_covered_are_not_kept_and_sequences_follow_them() {
    let memory = small_log();
    damage(&memory, 1, 64 + 48 + 20);
    let repaired = repair(&shared(&memory), dir(), 4, GAP).unwrap().unwrap();
    assert_eq!((repaired.frames, repaired.missing), (4, vec![5..=5]));
    assert_eq!(bodies(&memory, 4), [255, 6, 7, 8, 9]);
    assert_eq!(read(&memory, 4).unwrap().0.last_sequence, 9);
}

#[test]
fn a_file_that_is_gone_is_a_gap() {
    let memory = small_log();
    memory.remove(&log_files(&memory)[1]).unwrap();
    let repaired = repair(&shared(&memory), dir(), 0, GAP).unwrap().unwrap();
    assert_eq!(repaired.missing, [4..=6]);
    assert_eq!(bodies(&memory, 0), [1, 2, 3, 255, 7, 8, 9]);
}

#[test]
fn a_power_cut_during_repair_leaves_the_old_log_or_the_new_one() {
    for cut in 0.. {
        let memory = small_log();
        damage(&memory, 0, 64 + 20);
        damage(&memory, 1, 64 + 20);
        memory.cut_at(memory.operations() + cut);
        if repair(&shared(&memory), dir(), 0, GAP).is_ok() {
            assert!(cut > 20);
            break;
        }
        for seed in 0..8 {
            let left = memory.survivors(Survivors {
                bytes: Unsynced::Torn(seed),
                entries: Unsynced::Torn(seed),
            });
            if read(&left, 0).is_err() {
                repair(&shared(&left), dir(), 0, GAP).unwrap().unwrap();
            }
            assert_eq!(
                bodies(&left, 0),
                [255, 2, 3, 255, 5, 6, 7, 8, 9],
                "cut {cut}, seed {seed}"
            );
        }
    }
}
