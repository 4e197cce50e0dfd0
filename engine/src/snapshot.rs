//! A read view: the catalog and every source of data as they were at one moment.

mod field;
mod listing;
mod masked;
mod places;
mod tally;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use roaring::RoaringBitmap;
use smallvec::SmallVec;

use crate::catalog::Catalog;
use crate::head::Generation;
use crate::merge::{hide, overlay};
use crate::model::{FieldType, TagSet, TimeRange, Values};
use crate::partition::{Partition, PartitionId};
use crate::predicate::{TagIndex, TagPredicate};
use crate::segment::{ColumnId, Scratch, Segment, TimeCache};
use crate::tombstone::{Tombstone, hidden};
use crate::{Error, Result};

pub use field::{Field, FieldReader, Rows, Summaries, TakePoints};
pub(crate) use listing::Listed;
pub use listing::{Listing, TagValues};
pub use places::{ColumnPlan, PartitionView, SourceCounts};
pub use tally::{ReadCounts, Tally};

/// The order in which a scan visits time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the earliest time on.
    Ascending,
    /// From the latest time back.
    Descending,
}

/// What was there when it was taken; later flushes and drops do not change it. Rows that are
/// written meanwhile may or may not be seen.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) partitions: Arc<BTreeMap<PartitionId, Arc<Partition>>>,
    /// Lowest rank first; all of them rank above every segment.
    pub(crate) heads: SmallVec<[Arc<Generation>; 2]>,
    /// Where reads of its views are counted.
    pub(crate) tally: Option<Arc<Tally>>,
}

/// One retention policy's data within a time range.
#[derive(Debug, Clone)]
pub struct View {
    range: TimeRange,
    /// Partitions in order of time; within one, lowest rank first.
    sources: Vec<Source>,
    tally: Option<Arc<Tally>>,
    /// What its readers decoded of time columns.
    times: Arc<TimeCache>,
    /// Segments of these partitions without a point in the range. The names in them are names of the
    /// view, too: which field has which type is settled by partition, wherever its points lie.
    beyond: Vec<Beyond>,
}

#[derive(Debug, Clone)]
struct Beyond {
    segment: Arc<Segment>,
    masks: Vec<Arc<Tombstone>>,
}

#[derive(Debug, Clone)]
struct Source {
    partition: PartitionId,
    kind: SourceKind,
    /// Tombstones that may hide some of its points in the view's range.
    masks: Vec<Arc<Tombstone>>,
}

impl Source {
    /// Whether points of a measurement may be hidden.
    fn is_masked(&self, measurement: &str) -> bool {
        self.masks.iter().any(|mask| mask.names(measurement))
    }
}

#[derive(Debug, Clone)]
enum SourceKind {
    Head(Arc<Generation>),
    Segment(Arc<Segment>),
}

/// One series of a view: a measurement and a tag set.
#[derive(Debug, Clone)]
pub struct Series {
    /// The measurement.
    pub measurement: Arc<str>,
    /// The tags.
    pub tags: TagSet,
    /// (source number, tag-set number there), in source order.
    places: SmallVec<[(u32, u32); 2]>,
}

/// One field of one series: strictly ascending times, and a value for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// ns, strictly ascending.
    pub times: Vec<i64>,
    /// As many values as times.
    pub values: Values,
}

/// Takes a piece of a column: times and as many values; answers whether it wants more.
pub type Visit<'a, E> = &'a mut dyn FnMut(&[i64], &Values) -> Result<ControlFlow<()>, E>;

impl Column {
    fn new(field_type: FieldType) -> Self {
        Self {
            times: Vec::new(),
            values: Values::new(field_type),
        }
    }
}

impl Snapshot {
    /// The databases and policies.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The same, with what its views read counted into `tally`.
    #[must_use]
    pub fn with_tally(&self, tally: Arc<Tally>) -> Self {
        Self {
            tally: Some(tally),
            ..self.clone()
        }
    }

    /// The data of `policy` (empty: the default one) of `database` within `range`.
    ///
    /// # Errors
    /// [`Error::DatabaseNotFound`], [`Error::PolicyNotFound`]; [`Error::Corrupt`] where a segment of
    /// these times could not be opened.
    pub fn view(&self, database: &str, policy: &str, range: TimeRange) -> Result<View> {
        let policy = self.catalog.database(database)?.policy(policy)?.id;
        let mut partitions: Vec<&Arc<Partition>> = self
            .partitions
            .values()
            .filter(|partition| partition.policy == policy && partition.range().overlaps(&range))
            .collect();
        partitions.sort_by_key(|partition| partition.start);
        let mut damaged = partitions.iter().flat_map(|partition| &partition.damaged);
        if let Some(damaged) = damaged.find(|damaged| damaged.range.overlaps(&range)) {
            return Err(damaged.error());
        }
        let mut sources = Vec::new();
        let mut beyond = Vec::new();
        for partition in partitions {
            self.add_sources(partition, range, &mut sources);
            let segments = partition.segments.iter();
            let outside = segments.filter(|segment| !segment.time_range().overlaps(&range));
            beyond.extend(outside.map(|segment| Beyond {
                segment: Arc::clone(segment),
                masks: partition.masks_of(segment),
            }));
        }
        Ok(View {
            range,
            sources,
            tally: self.tally.clone(),
            times: Arc::default(),
            beyond,
        })
    }

    /// All data of one partition.
    pub(crate) fn view_of_partition(&self, partition: &Partition) -> View {
        let range = TimeRange::ALL;
        let mut sources = Vec::new();
        self.add_sources(partition, range, &mut sources);
        View {
            range,
            sources,
            tally: None,
            times: Arc::default(),
            beyond: Vec::new(),
        }
    }

    fn add_sources(&self, partition: &Partition, range: TimeRange, sources: &mut Vec<Source>) {
        let id = partition.id;
        let segments = partition
            .segments
            .iter()
            .filter(|s| s.time_range().overlaps(&range));
        let segments = segments.map(|segment| {
            let masks = partition.masks_of(segment);
            (SourceKind::Segment(Arc::clone(segment)), masks)
        });
        let heads = self.heads.iter().filter(|head| head.has_partition(id));
        let heads = heads.map(|head| {
            let masks = partition.masks_of_generation(head.id);
            (SourceKind::Head(Arc::clone(head)), masks)
        });
        sources.extend(segments.chain(heads).map(|(kind, mut masks)| {
            masks.retain(|mask| mask.range.overlaps(&range));
            Source {
                partition: id,
                kind,
                masks,
            }
        }));
    }
}

impl View {
    /// The range it was taken for.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Measurements that may have a point in the range; [`Self::series`] and
    /// [`Self::has_points`] answer exactly.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn measurements(&self) -> Result<BTreeSet<Arc<str>>> {
        let mut found = BTreeSet::new();
        for (number, source) in (0_u32..).zip(&self.sources) {
            let names = match &source.kind {
                SourceKind::Head(head) => head.measurements(source.partition),
                SourceKind::Segment(segment) => segment.measurements().cloned().collect(),
            };
            for name in names {
                if !found.contains(&name)
                    && (!source.is_masked(&name) || self.source_has_points(number, &name)?)
                {
                    found.insert(name);
                }
            }
        }
        Ok(found)
    }

    /// Fields of a measurement by name, then type, in the partitions that overlap the range; a field
    /// may have several types, one a partition.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn fields(&self, measurement: &str) -> Result<BTreeSet<(Arc<str>, FieldType)>> {
        let mut found = BTreeSet::new();
        for segment in self.segments_beyond(measurement) {
            let columns = segment.columns(measurement);
            found.extend(columns.map(|(field, kind, _)| (Arc::clone(field), kind)));
        }
        for (number, source) in (0_u32..).zip(&self.sources) {
            let fields: Vec<(Arc<str>, FieldType)> = match &source.kind {
                SourceKind::Head(head) => head
                    .columns_of(source.partition)
                    .into_iter()
                    .filter(|column| &*column.measurement == measurement)
                    .map(|column| (Arc::clone(&column.field), column.field_type))
                    .collect(),
                SourceKind::Segment(segment) => segment
                    .columns(measurement)
                    .map(|(field, field_type, _)| (Arc::clone(field), field_type))
                    .collect(),
            };
            if !source.is_masked(measurement) {
                found.extend(fields);
                continue;
            }
            for (field, kind) in fields {
                let key = (field, kind);
                if !found.contains(&key)
                    && self.source_holds_field(number, measurement, &key.0, kind)?
                {
                    found.insert(key);
                }
            }
        }
        Ok(found)
    }

    /// Segments without a point in the range that name a measurement, none of it masked.
    fn segments_beyond(&self, measurement: &str) -> impl Iterator<Item = &Arc<Segment>> {
        let is_masked = move |beyond: &&Beyond| {
            let mut masks = beyond.masks.iter();
            masks.any(|mask| mask.names(measurement))
        };
        let beyond = self.beyond.iter().filter(move |b| !is_masked(b));
        beyond.map(|beyond| &beyond.segment)
    }

    /// Tag keys of a measurement in the partitions that overlap the range.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn tag_keys(&self, measurement: &str) -> Result<BTreeSet<Arc<str>>> {
        let measurement: Arc<str> = measurement.into();
        let mut found = BTreeSet::new();
        for segment in self.segments_beyond(&measurement) {
            found.extend(segment.tag_keys(&measurement)?);
        }
        for (number, source) in (0_u32..).zip(&self.sources) {
            if source.is_masked(&measurement) {
                for series in self.series_of_source(number, &measurement)? {
                    let series = series?;
                    if self.has_points(&series)? {
                        let keys = series.tags.pairs().map(|(key, _)| Arc::from(key.as_ref()));
                        found.extend(keys);
                    }
                }
                continue;
            }
            match &source.kind {
                SourceKind::Head(head) => {
                    found.extend(head.tag_keys(source.partition, &measurement))
                }
                SourceKind::Segment(segment) => found.extend(segment.tag_keys(&measurement)?),
            }
        }
        Ok(found)
    }

    /// Whether a series that fulfils the predicate has a point in the range: quicker than asking
    /// for all of them first.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn any_points(&self, measurement: &str, predicate: &TagPredicate) -> Result<bool> {
        let measurement: Arc<str> = measurement.into();
        for (number, source) in (0_u32..).zip(&self.sources) {
            let ids = match &source.kind {
                SourceKind::Head(head) => head.select(source.partition, &measurement, predicate)?,
                SourceKind::Segment(segment) => select(segment, &measurement, predicate)?,
            };
            for id in ids {
                let tags = if source.is_masked(&measurement) {
                    self.tags(number, id)?
                } else {
                    TagSet::default()
                };
                let series = Series {
                    measurement: Arc::clone(&measurement),
                    tags,
                    places: SmallVec::from_slice(&[(number, id)]),
                };
                if self.has_points(&series)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the series has a point in the range.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn has_points(&self, series: &Series) -> Result<bool> {
        for (source, id) in self.places(series) {
            let hidden = hidden(&source.masks, &series.measurement, &series.tags);
            if !hidden.is_empty() {
                if self.has_points_beside(source, id, series, &hidden)? {
                    return Ok(true);
                }
                continue;
            }
            let found = match &source.kind {
                SourceKind::Head(head) => {
                    head.has_points(id, source.partition, &series.measurement, self.range)
                }
                SourceKind::Segment(segment) => self.segment_has_points(segment, id, series)?,
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn segment_has_points(&self, segment: &Segment, id: u32, series: &Series) -> Result<bool> {
        if let Some((first, last)) = segment.bounds(&series.measurement, id)?
            && (self.range.contains(first) || self.range.contains(last))
        {
            return Ok(true);
        }
        for (_, field_type, column) in segment.columns(&series.measurement) {
            let mut read = Column::new(field_type);
            self.read_segment(segment, column, id, &mut read)?;
            if !read.times.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All points of one field of one series in the range, of this type, the last write of each
    /// time, in ascending order. Empty where the series has none.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn column(&self, series: &Series, field: &str, field_type: FieldType) -> Result<Column> {
        let mut column = Column::new(field_type);
        for (source, id) in self.places(series) {
            overlay(
                &mut column,
                self.piece(source, id, series, field, field_type)?,
            );
        }
        Ok(column)
    }

    /// What one source has of a field of a series, without what is hidden.
    fn piece(
        &self,
        source: &Source,
        id: u32,
        series: &Series,
        field: &str,
        field_type: FieldType,
    ) -> Result<Column> {
        let mut piece = Column::new(field_type);
        let hidden = hidden(&source.masks, &series.measurement, &series.tags);
        if hidden
            .iter()
            .any(|range| range.intersect(&self.range) == self.range)
        {
            return Ok(piece);
        }
        match &source.kind {
            SourceKind::Head(head) => {
                let wanted = (&series.measurement, field, field_type);
                let Column { times, values } = &mut piece;
                head.read(id, source.partition, wanted, self.range, times, values);
                if let Some(tally) = &self.tally {
                    tally.head(piece.times.len() as u64);
                }
            }
            SourceKind::Segment(segment) => {
                if let Some(wanted) = segment.column(&series.measurement, field, field_type) {
                    self.read_segment(segment, wanted, id, &mut piece)?;
                }
            }
        }
        hide(&mut piece, &hidden);
        Ok(piece)
    }

    fn read_segment(
        &self,
        segment: &Segment,
        column: ColumnId,
        id: u32,
        out: &mut Column,
    ) -> Result<()> {
        let mut scratch = Scratch::default();
        let blocks = segment.blocks(column, id, self.range)?;
        for block in &blocks {
            let Column { times, values } = &mut *out;
            segment.read_block(block, self.range, &mut scratch, times, values)?;
            if let Some(tally) = &self.tally {
                tally.decoded(u64::from(block.count), block.encoded_bytes());
            }
        }
        if let Some(tally) = &self.tally {
            let all = segment.blocks_count(column, id)?;
            tally.skipped(all.saturating_sub(blocks.len() as u64));
        }
        Ok(())
    }

    fn places<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = (&'a Source, u32)> {
        series
            .places
            .iter()
            .map(|(source, id)| (&self.sources[*source as usize], *id))
    }

    /// Visits the same points as [`Self::column`] in pieces, each in ascending order within
    /// itself, the pieces in `direction`; `visit` answers whether it wants more.
    ///
    /// # Errors
    /// [`Error::Corrupt`], and what `visit` returns.
    pub fn scan<E: From<Error>>(
        &self,
        series: &Series,
        field: &str,
        field_type: FieldType,
        direction: Direction,
        visit: Visit<'_, E>,
    ) -> Result<(), E> {
        let mut partitions: Vec<SmallVec<[(u32, u32); 2]>> = Vec::new();
        for place in &series.places {
            let partition = self.sources[place.0 as usize].partition;
            match partitions.last_mut() {
                Some(last) if self.sources[last[0].0 as usize].partition == partition => {
                    last.push(*place);
                }
                _ => partitions.push(SmallVec::from_slice(&[*place])),
            }
        }
        if direction == Direction::Descending {
            partitions.reverse();
        }
        for places in partitions {
            let part = Series {
                measurement: Arc::clone(&series.measurement),
                tags: series.tags.clone(),
                places,
            };
            let column = self.column(&part, field, field_type)?;
            if !column.times.is_empty() && visit(&column.times, &column.values)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn select(segment: &Segment, measurement: &str, predicate: &TagPredicate) -> Result<RoaringBitmap> {
    let ids = (*segment.measurement_ids(measurement)?).clone();
    Ok(
        if ids.is_empty() || matches!(predicate, TagPredicate::All) {
            ids
        } else {
            ids & predicate.select(segment as &dyn TagIndex)?
        },
    )
}
