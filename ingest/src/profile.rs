//! Naming profiles, and the series that Heapster computed.
//!
//! Sources write under the names of profile `classic`. A [`Shaper`], one for each target, puts
//! labels and aliases on its rows and, in the profiles of Heapster's later versions, renames them
//! and computes rates and sums; [`ClusterSums`] adds up namespaces and the cluster over all
//! targets.

mod cluster;
mod rate;
mod shaper;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use self::cluster::{ClusterSums, NamespaceSums};
pub(crate) use self::shaper::is_wanted_for_what_is_computed;
pub(crate) use self::shaper::{FILESYSTEM_USAGE_V0, dressed};
pub use self::shaper::{NodeAmounts, Shaped, Shaper};
use crate::choice::{Choice, SeriesSet};
use crate::labels::LabelRules;
use crate::names::Series;

/// How series are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// `memory/usage_bytes_gauge`, field `value`: Heapster before 1.0.
    #[default]
    Classic,
    /// `memory/usage`, field `value`, with computed series: Heapster 1.x.
    HeapsterV1,
    /// Measurement `memory`, field `usage`: Heapster 1.x with `withfields=true`.
    HeapsterV1Fields,
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "classic" => Ok(Self::Classic),
            "heapster-v1" => Ok(Self::HeapsterV1),
            "heapster-v1-fields" => Ok(Self::HeapsterV1Fields),
            _ => Err(format!(
                "`{text}` is none of classic, heapster-v1 and heapster-v1-fields"
            )),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classic => "classic",
            Self::HeapsterV1 => "heapster-v1",
            Self::HeapsterV1Fields => "heapster-v1-fields",
        })
    }
}

impl Profile {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Classic, Self::HeapsterV1, Self::HeapsterV1Fields];

    /// The measurement and the field of a series.
    #[must_use]
    pub fn names(self, series: Series) -> (&'static str, &'static str) {
        match self {
            Self::Classic => (series.name(), VALUE),
            Self::HeapsterV1 => (series.bare_name(), VALUE),
            Self::HeapsterV1Fields => series
                .bare_name()
                .split_once('/')
                .unwrap_or((series.bare_name(), VALUE)),
        }
    }
}

/// The field of nearly everything.
const VALUE: &str = "value";

/// Whether names of Heapster 0.x are written, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aliases {
    /// No.
    #[default]
    None,
    /// Tag `pod_namespace` beside `namespace_name`, and measurement
    /// `filesystem/usage_bytes_gauge` beside `filesystem/usage`: what its dashboards of 0.19 ask
    /// for.
    HeapsterV0,
}

/// How rows are named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Naming {
    /// The names of series.
    pub profile: Profile,
    /// More names.
    pub aliases: Aliases,
    /// What becomes of labels.
    pub labels: LabelRules,
    /// Which of them are stored.
    pub choice: Arc<Choice>,
}

impl Naming {
    /// The series that are stored.
    #[must_use]
    pub fn chosen(&self) -> SeriesSet {
        self.choice.chosen(self.profile)
    }

    /// The series that are taken from targets, as they are stored or others are made of them.
    #[must_use]
    pub fn wanted(&self) -> SeriesSet {
        self.choice.wanted(self.profile, self.aliases)
    }

    /// The entries of the choice that have fitted nothing so far, each with its list.
    #[must_use]
    pub fn idle(&self) -> Vec<String> {
        self.choice.idle(self.profile, self.aliases)
    }
}
