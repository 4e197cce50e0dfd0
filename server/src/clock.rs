//! The wall clock: the one place that asks the machine what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plimsoll_engine::{Clock, Timestamp};

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A clock that stands before 1970 or past 2262 shows that bound.
    #[expect(
        clippy::disallowed_methods,
        reason = "the server is where the wall clock is read; all else is given it"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn wait(&self, duration: Duration) {
        std::thread::park_timeout(duration);
    }
}
