//! Writes a segment's bytes in order, with a checksum for each page.

use plimsoll_wal::storage::File;

use super::layout::{PAGE_BYTES, Span};
use crate::Result;

const BUFFER_BYTES: usize = 256 * PAGE_BYTES;

/// A file that grows at its end.
#[derive(Debug)]
pub struct Writer {
    file: Box<dyn File>,
    buffer: Vec<u8>,
    /// Bytes handed to the file, a multiple of [`PAGE_BYTES`] until the end.
    written: u64,
    checksums: Vec<u32>,
}

impl Writer {
    /// Starts at the beginning of an empty file.
    pub fn new(file: Box<dyn File>) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES + PAGE_BYTES),
            written: 0,
            checksums: Vec::new(),
        }
    }

    /// Where the next byte goes.
    pub fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends bytes.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = BUFFER_BYTES - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Appends a whole section and says where it lies.
    pub fn section(&mut self, bytes: &[u8]) -> Result<Span> {
        let offset = self.offset();
        self.put(bytes)?;
        Ok(self.span_from(offset))
    }

    /// From `offset` to here.
    pub fn span_from(&self, offset: u64) -> Span {
        Span {
            offset,
            len: self.offset() - offset,
        }
    }

    /// Ends the pages: appends their checksums, and says where they lie and their own checksum.
    pub fn checksums(&mut self) -> Result<(Span, u32)> {
        self.flush()?;
        let table: Vec<u8> = std::mem::take(&mut self.checksums)
            .iter()
            .flat_map(|crc| crc.to_le_bytes())
            .collect();
        let offset = self.written;
        self.file.write_at(offset, &table)?;
        self.written += table.len() as u64;
        Ok((self.span_from(offset), crc32fast::hash(&table)))
    }

    /// Appends the footer, makes everything durable, and says the length.
    pub fn finish(self, footer: &[u8]) -> Result<u64> {
        self.file.write_at(self.written, footer)?;
        self.file.sync()?;
        Ok(self.written + footer.len() as u64)
    }

    fn flush(&mut self) -> Result<()> {
        for page in self.buffer.chunks(PAGE_BYTES) {
            self.checksums.push(crc32fast::hash(page));
        }
        self.file.write_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
