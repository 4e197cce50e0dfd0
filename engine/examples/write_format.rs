//! Writes the small data directory that is kept for each format, for ever:
//!
//! ```sh
//! cargo run -p plimsoll-engine --example write_format -- engine/tests/data/format-3
//! ```
//!
//! Run it once for a new format, before anything of that format is in use; never over an old one.
//! `engine/tests/format.rs` says what must be found in it.
#![expect(clippy::print_stdout, reason = "it tells what it did")]

use std::error::Error;
use std::sync::Arc;

use plimsoll_engine::catalog::{
    CatalogChange, DAY_NS, Destinations, MakeDefault, PolicySpec, Ran, Subscription,
};
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{
    Batch, Chosen, Deletion, Engine, FieldValue, Options, TagSet, TimeRange, Timestamp,
};
use plimsoll_wal::storage::Disk;

const START: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args()
        .nth(1)
        .ok_or("name the directory to write")?;
    let options = Options {
        log_file_bytes: 8 << 10,
        ..Options::new(&directory)
    };
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let (engine, _) = Engine::open(Arc::new(Disk), options, clock)?;
    engine.change(&CatalogChange::CreateDatabase {
        name: "k8s".to_owned(),
        policy: None,
    })?;
    engine.change(&CatalogChange::CreatePolicy {
        database: "k8s".to_owned(),
        policy: PolicySpec {
            name: Some("a month".to_owned()),
            retention: Some(30 * DAY_NS),
            ..PolicySpec::default()
        },
        default: MakeDefault::No,
    })?;
    subscribe(
        &engine,
        "both",
        Destinations::All,
        &["http://a:8086", "udp://b:8089"],
    )?;
    continuous_query(&engine, "first", Some(START))?;
    // A segment with rows of every type, a late row, an absent value, and two partitions.
    for step in 0..40 {
        engine.write("k8s", "", &batch(step)?)?;
    }
    engine.write("k8s", "", &late()?)?;
    engine.flush()?;
    // A tombstone that the manifest holds, and one that only the log does.
    engine.delete(&deletion(
        Chosen::Where(TagPredicate::All),
        START,
        START + 4 * SECOND,
    ))?;
    for step in 40..42 {
        engine.write("k8s", "", &batch(step)?)?;
    }
    engine.flush()?;
    // These only the log holds.
    subscribe(&engine, "one", Destinations::Any, &["https://c:8086"])?;
    continuous_query(&engine, "second", None)?;
    for step in 42..50 {
        engine.write("k8s", "", &batch(step)?)?;
    }
    let tags = TagSet::from_pairs([("namespace", "default"), ("pod", "b c")])?;
    let end = START + 495 * SECOND;
    engine.delete(&deletion(
        Chosen::These([tags].into()),
        START + 395 * SECOND,
        end,
    ))?;
    engine.close()?;
    println!("{directory} holds format {}", plimsoll_engine::FORMAT);
    Ok(())
}

fn subscribe(
    engine: &Engine,
    name: &str,
    mode: Destinations,
    destinations: &[&str],
) -> Result<(), Box<dyn Error>> {
    engine.change(&CatalogChange::CreateSubscription {
        database: "k8s".to_owned(),
        policy: "autogen".to_owned(),
        subscription: Subscription {
            name: name.to_owned(),
            mode,
            destinations: destinations.iter().copied().map(str::to_owned).collect(),
        },
    })?;
    Ok(())
}

fn continuous_query(engine: &Engine, name: &str, ran: Option<i64>) -> Result<(), Box<dyn Error>> {
    engine.change(&CatalogChange::CreateContinuousQuery {
        database: "k8s".to_owned(),
        name: name.to_owned(),
        text: format!(
            "CREATE CONTINUOUS QUERY \"{name}\" ON k8s BEGIN SELECT mean(value) INTO \
             k8s.autogen.mean FROM k8s.autogen.load GROUP BY time(1m) END"
        ),
    })?;
    if let Some(ran) = ran {
        engine.change(&CatalogChange::ContinuousQueriesRan(vec![Ran {
            database: "k8s".to_owned(),
            name: name.to_owned(),
            last_run: Timestamp(ran),
        }]))?;
    }
    Ok(())
}

fn deletion(series: Chosen, start: i64, end: i64) -> Deletion {
    Deletion {
        database: "k8s".to_owned(),
        policy: None,
        measurements: ["memory/usage_bytes_gauge".into()].into(),
        series,
        range: TimeRange {
            start: Timestamp(start),
            end: Timestamp(end),
        },
    }
}

fn batch(step: i64) -> Result<Batch, Box<dyn Error>> {
    let mut batch = Batch::default();
    let time = Timestamp(START + step * 10 * SECOND + step % 3);
    for pod in ["a", "b c"] {
        let tags = TagSet::from_pairs([("namespace", "default"), ("pod", pod)])?;
        let value = |v| [("value", FieldValue::Integer(v))];
        batch.add(
            "cpu/usage_ns_cumulative",
            &tags,
            time,
            value(step * 1_234_567),
        );
        batch.add(
            "memory/usage_bytes_gauge",
            &tags,
            time,
            value(4096 * (step % 7)),
        );
        if step % 4 != 1 {
            batch.add(
                "load",
                &tags,
                time,
                [(
                    "value",
                    FieldValue::Float(f64::from(i32::try_from(step)?) / 8.0),
                )],
            );
        }
    }
    let tags = TagSet::from_pairs([("kind", "all")])?;
    batch.add(
        "types",
        &tags,
        time,
        [
            ("boolean", FieldValue::Boolean(step % 2 == 0)),
            ("float", FieldValue::Float(-0.5)),
            ("integer", FieldValue::Integer(i64::MIN + step)),
            ("string", FieldValue::String(format!("step {step}").into())),
            (
                "unsigned",
                FieldValue::Unsigned(u64::MAX - step.unsigned_abs()),
            ),
        ],
    );
    Ok(batch)
}

fn late() -> Result<Batch, Box<dyn Error>> {
    let mut batch = Batch::default();
    let tags = TagSet::from_pairs([("namespace", "default"), ("pod", "a")])?;
    let value = [("value", FieldValue::Integer(-1))];
    batch.add(
        "cpu/usage_ns_cumulative",
        &tags,
        Timestamp(START - 5),
        value.clone(),
    );
    batch.add(
        "cpu/usage_ns_cumulative",
        &tags,
        Timestamp(START - 20 * DAY_NS),
        value,
    );
    Ok(batch)
}
