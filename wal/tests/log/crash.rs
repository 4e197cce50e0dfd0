use plimsoll_wal::log::{CommitSync, Durability, Tail};
use plimsoll_wal::storage::memory::{Survivors, Unsynced};
use proptest::prelude::*;

use crate::workload::{
    DURABILITIES, Promises, STEPS, Step, body, commit, crashes, disk, read, start,
};

/// Runs the steps and cuts the power at operation `cut` counted from the first start.
/// `None` where the steps were through before.
fn cut_workload(
    durability: Durability,
    steps: &[Step],
    cut: u64,
) -> Option<(plimsoll_wal::storage::Memory, Promises)> {
    let memory = disk();
    memory.cut_at(memory.operations() + cut);
    let mut promises = Promises::default();
    match promises.run(&memory, durability, steps) {
        Ok(()) => None,
        Err(_) => Some((memory, promises)),
    }
}

#[test]
fn a_power_cut_at_any_operation_keeps_what_was_acknowledged() {
    for durability in DURABILITIES {
        let mut cuts = 0;
        while let Some((memory, promises)) = cut_workload(durability, &STEPS, cuts) {
            for crash in crashes() {
                let what = (durability, cuts, crash);
                let left = memory.survivors(crash);
                let last = promises.check(&left, promises.durable, &what);
                // And the log goes on from there.
                let mut next = promises.continued(last);
                next.run(&left, durability, &STEPS[..12]).unwrap();
                next.check(&left, next.written, &what);
            }
            cuts += 1;
        }
        assert!(cuts > 80, "the workload has storage calls to cut: {cuts}");
    }
}

#[test]
fn a_killed_program_loses_nothing_that_was_acknowledged_at_any_durability() {
    for durability in DURABILITIES {
        let mut cut = 0;
        while let Some((memory, promises)) = cut_workload(durability, &STEPS, cut) {
            promises.check(&memory.killed(), promises.written, &(durability, cut));
            cut += 1;
        }
    }
}

#[test]
fn a_second_power_cut_while_the_log_starts_again_loses_nothing_more() {
    let again = [Step::Commit, Step::Rotate, Step::CommitSynced];
    for durability in [Durability::Sync, Durability::None] {
        let mut first = 0;
        while let Some((memory, promises)) = cut_workload(durability, &STEPS, first) {
            // A killed program leaves pages that are recovered and not durable: the worse case.
            let torn = memory.survivors(Survivors {
                bytes: Unsynced::Torn(first),
                entries: Unsynced::Torn(first),
            });
            for (found, acknowledged) in [
                (memory.killed(), promises.written),
                (torn, promises.durable),
            ] {
                let last = promises.check(&found, acknowledged, &(durability, first));
                for second in 0.. {
                    let disk = found.killed();
                    disk.cut_at(second);
                    let mut next = promises.continued(last);
                    if next.run(&disk, durability, &again).is_ok() {
                        break;
                    }
                    for seed in 0..3 {
                        let left = disk.survivors(Survivors {
                            bytes: Unsynced::Torn(seed),
                            entries: Unsynced::Torn(seed + 7),
                        });
                        let what = (durability, first, second, seed);
                        next.check(&left, next.durable, &what);
                    }
                }
            }
            first += 3;
        }
    }
}

#[test]
fn every_subset_of_unsynced_sectors_recovers_twice_to_a_run_of_whole_frames() {
    let memory = disk();
    let log = start(&memory, Durability::None, 0).unwrap();
    commit(&log, &[9; 500], CommitSync::Always).unwrap();
    let bodies = [
        vec![1; 700],
        vec![2; 600],
        vec![3; 900],
        vec![4; 300],
        vec![5; 700],
    ];
    for body in &bodies {
        commit(&log, body, CommitSync::AsConfigured).unwrap();
    }
    let mut torn = 0;
    let mut lengths = [0; 6];
    for mask in 0..1 << 9 {
        let left = memory.survivors(Survivors {
            bytes: Unsynced::Subset(mask),
            entries: Unsynced::Dropped,
        });
        let first = read(&left, 0).unwrap();
        assert_eq!(first, read(&left, 0).unwrap());
        let (recovered, frames) = first;
        assert_eq!(frames[0].1, [9; 500], "{mask:b}");
        for (frame, body) in frames[1..].iter().zip(&bodies) {
            assert_eq!(&frame.1, body, "{mask:b}");
        }
        lengths[frames.len() - 1] += 1;
        torn += u32::from(recovered.tail != Tail::Clean);

        let log = start(&left, Durability::Sync, 0).unwrap();
        assert_eq!(
            commit(&log, b"next", CommitSync::AsConfigured).unwrap(),
            frames.len() as u64 + 1
        );
        let (after, again) = read(&left, 0).unwrap();
        assert_eq!(after.tail, Tail::Clean, "it was cut off: {mask:b}");
        assert_eq!(again[..frames.len()], frames);
        assert_eq!(again[frames.len()].1, b"next");
    }
    assert!(torn > 300, "most subsets tear: {torn}");
    assert!(
        lengths.iter().all(|&n| n > 0),
        "every length is reached: {lengths:?}"
    );
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    commit(&log, b"whole", CommitSync::AsConfigured).unwrap();
    let end = 64 + 48;
    memory.cut_at(memory.operations() + 1);
    commit(&log, &body(1)[..100], CommitSync::AsConfigured).unwrap_err();
    let left = memory.survivors(Survivors {
        bytes: Unsynced::Kept,
        entries: Unsynced::Dropped,
    });
    let path = crate::workload::log_files(&left).remove(0);
    let mut bytes = left.bytes(&path).unwrap();
    bytes[end + 60] ^= 1;
    left.put(&path, &bytes);

    let (recovered, frames) = read(&left, 0).unwrap();
    assert_eq!(frames, [(1, b"whole".to_vec())]);
    assert_eq!(
        recovered.tail,
        Tail::Torn {
            path: path.clone(),
            valid_to: end as u64,
            dropped_bytes: 140,
        }
    );
    start(&left, Durability::Sync, 0).unwrap();
    assert_eq!(left.bytes(&path).unwrap().len(), end);
    assert_eq!(read(&left, 0).unwrap().0.tail, Tail::Clean);
}

#[test]
fn sequences_go_on_behind_what_is_durable_elsewhere_though_the_log_lost_it() {
    let memory = disk();
    let log = start(&memory, Durability::None, 0).unwrap();
    commit(&log, b"one", CommitSync::Always).unwrap();
    commit(&log, b"two", CommitSync::AsConfigured).unwrap();
    commit(&log, b"three", CommitSync::AsConfigured).unwrap();
    let left = memory.survivors(Survivors {
        bytes: Unsynced::Dropped,
        entries: Unsynced::Dropped,
    });
    // A flush covered all three, and then the power went.
    let log = start(&left, Durability::Sync, 3).unwrap();
    assert_eq!(commit(&log, b"four", CommitSync::AsConfigured).unwrap(), 4);
    let (recovered, frames) = read(&left, 3).unwrap();
    assert_eq!(frames, [(4, b"four".to_vec())]);
    assert_eq!(recovered.last_sequence, 4);
    assert_eq!(log.remove_covered(3).unwrap(), 1);
    assert_eq!(read(&left, 3).unwrap().1, frames);
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Commit),
        2 => Just(Step::CommitSynced),
        1 => Just(Step::CommitEmpty),
        1 => Just(Step::CommitLarge),
        1 => Just(Step::Sync),
        1 => Just(Step::Rotate),
        1 => Just(Step::RotateWithBody),
        1 => Just(Step::Prepare),
        1 => Just(Step::Cover),
        1 => Just(Step::CoverHalf),
    ]
}

fn any_unsynced() -> impl Strategy<Value = Unsynced> {
    prop_oneof![
        Just(Unsynced::Kept),
        Just(Unsynced::Dropped),
        any::<u64>().prop_map(Unsynced::Torn),
        any::<u64>().prop_map(Unsynced::TornPages),
        any::<u64>().prop_map(Unsynced::Subset),
    ]
}

proptest! {
    #[test]
    fn any_workload_cut_anywhere_three_times_keeps_what_was_acknowledged(
        rounds in proptest::collection::vec(
            (
                proptest::collection::vec(any_step(), 1..30),
                0..200_u64,
                any_unsynced(),
                any_unsynced(),
                0..3_usize,
            ),
            3,
        ),
    ) {
        let mut memory = disk();
        let mut promises = Promises::default();
        for (steps, cut, bytes, entries, durability) in &rounds {
            memory.cut_at(memory.operations() + cut);
            let _stopped_or_through = promises.run(&memory, DURABILITIES[*durability], steps);
            memory = memory.survivors(Survivors { bytes: *bytes, entries: *entries });
            let last = promises.check(&memory, promises.durable, &rounds);
            promises = promises.continued(last);
            promises.durable = last;
        }
    }
}
