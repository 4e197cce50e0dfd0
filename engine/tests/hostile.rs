//! Every byte of a small data directory is flipped, and every file cut at every length: what is
//! answered then is what was written, or an error says what is wrong.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{Engine, Error, FieldType, FieldValue, ReaderStart, Result, TimeRange};
use plimsoll_wal::storage::{Memory, Storage};
use support::*;

type Points = Vec<(String, i64, i64)>;

fn read(storage: &Arc<Memory>) -> Result<Points> {
    let shared: Arc<dyn Storage> = storage.clone();
    let (engine, _) = Engine::open(shared, options(), clock())?;
    let view = match engine.snapshot().view("d", "", TimeRange::ALL) {
        // The log is all that knew of it.
        Err(Error::DatabaseNotFound(_)) => return Ok(Points::new()),
        other => other?,
    };
    let mut points = Points::new();
    for series in view.series("cpu", &TagPredicate::All)? {
        let column = view.column(&series, "value", FieldType::Integer)?;
        for (row, time) in column.times.iter().enumerate() {
            let FieldValue::Integer(value) = column.values.value(row).to_owned() else {
                panic!("integers were written")
            };
            points.push((series.tags.to_string(), *time, value));
        }
    }
    Ok(points)
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

/// A segment, a log with as much again, a reader's position.
fn small() -> Arc<Memory> {
    let (engine, storage) = fresh();
    for step in 0..24 {
        let tags = format!("pod=p{}", step % 3);
        write_integer(&engine, "cpu", &tags, NOW + step * SECOND, step * step);
        if step == 11 {
            engine.flush().unwrap();
        }
    }
    engine.reader("sink", ReaderStart::Now).unwrap();
    drop(engine);
    storage
}

fn damaged(whole: &Arc<Memory>, path: &Path, bytes: &[u8], right: &Points) -> bool {
    let storage = Arc::new(whole.killed());
    storage.put(path, bytes);
    match read(&storage) {
        Ok(points) => {
            // The end of the log may look like a write that never finished.
            let is_log = path.extension().is_some_and(|extension| extension == "log");
            let is_right =
                points == *right || is_log && points.iter().all(|point| right.contains(point));
            assert!(is_right, "{}: {points:?}", path.display());
            false
        }
        Err(Error::Corrupt { path: named, .. }) => {
            assert!(named.starts_with("data"), "{}", named.display());
            true
        }
        Err(Error::Storage(_)) => true,
        Err(other) => panic!("{}: {other}", path.display()),
    }
}

#[test]
fn a_flipped_byte_or_a_cut_file_is_an_error_or_changes_nothing() {
    let whole = small();
    let right = read(&Arc::new(whole.killed())).unwrap();
    assert_eq!(right.len(), 24);
    for path in files(&whole, Path::new("data")) {
        let bytes = whole.bytes(&path).unwrap();
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let mut errors = 0;
        for at in 0..used {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            errors += u32::from(damaged(&whole, &path, &bad, &right));
            errors += u32::from(damaged(&whole, &path, &bytes[..at], &right));
        }
        assert!(
            used == 0 || errors > 0,
            "{}: nothing was noticed",
            path.display()
        );
    }
}
