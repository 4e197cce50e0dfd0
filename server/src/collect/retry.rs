//! A scrape that finds no room in the head is tried again, for a while.

use std::time::Duration;

use plimsoll_engine::{Error, Written};
use tokio::time::Instant;

use crate::figures::Count;
use crate::workers::Refused;

/// How long a scrape waits while the head has no room, and how often it is tried.
const BUSY_MAX: Duration = Duration::from_secs(60);
pub(super) const BUSY_EVERY: Duration = Duration::from_millis(100);

/// Time that goes by.
pub(super) trait Waits {
    /// How long it is since it was made.
    fn elapsed(&self) -> Duration;
    /// Lets it go by.
    async fn wait(&self, time: Duration);
}

/// The runtime's own.
pub(super) struct Tokio(Instant);

impl Tokio {
    pub(super) fn now() -> Self {
        Self(Instant::now())
    }
}

impl Waits for Tokio {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// What came of writing once.
pub(super) type Attempt = Result<Result<Written, Error>, Refused>;

/// Tries `write` until it finds room, or until it took too long, or the server stops.
///
/// # Errors
/// Why it is not stored.
pub(super) async fn store<F: Future<Output = Attempt>>(
    mut write: impl FnMut() -> F,
    time: &impl Waits,
    is_stopping: impl Fn() -> bool,
    slowed: &Count,
) -> Result<Written, String> {
    loop {
        match write().await {
            Ok(Ok(written)) => return Ok(written),
            Ok(Err(Error::Busy { .. })) if !is_stopping() && time.elapsed() < BUSY_MAX => {
                slowed.add(1);
                time.wait(BUSY_EVERY).await;
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(refused) => return Err(refused.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;

    use super::*;

    /// Time that goes by only where it is waited for.
    #[derive(Default)]
    struct Given(Cell<Duration>);

    impl Waits for Given {
        fn elapsed(&self) -> Duration {
            self.0.get()
        }

        async fn wait(&self, time: Duration) {
            self.0.set(self.0.get() + time);
        }
    }

    fn busy() -> Attempt {
        Ok(Err(Error::Busy { budget_bytes: 7 }))
    }

    fn written() -> Attempt {
        Ok(Ok(Written {
            points_stored: 3,
            ..Written::default()
        }))
    }

    /// What comes of it, how often it was tried, how long it took, and how many waits were counted.
    fn outcome(
        attempt: impl Fn(usize) -> Attempt,
        stops_at: usize,
    ) -> (Result<usize, String>, usize, Duration, u64) {
        let (time, tries, slowed) = (Given::default(), Cell::new(0), Count::default());
        let write = || {
            tries.set(tries.get() + 1);
            std::future::ready(attempt(tries.get()))
        };
        let stored = store(write, &time, || tries.get() >= stops_at, &slowed);
        let stored = stored.now_or_never().expect("nothing of it really waits");
        let stored = stored.map(|written| written.points_stored);
        (stored, tries.get(), time.elapsed(), slowed.get())
    }

    #[test]
    fn a_scrape_is_tried_again_until_the_head_has_room() {
        let attempt = |at| if at < 4 { busy() } else { written() };
        let expected = (Ok(3), 4, 3 * BUSY_EVERY, 3);
        assert_eq!(outcome(attempt, usize::MAX), expected);
        assert_eq!(
            outcome(|_| written(), usize::MAX),
            (Ok(3), 1, Duration::ZERO, 0)
        );
    }

    #[test]
    fn a_head_that_stays_full_is_given_up_after_a_minute_and_says_what_it_may_hold() {
        let (stored, tries, took, slowed) = outcome(|_| busy(), usize::MAX);
        let error = stored.unwrap_err();
        assert_eq!(error, Error::Busy { budget_bytes: 7 }.to_string());
        assert!(error.contains('7'), "{error}");
        assert_eq!((tries, took, slowed), (601, BUSY_MAX, 600));
        // Room that comes at the last moment is taken.
        let attempt = |at| if at < 601 { busy() } else { written() };
        assert_eq!(outcome(attempt, usize::MAX).0, Ok(3));
    }

    #[test]
    fn a_server_that_stops_and_any_other_error_wait_for_nothing() {
        let (stored, tries, took, _) = outcome(|_| busy(), 3);
        assert!(stored.is_err());
        assert_eq!((tries, took), (3, 2 * BUSY_EVERY));
        let other = || Error::Invalid("a reason".to_owned());
        let (stored, tries, _, _) = outcome(|_| Ok(Err(other())), usize::MAX);
        assert_eq!((stored, tries), (Err(other().to_string()), 1));
        let full = |_| Err(Refused::Full("no place".to_owned()));
        let (stored, tries, _, _) = outcome(full, usize::MAX);
        assert_eq!((stored, tries), (Err("no place".to_owned()), 1));
    }
}
