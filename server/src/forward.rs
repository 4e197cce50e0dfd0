//! What is sent on to other stores: all that is stored, where the settings say so, and what
//! subscriptions ask for.
//!
//! Owns a task for each way out. Each has a named position in the log, so that a restart, a slow
//! peer or a dead one loses nothing that the log still holds, and none waits for another.

mod feed;
mod schedule;
mod wanted;

use std::sync::Arc;

use parking_lot::Mutex;
use plimsoll_engine::Engine;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::feed::Feed;
use self::wanted::{Wanted, wanted};
use crate::app::App;
use crate::config::ForwardConfig;

/// All ways out of a running server.
#[derive(Debug)]
pub(crate) struct Forwarding {
    feeds: Arc<Feeds>,
    task: JoinHandle<()>,
    stopping: watch::Sender<bool>,
}

/// Which ways there should be. Told of every change of the catalog before it is answered, so
/// that a subscription gets what is written after it was made.
#[derive(Debug)]
pub(crate) struct Feeds {
    config: ForwardConfig,
    /// Counts changes.
    changed: watch::Sender<u64>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Feeds {
    pub(crate) fn new(config: ForwardConfig) -> Self {
        Self {
            config,
            changed: watch::Sender::new(0),
            changing: Mutex::new(()),
        }
    }

    /// Makes a position in the log for each way out that is new, and forgets those of ways that
    /// are gone. What fails is logged: the catalog has changed all the same.
    pub(crate) fn follow_catalog(&self, engine: &Engine) {
        let _one = self.changing.lock();
        let ways = wanted(&self.config, engine.snapshot().catalog());
        let there = engine.readers();
        for way in &ways {
            if !there.iter().any(|reader| reader.name == way.reader)
                && let Err(error) = engine.reader(&way.reader, way.start)
            {
                tracing::error!(%error, way = way.reader, "nothing can be forwarded this way");
            }
        }
        for reader in there {
            let is_ours = wanted::is_ours(&reader.name);
            if is_ours && !ways.iter().any(|way| way.reader == reader.name) {
                tracing::info!(way = reader.name, "nothing more is forwarded this way");
                if let Err(error) = engine.drop_reader(&reader.name) {
                    tracing::error!(%error, way = reader.name, "its position in the log stays");
                }
            }
        }
        self.changed.send_modify(|count| *count += 1);
    }
}

impl Forwarding {
    /// Starts to forward. Call it on the runtime.
    pub(crate) fn start(app: &Arc<App>) -> Self {
        let feeds = Arc::clone(&app.feeds);
        feeds.follow_catalog(&app.engine);
        let (stopping, stop) = watch::channel(false);
        let task = tokio::spawn(supervise(Arc::clone(app), Arc::clone(&feeds), stop));
        Self {
            feeds,
            task,
            stopping,
        }
    }

    /// Ends it; what is under way is sent again after the next start.
    pub(crate) async fn stop(self) {
        self.stopping.send_replace(true);
        drop(self.feeds);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task that forwards broke off");
        }
    }
}

/// Keeps a task for each way out that there should be.
async fn supervise(app: Arc<App>, feeds: Arc<Feeds>, mut stop: watch::Receiver<bool>) {
    let mut changed = feeds.changed.subscribe();
    let mut running: Vec<(Wanted, watch::Sender<bool>)> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        let ways = wanted(&feeds.config, app.engine.snapshot().catalog());
        // A task whose sender is dropped ends.
        running.retain(|(way, _)| ways.contains(way));
        for way in ways {
            if running.iter().any(|(there, _)| *there == way) {
                continue;
            }
            let (ending, end) = watch::channel(false);
            match Feed::new(&app, &way, &feeds.config) {
                Ok(feed) => {
                    tracing::info!(way = way.reader, "forwarding");
                    tasks.spawn(feed.run(end));
                }
                Err(error) => {
                    tracing::error!(%error, way = way.reader, "nothing is forwarded this way");
                }
            }
            running.push((way, ending));
        }
        tokio::select! {
            // An error is a sender that is gone, which means the same.
            _ = async { stop.wait_for(|stop| *stop).await.is_ok() } => break,
            more = changed.changed() => if more.is_err() { break },
            ended = tasks.join_next(), if !tasks.is_empty() => {
                if let Some(Err(error)) = ended {
                    tracing::error!(%error, "a task that forwards broke off");
                }
            }
        }
    }
    drop(running);
    while tasks.join_next().await.is_some() {}
}
