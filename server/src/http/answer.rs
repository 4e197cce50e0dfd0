//! Writes the results of a request's statements, one behind the other, as they come.
//!
//! Owns the frame around series: `results`, `statement_id`, `partial`, `error`. How one series is
//! written is [`plimsoll_query::json`]'s.

mod csv;
mod msgpack;

use std::sync::Arc;

use plimsoll_query::json::{self, Epoch};
use plimsoll_query::rows::{ColumnRows, Message, Rows};
use plimsoll_query::{Error, Sink};

use super::output::{Gone, Output};
use csv::Csv;
use msgpack::MsgPack;

pub(super) use msgpack::error as msgpack_error;

/// What the answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON document.
    Json,
    /// A JSON document a series, or a piece of one, each on a line.
    Chunked,
    /// Rows with commas between them.
    Csv,
    /// One msgpack document.
    MsgPack,
}

/// The answer to one request.
pub(super) struct Answer {
    out: Output,
    format: Format,
    epoch: Epoch,
    csv: Csv,
    msgpack: MsgPack,
    /// The statement that is being answered.
    statement: usize,
    messages: Vec<Message>,
    /// JSON: where the current result starts in what is pending; none once some of it was sent.
    result_start: Option<usize>,
    /// JSON: how far the current result is.
    series: Series,
    /// Chunked: the last piece, held back until it is known whether more follows.
    held: Option<Vec<u8>>,
}

/// How far the list of series of a result is.
enum Series {
    /// There is none.
    None,
    /// The last one is closed.
    Closed,
    /// More rows of this one may come.
    Open {
        name: Arc<str>,
        tags: Vec<(Arc<str>, Arc<str>)>,
    },
}

impl Answer {
    pub(super) fn new(out: Output, format: Format, epoch: Epoch) -> Self {
        Self {
            out,
            format,
            epoch,
            csv: Csv::default(),
            msgpack: MsgPack::default(),
            statement: 0,
            messages: Vec::new(),
            result_start: None,
            series: Series::None,
            held: None,
        }
    }

    /// Starts the result of a statement.
    pub(super) fn begin(&mut self, statement: usize) {
        self.statement = statement;
        self.messages.clear();
        self.series = Series::None;
        if self.format == Format::Json {
            let out = &mut self.out.pending;
            out.extend_from_slice(if statement == 0 {
                &b"{\"results\":["[..]
            } else {
                b","
            });
            self.result_start = Some(out.len());
            open_result(statement, out);
        }
    }

    /// Ends it.
    pub(super) fn end(&mut self, ended: Result<(), &str>) -> Result<(), Gone> {
        match self.format {
            Format::Json => self.end_json(ended),
            Format::Chunked => self.end_chunked(ended)?,
            Format::Csv => {
                if let Err(text) = ended {
                    self.csv.error(text, &mut self.out.pending);
                }
            }
            Format::MsgPack => self.msgpack.end(self.statement, &self.messages, ended),
        }
        self.out.flush_if_full()
    }

    /// Ends the answer.
    pub(super) fn finish(mut self, statements: usize) -> Result<(), Gone> {
        match (self.format, statements) {
            (Format::Json, 0) => self.out.pending.extend_from_slice(b"{}\n"),
            (Format::Json, _) => self.out.pending.extend_from_slice(b"]}\n"),
            (Format::MsgPack, _) => self.msgpack.finish(&mut self.out.pending),
            (Format::Chunked | Format::Csv, _) => {}
        }
        self.out.finish()
    }

    fn end_json(&mut self, ended: Result<(), &str>) {
        if let (Err(_), Some(start)) = (ended, self.result_start) {
            // InfluxDB answers the error alone; what is on its way already cannot be taken back.
            self.out.pending.truncate(start);
            open_result(self.statement, &mut self.out.pending);
            self.series = Series::None;
            self.messages.clear();
        }
        self.close_series(CutOff::Yes);
        let out = &mut self.out.pending;
        if !matches!(self.series, Series::None) {
            out.push(b']');
        }
        write_messages(&self.messages, out);
        if let Err(text) = ended {
            out.extend_from_slice(b",\"error\":");
            json::write_string(text, out);
        }
        out.push(b'}');
        self.result_start = None;
    }

    fn end_chunked(&mut self, ended: Result<(), &str>) -> Result<(), Gone> {
        if ended.is_ok() || self.held.is_some() {
            let more = if ended.is_ok() {
                ""
            } else {
                ",\"partial\":true"
            };
            self.document(more);
        }
        if let Err(text) = ended {
            let out = &mut self.out.pending;
            out.extend_from_slice(b"{\"results\":[");
            open_result(self.statement, out);
            out.extend_from_slice(b",\"error\":");
            json::write_string(text, out);
            out.extend_from_slice(b"}]}\n");
        }
        self.out.flush()
    }

    /// Writes a document with the series that is held back, if any, and the messages.
    fn document(&mut self, tail: &str) {
        let out = &mut self.out.pending;
        out.extend_from_slice(b"{\"results\":[");
        open_result(self.statement, out);
        if let Some(held) = self.held.take() {
            out.extend_from_slice(b",\"series\":[");
            out.extend_from_slice(&held);
            out.push(b']');
        }
        write_messages(&std::mem::take(&mut self.messages), out);
        out.extend_from_slice(tail.as_bytes());
        out.extend_from_slice(b"}]}\n");
    }

    fn json_series(&mut self, rows: &Rows) {
        if rows.values.is_empty() && !rows.partial {
            // Columns without values, as of an empty SHOW.
            self.close_series(CutOff::Yes);
            self.separate_series();
            json::write_series(rows, self.epoch, &mut self.out.pending);
            self.series = Series::Closed;
            return;
        }
        let continues = matches!(&self.series, Series::Open { name, tags }
            if *name == rows.name && *tags == rows.tags);
        if continues {
            self.out.pending.push(b',');
            json::write_values(rows, self.epoch, &mut self.out.pending);
        } else {
            self.close_series(CutOff::Yes);
            self.separate_series();
            self.open_series(rows);
            self.series = Series::Open {
                name: Arc::clone(&rows.name),
                tags: rows.tags.clone(),
            };
        }
        if !rows.partial {
            self.close_series(CutOff::No);
        }
    }

    fn flush_json(&mut self) -> Result<(), Gone> {
        let full = self.out.flush_if_full();
        if self.out.pending.is_empty() {
            self.result_start = None;
        }
        full
    }

    /// A whole series.
    fn json_columns(&mut self, rows: &ColumnRows) {
        self.close_series(CutOff::Yes);
        self.separate_series();
        let out = &mut self.out.pending;
        json::write_series(rows.head(), self.epoch, out);
        out.pop();
        out.extend_from_slice(b",\"values\":[");
        json::write_columns(rows, self.epoch, out);
        out.extend_from_slice(b"]}");
        self.series = Series::Closed;
    }

    fn separate_series(&mut self) {
        let before: &[u8] = match self.series {
            Series::None => b",\"series\":[",
            Series::Closed | Series::Open { .. } => b",",
        };
        self.out.pending.extend_from_slice(before);
    }

    /// Writes all of a series but its end, so that more rows can follow.
    fn open_series(&mut self, rows: &Rows) {
        let out = &mut self.out.pending;
        let head = Rows {
            name: Arc::clone(&rows.name),
            tags: rows.tags.clone(),
            columns: Arc::clone(&rows.columns),
            ..Rows::default()
        };
        json::write_series(&head, self.epoch, out);
        out.pop();
        out.extend_from_slice(b",\"values\":[");
        json::write_values(rows, self.epoch, out);
    }

    fn close_series(&mut self, cut_off: CutOff) {
        if let Series::Open { .. } = self.series {
            let tail: &[u8] = match cut_off {
                CutOff::Yes => b"],\"partial\":true}",
                CutOff::No => b"]}",
            };
            self.out.pending.extend_from_slice(tail);
            self.series = Series::Closed;
        }
    }
}

/// Whether a series ends although more rows were announced.
#[derive(Clone, Copy)]
enum CutOff {
    Yes,
    No,
}

impl Sink for Answer {
    fn series(&mut self, rows: Rows) -> Result<(), Error> {
        let sent = match self.format {
            Format::Json => {
                self.json_series(&rows);
                self.flush_json()
            }
            Format::Chunked => {
                let mut piece = Vec::new();
                json::write_series(&rows, self.epoch, &mut piece);
                let before = if self.held.is_some() {
                    self.document(",\"partial\":true");
                    self.out.flush()
                } else {
                    Ok(())
                };
                self.held = Some(piece);
                before
            }
            Format::Csv => {
                self.csv
                    .series(self.statement, &rows, self.epoch, &mut self.out.pending);
                self.out.flush_if_full()
            }
            Format::MsgPack => {
                self.msgpack.series(&rows, self.epoch);
                Ok(())
            }
        };
        sent.map_err(|Gone| Error::Interrupted("query aborted".into()))
    }

    fn columns(&mut self, rows: ColumnRows) -> Result<(), Error> {
        if self.format != Format::Json {
            return self.series(rows.into_rows());
        }
        self.json_columns(&rows);
        let sent = self.flush_json();
        sent.map_err(|Gone| Error::Interrupted("query aborted".into()))
    }

    fn message(&mut self, message: Message) {
        self.messages.push(message);
    }
}

/// The whole answer to a request that cannot be answered, as CSV.
pub(super) fn csv_error(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Csv::default().error(text, &mut out);
    out
}

fn open_result(statement: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"statement_id\":");
    out.extend_from_slice(statement.to_string().as_bytes());
}

fn write_messages(messages: &[Message], out: &mut Vec<u8>) {
    for (index, message) in messages.iter().enumerate() {
        out.extend_from_slice(if index == 0 {
            &b",\"messages\":["[..]
        } else {
            b","
        });
        json::write_message(message, out);
    }
    if !messages.is_empty() {
        out.push(b']');
    }
}
