//! A Kubelet's payloads to points, each metric from one of them, always the same.
//!
//! | from `/stats/summary` | from `/metrics/cadvisor` |
//! |---|---|
//! | network of node and pods | processor, memory, faults, pressure, disk, limits, uptime of node and containers |
//! | file systems of node, containers and volumes | images |
//! | system containers, pods' uptime and processes | |
//!
//! Where `/metrics/cadvisor` is all there is (before 1.16 in the data we know), it gives network
//! and file systems too: that is [`cadvisor::Source::Kubelet`]. Where less is read ([`Pages`]),
//! everything comes from what is.

pub mod pods;
mod resource;
pub mod summary;

#[cfg(test)]
mod tests;

use crate::cadvisor::{self, Images, Source};
use crate::choice::SeriesSet;
use crate::known::KnownTags;
use crate::names::{Mapped, Place};
use crate::prometheus;
use plimsoll_engine::Timestamp;
use serde::{Deserialize, Deserializer};

pub use self::pods::PodList;
pub use self::summary::Summary;

/// Which pages of a Kubelet are read; `/pods` is read beside each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pages {
    /// `/stats/summary` and `/metrics/cadvisor`.
    #[default]
    Full,
    /// `/stats/summary`: no throttling, disks or page cache, and whole seconds.
    Summary,
    /// `/metrics/resource`: processor, working set, swap and uptime of node and containers.
    Resource,
}

impl std::str::FromStr for Pages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "full" => Ok(Self::Full),
            "summary" => Ok(Self::Summary),
            "resource" => Ok(Self::Resource),
            _ => Err(format!("`{text}` is none of full, summary and resource")),
        }
    }
}

/// What one Kubelet answered; nothing where it did not.
#[derive(Debug, Clone, Copy)]
pub struct Payloads<'a> {
    /// `/stats/summary`.
    pub summary: Option<&'a Summary<'a>>,
    /// `/metrics/cadvisor`, or `/metrics/resource` with [`Pages::Resource`].
    pub cadvisor: Option<&'a str>,
    /// `/pods`: which pods share the node's network, and what containers ask for.
    pub pods: Option<&'a PodList>,
}

/// How to map a Kubelet's payloads.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The node.
    pub place: &'a Place,
    /// Labels of containers that become tags.
    pub label_tags: &'a [String],
    /// The time of values that have none.
    pub now: Timestamp,
    /// Which pages are read, whether or not they were there this time.
    pub pages: Pages,
    /// The series that are taken.
    pub wanted: SeriesSet,
}

/// Maps what a Kubelet answered, and says how much of `/metrics/cadvisor` did not parse.
///
/// `images` is kept by the caller from scrape to scrape.
pub fn map(
    payloads: Payloads<'_>,
    options: Options<'_>,
    images: &mut Images,
) -> (Mapped, prometheus::Parsed) {
    if options.pages != Pages::Full
        && let Some(pods) = payloads.pods
    {
        pods.tell(images);
    }
    map_known(payloads, options, images, &mut KnownTags::default())
}

/// As [`map`], with the tag sets that were made before; where `/metrics/cadvisor` is not read, the
/// list of pods has told `images` already.
pub(crate) fn map_known(
    payloads: Payloads<'_>,
    options: Options<'_>,
    images: &mut Images,
    known: &mut KnownTags,
) -> (Mapped, prometheus::Parsed) {
    known.begin(options.place);
    let (mut mapped, parsed) = match payloads.cadvisor {
        Some(text) if options.pages == Pages::Resource => {
            resource::map(text, payloads.pods, options, images, known)
        }
        Some(text) => {
            let options = cadvisor::Options {
                source: Source::KubeletBesideSummary,
                place: options.place,
                label_tags: options.label_tags,
                now: options.now,
                wanted: options.wanted,
            };
            cadvisor::map_known(text, options, images, known)
        }
        None => Default::default(),
    };
    if let Some(summary) = payloads.summary {
        summary::map(summary, payloads.pods, options, images, known, &mut mapped);
    }
    if let Some(pods) = payloads.pods {
        pods::map(pods, options, images, known, &mut mapped);
    }
    (mapped, parsed)
}

/// Go writes an empty list as `null` here and there.
fn null_is_none<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
