//! InfluxDB's own walk over fields, byte for byte, so that a fault gets its text.
//!
//! Slow and exact: only lines that the quick reader does not take come here.

use super::Reason;

/// Digits of the longest i64 and u64 that need no check of their range.
const INTEGER_BYTES_SAFE: usize = 18;
const UNSIGNED_BYTES_SAFE: usize = 19;

/// Finds where the fields end that start at `start`, or the first fault.
pub(super) fn fields(line: &[u8], start: usize) -> Result<usize, Reason> {
    let mut at = start;
    let mut quoted = false;
    let (mut equals, mut commas) = (0_usize, 0_usize);
    while at < line.len() {
        let byte = line[at];
        if byte == b'\\' && at + 1 < line.len() {
            at += 2;
            continue;
        }
        if byte == b'"' && equals > commas {
            quoted = !quoted;
            at += 1;
            continue;
        }
        if byte == b'=' && !quoted {
            equals += 1;
            if let Some(value_end) = value(line, at)? {
                at = value_end;
                continue;
            }
        }
        if byte == b',' && !quoted {
            commas += 1;
        }
        if byte == b' ' && !quoted {
            break;
        }
        at += 1;
    }
    if quoted {
        return Err(Reason::UnbalancedQuotes);
    }
    if equals == 0 || commas != equals - 1 {
        return Err(Reason::InvalidFieldFormat);
    }
    Ok(at)
}

/// Checks what stands around the `=` at `at`; tells where the value ends, unless it is quoted.
fn value(line: &[u8], at: usize) -> Result<Option<usize>, Reason> {
    let before = |back: usize| at.checked_sub(back).map(|index| line[index]);
    if matches!(before(1), Some(b' ' | b',')) && before(2) != Some(b'\\') {
        return Err(Reason::MissingFieldKey);
    }
    match line.get(at + 1) {
        None | Some(b',' | b' ') => Err(Reason::MissingFieldValue),
        Some(b'"') => Ok(None),
        Some(b'0'..=b'9' | b'.' | b'-' | b'N' | b'n') => number(line, at + 1).map(Some),
        Some(_) => boolean(line, at + 1).map(Some),
    }
}

fn number(line: &[u8], start: usize) -> Result<usize, Reason> {
    let invalid = Err(Reason::InvalidNumber);
    let mut at = start;
    if line[at] == b'-' {
        at += 1;
        if at == line.len() {
            return invalid;
        }
    }
    let (mut integer, mut unsigned) = (false, false);
    let (mut decimal, mut scientific) = (false, false);
    while let Some(&byte) = line.get(at) {
        match byte {
            b',' | b' ' => break,
            b'i' if at > start && !integer && !unsigned => integer = true,
            b'u' if at > start && !integer && !unsigned => unsigned = true,
            b'.' if decimal => return invalid,
            b'.' => decimal = true,
            b'e' | b'E' if at > start => scientific = true,
            b'+' | b'-' if at > start && matches!(line[at - 1], b'e' | b'E') => {}
            b'0'..=b'9' => {}
            _ => return invalid,
        }
        at += 1;
    }
    if (integer || unsigned) && (decimal || scientific) {
        return invalid;
    }
    let text = &line[start..at];
    let unneeded = usize::from(integer) + usize::from(decimal) + usize::from(text[0] == b'-');
    if text.len() == unneeded {
        return invalid;
    }
    let (last, head) = text.split_last().ok_or(Reason::InvalidNumber)?;
    let digits = || String::from_utf8_lossy(head).into_owned();
    if integer {
        if *last != b'i' {
            return invalid;
        }
        if head.len() > INTEGER_BYTES_SAFE && lexical_core::parse::<i64>(head).is_err() {
            return Err(Reason::IntegerOutOfRange { digits: digits() });
        }
    } else if unsigned {
        if *last != b'u' || text[0] == b'-' {
            return invalid;
        }
        if head.len() > UNSIGNED_BYTES_SAFE && lexical_core::parse::<u64>(head).is_err() {
            return Err(Reason::UnsignedOutOfRange { digits: digits() });
        }
    } else if !lexical_core::parse::<f64>(text).is_ok_and(f64::is_finite) {
        return Err(Reason::InvalidFloat);
    }
    Ok(at)
}

fn boolean(line: &[u8], start: usize) -> Result<usize, Reason> {
    let len = line[start..]
        .iter()
        .position(|byte| matches!(byte, b',' | b' '))
        .unwrap_or(line.len() - start);
    match &line[start..start + len] {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" | b"f" | b"F" | b"false" | b"False"
        | b"FALSE" => Ok(start + len),
        _ => Err(Reason::InvalidBoolean),
    }
}

/// One field, and what stands behind its comma.
pub(super) struct Split<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) rest: &'a [u8],
}

/// Splits the first field off `fields`, which [`fields()`] has passed.
pub(super) fn split_field(fields: &[u8]) -> Result<Split<'_>, Reason> {
    let equals = (0..fields.len())
        .find(|at| fields[*at] == b'=' && (*at == 0 || fields[at - 1] != b'\\'))
        .filter(|equals| equals + 1 < fields.len())
        .ok_or_else(|| Reason::InvalidValue {
            key: String::from_utf8_lossy(fields).into_owned(),
        })?;
    let start = equals + 1;
    let mut at = start;
    let mut quoted = false;
    while at < fields.len() {
        match fields[at] {
            b'\\' if matches!(fields.get(at + 1), Some(b'"' | b'\\')) => at += 1,
            b'"' => quoted = !quoted,
            b',' if !quoted => break,
            _ => {}
        }
        at += 1;
    }
    let at = at.min(fields.len());
    Ok(Split {
        key: &fields[..equals],
        value: &fields[start..at],
        rest: fields.get(at + 1..).unwrap_or_default(),
    })
}
