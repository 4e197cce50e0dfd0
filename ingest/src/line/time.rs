//! The time at the end of a line.

use plimsoll_engine::Timestamp;
use plimsoll_engine::model::{TIME_MAX, TIME_MIN};

use super::lines::skip_space;
use super::{Precision, Reason};

/// Reads times; lines of one scrape repeat theirs, so the last is kept.
pub(super) struct Times {
    unit_ns: i64,
    now: Timestamp,
    last: (Vec<u8>, Timestamp),
}

impl Times {
    pub(super) fn new(precision: Precision, now: Timestamp) -> Self {
        let unit_ns = precision.unit_ns();
        Self {
            unit_ns,
            now: now.window_start(unit_ns),
            last: (Vec::new(), Timestamp(0)),
        }
    }

    /// Reads the time that stands at `at`, if one does.
    pub(super) fn read(&mut self, line: &[u8], at: usize) -> Result<Timestamp, Reason> {
        let start = skip_space(line, at);
        let rest = &line[start..];
        if !rest.is_empty() && rest == self.last.0 {
            return Ok(self.last.1);
        }
        let len = rest.iter().position(|byte| *byte == b' ');
        let (digits, behind) = rest.split_at(len.unwrap_or(rest.len()));
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        if !unsigned.iter().all(u8::is_ascii_digit) {
            return Err(Reason::BadTimestamp);
        }
        if digits.is_empty() {
            return Ok(self.now);
        }
        let time = self.parse(digits)?;
        if behind.iter().any(|byte| *byte != b' ') {
            return Err(Reason::PointInvalid);
        }
        self.keep(digits, time);
        Ok(time)
    }

    fn keep(&mut self, digits: &[u8], time: Timestamp) {
        self.last.0.clear();
        self.last.0.extend_from_slice(digits);
        self.last.1 = time;
    }

    /// The time of a line without one.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The time whose digits `rest` starts with, and how many they are, where there is nothing
    /// unusual about it. What stands behind them is the caller's to look at.
    pub(super) fn quick(&mut self, rest: &[u8]) -> Option<(Timestamp, usize)> {
        let (last, time) = &self.last;
        if !last.is_empty()
            && let Some(behind) = rest.strip_prefix(last.as_slice())
            && !behind.first().is_some_and(u8::is_ascii_digit)
        {
            return Some((*time, last.len()));
        }
        let len = rest.iter().position(|byte| !byte.is_ascii_digit());
        let digits = &rest[..len.unwrap_or(rest.len())];
        if digits.is_empty() {
            return None;
        }
        let time = self.parse(digits).ok()?;
        self.keep(digits, time);
        Some((time, digits.len()))
    }

    fn parse(&self, digits: &[u8]) -> Result<Timestamp, Reason> {
        let text = || String::from_utf8_lossy(digits).into_owned();
        let number: i64 = lexical_core::parse(digits).map_err(|error| match error {
            lexical_core::Error::Overflow(_) | lexical_core::Error::Underflow(_) => {
                Reason::TimestampOverflow { digits: text() }
            }
            _ => Reason::TimestampSyntax { digits: text() },
        })?;
        number
            .checked_mul(self.unit_ns)
            .map(Timestamp)
            .filter(|time| (TIME_MIN..=TIME_MAX).contains(time))
            .ok_or(Reason::TimeOutsideRange)
    }
}
