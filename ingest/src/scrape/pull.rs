//! One scrape of one target: ask, parse, map, name.

mod kubelet;

use std::sync::Arc;

use plimsoll_engine::model::Batch;
use plimsoll_engine::{TagSet, Timestamp};
use reqwest::Url;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::Instant;

use self::kubelet::Kubelet;
use super::client::{Client, Page};
use super::target::{CadvisorPage, NodeState, shown};
use super::{Error, Options, Place as Room, Scraped, Shared, Target, target};
use crate::cadvisor::{self, Images, Source};
use crate::cgroup::{Collector, Paths};
use crate::choice::{Choice, NOT_CHOSEN};
use crate::generic::{self, Rules};
use crate::names::{Mapped, Place, Series, Writer, stored};
use crate::profile::{Profile, Shaper};
use crate::prometheus;
use crate::rest;

/// Scrapes one target, again and again.
pub(super) struct Puller {
    shown: String,
    kind: Kind,
    shared: Arc<Shared>,
    tags: TagSet,
    /// Away while it works.
    shaper: Option<Shaper>,
    state: NodeState,
}

enum Kind {
    Cadvisor(Box<Cadvisor>),
    Kubelet(Box<Kubelet>),
    Cgroups(Box<Cgroups>),
    Generic(Box<Generic>),
}

impl Kind {
    fn client(&self) -> Option<&Client> {
        match self {
            Self::Cadvisor(cadvisor) => Some(&cadvisor.client),
            Self::Kubelet(kubelet) => Some(kubelet.client()),
            Self::Generic(generic) => Some(&generic.client),
            Self::Cgroups(_) => None,
        }
    }
}

struct Generic {
    client: Client,
    url: Url,
    rules: Arc<Rules>,
    /// Tags of every row.
    tags: Vec<(String, String)>,
}

struct Cgroups {
    paths: Paths,
    /// Away while it works.
    collector: Option<Collector>,
}

struct Cadvisor {
    client: Client,
    url: Url,
    page: CadvisorPage,
    place: Place,
}

impl Puller {
    pub(super) fn new(target: &Target, shared: Arc<Shared>) -> Result<Self, Error> {
        let options = &shared.options;
        let (shown, kind) = match target {
            Target::Cgroups { paths } => (
                "cgroups".to_owned(),
                Kind::Cgroups(Box::new(Cgroups {
                    paths: paths.clone(),
                    collector: None,
                })),
            ),
            Target::Kubelet {
                url,
                pages,
                node_name,
                ..
            } => {
                let base = target::kubelet(url)?;
                let client = Client::new(target, &base, options, &shared.clients)?;
                let dressing =
                    (shared.naming.profile == Profile::Classic).then(|| Arc::clone(&shared.naming));
                let kubelet = Kubelet::new(client, &base, *pages, node_name.clone(), dressing);
                (shown(&base), Kind::Kubelet(Box::new(kubelet)))
            }
            Target::Prometheus { url, rules } => {
                let url = target::prometheus(url)?;
                let client = Client::new(target, &url, options, &shared.clients)?;
                let instance = match (url.host_str().unwrap_or_default(), url.port()) {
                    (host, Some(port)) => format!("{host}:{port}"),
                    (host, None) => host.to_owned(),
                };
                let tags = [
                    ("cluster_name", options.cluster_name.clone()),
                    ("instance", instance),
                ];
                let generic = Generic {
                    client,
                    url,
                    rules: Arc::new(rules.clone()),
                    tags: tags.map(|(key, value)| (key.to_owned(), value)).to_vec(),
                };
                (shown(&generic.url), Kind::Generic(Box::new(generic)))
            }
            Target::Cadvisor { url } => {
                let (url, page) = target::cadvisor(url)?;
                let host = url.host_str().unwrap_or_default().to_owned();
                let place = Place {
                    cluster_name: options.cluster_name.clone(),
                    nodename: host.clone(),
                    hostname: host,
                };
                let client = Client::new(target, &url, options, &shared.clients)?;
                let cadvisor = Cadvisor {
                    client,
                    url,
                    page,
                    place,
                };
                (shown(&cadvisor.url), Kind::Cadvisor(Box::new(cadvisor)))
            }
        };
        let tags = TagSet::from_pairs([
            ("cluster_name", options.cluster_name.as_str()),
            ("target", shown.as_str()),
        ])
        .expect("two keys that differ");
        let shaper = Shaper::new(Arc::clone(&shared.naming));
        Ok(Self {
            shown,
            kind,
            tags,
            shaper: Some(shaper),
            state: NodeState::default(),
            shared,
        })
    }

    /// What is shown of the target.
    pub(super) fn name(&self) -> &str {
        &self.shown
    }

    /// Waits for the room that a scrape takes until it is written.
    pub(super) async fn room(&self, scraped: &Scraped) -> Option<Room> {
        self.shared.unwritten.place(&scraped.batch).await
    }

    /// Takes what is known of the node now.
    pub(super) fn take_state(&mut self, state: NodeState) {
        self.state = state;
    }

    /// Scrapes once, as was due at `due`; what goes wrong is in the answer.
    pub(super) async fn pull(&mut self, due: Instant) -> Scraped {
        let shared = Arc::clone(&self.shared);
        // How many targets are asked at a time; the semaphore is never closed.
        let _flight = shared.flights.acquire().await.ok();
        let started = Instant::now();
        let now = shared.clock.now();
        let mut scraped = Scraped {
            target: self.shown.clone(),
            late: started.saturating_duration_since(due),
            ..Scraped::default()
        };
        let options = &*shared.options;
        let mut rejected = match &mut self.kind {
            Kind::Cadvisor(cadvisor) => pull_cadvisor(cadvisor, options, now, &mut scraped).await,
            Kind::Kubelet(kubelet) => kubelet.pull(options, now, &mut scraped).await,
            Kind::Generic(generic) => {
                let choice = &options.naming.choice;
                pull_generic(generic, choice, now, &mut scraped).await
            }
            Kind::Cgroups(cgroups) => {
                pull_cgroups(cgroups, options, now, &mut scraped).await;
                0
            }
        };
        scraped.body_bytes = self.kind.client().map_or(0, Client::take_body_bytes);
        rejected += scraped.limit(options);
        scraped.warnings.extend(skew(&scraped.batch, now));
        let samples = scraped.batch.len();
        let wanted = shared.naming.wanted();
        let mut writer = Writer::choosing(std::mem::take(&mut scraped.batch), wanted);
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
        self.shape(writer.finish(), now, &mut scraped).await;
        scraped.took = started.elapsed();
        scraped
    }

    /// Names the points, and hands on what the node's pods sum up to.
    async fn shape(&mut self, batch: Batch, now: Timestamp, scraped: &mut Scraped) {
        let naming = &self.shared.naming;
        let mut shaper = self
            .shaper
            .take()
            .unwrap_or_else(|| Shaper::new(Arc::clone(naming)));
        if shaper.is_plain() {
            // In this profile a Kubelet's rows have their labels already.
            self.shaper = Some(shaper);
            scraped.batch = batch;
            return;
        }
        let new_pods = match &mut self.kind {
            Kind::Kubelet(kubelet) if naming.profile != Profile::Classic => kubelet.new_pods(),
            _ => None,
        };
        shaper.take_node(self.state.capacity, self.state.allocatable);
        let shaping = spawn_blocking(move || {
            if let Some(pods) = new_pods {
                shaper.take_pods(&pods);
            }
            let shaped = shaper.shape(batch, now);
            (shaper, shaped)
        });
        match shaping.await {
            Ok((shaper, shaped)) => {
                self.shaper = Some(shaper);
                scraped.batch = shaped.batch;
                scraped.leave_out(shaped.not_chosen);
                // A node that has no pods any more says so; one that did not answer says nothing.
                let is_known = scraped.is_up() && matches!(self.kind, Kind::Kubelet(_));
                if is_known || !shaped.namespaces.is_empty() {
                    self.shared.put_sums(&self.shown, now, shaped.namespaces);
                }
            }
            Err(panic) => scraped.internal(&panic),
        }
    }
}

/// A target's newest value may be so far from this machine's time before that is told.
const SKEW_NS_MAX: i64 = 5 * 60 * 1_000_000_000;

/// Where a target's clock, or this machine's, is wrong: its rows keep its times all the same.
fn skew(batch: &Batch, now: Timestamp) -> Option<String> {
    let newest = batch.points().map(|point| point.time.0).max()?;
    let off_ns = newest.saturating_sub(now.0);
    let side = match off_ns {
        SKEW_NS_MAX.. => "ahead of",
        ..=0 if off_ns <= -SKEW_NS_MAX => "behind",
        _ => return None,
    };
    Some(format!(
        "its newest value is over {} min {side} this machine's clock: look at both clocks",
        SKEW_NS_MAX / 60_000_000_000
    ))
}

/// A label of a container may be of any length; a tag set this long is one that nobody wants.
const TAGS_BYTES_MAX: usize = 16 << 10;

impl Scraped {
    /// Drops what is beyond the limits, and says how much that is.
    fn limit(&mut self, options: &Options) -> usize {
        let got = self.batch.len();
        if got > options.scrape_series_max {
            self.batch = Batch::default();
            self.errors.push(Error::TooManySeries {
                url: self.target.clone(),
                got,
                limit: options.scrape_series_max,
            });
            return got;
        }
        let tag_sets = self.batch.tag_sets().iter();
        let too_long: Vec<bool> = tag_sets
            .map(|tags| tags.as_str().len() > TAGS_BYTES_MAX)
            .collect();
        if !too_long.contains(&true) {
            return 0;
        }
        let mut kept = Batch::default();
        let batch = std::mem::take(&mut self.batch);
        let names: Vec<u32> = batch.names().iter().map(|name| kept.name(name)).collect();
        for point in batch.points() {
            if !too_long[point.tag_set as usize] {
                let tag_set = kept.tag_set(&batch.tag_sets()[point.tag_set as usize]);
                let fields = point.fields.iter();
                let fields = fields.map(|(name, value)| (names[*name as usize], value.clone()));
                kept.push(
                    names[point.measurement as usize],
                    tag_set,
                    point.time,
                    fields,
                );
            }
        }
        let dropped = got - kept.len();
        *self.dropped.entry("tags too long").or_default() += dropped;
        self.batch = kept;
        dropped
    }
}

async fn pull_generic(
    generic: &Generic,
    choice: &Arc<Choice>,
    now: Timestamp,
    scraped: &mut Scraped,
) -> usize {
    let body = match generic.client.get(&generic.url, Page::Generic).await {
        Ok(body) => body,
        Err(error) => {
            scraped.errors.push(error);
            return 0;
        }
    };
    let (rules, tags) = (Arc::clone(&generic.rules), generic.tags.clone());
    let choice = Arc::clone(choice);
    let mapping = spawn_blocking(move || {
        let text = String::from_utf8(body).map_err(|error| error.to_string())?;
        Ok::<_, String>(generic::map(&text, &rules, &choice, &tags, now))
    });
    scraped.take_mapping(&generic.url, mapping.await)
}

async fn pull_cadvisor(
    cadvisor: &Cadvisor,
    options: &Options,
    now: Timestamp,
    scraped: &mut Scraped,
) -> usize {
    let Cadvisor {
        client,
        url,
        page,
        place,
    } = cadvisor;
    let page = *page;
    let kind = match page {
        CadvisorPage::Metrics => Page::Metrics,
        CadvisorPage::RestV1 | CadvisorPage::RestV2 => Page::Rest,
    };
    let body = match client.get(url, kind).await {
        Ok(body) => body,
        Err(error) => {
            scraped.errors.push(error);
            return 0;
        }
    };
    let (place, label_tags) = (place.clone(), options.label_tags.clone());
    let wanted = options.naming.wanted();
    let mapping = spawn_blocking(move || {
        let options = cadvisor::Options {
            source: Source::Standalone,
            place: &place,
            label_tags: &label_tags,
            now,
            wanted,
        };
        let wrong = |error: serde_json::Error| error.to_string();
        match page {
            CadvisorPage::Metrics => {
                let text = String::from_utf8(body).map_err(|error| error.to_string())?;
                Ok::<_, String>(cadvisor::map(&text, options, &mut Images::default()))
            }
            CadvisorPage::RestV1 => rest::map_v1(&body, options).map_err(wrong),
            CadvisorPage::RestV2 => rest::map_v2(&body, options).map_err(wrong),
        }
    });
    scraped.take_mapping(url, mapping.await)
}

async fn pull_cgroups(
    cgroups: &mut Cgroups,
    options: &Options,
    now: Timestamp,
    scraped: &mut Scraped,
) {
    let Cgroups { paths, collector } = cgroups;
    let mut working = collector.take().unwrap_or_else(|| {
        Collector::new(
            paths.clone(),
            &options.hostname,
            &options.cluster_name,
            &options.label_tags,
        )
        .choosing(options.naming.wanted())
    });
    let collecting = spawn_blocking(move || {
        let collected = working.collect(now);
        (working, collected)
    });
    match collecting.await {
        Ok((working, collected)) => {
            *collector = Some(working);
            scraped.batch = collected.batch;
            scraped.warnings = collected.warnings;
            if collected.not_chosen > 0 {
                scraped.dropped.insert(NOT_CHOSEN, collected.not_chosen);
            }
        }
        Err(panic) => scraped.internal(&panic),
    }
}

impl Scraped {
    /// Takes what became of a page, and answers how much of it did not parse.
    fn take_mapping(
        &mut self,
        url: &Url,
        mapping: Result<Result<(Mapped, prometheus::Parsed), String>, JoinError>,
    ) -> usize {
        match mapping {
            Ok(Ok((mapped, parsed))) => {
                self.take(url, mapped, &parsed);
                parsed.rejected
            }
            Ok(Err(why)) => {
                let url = shown(url);
                self.errors.push(Error::Payload { url, why });
                0
            }
            Err(panic) => {
                self.internal(&panic);
                0
            }
        }
    }

    /// Takes what was mapped, and says where a page holds nothing that it should.
    fn take(&mut self, url: &Url, mapped: Mapped, parsed: &prometheus::Parsed) {
        if let Some(error) = &parsed.error {
            self.warnings.push(format!(
                "{}: {} lines do not parse, the first: {error}",
                shown(url),
                parsed.rejected
            ));
        }
        let not_chosen = mapped.dropped.get(NOT_CHOSEN).copied().unwrap_or(0);
        if mapped.batch.is_empty() && not_chosen > 0 {
            self.warnings.push(format!(
                "{}: none of its {not_chosen} values is chosen by metrics_keep and metrics_drop",
                shown(url)
            ));
        } else if mapped.kept == 0 {
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
        self.kept = mapped.kept;
        self.dropped = mapped.dropped;
    }

    /// Counts values that went into points which are not stored.
    fn leave_out(&mut self, values: usize) {
        let values = values.min(self.kept);
        if values > 0 {
            self.kept -= values;
            *self.dropped.entry(NOT_CHOSEN).or_default() += values;
        }
    }

    fn internal(&mut self, panic: &JoinError) {
        self.errors.push(Error::Internal {
            target: self.target.clone(),
            why: panic.to_string(),
        });
    }
}
