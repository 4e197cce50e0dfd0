//! Which times those of a series are.

use std::sync::atomic::{AtomicU64, Ordering};

/// Stands for times: those that come with an equal one are equal, in this process. Equal times may
/// come with several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimesId(u64);

impl TimesId {
    /// One that was not there before.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
