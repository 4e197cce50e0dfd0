//! A workload with flushes, deletions, retention, a merge of segments, a backup and a reader of the log is cut at every storage call, with
//! unsynced bytes kept, dropped and torn; then the directory is opened again, twice:
//! acknowledged ⊆ recovered ⊆ sent, and the index names what has points; what the reader was given
//! before, and is given afterwards from where it stood, is every acknowledged point.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plimsoll_engine::backup::{BackupList, restore};
use plimsoll_engine::catalog::{CatalogChange, MakeDefault, PolicySpec};
use plimsoll_engine::check::check as check_directory;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{
    Chosen, Deletion, Engine, FieldValue, Options, Reader, ReaderBatch, ReaderStart, TimeRange,
    Timestamp,
};
use plimsoll_wal::storage::memory::{Survivors, Unsynced};
use plimsoll_wal::storage::{Memory, Storage};
use support::*;

type Point = (String, i64);
type Points = BTreeMap<Point, i64>;

/// What the workload did until the power went: of each point what may be found, which is one thing
/// unless a write or a deletion of it was not acknowledged.
#[derive(Default)]
struct Told {
    allowed: BTreeMap<Point, Vec<Option<i64>>>,
    database_made: bool,
    /// It came to its end.
    finished: bool,
    merges: u64,
    deletions: u64,
    /// Writes that were acknowledged, and all that were sent.
    written: Vec<(Point, i64)>,
    tried: Vec<(Point, i64)>,
    /// The reader was made before the first of them.
    reader_made: bool,
    /// What the reader's points went to, which is another machine, and the last position that was
    /// noted.
    sunk: Vec<(Point, i64)>,
    noted: u64,
    /// The partition of the short policy: written, and dropped when it expired.
    short_written: bool,
    /// Dropping it was begun, and was acknowledged.
    short_expiring: bool,
    short_dropped: bool,
    /// What a backup may hold, once one was begun, and whether it was finished.
    in_backup: Option<BTreeMap<Point, Vec<Option<i64>>>>,
    backup_made: bool,
}

impl Told {
    /// A write or a deletion (`None`) of a point was sent.
    fn sent(&mut self, point: &Point, value: Option<i64>) {
        let allowed = self.allowed.entry(point.clone());
        allowed.or_insert_with(|| vec![None]).push(value);
    }

    /// It was acknowledged.
    fn acknowledged(&mut self, point: &Point, value: Option<i64>) {
        self.allowed.insert(point.clone(), vec![value]);
    }
}

const STEPS: i64 = 24;
/// The step after which the segments are merged: there are two, and the head.
const MERGE_AFTER: i64 = 20;
/// Steps after which the points of one pod, up to a time, are deleted: from the open head, from a
/// segment and the head, from what was merged.
const DELETE_AFTER: [i64; 3] = [5, 13, 22];
/// Steps after which the reader reads: before and after flushes, not after the last.
const SINK_AFTER: [i64; 4] = [2, 10, 16, 21];

/// The reader's name.
const SINK: &str = "sink";

fn take(read: &ReaderBatch, sunk: &mut Vec<(Point, i64)>) {
    assert_eq!((read.frames_lost, read.rows_lost), (0, 0));
    for points in &read.points {
        if points.policy == "short" {
            continue;
        }
        assert_eq!(
            (points.database.as_str(), points.policy.as_str()),
            ("d", "autogen")
        );
        for point in points.batch.points() {
            let tags = points.batch.tag_sets()[point.tag_set as usize].to_string();
            let FieldValue::Integer(value) = point.fields[0].1 else {
                panic!("integers were written")
            };
            sunk.push(((tags, point.time.0), value));
        }
    }
}

/// Takes what is new for the reader to its sink; answers whether its position was noted.
fn sink(engine: &Engine, reader: &mut Reader, sunk: &mut Vec<(Point, i64)>) -> bool {
    loop {
        match reader.read(engine, 4) {
            Ok(Some(read)) => {
                take(&read, sunk);
                if engine.commit_reader(SINK, read.position).is_err() {
                    return false;
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// The backup is made after this step: there is a segment, and rows in the log.
const BACKUP_AFTER: i64 = 14;
const BACKUP: &str = "copy";
/// Points of the short policy are written after the first of these steps, and have expired before
/// the second.
const SHORT: (i64, i64) = (3, 18);

/// A policy of an hour, beside the one of the other points.
fn make_short(engine: &Engine) -> bool {
    let policy = PolicySpec {
        name: Some("short".to_owned()),
        retention: Some(3600 * SECOND),
        ..PolicySpec::default()
    };
    let change = CatalogChange::CreatePolicy {
        database: "d".to_owned(),
        policy,
        default: MakeDefault::No,
    };
    engine.change(&change).is_ok()
}

fn short_points(engine: &Engine) -> usize {
    let view = engine.snapshot().view("d", "short", TimeRange::ALL);
    let series = view.map(|view| view.series("brief", &TagPredicate::All));
    series.map_or(0, |series| series.expect("the index verifies").len())
}

/// Writes, overwrites, late writes, deletions, flushes, retention, a backup, a merge; stops at the first error, as a
/// killed client does.
fn work(storage: &Arc<Memory>) -> Told {
    let mut told = Told::default();
    let shared: Arc<dyn Storage> = storage.clone();
    let clock = clock();
    let Ok((engine, _)) = Engine::open(shared, options(), clock.clone()) else {
        return told;
    };
    let create = CatalogChange::CreateDatabase {
        name: "d".to_owned(),
        policy: None,
    };
    if engine.change(&create).is_err() {
        return told;
    }
    told.database_made = true;
    let Ok(mut reader) = engine.reader(SINK, ReaderStart::Oldest) else {
        return told;
    };
    told.reader_made = true;
    if !make_short(&engine) {
        return told;
    }
    for step in 0..STEPS {
        let pod = format!("pod=p{}", step % 3);
        // Every fifth is late, and overwrites what was there.
        let time = NOW + if step % 5 == 4 { step - 3 } else { step } * SECOND;
        let batch = point(
            "cpu",
            &pod,
            time,
            &[("value", plimsoll_engine::FieldValue::Integer(step))],
        );
        let place = (pod, time);
        told.sent(&place, Some(step));
        told.tried.push((place.clone(), step));
        if engine.write("d", "", &batch).is_err() {
            return told;
        }
        told.acknowledged(&place, Some(step));
        told.written.push((place, step));
        if SINK_AFTER.contains(&step) {
            let is_noted = sink(&engine, &mut reader, &mut told.sunk);
            told.noted = engine.readers()[0].sequence;
            if !is_noted {
                return told;
            }
        }
        if DELETE_AFTER.contains(&step) && !delete(&engine, &mut told, step) {
            return told;
        }
        if step % 9 == 8 && engine.flush().is_err() {
            return told;
        }
        if step == SHORT.0 {
            let brief = point("brief", "pod=s", NOW, &[("value", FieldValue::Integer(1))]);
            if engine.write("d", "short", &brief).is_err() {
                return told;
            }
            told.short_written = true;
        }
        if step == SHORT.1 {
            clock.set(Timestamp(NOW + 30 * 86_400 * SECOND));
            told.short_expiring = true;
            if !matches!(engine.enforce_retention(), Ok(1)) {
                return told;
            }
            told.short_dropped = true;
            clock.set(Timestamp(NOW));
        }
        if step == BACKUP_AFTER {
            told.in_backup = Some(told.allowed.clone());
            if engine.backup(Path::new(BACKUP), &[]).is_err() {
                return told;
            }
            told.backup_made = true;
        }
        if step == MERGE_AFTER && engine.compact_all(&AtomicBool::new(false)).is_err() {
            return told;
        }
    }
    told.merges = engine.stats().compactions;
    told.deletions = engine.stats().deletions;
    told.finished = true;
    told
}

/// Deletes the points of one pod but its newest; answers whether that was acknowledged.
fn delete(engine: &Engine, told: &mut Told, step: i64) -> bool {
    let pod = format!("pod=p{}", step % 3);
    let end = NOW + (step - 1) * SECOND;
    let points: Vec<Point> = told.allowed.keys().cloned().collect();
    let doomed = points
        .iter()
        .filter(|(of, time)| *of == pod && *time <= end);
    let doomed: Vec<&Point> = doomed.collect();
    assert!(!doomed.is_empty(), "there is something to delete");
    for point in &doomed {
        told.sent(point, None);
    }
    let deletion = Deletion {
        database: "d".to_owned(),
        policy: None,
        measurements: ["cpu".into()].into(),
        series: Chosen::These([tags(&pod)].into()),
        range: TimeRange {
            start: Timestamp(i64::MIN),
            end: Timestamp(end),
        },
    };
    let is_done = engine.delete(&deletion).is_ok();
    for point in doomed.into_iter().filter(|_| is_done) {
        told.acknowledged(point, None);
    }
    is_done
}

fn found(engine: &Engine, case: &str) -> Points {
    let mut points = Points::new();
    for (pod, values) in integers(engine, "cpu") {
        assert!(
            !values.is_empty(),
            "{case}: the index names {pod}, which has no point"
        );
        for (time, value) in values {
            points.insert((pod.clone(), time), value);
        }
    }
    points
}

fn check(told: &Told, storage: &Arc<Memory>, case: &str) {
    for reopening in 0..2 {
        let (engine, _) = open(storage);
        assert_eq!(engine.stats().segments_damaged, 0, "{case}");
        if engine.snapshot().catalog().database("d").is_err() {
            assert!(
                !told.database_made,
                "{case}: the database was acknowledged and is gone"
            );
            return;
        }
        let found = found(&engine, case);
        for (point, allowed) in &told.allowed {
            let there = found.get(point).copied();
            assert!(
                allowed.contains(&there),
                "{case}, reopening {reopening}: {point:?} may be {allowed:?}, found {there:?}"
            );
        }
        for (point, value) in &found {
            assert!(
                told.allowed.contains_key(point),
                "{case}: {point:?} = {value} was never sent"
            );
        }
        check_reader(told, &engine, case);
        let short = short_points(&engine);
        assert!(
            !told.short_dropped || short == 0,
            "{case}: what expired is back"
        );
        if told.short_written && !told.short_expiring {
            assert_eq!(short, 1, "{case}: what has not expired is gone");
        }
    }
}

/// A backup that is there is whole, and one that was finished is there.
fn check_backup(told: &Told, storage: &Arc<Memory>, case: &str) {
    let Some(allowed) = &told.in_backup else {
        return;
    };
    if BackupList::read(&**storage, Path::new(BACKUP)).is_err() {
        assert!(!told.backup_made, "{case}: the backup is gone");
        return;
    }
    restore(&**storage, Path::new(BACKUP), Path::new("restored"))
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    let shared: Arc<dyn Storage> = storage.clone();
    let checked = check_directory(&shared, Path::new("restored")).expect("it is there");
    assert_eq!(checked.problems, [], "{case}");
    let options = Options {
        directory: "restored".into(),
        ..options()
    };
    let (engine, _) = Engine::open(shared, options, clock()).expect("it opens");
    let found = found(&engine, case);
    for (point, allowed) in allowed {
        let there = found.get(point).copied();
        assert!(
            allowed.contains(&there),
            "{case}: in the backup {point:?} is {there:?}"
        );
    }
    assert!(
        found.keys().all(|point| allowed.contains_key(point)),
        "{case}"
    );
}

fn check_reader(told: &Told, engine: &Engine, case: &str) {
    if !told.reader_made {
        return;
    }
    let mut reader = engine.reader(SINK, ReaderStart::Now).expect("it is there");
    let stands = engine.readers()[0].sequence;
    assert!(
        stands >= told.noted,
        "{case}: {stands} is before {}",
        told.noted
    );
    let mut sunk = told.sunk.clone();
    while let Some(read) = reader.read(engine, 4).expect("the log verifies") {
        take(&read, &mut sunk);
    }
    for written in &told.written {
        assert!(
            sunk.contains(written),
            "{case}: the reader misses {written:?}"
        );
    }
    for got in &sunk {
        assert!(told.tried.contains(got), "{case}: {got:?} was never sent");
    }
}

#[test]
fn acknowledged_points_survive_a_cut_at_every_storage_call() {
    let whole = Arc::new(Memory::new());
    let told = work(&whole);
    assert!(told.finished, "without a cut nothing fails");
    assert_eq!((told.merges, told.deletions), (1, 3));
    assert!(told.short_dropped && told.backup_made);
    let operations = whole.operations();
    assert!(
        operations > 60,
        "the workload does something: {operations} storage calls"
    );
    on_all_threads(operations, |at| {
        let storage = Arc::new(Memory::new());
        storage.cut_at(at);
        let told = work(&storage);
        let outcomes = [
            Unsynced::Kept,
            Unsynced::Dropped,
            Unsynced::Torn(at),
            Unsynced::Torn(at + 1_000_000),
            Unsynced::TornPages(at),
        ];
        // Where little is unsynced, most of these leave the same disk.
        let mut seen: Vec<Memory> = Vec::new();
        for bytes in outcomes {
            for entries in [Unsynced::Kept, Unsynced::Dropped, Unsynced::Torn(at)] {
                let survivors = Survivors { bytes, entries };
                let left = storage.survivors(survivors);
                if seen.iter().any(|other| other.is_same(&left)) {
                    continue;
                }
                let case = format!("cut at {at}, bytes {bytes:?}, entries {entries:?}");
                seen.push(left);
                let left = Arc::new(storage.survivors(survivors));
                check(&told, &left, &case);
                check_backup(&told, &left, &case);
            }
        }
    });
}

/// Calls `case` with each number below `count`, on as many threads as there are cores.
fn on_all_threads(count: u64, case: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    case(at);
                }
            });
        }
    });
}

#[test]
fn a_killed_process_loses_nothing_that_the_kernel_has() {
    let whole = Arc::new(Memory::new());
    work(&whole);
    let operations = whole.operations();
    on_all_threads(operations, |at| {
        let storage = Arc::new(Memory::new());
        storage.cut_at(at);
        let told = work(&storage);
        let left = Arc::new(storage.killed());
        check(&told, &left, &format!("killed at {at}"));
    });
}
