//! The engine without the server: open, write, read, close.
//!
//!     cargo run -p plimsoll-engine --example embed

use std::sync::Arc;

use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::storage::Disk;
use plimsoll_engine::{
    Batch, Engine, FieldType, FieldValue, Options, TagSet, TimeRange, Timestamp,
};

const SECOND_NS: i64 = 1_000_000_000;

/// Runs it.
///
/// # Errors
/// Whatever the engine or the disk says.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    // The engine takes time from a clock: yours, or one that a test turns.
    let now = Timestamp(1_700_000_000 * SECOND_NS);
    let clock = Arc::new(ManualClock::new(now));
    let options = Options::new(directory.path().join("data"));
    let (engine, _report) = Engine::open(Arc::new(Disk), options, clock)?;
    engine.change(&CatalogChange::CreateDatabase {
        name: "k8s".to_owned(),
        policy: None,
    })?;

    // A container is one tag set, however many metrics it has.
    let mut batch = Batch::default();
    for pod in ["a", "b"] {
        let tags = TagSet::from_pairs([("namespace", "web"), ("pod", pod)])?;
        for second in 0..60 {
            let time = Timestamp(now.0 - (60 - second) * SECOND_NS);
            let bytes = FieldValue::Integer(4096 * second);
            batch.add("memory", &tags, time, [("usage", bytes)]);
        }
    }
    let written = engine.write("k8s", "", &batch)?;
    assert_eq!(written.points_stored, 120);

    // A snapshot does not change, whatever is written meanwhile.
    let view = engine.snapshot().view("k8s", "", TimeRange::ALL)?;
    let mut most = Vec::new();
    for series in view.series("memory", &TagPredicate::All)? {
        let column = view.column(&series, "usage", FieldType::Integer)?;
        let mut values = (0..column.times.len()).map(|row| column.values.value(row).to_owned());
        most.push((series.tags.to_string(), values.next_back()));
    }
    let last = Some(FieldValue::Integer(4096 * 59));
    let expected = ["namespace=web,pod=a", "namespace=web,pod=b"];
    assert_eq!(most, expected.map(|tags| (tags.to_owned(), last.clone())));

    // Call `maintain` about ten times a second and `compact_step` from a thread of its own, or
    // flush by hand as here. Closing makes everything durable.
    engine.flush()?;
    engine.close()?;
    Ok(())
}
