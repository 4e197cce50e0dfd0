//! Runs calls that fold each series by itself: count(), sum(), min(), last() and their kin.

use std::collections::HashMap;
use std::ops::Range;

use plimsoll_engine::model::{FieldType, TIME_MIN, Values};
use plimsoll_engine::segment::BlockRef;
use plimsoll_engine::{Rows, TakePoints, TimesId};

use super::{Caller, Job, Points, Spread, at_start, wrong_type};
use crate::exec::column::Column;
use crate::exec::error::Result;
use crate::exec::fields::Readers;
use crate::exec::load::{Block, Member, range};
use crate::exec::pool;
use crate::exec::window::Windows;
use crate::exec::window::cuts::Cuts;
use crate::functions::Fold;
use crate::functions::fold::{Answers, Beside, Folded, Pick, Picks, Times};
use crate::plan::{Function, Input};

impl Job<'_> {
    /// Whether a selector's points are asked for by their times.
    fn answers(&self) -> Answers {
        if self.is_lone_selector && !self.windows.is_grouped() {
            Answers::Times
        } else {
            Answers::Values
        }
    }

    /// Whether results depend on the order in which series are added.
    fn depends_on_order(&self, fold: Fold) -> bool {
        matches!(fold, Fold::Sum | Fold::Mean) && self.argument.field_type == FieldType::Float
    }

    /// Nothing yet.
    fn folded(&self, fold: Fold) -> Folded {
        Folded::new(
            fold,
            self.argument.field_type,
            self.answers(),
            self.expected,
        )
    }

    /// Which times its results have.
    fn times(&self, fold: Fold) -> Times {
        match self.answers() {
            Answers::Times if fold.is_selector() => Times::Points,
            Answers::Times | Answers::Values => Times::Windows,
        }
    }

    /// What goes with its results.
    fn beside(&self, fold: Fold) -> Beside {
        Beside {
            times: self.times(fold),
            picks: if self.with_columns {
                Picks::Wanted
            } else {
                Picks::Unwanted
            },
        }
    }
}

impl Caller<'_> {
    pub(super) fn fold(
        &self,
        job: &Job<'_>,
        fold: Fold,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        let mut kept: HashMap<u32, Block> = HashMap::new();
        let folded = if job.with_columns {
            self.folded_with_columns(job, fold, readers, &mut kept)?
        } else {
            self.folded(job, fold, readers)?
        };
        self.results(job, fold, folded, &kept, readers)
    }

    /// What a fold came to, in the query's direction and filled.
    fn results(
        &self,
        job: &Job<'_>,
        fold: Fold,
        folded: Folded,
        kept: &HashMap<u32, Block>,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        let results = folded.finish(fold, job.beside(fold));
        let mut times = results.times;
        if job.times(fold) == Times::Windows {
            times.iter_mut().for_each(|start| *start = at_start(*start));
        }
        let mut column = Column::full(results.values);
        let mut beside = if job.with_columns && fold.is_selector() {
            pick(kept, &results.picks, self.plan.references.len())
        } else {
            Vec::new()
        };
        if !self.plan.ascending {
            times.reverse();
            column.reverse();
            beside.iter_mut().for_each(Column::reverse);
        }
        let points = Points {
            times,
            column,
            beside,
        };
        self.fill(job, points, fold == Fold::Count, readers)
    }

    /// The members' partial results, and their blocks for the columns beside.
    fn folded_with_columns(
        &self,
        job: &Job<'_>,
        fold: Fold,
        readers: &mut Readers<'_>,
        kept: &mut HashMap<u32, Block>,
    ) -> Result<Folded> {
        let empty = || Folded::new(fold, job.argument.field_type, Answers::Times, job.expected);
        let mut folded = empty();
        let takes = fold.takes(job.argument.field_type);
        let part = |origin: u32, block: Block| {
            if !takes {
                return Err(wrong_type(&job.call.name, job.argument.field_type));
            }
            let mut part = empty();
            add_block(&mut part, job, fold, origin, &block, &mut Cuts::default());
            Ok((part, (origin, block)))
        };
        self.each_block(job, readers, part, |(part, block)| {
            folded.merge(fold, part);
            kept.extend([block]);
            self.run.check_buckets(folded.len() as u64)
        })?;
        Ok(folded)
    }

    /// The members' partial results.
    fn folded(&self, job: &Job<'_>, fold: Fold, readers: &mut Readers<'_>) -> Result<Folded> {
        let mut folded = job.folded(fold);
        let numbered = (0_u32..).zip(self.members);
        if self.spread == Spread::Groups {
            for (number, member) in numbered {
                self.fold_member(job, fold, (number, member), readers, &mut folded)?;
                self.run.check_buckets(folded.len() as u64)?;
            }
            return Ok(folded);
        }
        let numbered: Vec<(u32, &Member<'_>)> = numbered.collect();
        let parts = pool::chunks(self.run.execution, &numbered, |members| {
            let mut readers = self.fields.readers();
            self.parts(job, fold, members.iter().copied(), &mut readers)
        })?;
        self.merge(fold, &mut folded, parts)?;
        Ok(folded)
    }

    /// The partial results of some members, to be merged in this order.
    fn parts<'m>(
        &self,
        job: &Job<'_>,
        fold: Fold,
        members: impl Iterator<Item = (u32, &'m Member<'m>)>,
        readers: &mut Readers<'_>,
    ) -> Result<Vec<Folded>> {
        // A float's sum depends on the order, so that each series comes by itself; of all others
        // the parts of several series may be joined first.
        let by_itself = job.depends_on_order(fold);
        let mut parts = vec![job.folded(fold)];
        for member in members {
            if by_itself {
                parts.push(job.folded(fold));
            }
            if let Some(part) = parts.last_mut() {
                self.fold_member(job, fold, member, readers, part)?;
                self.run.check_buckets(part.len() as u64)?;
            }
        }
        Ok(parts)
    }

    fn merge(&self, fold: Fold, folded: &mut Folded, parts: Vec<Folded>) -> Result<()> {
        for part in parts {
            folded.merge(fold, part);
            self.run.check_buckets(folded.len() as u64)?;
        }
        Ok(())
    }

    /// Adds the points of one member.
    fn fold_member(
        &self,
        job: &Job<'_>,
        fold: Fold,
        (number, member): (u32, &Member<'_>),
        readers: &mut Readers<'_>,
        folded: &mut Folded,
    ) -> Result<()> {
        let takes = fold.takes(job.argument.field_type);
        let Some((reader, series, cuts)) = readers.with_cuts(job.number, member) else {
            let Some(block) = self.block(job, member, readers)? else {
                return Ok(());
            };
            if !takes {
                return Err(wrong_type(&job.call.name, job.argument.field_type));
            }
            let are_starts = has_windows_of(member, &job.windows);
            let is_added = are_starts
                && block
                    .values
                    .as_ref()
                    .is_some_and(|values| folded.add_starts(fold, &block.times, values));
            if is_added {
                folded.end(fold);
            } else {
                add_block(folded, job, fold, number, &block, readers.cuts());
            }
            return Ok(());
        };
        self.run.context.cancel.check()?;
        let is_grouped = job.windows.is_grouped();
        let rows = match fold {
            Fold::First if !is_grouped => Rows::First(1),
            Fold::Last if !is_grouped => Rows::Last(1),
            _ => Rows::All,
        };
        let range = range(job.windows.start, job.windows.end).intersect(&self.run.readable);
        if fold == Fold::Count
            && !is_grouped
            && let Some(count) = reader.count(series, range)
        {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            folded.add_count(&job.windows, count);
            folded.end(fold);
            return self.run.count_points(count);
        }
        let mut taker = Folding {
            fold,
            takes,
            windows: &job.windows,
            cuts,
            origin: number,
            answers: job.answers(),
            folded,
            points: 0,
        };
        reader.read(series, range, rows, &mut taker)?;
        let points = taker.points;
        if points > 0 && !takes {
            return Err(wrong_type(&job.call.name, job.argument.field_type));
        }
        folded.end(fold);
        self.run.count_points(points)
    }
}

/// The one call of a SELECT, run over pieces of groups: a few large groups are work for all threads
/// to the end.
pub(crate) struct Pieces<'a> {
    job: Job<'a>,
    fold: Fold,
}

impl<'a> Pieces<'a> {
    /// The call of a caller's plan, where its results can be merged of pieces of the group.
    pub(crate) fn of(caller: &Caller<'a>) -> Option<Self> {
        let [(call, _)] = caller.plan.calls.as_slice() else {
            return None;
        };
        let (Function::Fold(fold), Input::Reference(_)) = (call.function, &call.input) else {
            return None;
        };
        let windows = caller
            .windows
            .extended(call.windows_before(), caller.plan.ascending);
        let is_selector = caller.plan.is_selector();
        let job = caller.job((0, call), windows, call.windows_before(), is_selector)?;
        // What fill() looks for before the range is looked for in the whole group.
        let is_simple = !job.with_columns
            && call.takes(job.argument.field_type)
            && caller.plan.look_back_ns == 0;
        is_simple.then_some(Self { job, fold })
    }

    /// Whether each series of a piece has results of its own, which all go from thread to thread.
    pub(crate) fn go_alone(&self) -> bool {
        self.job.depends_on_order(self.fold)
    }

    /// The partial results of a piece, whose first member has this number in its group.
    pub(crate) fn parts(
        &self,
        caller: &Caller<'_>,
        first: u32,
        readers: &mut Readers<'_>,
    ) -> Result<Vec<Folded>> {
        let members = (first..).zip(caller.members);
        caller.parts(&self.job, self.fold, members, readers)
    }

    /// Nothing of a group yet.
    pub(crate) fn empty(&self) -> Folded {
        self.job.folded(self.fold)
    }

    /// Adds the partial results of a group's next piece.
    pub(crate) fn merge(
        &self,
        caller: &Caller<'_>,
        folded: &mut Folded,
        parts: Vec<Folded>,
    ) -> Result<()> {
        caller.merge(self.fold, folded, parts)
    }

    /// What a group came to, of which all pieces were merged.
    pub(crate) fn points(
        &self,
        caller: &Caller<'_>,
        folded: Folded,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        caller.results(&self.job, self.fold, folded, &HashMap::new(), readers)
    }
}

/// Folds the points of a series as they are read.
struct Folding<'a> {
    fold: Fold,
    /// Whether the function takes the type: what it does not take is only counted.
    takes: bool,
    windows: &'a Windows,
    cuts: &'a mut Cuts,
    origin: u32,
    answers: Answers,
    folded: &'a mut Folded,
    points: usize,
}

impl TakePoints for Folding<'_> {
    fn block(&mut self, block: &BlockRef) -> bool {
        let (fold, origin) = (self.fold, self.origin);
        let taken = self.takes
            && self
                .folded
                .add_block(fold, self.windows, origin, block, self.answers);
        self.points += if taken { block.count as usize } else { 0 };
        taken
    }

    fn points(&mut self, times: &[i64], values: &Values, rows: Range<usize>) {
        self.points += rows.len();
        if self.takes {
            let cut = self.cuts.of(self.windows, &times[rows.clone()], rows.start);
            self.folded.add(self.fold, cut, self.origin, times, values);
        }
    }

    fn points_of(&mut self, id: TimesId, times: &[i64], values: &Values) {
        self.points += times.len();
        if self.takes {
            let cut = self.cuts.of_named(self.windows, id, times);
            self.folded.add(self.fold, cut, self.origin, times, values);
        }
    }
}

/// Whether the rows of a member are results of such windows: each row's time is its window's start.
fn has_windows_of(member: &Member<'_>, windows: &Windows) -> bool {
    let Member::Pending { derived, .. } = member else {
        return false;
    };
    let plan = &derived.plan;
    let [(call, _)] = plan.calls.as_slice() else {
        return false;
    };
    let interval = (plan.interval.every, plan.interval.offset);
    // In a zone, and at the beginning of time, windows may begin elsewhere.
    let has_zone = windows.zone.is_some() || plan.zone.is_some();
    let is_one_grid = (windows.every, windows.offset) == interval && !has_zone;
    let before = call.windows_before().saturating_add(1);
    let first = windows.every.saturating_mul(before);
    let is_later = windows.start.saturating_sub(first) > TIME_MIN.0;
    windows.is_grouped() && is_one_grid && is_later && call.answers_windows()
}

/// Adds a series that is in memory.
fn add_block(
    folded: &mut Folded,
    job: &Job<'_>,
    fold: Fold,
    origin: u32,
    block: &Block,
    cuts: &mut Cuts,
) {
    if let Some(values) = &block.values {
        let cut = cuts.of(&job.windows, &block.times, 0);
        folded.add(fold, cut, origin, &block.times, values);
    }
    folded.end(fold);
}

/// The cells of the chosen points, by column.
fn pick(blocks: &HashMap<u32, Block>, picks: &[Pick], columns: usize) -> Vec<Column> {
    (0..columns)
        .map(|column| {
            let cell = |pick: &Pick| blocks[&pick.origin].beside[column].cell(pick.row as usize);
            Column::from_cells(picks.iter().map(cell).collect())
        })
        .collect()
}
