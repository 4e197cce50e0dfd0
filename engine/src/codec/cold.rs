//! Codec 6: cold pages, about 64 KiB of blocks of one column, compressed together.
//!
//! A page stands for bytes that its blocks are cut out of. Those of a block are in one of three
//! forms: as its own codec has them; the differences of its numbers to those before (codec 6, for
//! floats those of the integers that they are decimals of); or its numbers as they are (codec 0).
//! All blocks of a page have the same. Numbers of a page go through pco where that is much smaller,
//! as it is the slowest to read; the rest through zstd, or stays as it is.

use super::varint::{self, Cursor};
use super::{BLOCK_POINTS_MAX, Malformed, decimal};

/// A page ends behind the block that fills this many bytes as raw numbers, or as it is encoded.
pub const PAGE_BYTES: usize = 64 << 10;
/// What a compressed page stands for at most. Larger blocks stay as they are.
pub const PAGE_BYTES_MAX: usize = 4 * PAGE_BYTES;
/// The longest bitmap of a block.
const BITMAP_BYTES_MAX: usize = BLOCK_POINTS_MAX / 8;
/// The most numbers of a block: its values but the first, and the scale of decimals.
const NUMBERS_MAX: usize = BLOCK_POINTS_MAX;

const ZSTD_LEVEL: i32 = 9;
const PCO_LEVEL: usize = 8;
/// zstd must save a twentieth of the blocks as they are, pco 15 % of the better of these.
const ZSTD_PERCENT_MAX: usize = 95;
const PCO_PERCENT_MAX: usize = 85;
/// Of this many pages of a column one is tried in all ways, the others as that one was encoded.
const SEARCH_EVERY: u32 = 8;

/// How the bytes of a page are compressed. The numbers are stored on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Not at all.
    Plain = 0,
    /// All bytes through zstd.
    Zstd = 1,
    /// Numbers, zigzagged, as varints, through zstd.
    Varints = 2,
    /// Numbers through pco, as integers.
    Integers = 3,
    /// Numbers through pco, as floats.
    Floats = 4,
}

/// Which form the blocks of a page have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As their codecs have them.
    Blocks,
    /// Differences.
    Steps,
    /// The numbers themselves.
    Numbers,
}

/// How many bytes of bitmap and how many numbers of 8 bytes one block has in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// 0 where no row is absent.
    pub bitmap_bytes: usize,
    /// Differences.
    pub steps: usize,
    /// Numbers as they are.
    pub numbers: usize,
}

/// What may become a page. [`Pages::encode`] takes it.
#[derive(Debug, Default)]
pub struct Page {
    /// The blocks as their codecs have them, with their bitmaps.
    pub blocks: Vec<u8>,
    /// What they are as numbers; none where they are not numbers.
    pub shapes: Vec<Shape>,
    /// Their bitmaps.
    pub bitmaps: Vec<u8>,
    /// Their differences; of no use where `has_steps` is not set.
    pub steps: Vec<i64>,
    /// Their numbers, as bits.
    pub numbers: Vec<u64>,
    /// Whether all of them have differences.
    pub has_steps: bool,
    /// Whether the numbers are floats.
    pub is_float: bool,
}

impl Page {
    /// Empties it for the next.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.shapes.clear();
        self.bitmaps.clear();
        self.steps.clear();
        self.numbers.clear();
        self.has_steps = true;
    }
}

/// Encodes the pages of one column after the other.
#[derive(Debug, Default)]
pub struct Pages {
    /// Pages of the column so far.
    count: u32,
    /// How the last that was tried in all ways was encoded.
    last: Option<(Kind, Form)>,
}

impl Pages {
    /// Appends a page and says which form its blocks have in it.
    pub fn encode(&mut self, page: &Page, out: &mut Vec<u8>) -> Form {
        let searched = self.count.is_multiple_of(SEARCH_EVERY);
        self.count += 1;
        let start = out.len();
        let last = self.last.filter(|_| !searched);
        out.push(Kind::Plain as u8);
        out.extend_from_slice(&page.blocks);
        let mut best = (Kind::Plain, Form::Blocks);
        if page.blocks.len() <= PAGE_BYTES_MAX {
            // What is quick to read comes first.
            let mut quick_len = out.len() - start;
            let mut tried = Vec::new();
            for (kind, form) in candidates(page) {
                if last.is_some_and(|last| last != (kind, form)) {
                    continue;
                }
                tried.clear();
                tried.push(kind as u8);
                if put(page, kind, form, &mut tried).is_none() {
                    continue;
                }
                let is_quick = matches!(kind, Kind::Zstd | Kind::Varints);
                let percent_max = if is_quick {
                    ZSTD_PERCENT_MAX
                } else {
                    PCO_PERCENT_MAX
                };
                if tried.len() < out.len() - start && tried.len() * 100 <= quick_len * percent_max {
                    out.truncate(start);
                    out.extend_from_slice(&tried);
                    best = (kind, form);
                    if is_quick {
                        quick_len = tried.len();
                    }
                }
            }
        }
        if searched {
            self.last = Some(best);
        }
        best.1
    }
}

/// The ways to compress a page.
fn candidates(page: &Page) -> impl Iterator<Item = (Kind, Form)> {
    let has_numbers = !page.numbers.is_empty();
    let has_steps = has_numbers && page.has_steps;
    let pco = if page.is_float {
        Kind::Floats
    } else {
        Kind::Integers
    };
    [
        (true, Kind::Zstd, Form::Blocks),
        (has_steps, Kind::Varints, Form::Steps),
        (has_steps, Kind::Integers, Form::Steps),
        (has_numbers, pco, Form::Numbers),
    ]
    .into_iter()
    .filter(|(fits, ..)| *fits)
    .map(|(_, kind, form)| (kind, form))
}

/// Appends the page in one way; None where it does not go that way.
fn put(page: &Page, kind: Kind, form: Form, out: &mut Vec<u8>) -> Option<()> {
    if form == Form::Blocks {
        out.extend(zstd::bulk::compress(&page.blocks, ZSTD_LEVEL).ok()?);
        return Some(());
    }
    put_shapes(&page.shapes, form, out);
    out.extend_from_slice(&page.bitmaps);
    let config = pco::ChunkConfig::default().with_compression_level(PCO_LEVEL);
    let encoded = match (kind, form) {
        (Kind::Varints, _) => {
            let mut varints = Vec::with_capacity(page.steps.len() * 2);
            for step in &page.steps {
                varint::put_signed(&mut varints, *step);
            }
            zstd::bulk::compress(&varints, ZSTD_LEVEL).ok()?
        }
        (_, Form::Steps) => {
            let config = config.with_delta_spec(pco::DeltaSpec::NoOp);
            pco::standalone::simple_compress(&page.steps, &config).ok()?
        }
        (Kind::Floats, _) => {
            let numbers = page.numbers.iter().map(|bits| f64::from_bits(*bits));
            let numbers: Vec<f64> = numbers.collect();
            pco::standalone::simple_compress(&numbers, &config).ok()?
        }
        _ => {
            let numbers = page.numbers.iter().map(|bits| bits.cast_signed());
            let numbers: Vec<i64> = numbers.collect();
            pco::standalone::simple_compress(&numbers, &config).ok()?
        }
    };
    out.extend(encoded);
    Some(())
}

/// Runs of blocks of one shape.
fn put_shapes(shapes: &[Shape], form: Form, out: &mut Vec<u8>) {
    let of = |shape: &Shape| match form {
        Form::Steps => (shape.bitmap_bytes, shape.steps),
        Form::Blocks | Form::Numbers => (shape.bitmap_bytes, shape.numbers),
    };
    let runs = shapes.chunk_by(|a, b| of(a) == of(b));
    varint::put(out, runs.clone().count() as u64);
    for run in runs {
        let (bitmap_bytes, numbers) = of(&run[0]);
        varint::put(out, run.len() as u64);
        varint::put(out, bitmap_bytes as u64);
        varint::put(out, numbers as u64);
    }
}

/// The bytes that a page stands for, which are `len`; None where they are those of `bytes` behind
/// the first.
///
/// # Errors
/// [`Malformed`] where it is no such page. No more than [`PAGE_BYTES_MAX`] is allocated.
pub fn decode(bytes: &[u8], len: usize) -> Result<Option<Vec<u8>>, Malformed> {
    let Some((kind, bytes)) = bytes.split_first() else {
        return Err(Malformed("a cold page without bytes"));
    };
    if *kind == Kind::Plain as u8 {
        return if bytes.len() == len {
            Ok(None)
        } else {
            Err(Malformed("a cold page of another length"))
        };
    }
    if len > PAGE_BYTES_MAX {
        return Err(Malformed("a cold page that is too large"));
    }
    let decoded = match *kind {
        kind if kind == Kind::Zstd as u8 => zstd::bulk::decompress(bytes, len)
            .map_err(|_| Malformed("a cold page that zstd refuses"))?,
        kind if kind == Kind::Varints as u8 => decode_numbers(bytes, len, varints)?,
        kind if kind == Kind::Integers as u8 => decode_numbers(bytes, len, |bytes, count| {
            let numbers = pco_numbers::<i64>(bytes, count)?;
            Ok(numbers
                .iter()
                .map(|number| number.cast_unsigned())
                .collect())
        })?,
        kind if kind == Kind::Floats as u8 => decode_numbers(bytes, len, |bytes, count| {
            let numbers = pco_numbers::<f64>(bytes, count)?;
            Ok(numbers.iter().map(|number| number.to_bits()).collect())
        })?,
        _ => return Err(Malformed("a cold page of an unknown kind")),
    };
    if decoded.len() == len {
        Ok(Some(decoded))
    } else {
        Err(Malformed("a cold page of another length"))
    }
}

fn decode_numbers(
    bytes: &[u8],
    len: usize,
    numbers: impl FnOnce(&[u8], usize) -> Result<Vec<u64>, Malformed>,
) -> Result<Vec<u8>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let mut runs = Vec::new();
    let (mut bitmaps_len, mut count) = (0, 0);
    for _ in 0..cursor.len_up_to(cursor.remaining() / 3)? {
        let blocks = cursor.len_up_to(len)?;
        let bitmap_bytes = cursor.len_up_to(BITMAP_BYTES_MAX)?;
        let numbers = cursor.len_up_to(NUMBERS_MAX)?;
        bitmaps_len += blocks * bitmap_bytes;
        count += blocks * numbers;
        if bitmaps_len + 8 * count > len || (numbers == 0 && bitmap_bytes == 0) {
            return Err(Malformed("a cold page of more than it stands for"));
        }
        runs.push((blocks, bitmap_bytes, numbers));
    }
    if bitmaps_len + 8 * count != len {
        return Err(Malformed("a cold page of less than it stands for"));
    }
    let mut bitmaps = cursor.bytes(bitmaps_len)?;
    let numbers = numbers(cursor.rest(), count)?;
    let mut rest = &numbers[..];
    let mut out = Vec::with_capacity(len);
    for (blocks, bitmap_bytes, numbers) in runs {
        for _ in 0..blocks {
            let (bitmap, later) = bitmaps.split_at(bitmap_bytes);
            out.extend_from_slice(bitmap);
            bitmaps = later;
            let (block, later) = rest.split_at(numbers);
            out.extend(block.iter().flat_map(|number| number.to_le_bytes()));
            rest = later;
        }
    }
    Ok(out)
}

/// Exactly `count` numbers.
fn varints(bytes: &[u8], count: usize) -> Result<Vec<u64>, Malformed> {
    let bytes = zstd::bulk::decompress(bytes, 10 * count)
        .map_err(|_| Malformed("a cold page that zstd refuses"))?;
    let mut cursor = Cursor::new(&bytes);
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        numbers.push(cursor.i64()?.cast_unsigned());
    }
    cursor.finish()?;
    Ok(numbers)
}

/// Exactly `count` numbers.
fn pco_numbers<T>(bytes: &[u8], count: usize) -> Result<Vec<T>, Malformed>
where
    T: pco::data_types::Number + Default,
{
    let mut numbers = vec![T::default(); count];
    let read = pco::standalone::simple_decompress_into(bytes, &mut numbers)
        .map_err(|_| Malformed("a cold page that pco refuses"))?;
    if read.n_processed == count && read.finished {
        Ok(numbers)
    } else {
        Err(Malformed("a cold page of other numbers than it stands for"))
    }
}

/// Appends the differences of `values`, one fewer than these.
pub fn steps_of(values: &[i64], out: &mut Vec<i64>) {
    let steps = values.iter().zip(&values[1..]);
    out.extend(steps.map(|(a, b)| b.wrapping_sub(*a)));
}

/// Appends, where all are decimals of one scale, that scale and the differences of their integers;
/// as many as there are values. Answers whether.
pub fn decimal_steps_of(values: &[f64], out: &mut Vec<i64>) -> bool {
    let mut integers = [0i64; BLOCK_POINTS_MAX];
    let Some(scale) = decimal::integers_of(values, &mut integers) else {
        return false;
    };
    out.push(i64::from(scale));
    steps_of(&integers[..values.len()], out);
    true
}

/// Appends `count` numbers, `seed` first, from the differences of [`steps_of`].
///
/// # Errors
/// [`Malformed`] where they are not as many.
pub fn decode_steps(
    bytes: &[u8],
    seed: i64,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), Malformed> {
    if bytes.len() != 8 * (count - 1) {
        return Err(Malformed("differences of another count"));
    }
    let mut value = seed;
    out.push(seed);
    out.extend(bytes.as_chunks().0.iter().map(|eight| {
        value = value.wrapping_add(i64::from_le_bytes(*eight));
        value
    }));
    Ok(())
}

/// Appends `count` floats, `seed` first, from what [`decimal_steps_of`] appended. `integers` is
/// scratch space.
///
/// # Errors
/// [`Malformed`] where the bytes are not that.
pub fn decode_decimal_steps(
    bytes: &[u8],
    seed: f64,
    count: usize,
    integers: &mut Vec<i64>,
    out: &mut Vec<f64>,
) -> Result<(), Malformed> {
    let Some((scale, steps)) = bytes.split_first_chunk() else {
        return Err(Malformed("decimals without a scale"));
    };
    let scale = u8::try_from(i64::from_le_bytes(*scale))
        .ok()
        .filter(|scale| *scale <= decimal::SCALE_MAX)
        .ok_or(Malformed("a decimal scale beyond 18"))?;
    let first =
        decimal::to_integer(seed, scale).ok_or(Malformed("a first float that is no decimal"))?;
    integers.clear();
    decode_steps(steps, first, count, integers)?;
    out.extend(
        integers
            .iter()
            .map(|integer| decimal::to_float(*integer, scale)),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A page of blocks of numbers, and what it stands for in each form.
    fn page_of(blocks: &[Vec<i64>], is_float: bool, bitmap_bytes: usize) -> Page {
        let mut page = Page::default();
        page.clear();
        page.is_float = is_float;
        for (number, values) in blocks.iter().enumerate() {
            let bitmap = vec![u8::try_from(number % 256).unwrap(); bitmap_bytes];
            page.bitmaps.extend_from_slice(&bitmap);
            page.blocks.extend_from_slice(&bitmap);
            page.blocks.extend_from_slice(b"as its codec has it");
            steps_of(values, &mut page.steps);
            page.numbers
                .extend(values[1..].iter().map(|value| value.cast_unsigned()));
            page.shapes.push(Shape {
                bitmap_bytes,
                steps: values.len() - 1,
                numbers: values.len() - 1,
            });
        }
        page
    }

    /// What the page stands for in a form.
    fn stands_for(page: &Page, form: Form) -> Vec<u8> {
        let numbers: Vec<u64> = match form {
            Form::Blocks => return page.blocks.clone(),
            Form::Steps => page.steps.iter().map(|step| step.cast_unsigned()).collect(),
            Form::Numbers => page.numbers.clone(),
        };
        let (mut bitmaps, mut numbers) = (&page.bitmaps[..], &numbers[..]);
        let mut out = Vec::new();
        for shape in &page.shapes {
            let (bitmap, later) = bitmaps.split_at(shape.bitmap_bytes);
            out.extend_from_slice(bitmap);
            bitmaps = later;
            let (block, later) = numbers.split_at(shape.numbers);
            out.extend(block.iter().flat_map(|number| number.to_le_bytes()));
            numbers = later;
        }
        out
    }

    fn decoded(bytes: &[u8], len: usize) -> Result<Vec<u8>, Malformed> {
        Ok(decode(bytes, len)?.unwrap_or_else(|| bytes[1..].to_vec()))
    }

    fn blocks() -> impl Strategy<Value = Vec<Vec<i64>>> {
        let extreme = prop_oneof![
            Just(i64::MIN),
            Just(i64::MAX),
            Just(-1),
            Just(0),
            Just(f64::NAN.to_bits().cast_signed()),
            Just((-0.0f64).to_bits().cast_signed()),
            any::<i64>(),
            -1000i64..1000,
        ];
        let block = proptest::collection::vec(extreme, 2..=256);
        let walk = (any::<i64>(), proptest::collection::vec(0i64..50, 1..=255)).prop_map(
            |(first, steps)| {
                let mut values = vec![first];
                for step in steps {
                    values.push(values[values.len() - 1].wrapping_add(step));
                }
                values
            },
        );
        proptest::collection::vec(prop_oneof![block, walk], 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_page_stands_for_the_same_in_every_way(
            blocks in blocks(),
            is_float in any::<bool>(),
            bitmap_bytes in prop_oneof![Just(0usize), 1usize..=32],
        ) {
            let page = page_of(&blocks, is_float, bitmap_bytes);
            for (kind, form) in candidates(&page) {
                let mut bytes = vec![kind as u8];
                put(&page, kind, form, &mut bytes).unwrap();
                let expected = stands_for(&page, form);
                prop_assert_eq!(decoded(&bytes, expected.len()).unwrap(), &expected[..]);
                prop_assert!(decode(&bytes, expected.len() + 1).is_err());
            }
            let mut bytes = Vec::new();
            let form = Pages::default().encode(&page, &mut bytes);
            let expected = stands_for(&page, form);
            prop_assert_eq!(decoded(&bytes, expected.len()).unwrap(), expected);
        }

        #[test]
        fn differences_give_the_numbers_back(blocks in blocks()) {
            let values = &blocks[0];
            let mut steps = Vec::new();
            steps_of(values, &mut steps);
            let bytes: Vec<u8> = steps.iter().flat_map(|step| step.to_le_bytes()).collect();
            let mut back = Vec::new();
            decode_steps(&bytes, values[0], values.len(), &mut back).unwrap();
            prop_assert_eq!(&back, values);
            prop_assert!(decode_steps(&bytes[1..], values[0], values.len(), &mut back).is_err());
        }

        #[test]
        fn decimals_come_back_bit_for_bit_or_are_left(
            integers in proptest::collection::vec(-1_000_000i64..1_000_000, 1..=256),
            scale in 0u8..6,
            odd in proptest::option::of(any::<u64>()),
        ) {
            let mut values: Vec<f64> =
                integers.iter().map(|integer| decimal::to_float(*integer, scale)).collect();
            values.extend(odd.map(f64::from_bits));
            values.truncate(BLOCK_POINTS_MAX);
            let mut steps = Vec::new();
            if decimal_steps_of(&values, &mut steps) {
                let bytes: Vec<u8> = steps.iter().flat_map(|step| step.to_le_bytes()).collect();
                let mut back = Vec::new();
                decode_decimal_steps(&bytes, values[0], values.len(), &mut Vec::new(), &mut back)
                    .unwrap();
                let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&back), bits(&values));
            } else {
                prop_assert!(odd.is_some());
            }
        }

        #[test]
        fn hostile_pages_are_refused_or_decoded_but_never_more(
            kind in 0u8..6,
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            blocks in blocks(),
            flip in any::<prop::sample::Index>(),
            len in 0usize..4096,
        ) {
            bytes.insert(0, kind);
            if let Ok(page) = decoded(&bytes, len) {
                prop_assert_eq!(page.len(), len);
            }
            let page = page_of(&blocks, false, 3);
            for (kind, form) in candidates(&page) {
                let mut bytes = vec![kind as u8];
                put(&page, kind, form, &mut bytes).unwrap();
                let at = flip.index(bytes.len());
                bytes[at] ^= 0x41;
                let len = stands_for(&page, form).len();
                if let Ok(page) = decoded(&bytes, len) {
                    prop_assert_eq!(page.len(), len);
                }
            }
        }
    }

    #[test]
    fn each_kind_of_page_is_taken_where_it_is_smallest() {
        let steady: Vec<Vec<i64>> = (0..40i64)
            .map(|at| (0..200).map(|n| at * 1000 + n * n % 13).collect())
            .collect();
        let page = page_of(&steady, false, 0);
        let mut bytes = Vec::new();
        let form = Pages::default().encode(&page, &mut bytes);
        assert_eq!(
            (bytes[0], form),
            (Kind::Zstd as u8, Form::Blocks),
            "repeats"
        );
        let mut page = page_of(&steady, false, 0);
        page.blocks = (0..40_000u32)
            .flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes())
            .collect();
        bytes.clear();
        let form = Pages::default().encode(&page, &mut bytes);
        assert_ne!(form, Form::Blocks);
        let large = Page {
            blocks: vec![7; PAGE_BYTES_MAX + 1],
            ..Page::default()
        };
        bytes.clear();
        assert_eq!(Pages::default().encode(&large, &mut bytes), Form::Blocks);
        assert_eq!(
            decode(&bytes, PAGE_BYTES_MAX + 1),
            Ok(None),
            "left as it is"
        );
    }
}
