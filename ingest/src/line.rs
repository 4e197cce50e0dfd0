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
mod reason;
mod scan;
mod time;

#[cfg(test)]
mod tests;

use plimsoll_engine::model::Batch;
use plimsoll_engine::{FieldValue, Timestamp};

pub use self::precision::{Precision, PrecisionError};
pub use self::reason::Reason;

use self::key::{TagPart, Tags};
use self::names::Names;
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
    let mut parser = Parser::new(precision, now);
    let mut at = 0;
    while let Some(line) = lines::next(body, &mut at) {
        if let Err(reason) = parser.line(line) {
            parser.reject(line, reason);
        }
    }
    parser.finish()
}

/// What is kept from line to line.
struct Parser<'a> {
    parsed: Parsed,
    names: Names<'a>,
    tags: Tags<'a>,
    times: Times<'a>,
    fields: Vec<(u32, FieldValue)>,
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

impl<'a> Parser<'a> {
    fn new(precision: Precision, now: Timestamp) -> Self {
        Self {
            parsed: Parsed::default(),
            names: Names::default(),
            tags: Tags::default(),
            times: Times::new(precision, now),
            fields: Vec::new(),
            tag_drops: Drops::default(),
            field_drops: Drops::default(),
        }
    }

    /// Takes one line that is neither blank nor a comment, without white space before it.
    fn line(&mut self, line: &'a [u8]) -> Result<(), Reason> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Reason::LineTooLong { got: line.len() });
        }
        let batch = &mut self.parsed.batch;
        let measurement = key::measurement(line)?;
        let (tags, key_end) = match measurement.tags_start {
            None => (TagPart::Set(self.tags.none(batch)), measurement.end),
            Some(start) => self.tags.read(line, start, batch)?,
        };
        if key_end > KEY_BYTES_MAX {
            return Err(Reason::KeyTooLong { got: key_end });
        }
        self.fields.clear();
        let fields = fields::read(line, key_end, &mut self.names, batch, &mut self.fields)?;
        if key_end + 4 + fields.key_bytes_max > KEY_BYTES_MAX {
            return Err(Reason::KeyTooLong {
                got: key_end + 4 + fields.key_bytes_max,
            });
        }
        if self.fields.len() > FIELDS_MAX {
            return Err(Reason::TooManyFields {
                got: self.fields.len(),
            });
        }
        let time = self.times.read(line, fields.end)?;
        let name = &line[..measurement.end];
        let TagPart::Set(tag_set) = tags else {
            self.tag_drops
                .add(|| time_is_invalid("tag key", "tag", name));
            return Ok(());
        };
        if self.fields.is_empty() {
            self.field_drops
                .add(|| time_is_invalid("field name", "field", name));
            return Ok(());
        }
        let measurement = self.names.id(name, batch)?;
        batch.push(measurement, tag_set, time, self.fields.drain(..));
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
