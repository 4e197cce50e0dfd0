//! An answer does not depend on whether blocks are decoded or answered for by their summaries:
//! bit for bit, over overlapping segments, heads and deletions, before and after a merge.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "differential/data.rs"]
#[expect(dead_code, reason = "only its engine is taken")]
mod data;
#[path = "differential/random.rs"]
mod random;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use data::SECOND;
use plimsoll_engine::{Batch, Chosen, Deletion, Engine, FieldValue, TagSet, TimeRange, Timestamp};
use plimsoll_query::{Cancel, Collect, Context, Execution, Limits, Options, execute_as};
use random::Random;

const HOSTS: [&str; 4] = ["a", "b", "c", "d"];
/// A multiple of 12 h, so that blocks and windows can fall together.
const START: i64 = data::START - data::START % (43_200 * SECOND);

/// The answer with every bit of its floats, or the error.
fn answer(engine: &Engine, execution: Execution, query: &str) -> String {
    let snapshot = engine.snapshot();
    let (limits, cancel) = (Limits::default(), Cancel::default());
    let context = Context {
        snapshot: &snapshot,
        database: "d",
        policy: "",
        now: Timestamp(START + 2 * data::DAY),
        limits: &limits,
        cancel: &cancel,
        chunk_size: None,
        options: Options::default(),
    };
    let statements = plimsoll_query::parse(query, &Default::default()).unwrap();
    let mut sink = Collect::default();
    let ended = execute_as(execution, &statements[0], &context, &mut sink);
    // Debug prints the shortest text of a float that reads back to the same bits, and a zero's sign.
    format!("{:?} {:?}", ended.map_err(|e| e.to_string()), sink.series)
}

/// Some hosts' rows from one step on, each with some of its fields.
fn write(engine: &Engine, random: &mut Random, from: i64, steps: i64) {
    let mut batch = Batch::default();
    for (number, host) in (0_i64..).zip(HOSTS) {
        if random.is(20) {
            continue;
        }
        let tags = TagSet::from_pairs([("host", host)]).unwrap();
        let mut counter = random.below(1000);
        for step in from..from + steps {
            if random.is(3) {
                continue;
            }
            let time = Timestamp(START + (step * 10 + number % 2) * SECOND);
            let mut fields = Vec::new();
            let mut add = |field: &'static str, value| fields.push((field, value));
            counter = if random.is(1) {
                0
            } else {
                counter + random.below(50)
            };
            let counted = i64::try_from(counter).unwrap();
            let zeros = [0.0, -0.0, 0.0, 1.5][random.below(4)];
            add("int", FieldValue::Integer(counted - 500));
            add("uint", FieldValue::Unsigned(counted.unsigned_abs()));
            add(
                "float",
                FieldValue::Float(f64::from(u32::try_from(random.below(1000)).unwrap()) * 0.1),
            );
            add("zero", FieldValue::Float(zeros));
            add("same", FieldValue::Integer(7));
            add(
                "text",
                FieldValue::String(["x", "y"][random.below(2)].into()),
            );
            if random.is(60) {
                add("gaps", FieldValue::Boolean(random.is(50)));
                add("rare", FieldValue::Integer(counted % 9));
            }
            batch.add("m", &tags, time, fields);
        }
    }
    engine.write("d", "", &batch).unwrap();
}

fn query(random: &mut Random) -> String {
    let fields = ["int", "uint", "float", "zero", "same", "rare"];
    let numbers = [
        "sum", "mean", "min", "max", "spread", "first", "last", "count",
    ];
    let call = |random: &mut Random| {
        if random.is(15) {
            let function = random.one(&["first", "last", "count"]);
            format!("{function}({})", random.one(&["text", "gaps"]))
        } else {
            format!("{}({})", random.one(&numbers), random.one(&fields))
        }
    };
    let calls = (0..=random.below(3))
        .map(|_| call(random))
        .collect::<Vec<_>>();
    let from = random.below(900);
    let to = from + 1 + random.below(1500);
    let cut = if random.is(50) { 180 } else { 1 };
    let at = |step: usize| START / SECOND + i64::try_from(step / cut * cut * 10).unwrap();
    let mut query = format!(
        "SELECT {} FROM m WHERE time >= {}s AND time < {}s",
        calls.join(", "),
        at(from),
        at(to) + 10,
    );
    if random.is(20) {
        query.push_str(random.one(&[
            " AND host != 'b'",
            " AND host =~ /a|d/",
            " AND rare > 3",
            " AND int > 0",
        ]));
    }
    let mut groups = Vec::new();
    if random.is(70) {
        groups.push(random.one(&[
            "time(1m)",
            "time(7m)",
            "time(30m)",
            "time(1h)",
            "time(1h, 10m)",
            "time(4h)",
            "time(1d)",
        ]));
    }
    if random.is(50) {
        groups.push("host");
    }
    if !groups.is_empty() {
        query.push_str(&format!(" GROUP BY {}", groups.join(", ")));
    }
    if random.is(20) {
        query.push_str(" ORDER BY time DESC");
    }
    if random.is(20) {
        query.push_str(" LIMIT 3");
    }
    if random.is(25) {
        query.push_str(" tz('Europe/Berlin')");
    }
    query
}

fn compare(engine: &Engine, random: &mut Random, place: &str) {
    for _ in 0..40 {
        let query = query(random);
        let decoded = answer(engine, Execution::Decoded, &query);
        let offered = answer(engine, Execution::Parallel, &query);
        assert_eq!(offered, decoded, "{place}: {query}");
        let serial = answer(engine, Execution::Serial, &query);
        assert_eq!(serial, decoded, "{place}, serial: {query}");
    }
}

#[test]
fn answers_by_summaries_are_those_of_decoded_blocks_bit_for_bit() {
    for seed in [3, 1_000_003] {
        let mut random = Random(seed);
        let engine = data::empty_engine();
        write(&engine, &mut random, 0, 700);
        engine.flush().unwrap();
        compare(&engine, &mut random, "one segment");
        // What overlaps: late rows in a segment of their own, later ones in the head.
        write(&engine, &mut random, 300, 200);
        write(&engine, &mut random, 700, 400);
        engine.flush().unwrap();
        write(&engine, &mut random, 1000, 500);
        write(&engine, &mut random, 100, 30);
        compare(&engine, &mut random, "overlapping");
        engine
            .delete(&Deletion {
                database: "d".to_owned(),
                policy: None,
                measurements: BTreeSet::from(["m".into()]),
                series: Chosen::These([TagSet::from_pairs([("host", "c")]).unwrap()].into()),
                range: TimeRange {
                    start: Timestamp(START + 1000 * SECOND),
                    end: Timestamp(START + 4000 * SECOND),
                },
            })
            .unwrap();
        compare(&engine, &mut random, "with a deletion");
        engine.compact_all(&AtomicBool::new(false)).unwrap();
        compare(&engine, &mut random, "merged");
    }
}
