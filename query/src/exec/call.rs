//! Runs one call over one group.

mod counters;
mod ranked;

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use plimsoll_engine::model::{FieldType, FieldValue, Values};
use plimsoll_engine::segment::BlockRef;
use plimsoll_engine::{Rows, TakePoints};

use super::column::Column;
use super::error::{Error, Result};
use super::fields::{Fields, Readers, read_block};
use super::load::{Argument, Block, Member, range};
use super::merged::Merged;
use super::pool;
use super::select::Run;
use super::window::Windows;
use crate::functions::fill::{self, Filling};
use crate::functions::fold::{Answers, Folded, Pick};
use crate::functions::holt_winters::HoltWinters;
use crate::functions::{Fold, Transform, Whole, integral, transform, window};
use crate::plan::{Call, Function, Input, Kind, Plan};

/// Members whose blocks are in memory at a time, where a call does not need all of them.
const MEMBERS_AT_ONCE: usize = 256;

/// What a call answers for one group, in the query's direction.
pub(crate) struct Points {
    /// Times of windows, or of points.
    pub(crate) times: Vec<i64>,
    /// Values; absent where a window was filled with null.
    pub(crate) column: Column,
    /// The columns beside the points that a selector chose.
    pub(crate) beside: Vec<Column>,
}

impl Points {
    fn empty() -> Self {
        Self {
            times: Vec::new(),
            column: Column::null(0),
            beside: Vec::new(),
        }
    }
}

/// Runs calls over a group.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// The statement.
    pub(crate) run: &'a Run<'a>,
    /// The SELECT.
    pub(crate) plan: &'a Plan,
    /// The group.
    pub(crate) members: &'a [Member<'a>],
    /// The windows of the SELECT.
    pub(crate) windows: &'a Windows,
    /// Whether it runs for the answer.
    pub(crate) seeds: Seeds,
    /// What is read.
    pub(crate) fields: &'a Fields,
    /// Whether the group's members are read by several threads.
    pub(crate) spread: Spread,
}

/// What is given to each thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Whole groups.
    Groups,
    /// Some members of one group.
    Members,
}

/// Whether a call is run for the answer, or for what fill(previous) begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seeds {
    /// For the answer: windows are filled.
    AreUsed,
    /// Over the time before the range: nothing is filled.
    AreLookedFor,
}

/// What one call is run with.
struct Job<'a> {
    call: &'a Call,
    /// Which of the SELECT's calls it is in.
    number: usize,
    argument: Argument<'a>,
    windows: Windows,
    extra: i64,
    /// Whether it is the SELECT's only call and a selector.
    is_lone_selector: bool,
    /// Whether columns go with it.
    with_columns: bool,
}

impl<'a> Job<'a> {
    /// The same over other windows.
    fn over(&self, windows: Windows) -> Self {
        Self { windows, ..*self }
    }
}

impl Caller<'_> {
    /// Runs a call of the SELECT, which has this number there.
    pub(crate) fn points(
        &self,
        number: usize,
        call: &Call,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        let extra = call.windows_before();
        let windows = self.windows.extended(extra, self.plan.ascending);
        self.nested(
            (number, call),
            windows,
            extra,
            self.plan.is_selector(),
            readers,
        )
    }

    fn nested(
        &self,
        (number, call): (usize, &Call),
        windows: Windows,
        extra: i64,
        is_lone_selector: bool,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        if let Input::Call(inner) = &call.input {
            let before = self.nested((number, inner), windows, extra, false, readers)?;
            return match call.function {
                Function::Transform(transform) => self.transform_points(call, transform, before),
                Function::HoltWinters(forecast) => self.forecast(call, forecast, before),
                Function::CountSketch => Ok(counters::counts_of(before)),
                _ => Ok(before),
            };
        }
        let reference = call.reference();
        let kind = crate::plan::kind_over(&self.plan.sources, reference);
        let Some(field_type) = kind.values() else {
            return Ok(Points::empty());
        };
        let job = Job {
            call,
            number,
            argument: Argument {
                reference,
                field_type,
                is_tag: kind == Kind::Tag,
            },
            windows,
            extra,
            is_lone_selector,
            with_columns: is_lone_selector && !self.plan.references.is_empty(),
        };
        // A field of the wrong type is refused where there are series, points or not.
        let has_field = |member: &Member<'_>| match member {
            Member::Series { stored, .. } => stored.fields.contains_key(reference.name.as_str()),
            Member::Table { .. } | Member::Pending { .. } => false,
        };
        if !call.takes(field_type) && self.members.iter().any(has_field) {
            return Err(wrong_type(&call.name, field_type));
        }
        match call.function {
            Function::Fold(fold) => self.fold(&job, fold, readers),
            Function::Whole(whole) => self.whole(&job, whole, readers),
            Function::Counter(counter) => self.counter(&job, counter, readers),
            Function::Sketch => self.sketches(&job, readers),
            Function::CountSketch => self.counts(&job, readers),
            Function::Integral(unit) => self.integral(&job, unit, readers),
            Function::Transform(transform) => self.transform(&job, transform, readers),
            Function::HoltWinters(_) => Err(Error::invalid(format!(
                "must use aggregate function with {}",
                call.name
            ))),
        }
    }

    /// What `work` makes of the blocks of the group's members, in the order of series; a member's
    /// number goes with its block.
    fn each_block<R: Send>(
        &self,
        job: &Job<'_>,
        readers: &mut Readers<'_>,
        work: impl Fn(u32, Block) -> Result<R> + Sync,
        mut visit: impl FnMut(R) -> Result<()>,
    ) -> Result<()> {
        let one = |number: u32, member: &Member<'_>, readers: &mut Readers<'_>| {
            let block = self.block(job, member, readers)?;
            block.map(|block| work(number, block)).transpose()
        };
        let numbered: Vec<(u32, &Member<'_>)> = (0_u32..).zip(self.members).collect();
        if self.spread == Spread::Groups {
            for (number, member) in numbered {
                one(number, member, readers)?.map(&mut visit).transpose()?;
            }
            return Ok(());
        }
        for some in numbered.chunks(MEMBERS_AT_ONCE) {
            let results = pool::chunks(self.run.execution, some, |members| {
                let mut readers = self.fields.readers();
                let results = members.iter();
                let results = results.map(|(number, member)| one(*number, member, &mut readers));
                results.collect()
            })?;
            results.into_iter().flatten().try_for_each(&mut visit)?;
        }
        Ok(())
    }

    /// The rows of one member; none where it has none.
    fn block(
        &self,
        job: &Job<'_>,
        member: &Member<'_>,
        readers: &mut Readers<'_>,
    ) -> Result<Option<Block>> {
        if let Member::Table { extra, .. } = member
            && *extra != job.extra
        {
            return Ok(None);
        }
        let range = range(job.windows.start, job.windows.end);
        let beside = if job.with_columns || !job.call.by.is_empty() {
            self.plan.references.as_slice()
        } else {
            &[]
        };
        if beside.is_empty()
            && let Some((reader, series)) = readers.of_member(job.number, member)
        {
            self.run.context.cancel.check()?;
            let range = range.intersect(&self.run.readable);
            let block = read_block(reader, series, range, Rows::All)?;
            self.run.count_points(block.times.len())?;
            return Ok((!block.times.is_empty()).then_some(block));
        }
        if let Member::Pending { derived, group } = member {
            let Some(table) = self.run.pending_table(derived, group, readers)? else {
                return Ok(None);
            };
            let made = Member::Table {
                derived,
                table: Arc::new(table),
                extra: job.extra,
                back: 0,
            };
            return made.load(self.run, Some(job.argument), beside, range);
        }
        member.load(self.run, Some(job.argument), beside, range)
    }

    fn merged(&self, job: &Job<'_>, readers: &mut Readers<'_>, takes: bool) -> Result<Merged> {
        let blocks = self.blocks(job, readers, takes)?;
        Ok(Merged::new(blocks, self.plan.ascending))
    }

    /// The blocks of all members together.
    fn blocks(&self, job: &Job<'_>, readers: &mut Readers<'_>, takes: bool) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        self.each_block(
            job,
            readers,
            |_, mut block| {
                self.thin(job, &mut block);
                Ok(block)
            },
            |block| {
                self.run.hold(&block)?;
                blocks.push(block);
                Ok(())
            },
        )?;
        if !blocks.is_empty() && !takes {
            return Err(wrong_type(&job.call.name, job.argument.field_type));
        }
        Ok(blocks)
    }

    fn fold(&self, job: &Job<'_>, fold: Fold, readers: &mut Readers<'_>) -> Result<Points> {
        let mut kept: HashMap<u32, Block> = HashMap::new();
        let folded = if job.with_columns {
            self.folded_with_columns(job, fold, readers, &mut kept)?
        } else {
            self.folded(job, fold, readers)?
        };
        let results = folded.finish(fold);
        let keeps_times = job.is_lone_selector && !job.windows.is_grouped();
        let mut times: Vec<i64> = match &results.chosen {
            Some((times, _)) if keeps_times => times.clone(),
            _ => results
                .windows
                .iter()
                .map(|start| at_start(*start))
                .collect(),
        };
        let mut column = Column::full(results.values);
        let mut beside = match &results.chosen {
            Some((_, picks)) if job.with_columns => pick(&kept, picks, self.plan.references.len()),
            _ => Vec::new(),
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
        let mut folded = Folded::new(fold, job.argument.field_type);
        let takes = fold.takes(job.argument.field_type);
        let part = |origin: u32, block: Block| {
            if !takes {
                return Err(wrong_type(&job.call.name, job.argument.field_type));
            }
            let mut part = Folded::new(fold, job.argument.field_type);
            add_block(&mut part, job, fold, origin, &block);
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
        let empty = || Folded::new(fold, job.argument.field_type);
        let numbered: Vec<(u32, &Member<'_>)> = (0_u32..).zip(self.members).collect();
        let mut folded = empty();
        if self.spread == Spread::Groups {
            for (number, member) in numbered {
                self.fold_member(job, fold, (number, member), readers, &mut folded)?;
                self.run.check_buckets(folded.len() as u64)?;
            }
            return Ok(folded);
        }
        // A float's sum depends on the order, so that each series comes by itself; of all others
        // the parts of several series may be joined first.
        let by_itself =
            matches!(fold, Fold::Sum | Fold::Mean) && job.argument.field_type == FieldType::Float;
        let parts = pool::chunks(self.run.execution, &numbered, |members| {
            let mut readers = self.fields.readers();
            let mut parts = vec![empty()];
            for member in members {
                if by_itself {
                    parts.push(empty());
                }
                if let Some(part) = parts.last_mut() {
                    self.fold_member(job, fold, *member, &mut readers, part)?;
                    self.run.check_buckets(part.len() as u64)?;
                }
            }
            Ok(parts)
        })?;
        for part in parts {
            folded.merge(fold, part);
            self.run.check_buckets(folded.len() as u64)?;
        }
        Ok(folded)
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
        let Some((reader, series)) = readers.of_member(job.number, member) else {
            let Some(block) = self.block(job, member, readers)? else {
                return Ok(());
            };
            if !takes {
                return Err(wrong_type(&job.call.name, job.argument.field_type));
            }
            add_block(folded, job, fold, number, &block);
            return Ok(());
        };
        self.run.context.cancel.check()?;
        let is_grouped = job.windows.is_grouped();
        let rows = match fold {
            Fold::First if !is_grouped => Rows::First(1),
            Fold::Last if !is_grouped => Rows::Last(1),
            _ => Rows::All,
        };
        let answers = if job.is_lone_selector && !is_grouped {
            Answers::Times
        } else {
            Answers::Values
        };
        let range = range(job.windows.start, job.windows.end).intersect(&self.run.readable);
        let mut taker = Folding {
            fold,
            takes,
            windows: &job.windows,
            origin: number,
            answers,
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

    fn whole(&self, job: &Job<'_>, whole: Whole, readers: &mut Readers<'_>) -> Result<Points> {
        if let Some(points) = self.ranked(job, whole, readers)? {
            return Ok(points);
        }
        let blocks = self.blocks(job, readers, whole.takes(job.argument.field_type))?;
        let is_plain = !job.with_columns && job.call.by.is_empty() && self.plan.ascending;
        let merged = if matches!(whole, Whole::Percentile(_)) && is_plain {
            Merged::by_window(&blocks, &job.windows)
        } else {
            Merged::new(blocks, self.plan.ascending)
        };
        let Some(values) = &merged.values else {
            return Ok(Points::empty());
        };
        let keeps_times = whole.keeps_times()
            || (whole.is_selector() && job.is_lone_selector && !job.windows.is_grouped());
        let mut times = Vec::new();
        let mut rows = Vec::new();
        let mut kept = Values::new(window::result_type(whole, values));
        let mut buckets = 0;
        job.windows.runs(&merged.times, |start, run| {
            buckets += 1;
            let places = self.candidates(job, whole, &merged, run.clone());
            let (window_times, window_values): (Vec<i64>, Values) = if places.len() == run.len() {
                let window_values = super::column::slice(values, run.clone());
                (merged.times[run].to_vec(), window_values)
            } else {
                let window_times = places.iter().map(|at| merged.times[*at as usize]);
                (
                    window_times.collect(),
                    super::column::gather(values, &places),
                )
            };
            let mut random = |below: usize| self.run.random(below);
            let mut results = window::apply(whole, &window_times, &window_values, &mut random);
            let time_of = |result: &window::Result| result.at.map(|at| window_times[at]);
            if !self.plan.ascending {
                results.sort_by_key(|result| std::cmp::Reverse(time_of(result)));
            }
            for result in results {
                times.push(match time_of(&result) {
                    Some(time) if keeps_times => time,
                    _ => at_start(start),
                });
                rows.push(places[result.at.unwrap_or(0)]);
                push(&mut kept, result.value);
            }
        });
        self.run.check_buckets(buckets)?;
        let with_columns = job.with_columns;
        let beside = merged.beside.iter().filter(|_| with_columns);
        let points = Points {
            times,
            column: Column::full(kept),
            beside: beside.map(|column| column.gather(&rows)).collect(),
        };
        if whole.is_filled() {
            self.fill(job, points, whole == Whole::CountDistinct, readers)
        } else {
            Ok(points)
        }
    }

    /// Drops the rows of one series that cannot be in the answer of top() or bottom(): those that
    /// enough others of their window are before.
    fn thin(&self, job: &Job<'_>, block: &mut Block) {
        let Function::Whole(whole @ (Whole::Top(n) | Whole::Bottom(n))) = job.call.function else {
            return;
        };
        let references = &self.plan.references;
        let is_same = |tag| {
            let at = references.iter().position(|(known, _)| known == tag);
            at.is_none_or(|at| matches!(block.beside[at], Column::Same(..)))
        };
        let by = &job.call.by;
        let most = if by.is_empty() { n } else { 1 };
        let is_ascending = block.times.windows(2).all(|two| two[0] < two[1]);
        let Some(values) = block.values.as_ref().filter(|_| is_ascending) else {
            return;
        };
        if !by.iter().all(is_same) {
            return;
        }
        let mut kept = Vec::new();
        let times = block.times.as_slice();
        job.windows.runs(times, |_, run| {
            let mut rows: Vec<u32> = run.filter_map(|row| u32::try_from(row).ok()).collect();
            if rows.len() > most {
                let before = |a: &u32, b: &u32| {
                    let (a, b) = (*a as usize, *b as usize);
                    if is_better(whole, values, times, a, b) {
                        std::cmp::Ordering::Less
                    } else if is_better(whole, values, times, b, a) {
                        std::cmp::Ordering::Greater
                    } else {
                        a.cmp(&b)
                    }
                };
                rows.select_nth_unstable_by(most, before);
                rows.truncate(most);
                rows.sort_unstable();
            }
            kept.extend(rows);
        });
        if kept.len() < times.len() {
            block.keep(&kept);
        }
    }

    /// The rows of a window that are looked at: all, or of top() and bottom() with tags the best
    /// of each combination.
    fn candidates(
        &self,
        job: &Job<'_>,
        whole: Whole,
        merged: &Merged,
        run: std::ops::Range<usize>,
    ) -> Vec<u32> {
        let rows = run.map(|row| u32::try_from(row).unwrap_or(u32::MAX));
        let Some(values) = merged.values.as_ref().filter(|_| !job.call.by.is_empty()) else {
            return rows.collect();
        };
        let keys: Vec<usize> = job
            .call
            .by
            .iter()
            .filter_map(|tag| {
                self.plan
                    .references
                    .iter()
                    .position(|(known, _)| known == tag)
            })
            .collect();
        let mut best: HashMap<String, u32> = HashMap::new();
        let mut key = String::new();
        for row in rows {
            key.clear();
            for at in &keys {
                write_key(&merged.beside[*at], row as usize, &mut key);
            }
            match best.get_mut(key.as_str()) {
                Some(there) => {
                    if is_better(whole, values, &merged.times, row as usize, *there as usize) {
                        *there = row;
                    }
                }
                None => {
                    best.insert(key.clone(), row);
                }
            }
        }
        let mut rows: Vec<u32> = best.into_values().collect();
        rows.sort_unstable();
        rows
    }

    fn integral(&self, job: &Job<'_>, unit: i64, readers: &mut Readers<'_>) -> Result<Points> {
        let takes = Fold::Sum.takes(job.argument.field_type);
        let merged = self.merged(job, readers, takes)?;
        let Some(values) = &merged.values else {
            return Ok(Points::empty());
        };
        let ascending = self.plan.ascending;
        let areas = integral::apply(&merged.times, values, &job.windows, ascending, unit);
        let (times, values) = areas.into_iter().unzip();
        Ok(Points {
            times,
            column: Column::full(Values::Float(values)),
            beside: Vec::new(),
        })
    }

    fn transform(
        &self,
        job: &Job<'_>,
        transform: Transform,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        let takes = transform.takes(job.argument.field_type);
        let merged = self.merged(job, readers, takes)?;
        let Some(values) = &merged.values else {
            return Ok(Points::empty());
        };
        Ok(self.changed(transform, &merged.times, values))
    }

    fn transform_points(
        &self,
        call: &Call,
        transform: Transform,
        before: Points,
    ) -> Result<Points> {
        if before.times.is_empty() {
            return Ok(before);
        }
        let Some(field_type) = type_of(&before.column) else {
            return Ok(Points::empty());
        };
        if !transform.takes(field_type) {
            return Err(wrong_type(&call.name, field_type));
        }
        let (rows, values) = before.column.driver(field_type);
        let times = match rows {
            None => before.times,
            Some(rows) => rows.iter().map(|row| before.times[*row as usize]).collect(),
        };
        Ok(self.changed(transform, &times, &values))
    }

    /// What is to come after the windows that a call answered for.
    fn forecast(&self, call: &Call, forecast: HoltWinters, before: Points) -> Result<Points> {
        let Some(field_type) = type_of(&before.column) else {
            return Ok(Points::empty());
        };
        if !Fold::Sum.takes(field_type) {
            return Err(wrong_type(&call.name, field_type));
        }
        let (rows, Values::Float(values)) = before.column.driver(FieldType::Float) else {
            return Ok(Points::empty());
        };
        let times = match rows {
            None => before.times,
            Some(rows) => rows.iter().map(|row| before.times[*row as usize]).collect(),
        };
        let every = self.plan.interval.every;
        self.run.check_buckets(forecast.size(&times, every))?;
        let cancel = self.run.context.cancel;
        let (times, values) = forecast.apply(&times, &values, every, || cancel.check())?;
        Ok(Points {
            times,
            column: Column::full(Values::Float(values)),
            beside: Vec::new(),
        })
    }

    fn changed(&self, transform: Transform, times: &[i64], values: &Values) -> Points {
        let transform = match transform {
            Transform::Derivative(0, sign) => {
                let every = self.plan.interval.every;
                let unit = if every > 0 { every } else { 1_000_000_000 };
                Transform::Derivative(unit, sign)
            }
            other => other,
        };
        let (times, values) = transform::apply(transform, times, values);
        Points {
            times,
            column: Column::full(values),
            beside: Vec::new(),
        }
    }

    /// The points with one more in the first window, where that has none: what was there before
    /// the range. None where that is not asked for, or nothing was there.
    fn seeded(
        &self,
        job: &Job<'_>,
        points: &Points,
        readers: &mut Readers<'_>,
    ) -> Result<Option<(Vec<i64>, Column)>> {
        let first = job.windows.of(job.windows.start).0;
        if self.plan.look_back_ns == 0
            || job.windows.start <= plimsoll_engine::model::TIME_MIN.0
            || points.times.first() == Some(&first)
        {
            return Ok(None);
        }
        let past = Windows {
            start: job
                .windows
                .start
                .saturating_sub(self.plan.look_back_ns)
                .max(plimsoll_engine::model::TIME_MIN.0),
            end: job.windows.start - 1,
            ..job.windows.clone()
        };
        let unfilled = Caller {
            seeds: Seeds::AreLookedFor,
            ..*self
        };
        let call = (job.number, job.call);
        let before = unfilled.nested(call, past, job.extra, false, readers)?;
        let Some(last) = before.times.len().checked_sub(1) else {
            return Ok(None);
        };
        let mut times = vec![first];
        times.extend(&points.times);
        let seed = before.column.slice(last..last + 1);
        let is_empty = points.times.is_empty();
        let rest = (!is_empty).then(|| points.column.clone());
        Ok(Some((
            times,
            Column::concat([seed].into_iter().chain(rest).collect()),
        )))
    }

    /// Fills the windows without points, where GROUP BY time and fill() ask for it.
    fn fill(
        &self,
        job: &Job<'_>,
        points: Points,
        is_count: bool,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        if self.seeds == Seeds::AreLookedFor {
            return Ok(points);
        }
        let Some(mut filling) = self.plan.filling.filter(|_| job.windows.is_grouped()) else {
            return Ok(points);
        };
        if is_count && filling == Filling::Null {
            filling = Filling::Integer(0);
        }
        let ascending = self.plan.ascending;
        let seeded = self.seeded(job, &points, readers)?;
        let (starts, column) = seeded.as_ref().map_or_else(
            || (&points.times, &points.column),
            |(times, column)| (times, column),
        );
        let Some(bounds) = fill::bounds(&job.windows, ascending, starts) else {
            return Ok(points);
        };
        self.run.check_buckets(fill::count(&job.windows, bounds))?;
        let Column::Typed { values, .. } = column else {
            return Ok(points);
        };
        let (times, column) = fill::apply(filling, &job.windows, ascending, bounds, starts, values);
        let beside = points
            .beside
            .into_iter()
            .map(|column| spread(&column, &points.times, &times));
        Ok(Points {
            beside: beside.collect(),
            times,
            column,
        })
    }
}

/// Folds the points of a series as they are read.
struct Folding<'a> {
    fold: Fold,
    /// Whether the function takes the type: what it does not take is only counted.
    takes: bool,
    windows: &'a Windows,
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

    fn points(&mut self, times: &[i64], values: &Values, rows: std::ops::Range<usize>) {
        self.points += rows.len();
        if self.takes {
            let (fold, origin) = (self.fold, self.origin);
            self.folded
                .add(fold, self.windows, origin, times, values, rows);
        }
    }
}

/// Adds a series that is in memory.
fn add_block(folded: &mut Folded, job: &Job<'_>, fold: Fold, origin: u32, block: &Block) {
    if let Some(values) = &block.values {
        let rows = 0..block.times.len();
        folded.add(fold, &job.windows, origin, &block.times, values, rows);
    }
    folded.end(fold);
}

/// Appends a cell to a key in which equal texts are equal cells.
fn write_key(column: &Column, row: usize, key: &mut String) {
    if let Column::Typed {
        values: Values::String(values),
        present: None,
    } = column
    {
        let text = &values[row];
        write!(key, "{}:{text}", text.len()).expect("a String takes all that is written");
    } else {
        write!(key, "{:?};", column.cell(row)).expect("a String takes all that is written");
    }
}

/// A column's cells at the rows that were there before filling.
fn spread(column: &Column, before: &[i64], times: &[i64]) -> Column {
    let mut at = 0;
    let cells = times.iter().map(|time| {
        if before.get(at) == Some(time) {
            at += 1;
            column.cell(at - 1)
        } else {
            crate::rows::Cell::Null
        }
    });
    Column::from_cells(cells.collect())
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

/// A window's start as a result's time: 0 where it is open.
fn at_start(start: i64) -> i64 {
    if start == plimsoll_engine::model::TIME_MIN.0 {
        0
    } else {
        start
    }
}

fn is_better(whole: Whole, values: &Values, times: &[i64], row: usize, best: usize) -> bool {
    use plimsoll_engine::model::ValueRef::{Float, Integer, Unsigned};
    let order = match (values.value(row), values.value(best)) {
        (Float(a), Float(b)) => crate::functions::Number::order(&a, &b),
        (Integer(a), Integer(b)) => a.cmp(&b),
        (Unsigned(a), Unsigned(b)) => a.cmp(&b),
        _ => std::cmp::Ordering::Equal,
    };
    let order = match whole {
        Whole::Bottom(_) => order.reverse(),
        _ => order,
    };
    order.is_gt() || (order.is_eq() && times[row] < times[best])
}

fn push(values: &mut Values, value: FieldValue) {
    values.push(value.as_ref());
}

fn type_of(column: &Column) -> Option<FieldType> {
    match column {
        Column::Typed { values, .. } => Some(values.field_type()),
        Column::Same(..) | Column::Mixed(_) => None,
    }
}

/// What a function says of a type that it does not take.
pub(crate) fn wrong_type(function: &str, field_type: FieldType) -> Error {
    Error::invalid(format!(
        "{function}() is not supported on a field of type {field_type}"
    ))
}
