//! `plimsoll shell`: a prompt for InfluxQL.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use form_urlencoded::Serializer;

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

/// Reads lines until they end, and answers each.
///
/// # Errors
/// A wrong address; where lines come from a file, the first that fails.
pub(crate) fn run(args: ShellArgs) -> Result<(), Failure> {
    let connection = Connection::open(server(&args.url)?, &args.login, args.timeout.0.0)?;
    let input = std::io::stdin();
    let is_terminal = input.is_terminal();
    let (mut database, mut format) = (args.database, args.format);
    let mut lines = input.lock().lines();
    loop {
        if is_terminal {
            prompt(&database);
        }
        let Some(line) = lines.next() else {
            return Ok(());
        };
        let line = line.map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
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
            Err(failure) if is_terminal => eprintln!("{failure}"),
            other => other?,
        }
    }
}

fn prompt(database: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = write!(out, "{database}> ").and_then(|()| out.flush()) {
        tracing::debug!(%error, "nobody reads the standard output");
    }
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
