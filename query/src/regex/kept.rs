//! The patterns that were compiled last: a dashboard asks with the same ones again and again, and
//! compiling one takes longer than testing a cluster's names with it.

use parking_lot::Mutex;
use regex::Regex;

/// So many patterns are kept.
const KEPT_MAX: usize = 32;

/// The largest compiled program that is kept, bytes, and the longest pattern.
pub(super) const KEPT_BYTES_MAX: usize = 64 << 10;

/// A few compiled patterns; the one that was not asked for the longest makes room.
pub(super) struct Kept {
    /// With their text in Go's syntax, the last used at the end.
    patterns: Mutex<Vec<(Box<str>, Regex)>>,
}

impl Kept {
    pub(super) const fn new() -> Self {
        Self {
            patterns: Mutex::new(Vec::new()),
        }
    }

    /// The compiled pattern, where it is kept.
    pub(super) fn get(&self, go: &str) -> Option<Regex> {
        let mut patterns = self.patterns.lock();
        let at = patterns.iter().rposition(|(text, _)| &**text == go)?;
        patterns[at..].rotate_left(1);
        patterns.last().map(|(_, regex)| regex.clone())
    }

    /// Keeps a pattern that was not.
    pub(super) fn put(&self, go: &str, regex: &Regex) {
        if go.len() > KEPT_BYTES_MAX {
            return;
        }
        let mut patterns = self.patterns.lock();
        if patterns.len() == KEPT_MAX {
            patterns.remove(0);
        }
        patterns.push((go.into(), regex.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_not_asked_for_the_longest_makes_room() {
        let kept = Kept::new();
        let regex = |at: usize| Regex::new(&format!("^{at}$")).unwrap();
        for at in 0..KEPT_MAX {
            kept.put(&at.to_string(), &regex(at));
        }
        assert!(kept.get("0").is_some_and(|kept| kept.is_match("0")));
        kept.put("more", &regex(KEPT_MAX));
        let is_kept = |text: &str| kept.get(text).is_some();
        assert!(is_kept("0") && is_kept("more") && is_kept("2"));
        assert!(!is_kept("1"));
        assert_eq!(kept.patterns.lock().len(), KEPT_MAX);
    }

    #[test]
    fn a_pattern_that_is_too_long_is_not_kept() {
        let kept = Kept::new();
        let long = "a".repeat(KEPT_BYTES_MAX + 1);
        kept.put(&long, &Regex::new("a").unwrap());
        assert!(kept.get(&long).is_none());
    }
}
