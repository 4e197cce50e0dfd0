//! Rows that are encoded by column: cheap to make, quick to read, in memory only.
//!
//! A column is constant, packed as distances from its least value, packed as steps, Gorilla's
//! bits, or as it is. Floats that are decimals of a few digits are packed as integers. Segments
//! search for the smallest way; here one look at the least and the largest has to do.

use std::sync::Arc;

use crate::codec::bits::{Line, Unpacked};
use crate::codec::{BLOCK_POINTS_MAX, bits, gorilla};
use crate::model::{FieldType, Values};

use super::times::{ReadTimes, digest};

/// The most rows in one chunk.
pub(super) const SEALED_ROWS_MAX: usize = BLOCK_POINTS_MAX;

/// The low bits of a column's first byte: how its numbers are written.
const ABSENT: u8 = 0;
const CONSTANT: u8 = 1;
const DISTANCES: u8 = 2;
const STEPS: u8 = 3;
const RAW: u8 = 4;
const GORILLA: u8 = 5;
const KIND: u8 = 7;
/// A bit for each row follows.
const SPARSE: u8 = 8;
/// The upper bits: for floats one more than the power of ten that makes them integers; for times
/// which of [`TICKS`] they are counted in.
const SCALE_SHIFT: u8 = 4;
const POWERS: [f64; 5] = [1.0, 10.0, 100.0, 1000.0, 10_000.0];
const TICKS: [i64; 4] = [1_000_000_000, 1_000_000, 1_000, 1];
/// Wider numbers are kept as they are.
const WIDTH_MAX: u8 = 56;
/// Integers up to here are floats too, all of them.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// The bytes of a column's place in the chunk.
const PLACE_BYTES: usize = 4;

/// Which rows have a value: a bit a row.
pub(super) type Presence = [u64; SEALED_ROWS_MAX / 64];

/// Rows by column, on their way into a chunk or out of one.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) times: Vec<i64>,
    /// For each slot which rows have a value, and those values.
    pub(super) columns: Vec<(Presence, Vec<u64>)>,
}

impl Columns {
    /// Empties it and makes room for `slots` columns.
    pub(super) fn clear(&mut self, slots: usize) {
        self.times.clear();
        self.columns.resize_with(slots, Default::default);
        for (presence, values) in &mut self.columns {
            *presence = Presence::default();
            values.clear();
        }
    }
}

/// Encoded rows; see the module.
#[derive(Debug)]
pub(super) struct SealedChunk {
    pub(super) first: i64,
    pub(super) last: i64,
    /// See [`digest`].
    times_digest: u64,
    rows: u16,
    slots: u16,
    /// Whether every row has a value of every column.
    is_full: bool,
    /// Where each column ends behind the places, then the columns; the times are the first.
    bytes: Box<[u8]>,
}

impl SealedChunk {
    /// Encodes rows, at least one and at most [`SEALED_ROWS_MAX`].
    pub(super) fn encode(columns: &Columns, types: &[FieldType]) -> Self {
        let rows = columns.times.len();
        debug_assert!((1..=SEALED_ROWS_MAX).contains(&rows));
        let slots = columns.columns.len();
        let mut bytes = vec![0; (slots + 1) * PLACE_BYTES];
        put_times(&columns.times, &mut bytes);
        put_place(&mut bytes, 0);
        for (slot, ((presence, values), field_type)) in
            columns.columns.iter().zip(types).enumerate()
        {
            put_column(presence, values, rows, *field_type, &mut bytes);
            put_place(&mut bytes, slot + 1);
        }
        let narrow = |n: usize| u16::try_from(n).expect("256 rows of 64 columns");
        Self {
            first: columns.times[0],
            last: columns.times[rows - 1],
            times_digest: digest(&columns.times),
            rows: narrow(rows),
            slots: narrow(slots),
            is_full: columns.columns.iter().all(|(_, v)| v.len() == rows),
            bytes: bytes.into(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        usize::from(self.rows)
    }

    /// What it takes beside its own fixed part, an allocator's share among it.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len() + 16
    }

    fn part(&self, number: usize) -> &[u8] {
        let place = |number: usize| {
            let at = number * PLACE_BYTES;
            let four = self.bytes[at..].first_chunk().expect("four bytes a place");
            u32::from_le_bytes(*four) as usize
        };
        let start = match number {
            0 => (usize::from(self.slots) + 1) * PLACE_BYTES,
            _ => place(number - 1),
        };
        &self.bytes[start..place(number)]
    }

    /// Appends the times.
    pub(super) fn times(&self, out: &mut Vec<i64>) {
        self.times_of(self.part(0), out);
    }

    fn times_of(&self, part: &[u8], out: &mut Vec<i64>) {
        let line = Line {
            factor: TICKS[usize::from(part[0] >> SCALE_SHIFT)].cast_unsigned(),
            base: self.first.cast_unsigned(),
        };
        let (kind, count) = (part[0] & KIND, self.rows());
        append(kind, &part[1..], count, line, out);
    }

    /// How many rows have a value of `slot`.
    pub(super) fn values_count(&self, slot: usize) -> usize {
        if self.is_full && slot < usize::from(self.slots) {
            return self.rows();
        }
        let ones = |words: Presence| words.iter().map(|word| word.count_ones() as usize).sum();
        self.presence(slot).map_or(self.rows(), ones)
    }

    /// Where the times and the values of `slot` stand.
    pub(super) fn parts(&self, slot: usize) -> Parts<'_> {
        let column = if slot < usize::from(self.slots) {
            self.part(slot + 1)
        } else {
            &[ABSENT]
        };
        Parts {
            chunk: self,
            times: self.part(0),
            column,
        }
    }

    /// Which rows have a value of `slot`; `None`: all of them.
    pub(super) fn presence(&self, slot: usize) -> Option<Presence> {
        if slot >= usize::from(self.slots) {
            return Some(Presence::default());
        }
        let part = self.part(slot + 1);
        match part[0] {
            ABSENT => Some(Presence::default()),
            head if head & SPARSE != 0 => Some(presence_of(&part[1..], self.rows())),
            _ => None,
        }
    }

    /// Appends the values of `slot` that are there, as bits.
    pub(super) fn bits(&self, slot: usize, field_type: FieldType, out: &mut Vec<u64>) {
        let parts = self.parts(slot);
        parts.decode(field_type, out, |bits| bits, f64::to_bits);
    }

    /// Appends the values of `slot` that are there.
    pub(super) fn values(&self, slot: usize, texts: &[Arc<str>], out: &mut Values) {
        self.parts(slot).values(texts, out);
    }
}

/// The bytes of a chunk's times and of one of its columns. Those of several chunks are looked up
/// before any is decoded, so that they come from memory side by side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) chunk: &'a SealedChunk,
    times: &'a [u8],
    column: &'a [u8],
}

/// Which rows of a chunk have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    All,
    Some,
    None,
}

impl Parts<'_> {
    /// Which rows have a value.
    pub(super) fn rows(&self) -> Rows {
        match self.column[0] {
            ABSENT => Rows::None,
            head if head & SPARSE != 0 => Rows::Some,
            _ => Rows::All,
        }
    }

    /// Appends the times of all rows.
    pub(super) fn times(&self, out: &mut Vec<i64>) {
        self.chunk.times_of(self.times, out);
    }

    /// As [`Self::times`]; those that were read of another column are not decoded.
    pub(super) fn read_times(&self, out: &mut ReadTimes) {
        let SealedChunk {
            first,
            times_digest,
            ..
        } = *self.chunk;
        let count = self.chunk.rows();
        out.extend_with(first, count, times_digest, |out| self.times(out));
    }

    /// Appends the values that are there.
    pub(super) fn values(&self, texts: &[Arc<str>], out: &mut Values) {
        match out {
            Values::Float(out) => {
                self.decode(FieldType::Float, out, f64::from_bits, |float| float);
            }
            Values::Integer(out) => self.as_they_are(out),
            Values::Unsigned(out) => self.as_they_are(out),
            Values::Boolean(out) => self.whole(out, |bits| bits != 0),
            Values::String(out) => self.whole(out, |bits| text(texts, bits)),
        }
    }

    /// As [`Self::values`], of numbers that are kept as they are.
    fn as_they_are<N: Unpacked>(&self, out: &mut Vec<N>) {
        if let Some((kind, bytes, count)) = self.there() {
            append(kind, bytes, count, Line::AS_IT_IS, out);
        }
    }

    /// How the values are written that are there, their bytes, and how many they are.
    #[inline(always)]
    fn there(&self) -> Option<(u8, &[u8], usize)> {
        let (head, mut bytes, mut count) = (self.column[0], &self.column[1..], self.chunk.rows());
        if head == ABSENT {
            return None;
        }
        if head & SPARSE != 0 {
            let presence = presence_of(bytes, count);
            bytes = &bytes[count.div_ceil(8)..];
            count = presence.iter().map(|word| word.count_ones() as usize).sum();
        }
        Some((head & KIND, bytes, count))
    }

    fn whole<T>(&self, out: &mut Vec<T>, of: impl Fn(u64) -> T) {
        let unused = |_: f64| unreachable!("only floats are scaled");
        self.decode(FieldType::Integer, out, of, unused);
    }

    #[inline(always)]
    fn decode<T>(
        &self,
        field_type: FieldType,
        out: &mut Vec<T>,
        of_bits: impl Fn(u64) -> T,
        of_float: impl Fn(f64) -> T,
    ) {
        let Some((kind, bytes, count)) = self.there() else {
            return;
        };
        let scale = self.column[0] >> SCALE_SHIFT;
        if kind == GORILLA {
            let mut floats = Vec::with_capacity(count);
            let seed = f64::from_bits(eight(bytes));
            gorilla::decode(&bytes[8..], seed, count, &mut floats).expect(DECODES);
            out.extend(floats.into_iter().map(of_float));
        } else if field_type == FieldType::Float && scale > 0 {
            let power = POWERS[usize::from(scale) - 1];
            numbers(kind, bytes, count, Line::AS_IT_IS, out, |bits| {
                of_float(float(bits) / power)
            });
        } else {
            numbers(kind, bytes, count, Line::AS_IT_IS, out, of_bits);
        }
    }
}

/// The text of a number; what no row has given a number yet is empty.
pub(super) fn text(texts: &[Arc<str>], number: u64) -> Arc<str> {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    texts.get(number).cloned().unwrap_or_else(|| Arc::from(""))
}

#[expect(clippy::cast_precision_loss, reason = "it is at most 2^53")]
fn float(bits: u64) -> f64 {
    bits.cast_signed() as f64
}

fn eight(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes"))
}

fn put_place(bytes: &mut [u8], number: usize) {
    let end = u32::try_from(bytes.len()).expect("256 rows of 64 columns");
    let at = number * PLACE_BYTES;
    bytes[at..at + PLACE_BYTES].copy_from_slice(&end.to_le_bytes());
}

fn presence_of(bytes: &[u8], rows: usize) -> Presence {
    let mut presence = Presence::default();
    for (at, byte) in bytes[..rows.div_ceil(8)].iter().enumerate() {
        presence[at / 8] |= u64::from(*byte) << (at % 8 * 8);
    }
    presence
}

fn put_times(times: &[i64], out: &mut Vec<u8>) {
    let first = times[0];
    let distances = || times.iter().map(|time| time.wrapping_sub(first));
    let (number, tick) = (0_u8..)
        .zip(TICKS)
        .find(|(_, tick)| distances().all(|distance| distance % tick == 0))
        .expect("1 divides all");
    let mut ticks = [0; SEALED_ROWS_MAX];
    for (out, distance) in ticks.iter_mut().zip(distances()) {
        *out = (distance / tick).cast_unsigned();
    }
    put_numbers(&ticks[..times.len()], number << SCALE_SHIFT, &[], out);
}

fn put_column(
    presence: &Presence,
    values: &[u64],
    rows: usize,
    field_type: FieldType,
    out: &mut Vec<u8>,
) {
    if values.is_empty() {
        out.push(ABSENT);
        return;
    }
    let bitmap: Vec<u8> = presence
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let (flags, bitmap) = if values.len() < rows {
        (SPARSE, &bitmap[..rows.div_ceil(8)])
    } else {
        (0, &[][..])
    };
    if field_type != FieldType::Float || values.iter().all(|value| *value == values[0]) {
        put_numbers(values, flags, bitmap, out);
    } else {
        put_floats(values, flags, bitmap, out);
    }
}

fn put_floats(values: &[u64], flags: u8, bitmap: &[u8], out: &mut Vec<u8>) {
    let mut whole = [0; SEALED_ROWS_MAX];
    for (scale, power) in (1_u8..).zip(POWERS) {
        if scaled(values, power, &mut whole) {
            let flags = flags | scale << SCALE_SHIFT;
            put_numbers(&whole[..values.len()], flags, bitmap, out);
            return;
        }
    }
    let floats: Vec<f64> = values.iter().map(|value| f64::from_bits(*value)).collect();
    out.push(GORILLA | flags);
    out.extend_from_slice(bitmap);
    out.extend_from_slice(&values[0].to_le_bytes());
    gorilla::encode(&floats, out);
}

/// Whether all of `values` are integers divided by `power`, bit for bit; those integers.
fn scaled(values: &[u64], power: f64, out: &mut [u64; SEALED_ROWS_MAX]) -> bool {
    values.iter().zip(out).all(|(value, out)| {
        let scaled = (f64::from_bits(*value) * power).round();
        if scaled.abs() > EXACT_MAX || scaled.is_nan() {
            return false;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is a whole number up to 2^53"
        )]
        let whole = scaled as i64;
        *out = whole.cast_unsigned();
        (float(*out) / power).to_bits() == *value
    })
}

/// How numbers are packed: the least of them, the zero bits that all distances end in, a width.
#[derive(Clone, Copy)]
struct Packing {
    least: u64,
    shift: u8,
    width: u8,
}

impl Packing {
    /// `numbers` are two's complement; those that span half of all numbers do not fit.
    fn of(numbers: impl Iterator<Item = u64> + Clone) -> Self {
        let signed = numbers.clone().map(u64::cast_signed);
        let (least, most) = signed.fold((i64::MAX, i64::MIN), |(least, most), number| {
            (least.min(number), most.max(number))
        });
        let least = least.cast_unsigned();
        let used = numbers.fold(0, |used, number| used | number.wrapping_sub(least));
        let shift = if used == 0 { 0 } else { used.trailing_zeros() };
        let span = most.cast_unsigned().wrapping_sub(least) >> shift;
        let small = |bits: u32| u8::try_from(bits).expect("at most 64");
        Self {
            least,
            shift: small(shift),
            width: small(64 - span.leading_zeros()),
        }
    }

    fn put(self, numbers: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
        let mut packed = [0; SEALED_ROWS_MAX];
        let mut count = 0;
        for (packed, number) in packed.iter_mut().zip(numbers) {
            *packed = number.wrapping_sub(self.least) >> self.shift;
            count += 1;
        }
        out.extend_from_slice(&[self.shift, self.width]);
        out.extend_from_slice(&self.least.to_le_bytes());
        bits::pack(&packed[..count], self.width, out);
    }
}

/// Appends a head byte with `flags`, `bitmap`, and numbers, at least one.
fn put_numbers(numbers: &[u64], flags: u8, bitmap: &[u8], out: &mut Vec<u8>) {
    let first = numbers[0];
    let steps = || numbers.windows(2).map(|two| two[1].wrapping_sub(two[0]));
    let mut start = |kind: u8| {
        out.push(kind | flags);
        out.extend_from_slice(bitmap);
    };
    let by_steps = match numbers.len() {
        1 => None,
        _ => Some(Packing::of(steps())),
    };
    let Some(by_steps) = by_steps.filter(|p| p.width > 0 || p.least != 0) else {
        start(CONSTANT);
        out.extend_from_slice(&first.to_le_bytes());
        return;
    };
    let by_distances = Packing::of(numbers.iter().copied());
    // Eight bytes more are the first number, which steps need beside the least step.
    let steps_cost = (numbers.len() - 1) * usize::from(by_steps.width) + 64;
    let distances_cost = numbers.len() * usize::from(by_distances.width);
    let best = by_steps.width.min(by_distances.width);
    if best > WIDTH_MAX {
        start(RAW);
        out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    } else if steps_cost < distances_cost || by_distances.width > WIDTH_MAX {
        start(STEPS);
        out.extend_from_slice(&first.to_le_bytes());
        by_steps.put(steps(), out);
    } else {
        start(DISTANCES);
        by_distances.put(numbers.iter().copied(), out);
    }
}

/// The line of numbers on `line` that were shifted and lie above a least one.
fn above(line: Line, (shift, least): (u8, u64)) -> Line {
    Line {
        factor: line.factor.wrapping_shl(shift.into()),
        base: line.at(least),
    }
}

/// Appends what `count` numbers that [`put_numbers`] wrote behind its head byte and bitmap stand for.
#[inline(always)]
fn numbers<T>(
    kind: u8,
    bytes: &[u8],
    count: usize,
    line: Line,
    out: &mut Vec<T>,
    of: impl Fn(u64) -> T,
) {
    let mut numbers = [0; SEALED_ROWS_MAX];
    let numbers = &mut numbers[..count];
    decode_numbers(kind, bytes, line, numbers);
    out.extend(numbers.iter().map(|number| of(*number)));
}

/// As [`numbers`], of numbers that are appended as they are.
fn append<N: Unpacked>(kind: u8, bytes: &[u8], count: usize, line: Line, out: &mut Vec<N>) {
    let start = out.len();
    out.extend_from_slice(&N::ZEROS[..count]);
    decode_numbers(kind, bytes, line, &mut out[start..]);
}

/// Reads numbers in plain loops over one array, whatever they are numbers of.
fn decode_numbers<N: Unpacked>(kind: u8, bytes: &[u8], line: Line, out: &mut [N]) {
    match kind {
        CONSTANT => out.fill(N::of(line.at(eight(bytes)))),
        DISTANCES => {
            let (packing, width, bytes) = packed(bytes);
            bits::unpack(bytes, width, above(line, packing), out).expect(DECODES);
        }
        STEPS => {
            let Some((first, steps)) = out.split_first_mut() else {
                return;
            };
            let start = line.at(eight(bytes));
            *first = N::of(start);
            let (packing, width, bytes) = packed(&bytes[8..]);
            let step = above(Line { base: 0, ..line }, packing);
            bits::unpack_sums(bytes, width, step, start, steps).expect(DECODES);
        }
        _ => {
            let (eights, _) = bytes.as_chunks();
            for (number, eight) in out.iter_mut().zip(eights) {
                *number = N::of(line.at(u64::from_le_bytes(*eight)));
            }
        }
    }
}

const DECODES: &str = "what was encoded in memory decodes";

/// What [`Packing::put`] wrote: its shift and least number, its width, and the packed numbers.
fn packed(bytes: &[u8]) -> ((u8, u64), u8, &[u8]) {
    ((bytes[0], eight(&bytes[2..])), bytes[1], &bytes[10..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> BoxedStrategy<u64> {
        prop_oneof![
            any::<u64>(),
            Just(i64::MIN.cast_unsigned()),
            Just(i64::MAX.cast_unsigned()),
            Just((-0.0_f64).to_bits()),
            (0_u64..1000).prop_map(|n| n * 4096),
            any::<i32>().prop_map(|v| i64::from(v).cast_unsigned()),
            any::<i32>().prop_map(|v| (f64::from(v) / 100.0).to_bits()),
        ]
        .boxed()
    }

    fn column(rows: usize) -> impl Strategy<Value = Vec<Option<u64>>> {
        let counter =
            (any::<u64>(), prop::collection::vec(0_u64..5000, rows)).prop_map(|(mut at, steps)| {
                let walk = steps.into_iter().map(|step| {
                    at = at.wrapping_add(step);
                    Some(at)
                });
                walk.collect()
            });
        prop_oneof![
            counter,
            number().prop_map(move |n| vec![Some(n); rows]),
            prop::collection::vec(number().prop_map(Some), rows),
            prop::collection::vec(prop::option::weighted(0.7, number()), rows),
            Just(vec![None; rows]),
        ]
    }

    proptest! {
        #[test]
        fn rows_come_back(
            (times, columns) in (1_usize..=SEALED_ROWS_MAX).prop_flat_map(|rows| {
                let times = prop_oneof![
                    prop::collection::vec(any::<i64>(), rows),
                    (any::<i32>(), prop::collection::vec(1_i64..100, rows)).prop_map(|(first, steps)| {
                        let mut at = i64::from(first) * 1_000_000;
                        steps.into_iter().map(|step| { at += step * 1_000_000; at }).collect()
                    }),
                ];
                (times, prop::collection::vec(column(rows), 0..5))
            }),
        ) {
            let types = [FieldType::Integer, FieldType::Float, FieldType::Unsigned, FieldType::Float,
                FieldType::Integer];
            let mut input = Columns::default();
            input.clear(columns.len());
            input.times.clone_from(&times);
            for (column, (presence, values)) in columns.iter().zip(&mut input.columns) {
                for (row, value) in column.iter().enumerate() {
                    if let Some(value) = value {
                        presence[row / 64] |= 1 << (row % 64);
                        values.push(*value);
                    }
                }
            }
            let chunk = SealedChunk::encode(&input, &types[..columns.len()]);
            let mut back = Vec::new();
            chunk.times(&mut back);
            prop_assert_eq!(&back, &times);
            let mut read = ReadTimes::default();
            chunk.parts(0).read_times(&mut read);
            prop_assert_eq!(read.as_slice(), &times);
            for (slot, (presence, values)) in input.columns.iter().enumerate() {
                let mut back = Vec::new();
                chunk.bits(slot, types[slot], &mut back);
                prop_assert_eq!(&back, values);
                let all = values.len() == times.len();
                prop_assert_eq!(chunk.presence(slot), (!all).then_some(*presence));
            }
            prop_assert_eq!(chunk.presence(columns.len()), Some(Presence::default()));
        }
    }

    #[test]
    fn usual_columns_take_few_bytes() {
        let mut input = Columns::default();
        input.clear(3);
        input.times = (0..64)
            .map(|i| 1_700_000_000_000_000_000 + i * 10_000_000_000)
            .collect();
        let all = [u64::MAX, 0, 0, 0];
        input.columns[0] = (all, vec![7; 64]);
        input.columns[1] = (all, (0..64).map(|i| i * 1000 + i % 7).collect());
        input.columns[2] = (all, (0..64).map(|i| (i % 5) * 4096).collect());
        let chunk = SealedChunk::encode(&input, &[FieldType::Integer; 3]);
        assert!(chunk.memory_bytes() < 210, "{}", chunk.memory_bytes());
    }
}
