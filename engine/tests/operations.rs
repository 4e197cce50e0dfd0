//! Random operations against a map: writes in order, late and twice, deletions, flushes, merges,
//! retention, restarts, and going on from a backup.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plimsoll_engine::backup::restore;
use plimsoll_engine::catalog::{CatalogChange, DAY_NS, PolicySpec};
use plimsoll_engine::check::check;
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{Chosen, Deletion, Engine, FieldValue, Options, TimeRange, Timestamp};
use plimsoll_wal::storage::{Memory, Storage};
use proptest::prelude::*;
use support::*;

const SERIES: [&str; 3] = ["pod=a", "pod=b", "node=n,pod=c"];
/// Points are kept for ten days, in partitions of a day.
const KEPT_DAYS: i64 = 10;

#[derive(Debug, Clone)]
enum Step {
    /// A value a series at some minute of some day before now.
    Write {
        series: usize,
        day: i64,
        minute: i64,
    },
    /// Everything of a series in some days.
    Delete {
        series: usize,
        from: i64,
        to: i64,
    },
    Flush,
    Compact,
    /// The clock goes on, and what expired goes.
    Retention {
        days: i64,
    },
    Reopen,
    /// A backup is made, restored, and used from now on.
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3_usize, 0..9_i64, 0..3_i64)
            .prop_map(|(series, day, minute)| Step::Write { series, day, minute }),
        2 => (0..3_usize, 0..12_i64, 0..4_i64)
            .prop_map(|(series, from, days)| Step::Delete { series, from, to: from - days }),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => (0..4_i64).prop_map(|days| Step::Retention { days }),
        2 => Just(Step::Reopen),
        1 => Just(Step::Restore),
    ]
}

struct World {
    storage: Arc<Memory>,
    clock: Arc<ManualClock>,
    directory: String,
    engine: Option<Engine>,
    now: i64,
    restored: u32,
    points: BTreeMap<(usize, i64), i64>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            storage: Arc::new(Memory::new()),
            clock: clock(),
            directory: "data".to_owned(),
            engine: None,
            now: NOW / DAY_NS * DAY_NS,
            restored: 0,
            points: BTreeMap::new(),
        };
        world.clock.set(Timestamp(world.now));
        world.reopen();
        let policy = PolicySpec {
            name: Some("kept".to_owned()),
            retention: Some(KEPT_DAYS * DAY_NS),
            shard_duration_ns: Some(DAY_NS),
            ..PolicySpec::default()
        };
        let name = "d".to_owned();
        let create = CatalogChange::CreateDatabase {
            name,
            policy: Some(policy),
        };
        world.engine().change(&create).unwrap();
        world
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.engine = None;
        let storage: Arc<dyn Storage> = self.storage.clone();
        let options = Options {
            directory: self.directory.clone().into(),
            ..options()
        };
        let (engine, report) = Engine::open(storage, options, self.clock.clone()).unwrap();
        assert_eq!((report.rows_lost, report.frames_lost), (0, 0));
        self.engine = Some(engine);
    }

    fn apply(&mut self, number: usize, step: &Step) {
        match *step {
            Step::Write {
                series,
                day,
                minute,
            } => {
                let time = self.now - day * DAY_NS + minute * 60 * SECOND;
                let value = i64::try_from(number).unwrap();
                write_integer(self.engine(), "cpu", SERIES[series], time, value);
                self.points.insert((series, time), value);
            }
            Step::Delete { series, from, to } => {
                let range = TimeRange {
                    start: Timestamp(self.now - from * DAY_NS),
                    end: Timestamp(self.now - to * DAY_NS + 60 * SECOND),
                };
                let deletion = Deletion {
                    database: "d".to_owned(),
                    policy: None,
                    measurements: ["cpu".into()].into(),
                    series: Chosen::These([tags(SERIES[series])].into()),
                    range,
                };
                self.engine().delete(&deletion).unwrap();
                self.points
                    .retain(|(of, time), _| *of != series || !range.contains(Timestamp(*time)));
            }
            Step::Flush => self.engine().flush().unwrap(),
            Step::Compact => {
                self.engine().compact_all(&AtomicBool::new(false)).unwrap();
            }
            Step::Retention { days } => {
                self.now += days * DAY_NS;
                self.clock.set(Timestamp(self.now));
                self.engine().enforce_retention().unwrap();
                // A partition goes whole, once its last point has expired.
                let oldest = self.now - KEPT_DAYS * DAY_NS;
                self.points
                    .retain(|(_, time), _| (time.div_euclid(DAY_NS) + 1) * DAY_NS > oldest);
            }
            Step::Reopen => self.reopen(),
            Step::Restore => {
                self.restored += 1;
                let backup = format!("backup{}", self.restored);
                let directory = format!("data{}", self.restored);
                self.engine().backup(Path::new(&backup), &[]).unwrap();
                self.engine = None;
                restore(&*self.storage, Path::new(&backup), Path::new(&directory)).unwrap();
                let storage: Arc<dyn Storage> = self.storage.clone();
                let checked = check(&storage, Path::new(&directory)).unwrap();
                assert_eq!(checked.problems, []);
                self.directory = directory;
                self.reopen();
            }
        }
    }

    fn check(&self) {
        let view = self
            .engine()
            .snapshot()
            .view("d", "", TimeRange::ALL)
            .unwrap();
        let mut found = BTreeMap::new();
        for series in view.series("cpu", &TagPredicate::All).unwrap() {
            let number = SERIES
                .iter()
                .position(|text| *text == series.tags.to_string());
            let kind = plimsoll_engine::FieldType::Integer;
            let column = view.column(&series, "value", kind).unwrap();
            for (row, time) in column.times.iter().enumerate() {
                let FieldValue::Integer(value) = column.values.value(row).to_owned() else {
                    panic!("integers were written")
                };
                found.insert((number.unwrap(), *time), value);
            }
            assert!(!column.times.is_empty(), "{} has no point", series.tags);
        }
        assert_eq!(found, self.points);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PLIMSOLL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
    ))]

    #[test]
    fn what_is_found_is_what_a_map_would_hold(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.apply(number, step);
            world.check();
        }
    }
}
