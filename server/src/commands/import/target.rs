//! Where an import writes to: a server by HTTP, or a data directory.

use std::time::Duration;

use form_urlencoded::Serializer;
use plimsoll_engine::{Clock, Engine, Error};
use plimsoll_ingest::line::{self, Dropped, Precision};
use plimsoll_query::ast::Statement;
use plimsoll_query::{Cancel, Collect, Context, Effect, Limits, Outcome, Params, execute, parse};
use reqwest::StatusCode;
use serde_json::Value;

use super::super::client::{Connection, Login, server};
use super::super::directory::open;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::exit::{Code, Failure};

/// How often a server that has no room is asked again.
const TRIES_MAX: u32 = 30;
/// How long it is left alone in between.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(in crate::commands) enum Target {
    Server {
        connection: Box<Connection>,
        precision: String,
        name: String,
    },
    Directory {
        engine: Box<Engine>,
        name: String,
    },
}

/// Lines that were refused while others of their batch are written: why, and how many.
pub(in crate::commands) type Refused = Option<(String, u64)>;

impl Target {
    pub(in crate::commands) fn server(
        url: &str,
        login: &Login,
        timeout: Duration,
        precision: &str,
    ) -> Result<Self, Failure> {
        let url = server(url)?;
        Ok(Self::Server {
            name: url.to_string(),
            connection: Box::new(Connection::open(url, login, timeout)?),
            precision: precision.to_owned(),
        })
    }

    pub(in crate::commands) fn directory(config: &Config) -> Result<Self, Failure> {
        let (engine, _) = open(config)?;
        Ok(Self::Directory {
            engine: Box::new(engine),
            name: config.engine.directory.display().to_string(),
        })
    }

    /// What it is called where an import goes on.
    pub(in crate::commands) fn name(&self) -> &str {
        match self {
            Self::Server { name, .. } | Self::Directory { name, .. } => name,
        }
    }

    /// Runs a statement of the file, which makes a database, a policy or a continuous query.
    pub(in crate::commands) fn statement(&self, text: &str) -> Result<(), Failure> {
        let failed = |why: String| Failure::new(Code::Failed, format!("{text}: {why}"));
        match self {
            Self::Server { connection, .. } => {
                let form = Serializer::new(String::new())
                    .append_pair("q", text)
                    .finish();
                let (status, body) = connection.post("/query", form.into_bytes())?;
                let answer: Value = serde_json::from_slice(&body)
                    .map_err(|_| failed(format!("the server answered {status}")))?;
                let errors = [&answer["error"], &answer["results"][0]["error"]];
                match errors.into_iter().find_map(Value::as_str) {
                    Some(error) => Err(failed(error.to_owned())),
                    None => Ok(()),
                }
            }
            Self::Directory { engine, .. } => {
                let statements = parse(text, &Params::default());
                let statements = statements.map_err(|error| failed(error.to_string()))?;
                for statement in &statements {
                    apply(engine, statement).map_err(failed)?;
                }
                Ok(())
            }
        }
    }

    /// Writes lines; all that are good are written.
    pub(in crate::commands) fn write(
        &self,
        database: &str,
        policy: &str,
        precision: Precision,
        body: &[u8],
    ) -> Result<Refused, Failure> {
        match self {
            Self::Server {
                connection,
                precision,
                ..
            } => send(connection, (database, policy, precision), body),
            Self::Directory { engine, .. } => store(engine, (database, policy), precision, body),
        }
    }

    pub(in crate::commands) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Server { .. } => Ok(()),
            Self::Directory { engine, .. } => {
                engine.close().map_err(|error| Failure::engine(&error))
            }
        }
    }
}

fn send(
    connection: &Connection,
    (database, policy, precision): (&str, &str, &str),
    body: &[u8],
) -> Result<Refused, Failure> {
    let form = Serializer::new(String::new())
        .append_pair("db", database)
        .append_pair("rp", policy)
        .append_pair("precision", precision)
        .finish();
    let path = format!("/write?{form}");
    let mut tries = 0;
    loop {
        let (status, answer) = connection.post(&path, body.to_vec())?;
        if status.is_success() {
            return Ok(None);
        }
        let text = serde_json::from_slice::<Value>(&answer)
            .ok()
            .and_then(|answer| Some(answer["error"].as_str()?.to_owned()))
            .unwrap_or_else(|| format!("the server answered {status}"));
        tries += 1;
        match status {
            StatusCode::SERVICE_UNAVAILABLE if tries < TRIES_MAX => connection.pause(PAUSE),
            StatusCode::BAD_REQUEST => return Ok(Some((text.clone(), count(&text)))),
            _ => {
                let line = format!("{text}; the same command goes on where it ended");
                return Err(Failure::new(Code::Failed, line));
            }
        }
    }
}

/// How many points a text says that it dropped; else how many lines it names.
fn count(text: &str) -> u64 {
    let dropped = text
        .rsplit_once("dropped=")
        .and_then(|(_, n)| n.trim().parse().ok());
    match dropped {
        Some(count) if count > 0 => count,
        _ => text.matches("unable to parse").count().max(1) as u64,
    }
}

fn store(
    engine: &Engine,
    (database, policy): (&str, &str),
    precision: Precision,
    body: &[u8],
) -> Result<Refused, Failure> {
    let failure = |error: Error| Failure::engine(&error);
    let parsed = line::parse(body, precision, SystemClock.now());
    let written = loop {
        match engine.write(database, policy, &parsed.batch) {
            Err(Error::Busy { .. }) => engine.flush().map_err(failure)?,
            other => break other.map_err(failure)?,
        }
    };
    engine.maintain().map_err(failure)?;
    let stored = written.rejected.first().map(|first| Dropped {
        reason: first.reason.clone(),
        count: written.rejected.iter().map(|r| r.points).sum(),
    });
    let dropped = [&parsed.dropped, &stored];
    let dropped: usize = dropped.into_iter().flatten().map(|d| d.count).sum();
    let refused = (parsed.rejected_count + dropped) as u64;
    Ok(parsed
        .error_text(stored.as_ref())
        .map(|text| (text, refused)))
}

fn apply(engine: &Engine, statement: &Statement) -> Result<(), String> {
    let snapshot = engine.snapshot();
    let cancel = Cancel::default();
    let limits = Limits::default();
    let context = Context {
        snapshot: &snapshot,
        database: "",
        policy: "",
        now: SystemClock.now(),
        limits: &limits,
        cancel: &cancel,
        chunk_size: None,
        options: plimsoll_query::Options::default(),
    };
    let mut nothing = Collect::default();
    let outcome = execute(statement, &context, &mut nothing).map_err(|error| error.to_string())?;
    match outcome {
        Outcome::Effect(Effect::Catalog(change)) => engine
            .change(&change)
            .map(drop)
            .map_err(|error| error.to_string()),
        _ => Err(
            "only databases, retention policies and continuous queries can be made here".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_lines_are_counted_by_what_the_server_says() {
        assert_eq!(
            count("partial write: points beyond retention policy dropped=7"),
            7
        );
        assert_eq!(
            count("partial write: unable to parse 'a': b\nunable to parse 'c': d dropped=0"),
            2
        );
        assert_eq!(count("something else"), 1);
    }
}
