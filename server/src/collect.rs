//! Sources that this server reads itself: which they are, and the way of their points into the
//! engine.

mod report;

use std::sync::Arc;

use plimsoll_ingest::cgroup;
use plimsoll_ingest::scrape::{self, Scraped, Scrapers, Target};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use self::report::Report;
use crate::app::{App, DATABASE};
use crate::config::{Duration, SourceUrl, SourcesConfig};
use crate::exit::{Code, Failure};

/// Scrapes that wait to be written; beyond them, targets wait.
const WAITING_MAX: usize = 64;
/// Scrapes that are written at a time: they wait for the disk together.
const WRITES_MAX: usize = 8;
/// A scrape may take as long as its interval, within these bounds.
const DEADLINE_MIN: std::time::Duration = std::time::Duration::from_secs(1);
const DEADLINE_MAX: std::time::Duration = std::time::Duration::from_secs(15);

/// What is collected, in a line.
pub(crate) fn describe(sources: &SourcesConfig) -> String {
    let mut parts = Vec::new();
    if sources.cgroup {
        parts.push("this machine's cgroups".to_owned());
    }
    for (what, urls) in [
        ("cAdvisor", &sources.cadvisor),
        ("Kubelet", &sources.kubelet),
    ] {
        if !urls.is_empty() {
            let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
            parts.push(format!("{what} {}", urls.join(", ")));
        }
    }
    if parts.is_empty() {
        return "nothing by itself; it takes what is pushed to /write".to_owned();
    }
    let every = Duration(sources.interval);
    format!(
        "{}, every {every}, into database {DATABASE}",
        parts.join("; ")
    )
}

/// Looks whether the sources can be what they are said to be, without reaching them.
///
/// # Errors
/// A line for each that cannot.
pub(crate) fn check(sources: &SourcesConfig) -> Result<(), Failure> {
    let wrong = targets(sources)
        .into_iter()
        .filter_map(|target| target.check().err());
    let lines: Vec<String> = wrong.map(|error| error.to_string()).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let code = Code::Configuration;
    Err(Failure { code, lines })
}

fn targets(sources: &SourcesConfig) -> Vec<Target> {
    let mut targets = Vec::new();
    if sources.cgroup {
        let mut paths = cgroup::Paths::default();
        if let Some(root) = &sources.cgroup_root {
            paths.cgroup.clone_from(root);
        }
        targets.push(Target::Cgroups { paths });
    }
    let url = |url: &SourceUrl| url.0.as_str().to_owned();
    targets.extend(
        sources
            .cadvisor
            .iter()
            .map(|cadvisor| Target::Cadvisor { url: url(cadvisor) }),
    );
    targets.extend(sources.kubelet.iter().map(|kubelet| Target::Kubelet {
        url: url(kubelet),
        token_file: sources.kubelet_token_file.clone(),
        ca_file: sources.kubelet_ca_file.clone(),
        insecure_skip_verify: sources.kubelet_insecure_skip_verify,
    }));
    targets
}

/// Running sources.
#[derive(Debug)]
pub(crate) struct Collecting {
    scrapers: Scrapers,
    writer: JoinHandle<()>,
    shutdown: watch::Sender<bool>,
}

impl Collecting {
    /// Starts them. Call it on the runtime.
    pub(crate) fn start(app: &Arc<App>, sources: &SourcesConfig) -> Result<Self, Failure> {
        let options = scrape::Options {
            interval: sources.interval,
            deadline: sources.interval.clamp(DEADLINE_MIN, DEADLINE_MAX),
            cluster_name: sources.cluster_name.clone(),
            hostname: sources.hostname.clone(),
            label_tags: sources.label_tags.clone(),
            ..scrape::Options::default()
        };
        let (sink, scraped) = mpsc::channel(WAITING_MAX);
        let (shutdown, stopping) = watch::channel(false);
        let clock = Arc::clone(&app.clock);
        let scrapers = scrape::spawn(targets(sources), options, clock, sink, stopping)
            .map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
        // It ends when the last target has let go of the channel.
        let writer = tokio::spawn(write_all(Arc::clone(app), scraped));
        Ok(Self {
            scrapers,
            writer,
            shutdown,
        })
    }

    /// Ends them, and writes what they have read.
    pub(crate) async fn stop(self) {
        self.shutdown.send_replace(true);
        self.scrapers.join().await;
        if let Err(error) = self.writer.await {
            tracing::error!(%error, "the task that writes what was collected broke off");
        }
    }
}

async fn write_all(app: Arc<App>, mut scraped: mpsc::Receiver<Scraped>) {
    let report = Arc::new(Report::default());
    let mut writes = JoinSet::new();
    while let Some(scraped) = scraped.recv().await {
        if writes.len() >= WRITES_MAX {
            writes.join_next().await;
        }
        writes.spawn(write(Arc::clone(&app), Arc::clone(&report), scraped));
    }
    while writes.join_next().await.is_some() {}
}

async fn write(app: Arc<App>, report: Arc<Report>, scraped: Scraped) {
    let mut problems: Vec<String> = scraped.errors.iter().map(ToString::to_string).collect();
    problems.extend(scraped.warnings);
    let writer = Arc::clone(&app);
    let batch = scraped.batch;
    app.figures.scrapes.add(1);
    app.figures.scrape_points.add(batch.len() as u64);
    let written = app
        .workers
        .write(move || writer.engine.write(DATABASE, "", &batch));
    match written.await {
        Ok(Ok(written)) => {
            let rejected = written.rejected.into_iter();
            problems.extend(rejected.map(|rejected| format!("not stored: {}", rejected.reason)));
        }
        Ok(Err(error)) => problems.push(format!("not stored: {error}")),
        Err(refused) => problems.push(format!("not stored: {refused}")),
    }
    if !problems.is_empty() {
        app.figures.scrapes_with_problems.add(1);
    }
    report.say(&scraped.target, problems);
}
