//! Group commit: who leads, who waits, and what they are told.
//!
//! Callers that come while a leader is busy join the pending group. When it is through, one of them
//! takes the lead and the whole group with it: all came before it drains.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use super::failure::Failure;
use super::{CommitSync, Durability, Log, Ticket};
use crate::Result;

/// How a group's frame went.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    result: Result<u64, Failure>,
    /// Failures counted when the group was through, itself included.
    failures: u64,
    /// The last of those.
    last_failure: Option<Failure>,
}

impl Outcome {
    /// What a caller with this ticket is told.
    ///
    /// A failure since its ticket may have taken its bytes, before it came to this group.
    pub(super) fn answer(self, ticket: Ticket) -> Result<u64> {
        let last = self.result?;
        match self.last_failure {
            Some(failure) if self.failures != ticket.failures => Err(failure.into()),
            _ => Ok(last),
        }
    }
}

#[derive(Debug, Default)]
struct Group {
    outcome: OnceLock<Outcome>,
}

/// The state of group commit.
#[derive(Debug, Default)]
pub(super) struct Queue {
    led: bool,
    pending: Arc<Group>,
    pending_sync: CommitSync,
    last_failure: Option<Failure>,
}

#[cfg(test)]
impl Queue {
    pub(super) fn is_led(&self) -> bool {
        self.led
    }

    /// How many have joined the pending group: each holds it, as the queue does.
    pub(super) fn waiting(&self) -> usize {
        Arc::strong_count(&self.pending) - 1
    }
}

pub(super) enum Role<'log> {
    /// Another led; this is what came of it.
    Waited(Outcome),
    /// The caller leads: it drains, writes, and calls [`Lead::finish`].
    Leads(Lead<'log>),
}

/// Held by the one leader.
pub(super) struct Lead<'log> {
    log: &'log Log,
    group: Arc<Group>,
    sync: CommitSync,
}

impl Lead<'_> {
    /// Whether the group needs a sync: one of it asked for one, or the log's durability does.
    pub(super) fn sync(&self) -> CommitSync {
        match self.log.options.durability {
            Durability::Sync => CommitSync::Always,
            Durability::Interval(_) | Durability::None => self.sync,
        }
    }

    /// Ends the lead and tells the group.
    pub(super) fn finish(self, result: Result<u64, Failure>) -> Outcome {
        self.publish(result)
    }

    fn publish(&self, result: Result<u64, Failure>) -> Outcome {
        let mut queue = self.log.queue.lock();
        if let Err(failure) = &result {
            self.log.failures.fetch_add(1, Ordering::AcqRel);
            queue.last_failure = Some(failure.clone());
        }
        let told = self.group.outcome.get_or_init(|| Outcome {
            result,
            failures: self.log.failures(),
            last_failure: queue.last_failure.clone(),
        });
        queue.led = false;
        drop(queue);
        self.log.turn.notify_all();
        told.clone()
    }
}

impl Drop for Lead<'_> {
    /// A leader that panicked has drained bytes that nobody will write.
    fn drop(&mut self) {
        if self.group.outcome.get().is_none() {
            let failure = self.log.writer.lock().stop("a commit panicked");
            self.publish(Err(failure));
        }
    }
}

impl Log {
    /// Joins the pending group; returns when it is through, or is the caller's to lead.
    pub(super) fn join(&self, sync: CommitSync) -> Role<'_> {
        let mut queue = self.queue.lock();
        if sync == CommitSync::Always {
            queue.pending_sync = CommitSync::Always;
        }
        let group = Arc::clone(&queue.pending);
        while queue.led {
            self.turn.wait(&mut queue);
            if let Some(outcome) = group.outcome.get() {
                return Role::Waited(outcome.clone());
            }
        }
        Role::Leads(self.take_lead(&mut queue))
    }

    /// Leads the pending group, as soon as nobody else leads, without being one of it.
    pub(super) fn lead(&self) -> Lead<'_> {
        let mut queue = self.queue.lock();
        while queue.led {
            self.turn.wait(&mut queue);
        }
        self.take_lead(&mut queue)
    }

    fn take_lead(&self, queue: &mut Queue) -> Lead<'_> {
        queue.led = true;
        Lead {
            log: self,
            group: std::mem::take(&mut queue.pending),
            sync: std::mem::take(&mut queue.pending_sync),
        }
    }
}
