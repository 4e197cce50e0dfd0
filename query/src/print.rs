//! Trees back to text, as InfluxDB prints them: what it prints parses to an equal tree.

mod expression;
mod statement;

use std::fmt;

use crate::lexer::is_word;
use crate::token::{Token, lookup};

/// `'text'`, with `\n`, `\` and `'` escaped.
pub(crate) fn quote_string(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\'', "\\'");
    format!("'{escaped}'")
}

/// A name, quoted where it must be.
pub(crate) fn quote_identifier(name: &str) -> String {
    if needs_quotes(name) {
        format!("\"{}\"", escape_identifier(name))
    } else {
        name.to_owned()
    }
}

/// `a.b.c`, each quoted as InfluxDB does: all but the last, and whatever needs it.
pub(crate) fn quote_identifiers(segments: &[String]) -> String {
    let last = segments.len().saturating_sub(1);
    let quoted = segments.iter().enumerate().map(|(index, segment)| {
        let quote = needs_quotes(segment) && !segment.is_empty()
            || (index < last && !segment.is_empty())
            || ((index == 0 || index == last) && segment.is_empty());
        if quote {
            format!("\"{}\"", escape_identifier(segment))
        } else {
            segment.clone()
        }
    });
    quoted.collect::<Vec<_>>().join(".")
}

fn escape_identifier(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}

fn needs_quotes(name: &str) -> bool {
    let first_is_digit = name.chars().next().is_none_or(|c| c.is_ascii_digit());
    lookup(name) != Token::Identifier || first_is_digit || !name.chars().all(is_word)
}

/// Writes `items` with `between` them.
fn join<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    between: &str,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}
