//! The bytes of one file, in shared pages, so that a copy costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Coins, Unsynced};

const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

type Page = [u8; PAGE_BYTES];

/// A file's content; pages that are not there are zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    len_bytes: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

impl Pages {
    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    pub(super) fn read(&self, offset_bytes: u64, out: &mut [u8]) {
        for (index, within, range) in split(offset_bytes, out.len()) {
            let count = range.len();
            match self.pages.get(&index) {
                Some(page) => out[range].copy_from_slice(&page[within..within + count]),
                None => out[range].fill(0),
            }
        }
    }

    pub(super) fn write(&mut self, offset_bytes: u64, bytes: &[u8]) {
        for (index, within, range) in split(offset_bytes, bytes.len()) {
            let page = self
                .pages
                .entry(index)
                .or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            let count = range.len();
            Arc::make_mut(page)[within..within + count].copy_from_slice(&bytes[range]);
        }
        if !bytes.is_empty() {
            self.len_bytes = self.len_bytes.max(offset_bytes + bytes.len() as u64);
        }
    }

    /// What is cut off is gone: it reads as zero where the file grows again.
    pub(super) fn set_len(&mut self, len_bytes: u64) {
        if len_bytes < self.len_bytes {
            let boundary = len_bytes / PAGE_BYTES as u64;
            let mut cut = self.pages.split_off(&boundary);
            if let Some(mut page) = cut.remove(&boundary) {
                Arc::make_mut(&mut page)[within_page(len_bytes)..].fill(0);
                self.pages.insert(boundary, page);
            }
        }
        self.len_bytes = len_bytes;
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let len = usize::try_from(self.len_bytes).expect("files in memory fit in memory");
        let mut bytes = vec![0; len];
        for (&index, page) in &self.pages {
            let start = usize::try_from(index).expect("as above") * PAGE_BYTES;
            if start < len {
                let count = PAGE_BYTES.min(len - start);
                bytes[start..start + count].copy_from_slice(&page[..count]);
            }
        }
        bytes
    }

    /// The pages whose content differs, in order.
    fn differing(a: &Self, b: &Self) -> BTreeSet<u64> {
        let indices = a.pages.keys().chain(b.pages.keys()).copied();
        indices
            .filter(|index| match (a.pages.get(index), b.pages.get(index)) {
                (Some(a), Some(b)) => !Arc::ptr_eq(a, b) && a != b,
                (Some(page), None) | (None, Some(page)) => page.iter().any(|&byte| byte != 0),
                (None, None) => false,
            })
            .collect()
    }

    /// Whether both read the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.len_bytes == other.len_bytes && Self::differing(self, other).is_empty()
    }

    fn page(&self, index: u64) -> Page {
        self.pages
            .get(&index)
            .map_or([0; PAGE_BYTES], |page| **page)
    }

    /// What a crash leaves of a file that is `now` and was `durable` at its last sync.
    ///
    /// The length is one coin of its own.
    pub(super) fn survivors(durable: &Self, now: &Self, coins: &mut Coins) -> Self {
        let unit_bytes = match coins.policy {
            Unsynced::Kept => return now.clone(),
            Unsynced::Dropped => return durable.clone(),
            Unsynced::Torn(_) | Unsynced::Subset(_) => SECTOR_BYTES,
            Unsynced::TornPages(_) => PAGE_BYTES,
        };
        let len_bytes = if durable.len_bytes == now.len_bytes || coins.throw() {
            now.len_bytes
        } else {
            durable.len_bytes
        };
        let mut left = durable.clone();
        left.set_len(durable.len_bytes.max(now.len_bytes));
        for index in Self::differing(durable, now) {
            let new = now.page(index);
            let mut page = left.page(index);
            for start in (0..PAGE_BYTES).step_by(unit_bytes) {
                let unit = start..start + unit_bytes;
                if page[unit.clone()] != new[unit.clone()] && coins.throw() {
                    page[unit.clone()].copy_from_slice(&new[unit]);
                }
            }
            left.pages.insert(index, Arc::new(page));
        }
        left.set_len(len_bytes);
        left
    }

    /// What is durable after a sync of `now`, where a sync of `given_up` had failed before: its
    /// pages stay as they were `durable`, unless they were written again since.
    pub(super) fn synced_but(durable: &Self, now: &Self, given_up: &Self) -> Self {
        let rewritten = Self::differing(now, given_up);
        let mut left = now.clone();
        for index in Self::differing(durable, now) {
            if !rewritten.contains(&index) {
                left.pages.insert(index, Arc::new(durable.page(index)));
            }
        }
        left
    }
}

fn within_page(offset_bytes: u64) -> usize {
    usize::try_from(offset_bytes % PAGE_BYTES as u64).expect("below the page size")
}

/// Splits `len` bytes at `offset_bytes` into (page, offset in it, range of the bytes).
fn split(
    offset_bytes: u64,
    len: usize,
) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset_bytes + done as u64;
        let within = within_page(at);
        let count = (PAGE_BYTES - within).min(len - done);
        let range = done..done + count;
        done += count;
        Some((at / PAGE_BYTES as u64, within, range))
    })
}
