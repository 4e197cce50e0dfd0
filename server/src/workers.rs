//! Threads for the engine: nothing that may block runs on the runtime's own threads.
//!
//! Owns how many writes and queries run at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};

/// Writes wait for the disk together (group commit), so there are more of them than cores.
const WRITES_MAX: usize = 32;
/// How long a write waits for its turn. InfluxDB's `write-timeout`.
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// Queries where the setting says that there is no limit.
const QUERIES_MAX: usize = 256;
/// Threads beside those of writes and queries: sources, catalog, start and stop.
const SPARE_THREADS: usize = 8;

/// Where engine calls run.
#[derive(Debug)]
pub(crate) struct Workers {
    writes: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    queries_max: usize,
}

/// Why a job was not run.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Too many are running.
    Full,
    /// It panicked, or the server stops.
    Broken(JoinError),
}

impl Workers {
    pub(crate) fn new(queries_max: Option<usize>) -> Self {
        let queries_max = queries_max.unwrap_or(QUERIES_MAX).min(QUERIES_MAX);
        Self {
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            queries: Arc::new(Semaphore::new(queries_max)),
            queries_max,
        }
    }

    /// How many threads the runtime must allow for all of this.
    pub(crate) fn threads_max(queries_max: Option<usize>) -> usize {
        WRITES_MAX + queries_max.unwrap_or(QUERIES_MAX).min(QUERIES_MAX) + SPARE_THREADS
    }

    /// How many queries run at a time.
    pub(crate) fn queries_max(&self) -> usize {
        self.queries_max
    }

    /// Runs a write; waits for its turn, but not for long.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let turn = Arc::clone(&self.writes).acquire_owned();
        let permit = tokio::time::timeout(WRITE_WAIT, turn)
            .await
            .map_err(|_| Refused::Full)?
            .map_err(|_| Refused::Full)?;
        run(permit, job).await.map_err(Refused::Broken)
    }

    /// Starts a query at once, or not at all.
    pub(crate) fn query(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Refused> {
        let permit = Arc::clone(&self.queries)
            .try_acquire_owned()
            .map_err(|_| Refused::Full)?;
        // The job answers through its channel, which says so where it ends before its time.
        drop(run(permit, job));
        Ok(())
    }
}

fn run<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    job: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        job()
    })
}
