//! Symbols: every name, tag key and tag value of a segment once, sorted by bytes.
//!
//! Tag keys and values stand as canonical text holds them, escaped.

use super::layout::{Footer, Section, Span};
use super::pages::Pages;
use crate::codec::Malformed;
use crate::{Error, Result};

/// Encodes sorted symbols: their count, their offsets and the end, four bytes each, then the text.
pub fn encode(symbols: &[&str]) -> Result<Vec<u8>> {
    let text: usize = symbols.iter().map(|symbol| symbol.len()).sum();
    if u32::try_from(text).is_err() {
        return Err(Error::Limit {
            what: "bytes of names and tags in a segment",
            got: text as u64,
            limit: u64::from(u32::MAX),
        });
    }
    let mut out = Vec::with_capacity(text + 4 * symbols.len() + 8);
    let count = u32::try_from(symbols.len()).map_err(|_| Error::Limit {
        what: "names and tags in a segment",
        got: symbols.len() as u64,
        limit: u64::from(u32::MAX),
    })?;
    out.extend(count.to_le_bytes());
    let mut end = 0usize;
    for symbol in symbols.iter().chain([&""]) {
        let offset = u32::try_from(end).expect("the sum was checked");
        out.extend(offset.to_le_bytes());
        end += symbol.len();
    }
    for symbol in symbols {
        out.extend_from_slice(symbol.as_bytes());
    }
    Ok(out)
}

/// Reads symbols by number.
#[derive(Debug, Clone, Copy)]
pub struct Symbols {
    span: Span,
    count: u32,
}

impl Symbols {
    /// The symbols that `footer` names; their count is where the text starts.
    pub fn new(pages: &Pages, footer: &Footer) -> Result<Self> {
        let span = footer.section(Section::Symbols);
        let corrupt = || pages.corrupt(Section::Symbols.name(), span.offset);
        let count = pages.decode(Section::Symbols, span, 0, 4, |bytes| {
            bytes
                .first_chunk()
                .map(|four| u32::from_le_bytes(*four))
                .ok_or(Malformed("symbols without a count"))
        })?;
        if 4 * (u64::from(count) + 2) > span.len {
            return Err(corrupt());
        }
        Ok(Self { span, count })
    }

    /// The symbol's text.
    pub fn text<'a>(&self, pages: &'a Pages, symbol: u32) -> Result<&'a str> {
        let corrupt = |at: u64| pages.corrupt(Section::Symbols.name(), self.span.offset + at);
        let at = 4 + 4 * u64::from(symbol);
        if symbol >= self.count {
            return Err(corrupt(0));
        }
        let two = pages.slice(Section::Symbols, self.span, at, 8)?;
        let (start, end) = two.split_at(4);
        let offset = |four: &[u8]| u64::from(u32::from_le_bytes(four.try_into().expect("4 of 8")));
        let (start, end) = (offset(start), offset(end));
        let len = end.checked_sub(start).ok_or_else(|| corrupt(at))?;
        let text_at = 4 * (u64::from(self.count) + 2) + start;
        let bytes = pages.slice(Section::Symbols, self.span, text_at, len)?;
        std::str::from_utf8(bytes).map_err(|_| corrupt(text_at))
    }
}
