//! What a query read: counted where it is read, for those who ask how an answer came to be.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that all threads of a query share; see [`Snapshot::with_tally`](super::Snapshot).
#[derive(Debug, Default)]
pub struct Tally {
    blocks_decoded: AtomicU64,
    blocks_skipped: AtomicU64,
    blocks_summarised: AtomicU64,
    bytes_decoded: AtomicU64,
    values_decoded: AtomicU64,
    head_values: AtomicU64,
}

/// A tally at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Blocks of segments that were decoded.
    pub blocks_decoded: u64,
    /// Blocks of the columns that were asked for that the index kept out: outside the range.
    pub blocks_skipped: u64,
    /// Blocks that their summaries stood for.
    pub blocks_summarised: u64,
    /// Encoded bytes of the blocks that were decoded, without their times.
    pub bytes_decoded: u64,
    /// Values of the blocks that were decoded, before anything was cut off.
    pub values_decoded: u64,
    /// Values that came out of heads.
    pub head_values: u64,
}

impl Tally {
    /// Counts a block that is decoded.
    pub(crate) fn decoded(&self, values: u64, bytes: u64) {
        self.blocks_decoded.fetch_add(1, Ordering::Relaxed);
        self.values_decoded.fetch_add(values, Ordering::Relaxed);
        self.bytes_decoded.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts blocks that are not looked at.
    pub(crate) fn skipped(&self, blocks: u64) {
        self.blocks_skipped.fetch_add(blocks, Ordering::Relaxed);
    }

    /// Counts blocks that their summaries stand for.
    pub(crate) fn summarised(&self, blocks: u64) {
        self.blocks_summarised.fetch_add(blocks, Ordering::Relaxed);
    }

    /// Counts values of a head.
    pub(crate) fn head(&self, values: u64) {
        self.head_values.fetch_add(values, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> ReadCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts {
            blocks_decoded: load(&self.blocks_decoded),
            blocks_skipped: load(&self.blocks_skipped),
            blocks_summarised: load(&self.blocks_summarised),
            bytes_decoded: load(&self.bytes_decoded),
            values_decoded: load(&self.values_decoded),
            head_values: load(&self.head_values),
        }
    }
}
