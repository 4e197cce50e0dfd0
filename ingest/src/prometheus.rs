//! The Prometheus text format 0.0.4, and OpenMetrics where it differs.
//!
//! Borrows all it can from the text; a line that does not parse harms no other line. Types and
//! help are not read: what a metric means is known by its name.
//!
//! ```
//! use plimsoll_ingest::prometheus;
//!
//! let text = "# TYPE up gauge\nup{job=\"kubelet\"} 1 1700000000000\n";
//! let mut seen = Vec::new();
//! let parsed = prometheus::parse(text, |sample| {
//!     seen.push(format!("{} {:?} {}", sample.name, sample.label("job"), sample.value));
//! });
//! assert_eq!(seen, [r#"up Some("kubelet") 1"#]);
//! assert_eq!(parsed.error, None);
//! ```

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

#[cfg(test)]
mod tests;

/// One label: its name and value.
pub type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// One sample of the text `'a`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'s, 'a> {
    /// The metric's name.
    pub name: &'s str,
    /// Its labels in the order of the text, unescaped; empty values are here too.
    pub labels: &'s [Label<'a>],
    /// The value, which may be infinite or not a number.
    pub value: f64,
    /// The sample's own time, ms since 1970 UTC.
    pub timestamp_ms: Option<i64>,
}

impl Sample<'_, '_> {
    /// The value of a label; an empty one is an absent one.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(label, value)| label == name && !value.is_empty())
            .map(|(_, value)| value.as_ref())
    }
}

/// How much of a text was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// Samples that were visited.
    pub samples: usize,
    /// Lines that do not parse.
    pub rejected: usize,
    /// The first of those.
    pub error: Option<Error>,
}

/// A line that does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Error {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not start with a metric's name.
    #[error("a metric's name is expected at its start")]
    Name,
    /// Its labels are not `{name="value",…}`, or do not end.
    #[error("its labels are not of the form {{name=\"value\",…}}")]
    Labels,
    /// Its value is missing or no number.
    #[error("its value is not a number")]
    Value,
    /// Something that is no time stands behind its value.
    #[error("its time is not a number of milliseconds")]
    Time,
}

/// Visits each sample of `text`.
///
/// Times are ms; in OpenMetrics, which ends with `# EOF`, they are seconds and are turned into
/// ms. Exemplars are skipped.
pub fn parse<'a>(text: &'a str, mut visit: impl FnMut(&Sample<'_, 'a>)) -> Parsed {
    let is_open_metrics = text.trim_end().ends_with("# EOF");
    let mut parsed = Parsed::default();
    let mut labels = Vec::new();
    let mut rest = text;
    let mut line_number = 0;
    while !rest.is_empty() {
        line_number += 1;
        let end = memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let line = rest[..end].trim_matches([' ', '\t', '\r']);
        rest = rest.get(end + 1..).unwrap_or_default();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        labels.clear();
        match parse_line(line, is_open_metrics, &mut labels) {
            Ok((name, value, timestamp_ms)) => {
                parsed.samples += 1;
                visit(&Sample {
                    name: &name,
                    labels: &labels,
                    value,
                    timestamp_ms,
                });
            }
            Err(fault) => {
                parsed.rejected += 1;
                parsed.error.get_or_insert(Error {
                    line: line_number,
                    fault,
                });
            }
        }
    }
    parsed
}

type Line<'a> = (Cow<'a, str>, f64, Option<i64>);

fn parse_line<'a>(
    line: &'a str,
    is_open_metrics: bool,
    labels: &mut Vec<Label<'a>>,
) -> Result<Line<'a>, Fault> {
    let name_len = memchr3(b'{', b' ', b'\t', line.as_bytes()).ok_or(Fault::Value)?;
    let mut name = Cow::Borrowed(&line[..name_len]);
    let mut rest = line[name_len..].trim_start_matches([' ', '\t']);
    if let Some(inside) = rest.strip_prefix('{') {
        let (quoted_name, behind) = parse_labels(inside, labels)?;
        rest = behind;
        if let Some(quoted) = quoted_name {
            if !name.is_empty() {
                return Err(Fault::Labels);
            }
            name = quoted;
        }
    }
    if name.is_empty() {
        return Err(Fault::Name);
    }
    // An exemplar: ` # {trace_id="…"} 1 1700000000`.
    if let Some(exemplar) = memchr(b'#', rest.as_bytes()) {
        rest = &rest[..exemplar];
    }
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().ok_or(Fault::Value)?;
    let value: f64 = lexical_core::parse(value.as_bytes()).map_err(|_| Fault::Value)?;
    let timestamp_ms = words
        .next()
        .map(|word| parse_time(word, is_open_metrics))
        .transpose()?;
    if words.next().is_some() {
        return Err(Fault::Time);
    }
    Ok((name, value, timestamp_ms))
}

fn parse_time(word: &str, is_seconds: bool) -> Result<i64, Fault> {
    if !is_seconds {
        return lexical_core::parse(word.as_bytes()).map_err(|_| Fault::Time);
    }
    let seconds: f64 = lexical_core::parse(word.as_bytes()).map_err(|_| Fault::Time)?;
    crate::number::rounded(seconds * 1_000.0).ok_or(Fault::Time)
}

/// Parses labels behind their `{`; answers a metric's name that stands quoted among them, and
/// what is behind the `}`.
fn parse_labels<'a>(
    mut rest: &'a str,
    labels: &mut Vec<Label<'a>>,
) -> Result<(Option<Cow<'a, str>>, &'a str), Fault> {
    let mut quoted_name = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((quoted_name, behind));
        }
        let label;
        if let Some(inside) = rest.strip_prefix('"') {
            let (text, behind) = quoted(inside)?;
            rest = behind.trim_start_matches([' ', '\t']);
            if rest.starts_with([',', '}']) && quoted_name.is_none() {
                quoted_name = Some(text);
                rest = rest.strip_prefix(',').unwrap_or(rest);
                continue;
            }
            label = text;
        } else {
            let equals = memchr(b'=', rest.as_bytes()).ok_or(Fault::Labels)?;
            let text = rest[..equals].trim_end_matches([' ', '\t']);
            if text.is_empty() || text.contains(['"', '{', '}', ',']) {
                return Err(Fault::Labels);
            }
            label = Cow::Borrowed(text);
            rest = &rest[equals..];
        }
        let inside = rest
            .strip_prefix('=')
            .map(|behind| behind.trim_start_matches([' ', '\t']))
            .and_then(|behind| behind.strip_prefix('"'))
            .ok_or(Fault::Labels)?;
        let (value, behind) = quoted(inside)?;
        labels.push((label, value));
        rest = behind.trim_start_matches([' ', '\t']);
        match rest.as_bytes().first() {
            Some(b',') => rest = &rest[1..],
            Some(b'}') => {}
            _ => return Err(Fault::Labels),
        }
    }
}

/// Reads up to the closing quote; answers the text, unescaped, and what is behind the quote.
fn quoted(inside: &str) -> Result<(Cow<'_, str>, &str), Fault> {
    let end = memchr2(b'"', b'\\', inside.as_bytes()).ok_or(Fault::Labels)?;
    if inside.as_bytes()[end] == b'"' {
        return Ok((Cow::Borrowed(&inside[..end]), &inside[end + 1..]));
    }
    let mut text = inside[..end].to_owned();
    let mut chars = inside[end..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Cow::Owned(text), &inside[end + at + 1..])),
            '\\' => match chars.next().ok_or(Fault::Labels)?.1 {
                'n' => text.push('\n'),
                c @ ('"' | '\\') => text.push(c),
                other => text.extend(['\\', other]),
            },
            c => text.push(c),
        }
    }
    Err(Fault::Labels)
}
