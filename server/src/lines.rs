//! Readers of line protocol between two bodies: what one has learnt of names and tag sets serves
//! the next body. As many are kept as parse at a time, within a limit of memory for all.

use parking_lot::Mutex;
use plimsoll_engine::{Batch, Timestamp};
use plimsoll_ingest::line::{LineReader, Parsed, Precision};

use crate::app::App;

/// The most memory for all of them.
const BYTES_MAX: u64 = 256 << 20;
/// They get at most this part of what the head may hold.
const SHARE_OF_HEAD: u64 = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct LineReaders {
    idle: Mutex<Vec<LineReader>>,
    bytes_max: usize,
}

/// A body that was parsed, and the reader to which its batch goes back.
#[derive(Debug)]
pub(crate) struct ParsedLines {
    pub(crate) parsed: Parsed,
    reader: LineReader,
}

impl LineReaders {
    /// None yet, for a head that holds at most `head_bytes_max`.
    pub(crate) fn new(head_bytes_max: u64) -> Self {
        let bytes_max = (head_bytes_max / SHARE_OF_HEAD).min(BYTES_MAX);
        Self {
            idle: Mutex::default(),
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
        }
    }

    fn give_back(&self, mut reader: LineReader, batch: Batch) {
        reader.give_back(batch);
        let own = reader.bytes();
        let mut idle = self.idle.lock();
        let held: usize = idle.iter().map(LineReader::bytes).sum();
        if held.saturating_add(own) <= self.bytes_max {
            idle.push(reader);
        }
    }
}

impl App {
    /// Parses a body of lines, which may come in pieces.
    pub(crate) fn parse_lines(
        &self,
        pieces: &[impl AsRef<[u8]>],
        precision: Precision,
        now: Timestamp,
    ) -> ParsedLines {
        let reader = self.lines.idle.lock().pop();
        let mut reader = reader.unwrap_or_default();
        reader.turn(self.engine.generation());
        let parsed = reader.parse_pieces(pieces, precision, now);
        ParsedLines { parsed, reader }
    }

    /// Takes the batch of a body back once it is written.
    pub(crate) fn end_lines(&self, lines: ParsedLines) {
        let ParsedLines { parsed, reader } = lines;
        self.lines.give_back(reader, parsed.batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(reader: &mut LineReader, tags: usize) -> Batch {
        let lines: String = (0..tags).map(|tag| format!("m,t={tag} v=1 1\n")).collect();
        let parsed = reader.parse(lines.as_bytes(), Precision::Nanoseconds, Timestamp(0));
        assert_eq!(parsed.batch.len(), tags);
        parsed.batch
    }

    #[test]
    fn a_reader_that_knows_too_much_is_not_kept() {
        let readers = LineReaders::new(1 << 20);
        for (tags, kept) in [(10, 1), (10_000, 1), (10, 2)] {
            let mut reader = LineReader::default();
            let batch = parse(&mut reader, tags);
            readers.give_back(reader, batch);
            assert_eq!(readers.idle.lock().len(), kept, "after {tags} tag sets");
        }
    }
}
