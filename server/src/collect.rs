//! Sources that this server reads itself, and where their points go.

use std::collections::HashMap;
use std::sync::Arc;

use plimsoll_ingest::cgroup;
use plimsoll_ingest::scrape::{self, Scraped, Scrapers, Target};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::app::{App, DATABASE};
use crate::config::{Duration, SourcesConfig};
use crate::exit::{Code, Failure};

/// Scrapes that wait to be written; past that the scrapers wait.
const SCRAPES_WAITING_MAX: usize = 64;

/// What is to be scraped.
fn targets(sources: &SourcesConfig) -> Vec<Target> {
    let mut targets = Vec::new();
    if sources.cgroup {
        let mut paths = cgroup::Paths::default();
        if let Some(root) = &sources.cgroup_root {
            paths.cgroup.clone_from(root);
        }
        targets.push(Target::Cgroups { paths });
    }
    targets.extend(sources.cadvisor.iter().map(|url| Target::Cadvisor {
        url: url.0.to_string(),
    }));
    targets.extend(sources.kubelet.iter().map(|url| Target::Kubelet {
        url: url.0.to_string(),
        token_file: sources.kubelet_token_file.clone(),
        ca_file: sources.kubelet_ca_file.clone(),
        insecure_skip_verify: sources.kubelet_insecure_skip_verify,
    }));
    targets
}

/// Says what is wrong with the sources as far as can be known without reaching them.
///
/// # Errors
/// A line for each target whose URL cannot be right.
pub(crate) fn check(sources: &SourcesConfig) -> Result<(), Failure> {
    let lines: Vec<String> = targets(sources)
        .iter()
        .filter_map(|target| target.check().err())
        .map(|error| error.to_string())
        .collect();
    if lines.is_empty() {
        Ok(())
    } else {
        Err(Failure {
            code: Code::Configuration,
            lines,
        })
    }
}

/// The running scrapers, and the task that writes what they read.
#[derive(Debug)]
pub(crate) struct Collecting {
    stop: watch::Sender<bool>,
    scrapers: Scrapers,
    writer: JoinHandle<()>,
}

impl Collecting {
    /// Starts a task for each target.
    ///
    /// # Errors
    /// A target that cannot be right.
    pub(crate) fn start(app: &Arc<App>, sources: &SourcesConfig) -> Result<Self, Failure> {
        let options = scrape::Options {
            interval: sources.interval,
            deadline: sources.interval.max(scrape::Options::default().deadline),
            cluster_name: sources.cluster_name.clone(),
            hostname: sources.hostname.clone(),
            ..scrape::Options::default()
        };
        let (stop, stopped) = watch::channel(false);
        let (sender, receiver) = mpsc::channel(SCRAPES_WAITING_MAX);
        let clock = Arc::clone(&app.clock);
        let scrapers = scrape::spawn(targets(sources), options, clock, sender, stopped)
            .map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
        let writer = tokio::spawn(write_all(Arc::clone(app), receiver));
        Ok(Self {
            stop,
            scrapers,
            writer,
        })
    }

    /// Stops scraping, and waits until what was read is written.
    pub(crate) async fn stop(self) {
        // Nobody listens any more only where all of them have ended already.
        self.stop.send_replace(true);
        self.scrapers.join().await;
        if let Err(error) = self.writer.await {
            tracing::error!(%error, "the task that writes what is scraped died");
        }
    }
}

/// Writes scrape after scrape, until the scrapers have ended.
async fn write_all(app: Arc<App>, mut scrapes: mpsc::Receiver<Scraped>) {
    let mut said = Said::default();
    while let Some(scraped) = scrapes.recv().await {
        let Scraped {
            target,
            batch,
            errors,
            warnings,
            ..
        } = scraped;
        let troubles = errors.iter().map(ToString::to_string).chain(warnings);
        said.say(&target, troubles.collect::<Vec<_>>().join("; "));
        let writer = Arc::clone(&app);
        let written = app
            .workers
            .write(move || writer.engine.write(DATABASE, "", &batch))
            .await;
        let trouble = match written {
            Ok(Ok(written)) => written
                .rejected
                .iter()
                .map(|r| r.reason.as_str())
                .collect::<Vec<_>>()
                .join("; "),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "too many writes are running".to_owned(),
        };
        said.say("what was scraped", trouble);
    }
}

/// What was last said of each target: a trouble that stays is said once, and its end too.
#[derive(Debug, Default)]
struct Said(HashMap<String, String>);

impl Said {
    fn say(&mut self, of: &str, text: String) {
        let last = self.0.get(of).map_or("", String::as_str);
        if last == text {
            return;
        }
        if text.is_empty() {
            tracing::info!(target_name = of, "works again");
        } else {
            tracing::warn!(target_name = of, "{text}");
        }
        self.0.insert(of.to_owned(), text);
    }
}

/// What is collected, in a line.
pub(crate) fn describe(sources: &SourcesConfig) -> String {
    let mut parts = Vec::new();
    if sources.cgroup {
        parts.push("this machine's cgroups".to_owned());
    }
    let urls = |what: &str, urls: &[crate::config::SourceUrl]| {
        let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
        (!urls.is_empty()).then(|| format!("{what} {}", urls.join(", ")))
    };
    parts.extend(urls("cAdvisor", &sources.cadvisor));
    parts.extend(urls("Kubelet", &sources.kubelet));
    if parts.is_empty() {
        return "nothing by itself; it takes what is pushed to /write".to_owned();
    }
    let every = Duration(sources.interval);
    format!(
        "{}, every {every}, into database {DATABASE}",
        parts.join("; ")
    )
}
