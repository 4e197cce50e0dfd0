//! Decides which run of a partition's segments is merged next.

use std::ops::Range;

use crate::catalog::HOUR_NS;
use crate::model::Timestamp;

/// A partition with more segments than this has merging done before anything else.
pub(crate) const SEGMENTS_MAX: usize = 12;
/// How many segments a merge takes at least while its partition is written to. With four, a value
/// is written again once each time the partition grows fourfold.
const HOT_RUN_SEGMENTS_MIN: usize = 4;
/// In a hot partition the largest of a run may be this many times as large as the rest together.
const HOT_SHARE_MAX: u64 = 1;
/// In a cold one more: few writes come, and one segment is the aim.
const COLD_SHARE_MAX: u64 = 16;
/// No merge by itself reads more than this, bytes; it would hold up those of other partitions.
const RUN_BYTES_MAX: u64 = 8 << 30;
/// A segment of a hot partition is rewritten alone where this many tombstones mask it: reads look
/// through all of them.
const HOT_MASKS_MIN: usize = 32;
/// How long after its end a partition is cold, ns.
const COLD_AFTER_NS: i64 = HOUR_NS;

/// What the plan knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The lowest rank in it.
    pub(crate) rank_low: u64,
    /// The highest.
    pub(crate) rank_high: u64,
    /// The file's length.
    pub(crate) bytes: u64,
    /// How many tombstones mask it.
    pub(crate) masks: usize,
    /// Whether its values lie in cold pages.
    pub(crate) is_cold: bool,
}

impl Candidate {
    /// Whether it is worth a rewrite of its own.
    fn wants_rewrite(&self, temperature: Temperature) -> bool {
        match temperature {
            Temperature::Hot => self.masks >= HOT_MASKS_MIN,
            Temperature::Cold => self.masks > 0 || !self.is_cold,
        }
    }
}

/// Whether much is still written to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temperature {
    /// It is written to.
    Hot,
    /// It ended over an hour ago.
    Cold,
}

impl Temperature {
    /// Of a partition that ends at `end`, ns.
    pub(crate) fn of(end: i64, now: Timestamp) -> Self {
        if end.saturating_add(COLD_AFTER_NS) <= now.0 {
            Self::Cold
        } else {
            Self::Hot
        }
    }
}

/// Segments to merge into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Their places among the partition's segments.
    pub(crate) places: Range<usize>,
    /// Their length together.
    pub(crate) bytes: u64,
    /// Whether the partition has more than [`SEGMENTS_MAX`].
    pub(crate) is_urgent: bool,
}

/// The run of a partition's segments that is to be merged next, if any.
///
/// `segments` are in ascending order of rank; a run is contiguous, so that it keeps its place.
/// Small segments come first: a run whose largest segment outweighs the rest waits, unless there
/// are too many segments.
pub(crate) fn plan(segments: &[Candidate], temperature: Temperature) -> Option<Run> {
    assert!(
        segments
            .windows(2)
            .all(|two| two[0].rank_high < two[1].rank_low),
        "segments of a partition are kept in order of rank"
    );
    let runs = || runs(segments).filter(|run| run.bytes <= RUN_BYTES_MAX);
    let balanced = |run: &Run, share_max: u64| {
        let largest = largest(segments, run);
        largest <= (run.bytes - largest).saturating_mul(share_max)
    };
    let found = match temperature {
        Temperature::Hot => runs()
            .filter(|run| run.places.len() >= HOT_RUN_SEGMENTS_MIN)
            .filter(|run| balanced(run, HOT_SHARE_MAX))
            .min_by_key(|run| (largest(segments, run), usize::MAX - run.places.len())),
        Temperature::Cold => runs()
            .filter(|run| balanced(run, COLD_SHARE_MAX))
            .min_by_key(|run| (usize::MAX - run.places.len(), run.bytes)),
    };
    let is_urgent = segments.len() > SEGMENTS_MAX;
    if found.is_none() && is_urgent {
        // Whatever gets the partition back to its limit at the least cost.
        let len = segments.len() - SEGMENTS_MAX + 1;
        return self::runs(segments)
            .filter(|run| run.places.len() == len)
            .min_by_key(|run| run.bytes);
    }
    found.or_else(|| rewrites(segments, temperature).min_by_key(|run| run.bytes))
}

/// All segments of a partition, where there are several, or where one is masked or not in cold
/// pages.
pub(crate) fn plan_whole(segments: &[Candidate]) -> Option<Run> {
    runs(segments)
        .find(|run| run.places.len() == segments.len())
        .or_else(|| rewrites(segments, Temperature::Cold).find(|_| segments.len() == 1))
}

/// Each segment that is worth it, alone.
fn rewrites(segments: &[Candidate], temperature: Temperature) -> impl Iterator<Item = Run> {
    let is_urgent = segments.len() > SEGMENTS_MAX;
    let worth_it = segments
        .iter()
        .enumerate()
        .filter(move |(_, segment)| segment.wants_rewrite(temperature));
    worth_it.map(move |(at, segment)| Run {
        places: at..at + 1,
        bytes: segment.bytes,
        is_urgent,
    })
}

/// Every contiguous run of at least two.
fn runs(segments: &[Candidate]) -> impl Iterator<Item = Run> {
    let is_urgent = segments.len() > SEGMENTS_MAX;
    (0..segments.len()).flat_map(move |start| {
        let mut bytes = 0u64;
        let ends = segments[start..].iter().zip(start + 1..);
        ends.filter_map(move |(segment, end)| {
            bytes = bytes.saturating_add(segment.bytes);
            (end - start >= 2).then_some(Run {
                places: start..end,
                bytes,
                is_urgent,
            })
        })
    })
}

fn largest(segments: &[Candidate], run: &Run) -> u64 {
    let lengths = segments[run.places.clone()].iter().map(|s| s.bytes);
    lengths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Temperature::{Cold, Hot};

    fn segments(bytes: &[u64]) -> Vec<Candidate> {
        let one = |(rank, bytes): (u64, &u64)| Candidate {
            rank_low: 10 * rank,
            rank_high: 10 * rank + 3,
            bytes: *bytes,
            masks: 0,
            is_cold: true,
        };
        (0..).zip(bytes).map(one).collect()
    }

    #[test]
    fn small_segments_are_merged_first_and_large_ones_wait() {
        let gib = 1 << 30;
        type Case<'a> = (&'a [u64], Temperature, Option<Range<usize>>);
        let cases: [Case<'_>; 13] = [
            (&[], Hot, None),
            (&[5], Cold, None),
            (&[5, 5, 5], Hot, None),
            (&[5, 5, 5, 5], Hot, Some(0..4)),
            (&[80, 5, 5, 5, 5], Hot, Some(1..5)),
            (&[20, 20, 20, 20, 5, 5, 5, 5], Hot, Some(4..8)),
            (&[20, 20, 20, 20], Hot, Some(0..4)),
            (&[1000, 5, 4, 3], Hot, None),
            (&[5, 5], Cold, Some(0..2)),
            (&[1000, 5, 5], Cold, Some(1..3)),
            (&[100, 5, 5], Cold, Some(0..3)),
            (&[1000, 5], Cold, None),
            (&[7 * gib, 7 * gib], Cold, None),
        ];
        for (bytes, temperature, expected) in cases {
            let found = plan(&segments(bytes), temperature).map(|run| run.places);
            assert_eq!(found, expected, "{bytes:?} {temperature:?}");
        }
    }

    #[test]
    fn too_many_segments_are_merged_whatever_their_sizes() {
        let mut bytes: Vec<u64> = (0..13).map(|at| 3u64.pow(at)).collect();
        bytes.reverse();
        let run = plan(&segments(&bytes), Hot).unwrap();
        assert_eq!((run.places, run.is_urgent), (11..13, true));
        assert_eq!(plan(&segments(&bytes[1..]), Hot), None);
        let equal = plan(&segments(&[7; 20]), Hot).unwrap();
        assert_eq!((equal.places, equal.is_urgent), (0..20, true));
    }

    #[test]
    fn steady_flushes_never_leave_too_many_segments_and_rewrite_little() {
        let (mut bytes, mut read) = (Vec::new(), 0);
        for _ in 0..1000 {
            bytes.push(100);
            while let Some(run) = plan(&segments(&bytes), Hot) {
                read += run.bytes;
                bytes.splice(run.places, [run.bytes]);
            }
            assert!(bytes.len() <= SEGMENTS_MAX + 3, "{bytes:?}");
        }
        assert!(
            read <= 7 * 100 * 1000,
            "each byte is rewritten {read} / 100000 times"
        );
    }

    #[test]
    fn everything_is_merged_where_that_is_asked_for() {
        assert_eq!(plan_whole(&segments(&[9])), None);
        let whole = plan_whole(&segments(&[1 << 40, 1, 1])).unwrap();
        assert_eq!(whole.places, 0..3);
    }

    #[test]
    fn a_masked_segment_is_rewritten_where_nothing_else_is_to_do() {
        let mut there = segments(&[1000, 5]);
        there[0].masks = 1;
        assert_eq!(plan(&there, Hot), None);
        assert_eq!(plan(&there, Cold).map(|run| run.places), Some(0..1));
        there[1].masks = HOT_MASKS_MIN;
        assert_eq!(plan(&there, Hot).map(|run| run.places), Some(1..2));
        assert_eq!(plan_whole(&there).map(|run| run.places), Some(0..2));
        assert_eq!(plan_whole(&there[..1]).map(|run| run.places), Some(0..1));
        let mut small = segments(&[5, 5]);
        small[1].masks = 1;
        let run = plan(&small, Cold).expect("a merge comes before a rewrite");
        assert_eq!(run.places, 0..2);
    }

    #[test]
    fn a_cold_partition_is_rewritten_in_cold_pages_once_its_merges_are_done() {
        let mut there = segments(&[5, 5]);
        there[0].is_cold = false;
        there[1].is_cold = false;
        let merge = plan(&there, Cold).expect("a merge comes first");
        assert_eq!(merge.places, 0..2);
        let mut one = segments(&[1000]);
        assert_eq!(plan(&one, Cold), None, "it is done");
        assert_eq!(plan_whole(&one), None);
        one[0].is_cold = false;
        assert_eq!(plan(&one, Hot), None, "it is written to");
        assert_eq!(plan(&one, Cold).map(|run| run.places), Some(0..1));
        assert_eq!(plan_whole(&one).map(|run| run.places), Some(0..1));
        let mut apart = segments(&[1000, 5]);
        apart[1].is_cold = false;
        assert_eq!(plan(&apart, Cold).map(|run| run.places), Some(1..2));
    }

    #[test]
    fn a_partition_is_cold_an_hour_after_its_end() {
        assert_eq!(Temperature::of(5, Timestamp(HOUR_NS + 4)), Hot);
        assert_eq!(Temperature::of(5, Timestamp(HOUR_NS + 5)), Cold);
        assert_eq!(Temperature::of(i64::MAX, Timestamp(i64::MAX)), Cold);
    }
}
