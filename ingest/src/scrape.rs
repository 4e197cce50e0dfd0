//! Pulls from Kubelets, cAdvisors and this machine, one task per target.
//!
//! A slow or dead target costs the others nothing: each has its own deadline and back-off. What
//! was read goes down a channel to the server, which writes it; how the target fares goes with
//! it, as series of its own.

mod client;
mod error;
mod missed;
mod pull;
mod supervisor;
mod target;
mod task;
mod unwritten;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plimsoll_engine::model::Batch;
use plimsoll_engine::{Clock, Timestamp};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use self::client::Clients;
use self::pull::Puller;
use self::supervisor::Supervisor;
use self::unwritten::Unwritten;
use crate::discover::Discovery;
use crate::profile::{ClusterSums, NamespaceSums, Naming, Profile};

pub(crate) use self::client::{bearer, certificates};
pub use self::error::Error;
pub(crate) use self::error::chain;
pub use self::missed::Missed;
pub use self::target::{NodeState, Readiness, Target};
pub use self::unwritten::Place;

/// How to scrape; the same for all targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// From the start of one scrape to the start of the next.
    pub interval: Duration,
    /// How long one scrape may take.
    pub deadline: Duration,
    /// The longest time between scrapes of a target that fails.
    pub back_off_max: Duration,
    /// The tag `cluster_name`.
    pub cluster_name: String,
    /// This machine's name, for its own cgroups.
    pub hostname: String,
    /// Labels of containers that become tags; see
    /// [`cadvisor::Options`](crate::cadvisor::Options).
    pub label_tags: Vec<String>,
    /// How many bytes a target may answer, unpacked.
    pub scrape_body_bytes_max: usize,
    /// How many points may come of one scrape; none is kept of a target that has more.
    pub scrape_series_max: usize,
    /// How many targets are asked at a time.
    pub concurrent_max: usize,
    /// Memory of the scrapes that were read and are not written yet; beyond it, targets wait.
    pub unwritten_bytes_max: usize,
    /// How rows are named.
    pub naming: Naming,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            deadline: Duration::from_secs(10),
            back_off_max: Duration::from_secs(120),
            cluster_name: "default".to_owned(),
            hostname: "localhost".to_owned(),
            label_tags: Vec::new(),
            scrape_body_bytes_max: 64 << 20,
            scrape_series_max: 500_000,
            concurrent_max: 512,
            unwritten_bytes_max: 64 << 20,
            naming: Naming::default(),
        }
    }
}

/// What one scrape gave.
#[derive(Debug, Default)]
pub struct Scraped {
    /// The target, without credentials.
    pub target: String,
    /// The points, with those about the target itself.
    pub batch: Batch,
    /// What is wrong; where something is, the rest of the batch is good all the same.
    pub errors: Vec<Error>,
    /// What is wrong and does no harm, in words for the operator.
    pub warnings: Vec<String>,
    /// How many values of the payloads went into the points.
    pub kept: usize,
    /// Values of the payloads that were not kept, by reason.
    pub dropped: BTreeMap<&'static str, usize>,
    /// Bytes of the bodies that the target answered, unpacked.
    pub body_bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// How much later than it was due it began.
    pub late: Duration,
    /// Scrapes that were left out since the start, because the one before took too long.
    pub missed: Missed,
    /// Its part of the room for what is not written yet; it is free again when this is dropped.
    pub room: Option<Place>,
}

impl Scraped {
    /// Whether all that belongs to the target could be read.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.errors.is_empty()
    }
}

/// What all targets share.
#[derive(Debug)]
struct Shared {
    options: Arc<Options>,
    naming: Arc<Naming>,
    clock: Arc<dyn Clock>,
    flights: Semaphore,
    unwritten: Unwritten,
    sums: Mutex<ClusterSums>,
    clients: Clients,
}

impl Shared {
    fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        Self {
            naming: Arc::new(options.naming.clone()),
            flights: Semaphore::new(options.concurrent_max.clamp(1, Semaphore::MAX_PERMITS)),
            unwritten: Unwritten::new(options.unwritten_bytes_max),
            sums: Mutex::default(),
            clients: Clients::default(),
            options: Arc::new(options),
            clock,
        }
    }

    fn put_sums(&self, target: &str, now: Timestamp, namespaces: NamespaceSums) {
        // A panic while it was held cannot have left it half changed.
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.put(target, now, namespaces);
    }

    fn sum_rows(&self, age_max: Duration) -> Batch {
        if self.naming.profile == Profile::Classic {
            return Batch::default();
        }
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if sums.is_empty() {
            return Batch::default();
        }
        let age_ns_max = i64::try_from(age_max.as_nanos()).unwrap_or(i64::MAX);
        let now = self.clock.now();
        sums.rows(now, age_ns_max, &self.naming, &self.options.cluster_name)
    }
}

/// What is scraped: what is known from the start, and what looks for more.
#[derive(Debug, Default)]
pub struct Sources {
    /// Targets of the configuration.
    pub targets: Vec<Target>,
    /// What finds others.
    pub discoveries: Vec<Discovery>,
}

impl From<Vec<Target>> for Sources {
    fn from(targets: Vec<Target>) -> Self {
        Self {
            targets,
            discoveries: Vec::new(),
        }
    }
}

/// The running tasks.
#[derive(Debug)]
pub struct Scrapers {
    supervisor: JoinHandle<()>,
    discoveries: JoinSet<()>,
}

impl Scrapers {
    /// Waits until every task has ended, which they do when they are told to shut down or when
    /// nobody receives any more.
    pub async fn join(mut self) {
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the task that keeps the targets died");
        }
        self.discoveries.shutdown().await;
    }
}

/// Starts a task for each target; they stop when `shutdown` turns true or its sender is gone.
///
/// The starts of those that are known are spread evenly over the interval, the first at once;
/// each of those that are found has its own place in it.
///
/// # Errors
/// The first target that makes no sense, before any task is started.
pub fn spawn(
    sources: impl Into<Sources>,
    options: Options,
    clock: Arc<dyn Clock>,
    sink: mpsc::Sender<Scraped>,
    shutdown: watch::Receiver<bool>,
) -> Result<Scrapers, Error> {
    let sources = sources.into();
    let shared = Arc::new(Shared::new(options, clock));
    let pullers: Vec<Puller> = sources
        .targets
        .iter()
        .map(|target| Puller::new(target, Arc::clone(&shared)))
        .collect::<Result<_, _>>()?;
    let (finder, found) = mpsc::channel(1);
    let mut discoveries = JoinSet::new();
    for (number, discovery) in sources.discoveries.into_iter().enumerate() {
        discoveries.spawn(discovery.run(number, finder.clone()));
    }
    let mut supervisor = Supervisor::new(shared, sink, shutdown, found);
    supervisor.start_fixed(pullers);
    Ok(Scrapers {
        supervisor: tokio::spawn(supervisor.run()),
        discoveries,
    })
}

/// Scrapes one target once.
///
/// # Errors
/// Where the target makes no sense; what goes wrong on the way is in the answer.
pub async fn once(
    target: Target,
    options: Options,
    clock: Arc<dyn Clock>,
) -> Result<Scraped, Error> {
    let mut puller = Puller::new(&target, Arc::new(Shared::new(options, clock)))?;
    Ok(puller.pull(Instant::now()).await)
}
