//! Collects the chunks of a segment, encodes each at once, and writes them in the segment's order.

mod cold;
mod copy;
mod index;
mod plan;

use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use plimsoll_wal::storage::Storage;

use super::arena::{Arena, ChunkData, Piece, temporary_name};
use super::chunks::{self, ChunkEncoder, Sparse};
use super::layout::{self, Footer, GROUP, PAGE_BYTES, Section, Span};
use super::times::{NewTimes, TimeColumn};
use super::writer::Writer;
use super::{SegmentFacts, SegmentIdentity};
use crate::codec::text::STRING_BYTES_MAX;
use crate::model::{FieldType, TagSet, Timestamp, Values};
use crate::{Error, Result};

use index::IndexSections;
use plan::Plan;

pub(super) use cold::ColdWriter;
pub(crate) use copy::EncodedChunk;

/// What a segment will hold. Chunks may come in any order, unless they go to the file at once
/// ([`SegmentBuilder::in_order`]).
#[derive(Debug)]
pub struct SegmentBuilder {
    identity: SegmentIdentity,
    names: Interner<Arc<str>>,
    /// (measurement, field, type), the first two by name's number.
    columns: Interner<(u32, u32, FieldType)>,
    tag_sets: Interner<TagSet>,
    /// The tag set of the last chunk: those of one container mostly come together.
    last_tag_set: Option<(TagSet, u32)>,
    times: NewTimes,
    chunks: Vec<NewChunk>,
    /// The first and last time of chunks that leave out rows of their time column.
    sparse_bounds: HashMap<usize, (i64, i64)>,
    entries: Arena,
    data: ChunkData,
    points: u64,
    copied: u64,
    encoder: ChunkEncoder,
}

#[derive(Debug, Clone, Copy)]
struct NewChunk {
    column: u32,
    tag_set: u32,
    time_column: u32,
    entries: Piece,
    data: Piece,
}

/// The number of a column in one builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column(u32);

impl SegmentBuilder {
    /// Starts an empty segment, which is in memory until it is written.
    #[must_use]
    pub fn new(identity: SegmentIdentity) -> Self {
        Self::with(identity, ChunkData::Memory(Arena::default()))
    }

    /// Starts an empty segment whose values go to the file at once, under a temporary name beside
    /// `path`, so that only its index is in memory. Chunks must come in the segment's order: by
    /// measurement, field, type, then tag set. What is not written in the end is left to
    /// [`Self::discard`], or to the next start.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn in_order(identity: SegmentIdentity, storage: &dyn Storage, path: &Path) -> Result<Self> {
        let writer = start_file(identity, layout::FEATURE_TICKS, storage, path)?;
        Ok(Self::with(identity, ChunkData::File(Box::new(writer))))
    }

    /// As [`Self::in_order`], with the values in cold pages: smaller, and slower to read.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn cold(identity: SegmentIdentity, storage: &dyn Storage, path: &Path) -> Result<Self> {
        let features = layout::FEATURE_TICKS | layout::FEATURE_COLD;
        let writer = start_file(identity, features, storage, path)?;
        let mut builder = Self::with(identity, ChunkData::Cold(Box::new(ColdWriter::new(writer))));
        builder.encoder.records = true;
        Ok(builder)
    }

    /// Whether the values go into cold pages.
    pub(crate) fn is_cold(&self) -> bool {
        matches!(self.data, ChunkData::Cold(_))
    }

    /// Removes the file that [`Self::in_order`] began beside `path`.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn discard(self, storage: &dyn Storage, path: &Path) -> Result<()> {
        drop(self.data);
        remove_temporary(storage, path)
    }

    fn with(identity: SegmentIdentity, data: ChunkData) -> Self {
        Self {
            identity,
            names: Interner::default(),
            columns: Interner::default(),
            tag_sets: Interner::default(),
            last_tag_set: None,
            times: NewTimes::default(),
            chunks: Vec::new(),
            sparse_bounds: HashMap::new(),
            entries: Arena::default(),
            data,
            points: 0,
            copied: 0,
            encoder: ChunkEncoder::default(),
        }
    }

    /// The column of exactly these times, which is kept once however often it is asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the times are none or not strictly ascending.
    pub fn time_column(&mut self, times: &[i64]) -> Result<TimeColumn> {
        self.times.intern(times).map(TimeColumn)
    }

    /// Adds the values of one field of one series.
    ///
    /// Shape: one value for each time, or for each `true` of `presence`, which has one entry for
    /// each time. A chunk without values is left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the lengths do not fit; [`Error::Limit`] for a string beyond
    /// [`STRING_BYTES_MAX`].
    pub fn chunk(
        &mut self,
        measurement: &str,
        field: &str,
        tags: &TagSet,
        times: TimeColumn,
        presence: Option<&[bool]>,
        values: &Values,
    ) -> Result<()> {
        let column = |own: &mut Self| own.column(measurement, field, values.field_type());
        self.put_chunk(column, tags, times, presence, values)
    }

    /// The number of a column, for [`Self::chunk_of`]. Its names go into the segment.
    pub(crate) fn column(
        &mut self,
        measurement: &str,
        field: &str,
        field_type: FieldType,
    ) -> Column {
        let measurement = self.names.number(measurement, |name| name.into());
        let field = self.names.number(field, |name| name.into());
        let column = (measurement, field, field_type);
        Column(self.columns.number(&column, |column| *column))
    }

    /// As [`Self::chunk`], of a column that was asked for by [`Self::column`] once for many chunks.
    ///
    /// # Errors
    /// As [`Self::chunk`]; [`Error::Invalid`] where the values are of another type.
    pub(crate) fn chunk_of(
        &mut self,
        column: Column,
        tags: &TagSet,
        times: TimeColumn,
        presence: Option<&[bool]>,
        values: &Values,
    ) -> Result<()> {
        let known = self.columns.items.get(column.0 as usize);
        if known.is_none_or(|(_, _, there)| *there != values.field_type()) {
            return Err(Error::Invalid("values of another column's type".into()));
        }
        self.put_chunk(|_| column, tags, times, presence, values)
    }

    fn put_chunk(
        &mut self,
        column: impl FnOnce(&mut Self) -> Column,
        tags: &TagSet,
        times: TimeColumn,
        presence: Option<&[bool]>,
        values: &Values,
    ) -> Result<()> {
        if !self.times.contains(times.0) {
            return Err(Error::Invalid("a time column of another segment".into()));
        }
        check_strings(values)?;
        let mut time_column = times.0;
        let all = self.times.times(time_column);
        let rows = all.len();
        let present = presence.map_or(rows, |bits| bits.iter().filter(|bit| **bit).count());
        if presence.is_some_and(|bits| bits.len() != rows) || present != values.len() {
            return Err(Error::Invalid(format!(
                "a chunk of {} values for {present} of {rows} times",
                values.len()
            )));
        }
        if present == 0 {
            return Ok(());
        }
        let mut presence = presence.filter(|_| present < rows);
        let mut bounds = None;
        if let Some(bits) = presence {
            let there: Vec<i64> = all
                .iter()
                .zip(bits)
                .filter(|(_, there)| **there)
                .map(|(time, _)| *time)
                .collect();
            bounds = Some((there[0], there[present - 1]));
            // A bit a row, and what an entry says more of a sparse block.
            let bitmap_bytes = rows / 8 + 8;
            if let Some(own) = self.times.intern_below(&there, bitmap_bytes) {
                (time_column, presence, bounds) = (own, None, None);
            }
        }
        self.encode_blocks(time_column, presence, values);
        self.times.refer(time_column);
        let Column(column) = column(self);
        if let Some(bounds) = bounds {
            self.sparse_bounds.insert(self.chunks.len(), bounds);
        }
        let (entries, data) = match &mut self.data {
            ChunkData::Cold(cold) => {
                cold.chunk(self.chunks.len(), column, &self.encoder, values)?;
                (Piece::default(), Piece::default())
            }
            data => (
                self.entries.put(&self.encoder.entries)?,
                data.put(&self.encoder.data)?,
            ),
        };
        let tag_set = self.tag_set(tags);
        self.chunks.push(NewChunk {
            column,
            tag_set,
            time_column,
            entries,
            data,
        });
        self.take_finished()?;
        self.points += values.len() as u64;
        Ok(())
    }

    fn tag_set(&mut self, tags: &TagSet) -> u32 {
        if let Some((last, number)) = &self.last_tag_set
            && last.is_shared_with(tags)
        {
            return *number;
        }
        let number = self.tag_sets.number(tags, Clone::clone);
        self.last_tag_set = Some((tags.clone(), number));
        number
    }

    /// Keeps the entries of the chunks that are whole in cold pages.
    fn take_finished(&mut self) -> Result<()> {
        if let ChunkData::Cold(cold) = &mut self.data {
            for finished in cold.finished() {
                let chunk = &mut self.chunks[finished.chunk];
                chunk.entries = self.entries.put(&finished.entries)?;
                chunk.data = Piece::in_file(finished.len)?;
            }
        }
        Ok(())
    }

    fn encode_blocks(&mut self, time_column: u32, presence: Option<&[bool]>, values: &Values) {
        self.encoder.clear();
        let block_rows: Vec<usize> = self.times.block_rows(time_column).collect();
        let (mut row, mut value) = (0, 0);
        for rows in block_rows {
            let sparse = presence.map(|bits| &bits[row..row + rows]);
            let count = sparse.map_or(rows, |bits| bits.iter().filter(|bit| **bit).count());
            if count == 0 {
                self.encoder.empty_block();
            } else {
                let sparse = sparse.filter(|_| count < rows).map(|present| Sparse {
                    present,
                    times: &self.times.times(time_column)[row..row + rows],
                });
                self.encoder.block(values, value, value + count, sparse);
            }
            row += rows;
            value += count;
        }
    }

    /// How many values were added.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.points
    }

    /// How many bytes of the file were written so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        match &self.data {
            ChunkData::Memory(_) => 0,
            ChunkData::File(writer) => writer.offset(),
            ChunkData::Cold(cold) => cold.written_bytes(),
        }
    }

    /// How many bytes the encoded values take so far.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.entries.len() + self.data.len()
    }

    /// Writes the segment to `path`, by way of a temporary name in the same directory, durably.
    ///
    /// # Errors
    /// [`Error::Invalid`] where nothing was added, or two chunks of one column and tag set, or
    /// where chunks that go to the file at once came in another order; [`Error::Limit`] where a
    /// section is too large; [`Error::Storage`].
    pub fn write(self, storage: &dyn Storage, path: &Path) -> Result<SegmentFacts> {
        let written = self.write_file(storage, path);
        if written.is_err()
            && let Err(error) = remove_temporary(storage, path)
        {
            tracing::warn!(%error, "a segment that failed left a file, until the next start");
        }
        written
    }

    fn write_file(mut self, storage: &dyn Storage, path: &Path) -> Result<SegmentFacts> {
        let plan = Plan::of(&self)?;
        if let ChunkData::Cold(cold) = &mut self.data {
            cold.end()?;
        }
        self.take_finished()?;
        let (mut writer, cold_index) = match std::mem::take(&mut self.data) {
            ChunkData::File(_) | ChunkData::Cold(_) if !plan.chunks.is_sorted() => {
                return Err(Error::Invalid("chunks that came out of order".into()));
            }
            ChunkData::File(writer) => (*writer, None),
            ChunkData::Cold(cold) => {
                let (writer, index) = cold.into_parts();
                (writer, Some(index))
            }
            ChunkData::Memory(data) => {
                let mut writer = start_file(self.identity, layout::FEATURE_TICKS, storage, path)?;
                for number in &plan.chunks {
                    writer.put(data.bytes(self.chunks[*number].data))?;
                }
                (writer, None)
            }
        };
        let footer = self.write_sections(plan, cold_index, &mut writer)?;
        let (bytes, footer_crc) = footer.encode();
        let len_bytes = writer.finish(&bytes)?;
        storage.rename(&temporary_name(path), path)?;
        if let Some(directory) = path.parent() {
            storage.sync_directory(directory)?;
        }
        Ok(SegmentFacts {
            len_bytes,
            footer_crc,
            points: footer.points,
            first: footer.first,
            last: footer.last,
            tag_sets: footer.tag_sets,
        })
    }

    /// Writes what follows the chunks' values.
    fn write_sections(
        self,
        plan: Plan,
        cold_index: Option<Vec<u8>>,
        writer: &mut Writer,
    ) -> Result<Footer> {
        let cold = cold_index.as_ref().map_or(0, |_| layout::FEATURE_COLD);
        let features = layout::FEATURE_TICKS | cold;
        let header = layout::encode_header(self.identity, features);
        let mut sections = [Span::default(); layout::SECTIONS];
        let mut keep = |section: Section, span: Span| sections[section as usize - 1] = span;

        keep(Section::ChunkData, writer.span_from(header.len() as u64));
        let (index, groups) = self.index_chunks(&plan);
        let (first, last) = plan.bounds(&self);
        let points = self.points;
        let index_sections = IndexSections::encode(&self, &plan)?;

        let times = self.times.write(&plan.time_order, writer)?;
        keep(Section::TimeData, times.data);
        keep(Section::ChunkIndex, writer.section(&index)?);
        keep(Section::ChunkGroups, writer.section(&groups)?);
        keep(Section::TimeIndex, writer.section(&times.entries)?);
        keep(Section::TimeGroups, writer.section(&times.groups)?);
        for (section, bytes) in index_sections.0 {
            keep(section, writer.section(&bytes)?);
        }
        if let Some(index) = cold_index {
            keep(Section::ColdPages, writer.section(&index)?);
        }
        let (checksums, checksums_crc) = writer.checksums()?;
        keep(Section::Checksums, checksums);
        let count = |len: usize| u32::try_from(len).expect("numbers were given in 32 bits");
        Ok(Footer {
            sections,
            points,
            tick: times.tick,
            first: Timestamp(first),
            last: Timestamp(last),
            tag_sets: count(plan.tag_sets.len()),
            time_columns: count(plan.time_order.len()),
            page_bytes: count(PAGE_BYTES),
            checksums_crc,
            header_crc: u32::from_le_bytes(*header.last_chunk().expect("64 bytes")),
        })
    }

    /// The index of all chunks, whose values lie in the plan's order, and its groups.
    fn index_chunks(&self, plan: &Plan) -> (Vec<u8>, Vec<u8>) {
        let (mut index, mut groups) = (Vec::new(), Vec::new());
        let mut offset = 0u64;
        for column in plan.chunks.chunk_by(|a, b| self.same_column(*a, *b)) {
            for group in column.chunks(GROUP as usize) {
                groups.extend((index.len() as u64).to_le_bytes());
                groups.extend(offset.to_le_bytes());
                let mut before = 0;
                for number in group {
                    let chunk = &self.chunks[*number];
                    let time_column = plan.time_numbers[chunk.time_column as usize]
                        .expect("the plan numbers every column that a chunk has");
                    let step = i64::from(time_column) - before;
                    before = i64::from(time_column);
                    let entries = self.entries.bytes(chunk.entries);
                    chunks::put_entry(step, entries, chunk.data.len(), &mut index);
                    offset += chunk.data.len() as u64;
                }
            }
        }
        (index, groups)
    }

    fn same_column(&self, a: usize, b: usize) -> bool {
        self.chunks[a].column == self.chunks[b].column
    }

    fn chunk_bounds(&self, number: usize) -> (i64, i64) {
        match self.sparse_bounds.get(&number) {
            Some(bounds) => *bounds,
            None => self.times.bounds(self.chunks[number].time_column),
        }
    }
}

fn check_strings(values: &Values) -> Result<()> {
    let longest = match values {
        Values::String(values) => values.iter().map(|value| value.len()).max().unwrap_or(0),
        _ => 0,
    };
    if longest > STRING_BYTES_MAX {
        return Err(Error::Limit {
            what: "bytes of a string value",
            got: longest as u64,
            limit: STRING_BYTES_MAX as u64,
        });
    }
    Ok(())
}

fn remove_temporary(storage: &dyn Storage, path: &Path) -> Result<()> {
    let temporary = temporary_name(path);
    if storage.exists(&temporary)? {
        storage.remove(&temporary)?;
    }
    Ok(())
}

/// Creates the file that becomes `path` and gives it its header.
fn start_file(
    identity: SegmentIdentity,
    features: u32,
    storage: &dyn Storage,
    path: &Path,
) -> Result<Writer> {
    // One may be left over from a process that was stopped while it wrote.
    remove_temporary(storage, path)?;
    let mut writer = Writer::new(storage.create(&temporary_name(path))?);
    writer.put(&layout::encode_header(identity, features))?;
    Ok(writer)
}

/// Things by number, each once.
#[derive(Debug)]
struct Interner<T> {
    items: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interner<T> {
    fn number<Q>(&mut self, item: &Q, own: impl Fn(&Q) -> T) -> u32
    where
        Q: ?Sized + Eq + std::hash::Hash,
        T: std::borrow::Borrow<Q>,
    {
        if let Some(number) = self.numbers.get(item) {
            return *number;
        }
        let number = u32::try_from(self.items.len()).expect("2^32 names do not fit in memory");
        let item = own(item);
        self.items.push(item.clone());
        self.numbers.insert(item, number);
        number
    }
}
