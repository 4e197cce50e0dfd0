//! What the binary can be asked for, a module each.

pub mod backup;
pub mod bench;
pub mod check_config;
mod client;
pub mod compact;
mod directory;
pub mod export;
pub mod import;
pub mod inspect;
pub mod ping;
pub mod query;
pub mod repair;
pub mod scrape;
pub mod serve;
pub mod shell;
pub mod top;
pub mod verify;

use std::io::Write;

/// Prints what a command was asked for. Whoever reads it may be gone.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        tracing::debug!(%error, "nobody reads the standard output");
    }
}
