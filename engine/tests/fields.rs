//! A field that is read piece by piece is the column that is read whole, whatever its sources, and
//! summaries are offered only where they stand for their points.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::ops::Range;

use plimsoll_engine::model::Values;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::segment::{BlockRef, Summary};
use plimsoll_engine::{
    Engine, FieldType, Rows, Summaries, TakePoints, TimeRange, TimesId, Timestamp, View,
};
use support::*;

#[derive(Default)]
struct Taken {
    takes_blocks: bool,
    blocks: Vec<(i64, i64, u32, i64)>,
    times: Vec<i64>,
    sum: i64,
    count: usize,
}

impl TakePoints for Taken {
    fn block(&mut self, block: &BlockRef) -> bool {
        let Some(Summary::Integer(summary)) = block.summary else {
            return false;
        };
        if self.takes_blocks {
            let (first, last) = (block.first.0, block.last.0);
            self.blocks.push((first, last, block.count, summary.sum));
            self.sum += summary.sum;
            self.count += block.count as usize;
        }
        self.takes_blocks
    }

    fn points(&mut self, times: &[i64], values: &Values, rows: Range<usize>) {
        let Values::Integer(values) = values else {
            panic!("integers were asked for")
        };
        assert!(self.times.last() < Some(&times[rows.start]));
        self.times.extend_from_slice(&times[rows.clone()]);
        self.sum += values[rows.clone()].iter().sum::<i64>();
        self.count += rows.len();
    }
}

fn view(engine: &Engine) -> View {
    engine.snapshot().view("d", "", TimeRange::ALL).unwrap()
}

fn take(view: &View, range: TimeRange, rows: Rows, takes_blocks: bool) -> Taken {
    let measurement = "cpu".into();
    let field = view.field(
        &measurement,
        "value",
        FieldType::Integer,
        Summaries::Offered,
    );
    let series = view.series("cpu", &TagPredicate::All).unwrap();
    let mut taken = Taken {
        takes_blocks,
        ..Taken::default()
    };
    field
        .reader()
        .read(&series[0], range, rows, &mut taken)
        .unwrap();
    taken
}

fn whole(view: &View, range: TimeRange) -> (Vec<i64>, i64) {
    let series = view.series("cpu", &TagPredicate::All).unwrap();
    let column = view.column(&series[0], "value", FieldType::Integer);
    let column = column.unwrap();
    let Values::Integer(values) = column.values else {
        panic!("integers were asked for")
    };
    let inside = column.times.iter().zip(values);
    let inside = inside.filter(|(time, _)| range.contains(Timestamp(**time)));
    inside.fold((Vec::new(), 0), |(mut times, sum), (time, value)| {
        times.push(*time);
        (times, sum + value)
    })
}

fn write(engine: &Engine, steps: Range<i64>) {
    for step in steps {
        let time = NOW + step * 10 * SECOND;
        write_integer(engine, "cpu", "pod=a", time, step * step % 1000);
    }
}

fn between(from: i64, to: i64) -> TimeRange {
    TimeRange {
        start: Timestamp(NOW + from * 10 * SECOND),
        end: Timestamp(NOW + to * 10 * SECOND),
    }
}

#[test]
fn a_block_inside_the_range_is_offered_and_one_at_its_edge_is_decoded() {
    let (engine, _) = fresh();
    write(&engine, 0..720);
    engine.flush().unwrap();
    let view = view(&engine);
    let all = take(&view, TimeRange::ALL, Rows::All, true);
    assert!(all.blocks.len() >= 3, "{:?}", all.blocks);
    assert!(all.times.is_empty());
    let (times, sum) = whole(&view, TimeRange::ALL);
    assert_eq!((all.count, all.sum), (times.len(), sum));
    let range = between(30, 650);
    let some = take(&view, range, Rows::All, true);
    assert!(!some.blocks.is_empty() && !some.times.is_empty());
    for (first, last, _, _) in &some.blocks {
        assert!(range.contains(Timestamp(*first)) && range.contains(Timestamp(*last)));
    }
    let (times, sum) = whole(&view, range);
    assert_eq!((some.count, some.sum), (times.len(), sum));
}

#[test]
fn no_summary_is_offered_of_what_another_source_overlaps() {
    let (engine, _) = fresh();
    write(&engine, 0..720);
    engine.flush().unwrap();
    write(&engine, 300..301);
    let view = view(&engine);
    let taken = take(&view, TimeRange::ALL, Rows::All, true);
    assert_eq!(taken.blocks, []);
    assert_eq!(taken.times, whole(&view, TimeRange::ALL).0);
}

#[test]
fn every_range_and_every_end_has_the_rows_of_the_whole_column() {
    let (engine, _) = fresh();
    write(&engine, 0..400);
    engine.flush().unwrap();
    write(&engine, 400..800);
    engine.flush().unwrap();
    write(&engine, 800..900);
    let view = view(&engine);
    for (from, to) in [
        (0, 900),
        (-5, 100),
        (399, 400),
        (395, 805),
        (799, 2000),
        (950, 960),
    ] {
        let range = between(from, to);
        let (times, sum) = whole(&view, range);
        for takes_blocks in [false, true] {
            let all = take(&view, range, Rows::All, takes_blocks);
            assert_eq!((all.count, all.sum), (times.len(), sum), "{from}..{to}");
        }
        for wanted in [1, 2, 150, 5000] {
            let enough = wanted.min(times.len());
            let first = take(&view, range, Rows::First(wanted), false).times;
            assert!(
                first.len() >= enough && times.starts_with(&first),
                "{from}..{to}"
            );
            let last = take(&view, range, Rows::Last(wanted), false).times;
            assert!(
                last.len() >= enough && times.ends_with(&last),
                "{from}..{to}"
            );
        }
    }
}

/// What stood for the times of each series.
#[derive(Default)]
struct Named(Vec<(TimesId, Vec<i64>)>);

impl TakePoints for Named {
    fn block(&mut self, _: &BlockRef) -> bool {
        false
    }

    fn points(&mut self, _: &[i64], _: &Values, _: Range<usize>) {}

    fn points_of(&mut self, id: TimesId, times: &[i64], values: &Values) {
        assert_eq!(times.len(), values.len());
        self.0.push((id, times.to_vec()));
    }
}

#[test]
fn one_id_stands_for_the_same_times_only_and_series_written_together_share_it() {
    let (engine, _) = fresh();
    let write = |from: i64, to: i64| {
        for step in from..to {
            for pod in 0..6 {
                // Pods 0 and 1 are one node's, 2 and 3 another's; 4 has gaps, 5 begins late.
                let is_there = (pod != 4 || step % 97 != 3) && (pod != 5 || step > 40);
                if is_there {
                    let time = NOW + step * 10 * SECOND + i64::from(pod / 2);
                    let tags = format!("pod={pod}");
                    write_integer(&engine, "cpu", &tags, time, step);
                }
            }
        }
    };
    write(0, 400);
    engine.flush().unwrap();
    write(400, 700);
    let view = view(&engine);
    let field = view.field(
        &"cpu".into(),
        "value",
        FieldType::Integer,
        Summaries::Offered,
    );
    let mut reader = field.reader();
    let mut by_id: std::collections::HashMap<TimesId, Vec<i64>> = Default::default();
    let mut ids = Vec::new();
    for round in 0..3 {
        // Tails are sealed by the second reader; a range that ends earlier has other times.
        let range = between(0, 700 - round / 2 * 150);
        for series in view.series("cpu", &TagPredicate::All).unwrap() {
            let mut named = Named::default();
            reader.read(&series, range, Rows::All, &mut named).unwrap();
            for (id, times) in &named.0 {
                let before = by_id.entry(*id).or_insert_with(|| times.clone());
                assert_eq!(before, times, "{:?}", series.tags);
            }
            ids.push(named.0.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
        }
    }
    assert!(!ids[0].is_empty() && ids[0] == ids[1] && ids[2] == ids[3]);
    assert_ne!(ids[1], ids[2]);
}
