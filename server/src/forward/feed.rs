//! One way out: reads the log behind its position, sends, and moves the position on.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::{Error, Reader, ReaderBatch, ReaderPosition};
use plimsoll_ingest::forward::{Access, Content, Destination, Outcome, Sender};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::schedule;
use super::wanted::{Owner, Selection, Wanted};
use crate::app::App;
use crate::config::ForwardConfig;

/// Points that are read at a time: what a way out holds in memory.
const READ_POINTS_MAX: usize = 20_000;
/// Between looks at a log that had nothing new.
const IDLE: Duration = Duration::from_millis(100);
/// How often a position is made durable; what was sent since is sent again after a crash.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Feed {
    app: Arc<App>,
    name: String,
    selection: Selection,
    senders: Vec<Sender>,
    /// The destination whose turn it is.
    turn: usize,
    /// Away while it reads.
    reader: Option<Reader>,
    /// What was sent and is not durable yet.
    sent: Option<ReaderPosition>,
    committed: Instant,
    failures: u32,
    said: String,
}

/// It was told to stop.
struct Stopped;

impl Feed {
    /// Takes the position of `way` up.
    ///
    /// # Errors
    /// The position cannot be had, or a destination not be reached in principle.
    pub(super) fn new(
        app: &Arc<App>,
        way: &Wanted,
        config: &ForwardConfig,
    ) -> Result<Self, String> {
        let access = match way.owner {
            Owner::Settings => config.access.clone(),
            // Whoever may make subscriptions does not get the operator's token sent to them.
            Owner::Subscription => Access {
                timeout: config.access.timeout,
                ..Access::default()
            },
        };
        let senders = way
            .destinations
            .iter()
            .map(|to: &Destination| Sender::new(to.clone(), &access));
        let reader = app.engine.reader(&way.reader, way.start);
        Ok(Self {
            senders: senders.collect::<Result<_, _>>()?,
            reader: Some(reader.map_err(|error| error.to_string())?),
            app: Arc::clone(app),
            name: way.reader.clone(),
            selection: way.selection.clone(),
            turn: 0,
            sent: None,
            committed: Instant::now(),
            failures: 0,
            said: String::new(),
        })
    }

    /// Forwards until `end` says so or its sender is gone.
    pub(super) async fn run(mut self, mut end: watch::Receiver<bool>) {
        while self.step(&mut end).await.is_ok() {}
        self.commit().await;
    }

    async fn step(&mut self, end: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
        let Some(reader) = self.reader.take() else {
            return Err(Stopped);
        };
        let app = Arc::clone(&self.app);
        let reading = spawn_blocking(move || {
            let mut reader = reader;
            let read = reader.read(&app.engine, READ_POINTS_MAX);
            (reader, read)
        });
        // A panic is logged where it happens; without its reader the way ends.
        let (reader, read) = reading.await.map_err(|_| Stopped)?;
        self.reader = Some(reader);
        match read {
            Ok(Some(batch)) => {
                self.send_all(&batch, end).await?;
                self.sent = Some(batch.position);
                if self.committed.elapsed() >= COMMIT_EVERY {
                    self.commit().await;
                }
                Ok(())
            }
            Ok(None) => {
                if self.committed.elapsed() >= COMMIT_EVERY {
                    self.commit().await;
                }
                pause(IDLE, end).await
            }
            Err(Error::ReaderNotFound(_)) => Err(Stopped),
            Err(error) => {
                self.failed(&error.to_string());
                pause(schedule::wait(self.failures, None), end).await
            }
        }
    }

    async fn send_all(
        &mut self,
        batch: &ReaderBatch,
        end: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        self.app.figures.forward_frames_lost.add(batch.frames_lost);
        let selection = self.selection.clone();
        let points = batch.points.iter();
        for points in points.filter(|of| selection.takes(&of.database, &of.policy)) {
            let protocol = self.senders[0].destination().protocol;
            let (contents, left_out) = Content::of(&points.batch, protocol, &points.database);
            self.app.figures.forward_left_out.add(left_out as u64);
            for content in contents {
                self.deliver(content, &points.database, end).await?;
            }
        }
        Ok(())
    }

    /// Sends until it is taken, or refused for good.
    async fn deliver(
        &mut self,
        content: Content,
        database: &str,
        end: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        let app = Arc::clone(&self.app);
        let figures = &app.figures;
        let mut todo = vec![content];
        while let Some(content) = todo.pop() {
            let count = content.len();
            let outcome = tokio::select! {
                outcome = self.senders[self.turn].send(&content, database, self.selection.policy()) => outcome,
                _ = async { end.wait_for(|end| *end).await.is_ok() } => return Err(Stopped),
            };
            self.turn = (self.turn + 1) % self.senders.len();
            match outcome {
                Outcome::Taken => {
                    figures.forward_points.add(count as u64);
                    self.went_well();
                }
                Outcome::Partly { why, lost } => {
                    // What does not parse there is not always counted there.
                    let lost = lost.clamp(1, count);
                    figures.forward_points.add((count - lost) as u64);
                    figures.forward_points_refused.add(lost as u64);
                    self.failures = 0;
                    self.say(&format!("{why} ({lost} points are not taken)"));
                }
                Outcome::Refused { why } => {
                    figures.forward_points_refused.add(count as u64);
                    self.failures = 0;
                    self.say(&format!(
                        "{why} (a request with {count} points is given up)"
                    ));
                }
                Outcome::TooLarge { why } => match content.halves() {
                    Some((first, second)) => todo.extend([second, first]),
                    None => {
                        figures.forward_points_refused.add(count as u64);
                        self.say(&format!(
                            "{why} (a single point is too large: it is given up)"
                        ));
                    }
                },
                Outcome::Later { why, after } => {
                    figures.forward_failures.add(1);
                    self.failed(&why);
                    todo.push(content);
                    // Another that can take it does not wait.
                    let others = u32::try_from(self.senders.len()).unwrap_or(u32::MAX);
                    if self.failures.is_multiple_of(others) {
                        let rounds = self.failures / others;
                        pause(schedule::wait(rounds, after), end).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn commit(&mut self) {
        self.committed = Instant::now();
        let Some(position) = self.sent.take() else {
            return;
        };
        let (app, name) = (Arc::clone(&self.app), self.name.clone());
        let committing = spawn_blocking(move || app.engine.commit_reader(&name, position));
        match committing.await {
            // It was dropped with its subscription.
            Ok(Ok(()) | Err(Error::ReaderNotFound(_))) => {}
            Ok(Err(error)) => {
                self.sent = Some(position);
                self.say(&format!("the position in the log is not durable: {error}"));
            }
            Err(error) => tracing::error!(%error, way = self.name, "a position was not noted"),
        }
    }

    fn failed(&mut self, why: &str) {
        self.failures = self.failures.saturating_add(1);
        self.say(why);
    }

    /// Logs what is wrong when it comes, not each time.
    fn say(&mut self, why: &str) {
        if self.said != why {
            tracing::warn!(way = self.name, "{why}");
            self.said = why.to_owned();
        }
    }

    fn went_well(&mut self) {
        self.failures = 0;
        if !self.said.is_empty() {
            tracing::info!(way = self.name, "forwarded without a problem again");
            self.said.clear();
        }
    }
}

async fn pause(time: Duration, end: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        _ = async { end.wait_for(|end| *end).await.is_ok() } => Err(Stopped),
    }
}
