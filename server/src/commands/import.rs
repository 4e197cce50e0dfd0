//! `plimsoll import`: line protocol into a server, or into a data directory that none uses.
//!
//! The file may be compressed and may have the headers of `influx_inspect export` and
//! `plimsoll export`. Beside it stands, while it is read, how far it is: an import that was cut off
//! goes on from there, and writes nothing twice that would not be the same.

mod source;
pub(super) mod target;

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use plimsoll_ingest::line::Precision;
use serde::{Deserialize, Serialize};

use self::source::{Item, Source};
use self::target::Target;
use super::client::Login;
use super::directory::warn;
use super::print;
use crate::config::{Config, Duration, Parsed};
use crate::exit::{Code, Failure};

/// Lines that are written together.
const BATCH_LINES: usize = 5_000;
/// Bytes that are written together.
const BATCH_BYTES: usize = 2 << 20;
/// Refused lines that are printed; the others are counted.
const REFUSALS_PRINTED_MAX: u64 = 10;

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Line protocol, plain or gzip
    file: PathBuf,
    /// The server to write to [default: http://127.0.0.1:8086]
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    url: Option<String>,
    #[command(flatten)]
    login: Login,
    /// How long to wait for the server to take a batch
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    timeout: Parsed<Duration>,
    /// The database of lines before which the file names none
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Their retention policy [default: the database's]
    #[arg(long, value_name = "NAME", requires = "database")]
    policy: Option<String>,
    /// The unit of the times: n, u, ms, s, m or h
    #[arg(long, value_name = "UNIT", default_value = "n")]
    precision: String,
    /// Begin anew where an earlier import was cut off
    #[arg(long)]
    restart: bool,
}

/// How far an import is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Where the lines go.
    target: String,
    /// The file's length, to notice that it is another.
    file_bytes: u64,
    /// Lines of the file that are done with.
    lines: u64,
    written: u64,
    refused: u64,
}

/// Lines that wait to be written together.
#[derive(Debug, Default)]
struct Waiting {
    database: String,
    policy: String,
    body: Vec<u8>,
    lines: usize,
}

/// Reads the file and writes it.
///
/// # Errors
/// No such file, no such server, no database for a line, what the target refuses as a whole.
pub(crate) fn run(args: &ImportArgs, data: Option<(Config, Vec<String>)>) -> Result<(), Failure> {
    let precision = Precision::from_v1(&args.precision)
        .map_err(|error| Failure::new(Code::Configuration, format!("--precision: {error}")))?;
    let mut target = match &data {
        Some((config, warnings)) => {
            warn(warnings);
            Target::directory(config)?
        }
        None => {
            let url = args.url.as_deref().unwrap_or("http://127.0.0.1:8086");
            Target::server(url, &args.login, args.timeout.0.0, &args.precision)?
        }
    };
    let done = import(args, precision, &mut target);
    let closed = target.close();
    let state = done?;
    closed?;
    print(&format!(
        "{}: {} lines written, {} refused",
        args.file.display(),
        state.written,
        state.refused
    ));
    if state.refused > 0 {
        return Err(Failure::new(
            Code::Failed,
            format!(
                "{} lines were refused; all others are written",
                state.refused
            ),
        ));
    }
    Ok(())
}

fn import(args: &ImportArgs, precision: Precision, target: &mut Target) -> Result<State, Failure> {
    let wrong = |why: String| Failure::new(Code::Failed, format!("{}: {why}", args.file.display()));
    let mut source = Source::open(&args.file).map_err(|error| wrong(error.to_string()))?;
    let state_path = state_path(&args.file);
    let mut state = State {
        target: target.name().to_owned(),
        file_bytes: source.file_bytes(),
        ..State::default()
    };
    if !args.restart
        && let Some(earlier) = read_state(&state_path)?
    {
        if (&earlier.target, earlier.file_bytes) != (&state.target, state.file_bytes) {
            return Err(wrong(format!(
                "an earlier import of another file or into {} was cut off: begin anew with \
                 --restart",
                earlier.target
            )));
        }
        state = earlier;
    }
    let bar = bar(source.file_bytes());
    let skip = state.lines;
    let mut waiting = Waiting {
        database: args.database.clone().unwrap_or_default(),
        policy: args.policy.clone().unwrap_or_default(),
        ..Waiting::default()
    };
    while let Some(item) = source.next().map_err(|error| wrong(error.to_string()))? {
        bar.set_position(source.position());
        let is_done = source.lines() <= skip;
        match item {
            Item::Statement(text) if !is_done => {
                target.statement(&text)?;
            }
            Item::Database(name) => {
                flush(
                    &mut waiting,
                    target,
                    precision,
                    &mut state,
                    &state_path,
                    &source,
                )?;
                waiting.database = name;
                waiting.policy = String::new();
            }
            Item::Policy(name) => {
                flush(
                    &mut waiting,
                    target,
                    precision,
                    &mut state,
                    &state_path,
                    &source,
                )?;
                waiting.policy = name;
            }
            Item::Line(line) if !is_done => {
                if waiting.database.is_empty() {
                    return Err(wrong(format!(
                        "line {} has no database: the file has no CONTEXT-DATABASE before it; give \
                         --database",
                        source.lines()
                    )));
                }
                waiting.body.extend_from_slice(&line);
                waiting.body.push(b'\n');
                waiting.lines += 1;
                if waiting.lines >= BATCH_LINES || waiting.body.len() >= BATCH_BYTES {
                    flush(
                        &mut waiting,
                        target,
                        precision,
                        &mut state,
                        &state_path,
                        &source,
                    )?;
                }
            }
            Item::Statement(_) | Item::Line(_) => {}
        }
    }
    flush(
        &mut waiting,
        target,
        precision,
        &mut state,
        &state_path,
        &source,
    )?;
    bar.finish_and_clear();
    match std::fs::remove_file(&state_path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(wrong(error.to_string())),
        _ => Ok(state),
    }
}

/// Writes what waits, then notes that it is written.
fn flush(
    waiting: &mut Waiting,
    target: &mut Target,
    precision: Precision,
    state: &mut State,
    state_path: &Path,
    source: &Source,
) -> Result<(), Failure> {
    if waiting.lines == 0 {
        return Ok(());
    }
    let refused = target.write(&waiting.database, &waiting.policy, precision, &waiting.body)?;
    let lines = waiting.lines as u64;
    if let Some((text, count)) = refused {
        let count = count.min(lines);
        if state.refused < REFUSALS_PRINTED_MAX {
            eprintln!("plimsoll: up to line {}: {text}", source.lines());
        }
        state.refused += count;
        state.written += lines - count;
    } else {
        state.written += lines;
    }
    waiting.body.clear();
    waiting.lines = 0;
    state.lines = source.lines();
    let json = serde_json::to_vec(state).expect("names and numbers are JSON");
    let mut beside = state_path.as_os_str().to_owned();
    beside.push(".new");
    let replaced =
        std::fs::write(&beside, json).and_then(|()| std::fs::rename(&beside, state_path));
    replaced
        .map_err(|error| Failure::new(Code::Failed, format!("{}: {error}", state_path.display())))
}

fn state_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".import");
    PathBuf::from(name)
}

fn read_state(path: &Path) -> Result<Option<State>, Failure> {
    let wrong = |why: String| {
        Failure::new(
            Code::Failed,
            format!("{}: {why}; begin anew with --restart", path.display()),
        )
    };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| wrong(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Bytes of the file are what is counted.
fn bar(bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}, {elapsed}, {eta} left");
    let bar = ProgressBar::new(bytes);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
