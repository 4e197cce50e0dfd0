//! Engines for benchmarks: a real directory, gone when the benchmark ends.

use std::sync::Arc;

use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::{Durability, Engine, Options, Timestamp};
use plimsoll_wal::storage::Disk;
use tempfile::TempDir;

/// The database that [`Store`] makes.
pub const DATABASE: &str = "bench";

/// An engine over a temporary directory.
#[derive(Debug)]
pub struct Store {
    /// The engine.
    pub engine: Engine,
    directory: TempDir,
}

impl Store {
    /// A fresh engine with [`DATABASE`].
    ///
    /// # Panics
    /// Where the directory cannot be made: there is nothing to measure then.
    #[must_use]
    pub fn new(durability: Durability) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let options = Options {
            durability,
            head_bytes_max: 8 << 30,
            log_bytes_max: 8 << 30,
            ..Options::new(directory.path().join("data"))
        };
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        let (engine, _) =
            Engine::open(Arc::new(Disk), options, clock).expect("a fresh directory opens");
        let create = CatalogChange::CreateDatabase {
            name: DATABASE.to_owned(),
            policy: None,
        };
        engine.change(&create).expect("the database is made");
        Self { engine, directory }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        self.directory.path()
    }
}
