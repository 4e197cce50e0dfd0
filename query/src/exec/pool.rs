//! The threads that statements share, and the only places where work is spread over them.
//!
//! Results always come back in the order of their inputs, so an answer does not depend on threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};
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
        match self.threads() {
            1 => 1,
            threads => threads * PARTS_PER_THREAD,
        }
    }

    /// How many threads it is spread over.
    pub(crate) fn threads(self) -> usize {
        match self {
            Self::Serial => 1,
            Self::Parallel | Self::Decoded => {
                1 + helpers().map_or(0, ThreadPool::current_num_threads)
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
        Execution::Parallel | Execution::Decoded if items.len() > 1 => helpers(),
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
    let others = pool.current_num_threads().min(items.len() - 1);
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

/// Parts of work that are taken one after the other, not too far ahead of what was used.
struct Turns<R> {
    places: Mutex<Places>,
    results: Vec<Mutex<Option<Result<R>>>>,
    /// A part was done, or is given up.
    done: Condvar,
}

/// Where [`Turns`] are.
struct Places {
    next: usize,
    /// The first part that is not begun yet, whoever has time.
    end: usize,
    helpers: usize,
    /// Somebody panicked: the scope of the threads hands that on.
    is_broken: bool,
}

impl<R> Turns<R> {
    fn take(&self) -> Option<usize> {
        let mut places = self.places.lock();
        let at = places.next;
        (at < places.end).then(|| {
            places.next += 1;
            at
        })
    }

    /// As [`Self::take`]; a helper that finds nothing goes.
    fn take_or_leave(&self) -> Option<usize> {
        let mut places = self.places.lock();
        let at = places.next;
        if at >= places.end {
            places.helpers -= 1;
            return None;
        }
        places.next += 1;
        Some(at)
    }

    fn run(&self, at: usize, work: impl FnOnce(usize) -> Result<R>) {
        struct Unwinding<'a, R>(&'a Turns<R>);
        impl<R> Drop for Unwinding<'_, R> {
            fn drop(&mut self) {
                self.0.places.lock().is_broken = true;
                self.0.done.notify_all();
            }
        }
        let guard = Unwinding(self);
        let result = work(at);
        std::mem::forget(guard);
        let failed = result.is_err();
        *self.results[at].lock() = Some(result);
        let mut places = self.places.lock();
        if failed {
            // Those before it were taken before it: of several errors the first is found.
            places.end = 0;
        }
        self.done.notify_all();
    }

    /// Allows parts up to `end`; answers how many more helpers of `helpers_max` they are work for.
    fn allow(&self, end: usize, helpers_max: usize) -> usize {
        let mut places = self.places.lock();
        if places.end > 0 {
            places.end = end;
        }
        let open = places.end.saturating_sub(places.next);
        let more = helpers_max.saturating_sub(places.helpers).min(open);
        places.helpers += more;
        more
    }

    /// Begins no more parts.
    fn stop(&self) {
        self.places.lock().end = 0;
    }

    /// The result of a part, which this thread waits for with other parts of the work.
    fn wait(&self, at: usize, mut work: impl FnMut(usize) -> Result<R>) -> Option<Result<R>> {
        loop {
            if let Some(result) = self.results[at].lock().take() {
                return Some(result);
            }
            if let Some(other) = self.take() {
                self.run(other, &mut work);
                continue;
            }
            let mut places = self.places.lock();
            if places.is_broken {
                return None;
            }
            if self.results[at].lock().is_none() {
                self.done.wait(&mut places);
            }
        }
    }
}

/// So much smaller are parts whose results are used in order than other parts.
const SMALLER: usize = 4;

/// How many of so many things a thread takes at a time, where what it makes of them is used in order.
pub(crate) fn part_size(execution: Execution, things: usize) -> usize {
    things.div_ceil(execution.parts() * SMALLER).max(1)
}

/// Calls `work` with `items`, some at a time, and `visit` with each result, in order and on the
/// caller's thread, while others work on those that follow: at most `ahead` items further. Each
/// thread gives `work` what `begin` made for it. Of several errors the first is answered.
///
/// # Errors
/// What `work` or `visit` returns.
pub(crate) fn in_order<T: Sync, S, R: Send>(
    execution: Execution,
    items: &[T],
    ahead: usize,
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&T, &mut S) -> Result<R> + Sync,
    mut visit: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    let mut own = begin();
    let pool = match execution {
        Execution::Parallel | Execution::Decoded if items.len() > 1 => helpers(),
        _ => None,
    };
    let Some(pool) = pool else {
        let mut items = items.iter();
        return items.try_for_each(|item| visit(work(item, &mut own)?));
    };
    // What a thread begins with serves all of its parts: they may be small.
    let size = part_size(execution, items.len()).clamp(1, ahead.div_ceil(execution.parts()).max(1));
    let parts: Vec<&[T]> = items.chunks(size).collect();
    let parts_ahead = ahead.div_ceil(size).max(1);
    let turns = Turns {
        places: Mutex::new(Places {
            next: 0,
            end: 1,
            helpers: 0,
            is_broken: false,
        }),
        results: parts.iter().map(|_| Mutex::default()).collect(),
        done: Condvar::new(),
    };
    let one = |at: usize, state: &mut S| -> Result<Vec<R>> {
        let part = parts[at].iter();
        part.map(|item| work(item, state)).collect()
    };
    let help = || {
        let mut state = begin();
        while let Some(at) = turns.take_or_leave() {
            turns.run(at, |at| one(at, &mut state));
        }
    };
    let (help, helpers_max) = (&help, pool.current_num_threads());
    pool.in_place_scope(|scope| {
        for at in 0..parts.len() {
            let end = parts.len().min(at.saturating_add(parts_ahead));
            for _ in 0..turns.allow(end, helpers_max) {
                scope.spawn(|_| help());
            }
            // None where a thread panicked, which the scope hands on.
            let Some(results) = turns.wait(at, |at| one(at, &mut own)) else {
                break;
            };
            let used = results.and_then(|results| results.into_iter().try_for_each(&mut visit));
            if used.is_err() {
                turns.stop();
                return used;
            }
        }
        Ok(())
    })
}

/// The threads that help a caller's own: one less than the machine has cores, as a thread that has
/// nothing to do looks for work for a while and would keep a core from those that have; none on one
/// core, or where they cannot be started.
fn helpers() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let helpers = cores.checked_sub(1).filter(|helpers| *helpers > 0)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(helpers)
            .thread_name(|number| format!("query-{number}"))
            .build();
        pool.ok()
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
    fn results_are_visited_in_order_while_others_are_made() {
        let items: Vec<usize> = (0..1000).collect();
        for ahead in [1, 3, 64, 5000] {
            let mut seen = Vec::new();
            let begin = || 0_usize;
            let work = |item: &usize, done: &mut usize| {
                *done += 1;
                Ok((item * 2, *done))
            };
            in_order(Execution::Parallel, &items, ahead, begin, work, |result| {
                seen.push(result);
                Ok(())
            })
            .unwrap();
            let values = seen.iter().map(|(value, _)| *value);
            assert!(values.eq((0..1000).map(|item| item * 2)), "{ahead} ahead");
            assert!(seen.iter().all(|(_, done)| (1..=1000).contains(done)));
        }
    }

    #[test]
    fn what_cannot_be_used_ends_the_work() {
        let items: Vec<usize> = (0..1000).collect();
        let begun = AtomicUsize::new(0);
        let mut seen = 0;
        let ended = in_order(
            Execution::Parallel,
            &items,
            10,
            || (),
            |item, ()| {
                begun.fetch_add(1, Ordering::Relaxed);
                match item {
                    0..700 => Ok(*item),
                    item => Err(Error::invalid(item.to_string())),
                }
            },
            |item| {
                seen = item;
                if item < 300 {
                    Ok(())
                } else {
                    Err(Error::invalid("enough"))
                }
            },
        );
        assert_eq!(
            (ended.unwrap_err().to_string().as_str(), seen),
            ("enough", 300)
        );
        let begun = begun.into_inner();
        assert!(begun < 400, "{begun} were begun, 300 used");
        let mut seen = Vec::new();
        let work = |item: &usize, (): &mut ()| match item {
            0..700 => Ok(*item),
            item => Err(Error::invalid(item.to_string())),
        };
        let ended = in_order(
            Execution::Parallel,
            &items,
            10,
            || (),
            work,
            |item| {
                seen.push(item);
                Ok(())
            },
        );
        assert_eq!(ended.unwrap_err().to_string(), "700");
        assert!(seen.len() <= 700 && seen.iter().copied().eq(0..seen.len()));
    }

    #[test]
    #[should_panic(expected = "a part of the work")]
    fn a_panic_of_another_thread_is_handed_on() {
        let items: Vec<usize> = (0..1000).collect();
        let work = |item: &usize, (): &mut ()| {
            assert!(*item != 500, "a part of the work");
            Ok(())
        };
        in_order(Execution::Parallel, &items, 10, || (), work, Ok).unwrap();
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
