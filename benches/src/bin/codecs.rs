//! Bytes a value and decoding speed of each codec over real container columns, side by side.
//!
//! The columns are those of ../shared/data/series, a value every 10 s, in blocks of up to 180 rows
//! (half an hour, as segments have them). Time is that on the processor, so that other load on the
//! machine changes little. `codecs [EVERY SECONDS]`.
#![expect(clippy::print_stdout, reason = "the table is the program's output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;

use plimsoll_benches::recording::Recording;
use plimsoll_engine::codec::cold::{Form, PAGE_BYTES, Page, Pages, Shape, steps_of};
use plimsoll_engine::codec::{cold, gorilla, integer, varint};
use tick::Tick;
use tsz_compress::prelude::{BitBufferSlice, Compressor, Decompressor};

mod tick {
    use tsz_compress::prelude::*;

    /// A row for tsz-compress.
    #[derive(Copy, Clone, DeltaEncodable, Compressible, Decompressible)]
    pub struct Tick {
        pub at: i64,
    }
}

/// Each thing is repeated until it has taken this long on the processor.
const MEASURED_NS_MIN: u64 = 40_000_000;
/// Rows of a block at most.
const BLOCK_ROWS: usize = 180;

type Blocks = Vec<Vec<i64>>;

/// Appends what the bytes hold; the blocks say how many values each has.
type Decode = fn(&[Vec<u8>], &[Vec<i64>], &mut Vec<i64>);

/// The classes of columns, by what their metrics are called.
const CLASSES: [(&str, &[&str]); 5] = [
    ("cpu ns", &["cpu_usage_ns"]),
    ("cpu ticks ns", &["cpu_user_ns", "cpu_sys_ns"]),
    ("net bytes", &["net_rx_bytes", "net_tx_bytes"]),
    (
        "faults, packets",
        &["pgfault", "net_rx_packets", "net_tx_packets"],
    ),
    ("memory", &["rss_bytes", "anon_bytes", "vsize"]),
];

/// One codec's way with one block or page.
struct Entrant {
    name: &'static str,
    encode: fn(&[Vec<i64>]) -> Vec<Vec<u8>>,
    decode: Decode,
}

fn main() -> Result<(), Box<dyn Error>> {
    let every: usize = std::env::args()
        .nth(1)
        .map_or(Ok(10), |text| text.parse())?;
    let Some(recording) = Recording::read()? else {
        println!("SKIPPED codecs ../shared/data is not there");
        return Ok(());
    };
    let columns = columns(&recording, every);
    let entrants = [
        Entrant {
            name: "tsz-compress",
            encode: |blocks| blocks.iter().map(|block| tsz(block)).collect(),
            decode: |bytes, _, out| bytes.iter().for_each(|bytes| un_tsz(bytes, out)),
        },
        Entrant {
            name: "Gorilla",
            encode: |blocks| blocks.iter().map(|block| gorilla_of(block)).collect(),
            decode: un_gorilla,
        },
        Entrant {
            name: "pco",
            encode: |blocks| blocks.iter().map(|block| pco_of(block)).collect(),
            decode: |bytes, _, out| bytes.iter().for_each(|bytes| un_pco(bytes, out)),
        },
        Entrant {
            name: "codecs 0, 1, 3, 8",
            encode: |blocks| blocks.iter().map(|block| ours(block)).collect(),
            decode: un_ours,
        },
        Entrant {
            name: "codec 6",
            encode: pages,
            decode: un_pages,
        },
    ];
    println!("bytes a value; million values decoded a second; encoded a second");
    let names: Vec<_> = entrants.iter().map(|entrant| entrant.name).collect();
    println!("| column | values | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(names.len()));
    let mut classes: Vec<(&str, Vec<Blocks>)> = Vec::new();
    for (class, metrics) in CLASSES {
        let of = |metric: &&str| columns.get(*metric).cloned().unwrap_or_default();
        let found = metrics.iter().map(of).filter(|blocks| !blocks.is_empty());
        classes.push((class, found.collect()));
    }
    if let Some(micros) = cgroup_v2(every)? {
        classes.insert(1, ("cpu µs, cgroup v2", micros));
    }
    classes.push((
        "all columns, constants too",
        columns.into_values().collect(),
    ));
    for (class, columns) in classes {
        let values: usize = columns.iter().flatten().map(Vec::len).sum();
        let cells = entrants
            .iter()
            .map(|entrant| measure(entrant, &columns, values))
            .collect::<Result<Vec<_>, _>>()?;
        println!("| {class} | {values} | {} |", cells.join(" | "));
    }
    Ok(())
}

/// The blocks of each metric of integers, sampled.
fn columns(recording: &Recording, every: usize) -> BTreeMap<String, Blocks> {
    let mut columns: BTreeMap<String, Blocks> = BTreeMap::new();
    for series in recording.series.iter().filter(|series| !series.is_float) {
        let skipped = (every - series.start % every) % every;
        let values: Vec<i64> = series
            .values
            .iter()
            .skip(skipped)
            .step_by(every)
            .copied()
            .collect();
        let column = columns.entry(series.metric.clone()).or_default();
        column.extend(values.chunks(BLOCK_ROWS).map(<[i64]>::to_vec));
    }
    columns
}

/// usage, user and system of each cgroup; None where the file is not there.
fn cgroup_v2(every: usize) -> Result<Option<Vec<Blocks>>, Box<dyn Error>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/data/series/cgroup_v2_cpu_1s.csv"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(None);
    };
    let mut series: BTreeMap<(usize, &str), Vec<i64>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut cells = line.split(',').skip(1);
        let name = cells.next().ok_or("a line without a name")?;
        for (column, cell) in cells.enumerate() {
            series
                .entry((column, name))
                .or_default()
                .push(cell.parse()?);
        }
    }
    let mut columns = vec![Blocks::new(); 3];
    for ((column, _), values) in series {
        let sampled: Vec<i64> = values.iter().step_by(every).copied().collect();
        columns[column].extend(sampled.chunks(BLOCK_ROWS).map(<[i64]>::to_vec));
    }
    Ok(Some(columns))
}

/// Encodes and decodes each column, checks that it came back, and says how large and how quick.
fn measure(entrant: &Entrant, columns: &[Blocks], values: usize) -> Result<String, Box<dyn Error>> {
    let mut bytes = 0;
    let (mut encoding, mut decoding) = (0.0, 0.0);
    let mut out = Vec::new();
    for blocks in columns {
        let (seconds, encoded) = timed(|| (entrant.encode)(blocks))?;
        encoding += seconds;
        bytes += encoded.iter().map(Vec::len).sum::<usize>();
        let (seconds, ()) = timed(|| {
            out.clear();
            (entrant.decode)(&encoded, blocks, &mut out);
            black_box(&out);
        })?;
        decoding += seconds;
        if !out.iter().eq(blocks.iter().flatten()) {
            return Err(format!("{} gives other values back", entrant.name).into());
        }
    }
    let values = number(values);
    Ok(format!(
        "{:.2}; {:.0}; {:.0}",
        number(bytes) / values,
        values / decoding / 1e6,
        values / encoding / 1e6
    ))
}

/// How long it takes on the processor, and what it gives. Asking for the time takes longer than many
/// of the rounds, and it moves by ms: so twice as many rounds are made until it took long.
fn timed<T>(mut what: impl FnMut() -> T) -> Result<(f64, T), Box<dyn Error>> {
    let mut rounds = 1u32;
    loop {
        let start = processor_ns()?;
        let mut result = what();
        for _ in 1..rounds {
            result = what();
        }
        let taken = processor_ns()? - start;
        if taken >= MEASURED_NS_MIN {
            let seconds = number(usize::try_from(taken)?) / 1e9;
            return Ok((seconds / f64::from(rounds), result));
        }
        rounds *= 2;
    }
}

/// Time of this thread on the processor.
fn processor_ns() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text
        .split(' ')
        .next()
        .ok_or("schedstat is empty")?
        .parse()?)
}

/// A first number costs what the block index takes for it, about that of its own bytes.
fn put_first(block: &[i64], out: &mut Vec<u8>) {
    varint::put_signed(out, block[0]);
}

fn take_first(bytes: &[u8]) -> (i64, &[u8]) {
    let mut cursor = varint::Cursor::new(bytes);
    let first = cursor.i64().expect("it was put there");
    (first, cursor.rest())
}

fn ours(block: &[i64]) -> Vec<u8> {
    let mut out = vec![0];
    put_first(block, &mut out);
    out[0] = integer::encode(block, &mut out) as u8;
    out
}

fn un_ours(encoded: &[Vec<u8>], blocks: &[Vec<i64>], out: &mut Vec<i64>) {
    for (bytes, block) in encoded.iter().zip(blocks) {
        let codec = plimsoll_engine::codec::Codec::from_id(bytes[0]).expect("a codec");
        let (first, rest) = take_first(&bytes[1..]);
        integer::decode(codec, rest, first, block.len(), out).expect("it was encoded here");
    }
}

fn gorilla_of(block: &[i64]) -> Vec<u8> {
    let floats: Vec<f64> = block.iter().map(|value| float(*value)).collect();
    let mut out = floats[0].to_le_bytes().to_vec();
    gorilla::encode(&floats, &mut out);
    out
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "they were integers below 2^53"
)]
fn un_gorilla(encoded: &[Vec<u8>], blocks: &[Vec<i64>], out: &mut Vec<i64>) {
    let mut floats = Vec::new();
    for (bytes, block) in encoded.iter().zip(blocks) {
        let (first, rest) = bytes.split_first_chunk().expect("it was put there");
        floats.clear();
        gorilla::decode(rest, f64::from_le_bytes(*first), block.len(), &mut floats)
            .expect("it was encoded here");
        out.extend(floats.iter().map(|float| *float as i64));
    }
}

fn tsz(block: &[i64]) -> Vec<u8> {
    let mut compressor = Compressor::new(block.len() * 2);
    for at in block {
        compressor.compress(Tick { at: *at });
    }
    let mut out = u32::try_from(block.len())
        .expect("180")
        .to_le_bytes()
        .to_vec();
    out.extend(compressor.finish().into_vec());
    out
}

fn un_tsz(bytes: &[u8], out: &mut Vec<i64>) {
    let (count, rest) = bytes.split_first_chunk().expect("it was put there");
    let count = u32::from_le_bytes(*count) as usize;
    let mut decompressor = Decompressor::new(BitBufferSlice::from_slice(rest));
    let rows = decompressor.decompress::<Tick>().take(count);
    out.extend(rows.map(|row| row.expect("it was encoded here").at));
}

fn pco_of(block: &[i64]) -> Vec<u8> {
    pco::standalone::simple_compress(block, &pco::ChunkConfig::default()).expect("it fits")
}

fn un_pco(bytes: &[u8], out: &mut Vec<i64>) {
    out.extend(pco::standalone::simple_decompress::<i64>(bytes).expect("it was encoded here"));
}

/// Pages, each behind the form of its blocks and what the index has of them.
fn pages(blocks: &[Vec<i64>]) -> Vec<Vec<u8>> {
    let mut encoder = Pages::default();
    let mut page = Page::default();
    page.clear();
    let (mut out, mut index) = (Vec::new(), Vec::new());
    for (at, block) in blocks.iter().enumerate() {
        put_first(block, &mut index);
        let start = page.blocks.len();
        let codec = integer::encode(block, &mut page.blocks);
        index.push(codec as u8);
        varint::put(&mut index, (page.blocks.len() - start) as u64);
        if page.blocks.len() > start {
            steps_of(block, &mut page.steps);
            page.numbers
                .extend(block[1..].iter().map(|value| value.cast_unsigned()));
            page.shapes.push(Shape {
                bitmap_bytes: 0,
                steps: block.len() - 1,
                numbers: block.len() - 1,
            });
        }
        if page.numbers.len() * 8 >= PAGE_BYTES || at + 1 == blocks.len() {
            let mut bytes = Vec::new();
            varint::put(&mut bytes, index.len() as u64);
            bytes.append(&mut index);
            let form_at = bytes.len();
            bytes.push(0);
            varint::put(&mut bytes, page.blocks.len() as u64);
            bytes[form_at] = encoder.encode(&page, &mut bytes) as u8;
            out.push(bytes);
            page.clear();
        }
    }
    out
}

fn un_pages(encoded: &[Vec<u8>], blocks: &[Vec<i64>], out: &mut Vec<i64>) {
    let mut blocks = blocks.iter();
    for bytes in encoded {
        let mut cursor = varint::Cursor::new(bytes);
        let index_len = cursor.len_up_to(bytes.len()).expect("a length");
        let mut index = varint::Cursor::new(cursor.bytes(index_len).expect("an index"));
        let form = cursor.u8().expect("a form");
        let plain_len = cursor.len_up_to(1 << 30).expect("a length");
        let mut entries = Vec::new();
        while index.remaining() > 0 {
            let first = index.i64().expect("a number");
            let codec = index.u8().expect("a codec");
            let len = index.len_up_to(1 << 30).expect("a length");
            let count = blocks.next().expect("as many blocks").len();
            entries.push((first, codec, len, count));
        }
        let is_blocks = form == Form::Blocks as u8;
        let numbers = |(_, _, len, count): &(i64, u8, usize, usize)| {
            if *len == 0 { 0 } else { 8 * (count - 1) }
        };
        let len = if is_blocks {
            plain_len
        } else {
            entries.iter().map(numbers).sum()
        };
        let decoded = if len == 0 {
            None
        } else {
            cold::decode(cursor.rest(), len).expect("a page")
        };
        let mut page = decoded.as_deref().unwrap_or(&cursor.rest()[1..]);
        for entry in entries {
            let (first, codec, len, count) = entry;
            let (codec, len) = match form {
                form if form == Form::Steps as u8 && len > 0 => (6, numbers(&entry)),
                form if form == Form::Numbers as u8 && len > 0 => (0, numbers(&entry)),
                _ => (codec, len),
            };
            let codec = plimsoll_engine::codec::Codec::from_id(codec).expect("a codec");
            let (block, rest) = page.split_at(len);
            integer::decode(codec, block, first, count, out).expect("it was encoded here");
            page = rest;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an average")]
fn number(number: usize) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counters of containers are below 2^53"
)]
fn float(value: i64) -> f64 {
    value as f64
}
