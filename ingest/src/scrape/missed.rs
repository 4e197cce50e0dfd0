//! Scrapes of a target that were left out, and what the one before had waited for.

use std::time::Duration;

/// Scrapes that were left out, by what took the one before past its interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// It waited for its turn among those that are asked at a time.
    pub turn: u64,
    /// The target took so long to answer, and its answer to be read.
    pub answer: u64,
    /// It waited until those before it were written.
    pub write: u64,
}

/// Where the time of one scrape went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) turn: Duration,
    pub(super) answer: Duration,
    pub(super) write: Duration,
}

impl Missed {
    /// All of them.
    #[must_use]
    pub fn sum(self) -> u64 {
        self.turn + self.answer + self.write
    }

    /// Those that came since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            turn: self.turn.saturating_sub(earlier.turn),
            answer: self.answer.saturating_sub(earlier.answer),
            write: self.write.saturating_sub(earlier.write),
        }
    }

    /// Adds scrapes that were left out behind one with these waits: its longest is why.
    pub(super) fn add(&mut self, count: u64, waits: Waits) {
        let Waits {
            turn,
            answer,
            write,
        } = waits;
        let why = if write >= turn && write >= answer {
            &mut self.write
        } else if turn >= answer {
            &mut self.turn
        } else {
            &mut self.answer
        };
        *why += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_counted_for_the_longest_wait() {
        let mut missed = Missed::default();
        for (count, turn, answer, write) in [(1, 9, 2, 3), (2, 1, 20, 3), (4, 1, 2, 14)] {
            let waits = Waits {
                turn: Duration::from_secs(turn),
                answer: Duration::from_secs(answer),
                write: Duration::from_secs(write),
            };
            missed.add(count, waits);
        }
        let expected = Missed {
            turn: 1,
            answer: 2,
            write: 4,
        };
        assert_eq!((missed, missed.sum()), (expected, 7));
        let earlier = Missed {
            turn: 1,
            ..Missed::default()
        };
        assert_eq!(missed.since(earlier).sum(), 6);
    }
}
