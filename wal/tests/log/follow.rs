use std::ops::ControlFlow;

use plimsoll_wal::Error;
use plimsoll_wal::log::{CommitSync, Durability, Followed, Follower, Log};
use plimsoll_wal::storage::{Memory, Storage};

use crate::workload::{Frames, body, commit, disk, log_files, overwrite, start};

/// Reads on to the end; what was lost on the way.
fn follow(log: &Log, follower: &mut Follower) -> (Frames, Vec<(u64, u64, bool)>) {
    let (mut frames, mut lost) = (Frames::new(), Vec::new());
    loop {
        let followed = log
            .follow(follower, &mut |frame| {
                frames.push((frame.sequence, frame.body.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        match followed {
            Followed::End => return (frames, lost),
            Followed::Paused => panic!("the visitor never breaks"),
            Followed::Lost { frames, damage } => {
                lost.push((*frames.start(), *frames.end(), damage.is_some()));
            }
        }
    }
}

fn numbers(frames: &Frames) -> Vec<u64> {
    assert!(frames.iter().all(|(n, bytes)| *bytes == body(*n)));
    frames.iter().map(|(n, _)| *n).collect()
}

fn log_of(count: u64) -> (Memory, Log) {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    for number in 1..=count {
        commit(&log, &body(number), CommitSync::AsConfigured).unwrap();
    }
    (memory, log)
}

#[test]
fn frames_are_followed_across_files_from_any_sequence_and_as_they_come() {
    let (memory, log) = log_of(40);
    assert!(log_files(&memory).len() > 4);
    for from in 1..=41 {
        let (frames, lost) = follow(&log, &mut Follower::at(from));
        assert_eq!(numbers(&frames), (from..=40).collect::<Vec<_>>());
        assert_eq!(lost, []);
    }
    let mut follower = Follower::at(1);
    let mut seen = 0;
    while let Followed::Paused = log
        .follow(&mut follower, &mut |frame| {
            seen += 1;
            assert_eq!(frame.sequence, seen);
            ControlFlow::Break(())
        })
        .unwrap()
    {}
    assert_eq!((seen, follower.next_sequence()), (40, 41));
    for number in 41..=60 {
        commit(&log, &body(number), CommitSync::AsConfigured).unwrap();
        assert_eq!(numbers(&follow(&log, &mut follower).0), [number]);
    }
    let files = log.files();
    assert_eq!(files.last().unwrap().last_sequence, 60);
    assert_eq!(files.len(), log_files(&memory).len());
    // The same after a restart, with all files before the last outside of what recovery reads.
    drop(log);
    let log = start(&memory, Durability::Sync, 60).unwrap();
    assert_eq!(log.files(), files);
    let (frames, lost) = follow(&log, &mut Follower::at(7));
    assert_eq!(numbers(&frames), (7..=60).collect::<Vec<_>>());
    assert_eq!(lost, []);
}

#[test]
fn a_frame_is_made_durable_before_it_is_followed() {
    for durability in [
        Durability::Interval(std::time::Duration::from_secs(1)),
        Durability::None,
    ] {
        let memory = disk();
        let log = start(&memory, durability, 0).unwrap();
        commit(&log, &body(1), CommitSync::AsConfigured).unwrap();
        assert_eq!(log.stats().synced_sequence, 0);
        assert_eq!(numbers(&follow(&log, &mut Follower::at(1)).0), [1]);
        assert_eq!(log.stats().synced_sequence, 1);
    }
}

#[test]
fn files_that_were_removed_are_told_as_lost() {
    let (_, log) = log_of(40);
    let mut reading = Follower::at(1);
    log.follow(&mut reading, &mut |_| ControlFlow::Break(()))
        .unwrap();
    log.remove_covered(log.files()[1].last_sequence).unwrap();
    let (frames, lost) = follow(&log, &mut Follower::at(1));
    let kept = frames[0].0;
    assert!(kept > 4);
    assert_eq!(lost, [(1, kept - 1, false)]);
    assert_eq!(numbers(&frames), (kept..=40).collect::<Vec<_>>());
    let (frames, lost) = follow(&log, &mut reading);
    assert_eq!(numbers(&frames), (kept..=40).collect::<Vec<_>>());
    assert_eq!(lost, [(2, kept - 1, false)]);
}

#[test]
fn a_damaged_frame_is_lost_alone_and_named() {
    let (memory, log) = log_of(40);
    for path in log_files(&memory) {
        let whole = memory.bytes(&path).unwrap();
        for at in (0..whole.len()).step_by(61) {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            overwrite(&memory, &path, &bad);
            let mut follower = Follower::at(1);
            let (frames, lost) = follow(&log, &mut follower);
            let mut all = numbers(&frames);
            for (from, to, is_damage) in &lost {
                assert!(is_damage);
                assert!(at < 64 || from == to, "byte {at}: {lost:?}");
                all.extend(*from..=*to);
            }
            all.sort_unstable();
            assert_eq!(all, (1..=40).collect::<Vec<_>>(), "byte {at} of {path:?}");
            assert_eq!(numbers(&follow(&log, &mut follower).0), []);
        }
        overwrite(&memory, &path, &whole);
    }
}

#[test]
fn the_log_goes_on_behind_a_damaged_last_frame() {
    let (memory, log) = log_of(3);
    let path = log_files(&memory).pop().unwrap();
    let end_bytes = log.files().last().unwrap().len_bytes;
    // In place, for the log has the file open.
    let file = memory.open(&path).unwrap();
    file.write_at(end_bytes - 9, &[0xee]).unwrap();
    let mut follower = Follower::at(1);
    let followed = follow(&log, &mut follower);
    assert_eq!(
        (numbers(&followed.0), followed.1),
        (vec![1, 2], vec![(3, 3, true)])
    );
    commit(&log, &body(4), CommitSync::AsConfigured).unwrap();
    let followed = follow(&log, &mut follower);
    assert_eq!((numbers(&followed.0), followed.1), (vec![4], vec![]));
    let damage = log
        .follow(&mut Follower::at(3), &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert!(matches!(
        damage,
        Followed::Lost { damage: Some(Error::Corrupt { what: "log frame", offset, .. }), .. } if offset > 64
    ));
}
