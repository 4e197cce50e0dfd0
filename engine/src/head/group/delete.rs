//! Taking values out of a row group.

use std::sync::Arc;

use crate::model::{TimeRange, Timestamp};

use super::super::sealed::Columns;
use super::{Room, RowGroup, change, decode_chunk, is_present, split_last};

impl RowGroup {
    /// Deletes the values of `columns` within `range`; the log's differences go on as if nothing
    /// had happened. The last row stays, if without values, for later ones are merged into it.
    /// Answers by how many bytes its memory grew.
    pub(crate) fn delete(&mut self, room: &mut Room, columns: &[u32], range: TimeRange) -> isize {
        let slots = self.slots_of(columns);
        if slots == 0 {
            return 0;
        }
        let types = Arc::clone(&self.shape);
        let rare = self.rare();
        rare.deleted = true;
        rare.side.delete(slots, range, &types.types);
        let before = self.rows_bytes();
        let chunks = std::mem::take(&mut self.sealed);
        for chunk in chunks {
            if chunk.last < range.start.0 || chunk.first > range.end.0 {
                self.sealed.push(chunk);
                continue;
            }
            room.columns.clear(self.shape.len());
            decode_chunk(&chunk, &self.shape.types, &mut room.columns);
            let left = without(&room.columns, slots, range);
            self.push_sealed(&left);
        }
        if self.tail_rows > 0 && range.start.0 <= self.last_time {
            self.tail_columns(room);
            let mut left = without(&room.columns, slots, range);
            let last = split_last(&mut left, self.last_time);
            self.push_sealed(&left);
            self.keep_last(room, &last);
        }
        change(before, self.rows_bytes())
    }
}

/// Rows without the values of `slots` within `range`, and without rows that have none left.
fn without(columns: &Columns, slots: u64, range: TimeRange) -> Columns {
    let mut left = Columns::default();
    left.clear(columns.columns.len());
    let mut values: Vec<_> = columns
        .columns
        .iter()
        .map(|column| column.1.iter())
        .collect();
    for (row, time) in columns.times.iter().enumerate() {
        let at = left.times.len();
        let mut has_values = false;
        for (slot, values) in values.iter_mut().enumerate() {
            if !is_present(&columns.columns[slot].0, row) {
                continue;
            }
            let Some(value) = values.next() else { continue };
            if slots >> slot & 1 == 1 && range.contains(Timestamp(*time)) {
                continue;
            }
            let (presence, kept) = &mut left.columns[slot];
            presence[at / 64] |= 1 << (at % 64);
            kept.push(*value);
            has_values = true;
        }
        if has_values {
            left.times.push(*time);
        }
    }
    left
}
