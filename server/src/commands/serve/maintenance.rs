//! The threads that do what is due in the engine: one keeps the log (syncs at intervals, prepares
//! files); one indexes what is new to the head; one flushes the head and drops what expired; one merges
//! segments. All but the first may take long and give way to writes and queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_engine::{Durability, Engine, Error};
use tokio::sync::Notify;

use crate::app::App;

/// How often it looks; an interval sync that is shorter is looked at more often.
const EVERY: Duration = Duration::from_millis(100);
const EVERY_MIN: Duration = Duration::from_millis(1);
/// How often it looks whether segments are to be merged.
const MERGE_EVERY: Duration = Duration::from_secs(1);
/// What the threads that take long have as niceness: a core that others want too gives a flush about
/// a quarter, a merge a tenth. More, and a head that grows would come to its limit.
const FLUSH_NICE: i32 = 5;
const COMPACTION_NICE: i32 = 10;

/// The running threads.
#[derive(Debug)]
pub(super) struct Maintenance {
    stopping: Arc<AtomicBool>,
    threads: [JoinHandle<()>; 4],
}

/// What a thread does until it is told to stop.
type Work = Box<dyn FnOnce(&App, &AtomicBool) + Send>;

/// Says that a thread has ended when it is dropped, so that a panic is not overlooked.
struct Running(Arc<Notify>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Maintenance {
    /// Starts them. The notice comes when one of them ends.
    pub(super) fn start(app: &Arc<App>, durability: Durability) -> (Self, Arc<Notify>) {
        let every = match durability {
            Durability::Interval(every) => every.clamp(EVERY_MIN, EVERY),
            Durability::Sync | Durability::None => EVERY,
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let broken = Arc::new(Notify::new());
        let start = |name: &str, work: Work| {
            let (app, stop) = (Arc::clone(app), Arc::clone(&stopping));
            let running = Running(Arc::clone(&broken));
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || {
                    let _running = running;
                    work(&app, &stop);
                })
                .expect("the machine can start a thread while the server starts")
        };
        let threads = [
            start(
                "log",
                Box::new(move |app, stop| {
                    maintain(app, stop, every, "keeping the log", Engine::maintain_log);
                }),
            ),
            start(
                "index",
                Box::new(|app, stop| {
                    give_way(FLUSH_NICE);
                    maintain(app, stop, EVERY, "indexing", |engine| {
                        engine.maintain_index();
                        Ok(())
                    });
                }),
            ),
            start(
                "flush",
                Box::new(|app, stop| {
                    give_way(FLUSH_NICE);
                    maintain(app, stop, EVERY, "flushing", Engine::maintain_head);
                }),
            ),
            start(
                "compaction",
                Box::new(|app, stop| {
                    give_way(COMPACTION_NICE);
                    compact(app, stop);
                }),
            ),
        ];
        (Self { stopping, threads }, broken)
    }

    /// Ends them: a flush after it is done, a merge at once, which leaves the segments as they
    /// were.
    pub(super) fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        for thread in self.threads {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a maintenance thread had panicked");
            }
        }
    }
}

/// Lowers the priority of the calling thread below that of the others.
fn give_way(by: i32) {
    // Linux takes no process for the calling thread, not for all threads of its process.
    let lowered = rustix::process::getpriority_process(None)
        .and_then(|nice| rustix::process::setpriority_process(None, nice.saturating_add(by)));
    if let Err(error) = lowered {
        tracing::warn!(%error, "a thread that works behind others has the same priority as they");
    }
}

fn maintain(
    app: &App,
    stopping: &AtomicBool,
    every: Duration,
    what: &str,
    work: impl Fn(&Engine) -> Result<(), Error>,
) {
    // An error that stays is said once, not ten times a second.
    let mut said = String::new();
    while !stopping.load(Ordering::Acquire) {
        let text = match work(&app.engine) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        if text != said {
            if text.is_empty() {
                tracing::info!("{what} works again");
            } else {
                tracing::error!("{what} failed: {text}");
            }
            said = text;
        }
        std::thread::park_timeout(every);
    }
}

fn compact(app: &App, stopping: &AtomicBool) {
    while !stopping.load(Ordering::Acquire) {
        match app.engine.compact_step(stopping) {
            Ok(Some(done)) => {
                tracing::debug!(
                    partition = done.partition.0,
                    segments_before = done.segments_before,
                    segments_after = done.segments_after,
                    "merged segments"
                );
                continue;
            }
            Ok(None) => {}
            // The engine leaves the partition alone for a while, so that this is not said often.
            Err(error) => tracing::error!("merging segments failed: {error}"),
        }
        std::thread::park_timeout(MERGE_EVERY);
    }
}
