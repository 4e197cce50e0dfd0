//! Which metrics are stored: entries that keep and drop them by the names that they are stored under.
//!
//! An entry is a name with `*` for any text and `?` for any character, compared with the measurement
//! and with `MEASUREMENT:FIELD`, or a list by name (`@heapster-v0`). Stored is what an entry of the
//! first list fits, or all where that is empty, and no entry of the second. What targets say of
//! themselves (`scrape/…`) is only dropped where it is asked for.
//!
//! ```
//! use plimsoll_ingest::choice::Choice;
//! use plimsoll_ingest::names::Series;
//! use plimsoll_ingest::profile::Profile;
//!
//! let choice = Choice::parse(["@heapster-v0", "node_*"], ["network/*_errors*"]).unwrap();
//! let series = choice.chosen(Profile::Classic);
//! assert!(series.has(Series::NetworkRx) && !series.has(Series::NetworkRxErrors));
//! assert!(!series.has(Series::MemoryRss));
//! // Metrics of other endpoints, which are no series of containers.
//! assert!(choice.takes("node_load1", "value") && !choice.takes("go_threads", "value"));
//! assert!(Choice::parse(["@heapstr"], []).is_err());
//! ```

mod glob;
mod lists;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::names::Series;
use crate::profile::{Aliases, FILESYSTEM_USAGE_V0, Profile, is_wanted_for_what_is_computed};

/// Why a value is not stored, where that was chosen.
pub const NOT_CHOSEN: &str = "not chosen";
/// How long an entry may be.
pub const ENTRY_BYTES_MAX: usize = 256;
/// How many entries each list may have.
pub const ENTRIES_MAX: usize = 1000;

/// Some series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesSet(u128);

const _: () = assert!(Series::ALL.len() <= 128, "a bit for each series");

impl SeriesSet {
    /// All there are.
    pub const ALL: Self = Self(u128::MAX);
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether a series is one of them.
    #[must_use]
    pub fn has(self, series: Series) -> bool {
        self.0 >> (series as u32) & 1 == 1
    }

    /// These, and one more.
    #[must_use]
    pub fn with(self, series: Series) -> Self {
        Self(self.0 | 1 << (series as u32))
    }

    fn of(is_in: impl Fn(Series) -> bool) -> Self {
        let them = Series::ALL.iter().copied().filter(|series| is_in(*series));
        them.fold(Self::NONE, Self::with)
    }
}

/// See the module. Two are equal where they are written the same.
pub struct Choice {
    keep: Vec<Entry>,
    drop: Vec<Entry>,
    /// Of the series, those that are stored, by profile.
    chosen: [SeriesSet; Profile::ALL.len()],
    takes_alias: bool,
}

struct Entry {
    text: String,
    what: What,
    /// Whether it was ever found to fit a metric that is none of [`Series`].
    has_fitted: AtomicBool,
}

#[derive(PartialEq, Eq)]
enum What {
    Glob,
    /// In every profile the same, under its names.
    List(&'static [Series]),
}

impl Choice {
    /// Reads the entries of both lists.
    ///
    /// # Errors
    /// Which list has an entry that is none, and what is wrong with it: `metrics_keep: …`.
    pub fn parse<'a>(
        keep: impl IntoIterator<Item = &'a str>,
        drop: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let keep = entries(keep).map_err(|error| format!("{KEEP}: {error}"))?;
        let drop = entries(drop).map_err(|error| format!("{DROP}: {error}"))?;
        // Once, and not for each scrape.
        let is_stored = |series: Series, profile: Profile| {
            let fits = |entries: &[Entry]| entries.iter().any(|entry| entry.has(series, profile));
            (keep.is_empty() || is_of_targets(series) || fits(&keep)) && !fits(&drop)
        };
        let chosen = Profile::ALL.map(|profile| SeriesSet::of(|series| is_stored(series, profile)));
        let fits = |entries: &[Entry]| entries.iter().any(Entry::has_alias);
        Ok(Self {
            takes_alias: (keep.is_empty() || fits(&keep)) && !fits(&drop),
            chosen,
            keep,
            drop,
        })
    }

    /// Whether everything is stored.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.keep.is_empty() && self.drop.is_empty()
    }

    /// Whether a metric that is none of [`Series`] is stored, under these names.
    #[must_use]
    pub fn takes(&self, measurement: &str, field: &str) -> bool {
        // Both are looked at, so that what an entry fits is known.
        let fits = |entries: &[Entry]| {
            let fitting = entries
                .iter()
                .filter(|entry| entry.fits(measurement, field));
            let fitting = fitting.inspect(|entry| entry.has_fitted.store(true, Ordering::Relaxed));
            fitting.count() > 0
        };
        let (keep, drop) = (fits(&self.keep), fits(&self.drop));
        (keep || self.keep.is_empty()) && !drop
    }

    /// The series that are stored.
    #[must_use]
    pub fn chosen(&self, profile: Profile) -> SeriesSet {
        self.chosen[profile as usize]
    }

    /// The series that are taken from targets: those that are stored, and those that others are made
    /// of.
    #[must_use]
    pub fn wanted(&self, profile: Profile, aliases: Aliases) -> SeriesSet {
        let chosen = self.chosen(profile);
        match profile {
            Profile::Classic if self.takes_alias(aliases) => chosen.with(Series::FilesystemUsage),
            Profile::Classic => chosen,
            Profile::HeapsterV1 | Profile::HeapsterV1Fields => SeriesSet::of(|series| {
                chosen.has(series) || is_wanted_for_what_is_computed(series, chosen)
            }),
        }
    }

    /// Whether `filesystem/usage` is stored under its name of Heapster 0.19, too.
    #[must_use]
    pub(crate) fn takes_alias(&self, aliases: Aliases) -> bool {
        aliases == Aliases::HeapsterV0 && self.takes_alias
    }

    /// The entries that fit no series of the profile, and no metric that was read so far.
    #[must_use]
    pub fn idle(&self, profile: Profile, aliases: Aliases) -> Vec<String> {
        let lists = [(KEEP, &self.keep), (DROP, &self.drop)];
        let all = lists
            .into_iter()
            .flat_map(|(key, entries)| entries.iter().map(move |entry| (key, entry)));
        let has_fitted = |entry: &Entry| {
            entry.has_fitted.load(Ordering::Relaxed)
                || aliases == Aliases::HeapsterV0 && entry.has_alias()
                || Series::ALL.iter().any(|series| entry.has(*series, profile))
        };
        all.filter(|(_, entry)| !has_fitted(entry))
            .map(|(key, entry)| format!("{key}: `{}`", entry.text))
            .collect()
    }
}

/// An entry, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric(String);

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        entry(text).map(|entry| Self(entry.text))
    }
}

impl Metric {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const KEEP: &str = "metrics_keep";
const DROP: &str = "metrics_drop";

fn is_of_targets(series: Series) -> bool {
    matches!(
        series,
        Series::ScrapeUp | Series::ScrapeDuration | Series::ScrapeSamples | Series::ScrapeRejected
    )
}

fn entries<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Entry>, String> {
    let entries: Vec<Entry> = texts.into_iter().map(entry).collect::<Result<_, _>>()?;
    match entries.len() {
        0..=ENTRIES_MAX => Ok(entries),
        got => Err(format!(
            "{got} entries, and at most {ENTRIES_MAX} are taken"
        )),
    }
}

fn entry(text: &str) -> Result<Entry, String> {
    let text = text.trim();
    let what = match text.strip_prefix('@') {
        Some(name) => What::List(lists::find(name).ok_or_else(|| {
            format!(
                "`{text}` is no list of metrics; there are {}",
                lists::names()
            )
        })?),
        None => glob::check(text).map(|()| What::Glob)?,
    };
    Ok(Entry {
        text: text.to_owned(),
        what,
        has_fitted: AtomicBool::new(false),
    })
}

impl Entry {
    fn fits(&self, measurement: &str, field: &str) -> bool {
        let glob = self.text.as_str();
        self.what == What::Glob
            && (glob::fits(glob, measurement)
                || glob.contains([':', '*', '?'])
                    && glob::fits(glob, &format!("{measurement}:{field}")))
    }

    fn has(&self, series: Series, profile: Profile) -> bool {
        match &self.what {
            What::List(list) => list.contains(&series),
            What::Glob => {
                let (measurement, field) = profile.names(series);
                self.fits(measurement, field)
            }
        }
    }

    fn has_alias(&self) -> bool {
        match &self.what {
            What::List(list) => list.contains(&Series::FilesystemUsage),
            What::Glob => self.fits(FILESYSTEM_USAGE_V0, "value"),
        }
    }
}

impl Default for Choice {
    fn default() -> Self {
        Self::parse([], []).expect("no entry is no wrong one")
    }
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        let texts = |entries: &[Entry], others: &[Entry]| {
            let (a, b) = (entries.iter(), others.iter());
            a.map(|entry| &entry.text).eq(b.map(|entry| &entry.text))
        };
        texts(&self.keep, &other.keep) && texts(&self.drop, &other.drop)
    }
}

impl Eq for Choice {}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = |entries: &[Entry]| -> Vec<String> {
            entries.iter().map(|entry| entry.text.clone()).collect()
        };
        f.debug_struct("Choice")
            .field("keep", &texts(&self.keep))
            .field("drop", &texts(&self.drop))
            .finish()
    }
}
