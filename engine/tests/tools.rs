//! Check, inspect, repair, backup and restore.

#![expect(
    clippy::unwrap_used,
    reason = "also in the functions that tests share, where a failure fails the test"
)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plimsoll_engine::backup::{BackupList, restore};
use plimsoll_engine::check::{Checked, check};
use plimsoll_engine::inspect::inspect;
use plimsoll_engine::repair::{Repaired, repair};
use plimsoll_engine::{Companion, Engine, FieldValue, Options, ReaderStart};
use plimsoll_wal::storage::{Memory, Storage};
use support::*;

const DATA: &str = "data";

fn shared(storage: &Arc<Memory>) -> Arc<dyn Storage> {
    storage.clone()
}

fn check_of(storage: &Arc<Memory>, directory: &str) -> Checked {
    check(&shared(storage), Path::new(directory)).unwrap()
}

fn repair_of(storage: &Arc<Memory>) -> Option<Repaired> {
    repair(&shared(storage), options(), clock()).unwrap()
}

fn open_at(storage: &Arc<Memory>, directory: &str) -> Engine {
    let options = Options {
        directory: directory.into(),
        ..options()
    };
    Engine::open(shared(storage), options, clock()).unwrap().0
}

/// Two segments, a deletion that is none of them, and rows in the log.
fn filled() -> (Engine, Arc<Memory>) {
    let (engine, storage) = fresh();
    for step in 0..90 {
        let tags = format!("node=n{},pod=p{}", step % 2, step % 6);
        write_integer(&engine, "cpu", &tags, NOW + step * SECOND, step);
        let fields = [
            ("value", FieldValue::Float(0.5)),
            ("on", FieldValue::Boolean(true)),
        ];
        engine
            .write(
                "d",
                "",
                &point("memory", &tags, NOW + step * SECOND, &fields),
            )
            .unwrap();
        if step % 40 == 39 {
            engine.flush().unwrap();
        }
    }
    (engine, storage)
}

fn files(storage: &Memory, directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in storage.list(directory).unwrap() {
        let path = directory.join(name);
        match storage.bytes(&path) {
            Some(_) => found.push(path),
            None => found.extend(files(storage, &path)),
        }
    }
    found
}

#[test]
fn a_sound_directory_is_read_whole_and_what_is_in_it_is_told() {
    let (engine, storage) = filled();
    let in_use = check(&shared(&storage), Path::new(DATA))
        .unwrap_err()
        .to_string();
    assert!(in_use.contains("in use by another process"), "{in_use}");
    drop(engine);
    let checked = check_of(&storage, DATA);
    assert_eq!(checked.problems, []);
    assert_eq!((checked.segments, checked.segment_values), (2, 240));
    assert_eq!((checked.frames, checked.rows), (20, 20));
    let before = files(&storage, Path::new(DATA));
    let inspected = inspect(&shared(&storage), Path::new(DATA)).unwrap();
    assert_eq!(
        files(&storage, Path::new(DATA)),
        before,
        "nothing is changed"
    );
    assert_eq!(inspected.partitions.len(), 1);
    let partition = &inspected.partitions[0];
    assert_eq!(
        (partition.database.as_str(), partition.policy.as_str()),
        ("d", "autogen")
    );
    assert_eq!(partition.segments.len(), 2);
    assert_eq!(
        partition.segments.iter().map(|s| s.values).sum::<u64>(),
        240
    );
    assert_eq!(partition.segments[0].range.start.0, NOW);
    let column = |measurement: &str, field: &str| {
        let found = inspected.columns.iter();
        let mut found = found.filter(|((_, _, m, f, _), _)| &**m == measurement && &**f == field);
        found.next().unwrap().1.clone()
    };
    assert_eq!(
        (column("cpu", "value").values, column("cpu", "value").chunks),
        (80, 12)
    );
    assert_eq!(column("memory", "on").values, 80);
    let values: u64 = inspected
        .columns
        .values()
        .map(|column| column.value_bytes)
        .sum();
    assert_eq!(
        values,
        partition
            .segments
            .iter()
            .map(|s| s.value_bytes)
            .sum::<u64>()
    );
    assert_eq!(
        inspected.measurements.values().copied().collect::<Vec<_>>(),
        [6, 6]
    );
    let tags: Vec<_> = inspected
        .tags
        .iter()
        .map(|((_, _, key), n)| (key.as_str(), *n))
        .collect();
    assert_eq!(tags, [("node", 2), ("pod", 6)]);
    assert_eq!((inspected.log.rows, inspected.log.values), (20, 30));
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let storage = Arc::new(Memory::new());
    storage.create_directory(Path::new("empty")).unwrap();
    for directory in ["empty", "nowhere"] {
        let error = check(&shared(&storage), Path::new(directory))
            .unwrap_err()
            .to_string();
        assert!(error.contains("is no data directory"), "{error}");
    }
}

#[test]
fn every_flipped_byte_of_every_file_is_found_or_changes_nothing() {
    let (engine, storage) = filled();
    engine.reader("sink", ReaderStart::Now).unwrap();
    drop(engine);
    let sound = check_of(&storage, DATA);
    for path in files(&storage, Path::new(DATA)) {
        let whole = storage.bytes(&path).unwrap();
        let used = whole
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for at in 0..used {
            let mut bad = whole.clone();
            bad[at] ^= 0x40;
            storage.put(&path, &bad);
            let checked = match check(&shared(&storage), Path::new(DATA)) {
                Ok(checked) => checked,
                // The version stands before the checksum, so that a newer one can be named.
                Err(error) => {
                    assert!(
                        error.to_string().contains("use a newer plimsoll"),
                        "{error}"
                    );
                    continue;
                }
            };
            let is_found = !checked.problems.is_empty() || checked.torn_tail.is_some();
            assert!(
                is_found || checked == sound,
                "byte {at} of {}",
                path.display()
            );
            if let Some(problem) = checked.problems.first() {
                assert!(problem.path.starts_with(DATA), "{problem:?}");
            }
        }
        storage.put(&path, &whole);
    }
}

#[test]
fn a_backup_holds_what_was_acknowledged_and_restores_to_the_same_answers() {
    let (engine, storage) = filled();
    let before = (integers(&engine, "cpu"), engine.stats().segments);
    let users = Companion {
        name: "users",
        bytes: b"ann",
    };
    let list = engine
        .backup(Path::new("data/backups/one"), &[users])
        .unwrap();
    let again = engine
        .backup(Path::new("data/backups/one"), &[])
        .unwrap_err()
        .to_string();
    assert!(again.contains("is there already"), "{again}");
    // What comes later is not in it, and what is merged or dropped later stays in it.
    write_integer(&engine, "cpu", "node=n0,pod=p0", NOW, -1);
    engine.compact_all(&AtomicBool::new(false)).unwrap();
    drop(engine);
    assert_eq!(
        list,
        BackupList::read(&*storage, Path::new("data/backups/one")).unwrap()
    );
    assert_eq!(check_of(&storage, "data/backups/one").problems, []);

    let restored = restore(&*storage, Path::new("data/backups/one"), Path::new("new")).unwrap();
    assert_eq!(restored, list);
    assert_eq!(storage.bytes(Path::new("new/users")).unwrap(), b"ann");
    assert_eq!(check_of(&storage, "new").problems, []);
    for _ in 0..2 {
        let engine = open_at(&storage, "new");
        assert_eq!((integers(&engine, "cpu"), engine.stats().segments), before);
    }
    // It is a copy: what is written to it is not in the backup.
    let engine = open_at(&storage, "new");
    write_integer(&engine, "cpu", "node=n9,pod=p9", NOW, 9);
    engine.flush().unwrap();
    drop(engine);
    assert_eq!(check_of(&storage, "data/backups/one").problems, []);
    let refused = restore(&*storage, Path::new("data/backups/one"), Path::new("new"));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("new is not empty"), "{refused}");
    let none = restore(&*storage, Path::new("new"), Path::new("other"))
        .unwrap_err()
        .to_string();
    assert!(none.contains("new is no backup"), "{none}");
}

#[test]
fn a_backup_that_misses_something_is_not_restored() {
    let (engine, storage) = filled();
    engine.backup(Path::new("copy"), &[]).unwrap();
    drop(engine);
    for path in files(&storage, Path::new("copy")) {
        let whole = storage.bytes(&path).unwrap();
        storage.put(&path, &whole[..whole.len() - 1]);
        let error = restore(&*storage, Path::new("copy"), Path::new("new")).unwrap_err();
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
        assert!(!storage.exists(Path::new("new")).unwrap());
        storage.put(&path, &whole);
    }
    restore(&*storage, Path::new("copy"), Path::new("new")).unwrap();
}

#[test]
fn a_restore_that_is_cut_off_leaves_nothing_that_looks_like_data() {
    let (engine, storage) = filled();
    let before = integers(&engine, "cpu");
    engine.backup(Path::new("copy"), &[]).unwrap();
    drop(engine);
    let start = storage.operations();
    restore(&storage.killed(), Path::new("copy"), Path::new("new")).unwrap();
    let mut finished = 0;
    for at in 0.. {
        let cut = storage.killed();
        cut.cut_at(at);
        let done = restore(&cut, Path::new("copy"), Path::new("new")).is_ok();
        for entries in [
            plimsoll_wal::storage::memory::Unsynced::Kept,
            plimsoll_wal::storage::memory::Unsynced::Dropped,
        ] {
            let bytes = plimsoll_wal::storage::memory::Unsynced::Torn(at);
            let left = plimsoll_wal::storage::memory::Survivors { bytes, entries };
            let left = Arc::new(cut.survivors(left));
            if left.exists(Path::new("new")).unwrap() {
                assert_eq!(check_of(&left, "new").problems, [], "cut at {at}");
                finished += 1;
            } else {
                assert!(!done, "cut at {at}");
                restore(&*left, Path::new("copy"), Path::new("new")).unwrap();
            }
            assert_eq!(
                integers(&open_at(&left, "new"), "cpu"),
                before,
                "cut at {at}"
            );
        }
        if done {
            break;
        }
    }
    assert!(finished > 0 && start > 0);
}

#[test]
fn a_corrupt_log_is_repaired_and_what_is_lost_is_told() {
    let (engine, storage) = filled();
    drop(engine);
    assert_eq!(repair_of(&storage), None, "nothing is to repair");
    let log = Path::new("data/log");
    let path = log.join(&storage.list(log).unwrap()[0]);
    let whole = storage.bytes(&path).unwrap();
    let all = integers(&open(&storage).0, "cpu");
    let pristine = storage.killed();
    let mut repaired_at = 0;
    for at in (64..whole.len()).step_by(37) {
        let storage = Arc::new(pristine.killed());
        let path = log.join(&storage.list(log).unwrap()[0]);
        let mut bad = whole.clone();
        bad[at] ^= 1;
        storage.put(&path, &bad);
        let shared = shared(&storage);
        if Engine::open(shared, options(), clock()).is_ok() {
            continue;
        }
        let repaired = repair_of(&storage).expect("it is corrupt");
        repaired_at += 1;
        assert!(!repaired.losses.is_empty(), "byte {at}");
        assert!(repaired.frames_missing > 0, "byte {at}");
        let (engine, report) = open(&storage);
        assert_eq!(
            report.rows_lost + report.frames_lost,
            0,
            "the rest is in segments"
        );
        let found = integers(&engine, "cpu");
        for (series, points) in &found {
            let sent = &all.iter().find(|(name, _)| name == series).unwrap().1;
            assert!(
                points.iter().all(|point| sent.contains(point)),
                "byte {at}: {series}"
            );
        }
        // What is in segments is whole, and it takes writes that last.
        let count = |series: &[(String, Vec<(i64, i64)>)]| {
            series.iter().map(|(_, points)| points.len()).sum::<usize>()
        };
        assert!(count(&found) >= 80, "byte {at}: {}", count(&found));
        write_integer(&engine, "cpu", "node=n0,pod=p0", NOW - 1, 7);
        drop(engine);
        let (engine, report) = open(&storage);
        assert_eq!(report.rows_lost + report.frames_lost, 0);
        assert_eq!(
            count(&integers(&engine, "cpu")),
            count(&found) + 1,
            "byte {at}"
        );
        assert_eq!(repair_of(&Arc::new(storage.killed())), None);
        let aside = storage.list(log).unwrap();
        assert!(
            aside.iter().any(|name| name.ends_with(".damaged")),
            "{aside:?}"
        );
    }
    assert!(repaired_at > 5);
}

#[test]
fn reader_positions_that_are_damaged_are_set_aside() {
    let (engine, storage) = filled();
    engine.reader("sink", ReaderStart::Now).unwrap();
    drop(engine);
    let path = Path::new("data/READERS");
    let mut bytes = storage.bytes(path).unwrap();
    bytes[20] ^= 1;
    storage.put(path, &bytes);
    let repaired = repair_of(&storage).unwrap();
    let aside = repaired.readers_set_aside.unwrap();
    assert_eq!(aside, Path::new("data/READERS.damaged"));
    assert!(storage.exists(&aside).unwrap());
    assert_eq!(open(&storage).0.readers(), []);
}
