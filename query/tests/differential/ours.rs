//! What our side answers.

use plimsoll_engine::{Engine, Timestamp};
use plimsoll_query::json::{Epoch, write_series, write_string};
use plimsoll_query::rows::{Message, Rows};
use plimsoll_query::{Cancel, Context, Effect, Error, Limits, Options, Outcome, Points, Sink};

use super::data;

/// What our side answers, as the server prints it.
pub fn ours(engine: &Engine, epoch: &str, query: &str) -> String {
    let statements = match plimsoll_query::parse(query, &Default::default()) {
        Ok(statements) => statements,
        Err(error) => {
            let mut out = b"{\"error\":".to_vec();
            write_string(&format!("error parsing query: {error}"), &mut out);
            return String::from_utf8(out).unwrap() + "}\n";
        }
    };
    let limits = Limits::default();
    let cancel = Cancel::default();
    let mut out = b"{\"results\":[".to_vec();
    for (number, statement) in statements.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("{{\"statement_id\":{number}").as_bytes());
        let snapshot = engine.snapshot();
        let context = Context {
            snapshot: &snapshot,
            database: "d",
            policy: "",
            now: Timestamp(data::START + data::DAY),
            limits: &limits,
            cancel: &cancel,
            chunk_size: None,
            options: Options::default(),
        };
        let mut sink = Writing {
            engine,
            series: Vec::new(),
        };
        let result = plimsoll_query::execute(statement, &context, &mut sink);
        let result = result.and_then(|outcome| apply(engine, outcome));
        for (index, series) in sink.series.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b",\"series\":[" } else { b"," });
            write_series(series, Epoch::parse(epoch), &mut out);
        }
        if !sink.series.is_empty() {
            out.push(b']');
        }
        if let Err(error) = result {
            out.extend_from_slice(b",\"error\":");
            write_string(&error.to_string(), &mut out);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}\n");
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
