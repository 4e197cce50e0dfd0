//! Tombstones: what of a partition is deleted, and hidden until merges have left it out.
//!
//! Pure: what a tombstone covers, and its bytes in the log and the manifest. Who hides rows behind
//! one is `snapshot` and `compaction`; when one goes is `partition`'s business.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::Result;
use crate::model::{TagSet, TimeRange, Timestamp};
use crate::segment::Segment;
use crate::varint::{Reader, put, put_signed, put_text};

/// The most bytes of tag sets in one tombstone; a larger DELETE makes several.
pub(crate) const TAG_SET_BYTES_MAX: usize = 16 << 20;

/// Which series of its measurements a tombstone covers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Covered {
    /// All of them.
    All,
    /// Those with one of these tag sets, sorted.
    These(Box<[TagSet]>),
}

/// Points that are deleted in every source of lower rank.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tombstone {
    /// Unique among the tombstones of a directory that are there at one time.
    pub(crate) id: u64,
    /// The generation that was open: sources below it are masked; its own rows were removed.
    pub(crate) rank: u64,
    /// Sorted.
    pub(crate) measurements: Box<[Arc<str>]>,
    pub(crate) covered: Covered,
    pub(crate) range: TimeRange,
}

impl Covered {
    pub(crate) fn contains(&self, tags: &TagSet) -> bool {
        match self {
            Self::All => true,
            Self::These(sets) => sets.binary_search(tags).is_ok(),
        }
    }
}

impl Tombstone {
    pub(crate) fn names(&self, measurement: &str) -> bool {
        self.measurements
            .binary_search_by(|name| name.as_ref().cmp(measurement))
            .is_ok()
    }

    pub(crate) fn covers(&self, measurement: &str, tags: &TagSet) -> bool {
        self.names(measurement) && self.covered.contains(tags)
    }

    /// Whether a series that it covers has its bounds around some of its range in `segment`.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub(crate) fn touches(&self, segment: &Segment) -> Result<bool> {
        if !segment.time_range().overlaps(&self.range) {
            return Ok(false);
        }
        for measurement in &self.measurements {
            let mut ids = (*segment.measurement_ids(measurement)?).clone();
            if ids.is_empty() {
                continue;
            }
            if let Covered::These(sets) = &self.covered {
                let mut found = roaring::RoaringBitmap::new();
                for tags in sets {
                    found.extend(segment.find(tags)?);
                }
                ids &= found;
            }
            let mut is_touched = false;
            segment.each_bounds(measurement, &ids, &mut |_, start, end| {
                is_touched |= TimeRange { start, end }.overlaps(&self.range);
            })?;
            if is_touched {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.id);
        put(out, self.rank);
        put_signed(out, self.range.start.0);
        put_signed(out, self.range.end.0);
        put(out, self.measurements.len() as u64);
        for measurement in &self.measurements {
            put_text(out, measurement);
        }
        match &self.covered {
            Covered::All => out.push(0),
            Covered::These(sets) => {
                out.push(1);
                put(out, sets.len() as u64);
                for tags in sets {
                    put_text(out, tags.as_str());
                }
            }
        }
    }

    /// Reads what [`Self::encode`] wrote; `None` where the bytes make no sense.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let (id, rank) = (reader.varint()?, reader.varint()?);
        let range = TimeRange {
            start: Timestamp(reader.signed()?),
            end: Timestamp(reader.signed()?),
        };
        let count = reader.count(1)?;
        let names = (0..count).map(|_| Some(Arc::from(reader.text()?)));
        let measurements: Box<[Arc<str>]> = names.collect::<Option<_>>()?;
        let covered = match reader.byte()? {
            0 => Covered::All,
            1 => {
                let count = reader.count(1)?;
                let sets = (0..count).map(|_| reader.text().map(TagSet::from_canonical));
                Covered::These(sets.collect::<Option<_>>()?)
            }
            _ => return None,
        };
        let is_sorted = measurements.is_sorted()
            && match &covered {
                Covered::All => true,
                Covered::These(sets) => sets.is_sorted(),
            };
        is_sorted.then_some(Self {
            id,
            rank,
            measurements,
            covered,
            range,
        })
    }
}

/// The ranges of time that some of `tombstones` hide of one series.
pub(crate) type Hidden = SmallVec<[TimeRange; 2]>;

/// What of a series is hidden by `tombstones`, those of a source that they mask.
pub(crate) fn hidden<'a>(
    tombstones: impl IntoIterator<Item = &'a Arc<Tombstone>>,
    measurement: &str,
    tags: &TagSet,
) -> Hidden {
    tombstones
        .into_iter()
        .filter(|tombstone| tombstone.covers(measurement, tags))
        .map(|tombstone| tombstone.range)
        .collect()
}

/// Whether `time` lies in one of the ranges.
pub(crate) fn is_hidden(ranges: &[TimeRange], time: i64) -> bool {
    ranges.iter().any(|range| range.contains(Timestamp(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(covered: Covered) -> Tombstone {
        Tombstone {
            id: 3,
            rank: 300,
            measurements: ["cpu".into(), "mem".into()].into(),
            covered,
            range: TimeRange {
                start: Timestamp(i64::MIN),
                end: Timestamp(20),
            },
        }
    }

    #[test]
    fn it_covers_its_measurements_and_tag_sets_only() {
        let tags = TagSet::from_canonical;
        let some = tombstone(Covered::These([tags("pod=a"), tags("pod=c")].into()));
        for (name, pod, expected) in [
            ("cpu", "pod=a", true),
            ("mem", "pod=c", true),
            ("cpu", "pod=b", false),
            ("disk", "pod=a", false),
        ] {
            assert_eq!(some.covers(name, &tags(pod)), expected, "{name} {pod}");
        }
        assert!(tombstone(Covered::All).covers("cpu", &tags("pod=b")));
    }

    #[test]
    fn its_bytes_read_back_and_a_cut_one_does_not() {
        let tags = TagSet::from_canonical;
        for covered in [
            Covered::All,
            Covered::These([tags(""), tags("pod=a\\ b")].into()),
        ] {
            let original = tombstone(covered);
            let mut bytes = Vec::new();
            original.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            assert_eq!(Tombstone::decode(&mut reader), Some(original));
            assert!(reader.is_empty());
            for len in 0..bytes.len() {
                assert_eq!(Tombstone::decode(&mut Reader::new(&bytes[..len])), None);
            }
        }
    }

    #[test]
    fn one_out_of_order_is_not_read() {
        let tags = TagSet::from_canonical;
        let wrong = tombstone(Covered::These([tags("b=1"), tags("a=1")].into()));
        let mut bytes = Vec::new();
        wrong.encode(&mut bytes);
        assert_eq!(Tombstone::decode(&mut Reader::new(&bytes)), None);
    }
}
