//! Tag sets in their canonical form.
//!
//! The canonical bytes of a tag set are InfluxDB's series key without the measurement:
//! `key=value,key=value`, sorted by key, with `,` `=` and space escaped by `\`. Comparing them
//! bytewise gives InfluxDB's order of series. The empty tag set is the empty text.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use memchr::{memchr, memchr2, memchr3, memmem};

/// A tag set in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TagSet(Arc<str>);

/// Why some tags do not make a tag set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagsError {
    /// A key stands twice.
    #[error("duplicate tags")]
    Duplicate,
    /// A key is empty.
    #[error("missing tag key")]
    MissingKey,
    /// A value is empty.
    #[error("missing tag value")]
    MissingValue,
}

impl TagSet {
    /// Takes text that is canonical already: sorted, escaped, without duplicates.
    ///
    /// The caller vouches for it (it came from a [`TagSetBuilder`], a segment or the log).
    #[must_use]
    pub fn from_canonical(text: &str) -> Self {
        Self(text.into())
    }

    /// Makes a tag set of unescaped pairs in any order; pairs with an empty value are dropped.
    ///
    /// # Errors
    /// [`TagsError::Duplicate`] and [`TagsError::MissingKey`].
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, TagsError> {
        let mut builder = TagSetBuilder::default();
        for (key, value) in pairs {
            if !value.is_empty() {
                builder.push(key, value)?;
            }
        }
        Ok(Self(builder.finish()?.into()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a clone of `other`, or the other way round: equal without a look at the text.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The pairs, unescaped, in key order.
    pub fn pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        pairs(&self.0)
    }

    /// The value of `key`, if the tag set has it.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Cow<'_, str>> {
        self.pairs().find(|(k, _)| k == key).map(|(_, v)| v)
    }
}

impl fmt::Display for TagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Finds the value of one tag in canonical texts, without reading the pairs before it.
#[derive(Debug)]
pub struct TagFinder {
    key: Box<str>,
    /// `,key=`
    needle: memmem::Finder<'static>,
}

impl TagFinder {
    /// A finder of `key`, which is unescaped.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self {
            key: key.into(),
            needle: memmem::Finder::new(format!(",{key}=").as_bytes()).into_owned(),
        }
    }

    /// The value of the tag as it stands in canonical text, escaped.
    #[must_use]
    pub fn find<'a>(&self, canonical: &'a str) -> Option<&'a str> {
        let bytes = canonical.as_bytes();
        if memchr(b'\\', bytes).is_some() {
            // Where something is escaped, a comma need not end a pair.
            let mut pairs = raw_pairs(canonical);
            return pairs
                .find(|(key, _)| unescaped(key) == *self.key)
                .map(|(_, value)| value);
        }
        let needle = self.needle.needle();
        let start = if bytes.starts_with(&needle[1..]) {
            needle.len() - 1
        } else {
            self.needle.find(bytes)? + needle.len()
        };
        let rest = &canonical[start..];
        let end = memchr(b',', rest.as_bytes()).unwrap_or(rest.len());
        Some(&rest[..end])
    }

    /// A value that was found, without its escapes.
    #[must_use]
    pub fn unescaped(raw: &str) -> Cow<'_, str> {
        unescaped(raw)
    }
}

/// The pairs of canonical text, unescaped, in key order.
pub fn pairs(canonical: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let mut rest = canonical;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (key, after) = token(rest, b'=');
        let (value, after) = token(after, b',');
        rest = after;
        Some((key, value))
    })
}

/// The pairs of canonical text as they stand there, escaped, in key order.
pub(crate) fn raw_pairs(canonical: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = canonical;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (key, after) = raw_token(rest, b'=');
        let (value, after) = raw_token(after, b',');
        rest = after;
        Some((key, value))
    })
}

/// Splits `text` at the first unescaped `end`, unescaping what stands before it.
fn token(text: &str, end: u8) -> (Cow<'_, str>, &str) {
    let (raw, rest) = raw_token(text, end);
    (unescaped(raw), rest)
}

/// Splits `text` at the first unescaped `end`.
fn raw_token(text: &str, end: u8) -> (&str, &str) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr2(end, b'\\', &bytes[at..]) {
        let here = at + found;
        if bytes[here] == end {
            return (&text[..here], &text[here + 1..]);
        }
        at = here + 1 + usize::from(is_escape(bytes, here));
    }
    (text, "")
}

/// A key or value of canonical text, without its escapes.
pub(crate) fn unescaped(raw: &str) -> Cow<'_, str> {
    if raw.contains('\\') {
        Cow::Owned(unescape(raw))
    } else {
        Cow::Borrowed(raw)
    }
}

/// Whether a `\` at `at` escapes the byte behind it.
fn is_escape(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'\\' && matches!(bytes.get(at + 1), Some(b',' | b'=' | b' '))
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(&next @ (',' | '=' | ' '))) => {
                out.push(next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// Collects pairs into canonical text; reusable, so that a parser allocates once.
#[derive(Debug, Default)]
pub struct TagSetBuilder {
    pairs: Vec<(String, String)>,
    text: String,
}

impl TagSetBuilder {
    /// Starts afresh.
    pub fn clear(&mut self) {
        self.pairs.clear();
        self.text.clear();
    }

    /// Adds an unescaped pair.
    ///
    /// # Errors
    /// [`TagsError::MissingKey`] and [`TagsError::MissingValue`] where one is empty.
    pub fn push(&mut self, key: &str, value: &str) -> Result<(), TagsError> {
        if key.is_empty() {
            return Err(TagsError::MissingKey);
        }
        if value.is_empty() {
            return Err(TagsError::MissingValue);
        }
        self.pairs.push((key.to_owned(), value.to_owned()));
        Ok(())
    }

    /// The canonical text of the pairs so far.
    ///
    /// # Errors
    /// [`TagsError::Duplicate`] where a key stands twice.
    pub fn finish(&mut self) -> Result<&str, TagsError> {
        self.pairs
            .sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        if self.pairs.windows(2).any(|two| two[0].0 == two[1].0) {
            return Err(TagsError::Duplicate);
        }
        self.text.clear();
        for (index, (key, value)) in self.pairs.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            escape(key, &mut self.text);
            self.text.push('=');
            escape(value, &mut self.text);
        }
        Ok(&self.text)
    }
}

/// Appends a key or value as canonical text holds it.
pub(crate) fn escape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = memchr3(b',', b'=', b' ', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push('\\');
        out.push_str(&rest[at..=at]);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_escaped_and_read_back() {
        let tags = TagSet::from_pairs([("b", "x y"), ("a,=", "1=2"), ("c", "")]).unwrap();
        assert_eq!(tags.as_str(), r"a\,\==1\=2,b=x\ y");
        let back: Vec<_> = tags
            .pairs()
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        assert_eq!(
            back,
            [
                ("a,=".into(), "1=2".into()),
                ("b".to_owned(), "x y".to_owned())
            ]
        );
        assert_eq!(tags.value("b").as_deref(), Some("x y"));
    }

    #[test]
    fn a_finder_answers_what_the_pairs_say() {
        let hostile = [
            ",b=", "b", "a", "a,b", "=", "b=", "\\", "x\\", ",", " b", "a\\,b=c", "ü",
        ];
        for key in hostile {
            let finder = TagFinder::new(key);
            for other in hostile {
                for value in hostile {
                    let pairs = [(other, value), ("b", "1"), (key, value)];
                    let Ok(tags) = TagSet::from_pairs(pairs[..2].iter().copied()) else {
                        continue;
                    };
                    let found = finder.find(tags.as_str()).map(TagFinder::unescaped);
                    assert_eq!(found, tags.value(key), "{key:?} in {tags}");
                }
            }
        }
        assert_eq!(TagFinder::new("a").find(""), None);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        assert_eq!(
            TagSet::from_pairs([("a", "1"), ("a", "2")]),
            Err(TagsError::Duplicate)
        );
    }

    #[test]
    fn the_empty_tag_set_has_no_pairs() {
        assert_eq!(TagSet::default().pairs().count(), 0);
    }
}
