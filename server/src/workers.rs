//! Threads for the engine: nothing that may block runs on the runtime's own threads.
//!
//! Owns how many writes and queries run at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};

/// Queries where the setting says that there is no limit.
const QUERIES_MAX: usize = 256;
/// Writes where the setting says that there is no limit.
const WRITES_MAX: usize = 256;
/// Requests that list or kill queries, at a time: they find room when queries have taken all.
const MANAGEMENT_MAX: usize = 2;
/// Passwords that are checked at a time: each takes a core and 19 MiB for some 20 ms.
const VERIFICATIONS_MAX: usize = 2;
/// How long a password waits for its turn.
const VERIFICATION_WAIT: Duration = Duration::from_secs(5);
/// Threads beside those of writes, queries and passwords: sources, catalog, start and stop.
const SPARE_THREADS: usize = 8;

/// How many writes there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteLimits {
    /// `max_concurrent_write_limit`: that run at a time; 0: as many as there are threads for.
    pub running_max: usize,
    /// `max_enqueued_write_limit`: that wait for their turn.
    pub waiting_max: usize,
    /// `enqueued_write_timeout`: how long one waits.
    pub wait: Duration,
}

impl WriteLimits {
    fn running(self) -> usize {
        match self.running_max {
            0 => WRITES_MAX,
            max => max.min(WRITES_MAX),
        }
    }
}

/// Where engine calls run.
#[derive(Debug)]
pub(crate) struct Workers {
    writes: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    write_limits: WriteLimits,
    queries: Arc<Semaphore>,
    queries_max: usize,
    management: Arc<Semaphore>,
    verifications: Arc<Semaphore>,
}

/// Why a job was not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Too many are running or waiting; the text names the limit.
    #[error("{0}")]
    Full(String),
    /// It panicked, or the server stops.
    #[error("{0}")]
    Broken(JoinError),
}

impl Workers {
    pub(crate) fn new(queries_max: Option<usize>, write_limits: WriteLimits) -> Self {
        let queries_max = queries_max.unwrap_or(QUERIES_MAX).min(QUERIES_MAX);
        let waiting_max = write_limits.waiting_max.min(Semaphore::MAX_PERMITS);
        Self {
            writes: Arc::new(Semaphore::new(write_limits.running())),
            waiting: Arc::new(Semaphore::new(waiting_max)),
            write_limits,
            queries: Arc::new(Semaphore::new(queries_max)),
            queries_max,
            management: Arc::new(Semaphore::new(MANAGEMENT_MAX)),
            verifications: Arc::new(Semaphore::new(VERIFICATIONS_MAX)),
        }
    }

    /// How many threads the runtime must allow for all of this.
    pub(crate) fn threads_max(queries_max: Option<usize>, write_limits: WriteLimits) -> usize {
        let queries_max = queries_max.unwrap_or(QUERIES_MAX).min(QUERIES_MAX);
        write_limits.running() + queries_max + MANAGEMENT_MAX + VERIFICATIONS_MAX + SPARE_THREADS
    }

    /// How many queries run now.
    pub(crate) fn queries_running(&self) -> usize {
        self.queries_max - self.queries.available_permits().min(self.queries_max)
    }

    /// How many writes wait for their turn now.
    pub(crate) fn writes_waiting(&self) -> usize {
        let max = self.write_limits.waiting_max;
        max - self.waiting.available_permits().min(max)
    }

    /// Runs a write; it waits for its turn where there is room to wait, and not for long.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let permit = match Arc::clone(&self.writes).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.write_turn().await?,
        };
        run(permit, job).await.map_err(Refused::Broken)
    }

    async fn write_turn(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let WriteLimits {
            waiting_max, wait, ..
        } = self.write_limits;
        let _place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| {
            Refused::Full(format!(
                "max_enqueued_write_limit ({waiting_max}) is reached: try again in a moment"
            ))
        })?;
        let late = || {
            Refused::Full(format!(
                "enqueued_write_timeout ({wait:?}) is over: too many writes at a time \
                 (max_concurrent_write_limit), try again in a moment"
            ))
        };
        let turn = Arc::clone(&self.writes).acquire_owned();
        let turn = tokio::time::timeout(wait, turn).await;
        turn.map_err(|_| late())?.map_err(|_| late())
    }

    /// Checks a password; waits for its turn, but not for long.
    pub(crate) async fn verify<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let full = || Refused::Full(format!("{VERIFICATIONS_MAX} passwords are being checked"));
        let turn = Arc::clone(&self.verifications).acquire_owned();
        let turn = tokio::time::timeout(VERIFICATION_WAIT, turn).await;
        let permit = turn.map_err(|_| full())?.map_err(|_| full())?;
        run(permit, job).await.map_err(Refused::Broken)
    }

    /// Starts a query at once, or not at all.
    pub(crate) fn query(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Refused> {
        let permit = Arc::clone(&self.queries).try_acquire_owned().map_err(|_| {
            let max = self.queries_max;
            Refused::Full(format!(
                "max-concurrent-queries limit exceeded({max}, {max})"
            ))
        })?;
        // The job answers through its channel, which says so where it ends before its time.
        drop(run(permit, job));
        Ok(())
    }

    /// Starts a request that lists or kills queries, beside those.
    pub(crate) fn management(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Refused> {
        let permit = Arc::clone(&self.management).try_acquire_owned();
        let permit = permit.map_err(|_| {
            Refused::Full(format!("{MANAGEMENT_MAX} requests list or kill queries"))
        })?;
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
