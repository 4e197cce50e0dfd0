//! The memory map: the one place of the workspace that is `unsafe`.

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::Mmap;

use super::Region;

/// A whole file mapped for reading.
#[derive(Debug)]
pub(super) struct MappedFile(Mmap);

impl MappedFile {
    /// Maps all of `file`, which must not be empty.
    #[expect(
        unsafe_code,
        reason = "a file can only be mapped unsafely; the one use of it"
    )]
    pub(super) fn map(file: &File) -> io::Result<Self> {
        // SAFETY: a map is sound while nobody changes or truncates the file. Files that are mapped
        // are write-once: they are written under a temporary name, synced and renamed before they
        // are mapped, later only removed (which keeps the pages), and the directory lock keeps
        // other processes of ours out. Who truncates them by hand ends the process (SIGBUS);
        // `ReadMode::Pread` is for those who cannot exclude that.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(map))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Region for MappedFile {}
