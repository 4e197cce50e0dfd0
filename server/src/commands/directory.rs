//! What commands that work on a data directory share.

use std::path::Path;
use std::sync::Arc;

use plimsoll_engine::{Engine, OpenReport};
use plimsoll_wal::storage::Disk;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::exit::{Code, Failure};

/// A directory that is there.
///
/// # Errors
/// A line that names it.
pub(super) fn there(directory: &Path) -> Result<&Path, Failure> {
    if directory.is_dir() {
        return Ok(directory);
    }
    Err(Failure::new(
        Code::Data,
        format!("there is no data directory {}", directory.display()),
    ))
}

/// A failure of the engine; what is no data directory is one that cannot be used.
pub(super) fn refused(error: &plimsoll_engine::Error) -> Failure {
    match error {
        plimsoll_engine::Error::Invalid(why) => Failure::new(Code::Data, why),
        other => Failure::engine(other),
    }
}

/// Prints what is odd about the configuration.
pub(super) fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("plimsoll: warning: {warning}");
    }
}

/// Opens the configured directory, which has to be there.
///
/// # Errors
/// No such directory, one that is in use, data that does not verify.
pub(super) fn open(config: &Config) -> Result<(Engine, OpenReport), Failure> {
    there(&config.engine.directory)?;
    let clock = Arc::new(SystemClock);
    Engine::open(Arc::new(Disk), config.engine.clone(), clock)
        .map_err(|error| Failure::engine(&error))
}

/// Bytes as people read them.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut unit, mut whole, mut tenths) = (0, count, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{whole}.{tenths} {}", UNITS[unit]),
    }
}

/// `a / b` with two digits, or a dash.
pub(super) fn ratio(a: u64, b: u64) -> String {
    match (u128::from(a) * 100).checked_div(u128::from(b)) {
        Some(hundredths) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        None => "-".to_owned(),
    }
}

/// Rows in columns: the first is the head; a column of numbers stands to the right.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let shapes: Vec<(usize, bool)> = (0..columns)
        .map(|column| {
            let cells = rows.iter().map(|row| cell(row, column));
            let width = cells.map(|text| text.chars().count()).max().unwrap_or(0);
            let mut body = rows.iter().skip(1);
            (
                width,
                rows.len() > 1 && body.all(|row| is_number(&cell(row, column))),
            )
        })
        .collect();
    let lines = rows.iter().map(|row| {
        let cells = shapes.iter().enumerate().map(|(column, (width, right))| {
            let text = cell(row, column);
            if *right {
                format!("{text:>width$}")
            } else {
                format!("{text:width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A time as RFC 3339; in ns where a calendar has no such day.
pub(super) fn time(time: plimsoll_engine::Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(time) => time.to_string(),
        Err(_) => time.0.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ratios_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (5 << 40, "5.0 TiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(ratio(3, 2), "1.50");
        assert_eq!(ratio(0, 0), "-");
    }

    #[test]
    fn columns_of_numbers_stand_to_the_right() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = [row(["name", "n"]), row(["a", "10"]), row(["bcdef", "2"])];
        assert_eq!(table(&rows), "name    n\na      10\nbcdef   2");
    }
}
