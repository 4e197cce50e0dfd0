//! Deviations by fixed statements over a few fixed points, with the literal answers of both sides.
//!
//! `pinned.txt` has an entry for each: `# name`, lines of points behind `write` or `write other` (the
//! policy), `ask` and the statement, `ours` and `influxd` with the answers. Where influxd's is by
//! chance, its line is `influxd by chance`, and where it differs it has to be as the name says.

use std::fmt::Write as _;

use super::data::{self, Point};
use super::world::Write;

const ENTRIES: &str = include_str!("pinned.txt");

/// What influxd answers where that is by chance.
pub const BY_CHANCE: &str = "by chance";

/// One statement that is answered otherwise on purpose.
#[derive(Default)]
pub struct Entry {
    /// Of the deviation.
    pub name: String,
    pub writes: Vec<Write>,
    pub statement: String,
    pub ours: String,
    pub influxd: String,
}

impl Entry {
    /// As it stands in the file; none where a name or a text needs an escape, or a line would be cut.
    pub fn print(&self) -> Option<String> {
        let mut out = format!("# {}\n", self.name);
        for write in &self.writes {
            for line in data::lines(&write.points).lines() {
                if line.contains('\\') || line.split(' ').count() != 3 {
                    return None;
                }
                let policy = if write.policy.is_empty() {
                    ""
                } else {
                    " other"
                };
                writeln!(out, "write{policy} {line}").ok()?;
            }
        }
        let (ours, influxd) = (self.ours.trim_end(), self.influxd.trim_end());
        if self.statement.contains('\n') || ours.contains('\n') || influxd.contains('\n') {
            return None;
        }
        writeln!(
            out,
            "ask {}\nours {ours}\ninfluxd {influxd}",
            self.statement
        )
        .ok()?;
        Some(out)
    }
}

/// All that are pinned.
pub fn entries() -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in ENTRIES.lines().filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "#" {
            entries.push(Entry {
                name: rest.to_owned(),
                ..Entry::default()
            });
            continue;
        }
        let entry = entries.last_mut().expect("a name stands first");
        match word {
            "write" => {
                let (policy, line) = match rest.strip_prefix("other ") {
                    Some(line) => ("other", line),
                    None => ("", rest),
                };
                let point = point(line);
                match entry.writes.last_mut() {
                    Some(last) if last.policy == policy => last.points.push(point),
                    _ => entry.writes.push(Write {
                        policy,
                        points: vec![point],
                    }),
                }
            }
            "ask" => rest.clone_into(&mut entry.statement),
            "ours" => rest.clone_into(&mut entry.ours),
            "influxd" => rest.clone_into(&mut entry.influxd),
            _ => panic!("{line}"),
        }
    }
    entries
}

/// A point of a line without escapes.
fn point(line: &'static str) -> Point {
    let [key, fields, time] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{line}");
    };
    let mut parts = key.split(',');
    let measurement = parts.next().unwrap();
    Point {
        measurement,
        tags: parts.map(|tag| tag.split_once('=').unwrap()).collect(),
        fields: fields.split(',').map(data::field).collect(),
        time: time.parse().unwrap(),
    }
}
