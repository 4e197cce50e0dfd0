//! Time columns: each distinct sequence of times once, in blocks, and the index that finds them.

use hashbrown::{DefaultHashBuilder, HashMap};
use smallvec::SmallVec;
use std::hash::BuildHasher;

use super::layout::{Footer, GROUP, Section, Span};
use super::pages::Pages;
use super::writer::Writer;
use crate::codec::time::{self, Extent};
use crate::codec::varint::{self, Cursor};
use crate::codec::{BLOCK_POINTS_MAX, Codec, Malformed};
use crate::model::Timestamp;
use crate::{Error, Result};

/// A time column of a [`super::SegmentBuilder`], to be handed back to that builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeColumn(pub(super) u32);

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The windows that blocks are cut at, ns.
const WINDOWS: [i64; 9] = [
    150 * SECOND,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    12 * HOUR,
];
/// Where even the largest window holds fewer rows, blocks are cut by count.
const WINDOW_ROWS_MIN: i64 = 32;
/// How many chunks must share a time column before tsz-compress is tried.
const TSZ_CHUNKS_MIN: u32 = 8;

/// Calls `each` with the rows of every block that `times` (not empty) are cut into.
fn cut(times: &[i64], mut each: impl FnMut(&[i64])) {
    let window = window_of(times);
    let same_block = |a: i64, b: i64| {
        window.is_none_or(|window| {
            Timestamp(a).window_start(window) == Timestamp(b).window_start(window)
        })
    };
    let mut rest = times;
    while let Some(&first) = rest.first() {
        let most = &rest[..rest.len().min(BLOCK_POINTS_MAX)];
        let len = most.partition_point(|time| same_block(first, *time));
        let (block, later) = rest.split_at(len);
        each(block);
        rest = later;
    }
}

/// The largest window of at most [`BLOCK_POINTS_MAX`] rows at the median interval; None where
/// blocks are cut by count.
fn window_of(times: &[i64]) -> Option<i64> {
    let mut steps: Vec<i64> = times
        .windows(2)
        .map(|w| w[1].saturating_sub(w[0]))
        .collect();
    let middle = steps.len() / 2;
    if steps.is_empty() {
        return None;
    }
    let (_, median, _) = steps.select_nth_unstable(middle);
    let rows = |window: i64| window / *median;
    let most = i64::try_from(BLOCK_POINTS_MAX).expect("256");
    let window = WINDOWS.into_iter().rfind(|window| rows(*window) <= most)?;
    (rows(window) >= WINDOW_ROWS_MIN).then_some(window)
}

/// One block of a time column that is being built.
#[derive(Debug, Clone, Copy)]
struct NewBlock {
    extent: Extent,
    codec: Codec,
    len: u32,
}

/// One time column that is being built.
#[derive(Debug)]
struct NewColumn {
    blocks: SmallVec<[NewBlock; 2]>,
    data: Box<[u8]>,
    rows: u32,
    /// How many chunks refer to it.
    chunks: u32,
}

impl NewColumn {
    fn encode(times: &[i64]) -> Self {
        let mut blocks = SmallVec::new();
        let mut data = Vec::new();
        cut(times, |block| {
            let start = data.len();
            let codec = time::encode(block, &mut data);
            blocks.push(NewBlock {
                extent: Extent::of(block),
                codec,
                len: block_len(data.len() - start),
            });
        });
        Self {
            blocks,
            data: data.into(),
            rows: u32::try_from(times.len()).expect("rows of a flush fit in 32 bits"),
            chunks: 0,
        }
    }

    fn decode(&self, out: &mut Vec<i64>) {
        let mut data = &self.data[..];
        for block in &self.blocks {
            let (bytes, rest) = data.split_at(block.len as usize);
            time::decode(block.codec, bytes, block.extent, out)
                .expect("the builder reads what it wrote");
            data = rest;
        }
    }

    fn first(&self) -> i64 {
        self.blocks[0].extent.first
    }

    fn last(&self) -> i64 {
        self.blocks[self.blocks.len() - 1].extent.last
    }

    /// What it takes on disk, roughly.
    fn cost(&self) -> usize {
        20 + self.data.len() + 6 * self.blocks.len()
    }
}

fn block_len(len: usize) -> u32 {
    u32::try_from(len).expect("a block of times is at most 2 KiB")
}

/// The time columns of a segment that is being built.
#[derive(Debug, Default)]
pub struct NewTimes {
    hasher: DefaultHashBuilder,
    by_hash: HashMap<u64, SmallVec<[u32; 1]>>,
    columns: Vec<NewColumn>,
    /// The column asked for last, and its times: most chunks come in runs of one column.
    current: Option<(u32, Vec<i64>)>,
}

impl NewTimes {
    /// The number of the column of exactly these times, found or made.
    pub fn intern(&mut self, times: &[i64]) -> Result<u32> {
        if let Some((id, current)) = &self.current
            && current == times
        {
            return Ok(*id);
        }
        if times.is_empty() || times.windows(2).any(|two| two[0] >= two[1]) {
            return Err(Error::Invalid(
                "a time column must be strictly ascending and not empty".into(),
            ));
        }
        let (hash, found) = self.find(times);
        let id = match found {
            Some(id) => id,
            None => self.insert(hash, NewColumn::encode(times)),
        };
        self.current = Some((id, times.to_vec()));
        Ok(id)
    }

    /// The number of a column of exactly these times where keeping it costs less than
    /// `bytes_max`, because it is there already or is that small.
    pub fn intern_below(&mut self, times: &[i64], bytes_max: usize) -> Option<u32> {
        let (hash, found) = self.find(times);
        if found.is_some() {
            return found;
        }
        let column = NewColumn::encode(times);
        (column.cost() < bytes_max).then(|| self.insert(hash, column))
    }

    fn find(&self, times: &[i64]) -> (u64, Option<u32>) {
        let hash = self.hasher.hash_one(times);
        let mut decoded = Vec::new();
        let same = |id: &u32| {
            let column = &self.columns[*id as usize];
            if column.rows as usize != times.len() || column.first() != times[0] {
                return false;
            }
            decoded.clear();
            column.decode(&mut decoded);
            decoded == times
        };
        let found = self
            .by_hash
            .get(&hash)
            .and_then(|ids| ids.iter().copied().find(same));
        (hash, found)
    }

    fn insert(&mut self, hash: u64, column: NewColumn) -> u32 {
        let id = u32::try_from(self.columns.len()).expect("time columns fit in 32 bits");
        self.columns.push(column);
        self.by_hash.entry(hash).or_default().push(id);
        id
    }

    /// The times of a column.
    pub fn times(&mut self, id: u32) -> &[i64] {
        if self
            .current
            .as_ref()
            .is_none_or(|(current, _)| *current != id)
        {
            let mut times = Vec::new();
            self.columns[id as usize].decode(&mut times);
            self.current = Some((id, times));
        }
        &self.current.as_ref().expect("set above").1
    }

    /// How many rows each block of a column has.
    pub fn block_rows(&self, id: u32) -> impl Iterator<Item = usize> + '_ {
        self.columns[id as usize]
            .blocks
            .iter()
            .map(|block| block.extent.count)
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether the builder gave out this number.
    pub fn contains(&self, id: u32) -> bool {
        (id as usize) < self.columns.len()
    }

    /// Counts one more chunk that refers to the column.
    pub fn refer(&mut self, id: u32) {
        self.columns[id as usize].chunks += 1;
    }

    /// The first and the last time of a column.
    pub fn bounds(&self, id: u32) -> (i64, i64) {
        let column = &self.columns[id as usize];
        (column.first(), column.last())
    }

    /// The largest of 1 s, 1 ms, 1 µs and 1 ns that divides every time in the index.
    fn tick(&self, order: &[u32]) -> u64 {
        let mut ticks = [1_000_000_000i64, 1_000_000, 1_000, 1].into_iter();
        let mut tick = ticks.next().expect("the first of four");
        for id in order {
            for block in &self.columns[*id as usize].blocks {
                while block.extent.first % tick != 0 || block.extent.last % tick != 0 {
                    tick = ticks.next().expect("1 divides all");
                }
            }
        }
        tick.cast_unsigned()
    }

    /// Writes the columns in `order`: their data at once, their index for later.
    pub fn write(mut self, order: &[u32], writer: &mut Writer) -> Result<TimeIndex> {
        self.current = None;
        let tick = self.tick(order);
        let start = writer.offset();
        let mut index = TimeIndex {
            tick,
            data: Span::default(),
            entries: Vec::new(),
            groups: Vec::new(),
        };
        let mut before = 0;
        for (number, id) in order.iter().enumerate() {
            let column = &self.columns[*id as usize];
            if number % GROUP as usize == 0 {
                before = 0;
                index
                    .groups
                    .extend((index.entries.len() as u64).to_le_bytes());
                let offset = writer.offset() - start;
                index.groups.extend(offset.to_le_bytes());
            }
            let shared = column.shared_by_many();
            let column = shared.as_ref().unwrap_or(column);
            writer.put(&column.data)?;
            column.put_entry(tick, before, &mut index.entries);
            before = column.first();
        }
        index.data = writer.span_from(start);
        Ok(index)
    }
}

/// Time columns, written: their data lies in the file, their index not yet.
pub struct TimeIndex {
    /// The unit of times in the index, ns.
    pub tick: u64,
    /// Where the data lies.
    pub data: Span,
    /// The index.
    pub entries: Vec<u8>,
    /// Where its groups start.
    pub groups: Vec<u8>,
}

impl NewColumn {
    /// The column with those blocks by tsz-compress that this makes a tenth smaller, where enough
    /// chunks refer to it.
    fn shared_by_many(&self) -> Option<Self> {
        if self.chunks < TSZ_CHUNKS_MIN {
            return None;
        }
        let mut data = Vec::new();
        let mut blocks = self.blocks.clone();
        let mut changed = false;
        let mut rest = &self.data[..];
        let (mut times, mut tsz) = (Vec::new(), Vec::new());
        for block in &mut blocks {
            let (packed, later) = rest.split_at(block.len as usize);
            rest = later;
            if block.codec != Codec::Run {
                times.clear();
                tsz.clear();
                time::decode(block.codec, packed, block.extent, &mut times)
                    .expect("the builder reads what it wrote");
                if time::encode_tsz(&times, &mut tsz) && tsz.len() * 10 <= packed.len() * 9 {
                    block.codec = Codec::Tsz;
                    block.len = block_len(tsz.len());
                    data.extend_from_slice(&tsz);
                    changed = true;
                    continue;
                }
            }
            data.extend_from_slice(packed);
        }
        changed.then(|| Self {
            blocks,
            data: data.into(),
            ..*self
        })
    }

    fn put_entry(&self, tick: u64, before: i64, out: &mut Vec<u8>) {
        // Every time in the index is a multiple of the tick, which is at most 1 s.
        let signed = tick.cast_signed();
        let units = |from: i64, to: i64| to.wrapping_sub(from).cast_unsigned() / tick;
        let mut body = Vec::with_capacity(16);
        varint::put_signed(
            &mut body,
            (self.first() / signed).wrapping_sub(before / signed),
        );
        varint::put(&mut body, units(self.first(), self.last()));
        varint::put(&mut body, self.blocks.len() as u64);
        let last_block = self.blocks.len() - 1;
        let mut end = self.first();
        for (number, block) in self.blocks.iter().enumerate() {
            body.push(block.codec as u8);
            varint::put(&mut body, block.extent.count as u64 - 1);
            if number > 0 {
                varint::put(&mut body, units(end, block.extent.first));
            }
            if number < last_block {
                varint::put(&mut body, units(block.extent.first, block.extent.last));
            }
            if block.codec != Codec::Run {
                varint::put(&mut body, u64::from(block.len));
            }
            end = block.extent.last;
        }
        varint::put(out, body.len() as u64);
        varint::put(out, self.data.len() as u64);
        out.extend(body);
    }
}

/// Where one block of times lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeBlock {
    /// First, last and count.
    pub extent: Extent,
    codec: Codec,
    /// From the start of the time data.
    offset: u64,
    len: u32,
}

#[cfg(test)]
impl TimeBlock {
    /// A block without bytes.
    pub fn constant_step(first: i64, last: i64, count: usize) -> Self {
        Self {
            extent: Extent { first, last, count },
            codec: Codec::Run,
            offset: 0,
            len: 0,
        }
    }
}

/// The blocks of one time column.
pub type TimeBlocks = SmallVec<[TimeBlock; 8]>;

/// Reads time columns by number.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    data: Span,
    index: Span,
    groups: Span,
    tick: i64,
    count: u32,
}

impl Times {
    /// The time columns that `footer` names.
    pub fn new(footer: &Footer) -> Self {
        Self {
            data: footer.section(Section::TimeData),
            index: footer.section(Section::TimeIndex),
            groups: footer.section(Section::TimeGroups),
            tick: footer.tick.cast_signed(),
            count: footer.time_columns,
        }
    }

    /// The blocks of a column.
    pub fn blocks(&self, pages: &Pages, column: u32) -> Result<TimeBlocks> {
        let group = u64::from(column / GROUP);
        if column >= self.count {
            return Err(pages.corrupt(Section::TimeIndex.name(), self.index.offset));
        }
        let groups = (u64::from(self.count)).div_ceil(u64::from(GROUP));
        let (entries_at, data_at) = self.group(pages, group)?;
        let entries_end = if group + 1 < groups {
            self.group(pages, group + 1)?.0
        } else {
            self.index.len
        };
        let len = entries_end.saturating_sub(entries_at);
        pages.decode(Section::TimeIndex, self.index, entries_at, len, |bytes| {
            self.read_entry(bytes, column % GROUP, data_at)
        })
    }

    fn group(&self, pages: &Pages, group: u64) -> Result<(u64, u64)> {
        pages.decode(Section::TimeGroups, self.groups, group * 16, 16, |bytes| {
            let mut cursor = Cursor::new(bytes);
            Ok((cursor.u64_fixed()?, cursor.u64_fixed()?))
        })
    }

    /// Reads the entry that stands `skip` entries behind the group's start.
    fn read_entry(&self, bytes: &[u8], skip: u32, data_at: u64) -> Result<TimeBlocks, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let mut offset = data_at;
        let mut before = 0i64;
        for _ in 0..skip {
            let body_len = cursor.len_up_to(cursor.remaining())?;
            offset = offset.saturating_add(cursor.u64()?);
            let mut body = Cursor::new(cursor.bytes(body_len)?);
            before = before.wrapping_add(body.i64()?);
        }
        let body_len = cursor.len_up_to(cursor.remaining())?;
        let data_len = cursor.u64()?;
        let mut body = Cursor::new(cursor.bytes(body_len)?);
        let tick = self.tick;
        let forward = |from: i64, units: u64| {
            let to = from.wrapping_add(units.cast_signed().wrapping_mul(tick));
            (to >= from)
                .then_some(to)
                .ok_or(Malformed("times that run backwards"))
        };
        let first = before.wrapping_add(body.i64()?).wrapping_mul(tick);
        let last = forward(first, body.u64()?)?;
        let count = body.len_up_to(body.remaining())?;
        let mut blocks = TimeBlocks::with_capacity(count);
        let mut block_first = first;
        let end = offset.saturating_add(data_len);
        for number in 0..count {
            let codec = Codec::from_id(body.u8()?).ok_or(Malformed("an unknown codec"))?;
            let rows = body.len_up_to(BLOCK_POINTS_MAX - 1)? + 1;
            if number > 0 {
                block_first = forward(block_first, body.u64()?)?;
            }
            let block_last = if number + 1 < count {
                forward(block_first, body.u64()?)?
            } else {
                last
            };
            let len = if codec == Codec::Run { 0 } else { body.u32()? };
            blocks.push(TimeBlock {
                extent: Extent {
                    first: block_first,
                    last: block_last,
                    count: rows,
                },
                codec,
                offset,
                len,
            });
            offset = offset.saturating_add(u64::from(len));
            block_first = block_last;
        }
        body.finish()?;
        if blocks.is_empty() || offset != end {
            return Err(Malformed("a time column of another length"));
        }
        Ok(blocks)
    }

    /// Appends the times of a block.
    pub fn read(&self, pages: &Pages, block: &TimeBlock, out: &mut Vec<i64>) -> Result<()> {
        let len = u64::from(block.len);
        pages.decode(Section::TimeData, self.data, block.offset, len, |bytes| {
            time::decode(block.codec, bytes, block.extent, out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(times: &[i64]) -> Vec<usize> {
        let mut lens = Vec::new();
        cut(times, |block| lens.push(block.len()));
        lens
    }

    #[test]
    fn blocks_are_cut_at_the_largest_window_that_fits() {
        let every = |seconds: i64, count: i64| -> Vec<i64> {
            (0..count).map(|i| i * seconds * SECOND).collect()
        };
        assert_eq!(lens(&every(1, 400)), [150, 150, 100]);
        assert_eq!(lens(&every(10, 400)), [180, 180, 40]);
        assert_eq!(lens(&every(60, 500)), [240, 240, 20]);
        assert_eq!(
            lens(&every(3600, 300)),
            [256, 44],
            "by count: 12 h are 12 rows"
        );
        let dense: Vec<i64> = (0..600).collect();
        assert_eq!(lens(&dense), [256, 256, 88], "no window has so few rows");
        assert_eq!(lens(&[5]), [1]);
        assert_eq!(lens(&[i64::MIN + 2, i64::MAX - 1]), [2]);
        let before_1970: Vec<i64> = (-90..90).map(|i| i * 10 * SECOND).collect();
        assert_eq!(lens(&before_1970), [90, 90]);
    }

    #[test]
    fn equal_times_are_one_column() {
        let mut times = NewTimes::default();
        let a = times.intern(&[1, 2, 5]).unwrap();
        let b = times.intern(&[1, 2, 6]).unwrap();
        assert_ne!(a, b);
        assert_eq!(times.intern(&[1, 2, 5]).unwrap(), a);
        assert_eq!(times.intern_below(&[1, 2, 6], 0), Some(b));
        assert_eq!(times.intern_below(&[1, 2, 7], 0), None);
        assert_eq!(times.times(a), [1, 2, 5]);
        assert!(times.intern(&[]).is_err());
        assert!(times.intern(&[3, 3]).is_err());
    }
}
