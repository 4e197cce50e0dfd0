//! The one door to files: a trait, so that tests can plug a faulty disk in.
//!
//! [`Storage`] names every operation Plimsoll does on a disk. [`disk::Disk`] is the real one,
//! [`memory::Memory`] keeps files in memory, counts operations, and can cut power at any of them.

mod copy;
pub mod disk;
mod map;
pub mod memory;

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::Result;

pub use copy::{copy_bytes, link_or_copy};
pub use disk::Disk;
pub use memory::Memory;

/// An open file.
pub trait File: Send + Sync + fmt::Debug {
    /// Reads exactly `out.len()` bytes at `offset_bytes`.
    ///
    /// # Errors
    /// [`crate::Error::Io`], also where the file ends before.
    fn read_at(&self, offset_bytes: u64, out: &mut [u8]) -> Result<()>;

    /// Writes all of `bytes` at `offset_bytes`, growing the file where it must.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; part of the bytes may be written.
    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> Result<()>;

    /// Makes written bytes and the length durable (fdatasync).
    ///
    /// # Errors
    /// [`crate::Error::Io`]; after a failure nothing may be assumed about earlier writes.
    fn sync(&self) -> Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn len(&self) -> Result<u64>;

    /// Whether the file holds no bytes.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or zero-extends the file to `len_bytes`.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn set_len(&self, len_bytes: u64) -> Result<()>;

    /// Reserves and zeroes blocks up to `len_bytes`, so that later writes need no allocation.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; a full disk among them.
    fn allocate(&self, len_bytes: u64) -> Result<()>;
}

/// Bytes of a whole file: a memory map, or a copy where maps are turned off.
pub trait Region: Deref<Target = [u8]> + Send + Sync + fmt::Debug {}

/// How file contents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadMode {
    /// Memory-mapped: fastest; a file that is truncated under a live map ends the process.
    #[default]
    Map,
    /// Read with `pread` when it is needed: truncation and read errors are typed errors. A
    /// [`Storage::region`] is a copy of the whole file.
    Pread,
}

/// Held while a process owns a data directory.
pub trait DirectoryLock: Send + Sync + fmt::Debug {}

/// Every operation on a disk. Paths are absolute or relative to the process.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Creates a new file for reading and writing.
    ///
    /// # Errors
    /// [`crate::Error::Io`], also where it exists.
    fn create(&self, path: &Path) -> Result<Box<dyn File>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn open(&self, path: &Path) -> Result<Box<dyn File>>;

    /// Opens an existing file for reading alone.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn open_to_read(&self, path: &Path) -> Result<Box<dyn File>>;

    /// The whole file as bytes, for as long as the region lives (also after `remove`).
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn region(&self, path: &Path, mode: ReadMode) -> Result<Arc<dyn Region>>;

    /// Renames a file, replacing the target.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn remove(&self, path: &Path) -> Result<()>;

    /// Makes a second name for a file.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Creates a directory and its parents; fine where it exists.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn create_directory(&self, path: &Path) -> Result<()>;

    /// Removes a directory with everything in it; fine where it is gone.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn remove_directory(&self, path: &Path) -> Result<()>;

    /// The names in a directory (files and directories), sorted.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn list(&self, path: &Path) -> Result<Vec<String>>;

    /// Whether a file or directory is there.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn exists(&self, path: &Path) -> Result<bool>;

    /// How many bytes may still be written below a directory, where that is known. A disk that
    /// cannot say is taken to have room; a write that fails says otherwise.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn free_bytes(&self, _path: &Path) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    fn sync_directory(&self, path: &Path) -> Result<()>;

    /// Takes the directory for this process alone.
    ///
    /// # Errors
    /// [`crate::Error::Locked`] where another process holds it.
    fn lock(&self, path: &Path) -> Result<Box<dyn DirectoryLock>>;
}
