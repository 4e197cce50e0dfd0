//! A file of line protocol with the headers of an export.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// The longest line.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// What a line of the file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A statement that makes a database or policy.
    Statement(String),
    /// The lines behind go there.
    Database(String),
    /// The lines behind go there.
    Policy(String),
    /// A point.
    Line(Vec<u8>),
}

/// Which part of the file a line is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Statements,
    Points,
}

/// Counts what goes through.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Reads the file line by line.
pub(super) struct Source {
    reader: Box<dyn BufRead>,
    file_bytes: u64,
    read_bytes: Arc<AtomicU64>,
    part: Part,
    lines: u64,
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        let read_bytes = Arc::new(AtomicU64::new(0));
        let mut plain = BufReader::new(Counted {
            inner: file,
            bytes: Arc::clone(&read_bytes),
        });
        let is_compressed = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead> = if is_compressed {
            Box::new(BufReader::new(MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Ok(Self {
            reader,
            file_bytes,
            read_bytes,
            part: Part::Points,
            lines: 0,
        })
    }

    /// The file's length.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// How much of it was read.
    pub(super) fn position(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// How many lines of text were read.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The next line that says something.
    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            let Some(line) = self.line()? else {
                return Ok(None);
            };
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if let Some(comment) = text.strip_prefix(b"#") {
                let comment = String::from_utf8_lossy(comment);
                let comment = comment.trim();
                if let Some(name) = comment.strip_prefix("CONTEXT-DATABASE:") {
                    return Ok(Some(Item::Database(name.trim().to_owned())));
                }
                if let Some(name) = comment.strip_prefix("CONTEXT-RETENTION-POLICY:") {
                    return Ok(Some(Item::Policy(name.trim().to_owned())));
                }
                match comment {
                    "DDL" => self.part = Part::Statements,
                    "DML" => self.part = Part::Points,
                    _ => {}
                }
                continue;
            }
            return Ok(Some(match self.part {
                Part::Statements => Item::Statement(String::from_utf8_lossy(text).into_owned()),
                Part::Points => Item::Line(line),
            }));
        }
    }

    /// A line without its end; a line break within a quoted string is part of it.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let before = line.len() as u64;
            let limit = LINE_BYTES_MAX.saturating_sub(before);
            let count = (&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut line)?;
            if count == 0 {
                if limit == 0 {
                    let text = format!("line {} is over {LINE_BYTES_MAX} bytes", self.lines + 1);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                return Ok((!line.is_empty()).then_some(line));
            }
            self.lines += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
                if self.part == Part::Points && !line.starts_with(b"#") && is_open(&line) {
                    line.push(b'\n');
                    continue;
                }
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
            }
            return Ok(Some(line));
        }
    }
}

/// Whether a line ends within a quoted string: quotes count behind an unescaped blank and `=`.
fn is_open(line: &[u8]) -> bool {
    let (mut in_fields, mut is_quoted, mut at) = (false, false, 0);
    while let Some(&byte) = line.get(at) {
        match byte {
            b'\\' => at += 1,
            b' ' if !is_quoted => in_fields = true,
            b'"' if in_fields => is_quoted = !is_quoted,
            _ => {}
        }
        at += 1;
    }
    is_quoted
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn items(bytes: &[u8]) -> Vec<Item> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let mut source = Source::open(&path).unwrap();
        std::iter::from_fn(|| source.next().unwrap()).collect()
    }

    const TEXT: &str = "# INFLUXDB EXPORT: a - b\n# DDL\nCREATE DATABASE d WITH NAME autogen\n\
        # DML\n# CONTEXT-DATABASE:d\n# CONTEXT-RETENTION-POLICY:autogen\n# writing tsm data\n\
        cpu v=1 1\r\n\ncpu s=\"a\nb\" 2\n";

    fn expected() -> Vec<Item> {
        vec![
            Item::Statement("CREATE DATABASE d WITH NAME autogen".to_owned()),
            Item::Database("d".to_owned()),
            Item::Policy("autogen".to_owned()),
            Item::Line(b"cpu v=1 1".to_vec()),
            Item::Line(b"cpu s=\"a\nb\" 2".to_vec()),
        ]
    }

    #[test]
    fn an_export_is_read_plain_and_compressed_in_several_members() {
        assert_eq!(items(TEXT.as_bytes()), expected());
        let mut packed = Vec::new();
        for half in [&TEXT[..50], &TEXT[50..]] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(half.as_bytes()).unwrap();
            packed.extend(encoder.finish().unwrap());
        }
        assert_eq!(items(&packed), expected());
    }

    #[test]
    fn lines_without_headers_are_points_and_the_last_may_lack_its_end() {
        assert_eq!(items(b"cpu v=1"), [Item::Line(b"cpu v=1".to_vec())]);
        assert_eq!(items(b""), []);
        // A quote in a tag opens nothing.
        assert_eq!(items(b"cpu,t=\"a v=1\ncpu v=2\n").len(), 2);
        assert_eq!(items(b"cpu s=\"a\\\"\" 1\ncpu v=2\n").len(), 2);
    }
}
