//! Go's regular expressions (RE2) in Rust's `regex`.
//!
//! What differs is translated: `\Q…\E` quotes; `{` that begins no repetition is itself; `\d` `\w`
//! `\s` `\b` are ASCII; `\C` does not exist. See docs/influxql.md.

mod kept;

use std::fmt;

use self::kept::{KEPT_BYTES_MAX, Kept};
use regex_syntax::ast::{Ast, RepetitionKind, RepetitionRange};

/// Why a regular expression does not compile, in one line and in Go's words where it has some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexError {
    reason: String,
    /// The part that is wrong.
    part: String,
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.reason, self.part)
    }
}

impl std::error::Error for RegexError {}

/// The largest compiled program, bytes: a hostile pattern is refused, not compiled for ever.
pub const REGEX_BYTES_MAX: usize = 10 << 20;

static KEPT: Kept = Kept::new();

/// Compiles Go's syntax.
///
/// # Errors
/// [`RegexError`] where Go would refuse it too, or where it is over [`REGEX_BYTES_MAX`].
pub fn compile(go: &str) -> Result<regex::Regex, RegexError> {
    if let Some(regex) = KEPT.get(go) {
        return Ok(regex);
    }
    let (rust, open_class) = translate_classes(go);
    if let Some(start) = open_class {
        return Err(RegexError {
            reason: "missing closing ]".to_owned(),
            part: go.chars().skip(start).collect(),
        });
    }
    let ast = regex_syntax::ast::parse::Parser::new()
        .parse(&rust)
        .map_err(|error| syntax_error(go, &rust, &error))?;
    regex_syntax::ast::visit(&ast, Repetitions { rust: &rust })?;
    let of_size = |max| regex::RegexBuilder::new(&rust).size_limit(max).build();
    if let Ok(small) = of_size(KEPT_BYTES_MAX) {
        KEPT.put(go, &small);
        return Ok(small);
    }
    of_size(REGEX_BYTES_MAX).map_err(|error| RegexError {
        reason: match error {
            regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or("invalid");
                last.trim_start_matches("error: ").to_owned()
            }
        },
        part: go.to_owned(),
    })
}

/// The most that `{n}` may say, in Go.
const REPEAT_MAX: u32 = 1_000;

/// Looks for repetitions that Rust takes and Go does not.
struct Repetitions<'a> {
    rust: &'a str,
}

impl Repetitions<'_> {
    fn error(&self, reason: &str, start: usize, end: usize) -> RegexError {
        RegexError {
            reason: reason.to_owned(),
            part: self.rust.get(start..end).unwrap_or_default().to_owned(),
        }
    }
}

impl regex_syntax::ast::Visitor for Repetitions<'_> {
    type Output = ();
    type Err = RegexError;

    fn finish(self) -> Result<(), RegexError> {
        Ok(())
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<(), RegexError> {
        let Ast::Repetition(outer) = ast else {
            return Ok(());
        };
        let span = outer.op.span;
        if let Ast::Repetition(inner) = &*outer.ast {
            let start = inner.op.span.start.offset;
            let reason = "invalid nested repetition operator";
            return Err(self.error(reason, start, span.end.offset));
        }
        let most = match &outer.op.kind {
            RepetitionKind::Range(RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n)) => *n,
            RepetitionKind::Range(RepetitionRange::Bounded(_, n)) => *n,
            _ => 0,
        };
        if most > REPEAT_MAX {
            let reason = "invalid repeat count";
            return Err(self.error(reason, span.start.offset, span.end.offset));
        }
        Ok(())
    }
}

/// Go's text for what is wrong with the syntax.
fn syntax_error(go: &str, rust: &str, error: &regex_syntax::ast::Error) -> RegexError {
    use regex_syntax::ast::ErrorKind;
    let (start, end) = (error.span().start.offset, error.span().end.offset);
    let part = rust.get(start..end).unwrap_or_default();
    let (reason, part) = match error.kind() {
        ErrorKind::GroupUnclosed => ("missing closing )", go),
        ErrorKind::GroupUnopened => ("unexpected )", go),
        ErrorKind::ClassRangeInvalid => ("invalid character class range", part),
        ErrorKind::EscapeUnexpectedEof => ("trailing backslash at end of expression", ""),
        ErrorKind::EscapeUnrecognized | ErrorKind::UnsupportedBackreference => {
            ("invalid escape sequence", part)
        }
        ErrorKind::UnsupportedLookAround => ("invalid or unsupported Perl syntax", part),
        ErrorKind::RepetitionMissing => {
            let operator = rust.get(start..).and_then(|rest| rest.get(..1));
            (
                "missing argument to repetition operator",
                operator.unwrap_or_default(),
            )
        }
        ErrorKind::RepetitionCountInvalid => ("invalid repeat count", part),
        kind => {
            return RegexError {
                reason: kind.to_string(),
                part: go.to_owned(),
            };
        }
    };
    RegexError {
        reason: reason.to_owned(),
        part: part.to_owned(),
    }
}

/// Go's syntax in Rust's.
#[must_use]
pub fn translate(go: &str) -> String {
    translate_classes(go).0
}

/// The translation, and where in `go` a class begins that has no end, in characters.
fn translate_classes(go: &str) -> (String, Option<usize>) {
    let mut out = String::with_capacity(go.len() + 8);
    let characters: Vec<char> = go.chars().collect();
    let mut at = 0;
    let mut class_start = None;
    while at < characters.len() {
        let character = characters[at];
        match character {
            '\\' => at += escape(&characters[at..], class_start.is_some(), &mut out),
            '[' if class_start.is_none() => {
                let len = class_open(&characters[at..], &mut out);
                class_start = Some(at);
                at += len;
            }
            '[' if characters.get(at + 1) == Some(&':') => {
                // [:alpha:] inside a class.
                let end = characters[at..]
                    .windows(2)
                    .position(|two| two == [':', ']']);
                let end = end.map_or(at + 1, |end| at + end + 2);
                out.extend(&characters[at..end]);
                at = end;
            }
            '[' => {
                out.push_str("\\[");
                at += 1;
            }
            ']' if class_start.is_some() => {
                class_start = None;
                out.push(']');
                at += 1;
            }
            '&' | '~' if class_start.is_some() => {
                // Rust's && and ~~ are set operations; Go's are characters.
                out.push('\\');
                out.push(character);
                at += 1;
            }
            '-' if class_start.is_some() && characters.get(at + 1) == Some(&'-') => {
                out.push_str("\\-");
                at += 1;
            }
            '{' if class_start.is_none() && !is_repetition(&characters[at..]) => {
                out.push_str("\\{");
                at += 1;
            }
            '}' if class_start.is_none() && !closes_repetition(&out) => {
                out.push_str("\\}");
                at += 1;
            }
            _ => {
                out.push(character);
                at += 1;
            }
        }
    }
    (out, class_start)
}

/// The opening of a class: `[`, `[^`, and a `]` right behind, which is a character.
fn class_open(rest: &[char], out: &mut String) -> usize {
    out.push('[');
    let mut len = 1;
    if rest.get(len) == Some(&'^') {
        out.push('^');
        len += 1;
    }
    if rest.get(len) == Some(&']') {
        out.push_str("\\]");
        len += 1;
    }
    len
}

/// Translates an escape; answers how many characters it took.
fn escape(rest: &[char], in_class: bool, out: &mut String) -> usize {
    let Some(next) = rest.get(1) else {
        out.push('\\');
        return 1;
    };
    let class = |inside: &str, outside: &str| {
        if in_class {
            inside.to_owned()
        } else {
            outside.to_owned()
        }
    };
    let text = match next {
        'Q' => {
            let end = rest.windows(2).position(|two| two == ['\\', 'E']);
            let quoted: String = rest[2..end.unwrap_or(rest.len())].iter().collect();
            out.push_str(&regex::escape(&quoted));
            return end.map_or(rest.len(), |end| end + 2);
        }
        'd' => class("0-9", "[0-9]"),
        'D' => "[^0-9]".to_owned(),
        'w' => class("0-9A-Za-z_", "[0-9A-Za-z_]"),
        'W' => "[^0-9A-Za-z_]".to_owned(),
        's' => class("\\t\\n\\x0c\\r ", "[\\t\\n\\x0c\\r ]"),
        'S' => "[^\\t\\n\\x0c\\r ]".to_owned(),
        'b' => "(?-u:\\b)".to_owned(),
        // Rust allows an ASCII \B only on bytes; the Unicode one differs beside letters like é.
        'B' => "\\B".to_owned(),
        'z' => "\\z".to_owned(),
        'A' => "\\A".to_owned(),
        '0'..='7' if rest.get(2).is_some_and(|c| ('0'..='7').contains(c)) || *next == '0' => {
            return octal(rest, out);
        }
        // Go lets any punctuation be escaped; \< and \> mean something else in Rust.
        '<' | '>' | ' ' => next.to_string(),
        other => {
            out.push('\\');
            out.push(*other);
            return 2;
        }
    };
    out.push_str(&text);
    2
}

/// `\123` and `\0`: a character by its octal number.
fn octal(rest: &[char], out: &mut String) -> usize {
    let digits: String = rest[1..]
        .iter()
        .take(3)
        .take_while(|c| ('0'..='7').contains(*c))
        .collect();
    let number = u32::from_str_radix(&digits, 8).unwrap_or(0);
    out.push_str(&format!("\\x{{{number:x}}}"));
    1 + digits.len()
}

/// Whether `{` begins `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(rest: &[char]) -> bool {
    let Some(end) = rest.iter().position(|c| *c == '}') else {
        return false;
    };
    let inner: String = rest[1..end].iter().collect();
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match inner.split_once(',') {
        None => digits(&inner),
        Some((from, "")) => digits(from),
        Some((from, to)) => digits(from) && digits(to),
    }
}

/// Whether the `}` that follows `out` closes something that was opened unescaped.
fn closes_repetition(out: &str) -> bool {
    let Some(open) = out.rfind('{') else {
        return false;
    };
    let is_escaped = out[..open].ends_with('\\');
    let inner = &out[open + 1..];
    let is_escape_braces = out[..open].ends_with("\\x")
        || out[..open].ends_with("\\p")
        || out[..open].ends_with("\\P");
    !inner.contains('}')
        && (is_escape_braces
            || (!is_escaped && inner.chars().all(|c| c.is_ascii_digit() || c == ',')))
}

/// What a regular expression matches, where that is plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Exactly these texts, sorted, each once.
    Set(Vec<String>),
    /// Everything.
    Everything,
    /// Something else.
    Other,
}

/// Recognises `^(a|b\.c)$`, `^a$`, `/.*/` and the like, so that they become look-ups.
#[must_use]
pub fn shape(go: &str) -> Shape {
    if matches!(go, "" | ".*" | "^.*" | ".*$" | "^.*$" | "^" | "$") {
        return Shape::Everything;
    }
    let Some(inner) = go.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')) else {
        return Shape::Other;
    };
    // The $ must not be escaped.
    if inner.ends_with('\\') {
        return Shape::Other;
    }
    let inner = strip_group(inner).unwrap_or(inner);
    let mut found = Vec::new();
    for part in split_alternatives(inner) {
        match literal(part) {
            Some(text) => found.push(text),
            None => return Shape::Other,
        }
    }
    // `^a|b$` is (^a)|(b$): only a group makes alternatives of the whole.
    if found.len() > 1 && strip_group(&go[1..go.len() - 1]).is_none() {
        return Shape::Other;
    }
    found.sort();
    found.dedup();
    Shape::Set(found)
}

fn strip_group(text: &str) -> Option<&str> {
    let inner = text
        .strip_prefix("(?:")
        .or_else(|| text.strip_prefix('('))?;
    inner
        .strip_suffix(')')
        .filter(|inner| !inner.ends_with('\\'))
}

fn split_alternatives(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '|' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The text that a pattern without any operator stands for.
fn literal(part: &str) -> Option<String> {
    let mut text = String::with_capacity(part.len());
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                c if c.is_ascii_punctuation() => text.push(c),
                _ => return None,
            },
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' | '|' => {
                return None;
            }
            _ => text.push(character),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_patterns_match_as_in_go() {
        for (pattern, text, matches) in [
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"{x", "a{xb", true),
            (r"a{2}", "aa", true),
            (r"${var}", "${var}", false),
            (r"\d", "٣", false),
            (r"\w", "é", false),
            (r"[\d.]+", "1.2", true),
            (r"[[:alpha:]]+", "abc", true),
            (r"[]a]", "]", true),
            (r"[a&&b]", "&", true),
            (r"(?i)CPU", "cpu", true),
            (r"\.", ".", true),
            (r"\x{41}", "A", true),
            (r"\pL", "é", true),
            (r"\<a\>\ \_\%", "<a> _%", true),
            (r"[\<]", "<", true),
            (r"a\{b}", "a{b}", true),
        ] {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(regex.is_match(text), matches, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_bad_pattern_is_refused_in_gos_words() {
        for (pattern, message) in [
            ("a(b", "missing closing ): `a(b`"),
            ("a)b", "unexpected ): `a)b`"),
            ("x[a", "missing closing ]: `[a`"),
            (r"\d[]a", "missing closing ]: `[]a`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a|+", "missing argument to repetition operator: `+`"),
            (r"\8", r"invalid escape sequence: `\8`"),
            ("a(?=b)", "invalid or unsupported Perl syntax: `(?=`"),
            ("a\\", "trailing backslash at end of expression: ``"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}*?", "invalid nested repetition operator: `{2}*?`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{2,1}", "invalid repeat count: `{2,1}`"),
            ("(?:a{999}){999}", "expression too large: `(?:a{999}){999}`"),
        ] {
            let Err(error) = compile(pattern) else {
                panic!("{pattern} compiled")
            };
            assert_eq!(
                error.to_string(),
                format!("error parsing regexp: {message}")
            );
        }
    }

    #[test]
    fn sets_and_everything_are_recognised() {
        let set = |texts: &[&str]| Shape::Set(texts.iter().map(|t| (*t).to_owned()).collect());
        for (pattern, expected) in [
            (r"^(a|b\.c)$", set(&["a", "b.c"])),
            ("^a$", set(&["a"])),
            ("^(?:b|a|b)$", set(&["a", "b"])),
            ("^$", set(&[""])),
            (".*", Shape::Everything),
            ("", Shape::Everything),
            ("^a|b$", Shape::Other),
            ("^(a|b)(c)$", Shape::Other),
            (r"^a\$", Shape::Other),
            ("^a.c$", Shape::Other),
            ("a", Shape::Other),
            (r"^(a\|b)$", set(&["a|b"])),
        ] {
            assert_eq!(shape(pattern), expected, "{pattern}");
        }
    }
}
