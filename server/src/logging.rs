//! The log: structured lines on stderr.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Starts the log. A second call in one process changes nothing.
pub(crate) fn start(config: &LogConfig) {
    let level = LevelFilter::from_level(config.level.0);
    // What the libraries below say is for those who ask for all of it.
    let libraries = level.min(LevelFilter::WARN);
    let filter = Targets::new()
        .with_default(if level >= LevelFilter::TRACE {
            level
        } else {
            libraries
        })
        .with_target("plimsoll", level)
        .with_target("plimsoll_server", level)
        .with_target("plimsoll_ingest", level);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let started = match config.format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}
