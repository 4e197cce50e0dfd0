//! Continuous queries: runs what is due, one after the other, and keeps how far each is.
//!
//! What is due, and over which times, is decided by [`plimsoll_query::continuous::plan`]. A run is
//! made durable after its points are: one that was cut off is done again, over the same points.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::catalog::{CatalogChange, Ran};
use plimsoll_engine::{TimeRange, Timestamp};
use plimsoll_query::continuous::{Continuous, plan};
use plimsoll_query::json::write_time;
use plimsoll_query::rows::{Cell, Message, Rows};
use plimsoll_query::{Cancel, Context, Error, Points, Sink, execute};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::config::Config;
use crate::http::Deadline;
use crate::into;

/// The running task, where there is one.
#[derive(Debug)]
pub(crate) struct Querier {
    stopping: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Querier {
    /// Starts to look for what is due.
    pub(crate) fn start(app: &Arc<App>, config: &Config) -> Self {
        let (stopping, stop) = watch::channel(false);
        // It ends when `stopping` says so or is dropped.
        let task = config
            .continuous_queries_every
            .map(|every| tokio::spawn(run_all(Arc::clone(app), every, stop)));
        Self { stopping, task }
    }

    /// Ends it; a query that runs is stopped.
    pub(crate) async fn stop(self) {
        self.stopping.send_replace(true);
        if let Some(task) = self.task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the task that runs continuous queries broke off");
        }
    }
}

async fn run_all(app: Arc<App>, every: Duration, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut runs = Runs::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        match round(&app, runs, &mut stop).await {
            Ok(known) => runs = known,
            Err(error) => {
                // What the catalog has of them is enough to go on.
                tracing::error!(%error, "a round of continuous queries broke off");
                runs = Runs::default();
            }
        }
        if *stop.borrow() {
            return;
        }
    }
}

/// Runs what is due now.
async fn round(
    app: &Arc<App>,
    mut runs: Runs,
    stop: &mut watch::Receiver<bool>,
) -> Result<Runs, JoinError> {
    let looker = Arc::clone(app);
    let (mut runs, jobs) = spawn_blocking(move || {
        let jobs = due(&looker, &mut runs);
        (runs, jobs)
    })
    .await?;
    let ran: Vec<Ran> = jobs.iter().map(|job| job.ran.clone()).collect();
    for job in jobs {
        let cancel = Arc::new(Cancel::default());
        let timeout = app.query.timeout;
        let _deadline = timeout.map(|timeout| Deadline::start(timeout, Arc::clone(&cancel)));
        let (runner, watched) = (Arc::clone(app), Arc::clone(&cancel));
        let mut running = spawn_blocking(move || run(&runner, &job, &watched));
        tokio::select! {
            ended = &mut running => ended?,
            _ = stop.changed() => {
                // It is not kept as run: the next start does it again.
                cancel.stop("the server stops");
                running.await?;
                return Ok(runs);
            }
        }
    }
    if !ran.is_empty() {
        let keeper = Arc::clone(app);
        runs = spawn_blocking(move || {
            keep(&keeper, ran, &mut runs);
            runs
        })
        .await?;
    }
    Ok(runs)
}

/// What is known of runs beside the catalog, which a full disk may keep from changing.
#[derive(Debug, Default)]
struct Runs {
    /// By database and query.
    last: HashMap<(String, String), Timestamp>,
    /// The catalog's last refusal, so that it is said once.
    said: String,
}

/// A query that is to be run.
#[derive(Debug)]
struct Job {
    query: Continuous,
    range: Option<TimeRange>,
    ran: Ran,
}

fn due(app: &App, runs: &mut Runs) -> Vec<Job> {
    let snapshot = app.engine.snapshot();
    let now = app.clock.now();
    let mut jobs = Vec::new();
    let mut last = HashMap::new();
    for database in snapshot.catalog().databases.values() {
        for kept in &database.continuous_queries {
            let key = (database.name.clone(), kept.name.clone());
            let last_run = kept.last_run.max(runs.last.get(&key).copied());
            let query = match Continuous::parse(&kept.text) {
                Ok(query) => query,
                Err(error) => {
                    failed(app, &database.name, &kept.name, &error);
                    continue;
                }
            };
            let due = query
                .schedule
                .as_ref()
                .and_then(|schedule| plan(schedule, last_run, now));
            if let Some(due) = due {
                last.insert(key, due.last_run);
                jobs.push(Job {
                    query,
                    range: due.range,
                    ran: Ran {
                        database: database.name.clone(),
                        name: kept.name.clone(),
                        last_run: due.last_run,
                    },
                });
            } else if let Some(last_run) = last_run {
                last.insert(key, last_run);
            }
        }
    }
    runs.last = last;
    jobs
}

/// Runs one over its times.
fn run(app: &App, job: &Job, cancel: &Arc<Cancel>) {
    let Some(range) = job.range else { return };
    let started = app.clock.now();
    let snapshot = app.engine.snapshot();
    let Ran { database, name, .. } = &job.ran;
    let context = Context {
        snapshot: &snapshot,
        database,
        policy: "",
        now: started,
        limits: &app.query.limits,
        cancel,
        chunk_size: None,
        options: app.query.options,
    };
    let mut target = Target {
        app,
        cancel,
        written: 0,
    };
    let statement = job.query.statement(range);
    // It is listed, and can be killed, as any other.
    let _entry = app
        .queries
        .enter(statement.to_string(), database, started, cancel);
    let (start, end) = (time_text(range.start.0), time_text(range.end.0 + 1));
    // A panic is an error of this query only: the others go on.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        execute(&statement, &context, &mut target).map_err(|error| error.to_string())
    }));
    let ended = ended.unwrap_or_else(|_| Err("it panicked".to_owned()));
    match ended {
        Ok(_) => {
            app.figures.continuous_ok.add(1);
            app.figures.continuous_points.add(target.written);
            let took_ns = app.clock.now().0.saturating_sub(started.0);
            let took = Duration::from_nanos(u64::try_from(took_ns).unwrap_or(0));
            tracing::info!(
                database,
                name,
                start,
                end,
                points = target.written,
                took_ms = took.as_secs_f64() * 1e3,
                "a continuous query ran"
            );
        }
        Err(error) => failed(app, database, name, &format!("{start} to {end}: {error}")),
    }
}

fn time_text(ns: i64) -> String {
    let mut text = Vec::new();
    write_time(ns, None, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn failed(app: &App, database: &str, name: &str, error: &str) {
    app.figures.continuous_failed.add(1);
    tracing::warn!(database, name, error, "a continuous query failed");
}

/// Keeps how far they are.
fn keep(app: &App, ran: Vec<Ran>, runs: &mut Runs) {
    let kept = app.engine.change(&CatalogChange::ContinuousQueriesRan(ran));
    let text = kept.err().map(|error| error.to_string());
    let text = text.unwrap_or_default();
    if text != runs.said && !text.is_empty() {
        tracing::warn!("how far continuous queries are was not kept: {text}");
    }
    runs.said = text;
}

/// Writes what a query answers.
struct Target<'a> {
    app: &'a App,
    cancel: &'a Cancel,
    written: u64,
}

impl Sink for Target<'_> {
    fn series(&mut self, rows: Rows) -> Result<(), Error> {
        if let Some([_, Cell::Integer(written)]) = rows.values.first().map(Vec::as_slice) {
            self.written = written.unsigned_abs();
        }
        Ok(())
    }

    fn message(&mut self, message: Message) {
        tracing::debug!(text = message.text, "a continuous query says");
    }

    fn write(&mut self, points: Points) -> Result<(), Error> {
        into::write(self.app, self.cancel, &points)
    }
}
