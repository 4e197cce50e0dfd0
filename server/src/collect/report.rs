//! What is wrong with targets, in the log: said when it comes and when it is gone, not each time.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;

/// The problems that each target has now.
#[derive(Debug, Default)]
pub(super) struct Report(Mutex<HashMap<String, BTreeSet<String>>>);

impl Report {
    /// Notes what was wrong with a scrape, and logs what is new.
    pub(super) fn say(&self, target: &str, problems: Vec<String>) {
        let now: BTreeSet<String> = problems.into_iter().collect();
        let before = self
            .0
            .lock()
            .insert(target.to_owned(), now.clone())
            .unwrap_or_default();
        for problem in now.difference(&before) {
            tracing::warn!(target_name = target, "{problem}");
        }
        if now.is_empty() && !before.is_empty() {
            tracing::info!(target_name = target, "collected without a problem again");
        }
    }
}
