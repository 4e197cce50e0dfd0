//! One log file: its name, its header, and how a new one comes to be.
//!
//! A file is made under the name [`SPARE_NAME`], allocated, given its header, synced, and only then
//! renamed to its epoch's name and the directory synced. So a file with such a name always has a
//! whole header, and a header that does not verify is corruption.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use crate::frame::{frame_bytes, read_u32, read_u64};
use crate::storage::{File, Storage};
use crate::{Error, Result};

/// The version of the log's format that this program writes, and the newest it reads.
pub const LOG_FORMAT_VERSION: u32 = 2;

/// The bytes before a file's first frame.
pub(super) const HEADER_BYTES: usize = 64;

/// [`HEADER_BYTES`] as an offset.
pub(super) const FRAMES_START_BYTES: u64 = HEADER_BYTES as u64;

/// The next log file, while it is made.
pub(super) const SPARE_NAME: &str = "spare";

const MAGIC: [u8; 8] = *b"PLIMSLOG";

/// Identifies a log file: orders it among the others, and tells its frames from foreign bytes.
///
/// The high half counts up, the low half is random: a frame cannot be forged inside of a body by
/// someone who writes to the database, and two copies of one directory that were both written to
/// are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Epoch(pub(super) u64);

impl Epoch {
    /// The epoch that follows all of `existing`.
    pub(super) fn after(latest: Option<Self>) -> Result<Self, &'static str> {
        let count = latest
            .map_or(0, |epoch| epoch.0 >> 32)
            .checked_add(1)
            .filter(|&count| count <= u64::from(u32::MAX))
            .ok_or("the log has no epoch left")?;
        // Each RandomState has its own keys from the operating system.
        let random = RandomState::new().hash_one(count) & u64::from(u32::MAX);
        Ok(Self(count << 32 | random))
    }

    pub(super) fn file_name(self) -> String {
        format!("{:016x}.log", self.0)
    }

    /// The epoch in a file name; `None` where it is no log file's.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".log")?;
        let epoch = Self(u64::from_str_radix(digits, 16).ok()?);
        (epoch.file_name() == name && epoch.0 > 0).then_some(epoch)
    }
}

/// The file before, as a header records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Predecessor {
    pub(super) epoch: Epoch,
    /// Where it ends: everything before was durable when the successor was made.
    pub(super) end_bytes: u64,
}

/// What a log file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: Epoch,
    pub(super) first_sequence: u64,
    pub(super) predecessor: Option<Predecessor>,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&LOG_FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_sequence.to_le_bytes());
        if let Some(predecessor) = self.predecessor {
            bytes[32..40].copy_from_slice(&predecessor.epoch.0.to_le_bytes());
            bytes[40..48].copy_from_slice(&predecessor.end_bytes.to_le_bytes());
        }
        let crc = checksum(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the file `path`, which is named after `epoch`.
    ///
    /// The checksum stands at the same place in every version, so a newer file is told from a
    /// damaged one.
    pub(super) fn decode(bytes: &[u8], epoch: Epoch, path: &Path) -> Result<Self> {
        let corrupt = || Error::Corrupt {
            what: "log file header",
            path: path.to_owned(),
            offset: 0,
        };
        let bytes = bytes.get(..HEADER_BYTES).ok_or_else(corrupt)?;
        if bytes[..8] != MAGIC || checksum(bytes) != read_u32(bytes, 12) {
            return Err(corrupt());
        }
        let version = read_u32(bytes, 8);
        if version > LOG_FORMAT_VERSION {
            return Err(Error::NewerFormat {
                path: path.to_owned(),
                found: version,
                known: LOG_FORMAT_VERSION,
            });
        }
        let predecessor_epoch = read_u64(bytes, 32);
        let header = Self {
            epoch: Epoch(read_u64(bytes, 16)),
            first_sequence: read_u64(bytes, 24),
            predecessor: (predecessor_epoch > 0).then_some(Predecessor {
                epoch: Epoch(predecessor_epoch),
                end_bytes: read_u64(bytes, 40),
            }),
        };
        let sound = header.epoch == epoch
            && header.first_sequence > 0
            && header.predecessor.is_none_or(|predecessor| {
                predecessor.epoch < epoch && predecessor.end_bytes >= FRAMES_START_BYTES
            });
        if sound { Ok(header) } else { Err(corrupt()) }
    }

    pub(super) fn read(storage: &dyn Storage, path: &Path, epoch: Epoch) -> Result<Self> {
        let file = storage.open(path)?;
        let mut bytes = [0; HEADER_BYTES];
        if file.len()? >= FRAMES_START_BYTES {
            file.read_at(0, &mut bytes)?;
        }
        Self::decode(&bytes, epoch, path)
    }
}

fn checksum(header: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..12]);
    crc.update(&header[16..HEADER_BYTES]);
    crc.finalize()
}

/// The length to allocate, so that at least a first frame with this body fits.
pub(super) fn bytes_for(file_bytes: u64, body_bytes: usize) -> u64 {
    file_bytes.max(FRAMES_START_BYTES + frame_bytes(body_bytes) as u64)
}

/// Makes the next file under its temporary name, empty.
pub(super) fn create_spare(storage: &dyn Storage, dir: &Path) -> Result<Box<dyn File>> {
    let path = dir.join(SPARE_NAME);
    if storage.exists(&path)? {
        storage.remove(&path)?;
    }
    storage.create(&path)
}

/// Removes a next file that could not be made whole. Where this fails, the next try removes it.
pub(super) fn discard_spare(storage: &dyn Storage, dir: &Path) {
    storage.remove(&dir.join(SPARE_NAME)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            epoch: Epoch(0x2_0000_0007),
            first_sequence: 9,
            predecessor: Some(Predecessor {
                epoch: Epoch(0x1_0000_0003),
                end_bytes: 4096,
            }),
        }
    }

    #[test]
    fn a_header_reads_back_and_every_flipped_bit_is_noticed() {
        let first = Header {
            predecessor: None,
            ..header()
        };
        for header in [header(), first] {
            let bytes = header.encode();
            let read = Header::decode(&bytes, header.epoch, Path::new("f")).unwrap();
            assert_eq!(read, header);
            for bit in 0..HEADER_BYTES * 8 {
                let mut bad = bytes;
                bad[bit / 8] ^= 1 << (bit % 8);
                let error = Header::decode(&bad, header.epoch, Path::new("f")).unwrap_err();
                assert!(
                    matches!(error, Error::Corrupt { offset: 0, .. }),
                    "bit {bit}: {error}"
                );
            }
            for cut in 0..HEADER_BYTES {
                assert!(Header::decode(&bytes[..cut], header.epoch, Path::new("f")).is_err());
            }
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = header().encode();
        bytes[8] = 3;
        let crc = checksum(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let error = Header::decode(&bytes, header().epoch, Path::new("f")).unwrap_err();
        assert!(matches!(
            error,
            Error::NewerFormat {
                found: 3,
                known: 2,
                ..
            }
        ));
    }

    #[test]
    fn a_file_under_the_name_of_another_epoch_is_corrupt() {
        let error = Header::decode(&header().encode(), Epoch(5), Path::new("f")).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }));
    }

    #[test]
    fn epochs_count_up_differ_and_name_files() {
        let mut latest = None;
        for count in 1..=20 {
            let epoch = Epoch::after(latest).unwrap();
            assert_eq!(epoch.0 >> 32, count);
            assert_eq!(Epoch::of_name(&epoch.file_name()), Some(epoch));
            latest = Some(epoch);
        }
        assert_ne!(Epoch::after(None), Epoch::after(None), "one in 2^32 runs");
        assert!(Epoch::after(Some(Epoch(u64::MAX))).is_err());
    }

    #[test]
    fn other_names_are_no_log_files() {
        for name in [
            "spare",
            "LOCK",
            ".log",
            "1.log",
            "0000000000000000.log",
            "00000001000000AB.log",
            "+000000100000001.log",
            "0000000100000001.log.damaged",
            "0000000100000001.LOG",
        ] {
            assert_eq!(Epoch::of_name(name), None, "{name}");
        }
    }
}
