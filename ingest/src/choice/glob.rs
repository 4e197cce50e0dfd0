//! Names with `*` for any text and `?` for any character.

use super::ENTRY_BYTES_MAX;

/// Says what is wrong with an entry.
pub(super) fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("an entry is empty".to_owned());
    }
    if text.len() > ENTRY_BYTES_MAX {
        return Err(format!(
            "an entry of {} bytes, and at most {ENTRY_BYTES_MAX} are taken",
            text.len()
        ));
    }
    if text.starts_with('/') || text.starts_with('^') || text.ends_with('$') {
        return Err(format!(
            "`{text}` looks like a regular expression, and names are expected, with `*` for any text \
             and `?` for any character"
        ));
    }
    let strange = |c: char| c.is_control() || c.is_whitespace() || "[]{}()|,\\\"'`".contains(c);
    match text.chars().find(|c| strange(*c)) {
        Some(c) => Err(format!(
            "`{text}` holds {c:?}, and is no name with `*` for any text and `?` for any character"
        )),
        None => Ok(()),
    }
}

/// Whether all of `text` is as `glob` says.
pub(super) fn fits(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Where the last `*` stands, and how much of the text it is taken for so far.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(b'?') => {
                at += 1;
                from += character_len(&text[from..]);
            }
            Some(byte) if *byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    (at, from) = (star_at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

/// Of a text's first character, with its bytes behind the first.
fn character_len(text: &[u8]) -> usize {
    let behind = text.iter().skip(1);
    1 + behind.take_while(|byte| **byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text_and_question_marks_for_one_character() {
        for (glob, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "", false),
            ("*", "", true),
            ("*", "network/rx", true),
            ("network/*", "network/rx_errors", true),
            ("network/*", "network", false),
            ("*_errors", "network/rx_errors", true),
            ("*_errors", "network/rx_errors_rate", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-", false),
            ("a**", "a", true),
            ("network/?x", "network/tx", true),
            ("network/?x", "network/x", false),
            ("?", "ä", true),
            ("??", "ä", false),
            ("*?", "", false),
            ("*ab", "aab", true),
        ] {
            assert_eq!(fits(glob, text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn what_is_no_name_is_told_apart_before_it_silently_fits_nothing() {
        for (text, why) in [
            ("", "empty"),
            ("/^cpu/", "regular expression"),
            ("^cpu", "regular expression"),
            ("cpu.*$", "regular expression"),
            ("{cpu,memory}/*", "holds '{'"),
            ("cpu/[ab]", "holds '['"),
            ("cpu/usage memory/usage", "holds ' '"),
            (&"x".repeat(ENTRY_BYTES_MAX + 1), "257 bytes"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        for text in ["cpu/usage_ns_cumulative", "memory:usage", "*", "Größe"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }
}
