//! Copies of files, for backups and what comes of them.

use std::io::ErrorKind;
use std::path::Path;

use super::{ReadMode, Storage};
use crate::{Error, Result};

/// How much is written at a time.
const COPY_BYTES: usize = 1 << 20;

/// Copies the first `len_bytes` of `from` into a new file `to`, and syncs that.
///
/// # Errors
/// [`Error::Io`], also where `from` is shorter or `to` is there; part of `to` may be left.
pub fn copy_bytes(storage: &dyn Storage, from: &Path, to: &Path, len_bytes: u64) -> Result<()> {
    let region = storage.region(from, ReadMode::Map)?;
    let len = usize::try_from(len_bytes).ok();
    let bytes = len
        .and_then(|len| region.get(..len))
        .ok_or_else(|| Error::io("read", from, ErrorKind::UnexpectedEof.into()))?;
    let target = storage.create(to)?;
    let mut at = 0;
    for piece in bytes.chunks(COPY_BYTES) {
        target.write_at(at, piece)?;
        at += piece.len() as u64;
    }
    target.sync()
}

/// Makes `to` a second name of a file that does not change, or a copy where the disk or the file
/// system cannot do that.
///
/// # Errors
/// [`Error::Io`], also where `to` is there.
pub fn link_or_copy(storage: &dyn Storage, from: &Path, to: &Path) -> Result<()> {
    let refused = match storage.hard_link(from, to) {
        Err(Error::Io { source, .. }) => source,
        other => return other,
    };
    // What cannot be linked may be copied; what is wrong otherwise is wrong then, too.
    match refused.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotFound | ErrorKind::StorageFull => {
            Err(Error::io("link", from, refused))
        }
        _ => copy_bytes(storage, from, to, storage.open(from)?.len()?),
    }
}
