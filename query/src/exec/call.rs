//! Runs one call over one group.

mod counters;
mod filled;
pub(crate) mod folded;
mod ranked;
mod whole;

use std::sync::Arc;

use plimsoll_engine::Rows;
use plimsoll_engine::model::{FieldType, Values};

use super::column::Column;
use super::error::{Error, Result};
use super::fields::{Fields, Readers, read_block};
use super::load::{Argument, Block, Member, range};
use super::merged::Merged;
use super::pool;
use super::select::{Made, Run};
use super::window::Windows;
use crate::functions::holt_winters::HoltWinters;
use crate::functions::{Fold, Transform, integral, transform};
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
    /// How many those are, at most.
    expected: usize,
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
        let Some(job) = self.job((number, call), windows, extra, is_lone_selector) else {
            return Ok(Points::empty());
        };
        let Argument {
            reference,
            field_type,
            ..
        } = job.argument;
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

    /// What a call that reads a name is run with; none where nothing is known by it.
    fn job<'c>(
        &self,
        (number, call): (usize, &'c Call),
        windows: Windows,
        extra: i64,
        is_lone_selector: bool,
    ) -> Option<Job<'c>> {
        let kind = self.fields.kind(number);
        let expected = windows.count().unwrap_or(1);
        Some(Job {
            expected: usize::try_from(expected).unwrap_or(usize::MAX),
            call,
            number,
            argument: Argument {
                reference: call.reference(),
                field_type: kind.values()?,
                is_tag: kind == Kind::Tag,
            },
            windows,
            extra,
            is_lone_selector,
            with_columns: is_lone_selector && !self.plan.references.is_empty(),
        })
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
        if let Member::Pending {
            derived,
            groups,
            at,
        } = member
        {
            let argument = beside.is_empty().then_some(job.argument);
            let table = match self.run.pending(derived, &groups[*at], argument, readers)? {
                Made::Nothing => return Ok(None),
                Made::Column(block) => {
                    self.run.context.cancel.check()?;
                    self.run.count_points(block.times.len())?;
                    return Ok((!block.times.is_empty()).then_some(block));
                }
                Made::Table(table) => table,
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
        Ok(self.changed(transform, merged.times, values))
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
        Ok(self.changed(transform, times, &values))
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

    fn changed(&self, transform: Transform, times: Vec<i64>, values: &Values) -> Points {
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
}

/// A window's start as a result's time: 0 where it is open.
fn at_start(start: i64) -> i64 {
    if start == plimsoll_engine::model::TIME_MIN.0 {
        0
    } else {
        start
    }
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
