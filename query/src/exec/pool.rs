//! The threads that statements share, and the only places where work is spread over them.
//!
//! Results always come back in the order of their inputs, so an answer does not depend on threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use plimsoll_engine::Summaries;
use rayon::ThreadPool;

use super::error::Result;

/// How a statement is run. Answers are the same, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Execution {
    /// Spread over the threads of queries.
    #[default]
    Parallel,
    /// On the caller's thread: what the other is compared to.
    Serial,
    /// Spread, and every block decoded rather than answered for by its summary.
    Decoded,
}

impl Execution {
    /// Whether summaries of blocks may answer for them.
    pub(crate) fn summaries(self) -> Summaries {
        match self {
            Self::Parallel | Self::Serial => Summaries::Offered,
            Self::Decoded => Summaries::Ignored,
        }
    }

    /// How many parts work is best cut into: a few for each thread, so that none waits long for
    /// the last.
    pub(crate) fn parts(self) -> usize {
        match self {
            Self::Serial => 1,
            Self::Parallel | Self::Decoded => {
                threads().map_or(1, |pool| pool.current_num_threads() * PARTS_PER_THREAD)
            }
        }
    }
}

/// See [`Execution::parts`].
const PARTS_PER_THREAD: usize = 4;

/// Calls `work` with each item and answers the results in order; of several errors the first.
///
/// # Errors
/// What `work` returns.
pub(crate) fn map<T: Sync, R: Send>(
    execution: Execution,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let pool = match execution {
        Execution::Parallel | Execution::Decoded if items.len() > 1 => threads(),
        _ => None,
    };
    let Some(pool) = pool else {
        return items.iter().map(work).collect();
    };
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<R>>>> = items.iter().map(|_| Mutex::default()).collect();
    let take_turns = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let result = work(item);
            if result.is_err() {
                // Those before it were taken before it: of several errors the first is found.
                next.store(items.len(), Ordering::Relaxed);
            }
            *results[at].lock() = Some(result);
        }
    };
    // The caller's thread takes part: it need not wait for another to wake up.
    let others = pool.current_num_threads().min(items.len()) - 1;
    pool.in_place_scope(|scope| {
        (0..others).for_each(|_| scope.spawn(|_| take_turns()));
        take_turns();
    });
    results.into_iter().filter_map(Mutex::into_inner).collect()
}

/// Calls `work` with several items at a time and answers all its results in order; of several
/// errors the first.
///
/// # Errors
/// What `work` returns.
pub(crate) fn chunks<T: Sync, R: Send>(
    execution: Execution,
    items: &[T],
    work: impl Fn(&[T]) -> Result<Vec<R>> + Sync,
) -> Result<Vec<R>> {
    let size = items.len().div_ceil(execution.parts()).max(1);
    if size >= items.len() {
        return work(items);
    }
    let parts: Vec<&[T]> = items.chunks(size).collect();
    let results = map(execution, &parts, |part| work(part))?;
    Ok(results.into_iter().flatten().collect())
}

/// The pool: as many threads as the machine has cores; none on one core, or where they cannot be
/// started.
fn threads() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(cores)
            .thread_name(|number| format!("query-{number}"))
            .build();
        pool.ok().filter(|_| cores > 1)
    });
    pool.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::error::Error;

    #[test]
    fn results_keep_the_order_of_their_items() {
        let items: Vec<usize> = (0..1000).collect();
        let doubled = map(Execution::Parallel, &items, |item| Ok(item * 2)).unwrap();
        assert_eq!(
            doubled,
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
    }

    #[test]
    fn of_several_errors_the_first_is_answered() {
        let items: Vec<usize> = (0..1000).collect();
        let failed = map(Execution::Parallel, &items, |item| match item {
            0..500 => Ok(()),
            item => Err(Error::invalid(item.to_string())),
        });
        assert_eq!(failed.unwrap_err().to_string(), "500");
    }
}
