//! The exported file, and the one beside it that says how far it is.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::lines::{Count, Lines};
use super::{Place, Scope};
use crate::exit::{Code, Failure};

/// How far an export is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    scope: Scope,
    next: Place,
    bytes: u64,
    lines: u64,
    values: u64,
    left_out: u64,
}

/// What was written in all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) values: u64,
    pub(super) left_out: u64,
}

/// A file that is written in chunks, each whole before the state says that it is there. Compressed,
/// each chunk is a gzip member of its own, so that the file can be cut between two.
pub(super) struct Output {
    path: PathBuf,
    state_path: PathBuf,
    file: File,
    is_compressed: bool,
    waiting: String,
    state: State,
}

impl Output {
    /// Opens the file: anew, or where an export of the same scope was cut off; then, what is next.
    pub(super) fn open(
        path: &Path,
        scope: &Scope,
        restart: bool,
    ) -> Result<(Self, Option<Place>), Failure> {
        let wrong = |why: String| Failure::new(Code::Failed, format!("{}: {why}", path.display()));
        let mut name = path.as_os_str().to_owned();
        name.push(".state");
        let state_path = PathBuf::from(name);
        let mut state = State {
            scope: scope.clone(),
            ..State::default()
        };
        let mut next = None;
        if !restart {
            if let Ok(bytes) = std::fs::read(&state_path) {
                state = serde_json::from_slice(&bytes).map_err(|error| {
                    Failure::new(
                        Code::Failed,
                        format!(
                            "{}: {error}; begin anew with --restart",
                            state_path.display()
                        ),
                    )
                })?;
                if state.scope != *scope {
                    return Err(wrong(
                        "an earlier export of other data or another scope was cut off here: begin \
                         anew with --restart"
                            .to_owned(),
                    ));
                }
                next = Some(state.next.clone());
            } else if path.exists() {
                return Err(wrong(
                    "it is there already: choose another name, or --restart".to_owned(),
                ));
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .and_then(|file| file.set_len(state.bytes).map(|()| file))
            .and_then(|mut file| {
                use std::io::Seek;
                file.seek(std::io::SeekFrom::End(0))?;
                Ok(file)
            })
            .map_err(|error| wrong(error.to_string()))?;
        let output = Self {
            is_compressed: path.extension().is_some_and(|extension| extension == "gz"),
            path: path.to_owned(),
            state_path,
            file,
            waiting: String::new(),
            state,
        };
        Ok((output, next))
    }

    pub(super) fn text(&mut self, text: &str) {
        self.waiting.push_str(text);
    }

    pub(super) fn lines(&mut self, lines: Lines) {
        let Count {
            lines,
            values,
            left_out,
        } = lines.write(&mut self.waiting);
        self.state.lines += lines;
        self.state.values += values;
        self.state.left_out += left_out;
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting.len()
    }

    /// Writes what waits, then that `next` is what comes after it.
    pub(super) fn write(&mut self, next: &Place) -> Result<(), Failure> {
        self.write_waiting()?;
        self.state.next = next.clone();
        let json = serde_json::to_vec(&self.state).expect("names and numbers are JSON");
        let beside = self.state_path.with_extension("state.new");
        let replaced =
            std::fs::write(&beside, json).and_then(|()| std::fs::rename(&beside, &self.state_path));
        replaced.map_err(|error| {
            Failure::new(
                Code::Failed,
                format!("{}: {error}", self.state_path.display()),
            )
        })
    }

    fn write_waiting(&mut self) -> Result<(), Failure> {
        let bytes = std::mem::take(&mut self.waiting).into_bytes();
        let written = if self.is_compressed {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder
                .write_all(&bytes)
                .and_then(|()| encoder.finish())
                .and_then(|member| self.append(&member))
        } else {
            self.append(&bytes)
        };
        written.map_err(|error| {
            Failure::new(
                Code::Failed,
                format!(
                    "{}: {error}; the same command goes on where it ended",
                    self.path.display()
                ),
            )
        })
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.state.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes the rest, and removes the state.
    pub(super) fn finish(mut self) -> Result<Done, Failure> {
        self.write_waiting()?;
        if let Err(error) = std::fs::remove_file(&self.state_path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Failure::new(
                Code::Failed,
                format!("{}: {error}", self.state_path.display()),
            ));
        }
        Ok(Done {
            bytes: self.state.bytes,
            lines: self.state.lines,
            values: self.state.values,
            left_out: self.state.left_out,
        })
    }
}
