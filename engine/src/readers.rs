//! Named reader positions: how far those who follow the log have come, and what it keeps for them.
//!
//! Owns the file `READERS`, replaced atomically by every change. Byte table in docs/format.md.

use std::path::Path;

use plimsoll_wal::storage::{ReadMode, Storage};

use crate::Result;
use crate::envelope::Envelope;
use crate::varint::{Reader, put, put_text};

/// The file's name in the data directory.
pub(crate) const FILE: &str = "READERS";
const TEMPORARY: &str = "READERS.new";
/// The format this program writes, and the newest it reads.
const FORMAT: u32 = 1;
const ENVELOPE: Envelope = Envelope {
    what: "reader position table",
    magic: b"PLIMREAD",
    format: FORMAT,
};

/// The most readers of one engine: each may hold the log back.
pub const READERS_MAX: usize = 64;
/// The longest name of a reader.
pub const READER_NAME_BYTES_MAX: usize = 255;

/// One reader, as the file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) name: String,
    /// The last frame that it is done with.
    pub(crate) sequence: u64,
    /// The first frame of the generation that the next one belongs to: reading begins there.
    pub(crate) from: u64,
    /// Frames that were dropped before it had read them.
    pub(crate) frames_dropped: u64,
    /// Bytes of log files that were dropped so.
    pub(crate) bytes_dropped: u64,
}

/// All of them, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Positions {
    pub(crate) all: Vec<Position>,
}

impl Positions {
    pub(crate) fn find(&self, name: &str) -> Option<&Position> {
        self.all.iter().find(|position| position.name == name)
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut Position> {
        self.all.iter_mut().find(|position| position.name == name)
    }

    /// The first frame that one of them needs.
    pub(crate) fn held_from(&self) -> Option<u64> {
        self.all.iter().map(|position| position.from).min()
    }

    /// Drops the frames before `from` for whoever has not read them; `dropped` are the files they
    /// are in: last frame and length.
    pub(crate) fn drop_before(&mut self, from: u64, dropped: &[(u64, u64)]) {
        for position in self.all.iter_mut().filter(|there| there.from < from) {
            let unread = (from - 1).saturating_sub(position.sequence);
            if unread > 0 {
                let files = dropped.iter().filter(|(last, _)| *last > position.sequence);
                position.bytes_dropped += files.map(|(_, bytes)| bytes).sum::<u64>();
                position.frames_dropped += unread;
                position.sequence = from - 1;
            }
            position.from = from;
        }
    }

    /// Sets back whoever stands behind `last`, the last frame that there is, as after a log was
    /// taken away; whether there was one.
    pub(crate) fn clamp(&mut self, last: u64) -> bool {
        let mut is_changed = false;
        for position in self.all.iter_mut().filter(|there| there.sequence > last) {
            position.sequence = last;
            position.from = position.from.min(last + 1);
            is_changed = true;
        }
        is_changed
    }

    /// Reads the file; nobody where there is none.
    ///
    /// # Errors
    /// `Corrupt`, `NewerFormat`, `Io`.
    pub(crate) fn read(storage: &dyn Storage, directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        if !storage.exists(&path)? {
            return Ok(Self::default());
        }
        decode(&storage.region(&path, ReadMode::Pread)?, &path)
    }

    /// Replaces the file: written aside, synced, renamed, directory synced.
    ///
    /// # Errors
    /// `Io`; the old one stands.
    pub(crate) fn replace(&self, storage: &dyn Storage, directory: &Path) -> Result<()> {
        let temporary = directory.join(TEMPORARY);
        if storage.exists(&temporary)? {
            storage.remove(&temporary)?;
        }
        let file = storage.create(&temporary)?;
        file.write_at(0, &self.encode())?;
        file.sync()?;
        storage.rename(&temporary, &directory.join(FILE))?;
        storage.sync_directory(directory)?;
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put(&mut body, self.all.len() as u64);
        for position in &self.all {
            put_text(&mut body, &position.name);
            put(&mut body, position.sequence);
            put(&mut body, position.from);
            put(&mut body, position.frames_dropped);
            put(&mut body, position.bytes_dropped);
        }
        ENVELOPE.seal(&body)
    }
}

fn decode(bytes: &[u8], path: &Path) -> Result<Positions> {
    ENVELOPE.open(bytes, path, |reader, _| positions(reader))
}

fn positions(reader: &mut Reader<'_>) -> Option<Positions> {
    let mut all = Vec::new();
    for _ in 0..reader.count(5)? {
        all.push(Position {
            name: reader.text()?.to_owned(),
            sequence: reader.varint()?,
            from: reader.varint()?,
            frames_dropped: reader.varint()?,
            bytes_dropped: reader.varint()?,
        });
    }
    Some(Positions { all })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Positions {
        let position = |name: &str, sequence, from| Position {
            name: name.to_owned(),
            sequence,
            from,
            frames_dropped: 7,
            bytes_dropped: u64::MAX,
        };
        Positions {
            all: vec![position("a", 90, 41), position("β", 30, 21)],
        }
    }

    #[test]
    fn the_file_reads_back_and_every_flip_and_cut_is_noticed() {
        let path = Path::new(FILE);
        let bytes = some().encode();
        assert_eq!(decode(&bytes, path).unwrap(), some());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                decode(&bad, path).expect_err("a flipped bit");
            }
            decode(&bytes[..at], path).expect_err("a cut file");
        }
    }

    #[test]
    fn what_is_dropped_is_counted_once_for_whom_had_not_read_it() {
        let mut positions = some();
        positions.all[1].bytes_dropped = 0;
        positions.drop_before(41, &[(25, 100), (40, 1000)]);
        assert_eq!(
            positions.all[0],
            some().all[0],
            "it needs nothing before 41"
        );
        let behind = &positions.all[1];
        assert_eq!((behind.sequence, behind.from), (40, 41));
        assert_eq!((behind.frames_dropped, behind.bytes_dropped), (17, 1000));
        assert_eq!(positions.held_from(), Some(41));
    }

    #[test]
    fn a_position_behind_the_end_of_the_log_is_set_back() {
        let mut positions = some();
        assert!(positions.clamp(60));
        assert_eq!((positions.all[0].sequence, positions.all[0].from), (60, 41));
        assert!(!positions.clamp(60));
        assert!(positions.clamp(0));
        assert_eq!((positions.all[1].sequence, positions.all[1].from), (0, 1));
    }
}
