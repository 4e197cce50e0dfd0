//! `plimsoll shell`: a prompt for InfluxQL.

use std::io::{BufRead, IsTerminal, StdinLock};

use clap::Args;
use form_urlencoded::Serializer;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};

use super::client::{Connection, Login, server};
use super::print;
use super::query::{Format, shown};
use crate::config::{Duration, Parsed};
use crate::exit::{Code, Failure};

const HELP: &str = "use DATABASE        choose a database
insert LINE         write a line of line protocol
format table|json   how answers are printed
exit                leave
anything else is InfluxQL, several statements with `;` between them";

/// Options of `shell`.
#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// The server to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086")]
    url: String,
    #[command(flatten)]
    login: Login,
    /// The database to begin with
    #[arg(long, value_name = "NAME", default_value = "")]
    database: String,
    /// How answers are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// How long to wait for an answer
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    timeout: Parsed<Duration>,
}

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    Nothing,
    Help,
    Exit,
    Use(&'a str),
    Insert(&'a str),
    Format(&'a str),
    Query(&'a str),
}

fn read(line: &str) -> Asked<'_> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    match word.trim_end_matches(';').to_ascii_lowercase().as_str() {
        "" => Asked::Nothing,
        "help" => Asked::Help,
        "exit" | "quit" => Asked::Exit,
        "use" => Asked::Use(rest.trim_end_matches(';').trim_matches('"')),
        "insert" => Asked::Insert(rest),
        "format" => Asked::Format(rest),
        _ => Asked::Query(line),
    }
}

/// Where lines come from.
enum Input {
    /// Someone types, and may edit the line and call earlier ones back.
    Terminal(Box<Editor<(), MemHistory>>),
    Pipe(StdinLock<'static>),
}

impl Input {
    fn open() -> Result<Self, Failure> {
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Ok(Self::Pipe(input.lock()));
        }
        let config = Config::builder().auto_add_history(true).build();
        let history = MemHistory::with_config(&config);
        let editor = Editor::with_history(config, history).map_err(failed)?;
        Ok(Self::Terminal(Box::new(editor)))
    }

    const fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line; `None` at the end.
    fn line(&mut self, database: &str) -> Result<Option<String>, Failure> {
        match self {
            Self::Pipe(lines) => {
                let mut line = String::new();
                let read = lines.read_line(&mut line).map_err(failed)?;
                Ok((read > 0).then_some(line))
            }
            Self::Terminal(editor) => match editor.readline(&format!("{database}> ")) {
                Ok(line) => Ok(Some(line)),
                // Ctrl-C leaves the line, not the shell.
                Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
                Err(ReadlineError::Eof) => Ok(None),
                Err(error) => Err(failed(error)),
            },
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Failed, error.to_string())
}

/// Reads lines until they end, and answers each.
///
/// # Errors
/// A wrong address; where lines come from a file, the first that fails.
pub(crate) fn run(args: ShellArgs) -> Result<(), Failure> {
    let connection = Connection::open(server(&args.url)?, &args.login, args.timeout.0.0)?;
    let mut input = Input::open()?;
    let (mut database, mut format) = (args.database, args.format);
    while let Some(line) = input.line(&database)? {
        let done = match read(&line) {
            Asked::Nothing => Ok(()),
            Asked::Exit => return Ok(()),
            Asked::Help => {
                print(HELP);
                Ok(())
            }
            Asked::Use(name) => {
                name.clone_into(&mut database);
                Ok(())
            }
            Asked::Format("table") => {
                format = Format::Table;
                Ok(())
            }
            Asked::Format("json") => {
                format = Format::Json;
                Ok(())
            }
            Asked::Format(other) => {
                let line = format!("format {other:?}: it is table or json");
                Err(Failure::new(Code::Failed, line))
            }
            Asked::Insert(line) => insert(&connection, &database, line),
            Asked::Query(text) => query(&connection, &database, text, format),
        };
        match done {
            // Someone reads it and goes on.
            Err(failure) if input.is_terminal() => eprintln!("{failure}"),
            other => other?,
        }
    }
    Ok(())
}

fn query(
    connection: &Connection,
    database: &str,
    text: &str,
    format: Format,
) -> Result<(), Failure> {
    let form = Serializer::new(String::new())
        .append_pair("q", text)
        .append_pair("db", database)
        .finish();
    let (status, body) = connection.post("/query", form.into_bytes())?;
    for part in shown(
        &body,
        format,
        &format!("the server answered {status} and no JSON"),
    )? {
        print(&part);
    }
    Ok(())
}

fn insert(connection: &Connection, database: &str, line: &str) -> Result<(), Failure> {
    let form = Serializer::new(String::new())
        .append_pair("db", database)
        .finish();
    let (status, body) = connection.post(&format!("/write?{form}"), line.as_bytes().to_vec())?;
    if status.is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&body).trim_end().to_owned();
    Err(Failure::new(Code::Failed, format!("{status}: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_their_first_word() {
        for (line, asked) in [
            ("  ", Asked::Nothing),
            ("use k8s;", Asked::Use("k8s")),
            ("USE \"a b\"", Asked::Use("a b")),
            ("insert cpu v=1", Asked::Insert("cpu v=1")),
            ("exit", Asked::Exit),
            ("format json", Asked::Format("json")),
            ("SHOW DATABASES;", Asked::Query("SHOW DATABASES;")),
        ] {
            assert_eq!(read(line), asked);
        }
    }
}
