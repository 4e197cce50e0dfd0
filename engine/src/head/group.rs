//! A row group: one tag set with the columns that arrive together, and their rows.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::log::{ABSOLUTE_EVERY, Context, Reference, RowPlace, RowShape, Slot, encode_row};
use crate::model::{FieldType, FieldValue, TimeRange, Values};
use crate::partition::PartitionId;

/// The most columns in one group.
pub(crate) const GROUP_COLUMNS_MAX: usize = 64;

/// One column of a group: a value a row, and which rows have one.
#[derive(Debug)]
pub(crate) struct GroupColumn {
    pub(crate) column: u32,
    values: Values,
    /// `None`: every row has a value. Else as long as the group has rows.
    presence: Option<Vec<bool>>,
}

/// One value that came too late for the rows.
#[derive(Debug)]
struct Late {
    time: i64,
    slot: u8,
    value: FieldValue,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct RowGroup {
    pub(crate) id: u32,
    pub(crate) partition: PartitionId,
    times: Vec<i64>,
    columns: Vec<GroupColumn>,
    slots: Vec<Slot>,
    side: Vec<Late>,
    last_delta: i64,
    ordinal: u64,
    /// How many failed appends the log had when the last row was encoded.
    failures: u64,
    /// Set where rows were lost: only an absolute row may follow.
    pub(crate) needs_absolute: bool,
    /// Whether values were deleted: rows may be left that no column has a value in.
    deleted: bool,
    /// A bit a slot, set where a deletion took the series out of the index.
    unindexed: u64,
}

impl RowGroup {
    pub(crate) fn new(id: u32, partition: PartitionId) -> Self {
        Self {
            id,
            partition,
            times: Vec::new(),
            columns: Vec::new(),
            slots: Vec::new(),
            side: Vec::new(),
            last_delta: 0,
            ordinal: 0,
            failures: 0,
            needs_absolute: false,
            deleted: false,
            unindexed: 0,
        }
    }

    /// Adds a column, absent in the rows so far.
    pub(crate) fn add_column(&mut self, column: u32, field_type: FieldType) -> usize {
        let mut values = Values::new(field_type);
        for _ in 0..self.times.len() {
            push_empty(&mut values);
        }
        let presence = (!self.times.is_empty()).then(|| vec![false; self.times.len()]);
        self.columns.push(GroupColumn {
            column,
            values,
            presence,
        });
        self.slots.push(Slot::new(field_type));
        self.columns.len() - 1
    }

    pub(crate) fn columns(&self) -> &[GroupColumn] {
        &self.columns
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// Takes up the count of rows where the log goes on after a gap.
    pub(crate) fn resync(&mut self, ordinal: u8) {
        self.ordinal = (self.ordinal & !0xff) | u64::from(ordinal);
    }

    /// The last row's time and its distance from the row before.
    pub(crate) fn base(&self) -> (i64, i64) {
        (self.times.last().copied().unwrap_or(0), self.last_delta)
    }

    pub(crate) fn is_empty(&self) -> bool {
        if self.deleted {
            (0..self.columns.len()).all(|slot| !self.has_points(slot, TimeRange::ALL))
        } else {
            self.times.is_empty() && self.side.is_empty()
        }
    }

    /// Whether every row of [`Self::times`] has a value, and nothing stands beside them.
    pub(crate) fn is_plain(&self) -> bool {
        self.side.is_empty() && !self.deleted
    }

    /// Deletes the values of `columns` within `range`. Rows stay, without those values: the log's
    /// differences go on as if nothing had happened.
    pub(crate) fn delete(&mut self, columns: &[u32], range: TimeRange) {
        let from = self.times.partition_point(|time| *time < range.start.0);
        let to = self.times.partition_point(|time| *time <= range.end.0);
        let mut slots = 0_u64;
        for (slot, column) in self.columns.iter_mut().enumerate() {
            if !columns.contains(&column.column) {
                continue;
            }
            slots |= 1 << slot;
            if from < to {
                let rows = self.times.len();
                let presence = column.presence.get_or_insert_with(|| vec![true; rows]);
                presence[from..to].fill(false);
                if let Values::String(texts) = &mut column.values {
                    texts[from..to].fill(Arc::from(""));
                }
            }
        }
        self.side.retain(|late| {
            slots >> late.slot & 1 == 0 || !range.contains(crate::Timestamp(late.time))
        });
        self.deleted |= slots != 0;
    }

    /// Whether one of `columns` has a value.
    pub(crate) fn holds_any(&self, columns: &[u32]) -> bool {
        let mut slots = self.columns.iter().enumerate();
        slots.any(|(slot, column)| {
            columns.contains(&column.column) && self.has_points(slot, TimeRange::ALL)
        })
    }

    /// Notes that the index does not know `columns` any more.
    pub(crate) fn hide(&mut self, columns: &[u32]) {
        for (slot, column) in self.columns.iter().enumerate() {
            if columns.contains(&column.column) {
                self.unindexed |= 1 << slot;
            }
        }
    }

    /// Which of the columns that have `values` the index has to learn again.
    pub(crate) fn reveal(&mut self, values: &[(usize, FieldValue)]) -> SmallVec<[u32; 4]> {
        let mut revealed = SmallVec::new();
        if self.unindexed == 0 {
            return revealed;
        }
        for (slot, _) in values {
            if self.unindexed >> slot & 1 == 1 {
                self.unindexed &= !(1 << slot);
                revealed.push(self.columns[*slot].column);
            }
        }
        revealed
    }

    /// The slot of a column; `guess` is tried first.
    pub(crate) fn slot(&self, column: u32, guess: usize) -> Option<usize> {
        if self.columns.get(guess).is_some_and(|c| c.column == column) {
            return Some(guess);
        }
        self.columns.iter().position(|c| c.column == column)
    }

    pub(crate) fn shape_of(&self, time: i64) -> RowShape {
        match self.times.last() {
            Some(last) if time == *last => RowShape::Merge,
            Some(last) if time < *last => RowShape::Side,
            _ => RowShape::Append,
        }
    }

    /// Logs a row into `buffer` and keeps it. `values` is sorted by slot, without duplicates.
    /// Answers the bytes of memory it took.
    pub(crate) fn write(
        &mut self,
        time: i64,
        values: &[(usize, FieldValue)],
        buffer: &mut Vec<u8>,
        context: &mut Context,
        failures: u64,
    ) -> usize {
        let shape = self.shape_of(time);
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
        encode_row(buffer, context, &place, &self.slots, values);
        self.apply(shape, time, values)
    }

    /// Keeps a row; the same for a write and for replay.
    pub(crate) fn apply(
        &mut self,
        shape: RowShape,
        time: i64,
        values: &[(usize, FieldValue)],
    ) -> usize {
        let text: usize = values
            .iter()
            .map(|(_, value)| {
                if let FieldValue::String(text) = value {
                    text.len() + 16
                } else {
                    0
                }
            })
            .sum();
        match shape {
            RowShape::Side => {
                for (slot, value) in values {
                    let slot = u8::try_from(*slot).expect("a group has at most 64 columns");
                    self.side.push(Late {
                        time,
                        slot,
                        value: value.clone(),
                    });
                }
                return text + std::mem::size_of_val(values);
            }
            RowShape::Append => {
                self.last_delta = self.times.last().map_or(0, |last| time.wrapping_sub(*last));
                self.times.push(time);
                self.ordinal += 1;
                self.needs_absolute = false;
                self.append_values(values);
            }
            RowShape::Merge => {
                let row = self.times.len() - 1;
                for (slot, value) in values {
                    let column = &mut self.columns[*slot];
                    column.values.set(row, value.as_ref());
                    if let Some(presence) = &mut column.presence {
                        presence[row] = true;
                    }
                }
            }
        }
        for (slot, value) in values {
            self.slots[*slot].remember(value);
        }
        text + 8 + self.columns.len() * 8
    }

    fn append_values(&mut self, values: &[(usize, FieldValue)]) {
        let rows = self.times.len();
        let mut next = values.iter().peekable();
        for (slot, column) in self.columns.iter_mut().enumerate() {
            match next.peek() {
                Some((at, value)) if *at == slot => {
                    column.values.push(value.as_ref());
                    if let Some(presence) = &mut column.presence {
                        presence.push(true);
                    }
                    next.next();
                }
                _ => {
                    push_empty(&mut column.values);
                    column
                        .presence
                        .get_or_insert_with(|| vec![true; rows - 1])
                        .push(false);
                }
            }
        }
    }

    /// Appends the values of one slot within `range` to `times` and `values`, late ones merged in.
    pub(crate) fn read(
        &self,
        slot: usize,
        range: TimeRange,
        times: &mut Vec<i64>,
        values: &mut Values,
    ) {
        let column = &self.columns[slot];
        let from = self.times.partition_point(|time| *time < range.start.0);
        let to = self.times.partition_point(|time| *time <= range.end.0);
        if self.side.is_empty() && column.presence.is_none() {
            if from < to {
                times.extend_from_slice(&self.times[from..to]);
                values.extend_from(&column.values, from..to);
            }
            return;
        }
        let mut late: Vec<&Late> = self
            .side
            .iter()
            .filter(|late| {
                usize::from(late.slot) == slot && range.contains(crate::Timestamp(late.time))
            })
            .collect();
        // Stable: of two late values of one time the later written stays behind and wins.
        late.sort_by_key(|late| late.time);
        let mut late = late.into_iter().peekable();
        let mut push_late = |until: Option<i64>, times: &mut Vec<i64>, values: &mut Values| {
            while let Some(next) = late.next_if(|next| until.is_none_or(|time| next.time <= time)) {
                let replaced = late.peek().is_some_and(|after| after.time == next.time);
                if !replaced {
                    times.push(next.time);
                    values.push(next.value.as_ref());
                }
            }
        };
        for row in from..to {
            let time = self.times[row];
            push_late(Some(time), times, values);
            let is_late = times.last() == Some(&time);
            if !is_late
                && column
                    .presence
                    .as_ref()
                    .is_none_or(|presence| presence[row])
            {
                times.push(time);
                values.push(column.values.value(row));
            }
        }
        push_late(None, times, values);
    }

    /// Whether some value of `slot` lies in `range`.
    pub(crate) fn has_points(&self, slot: usize, range: TimeRange) -> bool {
        let from = self.times.partition_point(|time| *time < range.start.0);
        let to = self.times.partition_point(|time| *time <= range.end.0);
        let in_rows = match &self.columns[slot].presence {
            None => from < to,
            Some(presence) => from < to && presence[from..to].contains(&true),
        };
        in_rows
            || self.side.iter().any(|late| {
                usize::from(late.slot) == slot && range.contains(crate::Timestamp(late.time))
            })
    }

    /// The shared times, for sealing a group without late values.
    pub(crate) fn times(&self) -> &[i64] {
        &self.times
    }

    /// One slot's values and presence, one a row, for sealing a group without late values.
    pub(crate) fn column_rows(&self, slot: usize) -> (&Values, Option<&[bool]>) {
        let column = &self.columns[slot];
        (&column.values, column.presence.as_deref())
    }
}

fn push_empty(values: &mut Values) {
    match values {
        Values::Float(v) => v.push(0.0),
        Values::Integer(v) => v.push(0),
        Values::Unsigned(v) => v.push(0),
        Values::String(v) => v.push(Arc::from("")),
        Values::Boolean(v) => v.push(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> RowGroup {
        let mut group = RowGroup::new(0, PartitionId(1));
        group.add_column(10, FieldType::Integer);
        group.add_column(11, FieldType::Integer);
        group
    }

    fn write(group: &mut RowGroup, time: i64, values: &[(usize, i64)]) {
        let values: Vec<_> = values
            .iter()
            .map(|(s, v)| (*s, FieldValue::Integer(*v)))
            .collect();
        group.write(time, &values, &mut Vec::new(), &mut Context::default(), 0);
    }

    fn read(group: &RowGroup, slot: usize) -> Vec<(i64, i64)> {
        let (mut times, mut values) = (Vec::new(), Values::new(FieldType::Integer));
        group.read(slot, TimeRange::ALL, &mut times, &mut values);
        let Values::Integer(values) = values else {
            panic!("integers")
        };
        times.into_iter().zip(values).collect()
    }

    #[test]
    fn a_late_value_wins_over_the_row_of_its_time_and_the_last_late_one_wins() {
        let mut group = group();
        write(&mut group, 10, &[(0, 1), (1, 2)]);
        write(&mut group, 20, &[(0, 3)]);
        write(&mut group, 10, &[(0, 7)]);
        write(&mut group, 10, &[(0, 8)]);
        write(&mut group, 5, &[(1, 9)]);
        assert_eq!(read(&group, 0), [(10, 8), (20, 3)]);
        assert_eq!(read(&group, 1), [(5, 9), (10, 2)]);
    }

    #[test]
    fn values_of_the_last_time_are_merged_into_its_row() {
        let mut group = group();
        write(&mut group, 10, &[(0, 1)]);
        write(&mut group, 10, &[(1, 2)]);
        write(&mut group, 10, &[(0, 5)]);
        assert_eq!(
            (read(&group, 0), read(&group, 1)),
            (vec![(10, 5)], vec![(10, 2)])
        );
        assert!(group.is_plain());
    }

    #[test]
    fn deleted_values_leave_their_rows_and_later_ones_are_kept() {
        let mut group = group();
        for time in [10, 20, 30] {
            write(&mut group, time, &[(0, time), (1, time)]);
        }
        write(&mut group, 15, &[(0, 15)]);
        let range = |start, end| TimeRange {
            start: crate::Timestamp(start),
            end: crate::Timestamp(end),
        };
        let base = group.base();
        group.delete(&[10], range(15, 30));
        assert_eq!(group.base(), base, "the log's differences go on");
        assert_eq!(read(&group, 0), [(10, 10)]);
        assert_eq!(read(&group, 1), [(10, 10), (20, 20), (30, 30)]);
        write(&mut group, 30, &[(0, 31)]);
        write(&mut group, 15, &[(0, 16)]);
        assert_eq!(read(&group, 0), [(10, 10), (15, 16), (30, 31)]);
        assert!(group.holds_any(&[10]) && !group.is_empty());
        group.delete(&[10, 11], TimeRange::ALL);
        assert!(!group.holds_any(&[10]) && group.is_empty());
    }

    #[test]
    fn a_hidden_column_is_revealed_by_its_next_value() {
        let mut group = group();
        write(&mut group, 10, &[(0, 1), (1, 1)]);
        group.hide(&[11]);
        let value = |slot| [(slot, FieldValue::Integer(2))];
        assert!(group.reveal(&value(0)).is_empty());
        assert_eq!(group.reveal(&value(1)).as_slice(), [11]);
        assert!(group.reveal(&value(1)).is_empty());
    }

    #[test]
    fn a_column_that_comes_later_is_absent_before() {
        let mut group = group();
        write(&mut group, 10, &[(0, 1), (1, 1)]);
        let slot = group.add_column(12, FieldType::Integer);
        write(&mut group, 20, &[(2, 4)]);
        assert_eq!(read(&group, slot), [(20, 4)]);
        assert_eq!(read(&group, 0), [(10, 1)]);
    }
}
