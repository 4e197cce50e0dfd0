//! sum_hll() and count_hll(): sketches that count distinct values, as InfluxDB's texts.
//!
//! Source: influxdb 1.12, `pkg/estimator/hll` (HyperLogLog++ of precision 16 with LogLog-Beta) and
//! the reducers of `query/functions.go`; the same bytes come out, so that sketches of one server can
//! be counted by the other.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use plimsoll_engine::model::{ValueRef, Values};
use xxhash_rust::xxh64::xxh64;

use super::Number;
use crate::exec::window::Windows;

/// What stands before a sketch's bytes.
const PREFIX: &str = "HLL_";
/// The version of its bytes.
const VERSION: u8 = 2;
/// Bits of a hash that choose a register.
const PRECISION: u32 = 16;
/// The same, while there are few values.
const SPARSE_PRECISION: u32 = 25;
/// Registers.
const REGISTERS: usize = 1 << PRECISION;
/// New values are merged into the sorted ones when they are more.
const NEW_MAX: usize = REGISTERS / 100;
/// The head of the bytes: version, precision, form, and the length of what follows.
const HEAD_BYTES: usize = 7;
/// What a kept hash takes in a set, roughly.
const NEW_BYTES: usize = 16;

/// A set of values of which only the size can be told, nearly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sketch {
    /// Hashes, while they are few: those that are merged, and new ones.
    Sparse {
        /// Sorted, each once.
        merged: Vec<u32>,
        /// Not merged yet.
        new: BTreeSet<u32>,
    },
    /// The most leading zeros in each register.
    Dense(Vec<u8>),
}

impl Sketch {
    /// Of nothing.
    pub(crate) fn new() -> Self {
        Self::Sparse {
            merged: Vec::new(),
            new: BTreeSet::new(),
        }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Float(value) => self.add_bytes(&value.to_be_bytes()),
            ValueRef::Integer(value) => self.add_bytes(&value.to_be_bytes()),
            ValueRef::Unsigned(value) => self.add_bytes(&value.to_be_bytes()),
            ValueRef::String(value) => self.add_bytes(value.as_bytes()),
            ValueRef::Boolean(value) => self.add_bytes(&[u8::from(value)]),
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        let hash = xxh64(bytes, 0);
        match self {
            Self::Dense(registers) => {
                let index = usize::try_from(hash >> (64 - PRECISION)).unwrap_or(0);
                let rest = hash << PRECISION | 1 << (PRECISION - 1);
                raise(registers, index, zeros(rest) + 1);
            }
            Self::Sparse { new, .. } => {
                new.insert(encode(hash));
                if new.len() > NEW_MAX {
                    self.merge_new();
                    self.densify_if_large();
                }
            }
        }
    }

    fn merge_new(&mut self) {
        if let Self::Sparse { merged, new } = self
            && !new.is_empty()
        {
            merged.extend(std::mem::take(new));
            merged.sort_unstable();
            merged.dedup();
        }
    }

    fn densify_if_large(&mut self) {
        if let Self::Sparse { merged, .. } = self
            && put_list(merged).len() > REGISTERS
        {
            self.densify();
        }
    }

    fn densify(&mut self) {
        if let Self::Sparse { merged, new } = self {
            let mut registers = vec![0; REGISTERS];
            for hash in merged.iter().chain(&*new) {
                let (index, rank) = decode(*hash);
                raise(&mut registers, index, rank);
            }
            *self = Self::Dense(registers);
        }
    }

    /// Adds all values of another. As in InfluxDB what was merged is dense from then on.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.densify();
        let Self::Dense(registers) = self else {
            return;
        };
        match other {
            Self::Dense(others) => {
                for (index, rank) in others.iter().enumerate() {
                    raise(registers, index, *rank);
                }
            }
            Self::Sparse { merged, new } => {
                for hash in merged.iter().chain(new) {
                    let (index, rank) = decode(*hash);
                    raise(registers, index, rank);
                }
            }
        }
    }

    /// What it takes in memory, roughly.
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Dense(registers) => registers.len(),
            Self::Sparse { merged, new } => 4 * merged.len() + NEW_BYTES * new.len(),
        };
        bytes as u64
    }

    /// About how many different values were added.
    pub(crate) fn count(&self) -> u64 {
        let estimate = match self {
            Self::Sparse { merged, new } => {
                let more = new
                    .iter()
                    .filter(|hash| merged.binary_search(hash).is_err());
                let all = (1_u64 << SPARSE_PRECISION).float();
                let known = (merged.len() as u64 + more.count() as u64).float();
                all * (all / (all - known)).ln()
            }
            Self::Dense(registers) => {
                let size = (REGISTERS as u64).float();
                let empty = registers.iter().filter(|rank| **rank == 0).count();
                let empty = (empty as u64).float();
                let sum: f64 = registers
                    .iter()
                    .map(|rank| 0.5_f64.powi(i32::from(*rank)))
                    .sum();
                let alpha = 0.7213 / (1.0 + 1.079 / size);
                alpha * size * (size - empty) / (beta(empty) + sum) + 0.5
            }
        };
        whole(estimate)
    }

    /// As the text that sum_hll() answers.
    pub(crate) fn text(mut self) -> String {
        self.merge_new();
        let mut bytes = vec![VERSION, 16];
        match &self {
            Self::Sparse { merged, .. } => {
                let list = put_list(merged);
                bytes.push(1);
                bytes.extend(0_u32.to_be_bytes());
                bytes.extend(length(merged.len()));
                bytes.extend(merged.last().copied().unwrap_or(0).to_be_bytes());
                bytes.extend(length(list.len()));
                bytes.extend(list);
            }
            Self::Dense(registers) => {
                bytes.push(0);
                bytes.extend(length(registers.len()));
                bytes.extend(registers);
            }
        }
        format!("{PREFIX}{}", BASE64.encode(bytes))
    }

    /// Reads such a text; none where it is another one.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
        let len = usize::try_from(u32::from_be_bytes(head[3..].try_into().ok()?)).ok()?;
        if u32::from(head[1]) != PRECISION {
            return None;
        }
        if head[2] != 1 {
            return (len == REGISTERS && body.len() >= len)
                .then(|| Self::Dense(body[..len].to_vec()));
        }
        let (new, rest) = body.split_at_checked(len.checked_mul(4)?)?;
        let new = new.chunks_exact(4).filter_map(|four| four.try_into().ok());
        let (head, list) = rest.split_at_checked(12)?;
        let len = usize::try_from(u32::from_be_bytes(head[8..].try_into().ok()?)).ok()?;
        Some(Self::Sparse {
            new: new.map(u32::from_be_bytes).collect(),
            merged: read_list(list.get(..len)?)?,
        })
    }
}

/// A number of bytes or items; sketches are small.
fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

fn raise(registers: &mut [u8], index: usize, rank: u8) {
    if let Some(register) = registers.get_mut(index)
        && *register < rank
    {
        *register = rank;
    }
}

fn zeros(bits: u64) -> u8 {
    u8::try_from(bits.leading_zeros()).unwrap_or(64)
}

/// A hash as the sparse form keeps it: its first 25 bits, and the zeros behind where these alone
/// do not tell the register's rank.
fn encode(hash: u64) -> u32 {
    let low = 64 - SPARSE_PRECISION;
    let index = u32::try_from(hash >> low).unwrap_or(0);
    if index & ((1 << (SPARSE_PRECISION - PRECISION)) - 1) == 0 {
        let rest = hash << SPARSE_PRECISION | ((1 << SPARSE_PRECISION) - 1);
        index << 7 | u32::from(zeros(rest) + 1) << 1 | 1
    } else {
        index << 1
    }
}

/// The register of a kept hash, and its rank.
fn decode(hash: u32) -> (usize, u8) {
    let more = SPARSE_PRECISION - PRECISION;
    let (index, rank) = if hash & 1 == 1 {
        (hash >> (32 - PRECISION), (hash >> 1 & 0x3f) + more)
    } else {
        let index = hash >> (more + 1) & ((1 << PRECISION) - 1);
        (index, (hash << (32 - more - 1)).leading_zeros() + 1)
    };
    (
        usize::try_from(index).unwrap_or(0),
        u8::try_from(rank).unwrap_or(u8::MAX),
    )
}

/// Sorted numbers as differences of 7 bits a byte.
fn put_list(sorted: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sorted.len() * 2);
    let mut last = 0;
    for number in sorted {
        let mut rest = number.wrapping_sub(last);
        while rest > 0x7f {
            out.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
            rest >>= 7;
        }
        out.push(u8::try_from(rest).unwrap_or(0));
        last = *number;
    }
    out
}

/// The numbers of such a list; none where it ends early or does not ascend.
fn read_list(bytes: &[u8]) -> Option<Vec<u32>> {
    let mut numbers: Vec<u32> = Vec::new();
    let (mut difference, mut shift) = (0_u32, 0);
    for byte in bytes {
        difference |= u32::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            let last = numbers.last().copied();
            numbers.push(last.unwrap_or(0).checked_add(difference)?);
            if last.is_some() && difference == 0 {
                return None;
            }
            (difference, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(numbers)
}

/// The bias of LogLog-Beta at a number of empty registers.
fn beta(empty: f64) -> f64 {
    let zl = (empty + 1.0).ln();
    -0.373_318_766_437_530_6 * empty - 1.417_040_774_481_23 * zl
        + 0.407_291_847_966_125_33 * zl.powi(2)
        + 1.561_520_339_065_841_6 * zl.powi(3)
        - 0.992_422_335_342_861_3 * zl.powi(4)
        + 0.260_646_813_994_833_1 * zl.powi(5)
        - 0.030_538_113_696_828_07 * zl.powi(6)
        + 0.001_557_702_101_791_05 * zl.powi(7)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate lies far below 2^53 and is not negative"
)]
fn whole(estimate: f64) -> u64 {
    estimate as u64
}

/// One series' sketches by window; its points ascend.
pub(crate) fn by_window(
    windows: &Windows,
    times: &[i64],
    values: &Values,
) -> BTreeMap<i64, Sketch> {
    let mut sketches = BTreeMap::new();
    windows.runs(times, |start, run| {
        let sketch: &mut Sketch = sketches.entry(start).or_insert_with(Sketch::new);
        for at in run {
            sketch.add(values.value(at));
        }
    });
    sketches
}

/// Adds the sketches of a later series; answers how many bytes more they take together.
pub(crate) fn merge(all: &mut BTreeMap<i64, Sketch>, part: BTreeMap<i64, Sketch>) -> u64 {
    let mut more = 0;
    for (window, sketch) in part {
        match all.entry(window) {
            Entry::Occupied(mut there) => {
                let before = there.get().bytes();
                there.get_mut().merge(&sketch);
                more += there.get().bytes().saturating_sub(before);
            }
            Entry::Vacant(place) => {
                more += sketch.bytes();
                place.insert(sketch);
            }
        }
    }
    more
}

/// How many values the sketch of a text holds; 0 where the text is none, as in InfluxDB.
pub(crate) fn count(text: &str) -> u64 {
    Sketch::read(text).map_or(0, |sketch| sketch.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sketch of the integers from `from` on.
    fn integers(from: i64, to: i64) -> Sketch {
        let mut sketch = Sketch::new();
        (from..to).for_each(|value| sketch.add(ValueRef::Integer(value)));
        sketch
    }

    fn texts(values: &[&str]) -> Sketch {
        let mut sketch = Sketch::new();
        for value in values {
            sketch.add(ValueRef::String(value));
        }
        sketch
    }

    #[test]
    fn texts_are_influxdbs() {
        let mut mixed = Sketch::new();
        mixed.add(ValueRef::Float(1.5));
        mixed.add(ValueRef::Boolean(true));
        for (sketch, count, text) in [
            (Sketch::new(), 0, "HLL_AhABAAAAAAAAAAAAAAAAAAAAAA=="),
            (texts(&["one"]), 1, "HLL_AhABAAAAAAAAAAEA2OwKAAAABIrY4wY="),
            (
                texts(&["a", "b", "c", "a"]),
                3,
                "HLL_AhABAAAAAAAAAAMDSTsSAAAADKqphA+arbkFzp/nBQ==",
            ),
            (mixed, 2, "HLL_AhABAAAAAAAAAAICKQSeAAAACN73yQ3AkdoD"),
            (
                integers(0, 10),
                10,
                "HLL_AhABAAAAAAAAAAoD0LhgAAAAJsiW3ALe894BhMGRAtbY+wHw26kLuuQ82MDqAYa0+gTSvB+G248D",
            ),
        ] {
            assert_eq!(sketch.count(), count);
            assert_eq!(sketch.text(), text);
        }
    }

    #[test]
    fn long_texts_and_their_counts_are_influxdbs() {
        let mut merged = integers(0, 10);
        merged.merge(&integers(5, 20));
        let mut large = integers(0, 60_000);
        large.merge(&integers(30_000, 100_000));
        let mut alone = integers(0, 10);
        alone.merge(&Sketch::new());
        for (name, sketch, count, len, hash) in [
            ("656", integers(0, 656), 656, 2532, 0x6686_7d9b_dc9c_fa47),
            ("657", integers(0, 657), 657, 2536, 0x60a7_5305_eee2_194e),
            (
                "5000",
                integers(0, 5000),
                5000,
                15_324,
                0xe809_9ae2_5189_1c7b,
            ),
            (
                "20000",
                integers(0, 20_000),
                19_998,
                52_724,
                0x07c3_c63d_cf14_d0c0,
            ),
            (
                "30000",
                integers(0, 30_000),
                29_996,
                77_996,
                0xa971_a53d_a353_b321,
            ),
            (
                "50000",
                integers(0, 50_000),
                49_791,
                87_396,
                0x3a4e_292e_beb0_c0c0,
            ),
            (
                "100000",
                integers(0, 100_000),
                99_900,
                87_396,
                0x6ce4_aeaa_6930_1425,
            ),
            ("merged", merged, 20, 87_396, 0xde33_5714_4967_a8d6),
            ("large", large, 99_900, 87_396, 0x6ce4_aeaa_6930_1425),
            ("alone", alone, 10, 87_396, 0x1fe0_ad85_2c9e_6446_u64),
        ] {
            assert_eq!(sketch.count(), count, "{name}");
            let text = sketch.text();
            assert_eq!(
                (text.len(), xxh64(text.as_bytes(), 0)),
                (len, hash),
                "{name}"
            );
            assert_eq!(super::count(&text), count, "{name}, read again");
        }
    }

    #[test]
    fn a_text_that_is_no_sketch_counts_nothing() {
        let good = integers(0, 100).text();
        assert_eq!(count(&good), 100);
        for bad in [
            String::new(),
            "HLL".to_owned(),
            PREFIX.to_owned(),
            "HLLERROR x".to_owned(),
            good[..good.len() - 8].to_owned(),
            good.replacen("HLL_AhAB", "HLL_AhUB", 1),
            format!("{PREFIX}AhABAAAAAAAAAAH/////////////////"),
            format!("{PREFIX}AhAA//////8="),
        ] {
            assert_eq!(count(&bad), 0, "{bad}");
        }
    }
}
