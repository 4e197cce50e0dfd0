//! What each target gave when it was read last: for the page `/targets`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_engine::Timestamp;
use plimsoll_ingest::scrape::{Missed, Scraped};

/// A target that is not heard of for so long is gone: longer than any wait between scrapes.
const AGE_NS_MAX: i64 = 15 * 60 * 1_000_000_000;
/// How often those that are gone are looked for.
const LOOK_NS: i64 = 60 * 1_000_000_000;

/// All targets, by name.
#[derive(Debug, Default)]
pub(crate) struct Targets(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    targets: BTreeMap<String, Arc<Seen>>,
    looked: i64,
}

/// The last scrape of a target.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    /// When it was written.
    pub(crate) time: Timestamp,
    pub(crate) is_up: bool,
    /// How long it took, without its writing.
    pub(crate) took: Duration,
    /// How much later than it was due it began.
    pub(crate) late: Duration,
    /// Scrapes that were left out since the start, because the one before took too long.
    pub(crate) missed: Missed,
    pub(crate) points: usize,
    /// Values of the payloads that went into the points.
    pub(crate) kept: usize,
    /// Values that did not, by reason.
    pub(crate) dropped: BTreeMap<&'static str, usize>,
    /// Points by measurement.
    pub(crate) series: BTreeMap<Arc<str>, usize>,
    /// What is wrong.
    pub(crate) problems: Vec<String>,
}

impl Seen {
    /// What a scrape is, before its points are written.
    pub(super) fn of(scraped: &Scraped) -> Self {
        let batch = &scraped.batch;
        let mut counts = vec![0; batch.names().len()];
        for point in batch.points() {
            counts[point.measurement as usize] += 1;
        }
        let series = batch.names().iter().cloned().zip(counts);
        Self {
            time: Timestamp::default(),
            is_up: scraped.is_up(),
            took: scraped.took,
            late: scraped.late,
            missed: scraped.missed,
            points: batch.len(),
            kept: scraped.kept,
            dropped: scraped.dropped.clone(),
            series: series.filter(|(_, count)| *count > 0).collect(),
            problems: Vec::new(),
        }
    }
}

impl Targets {
    /// Takes the last scrape of a target; answers what was left out since the one before.
    pub(super) fn note(&self, target: &str, mut seen: Seen) -> Missed {
        let mut known = self.0.lock();
        let mut missed = seen.missed;
        // Thousands of targets have the same names: one text each is enough.
        if let Some(before) = known.targets.get(target) {
            missed = missed.since(before.missed);
            let series = seen.series.into_iter().map(|(name, count)| {
                let known = before.series.get_key_value(&name);
                (known.map_or(name, |(known, _)| Arc::clone(known)), count)
            });
            seen.series = series.collect();
        }
        let now = seen.time.0;
        known.targets.insert(target.to_owned(), Arc::new(seen));
        if now.saturating_sub(known.looked) >= LOOK_NS {
            known.looked = now;
            let is_there = |seen: &Seen| now.saturating_sub(seen.time.0) < AGE_NS_MAX;
            known.targets.retain(|_, seen| is_there(seen));
        }
        missed
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<(String, Arc<Seen>)> {
        let known = self.0.lock();
        let targets = known.targets.iter();
        targets
            .map(|(name, seen)| (name.clone(), Arc::clone(seen)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_scrape_is_shown_until_its_target_is_long_gone() {
        let targets = Targets::default();
        let seen = |seconds: i64, points| Seen {
            time: Timestamp(seconds * 1_000_000_000),
            points,
            series: BTreeMap::from([("cpu".into(), points)]),
            ..Seen::default()
        };
        targets.note("a", seen(0, 1));
        targets.note("b", seen(10, 2));
        targets.note("b", seen(20, 3));
        let shown = |targets: &Targets| -> Vec<(String, usize)> {
            let all = targets.all().into_iter();
            all.map(|(name, seen)| (name, seen.points)).collect()
        };
        assert_eq!(shown(&targets), [("a".to_owned(), 1), ("b".to_owned(), 3)]);
        targets.note("b", seen(15 * 60, 4));
        assert_eq!(shown(&targets), [("b".to_owned(), 4)]);
    }
}
