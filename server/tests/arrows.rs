//! Crates depend downwards only: server, then ingest and query, then engine, then wal.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

use std::collections::BTreeMap;
use std::path::Path;

use cargo_metadata::MetadataCommand;

/// How high a crate stands; an arrow must lead to a lower one. Nothing may use the benches, so
/// they stand highest.
const LEVELS: [(&str, u8); 6] = [
    ("plimsoll-wal", 1),
    ("plimsoll-engine", 2),
    ("plimsoll-ingest", 3),
    ("plimsoll-query", 3),
    ("plimsoll-server", 4),
    ("plimsoll-benches", 5),
];

/// What only these crates may use: the engine stays synchronous and knows no network, and the log
/// no word of time series.
const KEPT_FROM: [(&str, &[&str]); 3] = [
    (
        "plimsoll-wal",
        &["tokio", "axum", "hyper", "reqwest", "tsz-compress"],
    ),
    ("plimsoll-engine", &["tokio", "axum", "hyper", "reqwest"]),
    ("plimsoll-query", &["tokio", "axum", "hyper", "reqwest"]),
];

#[test]
fn every_arrow_between_crates_leads_down() {
    let metadata = MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo describes the workspace");
    let levels = BTreeMap::from(LEVELS);
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(level) = levels.get(name) else {
            wrong.push(format!("{name} has no place in the order"));
            continue;
        };
        let kept_from = KEPT_FROM.iter().find(|(kept, _)| *kept == name);
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            if levels.get(to).is_some_and(|lower| lower >= level) {
                wrong.push(format!("{name} must not use {to}"));
            }
            if kept_from.is_some_and(|(_, foreign)| foreign.contains(&to)) {
                wrong.push(format!("{name} must not know {to}"));
            }
        }
    }
    assert_eq!(
        metadata.packages.len(),
        LEVELS.len(),
        "crates of the workspace"
    );
    assert_eq!(wrong, Vec::<String>::new());
}
