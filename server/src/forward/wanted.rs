//! Which ways out there should be: those of the settings. Pure.

use plimsoll_engine::READER_NAME_BYTES_MAX;
use plimsoll_engine::ReaderStart;
use plimsoll_ingest::forward::Destination;
use sha2::{Digest, Sha256};

use crate::config::ForwardConfig;
use crate::monitor;

/// What the names of positions begin with, so that others are left alone.
const FORWARD: &str = "forward ";

/// What goes out on a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// These databases; none named: all but the server's own figures.
    Databases(Vec<String>),
}

impl Selection {
    /// Whether points of a policy go out.
    pub(super) fn takes(&self, database: &str) -> bool {
        match self {
            Self::Databases(names) if names.is_empty() => database != monitor::DATABASE,
            Self::Databases(names) => names.iter().any(|name| name == database),
        }
    }
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name of its position in the log.
    pub(super) reader: String,
    /// Where it begins.
    pub(super) start: ReaderStart,
    /// What goes out.
    pub(super) selection: Selection,
    /// Where to: one of them gets it, in turn.
    pub(super) destinations: Vec<Destination>,
}

/// Whether a position in the log is one of a way out.
pub(super) fn is_ours(reader: &str) -> bool {
    reader.starts_with(FORWARD)
}

/// All ways out.
pub(super) fn wanted(config: &ForwardConfig) -> Vec<Wanted> {
    let own = config.destinations.iter().map(|destination| Wanted {
        reader: name(format!("{FORWARD}{destination}")),
        // What came in between the start and now goes out, too.
        start: ReaderStart::Oldest,
        selection: Selection::Databases(config.databases.clone()),
        destinations: vec![destination.clone()],
    });
    own.collect()
}

/// A name that is not too long: its end is replaced by a hash of all of it.
fn name(text: String) -> String {
    if text.len() <= READER_NAME_BYTES_MAX {
        return text;
    }
    let hash: String = Sha256::digest(&text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut end = READER_NAME_BYTES_MAX - hash.len() - 1;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} {hash}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_is_selected_goes_out() {
        let all = Selection::Databases(Vec::new());
        let some = Selection::Databases(vec!["a".to_owned()]);
        for (database, expected) in [
            ("a", [true, true]),
            ("b", [true, false]),
            ("_internal", [false, false]),
        ] {
            let takes = [&all, &some].map(|selection| selection.takes(database));
            assert_eq!(takes, expected, "{database}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_stays_its_own() {
        let long = |end: &str| name(format!("{FORWARD}{}{end}", "ä".repeat(200)));
        assert!(long("1").len() <= READER_NAME_BYTES_MAX && is_ours(&long("1")));
        assert_ne!(long("1"), long("2"));
    }
}
