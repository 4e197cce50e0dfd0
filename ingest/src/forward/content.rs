//! What one request holds, before it is packed for its way.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll_engine::Batch;

use super::Protocol;
use super::lines::Lines;
use super::samples;
use crate::remote::{self, TimeSeries, WriteRequest};

/// How many values one request holds at most.
const REQUEST_VALUES_MAX: usize = 10_000;
/// How many bytes of lines one request holds at most, unless a single line is longer.
const REQUEST_BYTES_MAX: usize = 2 << 20;

/// Points on their way out, in the form of a protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Line protocol.
    Lines(Lines),
    /// Series of a remote write.
    Series(Vec<TimeSeries>),
}

impl Content {
    /// The contents of requests that a batch makes, each of a size that stores take, and how many
    /// values the protocol has no place for (texts, in a remote write).
    ///
    /// `database` becomes the label `db` where the protocol has no databases.
    #[must_use]
    pub fn of(batch: &Batch, protocol: Protocol, database: &str) -> (Vec<Self>, usize) {
        match protocol {
            Protocol::Lines => {
                let lines = Lines::of(batch);
                let parts = lines.parts(REQUEST_BYTES_MAX, REQUEST_VALUES_MAX);
                (parts.into_iter().map(Self::Lines).collect(), 0)
            }
            Protocol::Series => {
                let (parts, left_out) = samples::series(batch, database, REQUEST_VALUES_MAX);
                (parts.into_iter().map(Self::Series).collect(), left_out)
            }
        }
    }

    /// How many points (lines) or samples it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.len(),
            Self::Series(series) => series.iter().map(|series| series.samples.len()).sum(),
        }
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Two halves of it; nothing where it cannot be less.
    #[must_use]
    pub fn halves(self) -> Option<(Self, Self)> {
        match self {
            Self::Lines(lines) => {
                let (first, second) = lines.halves()?;
                Some((Self::Lines(first), Self::Lines(second)))
            }
            Self::Series(mut series) => {
                if series.len() == 1 {
                    let samples = &mut series[0].samples;
                    let second =
                        (samples.len() > 1).then(|| samples.split_off(samples.len() / 2))?;
                    let second = TimeSeries {
                        labels: series[0].labels.clone(),
                        samples: second,
                    };
                    return Some((Self::Series(series), Self::Series(vec![second])));
                }
                let second = (series.len() > 1).then(|| series.split_off(series.len() / 2))?;
                Some((Self::Series(series), Self::Series(second)))
            }
        }
    }

    /// The body of a request: gzip of lines, snappy of series.
    ///
    /// # Errors
    /// What packing says; none is known for what [`Self::of`] makes.
    pub(super) fn packed(&self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Lines(lines) => {
                let mut out = GzEncoder::new(Vec::new(), Compression::fast());
                out.write_all(lines.text())?;
                out.finish()
            }
            Self::Series(series) => {
                let timeseries = series.clone();
                remote::pack(&WriteRequest { timeseries }).map_err(std::io::Error::other)
            }
        }
    }
}
