//! A segment that is damaged is an error for what touches it, a count, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{Engine, Error, FieldType, FieldValue, Options, TimeRange, Timestamp};
use plimsoll_wal::storage::{Memory, ReadMode, Storage};
use support::{NOW, SECOND, create, point};

const WEEK: i64 = 7 * 24 * 3600 * SECOND;

fn open(storage: &Arc<Memory>, read_mode: ReadMode) -> Engine {
    let storage: Arc<dyn Storage> = storage.clone();
    let options = Options {
        read_mode,
        ..support::options()
    };
    let clock = Arc::new(ManualClock::new(Timestamp(NOW)));
    Engine::open(storage, options, clock).unwrap().0
}

/// The points of `m` in a week.
fn count(engine: &Engine, week: i64) -> Result<usize, Error> {
    let start = NOW + week * WEEK;
    let range = TimeRange {
        start: Timestamp(start),
        end: Timestamp(start + WEEK / 2),
    };
    let view = engine.snapshot().view("d", "", range)?;
    let mut points = 0;
    for series in view.series("m", &TagPredicate::All)? {
        points += view.column(&series, "v", FieldType::Integer)?.times.len();
    }
    Ok(points)
}

/// Three weeks of points, each a partition with one segment; answers their files.
fn three_weeks() -> (Arc<Memory>, Vec<PathBuf>) {
    let storage = Arc::new(Memory::new());
    let engine = open(&storage, ReadMode::Map);
    create(&engine, "d");
    let mut noise = 1i64;
    for week in 0..3 {
        for step in 0..500i64 {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let time = NOW + week * WEEK + step * SECOND;
            let batch = point("m", "pod=a", time, &[("v", FieldValue::Integer(noise))]);
            engine.write("d", "", &batch).unwrap();
        }
    }
    engine.flush().unwrap();
    engine.close().unwrap();
    let root = Options::new("data").directory.join("partitions");
    let mut files = Vec::new();
    for partition in storage.list(&root).unwrap() {
        for name in storage.list(&root.join(&partition)).unwrap() {
            files.push(root.join(&partition).join(name));
        }
    }
    assert_eq!(files.len(), 3);
    (storage, files)
}

fn assert_only_the_second_week_fails(engine: &Engine, path: &PathBuf) {
    assert_eq!(count(engine, 0).unwrap(), 500);
    assert_eq!(count(engine, 2).unwrap(), 500);
    match count(engine, 1) {
        Err(Error::Corrupt { path: named, .. }) => assert_eq!(named, *path),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_segment_that_was_cut_or_lost_before_the_start_leaves_the_rest_readable() {
    for read_mode in [ReadMode::Map, ReadMode::Pread] {
        for kept in [None, Some(0), Some(17), Some(1000)] {
            let (storage, files) = three_weeks();
            let whole = storage.bytes(&files[1]).unwrap();
            match kept {
                Some(len) => storage.put(&files[1], &whole[..len]),
                None => storage.remove(&files[1]).unwrap(),
            }
            let engine = open(&storage, read_mode);
            assert_only_the_second_week_fails(&engine, &files[1]);
            assert_eq!(engine.stats().segments_damaged, 1);
            // Writing, flushing and merging go on, and nothing forgets the file.
            let batch = point("m", "pod=b", NOW + WEEK, &[("v", FieldValue::Integer(1))]);
            engine.write("d", "", &batch).unwrap();
            engine.flush().unwrap();
            engine.compact_all(&AtomicBool::new(false)).unwrap();
            assert_only_the_second_week_fails(&engine, &files[1]);
            engine.close().unwrap();
            let engine = open(&storage, read_mode);
            assert_eq!(engine.stats().segments_damaged, 1);
            engine.close().unwrap();
            // Restored from a backup, it is there again.
            storage.put(&files[1], &whole);
            let engine = open(&storage, read_mode);
            assert_eq!(engine.stats().segments_damaged, 0);
            assert_eq!(count(&engine, 1).unwrap(), 501);
        }
    }
}

#[test]
fn a_flipped_byte_is_an_error_for_the_reads_that_need_it_and_counted() {
    for read_mode in [ReadMode::Map, ReadMode::Pread] {
        let (storage, files) = three_weeks();
        let mut bytes = storage.bytes(&files[1]).unwrap();
        bytes[700] ^= 4;
        storage.put(&files[1], &bytes);
        let engine = open(&storage, read_mode);
        assert_eq!(engine.stats().segments_damaged, 0, "found when it is read");
        assert_only_the_second_week_fails(&engine, &files[1]);
        assert!(engine.stats().corrupt_reads >= 1);
        let names = engine.snapshot().view("d", "", TimeRange::ALL).unwrap();
        assert_eq!(names.measurements().unwrap().len(), 1, "the index is whole");
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_open_is_an_error_where_it_is_read_piece_by_piece() {
    for kept in [0, 17, 4000] {
        let (storage, files) = three_weeks();
        let engine = open(&storage, ReadMode::Pread);
        let file = storage.open(&files[1]).unwrap();
        file.set_len(kept).unwrap();
        assert_only_the_second_week_fails(&engine, &files[1]);
        assert_eq!(engine.stats().segments_damaged, 0);
        assert!(engine.stats().corrupt_reads >= 1);
    }
}

#[test]
fn a_read_that_fails_is_an_error_of_that_query_and_the_next_reads_again() {
    let (storage, files) = three_weeks();
    let (mut failed, mut at) = (0, 0);
    loop {
        let engine = open(&storage, ReadMode::Pread);
        let before = storage.operations();
        storage.fail_at(before + at, std::io::ErrorKind::Other);
        let counted = count(&engine, 1);
        match counted {
            Ok(500) => assert!(storage.operations() <= before + at, "no read was left out"),
            Err(Error::Storage(plimsoll_wal::Error::Io { path, .. })) => {
                assert_eq!(path, files[1]);
                failed += 1;
                assert_eq!(count(&engine, 1).unwrap(), 500);
                assert_eq!(engine.stats().corrupt_reads, 0);
            }
            other => panic!("{other:?}"),
        }
        if storage.operations() <= before + at {
            break;
        }
        at += 1;
    }
    assert!(
        failed >= 2,
        "the pages of values are read when they are needed: {failed}"
    );
}
