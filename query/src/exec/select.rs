//! Runs a resolved SELECT: groups its series, runs the calls of each group, makes rows.

mod group;
mod raw;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use plimsoll_engine::TimeRange;
use plimsoll_engine::model::TIME_MAX;

use super::call::folded::Pieces;
use super::call::{Spread, wrong_type};
use super::context::Context;
use super::error::{Error, Result};
use super::fields::{Fields, Inner};
use super::groups::{self, Key, Members};
use super::load::{Block, Member, range};
use super::pool::{self, Execution};
use super::table::Table;
use super::window::Windows;
use crate::plan::{Derived, Kind, Plan, Source, Stored, kind_over};
use group::Group;

pub(crate) use group::Made;

/// What all parts of a running SELECT share.
pub(crate) struct Run<'a> {
    /// The data and the limits.
    pub(crate) context: &'a Context<'a>,
    /// What may be read of stored series at all.
    pub(crate) readable: TimeRange,
    /// How the work is spread.
    pub(crate) execution: Execution,
    counts: CachePadded<Counts>,
}

/// What threads count together: beside nothing that they only read.
#[derive(Default)]
struct Counts {
    points: AtomicU64,
    held_bytes: AtomicU64,
    series: AtomicU64,
    random: AtomicU64,
}

/// What a value costs on its way from a column to a row.
const CELL_BYTES: usize = 40;

/// Groups that may be run before their series are handed over.
const GROUPS_AT_ONCE: usize = 256;

/// Of fewer groups some may be left for one thread when the others are done: threads take pieces of
/// them.
const GROUPS_FEW: usize = 64;

/// Takes each series of an answer.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(Table) -> Result<()>;

/// Threads take whole groups where each is at most such a share of all members.
const SHARES_MIN: usize = 4;

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let held = self.counts.held_bytes.load(Ordering::Relaxed);
        self.context.limits.memory_shared.give_back(held);
    }
}

impl<'a> Run<'a> {
    /// Starts counting.
    pub(crate) fn new(context: &'a Context<'a>, readable: TimeRange, execution: Execution) -> Self {
        Self {
            context,
            readable,
            execution,
            counts: CachePadded::new(Counts {
                random: AtomicU64::new(context.now.0.unsigned_abs() | 1),
                ..Counts::default()
            }),
        }
    }

    /// Counts values that were read.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(crate) fn count_points(&self, more: usize) -> Result<()> {
        let points = self.counts.points.fetch_add(more as u64, Ordering::Relaxed) + more as u64;
        let limit = self.context.limits.select_points_max;
        check("max-select-point", points, limit)
    }

    /// Counts a block that stays in memory until its group is answered.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(crate) fn hold(&self, block: &Block) -> Result<()> {
        self.hold_bytes(held_bytes(block))
    }

    /// Counts bytes that stay in memory until the statement is answered.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(crate) fn hold_bytes(&self, bytes: u64) -> Result<()> {
        let held = self.counts.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let limits = self.context.limits;
        let all = limits.memory_shared.take(bytes);
        check("max-select-memory-bytes", held, limits.memory_bytes_max)?;
        check("query_memory_max", all, limits.memory_shared_bytes_max)
    }

    /// Counts bytes that are no longer held.
    fn release(&self, bytes: u64) {
        self.counts.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.context.limits.memory_shared.give_back(bytes);
    }

    /// Values that were read so far.
    pub(crate) fn points_read(&self) -> u64 {
        self.counts.points.load(Ordering::Relaxed)
    }

    /// Series that were found so far.
    pub(crate) fn series_read(&self) -> u64 {
        self.counts.series.load(Ordering::Relaxed)
    }

    fn count_series(&self, more: usize) -> Result<()> {
        let series = self.counts.series.fetch_add(more as u64, Ordering::Relaxed) + more as u64;
        let limit = self.context.limits.select_series_max;
        check("max-select-series", series, limit)
    }

    /// Checks a number of windows, before they are made.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(crate) fn check_buckets(&self, buckets: u64) -> Result<()> {
        let limit = self.context.limits.select_buckets_max;
        check("max-select-buckets", buckets, limit)
    }

    /// A random number below `below`, for sample().
    ///
    /// Source: xorshift64, Marsaglia 2003.
    pub(crate) fn random(&self, below: usize) -> usize {
        let next = |mut state: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let order = Ordering::Relaxed;
        let before = self
            .counts
            .random
            .fetch_update(order, order, |state| Some(next(state)));
        let (Ok(state) | Err(state)) = before;
        let state = next(state);
        usize::try_from(state % (below.max(1) as u64)).unwrap_or(0)
    }

    /// Runs a SELECT within `bounds`, and emits its series in order.
    ///
    /// # Errors
    /// Limits, a stop, damaged data, functions on types they do not take.
    pub(crate) fn select(&self, plan: &Plan, bounds: TimeRange, emit: Emit<'_>) -> Result<()> {
        let Some(windows) = self.begin(plan, bounds)? else {
            return Ok(());
        };
        let (groups, inner) = self.groups(plan, &windows)?;
        let fields = Fields::open(plan, self.execution, inner);
        let mut emitted: Vec<Table> = Vec::new();
        if plan.series.is_all() {
            let mut groups = groups;
            if !plan.ascending {
                groups.reverse();
            }
            let group = Group {
                run: self,
                plan,
                windows: &windows,
                fields: &fields,
                spread: spread(&groups),
            };
            if group.spread == Spread::Groups
                && groups.len() < GROUPS_FEW
                && let Some(pieces) = Pieces::of(&group.caller(&[]))
            {
                return group.in_pieces(&groups, &pieces, emit);
            }
            let by_group = match group.spread {
                Spread::Groups if groups.len() < GROUPS_FEW => {
                    groups.len() - groups.len() % self.execution.threads()
                }
                Spread::Groups => groups.len(),
                Spread::Members => 0,
            };
            let (by_group, by_member) = groups.split_at(by_group);
            let mut emit = |table: Option<Table>| table.map_or(Ok(()), &mut *emit);
            pool::in_order(
                self.execution,
                by_group,
                GROUPS_AT_ONCE,
                || fields.readers(),
                |one, readers| group.table(one, readers),
                &mut emit,
            )?;
            // Where threads take a group each and some are left without one, they share it.
            let group = Group {
                spread: Spread::Members,
                ..group
            };
            let mut readers = fields.readers();
            let mut groups = by_member.iter();
            return groups.try_for_each(|one| emit(group.table(one, &mut readers)?));
        }
        let group = Group {
            run: self,
            plan,
            windows: &windows,
            fields: &fields,
            spread: Spread::Members,
        };
        let mut readers = fields.readers();
        // SLIMIT and SOFFSET count series that have rows, in each measurement.
        let mut seen: (Option<Arc<str>>, u64) = (None, 0);
        for one in groups {
            let name = &one.0.0;
            if seen.0.as_ref() != Some(name) {
                seen = (Some(Arc::clone(name)), 0);
            }
            let (limit, offset) = (plan.series.limit, plan.series.offset);
            if limit > 0 && seen.1 >= offset.saturating_add(limit) {
                continue;
            }
            if let Some(table) = group.table(&one, &mut readers)? {
                seen.1 += 1;
                if seen.1 > offset {
                    emitted.push(table);
                }
            }
        }
        if !plan.ascending {
            emitted.reverse();
        }
        emitted.into_iter().try_for_each(emit)
    }

    /// The windows of a SELECT within `bounds`; none where it answers nothing.
    fn begin(&self, plan: &Plan, bounds: TimeRange) -> Result<Option<Windows>> {
        let is_unknown = |(_, kind): &(_, Kind)| *kind == Kind::Unknown;
        if plan.calls.is_empty() && plan.references.iter().all(is_unknown) {
            return Ok(None);
        }
        refuse(plan)?;
        if plan.series.limit == 0 && plan.series.offset > 0 {
            // InfluxDB cuts to SLIMIT series behind SOFFSET: to none, where there is no SLIMIT.
            return Ok(None);
        }
        let windows = windows(plan, bounds);
        if let Some(count) = windows.count()
            && !plan.calls.is_empty()
        {
            self.check_buckets(count)?;
        }
        Ok(Some(windows))
    }

    /// The groups of a SELECT, in order, and what the tables that they wait for are made with.
    fn groups<'p>(
        &self,
        plan: &'p Plan,
        windows: &Windows,
    ) -> Result<(Vec<groups::Group<'p>>, Option<Inner>)> {
        match plan.sources.as_slice() {
            [Source::Stored(stored)] => Ok((self.stored_groups(plan, stored, 0)?, None)),
            [Source::Derived(derived)] if is_read_once(plan, derived) => {
                self.pending_groups(plan, derived, windows)
            }
            _ => Ok((self.joined_groups(plan, windows)?, None)),
        }
    }

    /// The groups of a SELECT whose one call reads a subquery's tables each once, as they are made:
    /// so that neither are they all in memory, nor are they made on one thread and read on another.
    fn pending_groups<'p>(
        &self,
        plan: &'p Plan,
        derived: &'p Derived,
        windows: &Windows,
    ) -> Result<(Vec<groups::Group<'p>>, Option<Inner>)> {
        let inner = &derived.plan;
        let Some(windows) = self.begin(inner, range(windows.start, windows.end))? else {
            return Ok((Vec::new(), None));
        };
        let (found, nested) = self.groups(inner, &windows)?;
        let own = |key| inner.group_by.iter().position(|own| own == key);
        let places: Vec<Option<usize>> = plan.group_by.iter().map(own).collect();
        let key_of = |(name, values): &Key| -> Key {
            let value = |place: &Option<usize>| match place {
                Some(place) => Arc::clone(&values[*place]),
                None => "".into(),
            };
            (Arc::clone(name), places.iter().map(value).collect())
        };
        let are_one = |a: &Key, b: &Key| {
            let mut known = places.iter().flatten();
            a.0 == b.0 && known.all(|place| a.1[*place] == b.1[*place])
        };
        let mut groups: BTreeMap<Key, Members<'p>> = BTreeMap::new();
        let found = Arc::new(found);
        let mut at = 0;
        // Those of one key mostly stand together.
        for some in found.chunk_by(|before, group| are_one(&before.0, &group.0)) {
            let members = groups.entry(key_of(&some[0].0)).or_default();
            for _ in some {
                let groups = Arc::clone(&found);
                members.push(Member::Pending {
                    derived,
                    groups,
                    at,
                });
                at += 1;
            }
        }
        let fields = Fields::open(inner, self.execution, nested);
        let groups = groups.into_iter().collect();
        Ok((groups, Some(Inner { windows, fields })))
    }

    /// The groups of a SELECT over several sources, or over subqueries that are read first.
    fn joined_groups<'p>(
        &self,
        plan: &'p Plan,
        windows: &Windows,
    ) -> Result<Vec<groups::Group<'p>>> {
        let mut groups: BTreeMap<Key, Members<'p>> = BTreeMap::new();
        for (number, source) in plan.sources.iter().enumerate() {
            match source {
                Source::Stored(stored) => {
                    for (key, members) in self.stored_groups(plan, stored, number)? {
                        groups.entry(key).or_default().extend(members);
                    }
                }
                Source::Derived(_) if !is_read(plan, source) => {}
                Source::Derived(derived) => {
                    let mut extras: Vec<i64> = plan
                        .calls
                        .iter()
                        .map(|(call, _)| call.windows_before())
                        .collect();
                    if extras.is_empty() {
                        extras.push(0);
                    }
                    extras.sort_unstable();
                    extras.dedup();
                    for extra in extras {
                        self.derived_groups(plan, derived, windows, extra, &mut groups)?;
                    }
                }
            }
        }
        Ok(groups.into_iter().collect())
    }

    fn stored_groups<'p>(
        &self,
        plan: &Plan,
        stored: &'p Stored,
        source: usize,
    ) -> Result<Vec<groups::Group<'p>>> {
        let conditions = &stored.conditions;
        let predicate = conditions.condition.of_tags();
        let predicate = predicate.unwrap_or_else(|| conditions.predicate());
        let (measurement, keys) = (&stored.measurement, &plan.group_by);
        let listing = stored.view.list(measurement, &predicate, keys)?;
        self.count_series(listing.series.len())?;
        groups::of_series(stored, source, listing)
    }

    fn derived_groups<'p>(
        &self,
        plan: &'p Plan,
        derived: &'p Derived,
        windows: &Windows,
        extra: i64,
        groups: &mut BTreeMap<Key, Members<'p>>,
    ) -> Result<()> {
        let longer = windows
            .extended(extra, plan.ascending)
            .extended(plan.back, true);
        let bounds = range(longer.start, longer.end);
        let ascending = plan.ascending;
        let mut tables = Vec::new();
        self.select(&derived.plan, bounds, &mut |mut table| {
            if !ascending {
                table.reverse();
            }
            tables.push(Arc::new(table));
            Ok(())
        })?;
        if !ascending {
            tables.reverse();
        }
        for table in tables {
            let value = |key: &Arc<str>| {
                let tag = table.tags.iter().find(|(there, _)| there == key);
                tag.map_or_else(|| "".into(), |(_, value)| Arc::clone(value))
            };
            let key = (
                Arc::clone(&table.name),
                plan.group_by.iter().map(value).collect(),
            );
            groups.entry(key).or_default().push(Member::Table {
                derived,
                table,
                extra,
                back: plan.back,
            });
        }
        Ok(())
    }
}

/// Threads take whole groups, unless one of them is so large that the others would wait for it.
fn spread(groups: &[groups::Group<'_>]) -> Spread {
    let members = || groups.iter().map(|(_, members)| members.len());
    let (all, largest) = (members().sum::<usize>(), members().max().unwrap_or(0));
    if largest * SHARES_MIN <= all {
        Spread::Groups
    } else {
        Spread::Members
    }
}

/// Whether a SELECT reads a subquery: one of its calls has its argument there and comes to
/// something, or it has no calls.
fn is_read(plan: &Plan, source: &Source) -> bool {
    let mut calls = plan.calls.iter();
    plan.calls.is_empty()
        || calls.any(|(call, kind)| *kind != Kind::Unknown && source.has(&call.reference().name))
}

/// Whether each table of a subquery is read by one call, once, as it comes.
fn is_read_once(plan: &Plan, derived: &Derived) -> bool {
    let inner = &derived.plan;
    let [(call, _)] = plan.calls.as_slice() else {
        return false;
    };
    let needs_no_more = call.windows_before() == 0 && plan.back == 0 && plan.look_back_ns == 0;
    let is_ascending = plan.ascending && inner.ascending;
    needs_no_more && is_ascending && inner.series.is_all() && {
        let source = &plan.sources[0];
        is_read(plan, source)
    }
}

/// Refuses what makes no sense in a SELECT that is run, the innermost first.
fn refuse(plan: &Plan) -> Result<()> {
    if let Some(refusal) = &plan.refusal {
        return Err(Error::invalid(refusal.as_str()));
    }
    for source in &plan.sources {
        if let Source::Derived(derived) = source
            && is_read(plan, source)
        {
            refuse(&derived.plan)?;
        }
    }
    refuse_types(plan)
}

/// Refuses calls on columns of subqueries that they do not take: those have a type even where there
/// are no rows.
fn refuse_types(plan: &Plan) -> Result<()> {
    for (call, _) in &plan.calls {
        let call = call.innermost();
        let kind = kind_over(&plan.sources, call.reference()).values();
        let Some(field_type) = kind.filter(|kind| !call.takes(*kind)) else {
            continue;
        };
        let is_column = |source: &Source| match source {
            Source::Derived(_) => source.has(&call.reference().name),
            Source::Stored(_) => false,
        };
        if plan.sources.iter().any(is_column) {
            return Err(wrong_type(&call.name, field_type));
        }
    }
    Ok(())
}

/// What a block takes, roughly, until its rows are answered.
fn held_bytes(block: &Block) -> u64 {
    let columns = usize::from(block.values.is_some()) + block.beside.len();
    (block.times.len() * (1 + columns) * CELL_BYTES) as u64
}

fn check(what: &'static str, got: u64, limit: u64) -> Result<()> {
    if limit > 0 && got > limit {
        return Err(Error::Limit { what, got, limit });
    }
    Ok(())
}

/// The windows of a SELECT within `bounds`.
pub(crate) fn windows(plan: &Plan, bounds: TimeRange) -> Windows {
    let mut range = plan.range.intersect(&bounds);
    if range.end > TIME_MAX {
        range.end = TIME_MAX;
    }
    Windows {
        every: plan.interval.every,
        offset: plan.interval.offset,
        start: range.start.0,
        end: range.end.0,
        zone: plan.zone.clone(),
    }
}
