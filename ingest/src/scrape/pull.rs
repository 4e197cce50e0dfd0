//! One scrape of one target: ask, parse, map.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::{Clock, TagSet, Timestamp};
use reqwest::Url;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::client::{Client, Page};
use super::target::shown;
use super::{Error, Options, Scraped, Target, target};
use crate::cadvisor::{self, Images, Source};
use crate::cgroup::{Collector, Paths};
use crate::kubelet::{self, Payloads, PodList, Summary};
use crate::names::{Mapped, Place, Series, Writer, stored};
use crate::prometheus;

/// How long a list of pods is good: only what seldom changes is taken from it.
const PODS_AGE_MAX: Duration = Duration::from_secs(60);

/// Scrapes one target, again and again.
pub(super) struct Puller {
    shown: String,
    kind: Kind,
    options: Arc<Options>,
    clock: Arc<dyn Clock>,
    tags: TagSet,
}

enum Kind {
    Cadvisor(Box<Cadvisor>),
    Kubelet(Box<Kubelet>),
    Cgroups(Box<Cgroups>),
}

struct Cgroups {
    paths: Paths,
    /// Away while it works.
    collector: Option<Collector>,
}

struct Cadvisor {
    client: Client,
    url: Url,
    place: Place,
}

struct Kubelet {
    client: Client,
    metrics: Url,
    summary: Url,
    pods: Url,
    nodename: Option<String>,
    images: Images,
    pods_body: Option<Arc<Vec<u8>>>,
    pods_asked: Option<Instant>,
    pods_warning: Option<String>,
}

impl Puller {
    pub(super) fn new(
        target: Target,
        options: Arc<Options>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let (shown, kind) = match &target {
            Target::Cgroups { paths } => (
                "cgroups".to_owned(),
                Kind::Cgroups(Box::new(Cgroups {
                    paths: paths.clone(),
                    collector: None,
                })),
            ),
            Target::Kubelet { url, .. } => {
                let base = target::kubelet(url)?;
                let client = Client::new(&target, &base, &options)?;
                let kubelet = Kubelet::new(client, &base);
                (shown(&base), Kind::Kubelet(Box::new(kubelet)))
            }
            Target::Cadvisor { url } => {
                let url = target::cadvisor(url)?;
                let host = url.host_str().unwrap_or_default().to_owned();
                let place = Place {
                    cluster_name: options.cluster_name.clone(),
                    nodename: host.clone(),
                    hostname: host,
                };
                let client = Client::new(&target, &url, &options)?;
                let cadvisor = Cadvisor { client, url, place };
                (shown(&cadvisor.url), Kind::Cadvisor(Box::new(cadvisor)))
            }
        };
        let tags = TagSet::from_pairs([
            ("cluster_name", options.cluster_name.as_str()),
            ("target", shown.as_str()),
        ])
        .expect("two keys that differ");
        Ok(Self {
            shown,
            kind,
            options,
            clock,
            tags,
        })
    }

    /// Scrapes once; what goes wrong is in the answer.
    pub(super) async fn pull(&mut self) -> Scraped {
        let started = Instant::now();
        let now = self.clock.now();
        let mut scraped = Scraped {
            target: self.shown.clone(),
            ..Scraped::default()
        };
        let options = &self.options;
        let rejected = match &mut self.kind {
            Kind::Cadvisor(cadvisor) => pull_cadvisor(cadvisor, options, now, &mut scraped).await,
            Kind::Kubelet(kubelet) => kubelet.pull(options, now, &mut scraped).await,
            Kind::Cgroups(cgroups) => {
                pull_cgroups(cgroups, options, now, &mut scraped).await;
                0
            }
        };
        let samples = scraped.batch.len();
        let mut writer = Writer::onto(std::mem::take(&mut scraped.batch));
        let tag_set = writer.tag_set(&self.tags);
        for (series, value) in [
            (Series::ScrapeUp, u64::from(scraped.is_up())),
            (
                Series::ScrapeDuration,
                u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            ),
            (Series::ScrapeSamples, samples as u64),
            (Series::ScrapeRejected, rejected as u64),
        ] {
            writer.value(series, tag_set, now, stored(value));
        }
        scraped.batch = writer.finish();
        scraped
    }
}

async fn pull_cadvisor(
    cadvisor: &Cadvisor,
    options: &Options,
    now: Timestamp,
    scraped: &mut Scraped,
) -> usize {
    let Cadvisor { client, url, place } = cadvisor;
    let body = match client.get(url, Page::Metrics).await {
        Ok(body) => body,
        Err(error) => {
            scraped.errors.push(error);
            return 0;
        }
    };
    let (place, label_tags) = (place.clone(), options.label_tags.clone());
    let mapping = spawn_blocking(move || {
        let text = String::from_utf8(body).map_err(|error| error.to_string())?;
        let options = cadvisor::Options {
            source: Source::Standalone,
            place: &place,
            label_tags: &label_tags,
            now,
        };
        Ok::<_, String>(cadvisor::map(&text, options, &mut Images::default()))
    });
    let (mapped, parsed) = match mapping.await {
        Ok(Ok(mapping)) => mapping,
        Ok(Err(why)) => {
            let url = shown(url);
            scraped.errors.push(Error::Payload { url, why });
            return 0;
        }
        Err(panic) => {
            scraped.internal(&panic);
            return 0;
        }
    };
    scraped.take(url, mapped, &parsed);
    parsed.rejected
}

async fn pull_cgroups(
    cgroups: &mut Cgroups,
    options: &Options,
    now: Timestamp,
    scraped: &mut Scraped,
) {
    let Cgroups { paths, collector } = cgroups;
    let mut working = collector
        .take()
        .unwrap_or_else(|| Collector::new(paths.clone(), &options.hostname, &options.cluster_name));
    let collecting = spawn_blocking(move || {
        let collected = working.collect(now);
        (working, collected)
    });
    match collecting.await {
        Ok((working, collected)) => {
            *collector = Some(working);
            scraped.batch = collected.batch;
            scraped.warnings = collected.warnings;
        }
        Err(panic) => scraped.internal(&panic),
    }
}

impl Scraped {
    /// Takes what was mapped, and says where a page holds nothing that it should.
    fn take(&mut self, url: &Url, mapped: Mapped, parsed: &prometheus::Parsed) {
        if let Some(error) = &parsed.error {
            self.warnings.push(format!(
                "{}: {} lines do not parse, the first: {error}",
                shown(url),
                parsed.rejected
            ));
        }
        if mapped.kept == 0 {
            self.errors.push(Error::Payload {
                url: shown(url),
                why: format!(
                    "its answer holds no metric of a container ({} samples of others, {} lines that \
                     do not parse)",
                    parsed.samples, parsed.rejected
                ),
            });
        }
        self.batch = mapped.batch;
        self.dropped = mapped.dropped;
    }

    fn internal(&mut self, panic: &tokio::task::JoinError) {
        self.errors.push(Error::Internal {
            target: self.target.clone(),
            why: panic.to_string(),
        });
    }
}

/// What the mapping of a Kubelet's pages answers.
struct Mapping {
    mapped: Mapped,
    parsed: prometheus::Parsed,
    images: Images,
    nodename: Option<String>,
    /// What did not parse, by page.
    faults: Vec<(Page, String)>,
}

impl Kubelet {
    fn new(client: Client, base: &Url) -> Self {
        let page = |path: &str| {
            let mut url = base.clone();
            url.set_path(path);
            url
        };
        Self {
            client,
            metrics: page("/metrics/cadvisor"),
            summary: page("/stats/summary"),
            pods: page("/pods"),
            nodename: None,
            images: Images::default(),
            pods_body: None,
            pods_asked: None,
            pods_warning: None,
        }
    }

    async fn pull(&mut self, options: &Options, now: Timestamp, scraped: &mut Scraped) -> usize {
        let pods_are_old = self
            .pods_asked
            .is_none_or(|asked| asked.elapsed() >= PODS_AGE_MAX);
        let (metrics, summary, pods) = tokio::join!(
            self.client.get(&self.metrics, Page::KubeletMetrics),
            self.client.get(&self.summary, Page::Summary),
            async {
                match pods_are_old {
                    true => Some(self.client.get(&self.pods, Page::Pods).await),
                    false => None,
                }
            },
        );
        let mut keep = |answer: Result<Vec<u8>, Error>| {
            answer.map_err(|error| scraped.errors.push(error)).ok()
        };
        let (metrics, summary) = (keep(metrics), keep(summary));
        if let Some(answer) = pods {
            self.pods_asked = Some(Instant::now());
            match answer {
                Ok(body) => {
                    self.pods_body = Some(Arc::new(body));
                    self.pods_warning = None;
                }
                Err(error) => {
                    self.pods_warning = Some(format!(
                        "{error} (without it, pods in the node's network repeat its counters, and \
                         requests are unknown)"
                    ));
                }
            }
        }
        scraped.warnings.extend(self.pods_warning.clone());
        if metrics.is_none() && summary.is_none() {
            return 0;
        }
        let images = std::mem::take(&mut self.images);
        let mapping = self.map(metrics, summary, images, options, now);
        let mapping = match mapping.await {
            Ok(mapping) => mapping,
            Err(panic) => {
                scraped.internal(&panic);
                return 0;
            }
        };
        self.images = mapping.images;
        self.nodename = mapping.nodename.or(self.nodename.take());
        for (page, why) in mapping.faults {
            let url = shown(self.url(page));
            scraped.errors.push(Error::Payload { url, why });
        }
        if self.nodename.is_none() {
            let url = shown(&self.summary);
            scraped.errors.push(Error::NodeUnknown { url });
            return mapping.parsed.rejected;
        }
        scraped.take(&self.metrics, mapping.mapped, &mapping.parsed);
        mapping.parsed.rejected
    }

    fn url(&self, page: Page) -> &Url {
        match page {
            Page::Metrics | Page::KubeletMetrics => &self.metrics,
            Page::Summary => &self.summary,
            Page::Pods => &self.pods,
        }
    }

    fn map(
        &self,
        metrics: Option<Vec<u8>>,
        summary: Option<Vec<u8>>,
        mut images: Images,
        options: &Options,
        now: Timestamp,
    ) -> JoinHandle<Mapping> {
        let known = self.nodename.clone();
        let pods = self.pods_body.clone();
        let cluster_name = options.cluster_name.clone();
        let label_tags = options.label_tags.clone();
        spawn_blocking(move || {
            let mut faults = Vec::new();
            let mut fault = |page, why: String| faults.push((page, why));
            let metrics = metrics.and_then(|body| {
                String::from_utf8(body)
                    .map_err(|error| fault(Page::KubeletMetrics, error.to_string()))
                    .ok()
            });
            let summary = summary.as_deref().and_then(|body| {
                Summary::parse(body)
                    .map_err(|error| fault(Page::Summary, error.to_string()))
                    .ok()
            });
            let pods = pods.as_deref().and_then(|body| {
                PodList::parse(body)
                    .map_err(|error| fault(Page::Pods, error.to_string()))
                    .ok()
            });
            let nodename = summary
                .as_ref()
                .map(|summary| summary.node.node_name.as_ref().to_owned())
                .or(known);
            let (mapped, parsed) = match &nodename {
                None => Default::default(),
                Some(nodename) => {
                    let place = Place {
                        cluster_name,
                        nodename: nodename.clone(),
                        hostname: nodename.clone(),
                    };
                    kubelet::map(
                        Payloads {
                            summary: summary.as_ref(),
                            cadvisor: metrics.as_deref(),
                            pods: pods.as_ref(),
                        },
                        kubelet::Options {
                            place: &place,
                            label_tags: &label_tags,
                            now,
                            pages: kubelet::Pages::Full,
                        },
                        &mut images,
                    )
                }
            };
            Mapping {
                mapped,
                parsed,
                images,
                nodename,
                faults,
            }
        })
    }
}
