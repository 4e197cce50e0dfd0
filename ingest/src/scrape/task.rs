//! The life of one target: when it is scraped next.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::missed::{Missed, Waits};
use super::pull::Puller;
use super::target::{NodeState, Readiness};
use super::{Options, Scraped};

/// How many times longer it is between scrapes of a node that is said not to be ready.
const NOT_READY_FACTOR: u32 = 6;

/// Scrapes `puller` from `phase` on until there is nobody to scrape for.
pub(super) async fn run(
    mut puller: Puller,
    phase: Duration,
    options: Arc<Options>,
    sink: mpsc::Sender<Scraped>,
    mut state: watch::Receiver<NodeState>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut due = Instant::now() + phase;
    let (mut failures, mut missed) = (0, Missed::default());
    let work = async {
        loop {
            sleep_until(due).await;
            let known = *state.borrow_and_update();
            puller.take_state(known);
            let mut scraped = puller.pull(due).await;
            scraped.missed = missed;
            failures = match scraped.is_up() {
                true => 0,
                false => failures + 1,
            };
            let (turn, answer) = (scraped.late, scraped.took);
            let read = Instant::now();
            scraped.room = puller.room(&scraped).await;
            if sink.send(scraped).await.is_err() {
                return;
            }
            let now = Instant::now();
            let (next, skipped) = next(due, now, failures, known.readiness, &options);
            due = next;
            if skipped > 0 {
                let write = now - read;
                let waits = Waits {
                    turn,
                    answer,
                    write,
                };
                missed.add(skipped, waits);
            }
        }
    };
    tokio::select! {
        () = work => {}
        // An error is a sender that is gone, which means the same.
        _ = shutdown.wait_for(|stop| *stop) => {}
    }
}

/// When to scrape next: whole intervals from `due`, more of them after several failures, and
/// none that has passed already; and how many of them had.
fn next(
    due: Instant,
    now: Instant,
    failures: u32,
    readiness: Readiness,
    options: &Options,
) -> (Instant, u64) {
    let interval = options.interval.max(Duration::from_millis(1));
    let interval = match readiness {
        Readiness::Ready => interval,
        Readiness::NotReady => interval.saturating_mul(NOT_READY_FACTOR),
    };
    // A single failure is tried again in time; each further one doubles the wait.
    let doublings = failures.saturating_sub(1).min(16);
    let wait = interval
        .saturating_mul(1 << doublings)
        .min(options.back_off_max.max(interval));
    let wanted = due + wait;
    if wanted >= now {
        return (wanted, 0);
    }
    let late = now - wanted;
    let missed = late.as_nanos().div_ceil(interval.as_nanos());
    let missed = u32::try_from(missed).unwrap_or(u32::MAX);
    (wanted + interval.saturating_mul(missed), missed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_target_is_tried_ever_more_seldom_and_a_late_one_keeps_its_phase() {
        let options = Options {
            interval: Duration::from_secs(10),
            back_off_max: Duration::from_secs(60),
            ..Options::default()
        };
        let due = Instant::now();
        assert_eq!(
            next(due, due, 0, Readiness::NotReady, &options),
            (due + Duration::from_secs(60), 0),
            "a node that is not ready is tried more seldom"
        );
        for (failures, took_ms, expected_ms, missed) in [
            (0, 100, 10_000, 0),
            (1, 100, 10_000, 0),
            (2, 100, 20_000, 0),
            (3, 100, 40_000, 0),
            (4, 100, 60_000, 0),
            (u32::MAX, 100, 60_000, 0),
            (0, 10_000, 10_000, 0),
            (0, 10_001, 20_000, 1),
            (0, 45_000, 50_000, 4),
        ] {
            let now = due + Duration::from_millis(took_ms);
            assert_eq!(
                next(due, now, failures, Readiness::Ready, &options),
                (due + Duration::from_millis(expected_ms), missed),
                "{failures} failures, {took_ms} ms"
            );
        }
    }
}
