//! An open segment: its index and its blocks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plimsoll_wal::storage::{ReadMode, Storage};
use roaring::RoaringBitmap;

use super::bounds::Objects;
use super::chunks::{BlockRef, Chunk, Chunks, Group};
use super::cold::{ColdPages, ReadState};
use super::contents::Contents;
use super::layout::{self, FEATURE_COLD, FEATURES, FORMAT, Footer, Section, Span};
use super::listed::OwnGroups;
use super::pages::Pages;
use super::postings::Postings;
use super::read::{Decoded, Scratch, Source};
use super::schema::{Column, ColumnId, Schema, TagKey};
use super::symbols::Symbols;
use super::tag_sets::TagSets;
use super::time_cache::TimeCache;
use super::times::{TimeBlocks, Times};
use super::{SegmentFacts, SegmentIdentity};
use crate::model::{FieldType, TagSet, TimeRange, Timestamp, Values};
use crate::predicate::TagIndex;
use crate::{Error, Result};

/// Takes a tag set's id, its chunk and the blocks of that.
pub(crate) type VisitChunk<'v, 'a> = &'v mut dyn FnMut(u32, Chunk<'a>, &[BlockRef]) -> Result<()>;

/// An immutable file of one partition, open for reading.
#[derive(Debug)]
pub struct Segment {
    identity: SegmentIdentity,
    facts: SegmentFacts,
    /// Tells open segments apart in a [`Scratch`].
    token: u64,
    pub(super) pages: Pages,
    pub(super) symbols: Symbols,
    pub(super) schema: Schema,
    pub(super) tag_sets: TagSets,
    pub(super) listed: OwnGroups,
    objects: Objects,
    postings: Span,
    times: Times,
    chunks: Chunks,
}

impl Segment {
    /// Opens the segment at `path`, which must be what the manifest's `facts` say.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it is not; [`Error::Storage`] where it cannot be read, or has a
    /// newer format ([`plimsoll_wal::Error::NewerFormat`]).
    pub fn open(
        storage: &dyn Storage,
        path: &Path,
        facts: &SegmentFacts,
        mode: ReadMode,
    ) -> Result<Self> {
        Self::open_with(storage, path, facts, mode, &Arc::default())
    }

    /// As [`Self::open`], with what an engine's segments share.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        storage: &dyn Storage,
        path: &Path,
        facts: &SegmentFacts,
        mode: ReadMode,
        shared: &Arc<ReadState>,
    ) -> Result<Self> {
        static NEXT_TOKEN: AtomicU64 = AtomicU64::new(0);
        let contents = Contents::open(storage, path, mode)?;
        let len_bytes = contents.len()?;
        let corrupt = |what: &'static str, offset: u64| Error::Corrupt {
            what,
            path: path.to_owned(),
            offset,
        };
        if len_bytes != facts.len_bytes {
            return Err(corrupt("the length of a segment", len_bytes));
        }
        let start = contents.bytes(0..len_bytes.min(layout::HEADER_BYTES as u64))?;
        let header =
            layout::decode_header(&start).map_err(|_| corrupt("the header of a segment", 0))?;
        if header.format > FORMAT {
            return Err(newer(path, header.format, FORMAT));
        }
        if header.features & !FEATURES != 0 {
            return Err(newer(path, header.features, FEATURES));
        }
        let end = len_bytes - layout::TRAILER_BYTES as u64;
        let tail_offset = len_bytes.saturating_sub(layout::FOOTER_BYTES_MAX);
        let tail = contents.bytes(tail_offset..len_bytes)?;
        let footer = Footer::decode(&tail, tail_offset, facts)
            .ok()
            .filter(|footer| footer.header_crc == header.crc && header.format == FORMAT)
            .ok_or_else(|| corrupt("the footer of a segment", end))?;
        drop((start, tail));
        let pages = Pages::new(path, contents, &footer, shared)?;
        let symbols = Symbols::new(&pages, &footer)?;
        let schema = Schema::read(&pages, &footer, &symbols)?;
        let sets = schema.measurements.iter().map(|m| m.ids);
        let objects = Objects::new(&footer, sets.chain(schema.columns.iter().map(|c| c.ids)));
        let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
        let is_cold = header.features & FEATURE_COLD != 0;
        let cold = is_cold.then(|| ColdPages::new(&footer, token, shared));
        Ok(Self {
            identity: header.identity,
            facts: *facts,
            token,
            pages,
            symbols,
            tag_sets: TagSets::new(&footer),
            listed: OwnGroups::new(token, shared),
            objects,
            postings: footer.section(Section::Postings),
            times: Times::new(&footer),
            chunks: Chunks::new(&footer, cold),
            schema,
        })
    }

    /// Which segment it is.
    #[must_use]
    pub fn identity(&self) -> SegmentIdentity {
        self.identity
    }

    /// Whether its values lie in cold pages.
    #[must_use]
    pub fn is_cold(&self) -> bool {
        self.chunks.is_cold()
    }

    /// What the manifest knows of it.
    #[must_use]
    pub fn facts(&self) -> &SegmentFacts {
        &self.facts
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.pages.path()
    }

    /// From its first time to its last.
    #[must_use]
    pub fn time_range(&self) -> TimeRange {
        self.facts.time_range()
    }

    /// The names of its measurements, sorted.
    pub fn measurements(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.schema.measurements.iter().map(|m| &m.name)
    }

    /// The columns of a measurement, by field, then type.
    pub fn columns(
        &self,
        measurement: &str,
    ) -> impl Iterator<Item = (&Arc<str>, FieldType, ColumnId)> {
        let range = self
            .schema
            .measurement(measurement)
            .map(|m| m.columns.clone());
        range.into_iter().flatten().map(|at| {
            let column = &self.schema.columns[at];
            let id = ColumnId(u32::try_from(at).expect("columns are numbered in 32 bits"));
            (&column.field, column.field_type, id)
        })
    }

    /// The column of a field and type, if there is one.
    #[must_use]
    pub fn column(&self, measurement: &str, field: &str, kind: FieldType) -> Option<ColumnId> {
        let mut columns = self.columns(measurement);
        columns
            .find(|(name, field_type, _)| &***name == field && *field_type == kind)
            .map(|(_, _, id)| id)
    }

    /// How many tag sets it holds; their ids are below.
    #[must_use]
    pub fn tag_sets_count(&self) -> u32 {
        self.tag_sets.count()
    }

    /// The tag set of an id.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn tag_set(&self, id: u32) -> Result<TagSet> {
        self.tag_sets
            .tag_set(&self.pages, &self.schema, &self.symbols, id)
    }

    /// The id of a tag set, if it is here.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn find(&self, tags: &TagSet) -> Result<Option<u32>> {
        self.tag_sets
            .find(&self.pages, &self.schema, &self.symbols, tags)
    }

    /// The ids of a measurement's tag sets.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn measurement_ids(&self, measurement: &str) -> Result<Arc<RoaringBitmap>> {
        match self.schema.measurement(measurement) {
            Some(measurement) => self.objects.ids(&self.pages, measurement.ids),
            None => Ok(Arc::default()),
        }
    }

    /// The ids of a column's tag sets.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn column_ids(&self, column: ColumnId) -> Result<Arc<RoaringBitmap>> {
        self.objects.ids(&self.pages, self.column_at(column).ids)
    }

    /// The first and last time of a tag set in a measurement; None where it has no point.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn bounds(&self, measurement: &str, id: u32) -> Result<Option<(Timestamp, Timestamp)>> {
        let mut found = None;
        self.each_bounds(
            measurement,
            &RoaringBitmap::from_iter([id]),
            &mut |_, first, last| found = Some((first, last)),
        )?;
        Ok(found)
    }

    /// Calls `visit` with the first and last time of each of `ids` that the measurement has.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn each_bounds(
        &self,
        measurement: &str,
        ids: &RoaringBitmap,
        visit: &mut dyn FnMut(u32, Timestamp, Timestamp),
    ) -> Result<()> {
        let Some(measurement) = self.schema.measurement(measurement) else {
            return Ok(());
        };
        let all = self.objects.ids(&self.pages, measurement.ids)?;
        let wanted = &*all & ids;
        let mut visited = wanted.iter();
        let count = set_len(&all);
        self.objects.bounds(
            &self.pages,
            measurement.bounds,
            count,
            Ranks::new(&all, &wanted),
            &mut |_, first, last| {
                if let Some(id) = visited.next() {
                    visit(id, first, last);
                }
            },
        )
    }

    /// The blocks of a column and tag set that have rows in `range`, in time order.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn blocks(&self, column: ColumnId, id: u32, range: TimeRange) -> Result<Vec<BlockRef>> {
        let mut blocks = Vec::new();
        self.scan(
            column,
            &RoaringBitmap::from_iter([id]),
            range,
            &mut |_, found| {
                blocks.extend_from_slice(found);
                Ok(())
            },
        )?;
        Ok(blocks)
    }

    /// How many blocks a column and tag set have, whatever their time: those of its times.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn blocks_count(&self, column: ColumnId, id: u32) -> Result<u64> {
        let everything = TimeRange {
            start: Timestamp(i64::MIN),
            end: Timestamp(i64::MAX),
        };
        Ok(self.blocks(column, id, everything)?.len() as u64)
    }

    /// Calls `visit` with the blocks of each of `ids` that have rows in `range`, by id, in time
    /// order; tag sets without such blocks are left out. Reads the index sequentially.
    ///
    /// # Errors
    /// [`Error::Corrupt`], and what `visit` returns.
    pub fn scan(
        &self,
        column: ColumnId,
        ids: &RoaringBitmap,
        range: TimeRange,
        visit: &mut dyn FnMut(u32, &[BlockRef]) -> Result<()>,
    ) -> Result<()> {
        self.scan_chunks(column, ids, range, &mut |id, _, blocks| visit(id, blocks))
    }

    /// As [`Self::scan`], with the chunk that the blocks are of.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub(crate) fn scan_chunks<'a>(
        &'a self,
        column: ColumnId,
        ids: &RoaringBitmap,
        range: TimeRange,
        visit: VisitChunk<'_, 'a>,
    ) -> Result<()> {
        if !self.time_range().overlaps(&range) {
            return Ok(());
        }
        let column = self.column_at(column);
        let all = self.objects.ids(&self.pages, column.ids)?;
        if set_len(&all) != column.chunks.count {
            return Err(self.corrupt_schema());
        }
        let wanted = &*all & ids;
        let mut blocks = Vec::new();
        let mut open: Option<Group<'a>> = None;
        let mut times: Option<(u32, TimeBlocks)> = None;
        for (id, rank) in wanted.iter().zip(Ranks::new(&all, &wanted)) {
            let group = match &mut open {
                Some(group) if group.holds(rank) => group,
                _ => open.insert(self.chunks.group(&self.pages, column.chunks, rank)?),
            };
            let chunk = self.chunks.skip_to(&self.pages, group, rank)?;
            let (_, time_blocks) = match &mut times {
                Some(known) if known.0 == chunk.time_column => known,
                _ => {
                    let blocks = self.times.blocks(&self.pages, chunk.time_column)?;
                    times.insert((chunk.time_column, blocks))
                }
            };
            blocks.clear();
            let kind = column.field_type;
            self.chunks
                .blocks(&self.pages, &chunk, kind, time_blocks, range, &mut blocks)?;
            if !blocks.is_empty() {
                visit(id, chunk, &blocks)?;
            }
        }
        Ok(())
    }

    /// The ids of a column's chunks, one for each.
    pub(super) fn chunk_ids(&self, column: ColumnId) -> Result<Arc<RoaringBitmap>> {
        let column = self.column_at(column);
        let ids = self.objects.ids(&self.pages, column.ids)?;
        if set_len(&ids) == column.chunks.count {
            Ok(ids)
        } else {
            Err(self.corrupt_schema())
        }
    }

    /// All chunks of the group that holds this rank of a column.
    pub(super) fn chunks_of_group(&self, column: ColumnId, rank: u32) -> Result<Vec<Chunk<'_>>> {
        let chunks = self.column_at(column).chunks;
        let mut group = self.chunks.group(&self.pages, chunks, rank)?;
        self.chunks.rest(&self.pages, &mut group)
    }

    /// The blocks of a time column.
    pub(super) fn time_blocks(&self, column: u32) -> Result<TimeBlocks> {
        self.times.blocks(&self.pages, column)
    }

    /// Appends the blocks of a chunk that have rows in `range`; `times` are those of its times.
    pub(super) fn blocks_of_chunk(
        &self,
        column: ColumnId,
        chunk: &Chunk<'_>,
        times: &TimeBlocks,
        range: TimeRange,
        out: &mut Vec<BlockRef>,
    ) -> Result<()> {
        let kind = self.column_at(column).field_type;
        self.chunks
            .blocks(&self.pages, chunk, kind, times, range, out)
    }

    /// Decodes a block of this segment, verified: its values into `values`, which is emptied
    /// before, and of its times those of the rows that are there.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn decode_block(
        &self,
        block: &BlockRef,
        cache: &TimeCache,
        scratch: &mut Scratch,
        values: &mut Values,
    ) -> Result<Decoded> {
        self.source().decode(block, cache, scratch, values)
    }

    /// Appends the rows of a block of this segment that lie in `range`; verified before it is
    /// decoded. On an error nothing is appended.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::Invalid`] where `values` are of another type.
    pub fn read_block(
        &self,
        block: &BlockRef,
        range: TimeRange,
        scratch: &mut Scratch,
        times: &mut Vec<i64>,
        values: &mut Values,
    ) -> Result<()> {
        self.source().read(block, range, scratch, times, values)
    }

    /// Appends every row of the times that a block of this segment refers to, whether each is
    /// present, and the values of those that are. On an error, what was appended means nothing.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn read_rows(
        &self,
        block: &BlockRef,
        scratch: &mut Scratch,
        times: &mut Vec<i64>,
        present: &mut Vec<bool>,
        values: &mut Values,
    ) -> Result<()> {
        self.source()
            .read_rows(block, scratch, times, present, values)
    }

    /// Appends all times of the time column that a chunk refers to; answers how many rows each of
    /// its blocks has.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn read_times(&self, chunk: &Chunk<'_>, out: &mut Vec<i64>) -> Result<Vec<usize>> {
        let blocks = self.times.blocks(&self.pages, chunk.time_column)?;
        let mut rows = Vec::with_capacity(blocks.len());
        for block in &blocks {
            self.times.read(&self.pages, block, out)?;
            rows.push(block.extent.count);
        }
        Ok(rows)
    }

    /// The encoded values of a chunk, verified and not decoded; not of a cold segment.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn chunk_data(&self, chunk: &Chunk<'_>) -> Result<&[u8]> {
        self.chunks.chunk_data(&self.pages, chunk)
    }

    fn source(&self) -> Source<'_> {
        Source {
            token: self.token,
            pages: &self.pages,
            times: &self.times,
            chunks: &self.chunks,
        }
    }

    /// Verifies every checksum, and that every block decodes to what the index says of it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for the first that does not.
    pub fn verify(&self) -> Result<()> {
        self.pages.verify_all()?;
        let everything = RoaringBitmap::from_iter(0..self.tag_sets_count());
        self.each_tag_set(&everything, &mut |_, _| Ok(()))?;
        for key in &self.schema.keys {
            self.postings_of(key).each(&mut |_, _| true)?;
        }
        for measurement in &self.schema.measurements {
            self.each_bounds(&measurement.name, &everything, &mut |_, _, _| {})?;
        }
        let mut scratch = Scratch::default();
        let mut points = 0;
        for (number, column) in (0u32..).zip(&self.schema.columns) {
            let (mut times, mut values) = (Vec::new(), Values::new(column.field_type));
            let all = TimeRange {
                start: Timestamp(i64::MIN),
                end: Timestamp(i64::MAX),
            };
            self.scan(ColumnId(number), &everything, all, &mut |_, blocks| {
                for block in blocks {
                    times.clear();
                    values.clear();
                    self.read_block(block, all, &mut scratch, &mut times, &mut values)?;
                    points += times.len() as u64;
                }
                Ok(())
            })?;
        }
        if points == self.facts.points {
            Ok(())
        } else {
            Err(self.corrupt_schema())
        }
    }

    fn corrupt_schema(&self) -> Error {
        self.pages.corrupt(Section::Schema.name(), 0)
    }

    fn column_at(&self, column: ColumnId) -> &Column {
        &self.schema.columns[column.0 as usize]
    }

    pub(super) fn postings_of<'a>(&'a self, key: &'a TagKey) -> Postings<'a> {
        Postings::new(
            &self.pages,
            &self.symbols,
            self.postings,
            key,
            self.tag_sets.count(),
        )
    }
}

impl TagIndex for Segment {
    fn all(&self) -> Result<RoaringBitmap> {
        Ok(RoaringBitmap::from_iter(0..self.tag_sets.count()))
    }

    fn postings(&self, key: &str, value: &str) -> Result<RoaringBitmap> {
        match self.schema.key(key) {
            Some(key) => self.postings_of(key).find(value),
            None => Ok(RoaringBitmap::new()),
        }
    }

    fn each_value(&self, key: &str, visit: &mut dyn FnMut(&str, &RoaringBitmap)) -> Result<()> {
        let Some(key) = self.schema.key(key) else {
            return Ok(());
        };
        self.postings_of(key).each(&mut |value, ids| {
            visit(value, &ids);
            true
        })
    }
}

fn newer(path: &Path, found: u32, known: u32) -> Error {
    plimsoll_wal::Error::NewerFormat {
        path: path.to_owned(),
        found,
        known,
    }
    .into()
}

fn set_len(ids: &RoaringBitmap) -> u32 {
    u32::try_from(ids.len()).expect("ids are below 2^32 - 1")
}

/// The places in `all` of each of `wanted`, a subset: by counting where that is shorter, else by
/// walking both.
struct Ranks<'a> {
    all: &'a RoaringBitmap,
    wanted: roaring::bitmap::Iter<'a>,
    walk: Option<(roaring::bitmap::Iter<'a>, u32)>,
}

impl<'a> Ranks<'a> {
    fn new(all: &'a RoaringBitmap, wanted: &'a RoaringBitmap) -> Self {
        let dense = wanted.len() >= all.len() / 16;
        Self {
            all,
            wanted: wanted.iter(),
            walk: dense.then(|| (all.iter(), 0)),
        }
    }
}

impl Iterator for Ranks<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let id = self.wanted.next()?;
        match &mut self.walk {
            Some((all, next)) => {
                let skipped = all.by_ref().take_while(|here| *here != id).count();
                let rank = *next + u32::try_from(skipped).expect("fewer than all ids");
                *next = rank + 1;
                Some(rank)
            }
            None => u32::try_from(self.all.rank(id) - 1).ok(),
        }
    }
}
