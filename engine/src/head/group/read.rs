//! Reading a row group: one column within a range, or all of it for a segment.

use smallvec::SmallVec;

use crate::merge::overlay;
use crate::model::{TimeRange, Timestamp, Values};
use crate::snapshot::{Column, Rows as Wanted};

use super::super::sealed::{Parts, Rows, SealedChunk, text};
use super::super::side::push_bits;
use super::super::tail::{self, TAIL_ROWS_MAX};
use super::super::times::ReadTimes;
use super::{Room, RowGroup, is_present};

/// Chunks of a group that are usually read together.
const CHUNKS_AT_ONCE: usize = 8;

/// A group's rows on their way into a segment; each column's number stands before its values.
#[derive(Debug)]
pub(crate) enum GroupRows {
    /// Columns share their times. Which rows have a value, where some have none.
    Together {
        times: Vec<i64>,
        columns: Vec<(u32, Values, Option<Vec<bool>>)>,
    },
    /// Each column has times of its own: some came late or were deleted.
    Apart(Vec<(u32, Vec<i64>, Values)>),
}

impl RowGroup {
    /// Appends the values of one slot within `range` to `times` and `values`, late ones merged in.
    pub(crate) fn read(
        &self,
        room: &Room,
        slot: usize,
        range: TimeRange,
        times: &mut ReadTimes,
        values: &mut Values,
    ) {
        // A question may ask for what begins behind its end.
        if range.is_empty() {
            return;
        }
        let Some(side) = self.side() else {
            self.read_rows(room, slot, range, times, values);
            return;
        };
        let mut own = ReadTimes::default();
        let mut there = Values::new(self.shape.types[slot]);
        self.read_rows(room, slot, range, &mut own, &mut there);
        let mut column = Column {
            times: own.into_vec(),
            values: there,
        };
        let late = side.read(slot, range, &self.shape.types, self.texts());
        overlay(&mut column, late);
        times.extend_from_slice(&column.times);
        values.extend_from(&column.values, 0..column.values.len());
    }

    fn read_rows(
        &self,
        room: &Room,
        slot: usize,
        range: TimeRange,
        times: &mut ReadTimes,
        values: &mut Values,
    ) {
        let (start, end) = (range.start.0, range.end.0);
        let from = self.sealed.partition_point(|chunk| chunk.last < start);
        let to = self.sealed.partition_point(|chunk| chunk.first <= end);
        let chunks = self.sealed.get(from..to).unwrap_or(&[]);
        let parts: SmallVec<[Parts<'_>; CHUNKS_AT_ONCE]> =
            chunks.iter().map(|chunk| chunk.parts(slot)).collect();
        let which: SmallVec<[Rows; CHUNKS_AT_ONCE]> = parts.iter().map(Parts::rows).collect();
        for (parts, which) in parts.iter().zip(which) {
            let chunk = parts.chunk;
            let is_inside = start <= chunk.first && chunk.last <= end;
            match which {
                Rows::None => {}
                Rows::All if is_inside => {
                    parts.read_times(times);
                    parts.values(self.texts(), values);
                }
                Rows::All | Rows::Some => self.read_some(parts, slot, range, times, values),
            }
        }
        if self.tail_rows > 0 && start <= self.last_time {
            self.read_tail(room, slot, range, times, values);
        }
    }

    /// Appends some rows of a chunk: the rest lies outside, or has no value.
    fn read_some(
        &self,
        parts: &Parts<'_>,
        slot: usize,
        range: TimeRange,
        times: &mut ReadTimes,
        values: &mut Values,
    ) {
        let (start, end) = (range.start.0, range.end.0);
        let mut all = Vec::with_capacity(parts.chunk.rows());
        parts.times(&mut all);
        let mut there = Values::new(self.shape.types[slot]);
        parts.values(self.texts(), &mut there);
        match parts.chunk.presence(slot) {
            None => {
                let from = all.partition_point(|time| *time < start);
                let to = all.partition_point(|time| *time <= end);
                times.extend_from_slice(&all[from..to]);
                values.extend_from(&there, from..to);
            }
            Some(presence) => {
                let rows = (0..all.len()).filter(|row| is_present(&presence, *row));
                for (at, row) in rows.enumerate() {
                    if (start..=end).contains(&all[row]) {
                        times.push(all[row]);
                        values.push(there.value(at));
                    }
                }
            }
        }
    }

    fn read_tail(
        &self,
        room: &Room,
        slot: usize,
        range: TimeRange,
        times: &mut ReadTimes,
        values: &mut Values,
    ) {
        if self.tail_rows == 1
            && let Some((time, bits)) = self.newest(slot, range)
        {
            times.push(time);
            push_bits(values, bits, self.texts());
            return;
        }
        let mut points = tail::Points::default();
        self.with_tail(room, |rows| {
            let field_type = self.shape.types[slot];
            let (there, bits) = rows.points(slot, field_type, &mut points);
            let from = there.partition_point(|time| *time < range.start.0);
            let to = there.partition_point(|time| *time <= range.end.0);
            let to = to.max(from);
            times.extend_from_slice(&there[from..to]);
            let bits = bits[from..to].iter().copied();
            match values {
                Values::Float(values) => values.extend(bits.map(f64::from_bits)),
                Values::Integer(values) => values.extend(bits.map(u64::cast_signed)),
                Values::Unsigned(values) => values.extend(bits),
                Values::Boolean(values) => values.extend(bits.map(|bits| bits != 0)),
                Values::String(values) => {
                    values.extend(bits.map(|bits| text(self.texts(), bits)));
                }
            }
        });
    }

    /// The value of `slot` in the last row, where that has all of them and nothing is beside it.
    fn newest(&self, slot: usize, range: TimeRange) -> Option<(i64, u64)> {
        let has_it = self.full_rows > 0 && self.is_plain();
        let is_inside = range.contains(Timestamp(self.last_time));
        (has_it && is_inside).then(|| (self.last_time, self.last[slot]))
    }

    /// As [`Self::read`], into empty columns; of the rows at least those that are wanted.
    pub(crate) fn read_wanted(
        &self,
        room: &Room,
        slot: usize,
        range: TimeRange,
        wanted: Wanted,
        times: &mut ReadTimes,
        values: &mut Values,
    ) {
        let Wanted::Last(wanted) = wanted else {
            return self.read(room, slot, range, times, values);
        };
        if wanted <= 1
            && let Some((time, bits)) = self.newest(slot, range)
        {
            times.push(time);
            push_bits(values, bits, self.texts());
            return;
        }
        if self.side().is_none() {
            if self.tail_rows > 0 && range.start.0 <= self.last_time {
                self.read_tail(room, slot, range, times, values);
            }
            // The last chunk is enough of most columns.
            let mut latest = self.sealed.iter().rev();
            let last = latest.find(|chunk| chunk.first <= range.end.0);
            if let Some(last) = last.filter(|_| times.len() < wanted) {
                times.clear();
                values.clear();
                let start = range.start.max(Timestamp(last.first));
                let end = range.end;
                self.read_rows(room, slot, TimeRange { start, end }, times, values);
            }
            if times.len() >= wanted {
                return;
            }
            times.clear();
            values.clear();
        }
        self.read(room, slot, range, times, values);
    }

    /// How many values of `slot` lie in `range`; none where some came late, which may be others.
    pub(crate) fn count(&self, room: &Room, slot: usize, range: TimeRange) -> Option<usize> {
        if self.side().is_some() {
            return None;
        }
        if range.is_empty() {
            return Some(0);
        }
        let mut times = ReadTimes::default();
        let mut values = Values::new(self.shape.types[slot]);
        let mut count = 0;
        let is_inside = |chunk: &SealedChunk| {
            let ends = [chunk.first, chunk.last].map(Timestamp);
            ends.iter().all(|time| range.contains(*time))
        };
        for chunk in &self.sealed {
            if is_inside(chunk) {
                count += chunk.values_count(slot);
            } else if chunk.last >= range.start.0 && chunk.first <= range.end.0 {
                self.read_some(&chunk.parts(slot), slot, range, &mut times, &mut values);
            }
        }
        if self.is_tail_full_in(range) {
            count += usize::from(self.tail_rows);
        } else if self.tail_rows > 0 && range.start.0 <= self.last_time {
            self.read_tail(room, slot, range, &mut times, &mut values);
        }
        Some(count + times.len())
    }

    /// Whether all rows of the tail lie in `range`, as far as that is known, and have all values.
    fn is_tail_full_in(&self, range: TimeRange) -> bool {
        let is_full = self.is_plain() && self.full_rows >= self.tail_rows;
        let begins = self.sealed.last();
        let begins = begins.is_some_and(|chunk| range.start.0 <= chunk.last);
        is_full && begins && self.last_time <= range.end.0
    }

    /// Whether some value of `slot` lies in `range`.
    pub(crate) fn has_points(&self, room: &Room, slot: usize, range: TimeRange) -> bool {
        if self.newest(slot, range).is_some() {
            return true;
        }
        let in_chunk = |chunk: &SealedChunk| {
            if chunk.last < range.start.0 || chunk.first > range.end.0 {
                return false;
            }
            let parts = chunk.parts(slot);
            let has_end = [chunk.first, chunk.last]
                .iter()
                .any(|time| range.contains(Timestamp(*time)));
            match parts.rows() {
                Rows::None => return false,
                Rows::All if has_end => return true,
                Rows::All | Rows::Some => {}
            }
            let presence = chunk.presence(slot);
            let mut times = Vec::with_capacity(chunk.rows());
            parts.times(&mut times);
            let mut rows = times.iter().enumerate();
            rows.any(|(row, time)| {
                range.contains(Timestamp(*time))
                    && presence.is_none_or(|presence| is_present(&presence, row))
            })
        };
        if self.sealed.iter().rev().any(in_chunk) {
            return true;
        }
        if self.tail_rows > 0 && range.start.0 <= self.last_time {
            let mut times = ReadTimes::default();
            let mut values = Values::new(self.shape.types[slot]);
            self.read_tail(room, slot, range, &mut times, &mut values);
            if times.len() > 0 {
                return true;
            }
        }
        self.side()
            .is_some_and(|side| side.has_points(slot, range, &self.shape.types))
    }

    /// All rows, decoded for a segment.
    pub(crate) fn rows(&self, room: &Room) -> GroupRows {
        let columns = self.columns().iter().enumerate();
        if !self.is_plain() {
            let columns = columns.map(|(slot, column)| {
                let mut times = ReadTimes::default();
                let mut values = Values::new(self.shape.types[slot]);
                self.read(room, slot, TimeRange::ALL, &mut times, &mut values);
                (*column, times.into_vec(), values)
            });
            return GroupRows::Apart(columns.collect());
        }
        self.with_tail(room, |tail| {
            let mut times = Vec::new();
            for chunk in &self.sealed {
                chunk.times(&mut times);
            }
            tail.times(&mut times);
            let columns = columns.map(|(slot, column)| {
                let (values, presence) = self.column_rows(slot, tail, times.len());
                (*column, values, presence)
            });
            GroupRows::Together {
                columns: columns.collect(),
                times,
            }
        })
    }

    /// The values of one slot, and which rows have one where some have none.
    fn column_rows(
        &self,
        slot: usize,
        tail: &tail::Rows<'_>,
        rows: usize,
    ) -> (Values, Option<Vec<bool>>) {
        let mut values = Values::new(self.shape.types[slot]);
        for chunk in &self.sealed {
            chunk.values(slot, self.texts(), &mut values);
        }
        let mut bits = Vec::with_capacity(TAIL_ROWS_MAX);
        let present = tail.column(slot, self.shape.types[slot], &mut bits);
        for bits in bits {
            push_bits(&mut values, bits, self.texts());
        }
        if values.len() == rows {
            return (values, None);
        }
        let mut presence = Vec::with_capacity(rows);
        for chunk in &self.sealed {
            match chunk.presence(slot) {
                None => presence.resize(presence.len() + chunk.rows(), true),
                Some(bits) => {
                    presence.extend((0..chunk.rows()).map(|row| is_present(&bits, row)));
                }
            }
        }
        presence.extend((0..self.tail_rows).map(|row| present >> row & 1 == 1));
        (values, Some(presence))
    }
}
