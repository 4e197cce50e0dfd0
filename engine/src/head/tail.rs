//! The newest rows of a group, one behind the other, so that a row is cheap to add and any one
//! column of it cheap to find.
//!
//! A row is a nibble for its time and for each column, then their bytes. A nibble is how many
//! bytes a value's difference to the one before takes, 0 where it is the same, or `ABSENT`. So
//! where a column's bytes stand is the sum of the nibbles before its own, sixteen to a word.
//! Numbers are bits, whatever their type; a string is a number of the group's table of texts.

use crate::model::FieldType;
use crate::varint::{unzigzag, zigzag};

use super::sealed::Presence;

/// The most rows before they are sealed.
pub(super) const TAIL_ROWS_MAX: usize = 64;

const ABSENT: u8 = 15;
/// Readers load eight bytes wherever a difference starts.
const PADDING: [u8; 16] = [0; 16];

/// What is added to one value to get the next.
fn difference(field_type: FieldType, before: u64, value: u64) -> u64 {
    match field_type {
        // Near numbers differ in the middle of their bits: the low bytes are zero, or all are used.
        FieldType::Float => (before ^ value).swap_bytes(),
        _ => zigzag(value.wrapping_sub(before).cast_signed()),
    }
}

/// The inverse of [`difference`].
#[inline(always)]
fn restore(field_type: FieldType, before: u64, difference: u64) -> u64 {
    match field_type {
        FieldType::Float => before ^ difference.swap_bytes(),
        _ => before.wrapping_add(unzigzag(difference).cast_unsigned()),
    }
}

fn control_bytes(columns: usize) -> usize {
    (columns + 1).div_ceil(2)
}

/// What stands before a row: what its differences are to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    /// The last value of each column, where `seen` has its bit.
    pub(super) values: &'a [u64],
    /// Which columns have a value in the tail.
    pub(super) seen: u64,
    /// The last row's time, and its distance from the one before.
    pub(super) time: i64,
    pub(super) step: i64,
}

impl Before<'_> {
    fn value(&self, slot: usize) -> u64 {
        if self.seen >> slot & 1 == 1 {
            self.values[slot]
        } else {
            0
        }
    }
}

fn put(out: &mut Vec<u8>, control: usize, nibble: usize, difference: u64) {
    let len = 8 - difference.leading_zeros() as usize / 8;
    out[control + nibble / 2] |= small(len) << (nibble % 2 * 4);
    // All eight bytes are one store, some of them a call.
    let end = out.len() + len;
    out.extend_from_slice(&difference.to_le_bytes());
    out.truncate(end);
}

#[expect(clippy::cast_possible_truncation, reason = "a nibble")]
fn small(len: usize) -> u8 {
    len as u8
}

/// Appends a row. `values` is sorted by slot.
pub(super) fn put_row(
    out: &mut Vec<u8>,
    types: &[FieldType],
    before: &Before<'_>,
    time: i64,
    values: &[(usize, u64)],
) {
    let control = out.len();
    out.resize(control + control_bytes(types.len()), 0);
    let expected = before.time.wrapping_add(before.step);
    put(out, control, 0, zigzag(time.wrapping_sub(expected)));
    if values.len() == types.len() {
        for (slot, (field_type, (_, value))) in types.iter().zip(values).enumerate() {
            let difference = difference(*field_type, before.value(slot), *value);
            put(out, control, slot + 1, difference);
        }
        return;
    }
    let mut next = values.iter().peekable();
    for (slot, field_type) in types.iter().enumerate() {
        match next.next_if(|(at, _)| *at == slot) {
            Some((_, value)) => {
                let difference = difference(*field_type, before.value(slot), *value);
                put(out, control, slot + 1, difference);
            }
            None => out[control + slot.div_ceil(2)] |= ABSENT << ((slot + 1) % 2 * 4),
        }
    }
}

/// Overlays the last row, whose bytes are `row`: the same row with `values` in it.
///
/// `last` has each column's last value, where `seen` has its bit.
pub(super) fn put_merged(
    out: &mut Vec<u8>,
    types: &[FieldType],
    row: &[u8],
    (last, seen): (&[u64], u64),
    values: &[(usize, u64)],
) {
    let mut reader = RowReader::new(row, types.len(), 0);
    let control = out.len();
    out.resize(control + control_bytes(types.len()), 0);
    let time = reader.next().expect("a time is never absent");
    put(out, control, 0, time);
    let mut next = values.iter().peekable();
    for (slot, field_type) in types.iter().enumerate() {
        let there = reader.next();
        let seen = seen >> slot & 1 == 1;
        let before = match there {
            // Undoing a difference is restoring the inverse: xor is its own.
            Some(by) if *field_type == FieldType::Float => restore(*field_type, last[slot], by),
            Some(by) => last[slot].wrapping_sub(unzigzag(by).cast_unsigned()),
            None if seen => last[slot],
            None => 0,
        };
        match next.next_if(|(at, _)| *at == slot) {
            Some((_, value)) => {
                let difference = difference(*field_type, before, *value);
                put(out, control, slot + 1, difference);
            }
            None => match there {
                Some(difference) => put(out, control, slot + 1, difference),
                None => out[control + slot.div_ceil(2)] |= ABSENT << ((slot + 1) % 2 * 4),
            },
        }
    }
}

/// The differences of one row, time first.
struct RowReader<'a> {
    bytes: &'a [u8],
    control: usize,
    nibble: usize,
    at: usize,
}

impl<'a> RowReader<'a> {
    fn new(bytes: &'a [u8], columns: usize, start: usize) -> Self {
        Self {
            bytes,
            control: start,
            nibble: 0,
            at: start + control_bytes(columns),
        }
    }

    fn next(&mut self) -> Option<u64> {
        let nibble = self.bytes[self.control + self.nibble / 2] >> (self.nibble % 2 * 4) & 15;
        self.nibble += 1;
        if nibble == ABSENT {
            return None;
        }
        let len = usize::from(nibble);
        let mut eight = [0; 8];
        eight[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        Some(u64::from_le_bytes(eight))
    }
}

/// Room for one column of a tail.
#[derive(Debug)]
pub(super) struct Points {
    times: [i64; TAIL_ROWS_MAX],
    values: [u64; TAIL_ROWS_MAX],
}

impl Default for Points {
    fn default() -> Self {
        Self {
            times: [0; TAIL_ROWS_MAX],
            values: [0; TAIL_ROWS_MAX],
        }
    }
}

/// The rows of a tail, to be read.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    /// The rows, and eight bytes more.
    bytes: &'a [u8],
    columns: usize,
    rows: usize,
}

/// Makes room behind a tail's bytes for its readers.
pub(super) fn pad(bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&PADDING);
}

const EVERY_NIBBLE: u64 = 0x1111_1111_1111_1111;
const LOW_NIBBLES: u64 = 0x0f0f_0f0f_0f0f_0f0f;
const EVERY_BYTE: u64 = 0x0101_0101_0101_0101;
/// By a nibble: the bits of as many bytes, at most of eight.
const BYTES: [u64; 16] = {
    let mut masks = [u64::MAX; 16];
    let mut len = 0;
    while len < 8 {
        masks[len] = (1 << (len * 8)) - 1;
        len += 1;
    }
    masks
};

/// Sixteen nibbles without those that are `ABSENT`, and the sums of the pairs of them, up to each
/// pair: a byte holds that of sixteen.
#[inline(always)]
fn running_sums(nibbles: u64) -> (u64, u64) {
    let absent = nibbles & nibbles >> 1 & nibbles >> 2 & nibbles >> 3 & EVERY_NIBBLE;
    let lens = nibbles & !(absent * 15);
    let pairs = (lens & LOW_NIBBLES) + (lens >> 4 & LOW_NIBBLES);
    (pairs.wrapping_mul(EVERY_BYTE), lens)
}

/// The sum of up to sixteen nibbles, those that are `ABSENT` left out.
#[inline(always)]
fn sum(nibbles: u64) -> usize {
    (running_sums(nibbles).0 >> 56) as usize
}

#[inline(always)]
fn load(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("tails are padded"))
}

#[inline(always)]
fn low_bits(word: u64, bits: usize) -> u64 {
    if bits >= 64 {
        word
    } else {
        word & ((1 << bits) - 1)
    }
}

/// The times of rows, each its difference to what the two before it let expect.
#[derive(Default)]
struct Clock {
    time: i64,
    step: i64,
    is_started: bool,
}

impl Clock {
    #[inline(always)]
    fn next(&mut self, difference: u64) -> i64 {
        let expected = self.time.wrapping_add(self.step);
        let next = expected.wrapping_add(unzigzag(difference));
        if self.is_started {
            self.step = next.wrapping_sub(self.time);
        }
        self.is_started = true;
        self.time = next;
        next
    }
}

impl<'a> Rows<'a> {
    /// `bytes` are padded by [`pad`].
    pub(super) fn new(bytes: &'a [u8], columns: usize, rows: usize) -> Self {
        Self {
            bytes,
            columns,
            rows,
        }
    }

    /// Calls `each` for every row with the difference that stands at `nibble`, if one does.
    #[inline(always)]
    fn differences(&self, nibble: usize, mut each: impl FnMut(Option<u64>)) {
        self.differences_timed(nibble, |_, difference| each(difference));
    }

    /// As [`Self::differences`], with the time's.
    #[inline(always)]
    fn differences_timed(&self, nibble: usize, each: impl FnMut(u64, Option<u64>)) {
        if self.columns < 16 {
            let used = low_bits(u64::MAX, (self.columns + 1) * 4);
            self.each_row(|row| self.lens_in_word(row, nibble, used), each);
        } else {
            self.each_row(|row| self.lens(row, nibble), each);
        }
    }

    /// Calls `each` for every row with the time's difference and that of a nibble, of which `lens`
    /// answers what [`Self::lens`] does.
    #[inline(always)]
    fn each_row(
        &self,
        lens: impl Fn(usize) -> (usize, usize, usize),
        mut each: impl FnMut(u64, Option<u64>),
    ) {
        let control_bytes = control_bytes(self.columns);
        let mut row = 0;
        for _ in 0..self.rows {
            let (before, own, all) = lens(row);
            let data = row + control_bytes;
            let time = load(self.bytes, data) & BYTES[usize::from(self.bytes[row] & 15)];
            let own = (own != usize::from(ABSENT))
                .then(|| load(self.bytes, data + before) & BYTES[own & 15]);
            each(time, own);
            row = data + all;
        }
    }

    /// Of the row that starts at a place: how many bytes stand before those of `nibble`, what that
    /// is, and how many there are of all.
    fn lens(&self, row: usize, nibble: usize) -> (usize, usize, usize) {
        let nibbles = self.columns + 1;
        let (mut before, mut all, mut own) = (0, 0, 0);
        for first in (0..nibbles).step_by(16) {
            let word = load(self.bytes, row + first / 2);
            let word = low_bits(word, (nibbles - first) * 4);
            let len = sum(word);
            if first + 16 <= nibble {
                before += len;
            } else if first <= nibble {
                let bits = (nibble - first) * 4;
                before += sum(low_bits(word, bits));
                own = (word >> bits & 15) as usize;
            }
            all += len;
        }
        (before, own, all)
    }

    /// As [`Self::lens`], where one word holds all nibbles, in the bits of `used`.
    #[inline(always)]
    fn lens_in_word(&self, row: usize, nibble: usize, used: u64) -> (usize, usize, usize) {
        let word = load(self.bytes, row) & used;
        let (sums, lens) = running_sums(word);
        let pair = nibble / 2 * 8;
        // Where it is the second of its pair, the first stands before it, too.
        let first = (lens >> pair & 15) as usize * (nibble % 2);
        let before = (sums << 8 >> pair & 0xff) as usize + first;
        let own = (word >> (nibble * 4) & 15) as usize;
        (before, own, (sums >> 56) as usize)
    }

    /// Appends the times.
    pub(super) fn times(&self, out: &mut Vec<i64>) {
        let mut clock = Clock::default();
        self.differences(0, |difference| {
            out.push(clock.next(difference.expect("a time is never absent")));
        });
    }

    /// Appends the times, and to each of `columns`, which are empty, its values, with a bit for each
    /// row that has one.
    pub(super) fn all(
        &self,
        types: &[FieldType],
        times: &mut Vec<i64>,
        columns: &mut [(Presence, Vec<u64>)],
    ) {
        let control_bytes = control_bytes(self.columns);
        let mut clock = Clock::default();
        let mut control = 0;
        for row in 0..self.rows {
            let mut at = control + control_bytes;
            let mut take = |len: u8| {
                let len = usize::from(len);
                let difference = low_bits(load(self.bytes, at), len * 8);
                at += len;
                difference
            };
            times.push(clock.next(take(self.bytes[control] & 15)));
            for (slot, ((presence, values), field_type)) in
                columns.iter_mut().zip(types).enumerate()
            {
                let nibble = slot + 1;
                let len = self.bytes[control + nibble / 2] >> (nibble % 2 * 4) & 15;
                if len != ABSENT {
                    let before = values.last().copied().unwrap_or(0);
                    values.push(restore(*field_type, before, take(len)));
                    presence[0] |= 1 << row;
                }
            }
            control = at;
        }
    }

    /// Appends a column's values; answers a bit for each row that has one.
    pub(super) fn column(&self, slot: usize, field_type: FieldType, out: &mut Vec<u64>) -> u64 {
        let (mut value, mut present, mut bit) = (0, 0, 1_u64);
        if field_type == FieldType::Float {
            self.differences(slot + 1, |difference| {
                if let Some(by) = difference {
                    value = restore(FieldType::Float, value, by);
                    present |= bit;
                    out.push(value);
                }
                bit = bit.wrapping_shl(1);
            });
        } else {
            self.differences(slot + 1, |difference| {
                if let Some(by) = difference {
                    value = restore(FieldType::Integer, value, by);
                    present |= bit;
                    out.push(value);
                }
                bit = bit.wrapping_shl(1);
            });
        }
        present
    }

    /// The time and the value of every row that has one of a column.
    pub(super) fn points<'p>(
        &self,
        slot: usize,
        field_type: FieldType,
        points: &'p mut Points,
    ) -> (&'p [i64], &'p [u64]) {
        // One loop a way to restore: which one it is is known where the loop is compiled.
        let count = if field_type == FieldType::Float {
            self.put_points(slot, points, |before, by| {
                restore(FieldType::Float, before, by)
            })
        } else {
            self.put_points(slot, points, |before, by| {
                restore(FieldType::Integer, before, by)
            })
        };
        (&points.times[..count], &points.values[..count])
    }

    /// Answers how many there are.
    #[inline(always)]
    fn put_points(
        &self,
        slot: usize,
        points: &mut Points,
        restore: impl Fn(u64, u64) -> u64,
    ) -> usize {
        let mut clock = Clock::default();
        let (mut value, mut count) = (0, 0);
        self.differences_timed(slot + 1, |by, difference| {
            let time = clock.next(by);
            if let Some(by) = difference {
                value = restore(value, by);
                (points.times[count], points.values[count]) = (time, value);
                count += 1;
            }
        });
        count
    }

    /// The same rows with room for one more column, absent in all of them. Also answers where the
    /// last row starts.
    pub(super) fn widened(&self) -> (Vec<u8>, usize) {
        let (old, new) = (control_bytes(self.columns), control_bytes(self.columns + 1));
        let nibble = self.columns + 1;
        let mut out = Vec::with_capacity(self.bytes.len() + self.rows);
        let (mut row, mut last) = (0, 0);
        for _ in 0..self.rows {
            let mut len = 0;
            for first in (0..nibble).step_by(16) {
                let word = load(self.bytes, row + first / 2);
                len += sum(low_bits(word, (nibble - first) * 4));
            }
            last = out.len();
            out.extend_from_slice(&self.bytes[row..row + old]);
            out.resize(last + new, 0);
            out[last + nibble / 2] |= ABSENT << (nibble % 2 * 4);
            out.extend_from_slice(&self.bytes[row + old..row + old + len]);
            row += old + len;
        }
        (out, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPES: [FieldType; 4] = [
        FieldType::Integer,
        FieldType::Float,
        FieldType::Unsigned,
        FieldType::Boolean,
    ];

    /// A tail as a group writes it.
    struct Tail {
        types: Vec<FieldType>,
        bytes: Vec<u8>,
        last_row: usize,
        last: Vec<u64>,
        seen: u64,
        time: (i64, i64),
        /// What is expected back.
        rows: Vec<(i64, Vec<Option<u64>>)>,
    }

    impl Tail {
        fn new(types: Vec<FieldType>) -> Self {
            Self {
                last: vec![0; types.len()],
                types,
                bytes: Vec::new(),
                last_row: 0,
                seen: 0,
                time: (0, 0),
                rows: Vec::new(),
            }
        }

        fn append(&mut self, time: i64, values: &[(usize, u64)]) {
            let (before, step) = self.time;
            self.last_row = self.bytes.len();
            let there = Before {
                values: &self.last,
                seen: self.seen,
                time: before,
                step,
            };
            put_row(&mut self.bytes, &self.types, &there, time, values);
            let step = if self.rows.is_empty() {
                0
            } else {
                time.wrapping_sub(before)
            };
            self.time = (time, step);
            self.rows.push((time, vec![None; self.types.len()]));
            self.remember(values);
        }

        fn merge(&mut self, values: &[(usize, u64)]) {
            let row = self.bytes.split_off(self.last_row);
            let last = (&self.last[..], self.seen);
            put_merged(&mut self.bytes, &self.types, &row, last, values);
            self.remember(values);
        }

        fn remember(&mut self, values: &[(usize, u64)]) {
            for (slot, value) in values {
                self.last[*slot] = *value;
                self.seen |= 1 << slot;
                self.rows.last_mut().unwrap().1[*slot] = Some(*value);
            }
        }

        fn widen(&mut self) {
            pad(&mut self.bytes);
            let rows = Rows::new(&self.bytes, self.types.len(), self.rows.len());
            (self.bytes, self.last_row) = rows.widened();
            self.types.push(FieldType::Integer);
            self.last.push(0);
            for row in &mut self.rows {
                row.1.push(None);
            }
        }

        fn check(mut self) {
            pad(&mut self.bytes);
            let rows = Rows::new(&self.bytes, self.types.len(), self.rows.len());
            let mut times = Vec::new();
            rows.times(&mut times);
            let expected: Vec<i64> = self.rows.iter().map(|row| row.0).collect();
            assert_eq!(times, expected);
            let mut columns = vec![Default::default(); self.types.len()];
            times.clear();
            rows.all(&self.types, &mut times, &mut columns);
            assert_eq!(times, expected, "times beside all columns");
            for (slot, field_type) in self.types.iter().enumerate() {
                let mut values = Vec::new();
                let present = rows.column(slot, *field_type, &mut values);
                assert_eq!(
                    columns[slot],
                    ([present, 0, 0, 0], values.clone()),
                    "slot {slot} of all"
                );
                let mut points = Points::default();
                let points = rows.points(slot, *field_type, &mut points);
                let there = self.rows.iter().filter(|row| row.1[slot].is_some());
                let there: Vec<i64> = there.map(|row| row.0).collect();
                assert_eq!(points, (&there[..], &values[..]), "points of slot {slot}");
                let mut values = values.into_iter();
                for (at, row) in self.rows.iter().enumerate() {
                    let got = (present >> at & 1 == 1).then(|| values.next().unwrap());
                    assert_eq!(got, row.1[slot], "row {at} slot {slot}");
                }
            }
        }
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            0_u64..1000,
            any::<i32>().prop_map(|v| i64::from(v).cast_unsigned()),
            any::<f32>().prop_map(|v| f64::from(v).to_bits()),
        ]
    }

    #[derive(Debug, Clone)]
    enum Step {
        Append(i64, Vec<Option<u64>>),
        Merge(Vec<Option<u64>>),
        Widen,
    }

    fn step(columns: usize) -> impl Strategy<Value = Step> {
        let values = || prop::collection::vec(prop::option::weighted(0.8, number()), columns);
        prop_oneof![
            6 => (any::<i64>(), values()).prop_map(|(time, values)| Step::Append(time, values)),
            2 => values().prop_map(Step::Merge),
            1 => Just(Step::Widen),
        ]
    }

    proptest! {
        #[test]
        fn rows_come_back_by_column(
            (columns, steps) in (1_usize..40).prop_flat_map(|columns| {
                (Just(columns), prop::collection::vec(step(columns), 1..TAIL_ROWS_MAX))
            }),
        ) {
            let types = (0..columns).map(|slot| TYPES[slot % TYPES.len()]).collect();
            let mut tail = Tail::new(types);
            let sparse = |values: Vec<Option<u64>>| -> Vec<(usize, u64)> {
                let slots = values.into_iter().enumerate();
                slots.filter_map(|(slot, value)| value.map(|value| (slot, value))).collect()
            };
            for step in steps {
                match step {
                    Step::Append(time, values) => tail.append(time, &sparse(values)),
                    Step::Merge(values) if !tail.rows.is_empty() => tail.merge(&sparse(values)),
                    Step::Widen if tail.types.len() < 64 => tail.widen(),
                    _ => {}
                }
            }
            tail.check();
        }
    }
}
