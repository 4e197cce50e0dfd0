//! `plimsoll backup` and `plimsoll restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use form_urlencoded::Serializer;
use plimsoll_engine::Engine;
use plimsoll_engine::backup::{BackupList, restore};
use plimsoll_engine::check::check;
use plimsoll_wal::storage::{Disk, Storage};
use reqwest::Method;
use serde_json::Value;

use super::client::{Login, ask, server};
use super::directory::{bytes, open, refused, there, warn};
use super::print;
use crate::config::{Config, Duration, Parsed};
use crate::exit::{Code, Failure};
use crate::users::Users;

/// How a running server is asked for a backup.
#[derive(Debug, Args)]
pub(crate) struct OnlineArgs {
    /// The running server that makes the backup, below its data directory
    #[arg(long, value_name = "URL", conflicts_with_all = ["data", "to"])]
    url: Option<String>,
    /// The backup's name on the server [default: the time, as 20260102T030405Z]
    #[arg(long, value_name = "NAME", requires = "url")]
    name: Option<String>,
    #[command(flatten)]
    login: Login,
    /// How long to wait for the server
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    timeout: Parsed<Duration>,
    /// Directory to make, for a data directory that no server uses
    #[arg(long, value_name = "DIR", required_unless_present = "url")]
    to: Option<PathBuf>,
}

impl OnlineArgs {
    /// Whether a server is asked.
    pub(crate) fn is_online(&self) -> bool {
        self.url.is_some()
    }
}

/// Asks a running server for a backup and prints where it is.
///
/// # Errors
/// No answer, or a refusal.
pub(crate) fn run_online(args: &OnlineArgs) -> Result<(), Failure> {
    let url = server(args.url.as_deref().unwrap_or_default())?;
    let mut form = Serializer::new(String::new());
    if let Some(name) = &args.name {
        form.append_pair("name", name);
    }
    let path = format!("/plimsoll/backups?{}", form.finish());
    let (status, body) = ask(
        &url,
        &args.login,
        Method::POST,
        &path,
        None,
        args.timeout.0.0,
    )?;
    let failed = |text: String| Failure::new(Code::Failed, text);
    let answer: Value = serde_json::from_slice(&body)
        .map_err(|_| failed(format!("{url} answered {status} and no JSON")))?;
    if let Some(error) = answer["error"].as_str() {
        return Err(failed(error.to_owned()));
    }
    print(&format!(
        "{}: {} files, {}, up to frame {} of the log",
        answer["path"].as_str().unwrap_or_default(),
        answer["files"],
        bytes(answer["bytes"].as_u64().unwrap_or(0)),
        answer["sequence"],
    ));
    Ok(())
}

/// Backs up a directory that no server uses.
///
/// # Errors
/// No such directory, one that is in use, a target that is there.
pub(crate) fn run_offline(
    config: &Config,
    warnings: &[String],
    args: &OnlineArgs,
) -> Result<(), Failure> {
    warn(warnings);
    let to = args.to.as_deref().unwrap_or(Path::new(""));
    let (engine, _) = open(config)?;
    let made = make(&engine, &config.engine.directory, to);
    let closed = engine.close();
    let list = made?;
    closed.map_err(|error| Failure::engine(&error))?;
    print(&format!("{}: {}", to.display(), told(&list)));
    Ok(())
}

/// Makes a backup with the users in it.
///
/// # Errors
/// A line that says why not.
pub(crate) fn make(engine: &Engine, data: &Path, to: &Path) -> Result<BackupList, Failure> {
    let users = Users::companion(data)?;
    let companions = users
        .iter()
        .map(|(name, bytes)| plimsoll_engine::Companion { name, bytes });
    engine
        .backup(to, &companions.collect::<Vec<_>>())
        .map_err(|error| Failure::engine(&error))
}

fn told(list: &BackupList) -> String {
    format!(
        "{} files, {}, up to frame {} of the log",
        list.files.len(),
        bytes(list.bytes()),
        list.sequence
    )
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup: a directory that `plimsoll backup` made
    backup: PathBuf,
    /// The data directory to make; it must not be there, or be empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Copies a backup into a new data directory and verifies all of it.
///
/// # Errors
/// No backup, a directory that is not empty, what does not verify.
pub(crate) fn run_restore(args: &RestoreArgs) -> Result<(), Failure> {
    let failure = |error: plimsoll_engine::Error| refused(&error);
    there(&args.backup)?;
    let list = restore(&Disk, &args.backup, &args.data).map_err(failure)?;
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let checked = check(&storage, &args.data).map_err(failure)?;
    let mut lines: Vec<String> = checked.problems.iter().map(|p| p.what.clone()).collect();
    if let Err(failure) = Users::open(&args.data) {
        lines.extend(failure.lines);
    }
    if !lines.is_empty() {
        lines.insert(
            0,
            format!(
                "{} was restored, but not all of it verifies",
                args.data.display()
            ),
        );
        return Err(Failure {
            code: Code::Corrupt,
            lines,
        });
    }
    print(&format!(
        "{}: {}; all of it verifies",
        args.data.display(),
        told(&list)
    ));
    Ok(())
}
