//! The server's own figures, written into its own database `_internal`, as InfluxDB does it.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::catalog::{DAY_NS, PolicySpec};
use plimsoll_engine::{Batch, FieldValue, TagSet};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::config::Config;
use crate::exit::Failure;
use crate::figures::figures;

/// InfluxDB's `store-database`.
pub(crate) const DATABASE: &str = "_internal";
/// Its policy there, and how long it keeps points.
const POLICY: &str = "monitor";
const RETENTION_NS: i64 = 7 * DAY_NS;

/// The running task, where there is one.
#[derive(Debug)]
pub(crate) struct Monitor {
    stopping: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Makes the database where it is not there, and starts to write.
    ///
    /// # Errors
    /// The database cannot be made.
    pub(crate) fn start(app: &Arc<App>, config: &Config) -> Result<Self, Failure> {
        let (stopping, stop) = watch::channel(false);
        let Some(every) = config.monitor_every else {
            return Ok(Self {
                stopping,
                task: None,
            });
        };
        let policy = PolicySpec {
            name: Some(POLICY.to_owned()),
            retention: Some(RETENTION_NS),
            ..PolicySpec::default()
        };
        app.ensure_database(DATABASE, Some(policy))?;
        let hostname = config.sources.hostname.clone();
        // It ends when `stopping` says so or is dropped.
        let task = tokio::spawn(write_all(Arc::clone(app), hostname, every, stop));
        Ok(Self {
            stopping,
            task: Some(task),
        })
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        self.stopping.send_replace(true);
        if let Some(Err(error)) = match self.task {
            Some(task) => Some(task.await),
            None => None,
        } {
            tracing::error!(%error, "the task that writes into {DATABASE} broke off");
        }
    }
}

async fn write_all(
    app: Arc<App>,
    hostname: String,
    every: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    // The first tick is at once, when there is nothing to tell.
    tick.tick().await;
    let mut said = String::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        let (writer, hostname) = (Arc::clone(&app), hostname.clone());
        let written = app.workers.write(move || write(&writer, &hostname)).await;
        let text = match written {
            Ok(Ok(())) => String::new(),
            Ok(Err(text)) => text,
            Err(refused) => refused.to_string(),
        };
        // A full disk is said once, not every ten seconds.
        if text != said && !text.is_empty() {
            tracing::warn!("figures were not written into {DATABASE}: {text}");
        }
        said = text;
    }
}

fn write(app: &App, hostname: &str) -> Result<(), String> {
    let written = app.engine.write(DATABASE, "", &batch(app, hostname)?);
    let written = written.map_err(|error| error.to_string())?;
    let refused = written.rejected.into_iter().next();
    refused.map_or(Ok(()), |refused| Err(refused.reason))
}

/// A point a group of figures.
fn batch(app: &App, hostname: &str) -> Result<Batch, String> {
    let tags = TagSet::from_pairs([("hostname", hostname)]).map_err(|error| error.to_string())?;
    let now = app.clock.now();
    let mut batch = Batch::default();
    for group in figures(app).chunk_by(|one, next| one.group == next.group) {
        let fields = group.iter().map(|figure| {
            let value = i64::try_from(figure.value).unwrap_or(i64::MAX);
            (figure.key, FieldValue::Integer(value))
        });
        batch.add(group[0].group, &tags, now, fields);
    }
    Ok(batch)
}
