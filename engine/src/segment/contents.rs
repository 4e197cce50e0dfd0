//! The bytes of a segment's file: a memory map, or what was read of it so far.
//!
//! Without a map each piece is read and verified when it is first asked for, and kept until the
//! segment is closed: what is given out stays where it is. A file that ends early or cannot be read
//! is an error then, and harms nothing else.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use plimsoll_wal::storage::{File, ReadMode, Region, Storage};

use crate::Result;

/// See the module.
#[derive(Debug)]
pub enum Contents {
    /// All of it, mapped.
    Mapped(Arc<dyn Region>),
    /// Read piece by piece.
    Read(Box<dyn File>),
}

impl Contents {
    /// Opens the file.
    pub fn open(storage: &dyn Storage, path: &Path, mode: ReadMode) -> Result<Self> {
        Ok(match mode {
            ReadMode::Map => Self::Mapped(storage.region(path, mode)?),
            ReadMode::Pread => Self::Read(storage.open_to_read(path)?),
        })
    }

    /// Its length.
    pub fn len(&self) -> Result<u64> {
        match self {
            Self::Mapped(region) => Ok(region.len() as u64),
            Self::Read(file) => Ok(file.len()?),
        }
    }

    /// Some of its bytes, which are there.
    pub fn bytes(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>> {
        let size = |bytes: u64| usize::try_from(bytes).expect("a part of a file fits in memory");
        match self {
            Self::Mapped(region) => {
                let range = size(range.start)..size(range.end);
                Ok(Cow::Borrowed(&region[range]))
            }
            Self::Read(file) => {
                let mut bytes = vec![0; size(range.end - range.start)];
                file.read_at(range.start, &mut bytes)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

/// What was read of a file, by the page that it starts at. Each piece starts at a page, and is
/// whole pages long but at the file's end.
#[derive(Debug)]
pub struct Pieces(Box<[OnceLock<Box<Piece>>]>);

/// Bytes from a page on, and a longer piece from the same page, once one was needed.
#[derive(Debug)]
struct Piece {
    bytes: Box<[u8]>,
    longer: OnceLock<Box<Piece>>,
}

impl Pieces {
    /// Nothing yet of a file of so many pages.
    pub fn new(pages: usize) -> Self {
        Self((0..pages).map(|_| OnceLock::new()).collect())
    }

    /// At least `len` bytes from `page` on; what is not there yet, `read` reads.
    pub fn at(
        &self,
        page: usize,
        len: usize,
        read: impl Fn() -> Result<Box<[u8]>>,
    ) -> Result<&[u8]> {
        let mut place = &self.0[page];
        loop {
            match place.get() {
                Some(piece) if piece.bytes.len() >= len => return Ok(&piece.bytes),
                Some(piece) => place = &piece.longer,
                None => {
                    let piece = Piece {
                        bytes: read()?,
                        longer: OnceLock::new(),
                    };
                    // Where another thread was quicker, its piece is looked at next.
                    drop(place.set(Box::new(piece)));
                }
            }
        }
    }
}
