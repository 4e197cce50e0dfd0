//! `/plimsoll/backups`: makes a backup below the data directory, for admins.
//!
//! The path is never the client's: only a name of few letters is taken, and how many there may be
//! is limited, for a backup keeps merged segments from going.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::identity::Identity;
use super::parameters::Parameters;
use super::pretty::Layout;
use super::reply;
use super::write::Problem;
use crate::app::App;
use crate::commands::backup;
use crate::exit::Failure;

/// Below the data directory.
const DIRECTORY: &str = "backups";
/// The most backups that are kept there.
const BACKUPS_MAX: usize = 16;
/// The longest name of one.
const NAME_BYTES_MAX: usize = 64;

/// Answers 201 with where the backup is.
pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Response {
    match make(app, identity, query).await {
        Ok(body) => reply::with_type(StatusCode::CREATED, "application/json", body.into()),
        Err((status, text)) => reply::error(status, &text, Layout::Compact),
    }
}

async fn make(app: Arc<App>, identity: Identity, query: Option<String>) -> Result<String, Problem> {
    identity.may_administrate(&app)?;
    let parameters = Parameters::of_address(query.as_deref());
    let name = match parameters.value("name") {
        "" => time_name(app.clock.now()),
        name => check_name(name)?,
    };
    let joined = tokio::task::spawn_blocking(move || back_up(&app, &name)).await;
    joined.unwrap_or_else(|error| {
        tracing::error!(%error, "a backup ended before its time");
        Err((
            StatusCode::INTERNAL_SERVER_ERROR,
            reply::INTERNAL_ERROR.to_owned(),
        ))
    })
}

fn back_up(app: &App, name: &str) -> Result<String, Problem> {
    let data = app.engine.directory();
    let parent = data.join(DIRECTORY);
    let to = parent.join(name);
    // One at a time, so that the limit holds.
    let _turn = app.backing_up.lock();
    let there = std::fs::read_dir(&parent).map_or(0, Iterator::count);
    if there >= BACKUPS_MAX {
        let text = format!(
            "there are {there} backups in {}, the limit is {BACKUPS_MAX}: remove some",
            parent.display()
        );
        return Err((StatusCode::CONFLICT, text));
    }
    if to.exists() {
        let text = format!("{} is there already: choose another name", to.display());
        return Err((StatusCode::CONFLICT, text));
    }
    match backup::make(&app.engine, data, &to) {
        Ok(list) => {
            tracing::info!(path = %to.display(), "a backup was made");
            let path: PathBuf = std::path::absolute(&to).unwrap_or(to);
            Ok(json!({
                "path": path,
                "files": list.files.len(),
                "bytes": list.bytes(),
                "sequence": list.sequence,
            })
            .to_string())
        }
        Err(Failure { lines, .. }) => {
            let text = lines.join("; ");
            tracing::error!(path = %to.display(), error = text, "a backup failed");
            // Half a backup is none.
            if let Err(error) = std::fs::remove_dir_all(&to)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, path = %to.display(), "what was made of it stays");
            }
            Err((StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    }
}

fn check_name(name: &str) -> Result<String, Problem> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if name.len() <= NAME_BYTES_MAX && starts_well && name.chars().all(is_plain) {
        return Ok(name.to_owned());
    }
    let text = format!(
        "a backup's name is up to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ -, the first a letter or digit"
    );
    Err((StatusCode::BAD_REQUEST, text))
}

/// `20260102T030405Z`.
fn time_name(now: plimsoll_engine::Timestamp) -> String {
    let second = jiff::Timestamp::from_second(now.0.div_euclid(1_000_000_000));
    let text = second.map(|time| time.to_string()).unwrap_or_default();
    text.replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_never_paths() {
        for name in ["a", "2026-01-02", "nightly_1.bak"] {
            assert_eq!(check_name(name).unwrap(), name);
        }
        let long = "x".repeat(65);
        for name in ["..", ".", "a/b", "/etc", ".hidden", "a b", "ä", &long] {
            check_name(name).unwrap_err();
        }
        let now = plimsoll_engine::Timestamp(1_700_000_000_000_000_000);
        assert_eq!(time_name(now), "20231114T221320Z");
        assert_eq!(check_name(&time_name(now)).unwrap(), time_name(now));
    }
}
