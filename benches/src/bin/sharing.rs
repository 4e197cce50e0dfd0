//! What sharing is worth: bytes a sample in the log and in segments of the recorded containers,
//! with each container's columns in one row group, and with each series by itself; and what it
//! costs where columns that share a row group stop to share their times.
#![expect(clippy::print_stdout, reason = "the table is the program's output")]
#![expect(clippy::cast_precision_loss, reason = "numbers to print")]

use std::collections::BTreeMap;
use std::error::Error;

use plimsoll_benches::recording::Recording;
use plimsoll_benches::store::{DATABASE, Store};
use plimsoll_engine::{Batch, Durability, FieldValue, TagSet, Timestamp};

/// Whether series share rows and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// A container's metrics have one tag set and one time.
    On,
    /// Each series has a tag set and times of its own: a few ns later than the next one's.
    Off,
    /// As `On`, but one column in [`APART_EVERY`] is read [`APART_SHARE`] of the interval before the
    /// others: its rows are its own, and so is its row group.
    Apart,
    /// As `Apart`, but for the first rows, so that all columns are in one row group.
    OutOfStep,
}

/// One series in so many is out of step.
const APART_EVERY: usize = 4;
/// By this part of the interval.
const APART_SHARE: f64 = 0.4;

/// Bytes a sample in the log, in the head and in segments.
fn measure(
    recording: &Recording,
    every: usize,
    sharing: Sharing,
) -> Result<(u64, [f64; 3]), Box<dyn Error>> {
    let mut batches: BTreeMap<usize, Batch> = BTreeMap::new();
    #[expect(clippy::cast_possible_truncation, reason = "some seconds, in ns")]
    let apart = (every as f64 * APART_SHARE * 1e9) as i64;
    let mut samples = 0;
    for (number, series) in recording.series.iter().enumerate() {
        let (name, times) = &recording.targets[series.target];
        let container = TagSet::from_pairs([("container_name", name.as_str())])?;
        let own = format!("{number:05}");
        let own = TagSet::from_pairs([("container_name", name.as_str()), ("series", &own)])?;
        for (row, value) in series.values.iter().enumerate() {
            let row = series.start + row;
            if row % every != 0 {
                continue;
            }
            samples += 1;
            let value = if series.is_float {
                FieldValue::Float(f64::from_bits(value.cast_unsigned()))
            } else {
                FieldValue::Integer(*value)
            };
            let is_apart = number % APART_EVERY == 0
                && match sharing {
                    Sharing::Apart => true,
                    Sharing::OutOfStep => row >= series.start + every,
                    Sharing::On | Sharing::Off => false,
                };
            let (tags, time) = match sharing {
                _ if is_apart => (&container, times[row] - apart),
                Sharing::On | Sharing::Apart | Sharing::OutOfStep => (&container, times[row]),
                Sharing::Off => (&own, times[row] + i64::try_from(number)?),
            };
            let batch = batches.entry(row).or_default();
            batch.add(&series.metric, tags, Timestamp(time), [("value", value)]);
        }
    }
    let store = Store::new(Durability::None);
    let defined = store.engine.stats().log_bytes;
    for batch in batches.values() {
        store.engine.write(DATABASE, "", batch)?;
    }
    let stats = store.engine.stats();
    store.engine.flush()?;
    let flushed = store.engine.stats();
    let each = |bytes: u64| bytes as f64 / samples as f64;
    let log = stats.log_bytes - defined;
    Ok((
        samples,
        [
            each(log),
            each(stats.head_bytes),
            each(flushed.segment_bytes),
        ],
    ))
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(recording) = Recording::read()? else {
        println!("SKIPPED sharing ../shared/data is not there");
        return Ok(());
    };
    println!("| every | samples | sharing | log | head | segment |\n|---|---|---|---|---|---|");
    for every in [1, 10, 60] {
        for sharing in [
            Sharing::On,
            Sharing::Off,
            Sharing::Apart,
            Sharing::OutOfStep,
        ] {
            let (samples, [log, head, segment]) = measure(&recording, every, sharing)?;
            println!(
                "| {every} s | {samples} | {sharing:?} | {log:.2} | {head:.2} | {segment:.2} |"
            );
        }
    }
    Ok(())
}
