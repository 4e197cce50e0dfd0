//! `plimsoll check-config`: finds what `serve` would refuse.

use super::print;
use crate::app::shared_secret;
use crate::collect;
use crate::config::{Config, probe_data, probe_files, probe_listen};
use crate::exit::Failure;
use crate::http::probe_tls;

/// Looks at everything that the configuration names.
///
/// # Errors
/// Every line that `serve` would end with; the code is that of the first.
pub fn run(config: &Config, warnings: &[String]) -> Result<(), Failure> {
    for warning in warnings {
        eprintln!("plimsoll: warning: {warning}");
    }
    let found = [
        collect::check(&config.sources),
        probe_files(&config.sources),
        shared_secret(config.http.shared_secret_file.as_deref()).map(drop),
        config.http.tls.as_ref().map_or(Ok(()), probe_tls),
        probe_data(config),
        probe_listen(config.listen),
    ];
    let failures = found.into_iter().filter_map(Result::err);
    let all = failures.reduce(|mut first, next| {
        first.lines.extend(next.lines);
        first
    });
    match all {
        Some(failure) => Err(failure),
        None => {
            print(&format!(
                "The configuration is good: data in {}, listening on {}.",
                config.engine.directory.display(),
                config.listen
            ));
            Ok(())
        }
    }
}
