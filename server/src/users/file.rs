//! The file `users` of a data directory: a line with version and checksum, then JSON.
//!
//! It is replaced as a whole: written beside itself, synced, renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::set::UserSet;

/// Its name in the data directory.
pub(super) const NAME: &str = "users";
const MAGIC: &str = "plimsoll users 1";
/// Only this server's own user may read it.
const MODE: u32 = 0o600;

/// Why there are no users to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error(
        "damaged: {0}; restore it from a backup, or move it away to start without users \
         (while auth_enabled is false, for the first to come may become admin)"
    )]
    Damaged(String),
}

/// Reads it; no file is no users.
pub(super) fn read(path: &Path) -> Result<UserSet, Error> {
    match fs::read(path) {
        Ok(bytes) => decode(&bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(UserSet::default()),
        Err(error) => Err(error.into()),
    }
}

/// Replaces it; after an error the old one is still there.
pub(super) fn write(path: &Path, set: &UserSet) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(&beside)?;
    file.write_all(&encode(set))?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn encode(set: &UserSet) -> Vec<u8> {
    let json = serde_json::to_vec(set).expect("names, flags and text are JSON");
    let mut bytes = format!("{MAGIC} {:08x}\n", crc32fast::hash(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    bytes
}

/// Reads the whole of the file.
fn decode(bytes: &[u8]) -> Result<UserSet, Error> {
    let damaged = |why: &str| Error::Damaged(why.to_owned());
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, json) = end
        .map(|end| (&bytes[..end], &bytes[end + 1..]))
        .ok_or_else(|| damaged("it has no first line"))?;
    let sum = std::str::from_utf8(head)
        .ok()
        .and_then(|head| head.strip_prefix(MAGIC)?.strip_prefix(' '))
        .filter(|sum| sum.len() == 8)
        .and_then(|sum| u32::from_str_radix(sum, 16).ok())
        .ok_or_else(|| damaged("its first line is not that of version 1"))?;
    if sum != crc32fast::hash(json) {
        return Err(damaged("its checksum does not match"));
    }
    serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::set::Access;
    use super::*;

    fn set() -> UserSet {
        let mut set = UserSet::default();
        set.create("ann", "$argon2id$x".to_owned(), true).unwrap();
        set.grant("ann", "db", Access::READ).unwrap();
        set
    }

    #[test]
    fn what_is_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        assert_eq!(read(&path).unwrap(), UserSet::default());
        write(&path, &set()).unwrap();
        write(&path, &set()).unwrap();
        assert_eq!(read(&path).unwrap(), set());
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn every_flipped_or_missing_byte_is_found() {
        let whole = encode(&set());
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            // Letters of the checksum may be of either case.
            assert!(decode(&flipped).is_err(), "byte {at}");
            assert!(decode(&whole[..at]).is_err(), "cut at {at}");
        }
    }
}
