//! What the binary can be asked for, a module each.

pub mod check_config;
mod client;
pub mod compact;
pub mod ping;
pub mod query;
pub mod scrape;
pub mod serve;

use std::io::Write;

/// Prints what a command was asked for. Whoever reads it may be gone.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        tracing::debug!(%error, "nobody reads the standard output");
    }
}
