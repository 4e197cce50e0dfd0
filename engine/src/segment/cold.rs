//! Where the values of a cold segment lie: in pages that are decoded as a whole, and the few that
//! were decoded last, which the blocks of many tag sets share.

use std::collections::VecDeque;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::layout::{Footer, Section, Span};
use super::listed::ReadGroups;
use super::pages::Pages;
use crate::Result;
use crate::codec::varint::Cursor;
use crate::codec::{Malformed, cold};

/// How many decoded pages all cold segments of an engine keep: 16 MiB, as they are about 64 KiB.
const DECODED_PAGES_MAX: usize = 256;
/// They are kept in as many parts, so that threads do not wait for each other.
const PARTS: usize = 16;

/// What the open segments of an engine share: the pages that were decoded last, the tag sets that
/// were listed last, and how often reading found damage.
#[derive(Debug, Default)]
pub struct ReadState {
    parts: [Mutex<VecDeque<Decoded>>; PARTS],
    tag_sets: ReadGroups,
    corrupt_reads: AtomicU64,
}

#[derive(Debug)]
struct Decoded {
    /// The segment's token.
    token: u64,
    /// The page's number.
    number: u64,
    bytes: Arc<[u8]>,
}

impl ReadState {
    /// How many reads found bytes that do not verify.
    #[must_use]
    pub fn corrupt_reads(&self) -> u64 {
        self.corrupt_reads.load(Ordering::Relaxed)
    }

    pub(super) fn tag_sets(&self) -> &ReadGroups {
        &self.tag_sets
    }

    /// Counts a read that found such bytes.
    pub(super) fn count_corrupt(&self) {
        self.corrupt_reads.fetch_add(1, Ordering::Relaxed);
    }

    fn part(&self, token: u64, number: u64) -> &Mutex<VecDeque<Decoded>> {
        let part = token.wrapping_mul(7).wrapping_add(number) % PARTS as u64;
        &self.parts[usize::try_from(part).expect("fewer than 16")]
    }

    fn find(&self, token: u64, number: u64) -> Option<Arc<[u8]>> {
        let mut part = self.part(token, number).lock();
        let same = |page: &Decoded| page.token == token && page.number == number;
        let at = part.iter().position(same)?;
        let page = part.remove(at)?;
        let bytes = Arc::clone(&page.bytes);
        part.push_front(page);
        Some(bytes)
    }

    fn keep(&self, token: u64, number: u64, bytes: &Arc<[u8]>) {
        let mut part = self.part(token, number).lock();
        part.truncate(DECODED_PAGES_MAX / PARTS - 1);
        part.push_front(Decoded {
            token,
            number,
            bytes: Arc::clone(bytes),
        });
    }

    /// Forgets what is kept of a segment that is closed.
    pub(super) fn forget(&self, token: u64) {
        self.tag_sets.forget(token);
        for part in &self.parts {
            part.lock().retain(|page| page.token != token);
        }
    }
}

/// Bytes of blocks: of the file, or of a decoded page.
#[derive(Debug, Clone)]
pub enum Bytes<'a> {
    /// As they lie in the file.
    File(&'a [u8]),
    /// Some of a page's.
    Page(Arc<[u8]>, Range<usize>),
}

impl Bytes<'_> {
    /// Without the first `len`, which are there.
    pub fn skip(self, len: usize) -> Self {
        match self {
            Self::File(bytes) => Self::File(&bytes[len..]),
            Self::Page(page, range) => Self::Page(page, range.start + len..range.end),
        }
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Page(page, range) => &page[range.clone()],
        }
    }
}

/// The page that a reader used last: the blocks of one column mostly lie one behind the other.
#[derive(Debug)]
pub struct Held {
    token: u64,
    /// Where it lies in what all pages stand for.
    stands: Range<u64>,
    page: HeldPage,
}

#[derive(Debug)]
enum HeldPage {
    /// Its bytes.
    Decoded(Arc<[u8]>),
    /// Where its bytes start in the section, as they are.
    Stored(u64),
}

impl Held {
    /// How far behind its start `len` bytes from `offset` on begin, where they are its.
    fn find(&self, token: u64, offset: u64, len: u64) -> Option<u64> {
        let end = offset.checked_add(len)?;
        let is_here = self.token == token && self.stands.start <= offset && end <= self.stands.end;
        is_here.then(|| offset - self.stands.start)
    }

    /// Its `len` bytes from `start` on, which are there.
    fn bytes<'a>(&self, pages: &'a Pages, data: Span, start: u64, len: u64) -> Result<Bytes<'a>> {
        match &self.page {
            HeldPage::Decoded(page) => {
                let size = |bytes: u64| usize::try_from(bytes).expect("a page is in memory");
                let range = size(start)..size(start + len);
                Ok(Bytes::Page(Arc::clone(page), range))
            }
            HeldPage::Stored(at) => {
                let bytes = pages.slice(Section::ChunkData, data, at + start, len)?;
                Ok(Bytes::File(bytes))
            }
        }
    }
}

/// What one entry of the index says: where a page starts in what all stand for, and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    stands_at: u64,
    lies_at: u64,
}

const ENTRY_BYTES: u64 = 16;

impl Entry {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            stands_at: cursor.u64_fixed()?,
            lies_at: cursor.u64_fixed()?,
        })
    }
}

/// The cold pages of a segment.
#[derive(Debug)]
pub struct ColdPages {
    index: Span,
    /// How many pages: one less than there are entries.
    count: u64,
    token: u64,
    decoded: Arc<ReadState>,
    /// The index in memory, 16 bytes for each page of about 64 KiB, once it was asked for.
    entries: OnceLock<Box<[Entry]>>,
}

impl ColdPages {
    /// The pages that `footer` names, of the segment of `token`.
    pub fn new(footer: &Footer, token: u64, decoded: &Arc<ReadState>) -> Self {
        let index = footer.section(Section::ColdPages);
        Self {
            index,
            count: (index.len / ENTRY_BYTES).saturating_sub(1),
            token,
            decoded: Arc::clone(decoded),
            entries: OnceLock::new(),
        }
    }

    /// The whole index; none where some of it is damaged, and the rest is read entry by entry.
    fn entries(&self, pages: &Pages) -> Option<&[Entry]> {
        if let Some(entries) = self.entries.get() {
            return Some(entries);
        }
        let len = self.index.len / ENTRY_BYTES * ENTRY_BYTES;
        let read = pages.decode(Section::ColdPages, self.index, 0, len, |bytes| {
            let mut cursor = Cursor::new(bytes);
            let entries = 0..len / ENTRY_BYTES;
            entries.map(|_| Entry::read(&mut cursor)).collect()
        });
        let read: Box<[Entry]> = read.ok()?;
        Some(self.entries.get_or_init(|| read))
    }

    fn entry(&self, pages: &Pages, number: u64) -> Result<Entry> {
        let known = usize::try_from(number).ok();
        let known = known.and_then(|number| self.entries(pages)?.get(number));
        if let Some(entry) = known {
            return Ok(*entry);
        }
        let at = number * ENTRY_BYTES;
        pages.decode(Section::ColdPages, self.index, at, ENTRY_BYTES, |bytes| {
            Entry::read(&mut Cursor::new(bytes))
        })
    }

    /// The number of the page that holds a place in what the pages stand for.
    fn number(&self, pages: &Pages, offset: u64) -> Result<u64> {
        if let Some(entries) = self.entries(pages) {
            let behind = entries.partition_point(|entry| entry.stands_at <= offset) as u64;
            return Ok(behind.saturating_sub(1).min(self.count.saturating_sub(1)));
        }
        let (mut low, mut high) = (0, self.count);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.entry(pages, middle)?.stands_at <= offset {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Where the page that holds `offset` lies, for an error.
    pub fn place(&self, pages: &Pages, offset: u64) -> u64 {
        let number = self.number(pages, offset);
        let entry = number.and_then(|number| self.entry(pages, number));
        entry.map_or(0, |entry| entry.lies_at)
    }

    /// `len` bytes from `offset` on, of one page in the section `data`; where they are not in the
    /// one that is held, theirs is then.
    pub fn bytes<'a>(
        &self,
        pages: &'a Pages,
        data: Span,
        (offset, len): (u64, u64),
        held: &mut Option<Held>,
    ) -> Result<Bytes<'a>> {
        if let Some(held) = held
            && let Some(start) = held.find(self.token, offset, len)
        {
            return held.bytes(pages, data, start, len);
        }
        let number = self.number(pages, offset)?;
        let (entry, next) = (self.entry(pages, number)?, self.entry(pages, number + 1)?);
        let corrupt = || pages.corrupt(Section::ColdPages.name(), self.index.offset);
        let stored_len = next.lies_at.checked_sub(entry.lies_at);
        let page_len = next.stands_at.checked_sub(entry.stands_at);
        let start = offset.checked_sub(entry.stands_at);
        let (Some(stored_len), Some(page_len), Some(start)) = (stored_len, page_len, start) else {
            return Err(corrupt());
        };
        let size = |bytes: u64| usize::try_from(bytes).map_err(|_| corrupt());
        if start.checked_add(len).is_none_or(|end| end > page_len) {
            return Err(corrupt());
        }
        let page = match self.decoded.find(self.token, number) {
            Some(page) => HeldPage::Decoded(page),
            None => {
                let stored = pages.slice(Section::ChunkData, data, entry.lies_at, stored_len)?;
                let decoded = cold::decode(stored, size(page_len)?).map_err(|_| {
                    pages.corrupt(Section::ChunkData.name(), data.offset + entry.lies_at)
                })?;
                match decoded {
                    Some(bytes) => {
                        let page: Arc<[u8]> = bytes.into();
                        self.decoded.keep(self.token, number, &page);
                        HeldPage::Decoded(page)
                    }
                    // Behind the byte that says so.
                    None => HeldPage::Stored(entry.lies_at + 1),
                }
            }
        };
        let held = held.insert(Held {
            token: self.token,
            stands: entry.stands_at..next.stands_at,
            page,
        });
        held.bytes(pages, data, start, len)
    }
}
