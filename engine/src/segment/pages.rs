//! The bytes of an open segment, each page verified when it is first touched, or read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::cold::ReadState;
use super::contents::{Contents, Pieces};
use super::layout::{Footer, Section, Span};
use crate::codec::Malformed;
use crate::{Error, Result};

/// How much is read at a time where all of a file is verified; about, as pages are not cut.
const VERIFIED_BYTES: usize = 1 << 20;

/// A segment's bytes behind their checksums.
#[derive(Debug)]
pub struct Pages {
    path: PathBuf,
    contents: Contents,
    page_bytes: usize,
    /// Where the pages end and their checksums start.
    covered: usize,
    checksums: Vec<u32>,
    /// One bit a page: its checksum was right. Of a file that is mapped.
    verified: Box<[AtomicU64]>,
    /// What was read of one that is not, and verified.
    pieces: Pieces,
    shared: Arc<ReadState>,
    /// Whether it was said that something in the file does not verify.
    said: AtomicBool,
}

impl Pages {
    /// Takes the file's contents and reads the checksums that `footer` names.
    pub fn new(
        path: &Path,
        contents: Contents,
        footer: &Footer,
        shared: &Arc<ReadState>,
    ) -> Result<Self> {
        let span = footer.section(Section::Checksums);
        let corrupt = || Error::Corrupt {
            what: Section::Checksums.name(),
            path: path.to_owned(),
            offset: span.offset,
        };
        let page_bytes = footer.page_bytes as usize;
        let covered = usize::try_from(span.offset).map_err(|_| corrupt())?;
        let count = covered.div_ceil(page_bytes);
        // The footer's sections lie in the file.
        if span.len != count as u64 * 4 {
            return Err(corrupt());
        }
        let bytes = contents.bytes(span.offset..span.offset + span.len)?;
        if crc32fast::hash(&bytes) != footer.checksums_crc {
            return Err(corrupt());
        }
        let fours = bytes.as_chunks().0.iter();
        let checksums = fours.map(|four| u32::from_le_bytes(*four)).collect();
        drop(bytes);
        let (mapped, read) = match contents {
            Contents::Mapped(_) => (count, 0),
            Contents::Read(_) => (0, count),
        };
        Ok(Self {
            path: path.to_owned(),
            contents,
            page_bytes,
            covered,
            checksums,
            verified: (0..mapped.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            pieces: Pieces::new(read),
            shared: Arc::clone(shared),
            said: AtomicBool::new(false),
        })
    }

    /// The error of a structure at `offset` that does not verify: counted, and said once a file.
    pub fn corrupt(&self, what: &'static str, offset: u64) -> Error {
        self.shared.count_corrupt();
        if !self.said.swap(true, Ordering::Relaxed) {
            let path = self.path.display();
            tracing::error!(%path, offset, what, "a segment does not verify; what needs it fails");
        }
        Error::Corrupt {
            what,
            path: self.path.clone(),
            offset,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `len` bytes of a section from `at` on, verified.
    pub fn slice(&self, section: Section, span: Span, at: u64, len: u64) -> Result<&[u8]> {
        let place = span.offset.saturating_add(at);
        let within = at.checked_add(len).is_some_and(|end| end <= span.len);
        let start = usize::try_from(place).ok();
        let end = place.checked_add(len).and_then(|e| usize::try_from(e).ok());
        match (start, end) {
            (Some(start), Some(end)) if within && end <= self.covered => {
                self.verified(section.name(), start, end)
            }
            _ => Err(self.corrupt(section.name(), place)),
        }
    }

    /// Decodes `len` bytes of a section from `at` on.
    pub fn decode<'a, T>(
        &'a self,
        section: Section,
        span: Span,
        at: u64,
        len: u64,
        decode: impl FnOnce(&'a [u8]) -> Result<T, Malformed>,
    ) -> Result<T> {
        let bytes = self.slice(section, span, at, len)?;
        decode(bytes).map_err(|_| self.corrupt(section.name(), span.offset + at))
    }

    /// Verifies every page, as it is on the disk now.
    pub fn verify_all(&self) -> Result<()> {
        match &self.contents {
            Contents::Mapped(_) => {
                for word in &self.verified {
                    word.store(0, Ordering::Relaxed);
                }
                self.verified("a page", 0, self.covered).map(|_| ())
            }
            Contents::Read(_) => {
                let pages = (VERIFIED_BYTES / self.page_bytes).max(1);
                for first in (0..self.checksums.len()).step_by(pages) {
                    self.read("a page", first, first + pages)?;
                }
                Ok(())
            }
        }
    }

    /// The bytes from `start` to `end`, in pages that verify.
    fn verified(&self, what: &'static str, start: usize, end: usize) -> Result<&[u8]> {
        if start == end {
            return Ok(&[]);
        }
        let (first, behind) = (start / self.page_bytes, end.div_ceil(self.page_bytes));
        match &self.contents {
            Contents::Mapped(region) => {
                for page in first..behind {
                    let (word, bit) = (&self.verified[page / 64], 1u64 << (page % 64));
                    if word.load(Ordering::Relaxed) & bit == 0 {
                        let from = page * self.page_bytes;
                        let to = (from + self.page_bytes).min(self.covered);
                        self.check(what, page, &region[from..to])?;
                        // Two threads may both have verified it, which is harmless.
                        word.fetch_or(bit, Ordering::Relaxed);
                    }
                }
                Ok(&region[start..end])
            }
            Contents::Read(_) => {
                let from = first * self.page_bytes;
                let read = || self.read(what, first, behind);
                let bytes = self.pieces.at(first, end - from, read)?;
                Ok(&bytes[start - from..end - from])
            }
        }
    }

    fn check(&self, what: &'static str, page: usize, bytes: &[u8]) -> Result<()> {
        if crc32fast::hash(bytes) == self.checksums[page] {
            Ok(())
        } else {
            Err(self.corrupt(what, (page * self.page_bytes) as u64))
        }
    }

    /// Reads pages from `first` up to `behind` and verifies them.
    fn read(&self, what: &'static str, first: usize, behind: usize) -> Result<Box<[u8]>> {
        let start = (first * self.page_bytes) as u64;
        let end = (behind * self.page_bytes).min(self.covered) as u64;
        // It had its length when it was opened.
        if self.contents.len()? < end {
            return Err(self.corrupt(what, start));
        }
        let bytes = self.contents.bytes(start..end)?;
        for (page, bytes) in (first..).zip(bytes.chunks(self.page_bytes)) {
            self.check(what, page, bytes)?;
        }
        Ok(bytes.into())
    }
}
