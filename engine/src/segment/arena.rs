//! Where the encoded bytes of a segment that is being built wait: in memory, or in its file.

use std::path::{Path, PathBuf};

use super::builder::ColdWriter;
use super::writer::Writer;
use crate::{Error, Result};

/// Encoded bytes are kept in pieces of this size, so that none is ever copied to grow.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes in pieces that never move.
#[derive(Debug, Default)]
pub struct Arena {
    pieces: Vec<Vec<u8>>,
    len: usize,
}

/// Where some bytes of an arena lie.
#[derive(Debug, Clone, Copy, Default)]
pub struct Piece {
    number: u32,
    start: u32,
    len: u32,
}

impl Piece {
    /// Bytes that are in the file already.
    pub fn in_file(len: usize) -> Result<Self> {
        Ok(Self {
            number: 0,
            start: 0,
            len: piece_len(len)?,
        })
    }

    /// How many bytes.
    pub fn len(self) -> usize {
        self.len as usize
    }
}

impl Arena {
    /// Keeps a copy.
    pub fn put(&mut self, bytes: &[u8]) -> Result<Piece> {
        let len = piece_len(bytes.len())?;
        let fits = |piece: &Vec<u8>| piece.capacity() - piece.len() >= bytes.len();
        if !self.pieces.last().is_some_and(fits) {
            self.pieces
                .push(Vec::with_capacity(PIECE_BYTES.max(bytes.len())));
        }
        let number = self.pieces.len() - 1;
        let piece = &mut self.pieces[number];
        let start = piece.len();
        piece.extend_from_slice(bytes);
        self.len += bytes.len();
        let small = |n: usize| u32::try_from(n).expect("pieces are small, and fit in memory");
        Ok(Piece {
            number: small(number),
            start: small(start),
            len,
        })
    }

    /// The bytes of a piece of this arena.
    pub fn bytes(&self, piece: Piece) -> &[u8] {
        let start = piece.start as usize;
        &self.pieces[piece.number as usize][start..start + piece.len()]
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.len
    }
}

/// The values of chunks.
#[derive(Debug)]
pub enum ChunkData {
    /// Kept until the segment's order is known.
    Memory(Arena),
    /// In the file already, in the order in which they came.
    File(Box<Writer>),
    /// In cold pages, in the file but for the last.
    Cold(Box<ColdWriter>),
}

impl Default for ChunkData {
    fn default() -> Self {
        Self::Memory(Arena::default())
    }
}

impl ChunkData {
    /// Keeps or writes the values of one chunk.
    pub fn put(&mut self, bytes: &[u8]) -> Result<Piece> {
        match self {
            Self::Memory(arena) => arena.put(bytes),
            Self::File(writer) => {
                writer.put(bytes)?;
                Piece::in_file(bytes.len())
            }
            Self::Cold(_) => Err(Error::Invalid("a cold page takes whole chunks".into())),
        }
    }

    /// How many bytes are in memory.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(arena) => arena.len(),
            Self::File(_) | Self::Cold(_) => 0,
        }
    }
}

fn piece_len(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| Error::Limit {
        what: "bytes of one field of one series in a segment",
        got: len as u64,
        limit: u64::from(u32::MAX),
    })
}

/// The name that `path` is written under before it is whole.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}
