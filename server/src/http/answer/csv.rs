//! Results as CSV, as InfluxDB writes it: `name,tags,` and the columns, times as numbers.

use std::sync::Arc;

use plimsoll_query::json::Epoch;
use plimsoll_query::rows::{Cell, Rows};

/// How far the answer is.
#[derive(Debug, Default)]
pub(super) struct Csv {
    /// The statement and the columns of the head that was written last.
    head: Option<(usize, Arc<[Arc<str>]>)>,
}

impl Csv {
    /// Appends a series, and a head where it is another statement or other columns.
    pub(super) fn series(
        &mut self,
        statement: usize,
        rows: &Rows,
        epoch: Epoch,
        out: &mut Vec<u8>,
    ) {
        let same = self
            .head
            .as_ref()
            .is_some_and(|(written, columns)| *written == statement && **columns == *rows.columns);
        if !same {
            if self.head.is_some() {
                out.push(b'\n');
            }
            out.extend_from_slice(b"name,tags");
            for column in rows.columns.iter() {
                out.push(b',');
                field(column, out);
            }
            out.push(b'\n');
            self.head = Some((statement, Arc::clone(&rows.columns)));
        }
        let tags = tags(rows);
        for row in &rows.values {
            field(&rows.name, out);
            out.push(b',');
            field(&tags, out);
            for cell in row {
                out.push(b',');
                field(&text(cell, epoch), out);
            }
            out.push(b'\n');
        }
    }

    /// Appends an error.
    pub(super) fn error(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.head.is_some() {
            out.push(b'\n');
        }
        out.extend_from_slice(b"error\n");
        field(text, out);
        out.push(b'\n');
    }
}

fn tags(rows: &Rows) -> String {
    let tags = rows.tags.iter().filter(|(_, value)| !value.is_empty());
    let tags: Vec<String> = tags
        .map(|(key, value)| format!("{}={}", escaped(key), escaped(value)))
        .collect();
    tags.join(",")
}

/// As in line protocol.
fn escaped(text: &str) -> String {
    text.replace(',', "\\,")
        .replace('=', "\\=")
        .replace(' ', "\\ ")
}

fn text(cell: &Cell, epoch: Epoch) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Time(ns) => (ns / epoch.unit_ns().unwrap_or(1)).to_string(),
        Cell::Float(value) if !value.is_finite() => String::new(),
        Cell::Float(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Unsigned(value) => value.to_string(),
        Cell::String(text) => text.to_string(),
        Cell::Boolean(value) => value.to_string(),
        Cell::List(texts) => texts.join(" "),
    }
}

/// A field, in quotes where Go's `encoding/csv` puts it in quotes.
fn field(text: &str, out: &mut Vec<u8>) {
    let quoted = text == "\\."
        || text.contains([',', '"', '\r', '\n'])
        || text.starts_with(char::is_whitespace);
    if quoted {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_a_head_and_its_rows() {
        let rows = Rows {
            name: "m".into(),
            tags: vec![("a".into(), "x y".into()), ("b".into(), "".into())],
            columns: ["time".into(), "v".into(), "s".into()].into(),
            values: vec![vec![
                Cell::Time(2_000_000),
                Cell::Null,
                Cell::String("q\"c".into()),
            ]],
            ..Rows::default()
        };
        let mut out = Vec::new();
        let mut csv = Csv::default();
        csv.series(0, &rows, Epoch::Milliseconds, &mut out);
        csv.series(0, &rows, Epoch::Rfc3339, &mut out);
        csv.series(1, &rows, Epoch::Seconds, &mut out);
        let expected = "name,tags,time,v,s\nm,a=x\\ y,2,,\"q\"\"c\"\n\
                        m,a=x\\ y,2000000,,\"q\"\"c\"\n\
                        \nname,tags,time,v,s\nm,a=x\\ y,0,,\"q\"\"c\"\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_list_is_its_texts_with_spaces_between_them() {
        let list = |texts: &[&str]| Cell::List(texts.iter().map(|text| (*text).into()).collect());
        let shown = text(&list(&["http://a:1", "udp://b:2"]), Epoch::Seconds);
        assert_eq!(shown, "http://a:1 udp://b:2");
        assert_eq!(text(&list(&[]), Epoch::Seconds), "");
    }
}
