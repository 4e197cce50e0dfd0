//! Statements that were good before a part of them was left out, doubled or replaced.

use super::super::random::Random;

const STOCK: &[&str] = &[
    "SELECT", "FROM", "WHERE", "GROUP", "BY", "fill", "(", ")", ",", "=", "=~", "!~", "time",
    "/a/", "'a'", "\"a\"", "1", "1.5", "10s", "AND", "OR", "*", "-", "LIMIT", "tz('x')", ";",
    "now()", "::", "integer", "mean", "AS", "$x", "INTO", ".", "\u{e9}", "ORDER", "true", "INF",
    "/", "'", "\"",
];

pub(super) fn query(random: &mut Random, good: &str) -> String {
    let mut parts: Vec<String> = parts(good);
    for _ in 0..=random.below(2) {
        if parts.is_empty() {
            break;
        }
        let at = random.below(parts.len());
        match random.below(5) {
            0 => drop(parts.remove(at)),
            1 => parts.insert(at, parts[at].clone()),
            2 if random.is(40) => parts.truncate(at),
            _ => parts[at] = random.one(STOCK).to_owned(),
        }
    }
    // What is sent is trimmed; what is left must be something.
    let query = parts.concat().trim().to_owned();
    if query.is_empty() {
        ";".to_owned()
    } else {
        query
    }
}

/// Words, quoted texts, spaces and signs.
fn parts(text: &str) -> Vec<String> {
    let pattern = r#"'[^']*'|"[^"]*"|\w+|\s+|=~|!~|<=|>=|!=|<>|::|."#;
    let regex = regex::Regex::new(pattern).expect("the pattern is one");
    regex
        .find_iter(text)
        .map(|part| part.as_str().to_owned())
        .collect()
}
