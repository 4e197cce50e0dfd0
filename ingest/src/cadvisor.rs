//! `container_*` metrics, of cAdvisor itself and of the Kubelet's `/metrics/cadvisor`, to points.
//!
//! A row is one cgroup, known by the label `id`. Rows are gathered whole before a point is made,
//! because processors, interfaces and devices are summed, and because some values have no time of
//! their own and take their row's.

mod emit;
mod identity;
mod rows;

#[cfg(test)]
mod tests;

use plimsoll_engine::Timestamp;

use crate::choice::SeriesSet;
use crate::known::KnownTags;
use crate::names::{Mapped, Place};
use crate::prometheus;

pub use self::identity::Images;

/// Whose metrics they are, which decides what is taken from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A cAdvisor of its own: every leaf is a container or a service.
    Standalone,
    /// A Kubelet whose `/stats/summary` is not read: pods and their containers, and the node.
    Kubelet,
    /// A Kubelet whose `/stats/summary` gives network and file systems, so that they are not
    /// taken from here.
    KubeletBesideSummary,
}

/// How to map.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Whose metrics they are.
    pub source: Source,
    /// The machine they are of.
    pub place: &'a Place,
    /// Labels of containers, as they stand behind `container_label_`, that become tags of the
    /// same name. All others are dropped.
    pub label_tags: &'a [String],
    /// The time of values that have none.
    pub now: Timestamp,
    /// The series that are taken.
    pub wanted: SeriesSet,
}

/// Maps a payload; `images` learns the image of each container of a pod.
///
/// Also says how much of the text did not parse.
pub fn map(text: &str, options: Options<'_>, images: &mut Images) -> (Mapped, prometheus::Parsed) {
    let mut known = KnownTags::default();
    known.begin(options.place);
    map_known(text, options, images, &mut known)
}

/// As [`map`], with the tag sets that were made before; the scrape was begun with.
pub(crate) fn map_known(
    text: &str,
    options: Options<'_>,
    images: &mut Images,
    known: &mut KnownTags,
) -> (Mapped, prometheus::Parsed) {
    let mut mapped = Mapped::default();
    let (rows, parsed) = rows::gather(text, options, &mut mapped);
    emit::points(&rows, options, images, known, &mut mapped);
    (mapped, parsed)
}
