//! Rows in the log: differences from the row group's previous row.
//!
//! A row carries its ordinal in the group (low 8 bits), so that a reader notices a gap and waits
//! for the next absolute row. Every [`ABSOLUTE_EVERY`]-th row is absolute.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::{FieldType, FieldValue};
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
pub(crate) const ABSOLUTE_EVERY: u32 = 64;

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

/// What a group remembers of its columns between rows, by slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bases<'a> {
    pub(crate) types: &'a [FieldType],
    /// The last values' bits; for strings the numbers of their texts.
    pub(crate) bits: &'a [u64],
    /// A text that is not there is empty.
    pub(crate) texts: &'a [Arc<str>],
}

impl Bases<'_> {
    fn text(&self, slot: usize) -> Option<&Arc<str>> {
        self.texts.get(usize::try_from(self.bits[slot]).ok()?)
    }
}

/// A row's values: slots in ascending order, and the bits of each value. A string's bits are the
/// number of its text here.
#[derive(Debug, Default)]
pub(crate) struct RowValues {
    pub(crate) cells: SmallVec<[(usize, u64); 16]>,
    pub(crate) texts: SmallVec<[Arc<str>; 1]>,
}

impl RowValues {
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.texts.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// How many values.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The text of a string's bits.
    pub(crate) fn text(&self, bits: u64) -> &Arc<str> {
        let number = usize::try_from(bits).expect("a row has few texts");
        &self.texts[number]
    }

    /// The value that a cell's bits are.
    pub(crate) fn value(&self, field_type: FieldType, bits: u64) -> FieldValue {
        match field_type {
            FieldType::Float => FieldValue::Float(f64::from_bits(bits)),
            FieldType::Integer => FieldValue::Integer(bits.cast_signed()),
            FieldType::Unsigned => FieldValue::Unsigned(bits),
            FieldType::Boolean => FieldValue::Boolean(bits != 0),
            FieldType::String => FieldValue::String(Arc::clone(self.text(bits))),
        }
    }

    /// Sets a slot's value; of two the later counts.
    pub(crate) fn set(&mut self, slot: usize, value: &FieldValue) {
        let bits = match value {
            FieldValue::Float(v) => v.to_bits(),
            FieldValue::Integer(v) => v.cast_unsigned(),
            FieldValue::Unsigned(v) => *v,
            FieldValue::Boolean(v) => u64::from(*v),
            FieldValue::String(v) => self.put_text(v),
        };
        match self.cells.last() {
            Some((last, _)) if *last >= slot => {
                match self.cells.binary_search_by_key(&slot, |(slot, _)| *slot) {
                    Ok(at) => self.cells[at].1 = bits,
                    Err(at) => self.cells.insert(at, (slot, bits)),
                }
            }
            _ => self.cells.push((slot, bits)),
        }
    }

    fn put_text(&mut self, text: &Arc<str>) -> u64 {
        self.texts.push(Arc::clone(text));
        self.texts.len() as u64 - 1
    }
}

/// Where a row stands, and what it is written as a difference to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowPlace {
    pub(crate) group: u32,
    pub(crate) shape: RowShape,
    pub(crate) reference: Reference,
    pub(crate) ordinal: u32,
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
    bases: &Bases<'_>,
    values: &RowValues,
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
    let full = values.len() == bases.types.len();
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
        let slots = values.cells.iter().map(|(slot, _)| *slot);
        put_bitmap(out, bases.types.len(), slots);
    }
    let changed_at = out.len();
    out.resize(changed_at + values.len().div_ceil(8), 0);
    for (index, (slot, bits)) in values.cells.iter().enumerate() {
        let base = if absolute { 0 } else { bases.bits[*slot] };
        let differs = match bases.types[*slot] {
            FieldType::String => put_string(out, bases, *slot, absolute, values.text(*bits)),
            field_type => put_number(out, field_type, base, *bits),
        };
        if differs {
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
fn put_number(out: &mut Vec<u8>, field_type: FieldType, base: u64, value: u64) -> bool {
    if value == base {
        return false;
    }
    match field_type {
        FieldType::Float => {
            let xor = value ^ base;
            let start = (xor.leading_zeros() / 8) as usize;
            let end = 8 - (xor.trailing_zeros() / 8) as usize;
            #[expect(clippy::cast_possible_truncation, reason = "both are at most 8")]
            out.push((start << 4 | (end - start)) as u8);
            // All eight bytes are one store, some of them a call.
            let at = out.len();
            out.extend_from_slice(&(xor << (start * 8)).to_be_bytes());
            out.truncate(at + end - start);
        }
        FieldType::Boolean => {}
        _ => put(out, zigzag(value.wrapping_sub(base).cast_signed())),
    }
    true
}

/// Appends a text that is not the one before; `false` and nothing where it is.
fn put_string(
    out: &mut Vec<u8>,
    bases: &Bases<'_>,
    slot: usize,
    absolute: bool,
    text: &str,
) -> bool {
    let same = !absolute && bases.text(slot).map_or("", |text| text) == text;
    if !same {
        put(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
    !same
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

    /// The group of the row whose header was read last.
    pub(crate) fn current_group(&self) -> Option<u32> {
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
    bases: &Bases<'_>,
    reader: &mut Reader<'_>,
    out: &mut RowValues,
) -> Option<()> {
    out.clear();
    let full = header.flags & FULL != 0;
    let present = if full {
        None
    } else {
        Some(reader.take(bases.types.len().div_ceil(8))?)
    };
    let is_present = |slot: usize| present.is_none_or(|bits| bits[slot / 8] >> (slot % 8) & 1 == 1);
    let count = (0..bases.types.len())
        .filter(|slot| is_present(*slot))
        .count();
    let changed = reader.take(count.div_ceil(8))?;
    let mut index = 0;
    for slot in 0..bases.types.len() {
        if !is_present(slot) {
            continue;
        }
        let differs = changed[index / 8] >> (index % 8) & 1 == 1;
        index += 1;
        let base = if header.is_absolute() {
            0
        } else {
            bases.bits[slot]
        };
        let bits = match bases.types[slot] {
            FieldType::String if differs => {
                let text = reader.text()?.into();
                out.put_text(&text)
            }
            FieldType::String => match bases.text(slot) {
                Some(text) => out.put_text(text),
                None => out.put_text(&Arc::from("")),
            },
            _ if !differs => base,
            field_type => number(field_type, base, reader)?,
        };
        out.cells.push((slot, bits));
    }
    (!out.is_empty()).then_some(())
}

/// A number that is not `base`.
fn number(field_type: FieldType, base: u64, reader: &mut Reader<'_>) -> Option<u64> {
    Some(match field_type {
        FieldType::Boolean => u64::from(base == 0),
        FieldType::Float => {
            let shape = reader.byte()?;
            let (start, len) = (usize::from(shape >> 4), usize::from(shape & 15));
            let mut bytes = [0_u8; 8];
            let room = bytes.get_mut(start..start + len)?;
            room.copy_from_slice(reader.take(len)?);
            base ^ u64::from_be_bytes(bytes)
        }
        _ => base.wrapping_add(unzigzag(reader.varint()?).cast_unsigned()),
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

    /// The last values, as a group keeps them: each string has a text of its own.
    #[derive(Default)]
    struct Last {
        bits: Vec<u64>,
        texts: Vec<Arc<str>>,
    }

    impl Last {
        fn new() -> Self {
            Self {
                bits: vec![0; TYPES.len()],
                texts: vec!["".into()],
            }
        }

        fn bases(&self) -> Bases<'_> {
            Bases {
                types: &TYPES,
                bits: &self.bits,
                texts: &self.texts,
            }
        }

        fn rows(values: &[(usize, FieldValue)]) -> RowValues {
            let mut row = RowValues::default();
            for (slot, value) in values {
                row.set(*slot, value);
            }
            row
        }

        fn remember(&mut self, slot: usize, value: &FieldValue) {
            self.bits[slot] = match value {
                FieldValue::Float(v) => v.to_bits(),
                FieldValue::Integer(v) => v.cast_unsigned(),
                FieldValue::Unsigned(v) => *v,
                FieldValue::Boolean(v) => u64::from(*v),
                FieldValue::String(v) => {
                    self.texts.push(Arc::clone(v));
                    self.texts.len() as u64 - 1
                }
            };
        }
    }

    fn same(a: &RowValues, b: &RowValues) -> bool {
        a.len() == b.len()
            && a.cells.iter().zip(&b.cells).all(|(x, y)| {
                x.0 == y.0
                    && match TYPES[x.0] {
                        FieldType::String => a.text(x.1) == b.text(y.1),
                        _ => x.1 == y.1,
                    }
            })
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
            let mut slots = Last::new();
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
                encode_row(&mut out, &mut context, &place, &slots.bases(), &Last::rows(&values));
                expected.push((shape, time, values.clone()));
                if shape != RowShape::Side {
                    for (slot, value) in &values { slots.remember(*slot, value); }
                    delta = time.wrapping_sub(last);
                    last = time;
                }
            }
            let mut slots = Last::new();
            let mut context = Context::default();
            let (mut last, mut delta) = (0_i64, 0_i64);
            let mut reader = Reader::new(&out);
            for (shape, time, values) in expected {
                let Some(Record::Row(header)) = decode(&mut reader) else { panic!("not a row") };
                prop_assert_eq!(header.shape(), shape);
                prop_assert_eq!(context.group(&header), Some(7));
                prop_assert_eq!(context.time(&header, (last, delta), &mut reader), Some(time));
                let mut got = RowValues::default();
                prop_assert!(row_values(&header, &slots.bases(), &mut reader, &mut got).is_some());
                prop_assert!(same(&got, &Last::rows(&values)));
                if shape != RowShape::Side {
                    for (slot, value) in &values { slots.remember(*slot, value); }
                    delta = time.wrapping_sub(last);
                    last = time;
                }
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let slots = Last::new();
            let mut reader = Reader::new(&bytes);
            let mut context = Context::default();
            let mut values = RowValues::default();
            while let Some(record) = decode(&mut reader) {
                if let Record::Row(header) = record {
                    let read = context.group(&header).is_some()
                        && context.time(&header, (0, 0), &mut reader).is_some()
                        && row_values(&header, &slots.bases(), &mut reader, &mut values).is_some();
                    if !read { break; }
                }
            }
        }
    }
}
