//! When a request that failed is tried again. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// What a peer may ask for at most.
const ASKED_MAX: Duration = Duration::from_mins(5);

/// How long to wait after `failures` in a row, where the peer asked to be left alone for
/// `asked`.
pub(super) fn wait(failures: u32, asked: Option<Duration>) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let own = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    own.max(asked.unwrap_or_default().min(ASKED_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_a_peers_wish_counts() {
        let ms = Duration::from_millis;
        for (failures, asked, expected) in [
            (1, None, ms(100)),
            (2, None, ms(200)),
            (5, None, ms(1_600)),
            (u32::MAX, None, LONGEST),
            (1, Some(ms(7_000)), ms(7_000)),
            (20, Some(ms(7)), LONGEST),
            (1, Some(ms(100_000_000)), ASKED_MAX),
        ] {
            assert_eq!(wait(failures, asked), expected, "{failures} {asked:?}");
        }
    }
}
