//! Sources that this server reads itself: which they are, and the way of their points into the
//! engine.

mod report;
mod targets;

use std::sync::Arc;

use plimsoll_ingest::cgroup;
use plimsoll_ingest::discover::{Api, Discovery, DnsName, FileList, Nodes};
use plimsoll_ingest::scrape::{self, Scraped, Scrapers, Sources, Target};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use self::report::Report;
pub(crate) use self::targets::{Seen, Targets};
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
    pub(crate) fn start(app: &Arc<App>, sources: &SourcesConfig) -> Result<Self, Failure> {
        let options = scrape::Options {
            interval: sources.interval,
            deadline: sources.interval.clamp(DEADLINE_MIN, DEADLINE_MAX),
            cluster_name: sources.cluster_name.clone(),
            hostname: sources.hostname.clone(),
            label_tags: sources.naming.labels.tags.clone(),
            scrape_body_bytes_max: sources.scrape_bytes_max,
            scrape_series_max: sources.scrape_series_max,
            concurrent_max: sources.scrapes_max,
            naming: sources.naming.clone(),
            ..scrape::Options::default()
        };
        let (sink, scraped) = mpsc::channel(WAITING_MAX);
        let (shutdown, stopping) = watch::channel(false);
        let clock = Arc::clone(&app.clock);
        let scrapers = scrape::spawn(all(sources), options, clock, sink, stopping)
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
    let mut seen = Seen::of(&scraped);
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
    seen.time = app.clock.now();
    seen.problems.clone_from(&problems);
    app.targets.note(&scraped.target, seen);
    report.say(&scraped.target, problems);
}
