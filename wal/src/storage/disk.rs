//! The real disk, through the operating system.
//!
//! Owns the translation of every [`Storage`] operation to a system call, and the directory lock.
//! It never retries a failed write or sync.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use super::map::MappedFile;
use super::{DirectoryLock, File, ReadMode, Region, Storage};
use crate::{Error, Result};

/// The file in a directory that [`Disk`] holds a lock on while a process owns the directory.
pub const LOCK_FILE_NAME: &str = "LOCK";

/// How many zero bytes are written at a time when a file is preallocated.
const ZERO_BYTES: usize = 1 << 20;

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

#[derive(Debug)]
struct DiskFile {
    file: fs::File,
    path: PathBuf,
}

impl DiskFile {
    fn error(&self, op: &'static str, source: impl Into<io::Error>) -> Error {
        Error::io(op, &self.path, source.into())
    }
}

impl File for DiskFile {
    fn read_at(&self, offset_bytes: u64, out: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(out, offset_bytes)
            .map_err(|source| self.error("read", source))
    }

    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(bytes, offset_bytes)
            .map_err(|source| self.error("write", source))
    }

    fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|source| self.error("sync", source))
    }

    fn len(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        Ok(metadata
            .map_err(|source| self.error("read the length of", source))?
            .len())
    }

    fn set_len(&self, len_bytes: u64) -> Result<()> {
        self.file
            .set_len(len_bytes)
            .map_err(|source| self.error("set the length of", source))
    }

    fn allocate(&self, len_bytes: u64) -> Result<()> {
        let start_bytes = self.len()?;
        if start_bytes >= len_bytes {
            return Ok(());
        }
        // Reserving first makes a full disk answer at once, before anything is written. A file
        // system without fallocate is fine: the zeros below allocate.
        loop {
            match fallocate(
                &self.file,
                FallocateFlags::empty(),
                start_bytes,
                len_bytes - start_bytes,
            ) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("allocate", errno)),
            }
        }
        // Reserved blocks are still marked unwritten, and each first write to one would make the
        // file system journal that mark: writing zeros moves the cost away from the commits.
        let zeros = vec![0; ZERO_BYTES];
        let mut at = start_bytes;
        while at < len_bytes {
            let count = usize::try_from(len_bytes - at).map_or(ZERO_BYTES, |n| n.min(ZERO_BYTES));
            self.write_at(at, &zeros[..count])?;
            at += count as u64;
        }
        Ok(())
    }
}

/// A file's bytes, copied to memory.
#[derive(Debug)]
pub(super) struct Copied(pub(super) Vec<u8>);

impl std::ops::Deref for Copied {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Region for Copied {}

/// The empty path is the current directory, which the system calls by another name.
fn directory_path(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

fn read_whole(file: &DiskFile, len_bytes: u64) -> Result<Vec<u8>> {
    let too_large = || file.error("read", io::ErrorKind::OutOfMemory);
    let len = usize::try_from(len_bytes).map_err(|_| too_large())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| too_large())?;
    // Into room that was not zeroed before: logs of a GB are read so.
    let read = (&file.file).take(len_bytes).read_to_end(&mut bytes);
    read.map_err(|source| file.error("read", source))?;
    if bytes.len() < len {
        return Err(file.error("read", io::ErrorKind::UnexpectedEof));
    }
    Ok(bytes)
}

impl Storage for Disk {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|source| Error::io("create", path, source))?;
        Ok(Box::new(DiskFile {
            file,
            path: path.to_owned(),
        }))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| Error::io("open", path, source))?;
        Ok(Box::new(DiskFile {
            file,
            path: path.to_owned(),
        }))
    }

    fn open_to_read(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = fs::File::open(path).map_err(|source| Error::io("open", path, source))?;
        Ok(Box::new(DiskFile {
            file,
            path: path.to_owned(),
        }))
    }

    fn region(&self, path: &Path, mode: ReadMode) -> Result<Arc<dyn Region>> {
        let file = fs::File::open(path).map_err(|source| Error::io("open", path, source))?;
        let file = DiskFile {
            file,
            path: path.to_owned(),
        };
        let len_bytes = file.len()?;
        match mode {
            ReadMode::Map if len_bytes > 0 => {
                let map =
                    MappedFile::map(&file.file).map_err(|source| file.error("map", source))?;
                Ok(Arc::new(map))
            }
            ReadMode::Map | ReadMode::Pread => Ok(Arc::new(Copied(read_whole(&file, len_bytes)?))),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|source| Error::io("rename", from, source))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|source| Error::io("remove", path, source))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        fs::hard_link(from, to).map_err(|source| Error::io("link", from, source))
    }

    fn create_directory(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(directory_path(path))
            .map_err(|source| Error::io("create directory", path, source))
    }

    fn remove_directory(&self, path: &Path) -> Result<()> {
        match fs::remove_dir_all(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove directory", path, source))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Names that are not UTF-8 are none of ours and are left out.
    fn list(&self, path: &Path) -> Result<Vec<String>> {
        let error = |source| Error::io("list", path, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(directory_path(path)).map_err(error)? {
            if let Ok(name) = entry.map_err(error)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        fs::exists(directory_path(path)).map_err(|source| Error::io("look for", path, source))
    }

    fn free_bytes(&self, path: &Path) -> Result<Option<u64>> {
        let found = rustix::fs::statvfs(directory_path(path))
            .map_err(|source| Error::io("statvfs", path, source.into()))?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }

    fn sync_directory(&self, path: &Path) -> Result<()> {
        let directory = fs::File::open(directory_path(path))
            .map_err(|source| Error::io("open", path, source))?;
        directory
            .sync_all()
            .map_err(|source| Error::io("sync", path, source))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DirectoryLock>> {
        let lock_path = path.join(LOCK_FILE_NAME);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|source| Error::io("open", &lock_path, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Box::new(FileLock { _file: file })),
            Err(Errno::WOULDBLOCK) => Err(Error::Locked {
                path: path.to_owned(),
            }),
            Err(errno) => Err(Error::io("lock", &lock_path, errno.into())),
        }
    }
}

/// Held by the open file: the kernel lets go when it is closed, also when the process dies.
///
/// The file itself stays: removing it would let two processes lock two different files.
#[derive(Debug)]
struct FileLock {
    _file: fs::File,
}

impl DirectoryLock for FileLock {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_read_cut_and_grown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = Disk.create(&path).unwrap();
        assert!(matches!(
            Disk.create(&path),
            Err(Error::Io { op: "create", .. })
        ));
        file.write_at(3, b"abc").unwrap();
        assert_eq!(file.len().unwrap(), 6);
        let mut read = [9; 4];
        file.read_at(2, &mut read).unwrap();
        assert_eq!(&read, b"\0abc");
        assert!(file.read_at(4, &mut read).is_err(), "the file ends before");
        file.set_len(4).unwrap();
        file.allocate(3 << 20).unwrap();
        file.sync().unwrap();
        for mode in [ReadMode::Map, ReadMode::Pread] {
            let region = Disk.region(&path, mode).unwrap();
            assert_eq!(region.len(), 3 << 20);
            assert_eq!(&region[..4], b"\0\0\0a");
            assert!(region[4..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_region_outlives_the_name_and_may_be_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        Disk.create(&path).unwrap().write_at(0, b"kept").unwrap();
        let empty = dir.path().join("b");
        Disk.create(&empty).unwrap();
        for mode in [ReadMode::Map, ReadMode::Pread] {
            assert!(Disk.region(&empty, mode).unwrap().is_empty());
        }
        let regions = [ReadMode::Map, ReadMode::Pread].map(|m| Disk.region(&path, m).unwrap());
        Disk.remove(&path).unwrap();
        assert!(!Disk.exists(&path).unwrap());
        for region in regions {
            assert_eq!(&region[..], b"kept");
        }
    }

    #[test]
    fn names_are_listed_in_order_and_directories_go_with_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x/y");
        Disk.create_directory(&deep).unwrap();
        Disk.create_directory(&deep).unwrap();
        for name in ["c", "a", "b"] {
            Disk.create(&deep.join(name)).unwrap();
        }
        Disk.hard_link(&deep.join("a"), &deep.join("z")).unwrap();
        Disk.rename(&deep.join("b"), &deep.join("c")).unwrap();
        Disk.sync_directory(&deep).unwrap();
        assert_eq!(Disk.list(&deep).unwrap(), ["a", "c", "z"]);
        Disk.remove_directory(&dir.path().join("x")).unwrap();
        Disk.remove_directory(&dir.path().join("x")).unwrap();
        assert!(Disk.list(&deep).is_err());
    }

    #[test]
    fn a_locked_directory_is_refused_until_the_lock_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let held = Disk.lock(dir.path()).unwrap();
        match Disk.lock(dir.path()) {
            Err(Error::Locked { path }) => assert_eq!(path, dir.path()),
            other => panic!("{other:?}"),
        }
        drop(held);
        Disk.lock(dir.path()).unwrap();
    }
}
