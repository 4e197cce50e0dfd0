//! The thread that does what is due in the engine: flush, retention, interval sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_engine::Durability;
use tokio::sync::oneshot;

use crate::app::App;

/// How often it looks; an interval sync that is shorter is looked at more often.
const EVERY: Duration = Duration::from_millis(100);
const EVERY_MIN: Duration = Duration::from_millis(1);

/// The running thread.
#[derive(Debug)]
pub(super) struct Maintenance {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Maintenance {
    /// Starts it. The receiver ends when the thread does, so that a panic is not overlooked.
    pub(super) fn start(app: Arc<App>, durability: Durability) -> (Self, oneshot::Receiver<()>) {
        let every = match durability {
            Durability::Interval(every) => every.clamp(EVERY_MIN, EVERY),
            Durability::Sync | Durability::None => EVERY,
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let (running, broken) = oneshot::channel();
        let stop = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("maintenance".to_owned())
            .spawn(move || {
                let _running: oneshot::Sender<()> = running;
                maintain(&app, &stop, every);
            })
            .expect("the machine can start a thread while the server starts");
        (Self { stopping, thread }, broken)
    }

    /// Ends it, after what it is doing now.
    pub(super) fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the maintenance thread had panicked");
        }
    }
}

fn maintain(app: &App, stopping: &AtomicBool, every: Duration) {
    // An error that stays is said once, not ten times a second.
    let mut said = String::new();
    while !stopping.load(Ordering::Acquire) {
        let text = match app.engine.maintain() {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        if text != said {
            if text.is_empty() {
                tracing::info!("maintenance works again");
            } else {
                tracing::error!("maintenance failed: {text}");
            }
            said = text;
        }
        std::thread::park_timeout(every);
    }
}
