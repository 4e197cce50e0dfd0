//! A workload with flushes and a merge of segments is cut at every storage call, with unsynced bytes kept, dropped and torn; then the
//! directory is opened again, twice: acknowledged ⊆ recovered ⊆ sent.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plimsoll_engine::Engine;
use plimsoll_engine::catalog::CatalogChange;
use plimsoll_wal::storage::memory::{Survivors, Unsynced};
use plimsoll_wal::storage::{Memory, Storage};
use support::*;

type Points = BTreeMap<(String, i64), i64>;

/// What the workload sent, and which of it was acknowledged, when the power went.
#[derive(Default)]
struct Told {
    sent: Points,
    acknowledged: Points,
    database_made: bool,
    merges: u64,
}

const STEPS: i64 = 24;
/// The step after which the segments are merged: there are two, and the head.
const MERGE_AFTER: i64 = 20;

/// Writes, overwrites, late writes, flushes, a merge; stops at the first error, as a killed client does.
fn work(storage: &Arc<Memory>) -> Told {
    let mut told = Told::default();
    let shared: Arc<dyn Storage> = storage.clone();
    let Ok((engine, _)) = Engine::open(shared, options(), clock()) else {
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
        told.sent.insert((pod.clone(), time), step);
        if engine.write("d", "", &batch).is_err() {
            return told;
        }
        told.acknowledged.insert((pod, time), step);
        if step % 9 == 8 && engine.flush().is_err() {
            return told;
        }
        if step == MERGE_AFTER && engine.compact_all(&AtomicBool::new(false)).is_err() {
            return told;
        }
    }
    told.merges = engine.stats().compactions;
    told
}

fn found(engine: &Engine) -> Points {
    let mut points = Points::new();
    for (pod, values) in integers(engine, "cpu") {
        for (time, value) in values {
            points.insert((pod.clone(), time), value);
        }
    }
    points
}

fn check(told: &Told, storage: &Arc<Memory>, case: &str) {
    for reopening in 0..2 {
        let (engine, _) = open(storage);
        if engine.snapshot().catalog().database("d").is_err() {
            assert!(
                !told.database_made,
                "{case}: the database was acknowledged and is gone"
            );
            return;
        }
        let found = found(&engine);
        for (point, value) in &told.acknowledged {
            let there = found.get(point);
            let newer = told.sent.get(point);
            assert!(
                there == Some(value) || (there.is_some() && there == newer),
                "{case}, reopening {reopening}: {point:?} was acknowledged as {value}, found {there:?}"
            );
        }
        for (point, value) in &found {
            assert!(
                told.sent.contains_key(point),
                "{case}: {point:?} = {value} was never sent"
            );
        }
    }
}

#[test]
fn acknowledged_points_survive_a_cut_at_every_storage_call() {
    let whole = Arc::new(Memory::new());
    let told = work(&whole);
    assert_eq!(
        told.acknowledged.len(),
        told.sent.len(),
        "without a cut nothing fails"
    );
    assert_eq!(told.merges, 1);
    let operations = whole.operations();
    assert!(
        operations > 60,
        "the workload does something: {operations} storage calls"
    );
    for at in 0..operations {
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
        for bytes in outcomes {
            for entries in [Unsynced::Kept, Unsynced::Dropped, Unsynced::Torn(at)] {
                let left = Arc::new(storage.survivors(Survivors { bytes, entries }));
                check(
                    &told,
                    &left,
                    &format!("cut at {at}, bytes {bytes:?}, entries {entries:?}"),
                );
            }
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_the_kernel_has() {
    let whole = Arc::new(Memory::new());
    work(&whole);
    let operations = whole.operations();
    for at in 0..operations {
        let storage = Arc::new(Memory::new());
        storage.cut_at(at);
        let told = work(&storage);
        let left = Arc::new(storage.killed());
        check(&told, &left, &format!("killed at {at}"));
    }
}
