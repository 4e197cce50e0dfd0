//! An answer does not depend on how the work is spread, nor on where the points lie.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "differential/case.rs"]
mod case;
#[path = "differential/data.rs"]
#[expect(dead_code, reason = "the points come from a seed")]
mod data;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/random.rs"]
mod random;
#[path = "differential/world.rs"]
#[expect(dead_code, reason = "nothing is compared with influxd")]
mod world;

use plimsoll_engine::{Engine, Timestamp};
use plimsoll_query::{Cancel, Collect, Context, Execution, Limits, Options, execute_as};

/// The answer with every bit of its floats, or the error.
fn answer(engine: &Engine, execution: Execution, query: &str) -> String {
    let snapshot = engine.snapshot();
    let (limits, cancel) = (Limits::default(), Cancel::default());
    let context = Context {
        snapshot: &snapshot,
        database: "d",
        policy: "",
        now: Timestamp(data::START + data::DAY),
        limits: &limits,
        cancel: &cancel,
        chunk_size: None,
        options: Options::default(),
    };
    let Ok(statements) = plimsoll_query::parse(query, &Default::default()) else {
        return "refused by the parser".to_owned();
    };
    let mut sink = Collect::default();
    let ended = execute_as(execution, &statements[0], &context, &mut sink);
    // Debug prints the shortest text of a float that reads back to the same bits.
    format!("{:?} {:?}", ended.map_err(|e| e.to_string()), sink.series)
}

#[test]
fn parallel_answers_are_the_serial_ones_bit_for_bit_wherever_the_points_lie() {
    let mut with_rows = 0;
    for seed in [7, 1711, 90_210] {
        let writes = world::writes(seed);
        let (head, spread) = (data::empty_engine(), data::empty_engine());
        world::store(&head, &writes, world::Place::Head);
        world::store(&spread, &writes, world::Place::Spread);
        for query in generate::selects(seed, 100) {
            let Ok(statements) = plimsoll_query::parse(&query, &Default::default()) else {
                continue;
            };
            if case::is_endless(&statements[0], Timestamp(data::START + data::DAY)) {
                continue;
            }
            let serial = answer(&head, Execution::Serial, &query);
            for (engine, place) in [(&head, "head"), (&spread, "head and segments")] {
                for execution in [Execution::Parallel, Execution::Decoded] {
                    let other = answer(engine, execution, &query);
                    assert_eq!(
                        other, serial,
                        "seed {seed}, {place}, {execution:?}: {query}"
                    );
                }
            }
            with_rows += usize::from(serial.contains("values: [["));
        }
    }
    assert!(with_rows > 50, "only {with_rows} queries have rows");
}
