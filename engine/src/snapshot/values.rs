//! The values of a tag that have a point in a view's range: from the indexes, without reading what
//! their bounds decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{Series, SourceKind, View, select};
use crate::Result;
use crate::model::{TagSet, TimeRange};
use crate::predicate::TagPredicate;
use crate::segment::Segment;

impl View {
    /// The values of a tag that series of a measurement have which fulfil `predicate` and have a
    /// point in the range; none where deletions hide some of the measurement, which only
    /// [`Self::series`] and [`Self::has_points`] see.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub fn tag_values(
        &self,
        measurement: &str,
        key: &str,
        predicate: &TagPredicate,
    ) -> Result<Option<BTreeSet<Arc<str>>>> {
        if self
            .sources
            .iter()
            .any(|source| source.is_masked(measurement))
        {
            return Ok(None);
        }
        let measurement: Arc<str> = measurement.into();
        let mut found: BTreeSet<Arc<str>> = BTreeSet::new();
        for source in &self.sources {
            match &source.kind {
                SourceKind::Head(head) => {
                    let partition = source.partition;
                    let ids = head.select(partition, &measurement, predicate)?;
                    for (value, ids) in head.values_of(key, &ids) {
                        let has_points =
                            |id| head.has_points(id, partition, &measurement, self.range);
                        if !found.contains(&*value) && ids.iter().any(has_points) {
                            found.insert(value.into());
                        }
                    }
                }
                SourceKind::Segment(segment) => {
                    let ids = select(segment, &measurement, predicate)?;
                    let (sure, open) = self.split_by_bounds(segment, &measurement, ids)?;
                    segment.each_value_of(key, &(&sure | &open), &mut |value, ids| {
                        if !found.contains(value)
                            && (!sure.is_disjoint(ids)
                                || self.any_has_points(segment, &measurement, ids)?)
                        {
                            found.insert(value.into());
                        }
                        Ok(())
                    })?;
                }
            }
        }
        Ok(Some(found))
    }

    /// Those of a segment's ids that have a point in the range by their bounds, and those of which
    /// the bounds leave it open.
    fn split_by_bounds(
        &self,
        segment: &Segment,
        measurement: &str,
        ids: RoaringBitmap,
    ) -> Result<(RoaringBitmap, RoaringBitmap)> {
        let all = segment.time_range();
        if self.range.intersect(&all) == all {
            return Ok((ids, RoaringBitmap::new()));
        }
        let (mut sure, mut open) = (RoaringBitmap::new(), RoaringBitmap::new());
        segment.each_bounds(measurement, &ids, &mut |id, start, end| {
            if self.range.contains(start) || self.range.contains(end) {
                sure.insert(id);
            } else if (TimeRange { start, end }).overlaps(&self.range) {
                open.insert(id);
            }
        })?;
        Ok((sure, open))
    }

    fn any_has_points(
        &self,
        segment: &Segment,
        measurement: &Arc<str>,
        ids: &RoaringBitmap,
    ) -> Result<bool> {
        let series = Series {
            measurement: Arc::clone(measurement),
            tags: TagSet::default(),
            places: Default::default(),
        };
        for id in ids {
            if self.segment_has_points(segment, id, &series)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
