//! One scrape of a Kubelet: its pages at a time, joined under the node's name.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::Timestamp;
use reqwest::Url;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use crate::cadvisor::Images;
use crate::known::KnownTags;
use crate::kubelet::{self, Pages, Payloads, PodList, Summary};
use crate::names::{Mapped, Place};
use crate::profile::Naming;
use crate::prometheus;
use crate::scrape::client::{Client, Page};
use crate::scrape::supervisor::phase;
use crate::scrape::target::shown;
use crate::scrape::{Error, Options, Scraped};

/// How long a list of pods is good: only what seldom changes is taken from it. A target's first one
/// is good for a part of it, so that those of targets that began together are not all read again in
/// one interval.
const PODS_AGE_MAX: Duration = Duration::from_secs(60);

/// A Kubelet and what is remembered of it.
pub(super) struct Kubelet {
    client: Client,
    metrics: Url,
    summary: Url,
    pods: Url,
    pages: Pages,
    nodename: Option<String>,
    images: Images,
    known: KnownTags,
    dressing: Option<Arc<Naming>>,
    pod_list: Option<Arc<PodList>>,
    /// Whether nobody has asked for them yet.
    pods_are_new: bool,
    pods_asked: Option<Instant>,
    pods_good_for: Duration,
    pods_warning: Option<String>,
}

/// What the mapping of a Kubelet's pages answers.
struct Mapping {
    mapped: Mapped,
    parsed: prometheus::Parsed,
    images: Images,
    known: KnownTags,
    nodename: Option<String>,
    /// What did not parse, by page.
    faults: Vec<(Page, String)>,
}

impl Kubelet {
    /// Rows get what `dressing` says of labels, if it is there.
    pub(super) fn new(
        client: Client,
        base: &Url,
        pages: Pages,
        nodename: Option<String>,
        dressing: Option<Arc<Naming>>,
    ) -> Self {
        let page = |path: &str| {
            let mut url = base.clone();
            url.set_path(&format!("{}{path}", base.path()));
            url
        };
        Self {
            client,
            metrics: page(match pages {
                Pages::Full | Pages::Summary => "metrics/cadvisor",
                Pages::Resource => "metrics/resource",
            }),
            summary: page("stats/summary"),
            pods: page("pods"),
            pages,
            nodename,
            images: Images::default(),
            known: known_tags(dressing.as_ref()),
            dressing,
            pod_list: None,
            pods_are_new: false,
            pods_asked: None,
            pods_good_for: phase(base.as_str(), PODS_AGE_MAX),
            pods_warning: None,
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The list of pods, once each time that it was read.
    pub(super) fn new_pods(&mut self) -> Option<Arc<PodList>> {
        match std::mem::take(&mut self.pods_are_new) {
            true => self.pod_list.clone(),
            false => None,
        }
    }

    pub(super) async fn pull(
        &mut self,
        options: &Options,
        now: Timestamp,
        scraped: &mut Scraped,
    ) -> usize {
        let pods_are_old = self
            .pods_asked
            .is_none_or(|asked| asked.elapsed() >= self.pods_good_for);
        let (reads_metrics, reads_summary) = match self.pages {
            Pages::Full => (true, true),
            Pages::Summary => (false, true),
            Pages::Resource => (true, false),
        };
        let (metrics, summary, pods) = tokio::join!(
            self.get_if(reads_metrics, &self.metrics, Page::KubeletMetrics),
            self.get_if(reads_summary, &self.summary, Page::Summary),
            self.get_if(pods_are_old, &self.pods, Page::Pods),
        );
        let mut keep = |answer: Option<Result<Vec<u8>, Error>>| {
            answer.and_then(|answer| answer.map_err(|error| scraped.errors.push(error)).ok())
        };
        let (metrics, summary) = (keep(metrics), keep(summary));
        if let Some(answer) = pods {
            self.take_pods(answer).await;
        }
        scraped.warnings.extend(self.pods_warning.clone());
        if metrics.is_none() && summary.is_none() {
            return 0;
        }
        let kept = (
            std::mem::take(&mut self.images),
            std::mem::take(&mut self.known),
        );
        let mapping = self.map(metrics, summary, kept, options, now);
        let mapping = match mapping.await {
            Ok(mapping) => mapping,
            Err(panic) => {
                // What it worked with is gone.
                self.known = known_tags(self.dressing.as_ref());
                if let Some(pods) = self.pod_list.clone() {
                    self.tell(pods);
                }
                scraped.internal(&panic);
                return 0;
            }
        };
        (self.images, self.known) = (mapping.images, mapping.known);
        self.nodename = mapping.nodename.or(self.nodename.take());
        for (page, why) in mapping.faults {
            let url = shown(match page {
                Page::Summary => &self.summary,
                _ => &self.metrics,
            });
            scraped.errors.push(Error::Payload { url, why });
        }
        if self.nodename.is_none() {
            let url = shown(&self.summary);
            scraped.errors.push(Error::NodeUnknown { url });
            return mapping.parsed.rejected;
        }
        let main = match self.pages {
            Pages::Full | Pages::Resource => &self.metrics,
            Pages::Summary => &self.summary,
        };
        scraped.take(main, mapping.mapped, &mapping.parsed);
        mapping.parsed.rejected
    }

    async fn get_if(
        &self,
        is_wanted: bool,
        url: &Url,
        page: Page,
    ) -> Option<Result<Vec<u8>, Error>> {
        match is_wanted {
            true => Some(self.client.get(url, page).await),
            false => None,
        }
    }

    /// A list that cannot be read leaves the one before in place.
    async fn take_pods(&mut self, answer: Result<Vec<u8>, Error>) {
        if self.pods_asked.replace(Instant::now()).is_some() {
            self.pods_good_for = PODS_AGE_MAX;
        }
        let parsed = match answer {
            Ok(body) => {
                let parsing = spawn_blocking(move || {
                    PodList::parse(&body).map_err(|error| error.to_string())
                });
                let parsed = parsing.await.unwrap_or_else(|panic| Err(panic.to_string()));
                parsed.map_err(|why| format!("{}: {why}", shown(&self.pods)))
            }
            Err(error) => Err(error.to_string()),
        };
        match parsed {
            Ok(pods) => {
                let pods = Arc::new(pods);
                self.tell(Arc::clone(&pods));
                self.pod_list = Some(pods);
                self.pods_are_new = true;
                self.pods_warning = None;
            }
            Err(why) => {
                self.pods_warning = Some(format!(
                    "{why} (without it, pods in the node's network repeat its counters, and \
                     requests and labels are unknown)"
                ));
            }
        }
    }

    /// Tells what pages of this Kubelet are read with of its pods.
    fn tell(&mut self, pods: Arc<PodList>) {
        if self.pages != Pages::Full {
            pods.tell(&mut self.images);
        }
        self.known.take_pods(pods);
    }

    /// The name of a node whose page does not say it.
    fn known_name(&self) -> Option<String> {
        let pods = || self.pod_list.as_ref()?.node_name().map(str::to_owned);
        let host = || match self.pages {
            // Nothing that is read says it.
            Pages::Resource => self.metrics.host_str().map(str::to_owned),
            Pages::Full | Pages::Summary => None,
        };
        self.nodename.clone().or_else(pods).or_else(host)
    }

    fn map(
        &self,
        metrics: Option<Vec<u8>>,
        summary: Option<Vec<u8>>,
        (mut images, mut known): (Images, KnownTags),
        options: &Options,
        now: Timestamp,
    ) -> JoinHandle<Mapping> {
        let known_name = self.known_name();
        let pages = self.pages;
        let pods = self.pod_list.clone();
        let cluster_name = options.cluster_name.clone();
        let label_tags = options.label_tags.clone();
        let wanted = options.naming.wanted();
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
            let nodename = summary
                .as_ref()
                .map(|summary| summary.node.node_name.as_ref().to_owned())
                .or(known_name);
            let (mapped, parsed) = match &nodename {
                None => Default::default(),
                Some(nodename) => {
                    let place = Place {
                        cluster_name,
                        nodename: nodename.clone(),
                        hostname: nodename.clone(),
                    };
                    kubelet::map_known(
                        Payloads {
                            summary: summary.as_ref(),
                            cadvisor: metrics.as_deref(),
                            pods: pods.as_deref(),
                        },
                        kubelet::Options {
                            place: &place,
                            label_tags: &label_tags,
                            now,
                            pages,
                            wanted,
                        },
                        &mut images,
                        &mut known,
                    )
                }
            };
            Mapping {
                mapped,
                parsed,
                images,
                known,
                nodename,
                faults,
            }
        })
    }
}

fn known_tags(dressing: Option<&Arc<Naming>>) -> KnownTags {
    let dressing = dressing.map(Arc::clone);
    dressing.map(KnownTags::dressing).unwrap_or_default()
}
