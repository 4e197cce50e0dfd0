//! Values that came too late for the rows of their group: appended, sorted when they are read.

use std::sync::Arc;

use crate::model::{FieldType, TimeRange, Timestamp, Values};
use crate::snapshot::Column;

use super::sealed::{Columns, SEALED_ROWS_MAX, SealedChunk, text};

/// So many late values are sorted and encoded together.
const OPEN_VALUES_MAX: usize = 4096;

/// One late value.
#[derive(Debug, Clone, Copy)]
struct Late {
    time: i64,
    bits: u64,
    slot: u8,
}

/// The late values of one group.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Sorted and encoded values, each run's by slot and time, the runs as they came.
    runs: Vec<Vec<(u8, SealedChunk)>>,
    /// Values as they came.
    open: Vec<Late>,
}

impl Side {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.open.is_empty()
    }

    /// Keeps a value.
    pub(super) fn push(&mut self, time: i64, slot: usize, bits: u64, types: &[FieldType]) {
        let slot = u8::try_from(slot).expect("a group has at most 64 columns");
        self.open.push(Late { time, bits, slot });
        if self.open.len() >= OPEN_VALUES_MAX {
            self.seal(types);
        }
    }

    /// What it takes, roughly.
    pub(super) fn memory_bytes(&self) -> usize {
        let chunks = self.runs.iter().flatten();
        chunks
            .map(|(_, chunk)| size_of::<(u8, SealedChunk)>() + chunk.memory_bytes())
            .sum::<usize>()
            + self.open.capacity() * size_of::<Late>()
    }

    fn seal(&mut self, types: &[FieldType]) {
        // Stable: of two values of one slot and time the later written stays behind.
        self.open.sort_by_key(|late| (late.slot, late.time));
        let mut run = Vec::new();
        let mut columns = Columns::default();
        for of_slot in self.open.chunk_by(|a, b| a.slot == b.slot) {
            let slot = of_slot[0].slot;
            let kept: Vec<&Late> = of_slot
                .chunk_by(|a, b| a.time == b.time)
                .filter_map(<[Late]>::last)
                .collect();
            for piece in kept.chunks(SEALED_ROWS_MAX) {
                columns.clear(1);
                columns.times.extend(piece.iter().map(|late| late.time));
                let (presence, values) = &mut columns.columns[0];
                presence.fill(u64::MAX);
                values.extend(piece.iter().map(|late| late.bits));
                let types = &types[usize::from(slot)..];
                run.push((slot, SealedChunk::encode(&columns, types)));
            }
        }
        run.shrink_to_fit();
        self.runs.push(run);
        self.open = Vec::new();
    }

    /// All values, as they came as far as that matters.
    fn all(&self, types: &[FieldType]) -> Vec<Late> {
        let mut all = Vec::new();
        for (slot, chunk) in self.runs.iter().flatten() {
            decode(*slot, chunk, types, &mut all);
        }
        all.extend_from_slice(&self.open);
        all
    }

    /// Removes the values within `range` of slots that have their bit in `slots`.
    pub(super) fn delete(&mut self, slots: u64, range: TimeRange, types: &[FieldType]) {
        let all = self.all(types);
        *self = Self::default();
        for late in all {
            if slots >> late.slot & 1 == 0 || !range.contains(Timestamp(late.time)) {
                self.push(late.time, usize::from(late.slot), late.bits, types);
            }
        }
    }

    fn in_range(&self, slot: usize, range: TimeRange, types: &[FieldType]) -> Vec<Late> {
        let is_meant =
            |late: &Late| usize::from(late.slot) == slot && range.contains(Timestamp(late.time));
        let mut found = Vec::new();
        for (number, chunk) in self.runs.iter().flatten() {
            if usize::from(*number) == slot
                && chunk.last >= range.start.0
                && chunk.first <= range.end.0
            {
                decode(*number, chunk, types, &mut found);
            }
        }
        found.retain(is_meant);
        found.extend(self.open.iter().filter(|late| is_meant(late)));
        found
    }

    /// Whether some value of `slot` lies in `range`.
    pub(super) fn has_points(&self, slot: usize, range: TimeRange, types: &[FieldType]) -> bool {
        !self.is_empty() && !self.in_range(slot, range, types).is_empty()
    }

    /// The values of `slot` within `range`, ascending, of each time the last that came.
    pub(super) fn read(
        &self,
        slot: usize,
        range: TimeRange,
        types: &[FieldType],
        texts: &[Arc<str>],
    ) -> Column {
        let mut found = self.in_range(slot, range, types);
        // Stable, and quick where runs are in order already.
        found.sort_by_key(|late| late.time);
        let mut column = Column {
            times: Vec::with_capacity(found.len()),
            values: Values::new(types[slot]),
        };
        for same in found.chunk_by(|a, b| a.time == b.time) {
            let late = same[same.len() - 1];
            column.times.push(late.time);
            push_bits(&mut column.values, late.bits, texts);
        }
        column
    }
}

fn decode(slot: u8, chunk: &SealedChunk, types: &[FieldType], out: &mut Vec<Late>) {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    chunk.times(&mut times);
    chunk.bits(0, types[usize::from(slot)], &mut values);
    let rows = times.into_iter().zip(values);
    out.extend(rows.map(|(time, bits)| Late { time, bits, slot }));
}

/// Appends the value that `bits` are.
pub(super) fn push_bits(values: &mut Values, bits: u64, texts: &[Arc<str>]) {
    match values {
        Values::Float(values) => values.push(f64::from_bits(bits)),
        Values::Integer(values) => values.push(bits.cast_signed()),
        Values::Unsigned(values) => values.push(bits),
        Values::Boolean(values) => values.push(bits != 0),
        Values::String(values) => values.push(text(texts, bits)),
    }
}
