//! What a backup is on disk, and how a directory is restored from one.
//!
//! A backup is a data directory as it was at one moment, with a list of its files: the file
//! `BACKUP`, written last. Byte table in docs/format.md.

use std::path::{Path, PathBuf};

use plimsoll_wal::storage::{ReadMode, Storage, copy_bytes};

use crate::envelope::Envelope;
use crate::varint::{Reader, put, put_text};
use crate::{Error, Result};

/// The list's name in a backup.
pub const FILE: &str = "BACKUP";
/// The format this program writes, and the newest it reads.
const FORMAT: u32 = 1;
const ENVELOPE: Envelope = Envelope {
    what: "the list of a backup",
    magic: b"PLIMBACK",
    format: FORMAT,
};
/// Stands behind the name of a directory while it is restored.
const UNFINISHED: &str = ".restoring";

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Below the backup's directory.
    pub path: String,
    /// Its length.
    pub len_bytes: u64,
}

/// What a backup holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupList {
    /// The last frame of the log that is in it.
    pub sequence: u64,
    /// All files but the list itself.
    pub files: Vec<BackupFile>,
}

impl BackupList {
    /// The sum of the files' lengths.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len_bytes).sum()
    }

    /// Reads the list of the backup in `directory`.
    ///
    /// # Errors
    /// `Invalid` where there is none: it is no backup, or one that did not come to its end.
    /// `Corrupt`, `NewerFormat`, `Io`.
    pub fn read(storage: &dyn Storage, directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        if !storage.exists(&path)? {
            return Err(Error::Invalid(format!(
                "{} is no backup, or one that was not finished: it has no file {FILE}",
                directory.display()
            )));
        }
        decode(&storage.region(&path, ReadMode::Pread)?, &path)
    }

    pub(crate) fn write(&self, storage: &dyn Storage, directory: &Path) -> Result<()> {
        let mut body = Vec::new();
        put(&mut body, self.sequence);
        put(&mut body, self.files.len() as u64);
        for file in &self.files {
            put_text(&mut body, &file.path);
            put(&mut body, file.len_bytes);
        }
        let out = ENVELOPE.seal(&body);
        let file = storage.create(&directory.join(FILE))?;
        file.write_at(0, &out)?;
        file.sync()?;
        storage.sync_directory(directory)?;
        Ok(())
    }
}

fn decode(bytes: &[u8], path: &Path) -> Result<BackupList> {
    ENVELOPE.open(bytes, path, |reader, _| {
        list(reader).filter(|list| list.files.iter().all(is_inside))
    })
}

fn list(reader: &mut Reader<'_>) -> Option<BackupList> {
    let sequence = reader.varint()?;
    let mut files = Vec::new();
    for _ in 0..reader.count(2)? {
        files.push(BackupFile {
            path: reader.text()?.to_owned(),
            len_bytes: reader.varint()?,
        });
    }
    Some(BackupList { sequence, files })
}

/// Whether a path names something below the directory that it is joined to.
fn is_inside(file: &BackupFile) -> bool {
    let mut parts = Path::new(&file.path).components();
    !file.path.is_empty() && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// Makes the data directory `to` out of the backup `from`: every file is copied, none shared.
///
/// It is made beside under another name and renamed once it is whole and durable, so that a restore
/// that is cut off leaves nothing that looks like data; the next try begins afresh. The files'
/// checksums are [`crate::check`]'s, the caller's next step.
///
/// # Errors
/// `Invalid` where `from` is no backup, misses a file or has one of another length, or where `to`
/// is there and not empty; `Storage`.
pub fn restore(storage: &dyn Storage, from: &Path, to: &Path) -> Result<BackupList> {
    let list = BackupList::read(storage, from)?;
    let is_there = storage.exists(to)?;
    if is_there && !storage.list(to)?.is_empty() {
        return Err(Error::Invalid(format!(
            "{} is not empty: choose another directory, or move it away",
            to.display()
        )));
    }
    for file in &list.files {
        let path = from.join(&file.path);
        let len_bytes = if storage.exists(&path)? {
            storage.region(&path, ReadMode::Map)?.len() as u64
        } else {
            return Err(damaged(&path, "is missing"));
        };
        if len_bytes != file.len_bytes {
            let why = format!("has {len_bytes} bytes, not {}", file.len_bytes);
            return Err(damaged(&path, &why));
        }
    }
    let unfinished = beside(to);
    storage.remove_directory(&unfinished)?;
    let mut directories = vec![unfinished.clone()];
    storage.create_directory(&unfinished)?;
    for file in &list.files {
        let target = unfinished.join(&file.path);
        let parent = target.parent().unwrap_or(&unfinished).to_owned();
        if !directories.contains(&parent) {
            for missing in parent.ancestors().take_while(|p| *p != unfinished) {
                if !directories.iter().any(|there| there == missing) {
                    directories.push(missing.to_owned());
                }
            }
            storage.create_directory(&parent)?;
        }
        copy_bytes(storage, &from.join(&file.path), &target, file.len_bytes)?;
    }
    for directory in &directories {
        storage.sync_directory(directory)?;
    }
    if is_there {
        storage.remove_directory(to)?;
    }
    storage.rename(&unfinished, to)?;
    storage.sync_directory(parent_of(to))?;
    Ok(list)
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::Invalid(format!("the backup is damaged: {} {why}", path.display()))
}

fn beside(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_wal::storage::Memory;

    #[test]
    fn the_list_reads_back_and_every_flip_and_cut_is_noticed() {
        let storage = Memory::new();
        let list = BackupList {
            sequence: 900,
            files: vec![BackupFile {
                path: "log/1.log".to_owned(),
                len_bytes: 4096,
            }],
        };
        list.write(&storage, Path::new("")).unwrap();
        assert_eq!(BackupList::read(&storage, Path::new("")).unwrap(), list);
        let bytes = storage.bytes(Path::new(FILE)).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            decode(&bad, Path::new(FILE)).expect_err("a flipped bit");
            decode(&bytes[..at], Path::new(FILE)).expect_err("a cut file");
        }
    }

    #[test]
    fn a_list_never_leads_out_of_its_directory() {
        for path in ["", "/etc/passwd", "../x", "log/../../x", "./x"] {
            let file = BackupFile {
                path: path.to_owned(),
                len_bytes: 0,
            };
            assert!(!is_inside(&file), "{path}");
        }
    }
}
