//! The values of a tag that have a point in a view's range: from the indexes, without reading what
//! their bounds decide.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{Series, SourceKind, View, select};
use crate::Result;
use crate::model::{TagSet, TimeRange};
use crate::predicate::TagPredicate;
use crate::segment::Segment;

impl View {
    /// The values of a tag that series of a measurement have which fulfil `predicate` and have a
    /// point in the range, ascending; none where deletions hide some of the measurement, which only
    /// [`Self::series`] and [`Self::has_points`] see.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub fn tag_values(
        &self,
        measurement: &str,
        key: &Arc<str>,
        predicate: &TagPredicate,
    ) -> Result<Option<Vec<Arc<str>>>> {
        if self
            .sources
            .iter()
            .any(|source| source.is_masked(measurement))
        {
            return Ok(None);
        }
        let measurement: Arc<str> = measurement.into();
        let mut found: Vec<Arc<str>> = Vec::new();
        for source in &self.sources {
            let values = match &source.kind {
                SourceKind::Head(head) => {
                    let partition = source.partition;
                    head.tag_values(partition, &measurement, key, predicate, self.range)?
                }
                SourceKind::Segment(segment) => {
                    self.segment_values(segment, &measurement, key, predicate)?
                }
            };
            if found.is_empty() {
                found = values;
            } else {
                found.extend(values);
                // Runs are merged.
                found.sort();
                found.dedup();
            }
        }
        Ok(Some(found))
    }

    fn segment_values(
        &self,
        segment: &Segment,
        measurement: &Arc<str>,
        key: &str,
        predicate: &TagPredicate,
    ) -> Result<Vec<Arc<str>>> {
        let ids = select(segment, measurement, predicate)?;
        let (sure, open) = self.split_by_bounds(segment, measurement, ids)?;
        let mut values: Vec<Arc<str>> = Vec::new();
        segment.each_value_of(key, &(&sure | &open), &mut |value, ids| {
            if ids.iter().any(|id| sure.contains(*id))
                || self.any_has_points(segment, measurement, ids)?
            {
                values.push(value.into());
            }
            Ok(())
        })?;
        // In order of the escaped texts until here.
        if !values.is_sorted() {
            values.sort_unstable();
        }
        Ok(values)
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
        ids: &[u32],
    ) -> Result<bool> {
        let series = Series {
            measurement: Arc::clone(measurement),
            tags: TagSet::default(),
            places: Default::default(),
        };
        for id in ids {
            if self.segment_has_points(segment, *id, &series)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
