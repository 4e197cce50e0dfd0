//! The bytes of an open segment, each page verified when it is first touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plimsoll_wal::storage::Region;

use super::cold::ReadState;
use super::layout::{Footer, Section, Span};
use crate::codec::Malformed;
use crate::{Error, Result};

/// A segment's bytes behind their checksums.
#[derive(Debug)]
pub struct Pages {
    path: PathBuf,
    region: Arc<dyn Region>,
    page_bytes: usize,
    /// Where the pages end and their checksums start.
    covered: usize,
    checksums: Vec<u32>,
    /// One bit a page: its checksum was right.
    verified: Box<[AtomicU64]>,
    shared: Arc<ReadState>,
    /// Whether it was said that something in the file does not verify.
    said: AtomicBool,
}

impl Pages {
    /// Takes the region and reads the checksums that `footer` names.
    pub fn new(
        path: &Path,
        region: Arc<dyn Region>,
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
        let len = usize::try_from(span.len).map_err(|_| corrupt())?;
        let bytes = region
            .get(covered..)
            .and_then(|rest| rest.get(..len))
            .ok_or_else(corrupt)?;
        let count = covered.div_ceil(page_bytes);
        if crc32fast::hash(bytes) != footer.checksums_crc || len != count * 4 {
            return Err(corrupt());
        }
        let fours = bytes.as_chunks().0.iter();
        let checksums = fours.map(|four| u32::from_le_bytes(*four)).collect();
        Ok(Self {
            path: path.to_owned(),
            region,
            page_bytes,
            covered,
            checksums,
            verified: (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
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
                self.verify(section.name(), start, end)?;
                Ok(&self.region[start..end])
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

    /// Verifies every page.
    pub fn verify_all(&self) -> Result<()> {
        for word in &self.verified {
            word.store(0, Ordering::Relaxed);
        }
        self.verify("a page", 0, self.covered)
    }

    fn verify(&self, what: &'static str, start: usize, end: usize) -> Result<()> {
        if start == end {
            return Ok(());
        }
        for page in start / self.page_bytes..=(end - 1) / self.page_bytes {
            let (word, bit) = (&self.verified[page / 64], 1u64 << (page % 64));
            if word.load(Ordering::Relaxed) & bit != 0 {
                continue;
            }
            let from = page * self.page_bytes;
            let to = (from + self.page_bytes).min(self.covered);
            if crc32fast::hash(&self.region[from..to]) != self.checksums[page] {
                return Err(self.corrupt(what, from as u64));
            }
            // Two threads may both have verified it, which is harmless.
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }
}
