//! Engines for benchmarks: a real directory, gone when the benchmark ends.

use std::path::Path;
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
        Self::with(durability, 8 << 30, 8 << 30)
    }

    /// As [`Self::new`], with limits of the head and its log.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn with(durability: Durability, head_bytes_max: u64, log_bytes_max: u64) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let options = Options {
            durability,
            head_bytes_max,
            log_bytes_max,
            ..Options::new(directory.path().join("data"))
        };
        let engine = open(options);
        let create = CatalogChange::CreateDatabase {
            name: DATABASE.to_owned(),
            policy: None,
        };
        engine.change(&create).expect("the database is made");
        Self { engine, directory }
    }

    /// Drops the engine without a flush, as a kill would.
    #[must_use]
    pub fn killed(self) -> Killed {
        let Self { engine, directory } = self;
        drop(engine);
        Killed { directory }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// What an engine left behind.
#[derive(Debug)]
pub struct Killed {
    directory: TempDir,
}

impl Killed {
    /// Opens it, with limits of the head and its log.
    ///
    /// # Panics
    /// Where that does not open.
    #[must_use]
    pub fn open(self, durability: Durability, head_bytes_max: u64, log_bytes_max: u64) -> Store {
        let Self { directory } = self;
        let options = Options {
            durability,
            head_bytes_max,
            log_bytes_max,
            ..Options::new(directory.path().join("data"))
        };
        let engine = open(options);
        Store { engine, directory }
    }
}

fn open(options: Options) -> Engine {
    let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
    let (engine, _) = Engine::open(Arc::new(Disk), options, clock).expect("the directory opens");
    engine
}
