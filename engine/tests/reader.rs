//! A named reader gets every acknowledged point of the log, behind a position that lasts.

#![expect(
    clippy::unwrap_used,
    reason = "also in the functions that tests share, where a failure fails the test"
)]

mod support;

use std::path::Path;
use std::sync::Arc;

use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::{
    Batch, Chosen, Deletion, Durability, Engine, Error, FieldValue, Options, Reader, ReaderBatch,
    ReaderStart, TimeRange, Timestamp,
};
use plimsoll_wal::storage::{Memory, Storage};
use support::*;

/// Values as text: database, policy, measurement, tags, time, field. A value each, for a point may
/// come in several parts.
type Lines = Vec<String>;

fn lines(database: &str, policy: &str, batch: &Batch) -> Lines {
    let names = batch.names();
    let mut lines = Lines::new();
    for point in batch.points() {
        let tags = &batch.tag_sets()[point.tag_set as usize];
        let measurement = &names[point.measurement as usize];
        let time = point.time.0 - NOW;
        let mut fields = point.fields.to_vec();
        fields.sort_by_key(|(name, _)| &names[*name as usize]);
        for (name, value) in fields {
            let name = &names[name as usize];
            lines.push(format!(
                "{database}/{policy} {measurement},{tags} {name}={value:?} {time}"
            ));
        }
    }
    lines
}

/// In any order: rows of one batch that are in different parts of the head have none.
fn sorted(mut lines: Lines) -> Lines {
    lines.sort();
    lines
}

/// Everything that is new, in reads of a few points.
fn read(engine: &Engine, reader: &mut Reader) -> (Lines, Vec<ReaderBatch>) {
    let (mut all, mut batches) = (Lines::new(), Vec::new());
    while let Some(batch) = reader.read(engine, 3).unwrap() {
        for points in &batch.points {
            all.extend(lines(&points.database, &points.policy, &points.batch));
        }
        batches.push(batch);
    }
    (all, batches)
}

fn commit(engine: &Engine, reader: &Reader, batches: &[ReaderBatch]) {
    let last = batches.last().expect("something was read");
    engine.commit_reader(reader.name(), last.position).unwrap();
}

fn write(engine: &Engine, batch: &Batch) -> Lines {
    engine.write("d", "", batch).unwrap();
    lines("d", "autogen", batch)
}

fn of_step(step: i64) -> Batch {
    // Strings, absent values, late rows, rows at the same time, new columns.
    let tags = format!("pod=p{}", step % 3);
    let late = if step % 7 == 6 { 5 } else { 0 };
    let time = NOW + (step / 2 - late) * SECOND;
    let text = FieldValue::String(format!("s{}", step / 4).into());
    let mut fields = vec![("value", FieldValue::Integer(step * step))];
    if step % 4 != 1 {
        fields.push(("text", text));
    }
    if step > 20 {
        fields.push((
            "ratio",
            FieldValue::Float(f64::from(i32::try_from(step).unwrap()) / 8.0),
        ));
    }
    point("cpu", &tags, time, &fields)
}

#[test]
fn a_reader_gets_what_is_written_and_goes_on_where_it_stood() {
    let (mut engine, storage) = fresh();
    let mut reader = engine.reader("sink", ReaderStart::Oldest).unwrap();
    let (mut uncommitted, mut seen_again, mut flushes) = (Lines::new(), 0, 0);
    for step in 0..200 {
        let sent = write(&engine, &of_step(step));
        uncommitted.extend(sent.iter().cloned());
        match step % 10 {
            3 => {
                let (got, _) = read(&engine, &mut reader);
                let newest = uncommitted[uncommitted.len() - got.len()..].to_vec();
                assert!(got.contains(&sent[0]), "step {step}");
                assert_eq!(sorted(got), sorted(newest), "step {step}");
            }
            5 => {
                // A restart before the position was noted: all since the last one come again.
                drop(engine);
                engine = open(&storage).0;
                reader = engine.reader("sink", ReaderStart::Now).unwrap();
                let (got, batches) = read(&engine, &mut reader);
                assert_eq!(sorted(got), sorted(uncommitted.clone()), "step {step}");
                seen_again += 1;
                if step % 20 == 5 {
                    commit(&engine, &reader, &batches);
                    uncommitted.clear();
                }
            }
            8 if step % 30 == 8 => {
                engine.flush().unwrap();
                flushes += engine.stats().flushes;
            }
            _ => {}
        }
    }
    assert_eq!((seen_again, flushes), (20, 7));
}

#[test]
fn a_new_reader_begins_now_or_with_what_no_flush_covers() {
    let (engine, _) = fresh();
    write(&engine, &of_step(0));
    engine.flush().unwrap();
    let kept = write(&engine, &of_step(1));
    let mut now = engine.reader("now", ReaderStart::Now).unwrap();
    let mut oldest = engine.reader("oldest", ReaderStart::Oldest).unwrap();
    let later = write(&engine, &of_step(3));
    assert_eq!(sorted(read(&engine, &mut now).0), sorted(later.clone()));
    assert_eq!(
        sorted(read(&engine, &mut oldest).0),
        sorted([kept, later].concat())
    );
    assert_eq!(read(&engine, &mut oldest).0, Lines::new());
}

#[test]
fn log_files_wait_for_readers_and_go_when_they_are_through() {
    let (engine, _) = fresh();
    let held = |engine: &Engine| engine.readers()[0].held_bytes;
    let mut reader = engine.reader("sink", ReaderStart::Oldest).unwrap();
    for round in 0..3 {
        write(&engine, &of_step(round));
        engine.flush().unwrap();
    }
    assert!(held(&engine) > 0);
    assert_eq!(
        engine.readers()[0].frames_behind,
        engine.readers()[0].sequence + 4
    );
    let (got, batches) = read(&engine, &mut reader);
    assert_eq!(got.len(), 5);
    commit(&engine, &reader, &batches);
    let stats = engine.readers();
    assert_eq!((stats[0].held_bytes, stats[0].frames_behind), (0, 0));
    assert_eq!(stats[0].name, "sink");

    write(&engine, &of_step(8));
    engine.flush().unwrap();
    assert!(held(&engine) > 0);
    assert!(engine.drop_reader("sink").unwrap());
    assert!(!engine.drop_reader("sink").unwrap());
    assert_eq!(engine.readers(), []);
    let gone = reader.read(&engine, 1).unwrap_err();
    assert!(matches!(gone, Error::ReaderNotFound(name) if name == "sink"));
    engine.reader("again", ReaderStart::Oldest).unwrap();
    assert_eq!(held(&engine), 0, "nothing of before is left");
}

fn open_with(storage: &Arc<Memory>, options: Options) -> Engine {
    let storage: Arc<dyn Storage> = storage.clone();
    Engine::open(storage, options, clock()).unwrap().0
}

#[test]
fn past_the_limit_the_oldest_generations_are_dropped_and_counted() {
    let storage = Arc::new(Memory::new());
    let limited = |limit| Options {
        reader_backlog_bytes_max: limit,
        ..options()
    };
    let engine = open_with(&storage, limited(u64::MAX));
    create(&engine, "d");
    let mut slow = engine.reader("slow", ReaderStart::Oldest).unwrap();
    let mut quick = engine.reader("quick", ReaderStart::Oldest).unwrap();
    let mut sent = Vec::new();
    for round in 0..5 {
        sent.push(
            (0..10)
                .flat_map(|n| write(&engine, &of_step(round * 10 + n)))
                .collect::<Lines>(),
        );
        engine.flush().unwrap();
    }
    let open = write(&engine, &of_step(51));
    let (got, batches) = read(&engine, &mut quick);
    assert_eq!(got.len(), sent.concat().len() + open.len());
    commit(&engine, &quick, &batches);
    let held = engine.readers()[1].held_bytes;
    let one = held / 5;
    drop(engine);

    // The limit is lowered to a little over two generations.
    let engine = open_with(&storage, limited(one * 5 / 2));
    let stats = engine.readers();
    assert_eq!(
        (stats[0].name.as_str(), stats[0].frames_dropped),
        ("quick", 0)
    );
    assert!((30..=32).contains(&stats[1].frames_dropped), "{stats:?}");
    assert!(stats[1].held_bytes <= one * 5 / 2);
    assert_eq!(stats[1].bytes_dropped, held - stats[1].held_bytes);
    let expected = sorted([sent[3].clone(), sent[4].clone(), open.clone()].concat());
    let mut reader = engine.reader("slow", ReaderStart::Now).unwrap();
    let (got, batches) = read(&engine, &mut reader);
    assert_eq!(sorted(got), expected);
    assert_eq!(
        batches
            .iter()
            .map(|b| b.rows_lost + b.frames_lost)
            .sum::<u64>(),
        0
    );
    // A reader that runs while the log is dropped below it goes on behind.
    let (got, _) = read(&engine, &mut slow);
    assert_eq!(sorted(got), expected);
    // A limit of nothing leaves what a start needs.
    drop(engine);
    let engine = open_with(&storage, limited(0));
    let (got, _) = read(
        &engine,
        &mut engine.reader("slow", ReaderStart::Now).unwrap(),
    );
    assert_eq!(sorted(got), sorted(open));
    assert_eq!(engine.readers()[1].held_bytes, 0);
}

#[test]
fn deletions_and_catalog_changes_are_told_and_what_is_gone_is_counted() {
    let (engine, _) = fresh();
    create(&engine, "other");
    let mut reader = engine.reader("sink", ReaderStart::Now).unwrap();
    write(&engine, &of_step(0));
    engine.write("other", "", &of_step(1)).unwrap();
    let deletion = Deletion {
        database: "d".to_owned(),
        policy: None,
        measurements: ["cpu".into()].into(),
        series: Chosen::These([tags("pod=p0")].into()),
        range: TimeRange {
            start: Timestamp(i64::MIN),
            end: Timestamp(NOW + SECOND),
        },
    };
    engine.delete(&deletion).unwrap();
    let kept = write(&engine, &of_step(6));
    let name = "other".to_owned();
    engine
        .change(&CatalogChange::DropDatabase { name })
        .unwrap();
    let (got, batches) = read(&engine, &mut reader);
    assert_eq!(got.len(), 4, "the deleted point was written before");
    assert!(kept.iter().all(|line| got.contains(line)));
    let sum = |part: fn(&ReaderBatch) -> u64| batches.iter().map(part).sum::<u64>();
    assert_eq!(sum(|b| b.deletions), 1);
    assert_eq!(sum(|b| b.catalog_changes), 1);
    assert_eq!(sum(|b| b.rows_gone), 1);
}

#[test]
fn each_durability_gives_only_what_is_durable() {
    for durability in [
        Durability::Sync,
        Durability::Interval(std::time::Duration::from_millis(100)),
        Durability::None,
    ] {
        let storage = Arc::new(Memory::new());
        let engine = open_with(
            &storage,
            Options {
                durability,
                ..options()
            },
        );
        create(&engine, "d");
        let mut reader = engine.reader("sink", ReaderStart::Oldest).unwrap();
        let sent = write(&engine, &of_step(2));
        assert_eq!(sorted(read(&engine, &mut reader).0), sorted(sent));
        let left = plimsoll_wal::storage::memory::Survivors {
            bytes: plimsoll_wal::storage::memory::Unsynced::Dropped,
            entries: plimsoll_wal::storage::memory::Unsynced::Dropped,
        };
        let after = Arc::new(storage.survivors(left));
        let found = integers(&open(&after).0, "cpu");
        assert_eq!(found, [("pod=p2".to_owned(), vec![(NOW + SECOND, 4)])]);
    }
}

#[test]
fn damage_costs_what_is_damaged_and_is_counted() {
    let (engine, storage) = fresh();
    engine.reader("sink", ReaderStart::Oldest).unwrap();
    let sent: Lines = (0..400)
        .flat_map(|step| write(&engine, &of_step(step)))
        .collect();
    engine.flush().unwrap();
    let later = write(&engine, &of_step(401));
    let directory = Path::new("data/log");
    let path = directory.join(&storage.list(directory).unwrap()[0]);
    let whole = storage.bytes(&path).unwrap();
    for at in (0..whole.len()).step_by(499) {
        let mut bad = whole.clone();
        bad[at] ^= 4;
        storage.put(&path, &bad);
        let mut reader = engine.reader("sink", ReaderStart::Now).unwrap();
        let (got, batches) = read(&engine, &mut reader);
        assert!(
            later.iter().all(|line| got.contains(line)),
            "the next generation is whole"
        );
        let lost: u64 = batches.iter().map(|b| b.rows_lost + b.frames_lost).sum();
        let is_whole = got.len() == sent.len() + later.len();
        assert_eq!(is_whole, lost == 0, "byte {at}");
        let is_written = |line| sent.contains(line) || later.contains(line);
        assert!(got.iter().all(is_written), "byte {at}");
    }
    storage.put(&path, &whole);
}

#[test]
fn what_makes_no_sense_is_refused_and_there_is_a_most() {
    let (engine, storage) = fresh();
    let refused = |name: &str| {
        engine
            .reader(name, ReaderStart::Now)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused(""), "a log reader needs a name");
    assert!(refused(&"x".repeat(256)).contains("the limit is 255"));
    for number in 0..64 {
        engine
            .reader(&format!("r{number}"), ReaderStart::Now)
            .unwrap();
    }
    assert!(refused("one more").contains("number of log readers is 65, the limit is 64"));
    let mut known = engine.reader("r7", ReaderStart::Now).unwrap();
    assert!(known.read(&engine, 1).unwrap().is_none());
    drop(engine);
    let path = Path::new("data/READERS");
    let mut bytes = storage.bytes(path).unwrap();
    bytes[30] ^= 1;
    storage.put(path, &bytes);
    let shared: Arc<dyn Storage> = storage.clone();
    let error = Engine::open(shared, options(), clock())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "reader position table in data/READERS at byte 8 is corrupt"
    );
}
