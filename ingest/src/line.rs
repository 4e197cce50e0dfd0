//! InfluxDB's line protocol: bytes in, a batch and the refused lines out.
//!
//! Good lines of a bad body are kept, as InfluxDB keeps them; texts are those of 1.6.7, checked
//! against a live server. Two things differ on purpose: a line may end in `\r\n`, and a comment
//! ends where its line ends even if it holds a quote. Unsigned values (`1u`) are on.
//!
//! ```
//! use plimsoll_engine::Timestamp;
//! use plimsoll_ingest::line::{self, Precision};
//!
//! let body = b"memory/working_set_bytes_gauge,pod_name=web value=4096i 17\nbad";
//! let parsed = line::parse(body, Precision::Seconds, Timestamp(0));
//! assert_eq!(parsed.batch.len(), 1);
//! assert_eq!(
//!     parsed.error_text(None).unwrap(),
//!     "partial write: unable to parse 'bad': missing fields dropped=0"
//! );
//! ```

mod fields;
mod key;
mod lines;
mod names;
mod precision;
mod quick;
mod reason;
mod scan;
mod time;

#[cfg(test)]
mod tests;

use memchr::{memchr, memrchr};
use plimsoll_engine::model::Batch;
use plimsoll_engine::{FieldValue, Timestamp};

pub use self::precision::{Precision, PrecisionError};
pub use self::reason::Reason;

use self::key::{TagPart, Tags};
use self::names::Names;
use self::quick::Quick;
use self::time::Times;

/// The largest measurement and tags of a line, in bytes, as InfluxDB has it.
pub const KEY_BYTES_MAX: usize = 65_535;

/// The longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// How many tags one line may have.
pub const TAGS_MAX: usize = 1_024;

/// How many fields one line may have.
pub const FIELDS_MAX: usize = 16_384;

/// How much of a line that is too long is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 200;

/// How many refused lines of one body are kept with their text; the rest are counted.
pub const REJECTED_LINES_KEPT_MAX: usize = 1_000;

/// The points of a body, and what was wrong with the rest of it.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// The good lines, in order.
    pub batch: Batch,
    /// The first [`REJECTED_LINES_KEPT_MAX`] lines that do not parse, in order.
    pub rejected: Vec<Rejected>,
    /// How many lines do not parse.
    pub rejected_count: usize,
    /// The lines that parse and may not be stored, because of a tag or field named `time`.
    pub dropped: Option<Dropped>,
}

/// A line that does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The line, without white space before it.
    pub line: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Points that were understood and not stored: the first reason, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// InfluxDB's text for the first of them.
    pub reason: String,
    /// How many points.
    pub count: usize,
}

impl Parsed {
    /// InfluxDB's text for what was wrong, or nothing where all was well.
    ///
    /// `stored` is what the engine dropped of the batch (type conflicts). As in InfluxDB, dropped
    /// points hide lines that do not parse, and where no line parses the text has no
    /// `partial write: ` before it.
    #[must_use]
    pub fn error_text(&self, stored: Option<&Dropped>) -> Option<String> {
        let drops: Vec<&Dropped> = self.dropped.iter().chain(stored).collect();
        if let Some(first) = drops.first() {
            let count = drops.iter().map(|drop| drop.count).sum();
            return Some(partial_write(&first.reason, count));
        }
        if self.rejected_count == 0 {
            return None;
        }
        let mut lines: Vec<String> = self.rejected.iter().map(ToString::to_string).collect();
        if let Some(more) = self.rejected_count.checked_sub(self.rejected.len())
            && more > 0
        {
            lines.push(format!("and {more} more lines"));
        }
        let lines = lines.join("\n");
        Some(if self.batch.is_empty() {
            lines
        } else {
            partial_write(&lines, 0)
        })
    }
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unable to parse '{}': {}", self.line, self.reason)
    }
}

/// InfluxDB's text of a write that was stored in part.
#[must_use]
pub fn partial_write(reason: &str, dropped: usize) -> String {
    format!("partial write: {reason} dropped={dropped}")
}

/// Parses a body of lines.
///
/// Units: a line's time is in `precision`; the batch is in ns. A line without a time gets `now`,
/// cut down to `precision`.
/// Never panics, whatever the bytes; text that is not UTF-8 is kept in string values with
/// replacement characters, and refused in names and tags.
#[must_use]
pub fn parse(body: &[u8], precision: Precision, now: Timestamp) -> Parsed {
    LineReader::default().parse(body, precision, now)
}

/// Parses one body after the other, and keeps from each to the next what most repeat: names, tag
/// sets, room.
///
/// ```
/// use plimsoll_engine::Timestamp;
/// use plimsoll_ingest::line::{LineReader, Precision};
///
/// let mut reader = LineReader::default();
/// for body in [b"cpu,pod=web value=1 17", b"cpu,pod=web value=2 18"] {
///     let parsed = reader.parse(body, Precision::Seconds, Timestamp(0));
///     assert_eq!(parsed.batch.len(), 1);
///     reader.give_back(parsed.batch); // once it is written
/// }
/// ```
#[derive(Debug, Default)]
pub struct LineReader {
    measurements: Names,
    fields: Names,
    /// The places of the last line's field keys.
    keys: Vec<usize>,
    tags: Tags,
    values: Vec<(u32, FieldValue)>,
    /// What the numbers above belong to, between bodies.
    batch: Option<Batch>,
    period: u64,
}

impl LineReader {
    /// As [`parse()`].
    #[must_use]
    pub fn parse(&mut self, body: &[u8], precision: Precision, now: Timestamp) -> Parsed {
        self.parse_pieces(&[body], precision, now)
    }

    /// As [`Self::parse`], of a body in pieces, which are not put together: only lines that begin
    /// in one and end in another are copied.
    #[must_use]
    pub fn parse_pieces(
        &mut self,
        pieces: &[impl AsRef<[u8]>],
        precision: Precision,
        now: Timestamp,
    ) -> Parsed {
        let mut parser = self.begin(precision, now);
        // The start of a line whose end is in a piece to come.
        let mut begun: Vec<u8> = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let mut piece = piece.as_ref();
            if !begun.is_empty() {
                let end = memchr(b'\n', piece).map_or(piece.len(), |end| end + 1);
                begun.extend_from_slice(&piece[..end]);
                piece = &piece[end..];
                if begun.last() == Some(&b'\n') {
                    let done = parser.whole_lines(&begun);
                    begun.drain(..done);
                }
            }
            if begun.is_empty() {
                let end = memrchr(b'\n', piece).map_or(0, |end| end + 1);
                let done = parser.whole_lines(&piece[..end]);
                piece = &piece[done..];
                if done == end {
                    begun.extend_from_slice(piece);
                    continue;
                }
            } else if begun.last() != Some(&b'\n') {
                continue;
            }
            // A newline that ends no line: what is left is looked at as a whole.
            begun.extend_from_slice(piece);
            for piece in &pieces[number + 1..] {
                begun.extend_from_slice(piece.as_ref());
            }
            break;
        }
        parser.lines(&begun);
        parser.finish()
    }

    fn begin(&mut self, precision: Precision, now: Timestamp) -> Parser<'_> {
        let batch = match self.batch.take() {
            Some(batch) => batch,
            None => {
                // The batch of the last body did not come back.
                self.forget();
                Batch::default()
            }
        };
        Parser {
            parsed: Parsed {
                batch,
                ..Parsed::default()
            },
            reader: self,
            times: Times::new(precision, now),
            tag_drops: Drops::default(),
            field_drops: Drops::default(),
        }
    }

    /// Takes the batch of the last body back, so that the next one finds its names and tag sets.
    pub fn give_back(&mut self, mut batch: Batch) {
        batch.clear_points();
        self.batch = Some(batch);
    }

    /// Says that it is another `period`, a generation of the engine's head: where less than half of
    /// the tag sets that are known were used in the last one, all are forgotten.
    pub fn turn(&mut self, period: u64) {
        if self.period != period {
            self.period = period;
            if !self.tags.turn() {
                self.batch = None;
                self.forget();
            }
        }
    }

    /// Roughly how much memory it keeps.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.measurements.bytes()
            + self.fields.bytes()
            + self.tags.bytes()
            + self.values.capacity() * size_of::<(u32, FieldValue)>()
            + self.batch.as_ref().map_or(0, Batch::room_bytes)
    }

    fn forget(&mut self) {
        self.measurements = Names::default();
        self.fields = Names::default();
        self.keys.clear();
        self.tags = Tags::default();
    }
}

/// One body that is parsed.
struct Parser<'a> {
    parsed: Parsed,
    reader: &'a mut LineReader,
    times: Times,
    tag_drops: Drops,
    field_drops: Drops,
}

#[derive(Default)]
struct Drops {
    first: Option<String>,
    count: usize,
}

impl Drops {
    fn add(&mut self, reason: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(reason);
    }
}

impl Parser<'_> {
    /// Takes all lines of what is not followed by anything.
    fn lines(&mut self, body: &[u8]) {
        let mut at = 0;
        while at < body.len() {
            if let Some(len) = self.quick_line(&body[at..]) {
                at += len;
                continue;
            }
            let Some(line) = lines::next(body, &mut at) else {
                break;
            };
            self.line_or_reject(line);
        }
    }

    /// Takes the lines of what ends in a newline and is followed by more. Answers how many bytes
    /// they are: fewer where the last newlines do not end a line, being in a quoted value.
    fn whole_lines(&mut self, body: &[u8]) -> usize {
        // Whether it is escaped depends on what follows.
        if body.ends_with(b"\\\n") {
            return 0;
        }
        let mut at = 0;
        while at < body.len() {
            if let Some(len) = self.quick_line(&body[at..]) {
                at += len;
                continue;
            }
            let start = at;
            let Some(line) = lines::next(body, &mut at) else {
                break;
            };
            if at > body.len() {
                return start;
            }
            self.line_or_reject(line);
        }
        body.len()
    }

    fn line_or_reject(&mut self, line: &[u8]) {
        if let Err(reason) = self.line(line) {
            self.reject(line, reason);
        }
    }

    fn quick_line(&mut self, rest: &[u8]) -> Option<usize> {
        let reader = &mut *self.reader;
        let mut quick = Quick {
            measurements: &mut reader.measurements,
            fields: &mut reader.fields,
            keys: &mut reader.keys,
            tags: &mut reader.tags,
            times: &mut self.times,
            values: &mut reader.values,
        };
        quick.line(rest, &mut self.parsed.batch)
    }

    /// Takes one line that is neither blank nor a comment, without white space before it.
    fn line(&mut self, line: &[u8]) -> Result<(), Reason> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Reason::LineTooLong { got: line.len() });
        }
        let batch = &mut self.parsed.batch;
        let LineReader {
            measurements,
            fields: names,
            tags: known,
            values,
            ..
        } = &mut *self.reader;
        let measurement = key::measurement(line)?;
        let (tags, key_end) = match measurement.tags_start {
            None => (TagPart::Set(known.none(batch)), measurement.end),
            Some(start) => known.read(line, start, batch)?,
        };
        if key_end > KEY_BYTES_MAX {
            return Err(Reason::KeyTooLong { got: key_end });
        }
        values.clear();
        let fields = fields::read(line, key_end, names, batch, values)?;
        if key_end + 4 + fields.key_bytes_max > KEY_BYTES_MAX {
            return Err(Reason::KeyTooLong {
                got: key_end + 4 + fields.key_bytes_max,
            });
        }
        if values.len() > FIELDS_MAX {
            return Err(Reason::TooManyFields { got: values.len() });
        }
        let time = self.times.read(line, fields.end)?;
        let name = &line[..measurement.end];
        let TagPart::Set(tag_set) = tags else {
            self.tag_drops
                .add(|| time_is_invalid("tag key", "tag", name));
            return Ok(());
        };
        if values.is_empty() {
            self.field_drops
                .add(|| time_is_invalid("field name", "field", name));
            return Ok(());
        }
        let place = measurements.place(name, batch)?;
        let measurement = measurements.follow(place);
        batch.push(measurement, tag_set, time, values.drain(..));
        Ok(())
    }

    fn reject(&mut self, line: &[u8], reason: Reason) {
        self.parsed.rejected_count += 1;
        let line = match reason {
            Reason::LineTooLong { .. } => &line[..line.len().min(SHOWN_BYTES_MAX)],
            _ => line,
        };
        if self.parsed.rejected.len() < REJECTED_LINES_KEPT_MAX {
            self.parsed.rejected.push(Rejected {
                line: String::from_utf8_lossy(line).into_owned(),
                reason,
            });
        }
    }

    fn finish(self) -> Parsed {
        let Self {
            mut parsed,
            tag_drops,
            field_drops,
            ..
        } = self;
        // InfluxDB looks at all tags before it looks at a field.
        if let Some(reason) = tag_drops.first.or(field_drops.first) {
            parsed.dropped = Some(Dropped {
                reason,
                count: tag_drops.count + field_drops.count,
            });
        }
        parsed
    }
}

fn time_is_invalid(what: &str, kind: &str, measurement: &[u8]) -> String {
    let name = names::unescape(measurement);
    format!(
        "invalid {what}: input {kind} \"time\" on measurement \"{}\" is invalid",
        String::from_utf8_lossy(&name)
    )
}
