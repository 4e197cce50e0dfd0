//! What is wrong with targets, in the log: said when it comes and when it is gone, not each time.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;

use crate::app::App;

/// The problems that each target has now, and how many scrapes were left out when it was last told.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Mutex<HashMap<String, BTreeSet<String>>>,
    told: Mutex<[u64; 3]>,
}

impl Report {
    /// Notes what was wrong with a scrape, and logs what is new.
    pub(super) fn say(&self, target: &str, problems: Vec<String>) {
        let now: BTreeSet<String> = problems.into_iter().collect();
        let before = self
            .problems
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

    /// Logs how many scrapes were left out since it was last told, why, and what the engine does.
    pub(super) fn say_missed(&self, app: &App, waiting: usize) {
        let figures = &app.figures;
        let now = [
            figures.scrapes_missed_turn.get(),
            figures.scrapes_missed_answer.get(),
            figures.scrapes_missed_write.get(),
        ];
        let before = std::mem::replace(&mut *self.told.lock(), now);
        if now == before {
            return;
        }
        let stats = app.engine.stats();
        tracing::warn!(
            waited_for_turn = now[0] - before[0],
            answer_took_too_long = now[1] - before[1],
            waited_to_be_written = now[2] - before[2],
            scrapes_waiting = waiting,
            flushing = stats.flushing,
            head_bytes = stats.head_bytes,
            log_bytes = stats.log_bytes,
            "scrapes were left out"
        );
    }
}
