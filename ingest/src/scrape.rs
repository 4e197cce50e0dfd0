//! Pulls from Kubelets, cAdvisors and this machine, one task per target.
//!
//! A slow or dead target costs the others nothing: each has its own deadline and back-off. What
//! was read goes down a channel to the server, which writes it; how the target fares goes with
//! it, as series of its own.

mod client;
mod error;
mod pull;
mod target;
mod task;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::Clock;
use plimsoll_engine::model::Batch;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use self::error::Error;
pub use self::target::Target;

use self::pull::Puller;

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
    /// Values of the payloads that were not kept, by reason.
    pub dropped: BTreeMap<&'static str, usize>,
}

impl Scraped {
    /// Whether all that belongs to the target could be read.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.errors.is_empty()
    }
}

/// The running tasks.
#[derive(Debug)]
pub struct Scrapers {
    tasks: JoinSet<()>,
}

impl Scrapers {
    /// Waits until every task has ended, which they do when they are told to shut down or when
    /// nobody receives any more.
    pub async fn join(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a scrape task died");
            }
        }
    }
}

/// Starts a task for each target; they stop when `shutdown` turns true or its sender is gone.
///
/// Their starts are spread evenly over the interval, the first at once.
///
/// # Errors
/// The first target that makes no sense, before any task is started.
pub fn spawn(
    targets: Vec<Target>,
    options: Options,
    clock: Arc<dyn Clock>,
    sink: mpsc::Sender<Scraped>,
    shutdown: watch::Receiver<bool>,
) -> Result<Scrapers, Error> {
    let options = Arc::new(options);
    let count = u32::try_from(targets.len()).unwrap_or(u32::MAX).max(1);
    let pullers: Vec<Puller> = targets
        .into_iter()
        .map(|target| Puller::new(target, Arc::clone(&options), Arc::clone(&clock)))
        .collect::<Result<_, _>>()?;
    let mut tasks = JoinSet::new();
    for (index, puller) in (0..count).zip(pullers) {
        let phase = options.interval / count * index;
        tasks.spawn(task::run(
            puller,
            phase,
            Arc::clone(&options),
            sink.clone(),
            shutdown.clone(),
        ));
    }
    Ok(Scrapers { tasks })
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
    let mut puller = Puller::new(target, Arc::new(options), clock)?;
    Ok(puller.pull().await)
}
