//! What our side answers.

use plimsoll_engine::{Engine, Timestamp};
use plimsoll_query::ast::Statement;
use plimsoll_query::json::{Epoch, write_series, write_string};
use plimsoll_query::rows::{Message, Rows};
use plimsoll_query::{Cancel, Context, Effect, Error, Limits, Options, Outcome, Points, Sink};

use super::data;

/// How an answer is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// The parameter `epoch`.
    pub epoch: &'a str,
    /// Rows of a piece; none: the answer comes whole.
    pub chunk_size: Option<usize>,
    pub now: Timestamp,
}

/// What our side answers a day after the data starts.
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "not every test asks both"
)]
pub fn ours(engine: &Engine, epoch: &str, query: &str) -> String {
    let form = Form {
        epoch,
        chunk_size: None,
        now: Timestamp(data::START + data::DAY),
    };
    ours_as(engine, form, query)
}

/// What our side answers, as the server prints it.
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "not every test asks both"
)]
pub fn ours_as(engine: &Engine, form: Form<'_>, query: &str) -> String {
    let statements = match plimsoll_query::parse(query, &Default::default()) {
        Ok(statements) => statements,
        Err(error) => {
            let mut out = b"{\"error\":".to_vec();
            write_string(&format!("error parsing query: {error}"), &mut out);
            return String::from_utf8(out).unwrap() + "}\n";
        }
    };
    let mut results = Vec::new();
    let mut has_failed = false;
    for (number, statement) in statements.iter().enumerate() {
        let (series, error) = if has_failed {
            (Vec::new(), Some("not executed".to_owned()))
        } else {
            run(engine, form, statement)
        };
        has_failed |= error.is_some();
        match form.chunk_size {
            None => results.push(result(number, &series, error.as_deref(), false, form.epoch)),
            Some(_) => {
                for (at, rows) in series.iter().enumerate() {
                    let is_last = at + 1 == series.len() && error.is_none();
                    let rows = std::slice::from_ref(rows);
                    results.push(result(number, rows, None, !is_last, form.epoch));
                }
                if series.is_empty() || error.is_some() {
                    results.push(result(number, &[], error.as_deref(), false, form.epoch));
                }
            }
        }
    }
    match form.chunk_size {
        None if results.is_empty() => "{}\n".to_owned(),
        None => format!("{{\"results\":[{}]}}\n", results.join(",")),
        Some(_) => results
            .iter()
            .map(|result| format!("{{\"results\":[{result}]}}\n"))
            .collect(),
    }
}

fn run(engine: &Engine, form: Form<'_>, statement: &Statement) -> (Vec<Rows>, Option<String>) {
    let limits = Limits::default();
    let cancel = Cancel::default();
    let snapshot = engine.snapshot();
    let context = Context {
        snapshot: &snapshot,
        database: "d",
        policy: "",
        now: form.now,
        limits: &limits,
        cancel: &cancel,
        chunk_size: form.chunk_size,
        options: Options::default(),
    };
    let mut sink = Writing {
        engine,
        series: Vec::new(),
    };
    let ended = plimsoll_query::execute(statement, &context, &mut sink);
    let ended = ended.and_then(|outcome| apply(engine, outcome));
    (sink.series, ended.err().map(|error| error.to_string()))
}

fn result(
    number: usize,
    series: &[Rows],
    error: Option<&str>,
    is_partial: bool,
    epoch: &str,
) -> String {
    let mut out = format!("{{\"statement_id\":{number}").into_bytes();
    for (index, rows) in series.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"series\":[" } else { b"," });
        write_series(rows, Epoch::parse(epoch), &mut out);
    }
    if !series.is_empty() {
        out.push(b']');
    }
    if is_partial {
        out.extend_from_slice(b",\"partial\":true");
    }
    if let Some(error) = error {
        out.extend_from_slice(b",\"error\":");
        write_string(error, &mut out);
    }
    out.push(b'}');
    String::from_utf8(out).unwrap()
}

/// Keeps the answer, and writes what is to be written, as the server does.
struct Writing<'a> {
    engine: &'a Engine,
    series: Vec<Rows>,
}

impl Sink for Writing<'_> {
    fn series(&mut self, rows: Rows) -> Result<(), Error> {
        self.series.push(rows);
        Ok(())
    }

    fn message(&mut self, _: Message) {}

    fn write(&mut self, points: Points) -> Result<(), Error> {
        let Points {
            database,
            policy,
            batch,
        } = points;
        let written = self.engine.write(&database, &policy, &batch)?;
        let Some(first) = written.rejected.first() else {
            return Ok(());
        };
        let dropped: usize = written
            .rejected
            .iter()
            .map(|rejected| rejected.points)
            .sum();
        let reason = &first.reason;
        let text = format!("partial write: {reason} dropped={dropped}");
        Err(Error::Invalid(text))
    }
}

/// What the server does with a statement's effect.
fn apply(engine: &Engine, outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Effect(Effect::Catalog(change)) => {
            engine.change(&change)?;
            Ok(())
        }
        Outcome::Effect(Effect::DropShard(id)) => {
            engine.drop_partition(id)?;
            Ok(())
        }
        Outcome::Effect(Effect::Delete(deletions)) => {
            for deletion in &deletions {
                engine.delete(deletion)?;
            }
            Ok(())
        }
    }
}
