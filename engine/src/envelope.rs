//! The frame of a small file that is read and written whole: magic, format, checksum, length, body.
//!
//! The bytes are described in docs/format.md. What a body means is its file's own.

use std::path::Path;

use plimsoll_wal::Error as StorageError;

use crate::varint::Reader;
use crate::{Error, Result};

/// Magic, format (u32), crc32 of the body (u32), length of the body (u64).
const HEADER_BYTES: usize = 24;

/// One kind of file.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// What an error calls it.
    pub(crate) what: &'static str,
    pub(crate) magic: &'static [u8; 8],
    /// The newest format that is known, and the one that is written.
    pub(crate) format: u32,
}

impl Envelope {
    /// The file with this body.
    pub(crate) fn seal(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
        out.extend_from_slice(self.magic);
        out.extend_from_slice(&self.format.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        out.extend_from_slice(&(body.len() as u64).to_le_bytes());
        out.extend_from_slice(body);
        out
    }

    /// What `read` makes of the body, all of it; it is told the file's format.
    ///
    /// # Errors
    /// `Corrupt` with the offset, `NewerFormat`.
    pub(crate) fn open<T>(
        &self,
        bytes: &[u8],
        path: &Path,
        read: impl FnOnce(&mut Reader<'_>, u32) -> Option<T>,
    ) -> Result<T> {
        let corrupt = |offset: usize| Error::Corrupt {
            what: self.what,
            path: path.to_owned(),
            offset: offset as u64,
        };
        let header = bytes.get(..HEADER_BYTES).ok_or_else(|| corrupt(0))?;
        if &header[..8] != self.magic {
            return Err(corrupt(0));
        }
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        if word(8) > self.format {
            return Err(StorageError::NewerFormat {
                path: path.to_owned(),
                found: word(8),
                known: self.format,
            }
            .into());
        }
        let body = &bytes[HEADER_BYTES..];
        let len = u64::from(word(16)) | u64::from(word(20)) << 32;
        if word(8) == 0 || len != body.len() as u64 || crc32fast::hash(body) != word(12) {
            return Err(corrupt(8));
        }
        let mut reader = Reader::new(body);
        read(&mut reader, word(8))
            .filter(|_| reader.is_empty())
            .ok_or_else(|| corrupt(HEADER_BYTES + reader.offset()))
    }
}
