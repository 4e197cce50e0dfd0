//! Sources that this server reads itself: which they are, and the way of their points into the
//! engine.

mod report;
mod retry;
mod targets;

use std::sync::Arc;

use plimsoll_engine::{Batch, Rejected};
use plimsoll_ingest::cgroup;
use plimsoll_ingest::choice::NOT_CHOSEN;
use plimsoll_ingest::discover::{Api, Discovery, DnsName, FileList, Nodes};
use plimsoll_ingest::scrape::{self, Scraped, Scrapers, Sources, Target};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use self::report::Report;
use self::retry::{BUSY_EVERY, Tokio, store};
pub(crate) use self::targets::{Seen, Targets};
use crate::app::{App, DATABASE};
use crate::config::{Config, Duration, SourceUrl, SourcesConfig};
use crate::exit::{Code, Failure};

/// Scrapes that wait to be written, however small; beyond them, targets wait.
const WAITING_MAX: usize = 1 << 16;
/// Memory of the scrapes that are not written yet: a part of what the head may take, and at most
/// so much. Beyond it, targets wait.
const UNWRITTEN_HEAD_PART: u64 = 4;
const UNWRITTEN_BYTES_MAX: u64 = 512 << 20;
/// Scrapes that are written at a time: they wait for the disk together.
const WRITES_MAX: usize = 8;
/// A scrape may take as long as its interval, within these bounds.
const DEADLINE_MIN: std::time::Duration = std::time::Duration::from_secs(1);
const DEADLINE_MAX: std::time::Duration = std::time::Duration::from_secs(15);

/// Where a pod finds the token of its account.
const ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// What is collected, in a line.
pub(crate) fn describe(sources: &SourcesConfig) -> String {
    let mut parts = Vec::new();
    if sources.cgroup {
        parts.push("this machine's cgroups".to_owned());
    }
    for (what, urls) in [
        ("cAdvisor", &sources.cadvisor),
        ("Kubelet", &sources.kubelet),
        ("metrics of", &sources.prometheus),
    ] {
        if !urls.is_empty() {
            let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
            parts.push(format!("{what} {}", urls.join(", ")));
        }
    }
    if sources.kubernetes.is_some() {
        parts.push("the nodes of a Kubernetes cluster".to_owned());
    }
    if let Some(path) = &sources.targets_file {
        parts.push(format!("the targets of {}", path.display()));
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

/// Makes a target of an address.
type AsTarget<'a> = &'a dyn Fn(String) -> Target;

/// Looks whether the sources can be what they are said to be, without reaching them.
///
/// # Errors
/// A line for each that cannot.
pub(crate) fn check(sources: &SourcesConfig) -> Result<(), Failure> {
    let Sources {
        targets,
        discoveries,
    } = all(sources);
    let templates = discoveries.iter().filter_map(|discovery| match discovery {
        Discovery::Dns(name) => Some(&name.template),
        Discovery::Nodes(_) | Discovery::File(_) => None,
    });
    let targets = targets.iter().chain(templates);
    let wrong = targets.filter_map(|target| target.check().err());
    let lines: Vec<String> = wrong.map(|error| error.to_string()).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let code = Code::Configuration;
    Err(Failure { code, lines })
}

fn all(sources: &SourcesConfig) -> Sources {
    let mut all = Sources::default();
    if sources.cgroup {
        let mut paths = cgroup::Paths::default();
        if let Some(root) = &sources.cgroup_root {
            paths.cgroup.clone_from(root);
        }
        if let Some(sockets) = &sources.engine_sockets {
            paths.sockets.clone_from(sockets);
        }
        all.targets.push(Target::Cgroups { paths });
    }
    let access = &sources.kubelet_access;
    let rules = &sources.prometheus_rules;
    let cadvisor = |url: String| Target::Cadvisor { url };
    let kubelet = |url: String| access.target(url, None);
    let prometheus = |url: String| Target::Prometheus {
        url,
        rules: rules.clone(),
    };
    let kinds: [(&[SourceUrl], AsTarget<'_>); 3] = [
        (&sources.cadvisor, &cadvisor),
        (&sources.kubelet, &kubelet),
        (&sources.prometheus, &prometheus),
    ];
    for (urls, target) in kinds {
        for url in urls {
            let (url, is_name) = url.parts();
            let template = target(url.to_owned());
            match is_name {
                true => all.discoveries.push(Discovery::Dns(DnsName { template })),
                false => all.targets.push(template),
            }
        }
    }
    if let Some(path) = &sources.targets_file {
        all.discoveries.push(Discovery::File(FileList {
            path: path.clone(),
            access: access.clone(),
            rules: rules.clone(),
        }));
    }
    if let Some(kubernetes) = &sources.kubernetes {
        let mut access = access.clone();
        let is_pod = std::path::Path::new(ACCOUNT_TOKEN).exists();
        if access.token_file.is_none() && kubernetes.api == Api::Inferred && is_pod {
            access.token_file = Some(ACCOUNT_TOKEN.into());
        }
        all.discoveries.push(Discovery::Nodes(Nodes {
            scheme: kubernetes.scheme.clone(),
            port: kubernetes.port,
            ..Nodes::new(kubernetes.api.clone(), access)
        }));
    }
    all
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
    pub(crate) fn start(app: &Arc<App>, config: &Config) -> Result<Self, Failure> {
        let sources = &config.sources;
        let unwritten = config.engine.head_bytes_max / UNWRITTEN_HEAD_PART;
        let unwritten = unwritten.min(UNWRITTEN_BYTES_MAX);
        let options = scrape::Options {
            interval: sources.interval,
            deadline: sources.interval.clamp(DEADLINE_MIN, DEADLINE_MAX),
            cluster_name: sources.cluster_name.clone(),
            hostname: sources.hostname.clone(),
            label_tags: sources.naming.labels.tags.clone(),
            scrape_body_bytes_max: sources.scrape_bytes_max,
            scrape_series_max: sources.scrape_series_max,
            concurrent_max: sources.scrapes_max,
            unwritten_bytes_max: usize::try_from(unwritten).unwrap_or(usize::MAX),
            naming: sources.naming.clone(),
            ..scrape::Options::default()
        };
        let (sink, scraped) = mpsc::channel(WAITING_MAX);
        let (shutdown, stopping) = watch::channel(false);
        let clock = Arc::clone(&app.clock);
        let writing = Writing {
            app: Arc::clone(app),
            report: Arc::new(Report::default()),
            stopping: stopping.clone(),
        };
        let every = sources.interval;
        let scrapers = scrape::spawn(all(sources), options, clock, sink, stopping)
            .map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
        // It ends when the last target has let go of the channel.
        let writer = tokio::spawn(writing.write_all(scraped, every));
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

/// What writes scrapes.
#[derive(Debug, Clone)]
struct Writing {
    app: Arc<App>,
    report: Arc<Report>,
    stopping: watch::Receiver<bool>,
}

impl Writing {
    async fn write_all(self, mut scraped: mpsc::Receiver<Scraped>, every: std::time::Duration) {
        let mut writes = JoinSet::new();
        let mut tick = tokio::time::interval(every.max(BUSY_EVERY));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let next = tokio::select! {
                next = scraped.recv() => next,
                _ = tick.tick() => {
                    self.report.say_missed(&self.app, scraped.len());
                    continue;
                }
            };
            let Some(scraped) = next else { break };
            if writes.len() >= WRITES_MAX {
                writes.join_next().await;
            }
            writes.spawn(self.clone().write(scraped));
        }
        while writes.join_next().await.is_some() {}
        self.report.say_missed(&self.app, 0);
    }

    async fn write(self, mut scraped: Scraped) {
        let app = &self.app;
        let mut seen = Seen::of(&scraped);
        let mut problems: Vec<String> = scraped.errors.iter().map(ToString::to_string).collect();
        problems.extend(scraped.warnings);
        app.figures.scrapes.add(1);
        app.figures.scrape_points.add(seen.points as u64);
        let not_chosen = scraped.dropped.get(NOT_CHOSEN).copied().unwrap_or(0);
        app.figures.scrape_not_chosen.add(not_chosen as u64);
        app.figures.scrape_bytes.add(scraped.body_bytes);
        let written = self.store(Arc::new(std::mem::take(&mut scraped.batch)));
        match written.await {
            Ok(rejected) => {
                let rejected = rejected.into_iter();
                problems
                    .extend(rejected.map(|rejected| format!("not stored: {}", rejected.reason)));
            }
            Err(why) => {
                app.figures.scrapes_not_stored.add(1);
                problems.push(format!("not stored: {why}"));
            }
        }
        drop(scraped.room);
        if !problems.is_empty() {
            app.figures.scrapes_with_problems.add(1);
        }
        seen.time = app.clock.now();
        seen.problems.clone_from(&problems);
        let missed = app.targets.note(&scraped.target, seen);
        app.figures.scrapes_missed_turn.add(missed.turn);
        app.figures.scrapes_missed_answer.add(missed.answer);
        app.figures.scrapes_missed_write.add(missed.write);
        self.report.say(&scraped.target, problems);
    }

    /// Writes a batch; where the head has no room, it waits until it has, and the targets behind it.
    async fn store(&self, batch: Arc<Batch>) -> Result<Vec<Rejected>, String> {
        let write = || {
            let (app, batch) = (Arc::clone(&self.app), Arc::clone(&batch));
            async move {
                let engine = Arc::clone(&app);
                let write = move || engine.engine.write(DATABASE, "", &batch);
                app.workers.write(write).await
            }
        };
        let stopping = self.stopping.clone();
        let is_stopping = move || *stopping.borrow();
        let slowed = &self.app.figures.writes_slowed;
        let written = store(write, &Tokio::now(), is_stopping, slowed).await?;
        Ok(written.rejected)
    }
}
