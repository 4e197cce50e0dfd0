//! Runs the statements of a request, on a worker thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use plimsoll_engine::Timestamp;
use plimsoll_engine::catalog::CatalogChange;
use plimsoll_query::ast::Statement;
use plimsoll_query::json::Epoch;
use plimsoll_query::rows::{Cell, Message, Rows};
use plimsoll_query::{
    Cancel, Context, Effect, Error, Outcome, Params, Points, Sink, continuous, execute,
    explain_analyze, parse,
};
use tokio::sync::mpsc;

use super::super::answer::{Answer, Format};
use super::super::headers::RequestId;
use super::super::identity::Identity;
use super::super::output::{Gone, Output, Piece};
use super::super::reply::INTERNAL_ERROR;
use super::{state, users};
use crate::app::App;
use crate::into;

/// Who asks.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) identity: Identity,
    /// The request's id, for the log.
    pub(super) id: RequestId,
}

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) asker: Asker,
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
    cancel: &Arc<Cancel>,
    sender: &mpsc::Sender<Piece>,
    out: Output,
    format: Format,
) {
    let statements = match parse(&query.text, &query.params) {
        Ok(statements) => statements,
        Err(error) => {
            let text = format!("error parsing query: {error}");
            return refuse(sender, StatusCode::BAD_REQUEST, text);
        }
    };
    let identity = &query.asker.identity;
    if let Err((status, text)) = identity.may_run(app, &statements, &query.database) {
        return refuse(sender, status, text);
    }
    let printed: Vec<String> = statements.iter().map(ToString::to_string).collect();
    let now = app.clock.now();
    let _entry = app
        .queries
        .enter(printed.join(";\n"), &query.database, now, cancel);
    let answer = Answer::new(out, format, query.epoch);
    if answer_all(app, query, cancel, &statements, answer).is_err() {
        tracing::debug!("the client left before its answer was complete");
    }
}

fn refuse(sender: &mpsc::Sender<Piece>, status: StatusCode, text: String) {
    if sender.blocking_send(Piece::Refused(status, text)).is_err() {
        tracing::debug!("the client left before it was told of its error");
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
                    answer.message(deprecated(app, query, statement));
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
    let started = app.clock.now();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        if let Some(done) = users::execute(app, statement, answer) {
            return done;
        }
        if let Some(done) = state::execute(app, statement, answer) {
            return done;
        }
        let mut visible = Visible {
            identity: &query.asker.identity,
            answer,
        };
        let mut writing;
        let sink: &mut dyn Sink = match statement {
            Statement::ShowDatabases => &mut visible,
            Statement::Select(select) if select.target.is_some() => {
                let answer = visible.answer;
                writing = Writing {
                    app,
                    cancel,
                    answer,
                };
                &mut writing
            }
            _ => visible.answer,
        };
        let snapshot = app.engine.snapshot();
        let context = Context {
            snapshot: &snapshot,
            database: &query.database,
            policy: &query.policy,
            now: app.clock.now(),
            limits: &app.query.limits,
            cancel,
            chunk_size: query.chunk_size,
            options: app.query.options,
        };
        if let Statement::Explain {
            select,
            analyze: true,
            verbose,
        } = statement
        {
            let clock = || app.clock.now();
            return explain_analyze(select, *verbose, &context, &clock, sink)
                .map_err(|error| error.to_string());
        }
        let outcome = execute(statement, &context, sink).map_err(|error| error.to_string())?;
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Effect(effect) => apply(app, effect).map_err(|error| error.to_string()),
        }
    }));
    say_if_slow(app, query, statement, started);
    match ended {
        Ok(done) => done,
        Err(_) => {
            tracing::error!(%statement, "a query panicked");
            Err(INTERNAL_ERROR.to_owned())
        }
    }
}

/// Logs a statement that took long; passwords in it are not printed.
fn say_if_slow(app: &App, query: &Query, statement: &Statement, started: Timestamp) {
    let took_ns = app.clock.now().0.saturating_sub(started.0);
    let took = Duration::from_nanos(u64::try_from(took_ns).unwrap_or(0));
    app.requests.count_statement(took);
    if app.query.log_after.is_some_and(|after| took >= after) {
        tracing::warn!(
            %statement,
            database = query.database,
            request_id = query.asker.id.text(),
            took_ms = took.as_secs_f64() * 1e3,
            "slow query"
        );
    }
}

/// SHOW DATABASES, without what the asker may not use.
struct Visible<'a> {
    identity: &'a Identity,
    answer: &'a mut Answer,
}

impl Sink for Visible<'_> {
    fn series(&mut self, mut rows: Rows) -> Result<(), Error> {
        rows.values.retain(|row| match row.first() {
            Some(Cell::String(database)) => self.identity.may_see(database),
            _ => true,
        });
        self.answer.series(rows)
    }

    fn message(&mut self, message: Message) {
        self.answer.message(message);
    }
}

/// SELECT … INTO: points go into the engine, their number into the answer.
struct Writing<'a> {
    app: &'a App,
    cancel: &'a Cancel,
    answer: &'a mut Answer,
}

impl Sink for Writing<'_> {
    fn series(&mut self, rows: Rows) -> Result<(), Error> {
        self.answer.series(rows)
    }

    fn message(&mut self, message: Message) {
        self.answer.message(message);
    }

    fn write(&mut self, points: Points) -> Result<(), Error> {
        into::write(self.app, self.cancel, &points)
    }
}

fn apply(app: &App, effect: Effect) -> Result<(), Error> {
    match effect {
        Effect::Catalog(change) => {
            app.change(&change)?;
            if let CatalogChange::DropDatabase { name } = &change {
                forget_database(app, name);
            }
            Ok(())
        }
        Effect::DropShard(id) => {
            app.engine.drop_partition(id)?;
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

/// Rights in a database that is gone must not hold in a later one of the same name.
fn forget_database(app: &App, name: &str) {
    let forgotten = app.users.change(|set| {
        set.forget_database(name);
        Ok(())
    });
    if let Err(error) = forgotten {
        tracing::error!(%error, database = name, "rights in a dropped database are still there");
    }
}

/// Statements that InfluxDB wants to be sent by POST.
fn changes_something(statement: &Statement) -> bool {
    if let Statement::Select(select) = statement {
        return select.target.is_some();
    }
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

fn deprecated(app: &App, query: &Query, statement: &Statement) -> Message {
    // InfluxDB has put databases and policies in by now.
    let snapshot = app.engine.snapshot();
    let qualified = continuous::qualified(
        statement,
        snapshot.catalog(),
        &query.database,
        &query.policy,
    );
    let statement = qualified.as_ref().unwrap_or(statement);
    Message {
        level: "warning",
        text: format!(
            "deprecated use of '{statement}' in a read only context, \
             please use a POST request instead"
        ),
    }
}
