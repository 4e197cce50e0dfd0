//! Runs the statements of a request, on a worker thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use plimsoll_query::ast::Statement;
use plimsoll_query::json::Epoch;
use plimsoll_query::rows::Message;
use plimsoll_query::{Cancel, Context, Effect, Error, Outcome, Params, Sink, execute, parse};
use tokio::sync::mpsc;

use super::super::answer::{Answer, Format};
use super::super::output::{Gone, Output, Piece};
use crate::app::App;

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) params: Params,
    pub(super) database: String,
    pub(super) policy: String,
    pub(super) epoch: Epoch,
    /// A GET, which should not change anything.
    pub(super) read_only: bool,
    /// Rows in a piece of a chunked answer.
    pub(super) chunk_size: Option<usize>,
}

/// Parses the query and answers it, or says why not.
pub(super) fn run(
    app: &App,
    query: &Query,
    cancel: &Cancel,
    sender: &mpsc::Sender<Piece>,
    out: Output,
    format: Format,
) {
    let statements = match parse(&query.text, &query.params) {
        Ok(statements) => statements,
        Err(error) => {
            let refused = Piece::Refused(format!("error parsing query: {error}"));
            if sender.blocking_send(refused).is_err() {
                tracing::debug!("the client left before it was told of its error");
            }
            return;
        }
    };
    let answer = Answer::new(out, format, query.epoch);
    if answer_all(app, query, cancel, &statements, answer).is_err() {
        tracing::debug!("the client left before its answer was complete");
    }
}

fn answer_all(
    app: &App,
    query: &Query,
    cancel: &Cancel,
    statements: &[Statement],
    mut answer: Answer,
) -> Result<(), Gone> {
    let mut failed = false;
    for (number, statement) in statements.iter().enumerate() {
        answer.begin(number);
        if failed {
            answer.end(Err("not executed"))?;
            continue;
        }
        match one(app, query, cancel, statement, &mut answer) {
            Ok(()) => {
                if query.read_only && changes_something(statement) {
                    answer.message(deprecated(statement));
                }
                answer.end(Ok(()))?;
            }
            Err(text) => {
                failed = true;
                answer.end(Err(&text))?;
            }
        }
    }
    answer.finish(statements.len())
}

/// Runs a statement and applies its effect. A panic is an error of this statement only.
fn one(
    app: &App,
    query: &Query,
    cancel: &Cancel,
    statement: &Statement,
    answer: &mut Answer,
) -> Result<(), String> {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let snapshot = app.engine.snapshot();
        let context = Context {
            snapshot: &snapshot,
            database: &query.database,
            policy: &query.policy,
            now: app.clock.now(),
            limits: &app.query.limits,
            cancel,
            chunk_size: query.chunk_size,
        };
        match execute(statement, &context, answer)? {
            Outcome::Done => Ok(()),
            Outcome::Effect(effect) => apply(app, effect),
        }
    }));
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            tracing::error!(%statement, "a query panicked");
            Err("internal error: see the server's log".to_owned())
        }
    }
}

fn apply(app: &App, effect: Effect) -> Result<(), Error> {
    match effect {
        Effect::Catalog(change) => {
            app.engine.change(&change)?;
            Ok(())
        }
        Effect::Delete(deletions) => {
            for deletion in &deletions {
                app.engine.delete(deletion)?;
            }
            Ok(())
        }
    }
}

/// Statements that InfluxDB wants to be sent by POST.
fn changes_something(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::CreateDatabase { .. }
            | Statement::DropDatabase { .. }
            | Statement::CreateRetentionPolicy { .. }
            | Statement::AlterRetentionPolicy { .. }
            | Statement::DropRetentionPolicy { .. }
            | Statement::CreateContinuousQuery { .. }
            | Statement::DropContinuousQuery { .. }
            | Statement::CreateSubscription { .. }
            | Statement::DropSubscription { .. }
            | Statement::CreateUser { .. }
            | Statement::DropUser { .. }
            | Statement::SetPassword { .. }
            | Statement::Grant { .. }
            | Statement::Revoke { .. }
            | Statement::DropSeries { .. }
            | Statement::DropMeasurement { .. }
            | Statement::DropShard { .. }
    )
}

fn deprecated(statement: &Statement) -> Message {
    Message {
        level: "warning",
        text: format!(
            "deprecated use of '{statement}' in a read only context, \
             please use a POST request instead"
        ),
    }
}
