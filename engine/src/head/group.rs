//! A row group: one tag set with the columns that arrive together, and their rows.
//!
//! Rows go to the tail, which is sealed by column when it is full, a group at a time as each comes
//! to its own limit, and sooner where it is read again and again; every few sealed chunks become
//! one. What is late goes to the side.

mod delete;
mod read;

use std::cell::RefCell;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::log::{
    ABSOLUTE_EVERY, Bases, Context, Reference, RowPlace, RowShape, RowValues, encode_row,
};
use crate::model::{FieldType, TimeRange};
use crate::partition::PartitionId;

use super::pool::{Chain, Pool};
use super::sealed::{Columns, Presence, SEALED_ROWS_MAX, SealedChunk};
use super::shape::Shape;
use super::side::Side;
use super::tail::{self, Before, TAIL_ROWS_MAX};

pub(crate) use read::GroupRows;

/// The most columns in one group.
pub(crate) const GROUP_COLUMNS_MAX: usize = 64;
/// So many of the last chunks become one, where one has room for their rows.
const CHUNKS_MERGED: usize = SEALED_ROWS_MAX / TAIL_ROWS_MAX;
/// A tail of more rows than this is sealed by those who read it again: reading rows takes several
/// times as long as reading columns.
const READ_ROWS_MAX: usize = 16;
/// How far back a text is looked for that came before.
const TEXTS_SEARCHED: usize = 16;

/// What the groups of a shard share: where their tails lie, and room to work in.
#[derive(Debug, Default)]
pub(crate) struct Room {
    pool: Pool,
    bytes: Vec<u8>,
    /// A tail in one piece, for a reader: who has the room has the shard's lock.
    read: RefCell<Vec<u8>>,
    columns: Columns,
}

/// What most groups never have.
#[derive(Debug, Default)]
struct Rare {
    side: Side,
    /// The texts of string columns, which hold their numbers. The first is empty.
    texts: Vec<Arc<str>>,
    /// Whether values were deleted: rows may be left that no column has a value in.
    deleted: bool,
    /// A bit a slot, set where a deletion took the series out of the index.
    unindexed: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct RowGroup {
    pub(crate) id: u32,
    /// Where the tail's last row starts.
    last_row: u32,
    tail: Chain,
    tail_rows: u8,
    /// Whether a tail of more than [`READ_ROWS_MAX`] was read.
    is_read: bool,
    /// How many of the last rows at least were each written with a value of every column at once.
    full_rows: u8,
    /// Set where rows were lost: only an absolute row may follow.
    pub(crate) needs_absolute: bool,
    pub(crate) partition: PartitionId,
    shape: Arc<Shape>,
    /// The last value of each column.
    last: Box<[u64]>,
    /// Which of them stand in the tail: a bit a slot.
    seen: u64,
    last_time: i64,
    last_delta: i64,
    ordinal: u32,
    /// How many failed appends the log had when the last row was encoded: the low bits.
    failures: u32,
    sealed: Vec<SealedChunk>,
    rare: Option<Box<Rare>>,
}

impl RowGroup {
    pub(crate) fn new(id: u32, partition: PartitionId, shape: Arc<Shape>) -> Self {
        Self {
            id,
            last_row: 0,
            tail: Chain::EMPTY,
            tail_rows: 0,
            is_read: false,
            full_rows: 0,
            needs_absolute: false,
            partition,
            last: vec![0; shape.len()].into(),
            shape,
            seen: 0,
            last_time: 0,
            last_delta: 0,
            ordinal: 0,
            failures: 0,
            sealed: Vec::new(),
            rare: None,
        }
    }

    /// What a new group of so many columns takes.
    pub(crate) fn fixed_bytes(columns: usize) -> usize {
        size_of::<Self>() + columns * size_of::<u64>() + 16
    }

    /// Gives it the shape of its columns and one more, absent in the rows so far; answers its slot.
    pub(crate) fn widen(&mut self, room: &mut Room, shape: Arc<Shape>) -> usize {
        let slot = self.shape.len();
        debug_assert_eq!(shape.len(), slot + 1);
        if self.tail_rows > 0 {
            let (widened, last_row) = self.with_tail(room, |rows| rows.widened());
            room.pool.clear(&mut self.tail);
            room.pool.append(&mut self.tail, &widened);
            self.last_row = small(last_row);
        }
        let mut last = std::mem::take(&mut self.last).into_vec();
        last.reserve_exact(1);
        last.push(0);
        self.last = last.into();
        self.shape = shape;
        self.full_rows = 0;
        slot
    }

    /// Its columns by slot.
    pub(crate) fn columns(&self) -> &[u32] {
        &self.shape.columns
    }

    /// Its columns and their types.
    pub(crate) fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// What the log's differences are to.
    pub(crate) fn bases(&self) -> Bases<'_> {
        Bases {
            types: &self.shape.types,
            bits: &self.last,
            texts: self.texts(),
        }
    }

    fn texts(&self) -> &[Arc<str>] {
        self.rare.as_ref().map_or(&[], |rare| &rare.texts)
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn is_deleted_from(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.deleted)
    }

    fn side(&self) -> Option<&Side> {
        let side = &self.rare.as_ref()?.side;
        (!side.is_empty()).then_some(side)
    }

    pub(crate) fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Takes up the count of rows where the log goes on after a gap.
    pub(crate) fn resync(&mut self, ordinal: u8) {
        self.ordinal = (self.ordinal & !0xff) | u32::from(ordinal);
    }

    /// The last row's time and its distance from the row before.
    pub(crate) fn base(&self) -> (i64, i64) {
        (self.last_time, self.last_delta)
    }

    pub(crate) fn is_empty(&self, room: &Room) -> bool {
        if self.is_deleted_from() {
            (0..self.shape.len()).all(|slot| !self.has_points(room, slot, TimeRange::ALL))
        } else {
            !self.is_started() && self.side().is_none()
        }
    }

    /// Whether there was a row: the last one always stands in the tail, but while that is made.
    fn is_started(&self) -> bool {
        self.tail_rows > 0 || !self.sealed.is_empty()
    }

    /// Whether every row has a value, and nothing stands beside them.
    fn is_plain(&self) -> bool {
        self.side().is_none() && !self.is_deleted_from()
    }

    /// Whether one of `columns` has a value.
    pub(crate) fn holds_any(&self, room: &Room, columns: &[u32]) -> bool {
        let mut slots = self.columns().iter().enumerate();
        slots.any(|(slot, column)| {
            columns.contains(column) && self.has_points(room, slot, TimeRange::ALL)
        })
    }

    fn slots_of(&self, columns: &[u32]) -> u64 {
        let slots = self.columns().iter().enumerate();
        let meant = slots.filter(|(_, column)| columns.contains(column));
        meant.fold(0, |slots, (slot, _)| slots | 1 << slot)
    }

    /// Notes that the index does not know `columns` any more.
    pub(crate) fn hide(&mut self, columns: &[u32]) {
        let slots = self.slots_of(columns);
        if slots != 0 {
            self.rare().unindexed |= slots;
        }
    }

    /// Which of the columns that have `values` the index has to learn again.
    pub(crate) fn reveal(&mut self, values: &RowValues) -> SmallVec<[u32; 4]> {
        let mut revealed = SmallVec::new();
        let Some(rare) = self.rare.as_mut().filter(|rare| rare.unindexed != 0) else {
            return revealed;
        };
        for (slot, _) in &values.cells {
            if rare.unindexed >> slot & 1 == 1 {
                rare.unindexed &= !(1 << slot);
                revealed.push(self.shape.columns[*slot]);
            }
        }
        revealed
    }

    /// The slot of a column; `guess` is tried first.
    pub(crate) fn slot(&self, column: u32, guess: usize) -> Option<usize> {
        let columns = self.columns();
        if columns.get(guess) == Some(&column) {
            return Some(guess);
        }
        columns.iter().position(|there| *there == column)
    }

    pub(crate) fn shape_of(&self, time: i64) -> RowShape {
        if !self.is_started() || time > self.last_time {
            RowShape::Append
        } else if time == self.last_time {
            RowShape::Merge
        } else {
            RowShape::Side
        }
    }

    /// Logs a row into `buffer` and keeps it. `values` is sorted by slot, without duplicates.
    /// Answers by how many bytes its memory grew.
    pub(crate) fn write(
        &mut self,
        room: &mut Room,
        time: i64,
        values: &RowValues,
        buffer: &mut Vec<u8>,
        context: &mut Context,
        failures: u64,
    ) -> isize {
        let shape = self.shape_of(time);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "equal low bits are as many failures: no group waits for 2^32 of them"
        )]
        let failures = failures as u32;
        let lost = self.failures != failures;
        self.failures = failures;
        let absolute = match shape {
            RowShape::Append => {
                lost || self.needs_absolute || self.ordinal.is_multiple_of(ABSOLUTE_EVERY)
            }
            RowShape::Merge => lost,
            RowShape::Side => true,
        };
        let place = RowPlace {
            group: self.id,
            shape,
            reference: if absolute {
                Reference::Absolute
            } else {
                Reference::LastRow
            },
            ordinal: self.ordinal,
            time,
            base: self.base(),
        };
        encode_row(buffer, context, &place, &self.bases(), values);
        self.apply(room, shape, time, values)
    }

    /// Keeps a row; the same for a write and for replay.
    pub(crate) fn apply(
        &mut self,
        room: &mut Room,
        shape: RowShape,
        time: i64,
        values: &RowValues,
    ) -> isize {
        if values.texts.is_empty() {
            return self.keep(room, shape, time, &values.cells);
        }
        let mut grown = 0;
        let mut numbered = values.cells.clone();
        for (slot, bits) in &mut numbered {
            if self.shape.types[*slot] == FieldType::String {
                *bits = self.number_of(*slot, values.text(*bits), &mut grown);
            }
        }
        grown + self.keep(room, shape, time, &numbered)
    }

    fn keep(
        &mut self,
        room: &mut Room,
        shape: RowShape,
        time: i64,
        values: &[(usize, u64)],
    ) -> isize {
        let mut grown = 0;
        match shape {
            RowShape::Side => {
                let types = Arc::clone(&self.shape);
                let side = &mut self.rare().side;
                let before = side.memory_bytes();
                for (slot, bits) in values {
                    side.push(time, *slot, *bits, &types.types);
                }
                return change(before, side.memory_bytes());
            }
            RowShape::Append => {
                if usize::from(self.tail_rows) >= self.tail_rows_max() {
                    grown += self.seal(room);
                }
                grown += self.append(room, time, values);
                self.full_rows = if values.len() == self.shape.len() {
                    self.full_rows.saturating_add(1)
                } else {
                    0
                };
                self.ordinal = self.ordinal.wrapping_add(1);
                self.needs_absolute = false;
            }
            RowShape::Merge => {
                grown += self.merge(room, values);
                if values.len() == self.shape.len() {
                    self.full_rows = self.full_rows.max(1);
                }
            }
        }
        for (slot, bits) in values {
            self.last[*slot] = *bits;
            self.seen |= 1 << slot;
        }
        grown
    }

    fn append(&mut self, room: &mut Room, time: i64, values: &[(usize, u64)]) -> isize {
        let (last_time, step) = match self.tail_rows {
            0 => (0, 0),
            1 => (self.last_time, 0),
            _ => (self.last_time, self.last_delta),
        };
        let before = Before {
            values: &self.last,
            seen: self.seen,
            time: last_time,
            step,
        };
        room.bytes.clear();
        tail::put_row(&mut room.bytes, &self.shape.types, &before, time, values);
        let held = self.tail.memory_bytes();
        self.last_row = small(self.tail.len());
        room.pool.append(&mut self.tail, &room.bytes);
        if self.is_started() {
            self.last_delta = time.wrapping_sub(self.last_time);
        }
        self.tail_rows += 1;
        self.last_time = time;
        change(held, self.tail.memory_bytes())
    }

    fn merge(&mut self, room: &mut Room, values: &[(usize, u64)]) -> isize {
        let held = self.tail.memory_bytes();
        let start = self.last_row as usize;
        room.bytes.clear();
        room.pool.copy(self.tail, start, &mut room.bytes);
        let mut merged = Vec::with_capacity(room.bytes.len() + values.len() * 8);
        let last = (&self.last[..], self.seen);
        tail::put_merged(&mut merged, &self.shape.types, &room.bytes, last, values);
        room.pool.truncate(&mut self.tail, start);
        room.pool.append(&mut self.tail, &merged);
        change(held, self.tail.memory_bytes())
    }

    /// The number of a text of a column.
    fn number_of(&mut self, slot: usize, text: &Arc<str>, grown: &mut isize) -> u64 {
        let last = self.last[slot];
        let texts = &mut self.rare().texts;
        if texts.is_empty() {
            texts.push(Arc::from(""));
        }
        if usize::try_from(last).is_ok_and(|last| texts.get(last) == Some(text)) {
            return last;
        }
        let near = texts.iter().enumerate().rev().take(TEXTS_SEARCHED);
        let found = near.into_iter().find(|(_, there)| *there == text);
        let number = found.map_or(texts.len(), |(number, _)| number);
        if number == texts.len() {
            *grown += change(0, text.len() + 40);
            texts.push(Arc::clone(text));
        }
        number as u64
    }

    /// When the tail is sealed: at first each group's own, so that groups which began together
    /// are not sealed together.
    fn tail_rows_max(&self) -> usize {
        if self.sealed.is_empty() {
            let hash = self.id.wrapping_mul(0x9e37_79b1) >> 16;
            let spread = TAIL_ROWS_MAX / 4 * 3;
            TAIL_ROWS_MAX - ((hash as usize * spread) >> 16)
        } else {
            TAIL_ROWS_MAX
        }
    }

    /// What `then` makes of the rows of the tail.
    fn with_tail<T>(&self, room: &Room, then: impl FnOnce(&tail::Rows<'_>) -> T) -> T {
        let mut bytes = room.read.borrow_mut();
        bytes.clear();
        room.pool.copy(self.tail, 0, &mut bytes);
        tail::pad(&mut bytes);
        let (columns, rows) = (self.shape.len(), self.tail_rows.into());
        then(&tail::Rows::new(&bytes, columns, rows))
    }

    /// Notes that the rows of the tail were read, and seals them where that is worth it. Answers by
    /// how many bytes its memory grew.
    pub(crate) fn was_read(&mut self, room: &mut Room) -> isize {
        let is_long = usize::from(self.tail_rows) > READ_ROWS_MAX;
        if !is_long || !std::mem::replace(&mut self.is_read, true) {
            return 0;
        }
        let before = self.rows_bytes();
        self.tail_columns(room);
        let last = split_last(&mut room.columns, self.last_time);
        self.keep_last(room, &last);
        self.push_sealed(&room.columns);
        self.merge_sealed(room);
        change(before, self.rows_bytes())
    }

    /// Leaves only the last row in the tail: later values of its time are merged into it.
    fn keep_last(&mut self, room: &mut Room, last: &[(usize, u64)]) {
        room.pool.clear(&mut self.tail);
        (self.tail_rows, self.seen) = (0, 0);
        let delta = self.last_delta;
        self.append(room, self.last_time, last);
        self.last_delta = delta;
        self.seen = last.iter().fold(0, |seen, (slot, _)| seen | 1 << slot);
    }

    /// Encodes the rows of the tail by column.
    fn seal(&mut self, room: &mut Room) -> isize {
        let held = self.tail.memory_bytes();
        self.tail_columns(room);
        room.pool.clear(&mut self.tail);
        (self.tail_rows, self.seen) = (0, 0);
        let chunk = SealedChunk::encode(&room.columns, &self.shape.types);
        let taken = size_of::<SealedChunk>() + chunk.memory_bytes();
        self.sealed.reserve_exact(1);
        self.sealed.push(chunk);
        change(held, taken) + self.merge_sealed(room)
    }

    /// Decodes the tail into the room's columns.
    fn tail_columns(&self, room: &mut Room) {
        room.bytes.clear();
        room.pool.copy(self.tail, 0, &mut room.bytes);
        tail::pad(&mut room.bytes);
        let columns = &mut room.columns;
        columns.clear(self.shape.len());
        let rows = tail::Rows::new(&room.bytes, self.shape.len(), self.tail_rows.into());
        rows.all(&self.shape.types, &mut columns.times, &mut columns.columns);
    }

    /// Makes one chunk of the last ones, where there are enough small ones.
    fn merge_sealed(&mut self, room: &mut Room) -> isize {
        let mut rows = 0;
        let fits = |chunk: &&SealedChunk| {
            rows += chunk.rows();
            rows <= SEALED_ROWS_MAX
        };
        let small = self.sealed.iter().rev().take_while(fits).count();
        if small < CHUNKS_MERGED {
            return 0;
        }
        let chunks = self.sealed.split_off(self.sealed.len() - small);
        let columns = &mut room.columns;
        columns.clear(self.shape.len());
        for chunk in &chunks {
            decode_chunk(chunk, &self.shape.types, columns);
        }
        let merged = SealedChunk::encode(columns, &self.shape.types);
        let memory = |chunk: &SealedChunk| size_of::<SealedChunk>() + chunk.memory_bytes();
        let before = chunks.iter().map(memory).sum();
        let change = change(before, memory(&merged));
        self.sealed.push(merged);
        self.sealed.shrink_to_fit();
        change
    }

    fn rows_bytes(&self) -> usize {
        let memory = |chunk: &SealedChunk| size_of::<SealedChunk>() + chunk.memory_bytes();
        self.sealed.iter().map(memory).sum::<usize>() + self.tail.memory_bytes()
    }

    fn push_sealed(&mut self, columns: &Columns) {
        if !columns.times.is_empty() {
            let chunk = SealedChunk::encode(columns, &self.shape.types);
            self.sealed.push(chunk);
        }
    }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).expect("a tail is at most 64 rows of 64 columns")
}

fn change(before: usize, after: usize) -> isize {
    after.wrapping_sub(before).cast_signed()
}

fn is_present(presence: &Presence, row: usize) -> bool {
    presence[row / 64] >> (row % 64) & 1 == 1
}

/// Takes the row of `time` off the end, if it is there; answers its values.
fn split_last(columns: &mut Columns, time: i64) -> Vec<(usize, u64)> {
    let mut last = Vec::new();
    if columns.times.last() != Some(&time) {
        return last;
    }
    columns.times.pop();
    let row = columns.times.len();
    for (slot, (presence, values)) in columns.columns.iter_mut().enumerate() {
        if is_present(presence, row) {
            presence[row / 64] &= !(1 << (row % 64));
            last.extend(values.pop().map(|value| (slot, value)));
        }
    }
    last
}

/// Appends the rows of a chunk.
fn decode_chunk(chunk: &SealedChunk, types: &[FieldType], columns: &mut Columns) {
    let before = columns.times.len();
    chunk.times(&mut columns.times);
    for (slot, (presence, values)) in columns.columns.iter_mut().enumerate() {
        chunk.bits(slot, types[slot], values);
        let there = chunk.presence(slot);
        for row in 0..chunk.rows() {
            if there.is_none_or(|there| is_present(&there, row)) {
                let at = before + row;
                presence[at / 64] |= 1 << (at % 64);
            }
        }
    }
}

#[cfg(test)]
mod tests;
