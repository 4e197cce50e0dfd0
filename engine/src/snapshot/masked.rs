//! What of a view's sources is left where tombstones mask them, and in which partitions and fields.

use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Series, Source, SourceKind, View};
use crate::Result;
use crate::model::{FieldType, TagSet, TimeRange};
use crate::partition::PartitionId;
use crate::predicate::TagPredicate;
use crate::segment::Segment;
use crate::tombstone::{Tombstone, is_hidden};

impl View {
    /// All data of one segment, with the tombstones that mask it.
    pub(crate) fn of_segment(
        partition: PartitionId,
        segment: &Arc<Segment>,
        masks: Vec<Arc<Tombstone>>,
    ) -> Self {
        Self {
            range: TimeRange::ALL,
            sources: vec![Source {
                partition,
                kind: SourceKind::Segment(Arc::clone(segment)),
                masks,
            }],
            tally: None,
            times: Arc::default(),
            beyond: Vec::new(),
        }
    }

    /// Partitions that may have a point of the measurement.
    pub(crate) fn partitions_with(&self, measurement: &Arc<str>) -> BTreeSet<PartitionId> {
        let has = |source: &&Source| match &source.kind {
            SourceKind::Head(head) => head.has_measurement(source.partition, measurement),
            SourceKind::Segment(segment) => segment.measurements().any(|name| name == measurement),
        };
        let sources = self.sources.iter().filter(has);
        sources.map(|source| source.partition).collect()
    }

    /// Partitions that may have a point of a series of this view.
    pub(crate) fn partitions_of(&self, series: &Series) -> BTreeSet<PartitionId> {
        let places = self.places(series);
        places.map(|(source, _)| source.partition).collect()
    }

    /// Whether any series has a value of this field and type in the range.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn holds_field(
        &self,
        measurement: &str,
        field: &str,
        field_type: FieldType,
    ) -> Result<bool> {
        for number in (0_u32..).take(self.sources.len()) {
            if self.source_holds_field(number, measurement, field, field_type)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn source_holds_field(
        &self,
        number: u32,
        measurement: &str,
        field: &str,
        field_type: FieldType,
    ) -> Result<bool> {
        let source = &self.sources[number as usize];
        if let SourceKind::Segment(segment) = &source.kind {
            if segment.column(measurement, field, field_type).is_none() {
                return Ok(false);
            }
            if self.range == TimeRange::ALL && !source.is_masked(measurement) {
                return Ok(true);
            }
        }
        for series in self.series_of_source(number, measurement)? {
            if !self.column(&series?, field, field_type)?.times.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a source has a point of the measurement in the range.
    pub(super) fn source_has_points(&self, number: u32, measurement: &str) -> Result<bool> {
        for series in self.series_of_source(number, measurement)? {
            if self.has_points(&series?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every series of a measurement in one source only, hidden ones too.
    pub(super) fn series_of_source(
        &self,
        number: u32,
        measurement: &str,
    ) -> Result<impl Iterator<Item = Result<Series>>> {
        let measurement: Arc<str> = measurement.into();
        let source = &self.sources[number as usize];
        let ids = match &source.kind {
            SourceKind::Head(head) => {
                head.select(source.partition, &measurement, &TagPredicate::All)?
            }
            SourceKind::Segment(segment) => (*segment.measurement_ids(&measurement)?).clone(),
        };
        Ok(ids.into_iter().map(move |id| {
            Ok(Series {
                measurement: Arc::clone(&measurement),
                tags: self.tags(number, id)?,
                places: SmallVec::from_slice(&[(number, id)]),
            })
        }))
    }

    /// The tags of a source's tag-set number.
    pub(super) fn tags(&self, number: u32, id: u32) -> Result<TagSet> {
        match &self.sources[number as usize].kind {
            SourceKind::Head(head) => Ok(head.tags(id).unwrap_or_default()),
            SourceKind::Segment(segment) => segment.tag_set(id),
        }
    }

    /// Whether tombstones leave a series of a source any point in the range.
    pub(super) fn is_left(
        &self,
        measurement: &Arc<str>,
        tags: &TagSet,
        place: (u32, u32),
    ) -> Result<bool> {
        let masks = &self.sources[place.0 as usize].masks;
        if !masks.iter().any(|mask| mask.covers(measurement, tags)) {
            return Ok(true);
        }
        self.has_points(&Series {
            measurement: Arc::clone(measurement),
            tags: tags.clone(),
            places: SmallVec::from_slice(&[place]),
        })
    }

    /// Whether a source has a point of the series that is not hidden.
    pub(super) fn has_points_beside(
        &self,
        source: &Source,
        id: u32,
        series: &Series,
        hidden: &[TimeRange],
    ) -> Result<bool> {
        let measurement = &series.measurement;
        let wanted: Vec<(Arc<str>, FieldType)> = match &source.kind {
            SourceKind::Head(head) => head
                .columns_of(source.partition)
                .into_iter()
                .filter(|column| column.measurement == *measurement)
                .map(|column| (Arc::clone(&column.field), column.field_type))
                .collect(),
            SourceKind::Segment(segment) => {
                let Some((first, last)) = segment.bounds(measurement, id)? else {
                    return Ok(false);
                };
                let there = TimeRange {
                    start: first,
                    end: last,
                }
                .intersect(&self.range);
                if there.is_empty() || hidden.iter().any(|range| range.intersect(&there) == there) {
                    return Ok(false);
                }
                let is_left = |time| self.range.contains(time) && !is_hidden(hidden, time.0);
                if is_left(first) || is_left(last) {
                    return Ok(true);
                }
                segment
                    .columns(measurement)
                    .map(|(field, kind, _)| (Arc::clone(field), kind))
                    .collect()
            }
        };
        for (field, kind) in wanted {
            if !self
                .piece(source, id, series, &field, kind)?
                .times
                .is_empty()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
