//! Cuts a body into lines: a newline inside a quoted value does not end one.

use memchr::memchr;

/// The next line that is neither blank nor a comment, without white space before it.
pub(super) fn next<'a>(body: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    while *at < body.len() {
        let rest = &body[*at..];
        let start = skip_space(rest, 0);
        let end = if rest.get(start) == Some(&b'#') {
            memchr(b'\n', rest).unwrap_or(rest.len())
        } else {
            end_of_line(rest)
        };
        *at += end + 1;
        let line = rest.get(start..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() && line[0] != b'#' {
            return Some(line);
        }
    }
    None
}

/// The first byte at or behind `at` that is not space, tab or NUL.
pub(super) fn skip_space(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | 0))
        .map_or(bytes.len(), |skipped| at + skipped)
}

/// Where the first line of `rest` ends: at its first newline, unless that may be in a quoted value
/// or behind a `\`.
fn end_of_line(rest: &[u8]) -> usize {
    let end = memchr(b'\n', rest).unwrap_or(rest.len());
    let line = &rest[..end];
    if line.ends_with(b"\\") || memchr(b'"', line).is_some() {
        return end_of_quoted(rest);
    }
    end
}

/// Where a line with quotes or escapes ends. Quotes count only in a field's value, which is to
/// say behind the first space and where there were more `=` than commas.
fn end_of_quoted(rest: &[u8]) -> usize {
    let mut at = 0;
    let mut quoted = false;
    let mut in_fields = false;
    let (mut equals, mut commas) = (0_usize, 0_usize);
    while at < rest.len() {
        match rest[at] {
            b'\\' if at + 2 < rest.len() => {
                at += 2;
                continue;
            }
            b' ' => in_fields = true,
            b'=' if in_fields && !quoted => equals += 1,
            b',' if in_fields && !quoted => commas += 1,
            b'"' if in_fields && equals > commas => quoted = !quoted,
            b'\n' if !quoted => return at,
            _ => {}
        }
        at += 1;
    }
    at
}
