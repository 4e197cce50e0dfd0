//! Answers in msgpack, as InfluxDB packs them: arrays say their length before their items, so an
//! answer is whole before it is sent.

use std::sync::Arc;

use plimsoll_query::json::Epoch;
use plimsoll_query::rows::{Cell, Message, Rows};
use rmp::encode;

/// A time is an extension: seconds in 8 bytes, ns in 4, both big-endian.
const TIME_EXTENSION: i8 = 5;
const TIME_BYTES: u32 = 12;
const NS_PER_SECOND: i64 = 1_000_000_000;
const MEMORY: &str = "writing to memory does not fail";

/// The results so far, packed.
#[derive(Debug, Default)]
pub(super) struct MsgPack {
    results: usize,
    packed: Vec<u8>,
    /// Series of the current result.
    series: usize,
    packed_series: Vec<u8>,
    open: Option<Open>,
}

/// A series of which more rows may come.
#[derive(Debug)]
struct Open {
    head: Rows,
    rows: usize,
    packed: Vec<u8>,
}

impl MsgPack {
    /// Takes a series, or a piece of one.
    pub(super) fn series(&mut self, rows: &Rows, epoch: Epoch) {
        let continues = self
            .open
            .as_ref()
            .is_some_and(|open| open.head.name == rows.name && open.head.tags == rows.tags);
        if !continues {
            self.close(CutOff::Yes);
        }
        let open = self.open.get_or_insert_with(|| Open {
            head: rows.clone_without_values(),
            rows: 0,
            packed: Vec::new(),
        });
        open.rows += rows.values.len();
        for row in &rows.values {
            array(row.len(), &mut open.packed);
            for cell in row {
                write_cell(cell, epoch, &mut open.packed);
            }
        }
        if !rows.partial {
            self.close(CutOff::No);
        }
    }

    /// Ends a statement's result; an error stands alone.
    pub(super) fn end(&mut self, statement: usize, messages: &[Message], ended: Result<(), &str>) {
        self.close(CutOff::Yes);
        self.results += 1;
        let series = std::mem::take(&mut self.series);
        let packed_series = std::mem::take(&mut self.packed_series);
        let out = &mut self.packed;
        if let Err(error) = ended {
            map(1, out);
            text("error", out);
            text(error, out);
            return;
        }
        map(2 + usize::from(!messages.is_empty()), out);
        text("statement_id", out);
        encode::write_uint(out, statement as u64).expect(MEMORY);
        if !messages.is_empty() {
            text("messages", out);
            array(messages.len(), out);
            for message in messages {
                map(2, out);
                text("level", out);
                text(message.level, out);
                text("text", out);
                text(&message.text, out);
            }
        }
        text("series", out);
        array(series, out);
        out.extend_from_slice(&packed_series);
    }

    /// Writes the whole answer.
    pub(super) fn finish(&self, out: &mut Vec<u8>) {
        map(1, out);
        text("results", out);
        array(self.results, out);
        out.extend_from_slice(&self.packed);
    }

    fn close(&mut self, cut_off: CutOff) {
        let Some(Open { head, rows, packed }) = self.open.take() else {
            return;
        };
        self.series += 1;
        let out = &mut self.packed_series;
        let partial = matches!(cut_off, CutOff::Yes);
        let (named, tagged) = (!head.name.is_empty(), !head.tags.is_empty());
        map(
            2 + usize::from(named) + usize::from(tagged) + usize::from(partial),
            out,
        );
        if named {
            text("name", out);
            text(&head.name, out);
        }
        if tagged {
            text("tags", out);
            map(head.tags.len(), out);
            for (key, value) in &head.tags {
                text(key, out);
                text(value, out);
            }
        }
        text("columns", out);
        array(head.columns.len(), out);
        head.columns
            .iter()
            .for_each(|column: &Arc<str>| text(column, out));
        text("values", out);
        array(rows, out);
        out.extend_from_slice(&packed);
        if partial {
            text("partial", out);
            encode::write_bool(out, true).expect(MEMORY);
        }
    }
}

/// Whether a series ends although more rows were announced.
#[derive(Clone, Copy)]
enum CutOff {
    Yes,
    No,
}

/// The whole answer to a request that cannot be answered.
pub(in crate::http) fn error(problem: &str) -> Vec<u8> {
    let mut out = Vec::new();
    map(1, &mut out);
    text("error", &mut out);
    text(problem, &mut out);
    out
}

fn write_cell(cell: &Cell, epoch: Epoch, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => encode::write_nil(out).expect(MEMORY),
        Cell::Time(ns) => match epoch.unit_ns() {
            Some(unit) => integer(ns / unit, out),
            None => {
                encode::write_ext_meta(out, TIME_BYTES, TIME_EXTENSION).expect(MEMORY);
                let (seconds, rest) = (ns.div_euclid(NS_PER_SECOND), ns.rem_euclid(NS_PER_SECOND));
                let rest = u32::try_from(rest).expect("a second has fewer ns than 2^32");
                out.extend_from_slice(&seconds.to_be_bytes());
                out.extend_from_slice(&rest.to_be_bytes());
            }
        },
        Cell::Float(value) => encode::write_f64(out, *value).expect(MEMORY),
        Cell::Integer(value) => integer(*value, out),
        Cell::Unsigned(value) => {
            encode::write_uint(out, *value).expect(MEMORY);
        }
        Cell::String(value) => text(value, out),
        Cell::Boolean(value) => encode::write_bool(out, *value).expect(MEMORY),
        Cell::List(texts) => {
            array(texts.len(), out);
            texts.iter().for_each(|value| text(value, out));
        }
    }
}

fn integer(value: i64, out: &mut Vec<u8>) {
    encode::write_sint(out, value).expect(MEMORY);
}

fn text(value: &str, out: &mut Vec<u8>) {
    encode::write_str(out, value).expect(MEMORY);
}

fn array(len: usize, out: &mut Vec<u8>) {
    encode::write_array_len(out, length(len)).expect(MEMORY);
}

fn map(len: usize, out: &mut Vec<u8>) {
    encode::write_map_len(out, length(len)).expect(MEMORY);
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("an answer in memory has fewer than 2^32 items")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: Vec<Vec<Cell>>, partial: bool) -> Rows {
        Rows {
            name: "m".into(),
            tags: vec![("k".into(), "v".into())],
            columns: ["time".into(), "x".into()].into(),
            values,
            partial,
            ..Rows::default()
        }
    }

    #[test]
    fn pieces_of_a_series_are_one_series() {
        let mut whole = MsgPack::default();
        let time = Cell::Time(-1);
        whole.series(
            &rows(vec![vec![time, Cell::Integer(-1)]], true),
            Epoch::Rfc3339,
        );
        let second = vec![Cell::Time(1_000_000_002), Cell::Float(1.5)];
        whole.series(&rows(vec![second], false), Epoch::Rfc3339);
        whole.end(0, &[], Ok(()));
        let mut out = Vec::new();
        whole.finish(&mut out);
        let expected: Vec<u8> = [
            &b"\x81\xa7results\x91\x82\xacstatement_id\x00\xa6series\x91"[..],
            b"\x84\xa4name\xa1m\xa4tags\x81\xa1k\xa1v\xa7columns\x92\xa4time\xa1x\xa6values\x92",
            b"\x92\xc7\x0c\x05\xff\xff\xff\xff\xff\xff\xff\xff\x3b\x9a\xc9\xff\xff",
            b"\x92\xc7\x0c\x05\0\0\0\0\0\0\0\x01\0\0\0\x02\xcb\x3f\xf8\0\0\0\0\0\0",
        ]
        .concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn an_error_takes_the_place_of_its_result() {
        let mut whole = MsgPack::default();
        whole.series(
            &rows(vec![vec![Cell::Time(1), Cell::Null]], true),
            Epoch::Seconds,
        );
        whole.end(0, &[], Err("no"));
        whole.end(
            1,
            &[Message {
                level: "warning",
                text: "t".into(),
            }],
            Ok(()),
        );
        let mut out = Vec::new();
        whole.finish(&mut out);
        let expected = [
            &b"\x81\xa7results\x92\x81\xa5error\xa2no"[..],
            b"\x83\xacstatement_id\x01\xa8messages\x91\x82\xa5level\xa7warning\xa4text\xa1t",
            b"\xa6series\x90",
        ]
        .concat();
        assert_eq!(out, expected);
    }
}
