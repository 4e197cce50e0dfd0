//! Writes the small data directory of cold pages that is kept for ever, or, with `hot`, one of the
//! same points as a flush leaves them:
//!
//! ```sh
//! cargo run -p plimsoll-engine --example write_cold_format -- engine/tests/data/format-2-cold
//! cargo run -p plimsoll-engine --example write_cold_format -- engine/tests/data/format-3-ticks hot
//! ```
//!
//! As with `write_format`: once for a new form, never over an old one. `engine/tests/format.rs`
//! says what must be found in it.
#![expect(clippy::print_stdout, reason = "it tells what it did")]

#[path = "../tests/support/cold_model.rs"]
mod cold_model;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cold_model::{CONTAINERS, ROWS, START, STEP};
use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::{Batch, Engine, Options, TagSet, Timestamp};
use plimsoll_wal::storage::Disk;

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
    for container in 0..CONTAINERS {
        let tags = TagSet::from_canonical(&format!("container_name=c{container:02}"));
        let mut state = container.unsigned_abs() + 1;
        for row in 0..ROWS {
            let mut batch = Batch::default();
            let time = Timestamp(START + row * STEP + container);
            let values = cold_model::row(container, row, &mut state);
            batch.add("container", &tags, time, values);
            engine.write("k8s", "", &batch)?;
        }
    }
    if std::env::args().nth(2).as_deref() == Some("hot") {
        engine.flush()?;
        engine.close()?;
        return Ok(());
    }
    for done in engine.compact_all(&AtomicBool::new(false))? {
        println!(
            "{} bytes in {} segments",
            done.bytes_after, done.segments_after
        );
    }
    engine.close()?;
    Ok(())
}
