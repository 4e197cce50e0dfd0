//! Rows in the log: differences from the row group's previous row.
//!
//! A row carries its ordinal in the group (low 8 bits), so that a reader notices a gap and waits
//! for the next absolute row. Every [`ABSOLUTE_EVERY`]-th row is absolute.

use crate::model::{FieldType, FieldValue, ValueRef};
use crate::varint::{Reader, put, put_signed, unzigzag, zigzag};

use super::record::ROW;

/// Values and time do not refer to the previous row.
const ABSOLUTE: u8 = 1;
/// The time is before the group's last: the row goes to the side log. Always absolute.
const SIDE: u8 = 2;
/// Every column of the group has a value.
const FULL: u8 = 4;
/// The time is that of the row before it in this context.
const SAME_TIME: u8 = 8;
/// The row overlays the group's last row: same time, no new ordinal.
const MERGE: u8 = 16;

/// Every so many rows of a group one is absolute, so that a gap costs at most as many.
pub(crate) const ABSOLUTE_EVERY: u64 = 64;

/// What rows next to each other share; starts afresh where a [`super::Record::Context`] stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context {
    group: i64,
    time: i64,
}

/// Where a row stands relative to the group's last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowShape {
    /// Later than the last row.
    Append,
    /// At the last row's time.
    Merge,
    /// Before the last row's time.
    Side,
}

/// A row's fixed part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowHeader {
    flags: u8,
    group_delta: i64,
    pub(crate) ordinal: u8,
}

impl RowHeader {
    pub(crate) fn shape(&self) -> RowShape {
        if self.flags & SIDE != 0 {
            RowShape::Side
        } else if self.flags & MERGE != 0 {
            RowShape::Merge
        } else {
            RowShape::Append
        }
    }

    pub(crate) fn is_absolute(&self) -> bool {
        self.flags & ABSOLUTE != 0
    }
}

/// What a group remembers of each column between rows: type and the last value.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) field_type: FieldType,
    /// The last value's bits; for strings unused.
    pub(crate) bits: u64,
    /// The last string.
    pub(crate) text: Option<std::sync::Arc<str>>,
}

impl Slot {
    pub(crate) fn new(field_type: FieldType) -> Self {
        Self {
            field_type,
            bits: 0,
            text: None,
        }
    }

    /// Remembers `value`.
    pub(crate) fn remember(&mut self, value: &FieldValue) {
        match value {
            FieldValue::String(text) => self.text = Some(text.clone()),
            other => self.bits = bits(other.as_ref()),
        }
    }
}

fn bits(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Float(v) => v.to_bits(),
        ValueRef::Integer(v) => v.cast_unsigned(),
        ValueRef::Unsigned(v) => v,
        ValueRef::Boolean(v) => u64::from(v),
        ValueRef::String(_) => 0,
    }
}

/// A row's values: slot numbers in ascending order.
pub(crate) type RowValues = smallvec::SmallVec<[(usize, FieldValue); 16]>;

/// Where a row stands, and what it is written as a difference to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowPlace {
    pub(crate) group: u32,
    pub(crate) shape: RowShape,
    pub(crate) reference: Reference,
    pub(crate) ordinal: u64,
    /// ns.
    pub(crate) time: i64,
    /// The group's last time, and its distance from the one before.
    pub(crate) base: (i64, i64),
}

/// What a row's values are differences to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    /// Nothing: the row can be read without those before it.
    Absolute,
    /// The group's last row.
    LastRow,
}

/// Appends a row. `values` is sorted by slot, without duplicates, and not empty.
pub(crate) fn encode_row(
    out: &mut Vec<u8>,
    context: &mut Context,
    place: &RowPlace,
    slots: &[Slot],
    values: &[(usize, FieldValue)],
) {
    let RowPlace {
        group,
        shape,
        reference,
        ordinal,
        time,
        base: (last_time, last_delta),
    } = *place;
    let absolute = reference == Reference::Absolute || shape == RowShape::Side;
    let full = values.len() == slots.len();
    let same_time = time == context.time && shape != RowShape::Merge;
    let mut flags = ROW;
    flags |= if absolute { ABSOLUTE } else { 0 };
    flags |= if full { FULL } else { 0 };
    flags |= if same_time { SAME_TIME } else { 0 };
    flags |= match shape {
        RowShape::Append => 0,
        RowShape::Merge => MERGE,
        RowShape::Side => SIDE,
    };
    out.push(flags);
    put_signed(out, i64::from(group) - context.group);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low 8 bits are what is stored"
    )]
    out.push(ordinal as u8);
    context.group = i64::from(group);
    if shape != RowShape::Merge {
        if !same_time {
            let expected = if absolute {
                0
            } else {
                last_time.wrapping_add(last_delta)
            };
            put_signed(out, time.wrapping_sub(expected));
        }
        context.time = time;
    }
    if !full {
        put_bitmap(out, slots.len(), values.iter().map(|(slot, _)| *slot));
    }
    let changed_at = out.len();
    out.resize(changed_at + values.len().div_ceil(8), 0);
    for (index, (slot, value)) in values.iter().enumerate() {
        let slot = &slots[*slot];
        if put_value(out, slot, absolute, value) {
            out[changed_at + index / 8] |= 1 << (index % 8);
        }
    }
}

fn put_bitmap(out: &mut Vec<u8>, len: usize, set: impl Iterator<Item = usize>) {
    let at = out.len();
    out.resize(at + len.div_ceil(8), 0);
    for index in set {
        out[at + index / 8] |= 1 << (index % 8);
    }
}

/// Appends the difference; `false` and nothing where there is none.
fn put_value(out: &mut Vec<u8>, slot: &Slot, absolute: bool, value: &FieldValue) -> bool {
    let base = if absolute { 0 } else { slot.bits };
    match value {
        FieldValue::Integer(v) => {
            let delta = v.wrapping_sub(base.cast_signed());
            put_difference(out, zigzag(delta))
        }
        FieldValue::Unsigned(v) => put_difference(out, zigzag(v.wrapping_sub(base).cast_signed())),
        FieldValue::Boolean(v) => u64::from(*v) != base,
        FieldValue::Float(v) => {
            let xor = v.to_bits() ^ base;
            if xor == 0 {
                return false;
            }
            let bytes = xor.to_be_bytes();
            let start = (xor.leading_zeros() / 8) as usize;
            let end = 8 - (xor.trailing_zeros() / 8) as usize;
            #[expect(clippy::cast_possible_truncation, reason = "both are at most 8")]
            out.push((start << 4 | (end - start)) as u8);
            out.extend_from_slice(&bytes[start..end]);
            true
        }
        FieldValue::String(v) => {
            let same = !absolute && slot.text.as_deref() == Some(v);
            if !same {
                put(out, v.len() as u64);
                out.extend_from_slice(v.as_bytes());
            }
            !same
        }
    }
}

fn put_difference(out: &mut Vec<u8>, difference: u64) -> bool {
    if difference != 0 {
        put(out, difference);
    }
    difference != 0
}

pub(super) fn row_header(kind: u8, reader: &mut Reader<'_>) -> Option<RowHeader> {
    let flags = kind & !ROW;
    if flags & !(ABSOLUTE | SIDE | FULL | SAME_TIME | MERGE) != 0 {
        return None;
    }
    Some(RowHeader {
        flags,
        group_delta: reader.signed()?,
        ordinal: reader.byte()?,
    })
}

impl Context {
    /// The group that a row belongs to; remembers it.
    pub(crate) fn group(&mut self, header: &RowHeader) -> Option<u32> {
        self.group = self.group.checked_add(header.group_delta)?;
        u32::try_from(self.group).ok()
    }

    /// A row's time; remembers it.
    pub(crate) fn time(
        &mut self,
        header: &RowHeader,
        base: (i64, i64),
        reader: &mut Reader<'_>,
    ) -> Option<i64> {
        let (last_time, last_delta) = base;
        if header.flags & MERGE != 0 {
            return Some(last_time);
        }
        if header.flags & SAME_TIME == 0 {
            let expected = if header.is_absolute() {
                0
            } else {
                last_time.wrapping_add(last_delta)
            };
            self.time = reader.signed()?.wrapping_add(expected);
        }
        Some(self.time)
    }
}

/// Reads a row's values into `out`, slot numbers ascending.
pub(crate) fn row_values(
    header: &RowHeader,
    slots: &[Slot],
    reader: &mut Reader<'_>,
    out: &mut RowValues,
) -> Option<()> {
    out.clear();
    let full = header.flags & FULL != 0;
    let present = if full {
        None
    } else {
        Some(reader.take(slots.len().div_ceil(8))?)
    };
    let is_present = |slot: usize| present.is_none_or(|bits| bits[slot / 8] >> (slot % 8) & 1 == 1);
    let count = (0..slots.len()).filter(|slot| is_present(*slot)).count();
    let changed = reader.take(count.div_ceil(8))?;
    let mut index = 0;
    for (number, slot) in slots.iter().enumerate() {
        if !is_present(number) {
            continue;
        }
        let differs = changed[index / 8] >> (index % 8) & 1 == 1;
        index += 1;
        let value = value(slot, header.is_absolute(), differs, reader)?;
        out.push((number, value));
    }
    (!out.is_empty()).then_some(())
}

fn value(
    slot: &Slot,
    absolute: bool,
    differs: bool,
    reader: &mut Reader<'_>,
) -> Option<FieldValue> {
    let base = if absolute { 0 } else { slot.bits };
    let difference = |reader: &mut Reader<'_>| -> Option<i64> {
        if differs {
            reader.varint().map(unzigzag)
        } else {
            Some(0)
        }
    };
    Some(match slot.field_type {
        FieldType::Integer => {
            FieldValue::Integer(base.cast_signed().wrapping_add(difference(reader)?))
        }
        FieldType::Unsigned => {
            FieldValue::Unsigned(base.wrapping_add(difference(reader)?.cast_unsigned()))
        }
        FieldType::Boolean => FieldValue::Boolean((base != 0) != differs),
        FieldType::Float => {
            let mut xor = 0;
            if differs {
                let shape = reader.byte()?;
                let (start, len) = (usize::from(shape >> 4), usize::from(shape & 15));
                let mut bytes = [0_u8; 8];
                let room = bytes.get_mut(start..start + len)?;
                room.copy_from_slice(reader.take(len)?);
                xor = u64::from_be_bytes(bytes);
            }
            FieldValue::Float(f64::from_bits(base ^ xor))
        }
        FieldType::String => {
            if differs {
                FieldValue::String(reader.text()?.into())
            } else {
                FieldValue::String(slot.text.clone().unwrap_or_else(|| "".into()))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Record, decode};
    use super::*;
    use proptest::prelude::*;

    fn any_value(field_type: FieldType) -> BoxedStrategy<FieldValue> {
        match field_type {
            FieldType::Float => any::<u64>()
                .prop_map(|b| FieldValue::Float(f64::from_bits(b)))
                .boxed(),
            FieldType::Integer => prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()]
                .prop_map(FieldValue::Integer)
                .boxed(),
            FieldType::Unsigned => any::<u64>().prop_map(FieldValue::Unsigned).boxed(),
            FieldType::String => "[a-z]{0,3}"
                .prop_map(|s| FieldValue::String(s.into()))
                .boxed(),
            FieldType::Boolean => any::<bool>().prop_map(FieldValue::Boolean).boxed(),
        }
    }

    const TYPES: [FieldType; 5] = [
        FieldType::Float,
        FieldType::Integer,
        FieldType::Unsigned,
        FieldType::String,
        FieldType::Boolean,
    ];

    fn same(a: &FieldValue, b: &FieldValue) -> bool {
        match (a, b) {
            (FieldValue::Float(a), FieldValue::Float(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        }
    }

    proptest! {
        #[test]
        fn rows_come_back(
            rows in prop::collection::vec(
                (any::<i64>(), any::<bool>(), 0_u8..3,
                 TYPES.map(any_value), prop::collection::vec(any::<bool>(), 5)),
                1..20,
            ),
        ) {
            let mut out = Vec::new();
            let mut slots: Vec<Slot> = TYPES.iter().map(|t| Slot::new(*t)).collect();
            let mut context = Context::default();
            let mut expected = Vec::new();
            let (mut last, mut delta) = (0_i64, 0_i64);
            for (time, absolute, shape, values, keep) in &rows {
                let shape = [RowShape::Append, RowShape::Merge, RowShape::Side][usize::from(*shape)];
                let values: Vec<(usize, FieldValue)> = values.iter().cloned().enumerate()
                    .filter(|(i, _)| keep[*i]).collect();
                if values.is_empty() { continue; }
                let time = if shape == RowShape::Merge { last } else { *time };
                let reference = if *absolute { Reference::Absolute } else { Reference::LastRow };
                let place = RowPlace { group: 7, shape, reference, ordinal: 3, time, base: (last, delta) };
                encode_row(&mut out, &mut context, &place, &slots, &values);
                expected.push((shape, time, values.clone()));
                if shape != RowShape::Side {
                    for (slot, value) in &values { slots[*slot].remember(value); }
                    delta = time.wrapping_sub(last);
                    last = time;
                }
            }
            let mut slots: Vec<Slot> = TYPES.iter().map(|t| Slot::new(*t)).collect();
            let mut context = Context::default();
            let (mut last, mut delta) = (0_i64, 0_i64);
            let mut reader = Reader::new(&out);
            for (shape, time, values) in expected {
                let Some(Record::Row(header)) = decode(&mut reader) else { panic!("not a row") };
                prop_assert_eq!(header.shape(), shape);
                prop_assert_eq!(context.group(&header), Some(7));
                prop_assert_eq!(context.time(&header, (last, delta), &mut reader), Some(time));
                let mut got = RowValues::new();
                prop_assert!(row_values(&header, &slots, &mut reader, &mut got).is_some());
                prop_assert_eq!(got.len(), values.len());
                for (a, b) in got.iter().zip(&values) {
                    prop_assert!(a.0 == b.0 && same(&a.1, &b.1));
                }
                if shape != RowShape::Side {
                    for (slot, value) in &values { slots[*slot].remember(value); }
                    delta = time.wrapping_sub(last);
                    last = time;
                }
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let slots: Vec<Slot> = TYPES.iter().map(|t| Slot::new(*t)).collect();
            let mut reader = Reader::new(&bytes);
            let mut context = Context::default();
            let mut values = RowValues::new();
            while let Some(record) = decode(&mut reader) {
                if let Record::Row(header) = record {
                    let read = context.group(&header).is_some()
                        && context.time(&header, (0, 0), &mut reader).is_some()
                        && row_values(&header, &slots, &mut reader, &mut values).is_some();
                    if !read { break; }
                }
            }
        }
    }
}
