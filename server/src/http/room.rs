//! Memory for the bodies of requests: one budget for all, so that many large ones at a time are
//! refused and do not end the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much all requests may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    used: AtomicUsize,
}

/// What one request holds; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    budget: Arc<Budget>,
    held: usize,
}

/// There is no more; holds the budget in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full(pub(super) usize);

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            used: AtomicUsize::new(0),
        })
    }

    /// Bytes that requests hold now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Room for nothing yet.
    pub(super) fn room(self: &Arc<Self>) -> Room {
        Room {
            budget: Arc::clone(self),
            held: 0,
        }
    }
}

impl Room {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`Full`]; nothing is taken.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let max = self.budget.bytes_max;
        let taken = self
            .budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= max)
            });
        taken.map_err(|_| Full(max))?;
        self.held += bytes;
        Ok(())
    }

    /// The budget that this is part of.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.room(), budget.room());
        assert_eq!(first.grow(6), Ok(()));
        assert_eq!(second.grow(5), Err(Full(10)));
        assert_eq!(second.grow(4), Ok(()));
        assert_eq!(budget.used_bytes(), 10);
        drop(first);
        assert_eq!(second.grow(usize::MAX), Err(Full(10)));
        assert_eq!(second.grow(6), Ok(()));
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }
}
