//! Chunks: the values of one column and one tag set, in blocks that go with those of their time
//! column, and the block index.

use std::ops::Range;

use super::cold::{Bytes, ColdPages, Held};
use super::layout::{Footer, GROUP, Section, Span};
use super::pages::Pages;
use super::summary::{self, FloatSummary, Integer, IntegerSummary, Summary};
use super::times::{TimeBlock, TimeBlocks};
use crate::Result;
use crate::codec::cold::PAGE_BYTES;
use crate::codec::varint::{self, Cursor};
use crate::codec::{BLOCK_POINTS_MAX, Codec, Malformed, boolean, float, integer, text};
use crate::model::{FieldType, TimeRange, Timestamp, Values};

/// Blocks of fewer rows are quicker decoded than summed up.
const SUMMARY_ROWS_MIN: usize = 16;

/// The head byte of a block's entry: its codec, and these.
pub(super) const CODEC: u8 = 0x0f;
/// Some rows of the time column's block are absent.
const SPARSE: u8 = 0x10;
/// No summary follows.
const PLAIN: u8 = 0x20;
/// All rows are absent; nothing follows.
const EMPTY: u8 = 0x40;
/// One number throughout: no bytes of values, no summary.
pub(super) const CONSTANT: u8 = 0x80;

/// One block of a chunk: where it lies, when it is, and what its values come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockRef {
    /// How many rows.
    pub count: u32,
    /// The first row's time.
    pub first: Timestamp,
    /// The last row's time.
    pub last: Timestamp,
    /// What the values come to, where that is known without decoding them.
    pub summary: Option<Summary>,
    pub(super) field_type: FieldType,
    pub(super) codec: Codec,
    /// The first number's bits.
    pub(super) seed: u64,
    pub(super) sparse: bool,
    /// From the start of the chunk data; in cold segments, of what their pages stand for.
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) time_block: TimeBlock,
}

impl BlockRef {
    /// From the first row to the last.
    #[must_use]
    pub fn time_range(&self) -> TimeRange {
        TimeRange {
            start: self.first,
            end: self.last,
        }
    }

    /// How many bytes its values take as they are encoded.
    #[must_use]
    pub fn encoded_bytes(&self) -> u64 {
        u64::from(self.len)
    }

    /// The type of the values.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        self.field_type
    }
}

/// Writes the entries and bytes of one chunk's blocks.
#[derive(Debug, Default)]
pub struct ChunkEncoder {
    /// The entries in the block index.
    pub entries: Vec<u8>,
    /// The values.
    pub data: Vec<u8>,
    /// What the blocks consist of, where `records` asks for it.
    pub parts: Vec<BlockParts>,
    /// Whether the chunk goes into cold pages.
    pub records: bool,
    /// The number that the next block's first is compared to, as bits.
    before: u64,
    integers: Vec<i64>,
}

/// Where the parts of a block stand in its [`ChunkEncoder`].
#[derive(Debug, Clone)]
pub struct BlockParts {
    /// Its entry.
    pub entry: Range<usize>,
    /// Where the length of its data ends in the entry, if that is there.
    pub after_len: usize,
    /// Its bitmap and its values.
    pub data: Range<usize>,
    /// Where its values start.
    pub values_at: usize,
    /// Which of the chunk's values it holds.
    pub rows: Range<usize>,
}

/// The rows of a block that are there, where some are not.
#[derive(Debug, Clone, Copy)]
pub struct Sparse<'a> {
    /// One a row of the time column's block.
    pub present: &'a [bool],
    /// The block's times.
    pub times: &'a [i64],
}

impl ChunkEncoder {
    /// Starts the next chunk.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.data.clear();
        self.parts.clear();
        self.before = 0;
    }

    /// Appends a block without rows.
    pub fn empty_block(&mut self) {
        let at = self.entries.len();
        self.entries.push(EMPTY);
        self.record(at, at + 1, self.data.len(), self.data.len(), 0..0);
    }

    fn record(
        &mut self,
        entry_at: usize,
        after_len: usize,
        data_at: usize,
        values_at: usize,
        rows: Range<usize>,
    ) {
        if self.records {
            self.parts.push(BlockParts {
                entry: entry_at..self.entries.len(),
                after_len,
                data: data_at..self.data.len(),
                values_at,
                rows,
            });
        }
    }

    /// Appends the block of `values[start..end]`, at most [`BLOCK_POINTS_MAX`] and at least one.
    pub fn block(&mut self, values: &Values, start: usize, end: usize, sparse: Option<Sparse<'_>>) {
        let head_at = self.entries.len();
        self.entries.push(0);
        let mut head = 0;
        let data_at = self.data.len();
        if let Some(Sparse { present, .. }) = sparse {
            head |= SPARSE;
            boolean::put_bitmap(present, &mut self.data);
        }
        let values_at = self.data.len();
        let count = end - start;
        let codec = match values {
            Values::Float(values) => float::encode(&values[start..end], &mut self.data),
            Values::Integer(values) => integer::encode(&values[start..end], &mut self.data),
            Values::Unsigned(values) => {
                self.integers.clear();
                let signed = values[start..end].iter().map(|value| value.cast_signed());
                self.integers.extend(signed);
                integer::encode(&self.integers, &mut self.data)
            }
            Values::String(values) => {
                let values = &values[start..end];
                let codec = if self.records {
                    text::encode_plain(values, &mut self.data)
                } else {
                    text::encode(values, &mut self.data)
                };
                if self.records && self.data.len() - data_at > PAGE_BYTES {
                    self.data.truncate(values_at);
                    text::encode(values, &mut self.data)
                } else {
                    codec
                }
            }
            Values::Boolean(values) => boolean::encode(&values[start..end], &mut self.data),
        };
        head |= codec as u8;
        // Booleans and strings always have bytes, so an empty run is a constant number.
        if self.data.len() == values_at {
            head |= CONSTANT;
        } else {
            varint::put(&mut self.entries, (self.data.len() - data_at) as u64);
        }
        let after_len = self.entries.len();
        if let Some(Sparse { present, times }) = sparse {
            varint::put(&mut self.entries, count as u64 - 1);
            let there = || present.iter().zip(times).filter(|(there, _)| **there);
            let from = |a: i64, b: i64| b.wrapping_sub(a).cast_unsigned();
            if let (Some((_, first)), Some((_, last))) = (there().next(), there().next_back()) {
                varint::put(&mut self.entries, from(times[0], *first));
                varint::put(&mut self.entries, from(*last, times[times.len() - 1]));
            }
        }
        let constant = head & CONSTANT != 0;
        let worth_it = count >= SUMMARY_ROWS_MIN && !constant;
        let summed = match values {
            Values::Integer(values) => self.integers_entry(&values[start..end], worth_it),
            Values::Unsigned(values) => self.integers_entry(&values[start..end], worth_it),
            Values::Float(values) => self.floats_entry(&values[start..end], worth_it),
            Values::String(_) | Values::Boolean(_) => false,
        };
        if !summed {
            head |= PLAIN;
        }
        self.entries[head_at] = head;
        self.record(head_at, after_len, data_at, values_at, start..end);
    }

    fn integers_entry<T: Integer>(&mut self, values: &[T], worth_it: bool) -> bool {
        let first = values[0].bits();
        let step = first.wrapping_sub(self.before).cast_signed();
        varint::put_signed(&mut self.entries, step);
        self.before = first;
        if worth_it {
            let summary = IntegerSummary::of(values);
            summary.encode(values.len(), &mut self.entries);
            self.before = summary.last.bits();
        }
        worth_it
    }

    fn floats_entry(&mut self, values: &[f64], worth_it: bool) -> bool {
        let before = f64::from_bits(self.before);
        summary::put_float(&mut self.entries, values[0], before);
        self.before = values[0].to_bits();
        let Some(summary) = FloatSummary::of(values).filter(|_| worth_it) else {
            return false;
        };
        summary.encode(&mut self.entries);
        self.before = summary.last.to_bits();
        true
    }
}

/// One chunk of the block index.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// Its time column.
    pub time_column: u32,
    /// Its blocks' entries.
    pub body: &'a [u8],
    /// Where its values start.
    data_at: u64,
    data_len: u64,
}

/// Where a column's chunks lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnChunks {
    /// How many there are.
    pub count: u32,
    /// The number of its first group.
    pub first_group: u32,
}

/// Appends a chunk's entry in front of its blocks' entries.
pub fn put_entry(time_step: i64, entries: &[u8], data_len: usize, out: &mut Vec<u8>) {
    varint::put(out, entries.len() as u64);
    varint::put(out, data_len as u64);
    varint::put_signed(out, time_step);
    out.extend_from_slice(entries);
}

/// Reads chunks by column and rank.
#[derive(Debug)]
pub struct Chunks {
    data: Span,
    index: Span,
    groups: Span,
    /// Where the values lie in pages.
    cold: Option<ColdPages>,
}

/// One group of a column's chunks, read in order.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    cursor: Cursor<'a>,
    /// The rank of the next chunk in the column.
    next: u32,
    end: u32,
    time_column: i64,
    data_at: u64,
}

impl Chunks {
    /// The chunks that `footer` names, whose values lie in `cold`, if that is there.
    pub fn new(footer: &Footer, cold: Option<ColdPages>) -> Self {
        Self {
            data: footer.section(Section::ChunkData),
            index: footer.section(Section::ChunkIndex),
            groups: footer.section(Section::ChunkGroups),
            cold,
        }
    }

    /// Whether the values lie in cold pages.
    pub fn is_cold(&self) -> bool {
        self.cold.is_some()
    }

    /// The group that holds the chunk of this rank in its column.
    pub fn group<'a>(
        &self,
        pages: &'a Pages,
        column: ColumnChunks,
        rank: u32,
    ) -> Result<Group<'a>> {
        if rank >= column.count {
            return Err(pages.corrupt(Section::ChunkIndex.name(), self.index.offset));
        }
        let number = u64::from(column.first_group) + u64::from(rank / GROUP);
        let (start, data_at) = self.group_start(pages, number)?;
        let end = if (number + 1) * 16 < self.groups.len {
            self.group_start(pages, number + 1)?.0
        } else {
            self.index.len
        };
        let len = end.saturating_sub(start);
        let bytes = pages.slice(Section::ChunkIndex, self.index, start, len)?;
        let next = rank / GROUP * GROUP;
        Ok(Group {
            cursor: Cursor::new(bytes),
            next,
            end: column.count.min(next + GROUP),
            time_column: 0,
            data_at,
        })
    }

    fn group_start(&self, pages: &Pages, number: u64) -> Result<(u64, u64)> {
        pages.decode(
            Section::ChunkGroups,
            self.groups,
            number * 16,
            16,
            |bytes| {
                let mut cursor = Cursor::new(bytes);
                Ok((cursor.u64_fixed()?, cursor.u64_fixed()?))
            },
        )
    }

    /// The chunk of this rank, which is in the group and was not passed yet.
    pub fn skip_to<'a>(
        &self,
        pages: &Pages,
        group: &mut Group<'a>,
        rank: u32,
    ) -> Result<Chunk<'a>> {
        loop {
            let passed = group.next == rank;
            let chunk = group.next_chunk();
            match chunk {
                Ok(chunk) if passed => return Ok(chunk),
                Ok(_) if group.next <= rank => {}
                _ => return Err(self.corrupt(pages)),
            }
        }
    }

    /// The chunks of the group that were not passed yet.
    pub fn rest<'a>(&self, pages: &Pages, group: &mut Group<'a>) -> Result<Vec<Chunk<'a>>> {
        let mut chunks = Vec::with_capacity((group.end - group.next) as usize);
        while group.next < group.end {
            chunks.push(group.next_chunk().map_err(|_| self.corrupt(pages))?);
        }
        Ok(chunks)
    }

    fn corrupt(&self, pages: &Pages) -> crate::Error {
        pages.corrupt(Section::ChunkIndex.name(), self.index.offset)
    }

    /// The blocks of a chunk that have rows in `range`.
    pub fn blocks(
        &self,
        pages: &Pages,
        chunk: &Chunk<'_>,
        field_type: FieldType,
        times: &TimeBlocks,
        range: TimeRange,
        out: &mut Vec<BlockRef>,
    ) -> Result<()> {
        let before = out.len();
        chunk
            .read_blocks(field_type, times, range, out)
            .map_err(|_| {
                out.truncate(before);
                self.corrupt(pages)
            })
    }

    /// The bytes of a block's presence and values.
    pub fn data<'a>(
        &self,
        pages: &'a Pages,
        block: &BlockRef,
        held: &mut Option<Held>,
    ) -> Result<Bytes<'a>> {
        let len = u64::from(block.len);
        match &self.cold {
            Some(cold) if len > 0 => cold.bytes(pages, self.data, (block.offset, len), held),
            _ => self.plain(pages, block.offset, len).map(Bytes::File),
        }
    }

    fn plain<'a>(&self, pages: &'a Pages, offset: u64, len: u64) -> Result<&'a [u8]> {
        // An empty slice may stand behind the section where that is shorter than what it stands for.
        let offset = if len == 0 { 0 } else { offset };
        pages.slice(Section::ChunkData, self.data, offset, len)
    }

    /// The bytes of all blocks of a chunk, which is not in cold pages.
    pub fn chunk_data<'a>(&self, pages: &'a Pages, chunk: &Chunk<'_>) -> Result<&'a [u8]> {
        debug_assert!(!self.is_cold());
        self.plain(pages, chunk.data_at, chunk.data_len)
    }

    /// The error of a block that does not decode.
    pub fn corrupt_block(&self, pages: &Pages, block: &BlockRef) -> crate::Error {
        let place = match &self.cold {
            Some(cold) => cold.place(pages, block.offset),
            None => block.offset,
        };
        pages.corrupt(Section::ChunkData.name(), self.data.offset + place)
    }
}

impl<'a> Group<'a> {
    /// Whether the chunk of `rank` is in the group and was not passed.
    pub fn holds(&self, rank: u32) -> bool {
        (self.next..self.end).contains(&rank)
    }

    fn next_chunk(&mut self) -> Result<Chunk<'a>, Malformed> {
        if self.next >= self.end {
            return Err(Malformed("a chunk beyond its group"));
        }
        let body_len = self.cursor.len_up_to(self.cursor.remaining())?;
        let data_len = self.cursor.u64()?;
        self.time_column = self.time_column.wrapping_add(self.cursor.i64()?);
        let chunk = Chunk {
            time_column: u32::try_from(self.time_column)
                .map_err(|_| Malformed("a time column that is not there"))?,
            body: self.cursor.bytes(body_len)?,
            data_at: self.data_at,
            data_len,
        };
        self.data_at = self.data_at.saturating_add(data_len);
        self.next += 1;
        Ok(chunk)
    }
}

impl Chunk<'_> {
    fn read_blocks(
        &self,
        field_type: FieldType,
        times: &TimeBlocks,
        range: TimeRange,
        out: &mut Vec<BlockRef>,
    ) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(self.body);
        let mut offset = self.data_at;
        let mut before = 0u64;
        for time_block in times {
            if time_block.extent.first > range.end.0 {
                // Later blocks are later still.
                return Ok(());
            }
            let block = read_block(&mut cursor, field_type, time_block, offset, &mut before)?;
            let Some(block) = block else { continue };
            offset = offset.saturating_add(u64::from(block.len));
            if block.time_range().overlaps(&range) {
                out.push(block);
            }
        }
        cursor.finish()?;
        if offset == self.data_at.saturating_add(self.data_len) {
            Ok(())
        } else {
            Err(Malformed("a chunk of another length"))
        }
    }
}

/// Reads one block's entry; None for a block without rows.
fn read_block(
    cursor: &mut Cursor<'_>,
    field_type: FieldType,
    time_block: &TimeBlock,
    offset: u64,
    before: &mut u64,
) -> Result<Option<BlockRef>, Malformed> {
    let head = cursor.u8()?;
    if head & EMPTY != 0 {
        return if head == EMPTY {
            Ok(None)
        } else {
            Err(Malformed("an empty block that is not"))
        };
    }
    let codec = Codec::from_id(head & CODEC).ok_or(Malformed("an unknown codec"))?;
    let sparse = head & SPARSE != 0;
    let constant = head & CONSTANT != 0;
    let extent = time_block.extent;
    let len = if !constant {
        cursor.u32()?
    } else if sparse {
        u32::try_from(extent.count.div_ceil(8)).expect("a block has at most 256 rows")
    } else {
        0
    };
    let (mut count, mut first, mut last) = (extent.count, extent.first, extent.last);
    if sparse {
        count = cursor.len_up_to(BLOCK_POINTS_MAX - 1)? + 1;
        first = first.wrapping_add(cursor.u64()?.cast_signed());
        last = last.wrapping_sub(cursor.u64()?.cast_signed());
        if count > extent.count || first < extent.first || last > extent.last || first > last {
            return Err(Malformed("a block beyond its times"));
        }
    }
    let (seed, summary) = match field_type {
        FieldType::Integer => read_integers::<i64>(cursor, head, count, before)
            .map(|(seed, summary)| (seed, summary.map(Summary::Integer)))?,
        FieldType::Unsigned => read_integers::<u64>(cursor, head, count, before)
            .map(|(seed, summary)| (seed, summary.map(Summary::Unsigned)))?,
        FieldType::Float => read_floats(cursor, head, before)?,
        FieldType::String | FieldType::Boolean if head & PLAIN != 0 && !constant => (0, None),
        FieldType::String | FieldType::Boolean => {
            return Err(Malformed("a summary of what is no number"));
        }
    };
    Ok(Some(BlockRef {
        count: u32::try_from(count).expect("at most 256"),
        first: Timestamp(first),
        last: Timestamp(last),
        summary,
        field_type,
        codec,
        seed,
        sparse,
        offset,
        len,
        time_block: *time_block,
    }))
}

fn read_integers<T: Integer>(
    cursor: &mut Cursor<'_>,
    head: u8,
    count: usize,
    before: &mut u64,
) -> Result<(u64, Option<IntegerSummary<T>>), Malformed> {
    let seed = before.wrapping_add(cursor.i64()?.cast_unsigned());
    *before = seed;
    let first = T::from_bits(seed);
    let summary = if head & CONSTANT != 0 {
        Some(IntegerSummary::constant(first, count))
    } else if head & PLAIN != 0 {
        None
    } else {
        let summary = IntegerSummary::decode(first, count, cursor)?;
        *before = summary.last.bits();
        Some(summary)
    };
    Ok((seed, summary))
}

fn read_floats(
    cursor: &mut Cursor<'_>,
    head: u8,
    before: &mut u64,
) -> Result<(u64, Option<Summary>), Malformed> {
    let first = summary::read_float(cursor, f64::from_bits(*before))?;
    *before = first.to_bits();
    let summary = if head & CONSTANT != 0 {
        FloatSummary::constant(first)
    } else if head & PLAIN != 0 {
        None
    } else {
        let summary = FloatSummary::decode(first, cursor)?;
        *before = summary.last.to_bits();
        Some(summary)
    };
    Ok((first.to_bits(), summary.map(Summary::Float)))
}
