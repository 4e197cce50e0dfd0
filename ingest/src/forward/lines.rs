//! Batches as line protocol.

use std::io::Write;

use plimsoll_engine::{Batch, FieldValue};

/// Lines, each with its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    text: Vec<u8>,
    /// Where each line ends, behind its `\n`: a text among the fields may hold one, too.
    ends: Vec<usize>,
}

impl Lines {
    /// A line for each point, times in ns.
    pub(super) fn of(batch: &Batch) -> Self {
        let mut lines = Self::default();
        let names: Vec<Names> = batch.names().iter().map(|name| Names::of(name)).collect();
        for point in batch.points() {
            let out = &mut lines.text;
            out.extend_from_slice(names[point.measurement as usize].measurement.as_bytes());
            let tags = batch.tag_sets()[point.tag_set as usize].as_str();
            if !tags.is_empty() {
                out.push(b',');
                // Canonical text is escaped as line protocol is.
                out.extend_from_slice(tags.as_bytes());
            }
            for (index, (field, value)) in point.fields.iter().enumerate() {
                out.push(if index == 0 { b' ' } else { b',' });
                out.extend_from_slice(names[*field as usize].field.as_bytes());
                out.push(b'=');
                put_value(out, value);
            }
            put(out, format_args!(" {}\n", point.time.0));
            lines.ends.push(lines.text.len());
        }
        lines
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The lines one by one.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.text[*start..*end])
    }

    /// Whole lines in order, as many together as the limits allow, one at least.
    pub(super) fn parts(self, bytes_max: usize, lines_max: usize) -> Vec<Self> {
        if self.text.len() <= bytes_max && self.len() <= lines_max {
            return if self.ends.is_empty() {
                Vec::new()
            } else {
                vec![self]
            };
        }
        let mut parts = Vec::new();
        let mut part = Self::default();
        for line in self.each() {
            let is_full = part.text.len() + line.len() > bytes_max || part.len() >= lines_max;
            if is_full && part.len() > 0 {
                parts.push(std::mem::take(&mut part));
            }
            part.push(line);
        }
        if part.len() > 0 {
            parts.push(part);
        }
        parts
    }

    /// Two halves; nothing where there are not two lines.
    pub(super) fn halves(self) -> Option<(Self, Self)> {
        let count = self.len();
        if count < 2 {
            return None;
        }
        let (mut first, mut second) = (Self::default(), Self::default());
        for (index, line) in self.each().enumerate() {
            match index < count / 2 {
                true => first.push(line),
                false => second.push(line),
            }
        }
        Some((first, second))
    }

    fn push(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.ends.push(self.text.len());
    }
}

/// A name in the two places where it may stand.
struct Names {
    measurement: String,
    field: String,
}

impl Names {
    fn of(name: &str) -> Self {
        Self {
            measurement: escaped(name, &[',', ' ']),
            field: escaped(name, &[',', ' ', '=']),
        }
    }
}

fn escaped(name: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn put_value(out: &mut Vec<u8>, value: &FieldValue) {
    match value {
        // The shortest text that is read back as the same number.
        FieldValue::Float(value) => put(out, format_args!("{value:?}")),
        FieldValue::Integer(value) => put(out, format_args!("{value}i")),
        FieldValue::Unsigned(value) => put(out, format_args!("{value}u")),
        FieldValue::Boolean(value) => put(out, format_args!("{value}")),
        FieldValue::String(value) => {
            out.push(b'"');
            for byte in value.bytes() {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes everything");
}
