//! The real payloads that lie beside the checkout, where they do.

use std::path::Path;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");

/// The texts of `names`; nothing, and a line that says so, where the folder is not there.
pub(crate) fn payloads(test: &str, names: &[&str]) -> Option<Vec<(String, String)>> {
    if !Path::new(FOLDER).exists() {
        println!("SKIPPED {test} ../shared/data is not there");
        return None;
    }
    let read = |name: &&str| {
        let path = Path::new(FOLDER).join(name);
        ((*name).to_owned(), std::fs::read_to_string(path).unwrap())
    };
    Some(names.iter().map(read).collect())
}
