//! Puts the blocks of a column into cold pages, one page after the other, straight into the file.

use std::collections::VecDeque;

use crate::Result;
use crate::codec::cold::{self, Form, PAGE_BYTES, Page, Shape};
use crate::codec::{Codec, varint};
use crate::model::Values;
use crate::segment::chunks::{BlockParts, CODEC, CONSTANT, ChunkEncoder};
use crate::segment::writer::Writer;

/// A block that waits for its page to be encoded: its entry depends on the form it gets.
#[derive(Debug)]
struct Waiting {
    /// Its entry's first byte, and what stands behind the length of its data.
    head: u8,
    rest: Vec<u8>,
    /// The length of its data as its codec has it.
    len: usize,
    /// None for a block without data.
    shape: Option<Shape>,
    /// Whether it is the last of its chunk.
    ends_chunk: bool,
}

/// A chunk all of whose blocks are in pages.
#[derive(Debug)]
pub struct Finished {
    /// The builder's number.
    pub chunk: usize,
    /// Its blocks' entries.
    pub entries: Vec<u8>,
    /// How many bytes its blocks are in what the pages stand for.
    pub len: usize,
}

/// The cold pages of a segment that is being built.
#[derive(Debug)]
pub struct ColdWriter {
    writer: Writer,
    pages: cold::Pages,
    page: Page,
    encoded: Vec<u8>,
    /// The blocks of the page, and those without data between them.
    waiting: Vec<Waiting>,
    /// Chunks with blocks that wait, and what they have so far.
    chunks: VecDeque<Finished>,
    finished: Vec<Finished>,
    column: Option<u32>,
    /// Where the page starts in what the pages stand for.
    stands_at: u64,
    /// Where the chunk data starts in the file.
    data_at: u64,
    /// The index of the pages.
    index: Vec<u8>,
}

impl ColdWriter {
    /// Starts behind what `writer` holds.
    pub fn new(writer: Writer) -> Self {
        let mut page = Page::default();
        page.clear();
        Self {
            data_at: writer.offset(),
            writer,
            pages: cold::Pages::default(),
            page,
            encoded: Vec::new(),
            waiting: Vec::new(),
            chunks: VecDeque::new(),
            finished: Vec::new(),
            column: None,
            stands_at: 0,
            index: Vec::new(),
        }
    }

    /// Takes the chunk that `encoder` holds, the next of `column` or the first of another.
    pub fn chunk(
        &mut self,
        chunk: usize,
        column: u32,
        encoder: &ChunkEncoder,
        values: &Values,
    ) -> Result<()> {
        if self.column != Some(column) {
            self.end_page()?;
            self.pages = cold::Pages::default();
            self.column = Some(column);
        }
        self.chunks.push_back(Finished {
            chunk,
            entries: Vec::new(),
            len: 0,
        });
        let count = encoder.parts.len();
        for (number, parts) in (1..).zip(&encoder.parts) {
            if parts.data.len() > PAGE_BYTES {
                self.end_page()?;
            }
            self.block(encoder, parts, values, number == count);
            if self.is_full() {
                self.end_page()?;
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let page = &self.page;
        let numbers = page.bitmaps.len() + 8 * page.numbers.len();
        page.blocks.len().max(numbers) >= PAGE_BYTES
    }

    fn block(
        &mut self,
        encoder: &ChunkEncoder,
        parts: &BlockParts,
        values: &Values,
        ends_chunk: bool,
    ) {
        let entry = &encoder.entries[parts.entry.clone()];
        let rest = &encoder.entries[parts.after_len..parts.entry.end];
        let data = &encoder.data[parts.data.clone()];
        let mut shape = Shape {
            bitmap_bytes: parts.values_at - parts.data.start,
            steps: 0,
            numbers: 0,
        };
        if !data.is_empty() {
            let page = &mut self.page;
            page.blocks.extend_from_slice(data);
            page.bitmaps
                .extend_from_slice(&encoder.data[parts.data.start..parts.values_at]);
            if entry[0] & CONSTANT == 0 {
                let (steps, numbers) = (page.steps.len(), page.numbers.len());
                add_numbers(page, values, parts);
                shape.steps = page.steps.len() - steps;
                shape.numbers = page.numbers.len() - numbers;
            }
            page.shapes.push(shape);
        }
        self.waiting.push(Waiting {
            head: entry[0],
            rest: rest.to_vec(),
            len: data.len(),
            shape: (!data.is_empty()).then_some(shape),
            ends_chunk,
        });
    }

    /// Encodes the page, and gives its blocks their entries.
    fn end_page(&mut self) -> Result<()> {
        let mut form = Form::Blocks;
        if !self.page.shapes.is_empty() {
            self.encoded.clear();
            form = self.pages.encode(&self.page, &mut self.encoded);
            self.index.extend(self.stands_at.to_le_bytes());
            let lies_at = self.writer.offset() - self.data_at;
            self.index.extend(lies_at.to_le_bytes());
            self.writer.put(&self.encoded)?;
        }
        for block in self.waiting.drain(..) {
            let chunk = self
                .chunks
                .front_mut()
                .expect("a block waits with its chunk");
            let len = put_entry(&block, form, &mut chunk.entries);
            chunk.len += len;
            self.stands_at += len as u64;
            if block.ends_chunk {
                self.finished.extend(self.chunks.pop_front());
            }
        }
        self.page.clear();
        Ok(())
    }

    /// The chunks that were finished since it was asked last.
    pub fn finished(&mut self) -> impl Iterator<Item = Finished> + '_ {
        self.finished.drain(..)
    }

    /// How many bytes of the file were written.
    pub fn written_bytes(&self) -> u64 {
        self.writer.offset()
    }

    /// Ends the last page.
    pub fn end(&mut self) -> Result<()> {
        self.end_page()
    }

    /// The file, and the index of the pages.
    pub fn into_parts(mut self) -> (Writer, Vec<u8>) {
        debug_assert!(self.waiting.is_empty());
        self.index.extend(self.stands_at.to_le_bytes());
        let lies_at = self.writer.offset() - self.data_at;
        self.index.extend(lies_at.to_le_bytes());
        (self.writer, self.index)
    }
}

/// Appends the numbers of a block to a page, where they are numbers.
fn add_numbers(page: &mut Page, values: &Values, parts: &BlockParts) {
    let rows = parts.rows.clone();
    match values {
        Values::Integer(values) => {
            let values = &values[rows];
            cold::steps_of(values, &mut page.steps);
            page.numbers
                .extend(values[1..].iter().map(|value| value.cast_unsigned()));
        }
        Values::Unsigned(values) => {
            let steps = values[rows.clone()].windows(2);
            page.steps
                .extend(steps.map(|two| two[1].wrapping_sub(two[0]).cast_signed()));
            page.numbers.extend_from_slice(&values[rows][1..]);
        }
        Values::Float(values) => {
            let values = &values[rows];
            page.is_float = true;
            page.has_steps = page.has_steps && cold::decimal_steps_of(values, &mut page.steps);
            page.numbers
                .extend(values[1..].iter().map(|value| value.to_bits()));
        }
        Values::String(_) | Values::Boolean(_) => {}
    }
}

/// Appends the entry of a block in a form, and says how long its data is in it.
fn put_entry(block: &Waiting, form: Form, out: &mut Vec<u8>) -> usize {
    let Some(shape) = block.shape.filter(|_| block.head & CONSTANT == 0) else {
        out.push(block.head);
        out.extend_from_slice(&block.rest);
        return block.len;
    };
    let (codec, len) = match form {
        Form::Blocks => (block.head & CODEC, block.len),
        Form::Steps => (Codec::Cold as u8, shape.bitmap_bytes + 8 * shape.steps),
        Form::Numbers => (Codec::Raw as u8, shape.bitmap_bytes + 8 * shape.numbers),
    };
    out.push(block.head & !CODEC | codec);
    varint::put(out, len as u64);
    out.extend_from_slice(&block.rest);
    len
}
