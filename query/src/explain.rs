//! EXPLAIN and EXPLAIN ANALYZE: what a SELECT will read, told from indexes, and what it did read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_engine::model::{FieldType, TIME_MAX, TIME_MIN};
use plimsoll_engine::{ColumnPlan, ReadCounts, Tally, TimeRange, Timestamp};

use crate::ast::Select;
use crate::check;
use crate::exec::context::Context;
use crate::exec::error::Result;
use crate::exec::load::range;
use crate::exec::pool::Execution;
use crate::exec::select::{Run, windows};
use crate::exec::window::Windows;
use crate::functions::Fold;
use crate::go_text::{go_duration, go_time};
use crate::plan::{Call, Decision, Derived, Function, Input, Kind, Plan, Source, Stored};

/// The rows of VERBOSE for one source, at most.
const VERBOSE_SERIES_MAX: usize = 100;

/// How much EXPLAIN tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Sums.
    Sums,
    /// VERBOSE: series by series, too.
    Series,
}

/// What the time is; none: phases are not timed.
pub(crate) type Clock<'a> = Option<&'a dyn Fn() -> Timestamp>;

/// The lines of EXPLAIN.
///
/// # Errors
/// What the SELECT itself would fail with before it reads.
pub(crate) fn explain(
    select: &Select,
    detail: Detail,
    context: &Context<'_>,
) -> Result<Vec<String>> {
    let checked = check::check(select, context.now)?;
    let plan = Plan::new(&checked.select, context)?;
    Describer::new(&plan, detail, context).all(select, &plan)
}

/// The lines of EXPLAIN ANALYZE: the plan, and what running it read and took.
///
/// # Errors
/// What the SELECT itself fails with.
pub(crate) fn analyze(
    select: &Select,
    detail: Detail,
    context: &Context<'_>,
    clock: Clock<'_>,
) -> Result<Vec<String>> {
    let tally = Arc::new(Tally::default());
    let snapshot = context.snapshot.with_tally(Arc::clone(&tally));
    let context = Context {
        snapshot: &snapshot,
        ..*context
    };
    let now = || clock.map(|clock| clock());
    let started = now();
    let checked = check::check(select, context.now)?;
    let plan = Plan::new(&checked.select, &context)?;
    let planned = now();
    let planning = tally.counts();
    let (mut series, mut rows) = (0_u64, 0_u64);
    let run = Run::new(&context, plan.readable(), Execution::default());
    run.select(&plan, TimeRange::ALL, &mut |table| {
        series += 1;
        rows += table.times.len() as u64;
        Ok(())
    })?;
    let ended = now();
    let counts = less(tally.counts(), planning);
    let (points, series_read) = (run.points_read(), run.series_read());
    drop(run);
    let mut lines = Describer::new(&plan, detail, &context).all(select, &plan)?;
    lines.extend([
        "read:".to_owned(),
        format!("  series: {series_read}"),
        format!(
            "  blocks: {} decoded, {} outside the range skipped, {} answered by their summaries",
            counts.blocks_decoded, counts.blocks_skipped, counts.blocks_summarised
        ),
        format!(
            "  decoded: {} values of {} bytes",
            counts.values_decoded, counts.bytes_decoded
        ),
        format!("  from heads: {} values", counts.head_values),
        format!("  used: {points} cells, as max-select-point counts them"),
        format!("answered: {rows} rows in {series} series"),
    ]);
    if let (Some(started), Some(planned), Some(ended)) = (started, planned, ended) {
        let between = |from: Timestamp, to: Timestamp| go_duration((to.0 - from.0).max(0));
        lines.extend([
            format!("planning_time: {}", between(started, planned)),
            format!("execution_time: {}", between(planned, ended)),
            format!("total_time: {}", between(started, ended)),
        ]);
    }
    Ok(lines)
}

fn less(all: ReadCounts, before: ReadCounts) -> ReadCounts {
    ReadCounts {
        blocks_decoded: all.blocks_decoded - before.blocks_decoded,
        blocks_skipped: all.blocks_skipped - before.blocks_skipped,
        blocks_summarised: all.blocks_summarised - before.blocks_summarised,
        bytes_decoded: all.bytes_decoded - before.bytes_decoded,
        values_decoded: all.values_decoded - before.values_decoded,
        head_values: all.head_values - before.head_values,
    }
}

struct Describer<'a> {
    context: &'a Context<'a>,
    detail: Detail,
    readable: TimeRange,
    lines: Vec<String>,
    depth: usize,
}

impl<'a> Describer<'a> {
    fn new(plan: &Plan, detail: Detail, context: &'a Context<'a>) -> Self {
        Self {
            context,
            detail,
            readable: plan.readable(),
            lines: Vec::new(),
            depth: 0,
        }
    }

    fn all(mut self, select: &Select, plan: &Plan) -> Result<Vec<String>> {
        self.say(format_args!("{select}"));
        self.depth += 1;
        self.plan(plan, TimeRange::ALL)?;
        Ok(self.lines)
    }

    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        self.lines.push(format!("{:1$}{what}", "", self.depth * 2));
    }

    fn plan(&mut self, plan: &Plan, bounds: TimeRange) -> Result<()> {
        let windows = windows(plan, bounds);
        let read = widest(plan, &windows);
        self.say(format_args!("range: {}", span(windows.start, windows.end)));
        if windows.is_grouped() {
            let every = go_duration(windows.every);
            match windows.count() {
                Some(count) => self.say(format_args!("windows: {count} of {every}")),
                None => self.say(format_args!("windows: of {every}")),
            }
        }
        if !plan.group_by.is_empty() {
            self.say(format_args!("grouped by: {}", plan.group_by.join(", ")));
        }
        let answers = plan.fields.iter().map(|output| match output.kind {
            Kind::Value(kind) => format!("{}::{kind}", output.column),
            Kind::Tag => format!("{}::tag", output.column),
            Kind::Unknown => format!("{} (unknown)", output.column),
        });
        let answers: Vec<String> = answers.collect();
        self.say(format_args!("columns: {}", answers.join(", ")));
        for (call, _) in &plan.calls {
            self.say(format_args!("call {}: {}", call.name, way(call.function)));
        }
        for source in &plan.sources {
            match source {
                Source::Stored(stored) => self.stored(plan, stored, &windows, read)?,
                Source::Derived(derived) => self.derived(plan, derived, &windows)?,
            }
        }
        if plan.sources.is_empty() {
            self.say(format_args!("sources: none"));
        }
        Ok(())
    }

    fn derived(&mut self, plan: &Plan, derived: &Derived, windows: &Windows) -> Result<()> {
        let extra = plan.calls.iter().map(|(call, _)| call.windows_before());
        let longer = windows
            .extended(extra.max().unwrap_or(0), plan.ascending)
            .extended(plan.back, true);
        self.say(format_args!("source: a subquery"));
        self.depth += 1;
        if derived.filter.is_some() {
            self.say(format_args!("filter: row by row"));
        }
        self.plan(&derived.plan, range(longer.start, longer.end))?;
        self.depth -= 1;
        Ok(())
    }

    fn stored(
        &mut self,
        plan: &Plan,
        stored: &Stored,
        windows: &Windows,
        read: TimeRange,
    ) -> Result<()> {
        let places = stored.view.source_counts();
        self.say(format_args!("source: {}", stored.measurement));
        self.depth += 1;
        self.say(format_args!(
            "partitions: {}, segments: {}, heads: {}",
            places.partitions, places.segments, places.heads
        ));
        let columns = columns(plan, stored);
        let names: Vec<String> = columns
            .iter()
            .map(|(name, kind)| format!("{name}::{kind}"))
            .collect();
        self.say(format_args!("fields read: {}", names.join(", ")));
        let predicate = stored.conditions.predicate();
        let found = stored.view.series(&stored.measurement, &predicate)?;
        let mut groups: BTreeSet<Vec<String>> = BTreeSet::new();
        let (mut kept, mut filtered, mut sum) = (0_usize, 0_usize, ColumnPlan::default());
        let mut details = Vec::new();
        let is_one_window = |block: TimeRange| {
            let (start, end) = windows.of(block.start.0);
            (start..end).contains(&block.end.0)
        };
        let read = read.intersect(&self.readable);
        for series in &found {
            self.context.cancel.check()?;
            let value = |key: &str| series.tags.value(key).unwrap_or_default().into_owned();
            match stored.conditions.decide(&value) {
                Decision::None => continue,
                Decision::All => {}
                Decision::Some(_) => filtered += 1,
            }
            kept += 1;
            groups.insert(plan.group_by.iter().map(|key| value(key)).collect());
            let mut own = ColumnPlan::default();
            for (name, kind) in &columns {
                own += stored
                    .view
                    .plan_column(series, name, *kind, read, &is_one_window)?;
            }
            sum += own;
            if self.detail == Detail::Series && details.len() < VERBOSE_SERIES_MAX {
                details.push(format!("{{{}}}: {}", series.tags.as_str(), blocks(&own)));
            }
        }
        self.say(format_args!("series: {kept} in {} groups", groups.len()));
        if filtered > 0 {
            self.say(format_args!("filter: row by row in {filtered} series"));
        }
        self.say(format_args!("blocks: {}", blocks(&sum)));
        match summaries(plan, stored, &columns, filtered) {
            Ok(()) => self.say(format_args!(
                "summaries: may stand for {} of them",
                sum.blocks_whole
            )),
            Err(why) => self.say(format_args!("summaries: none, {why}")),
        }
        if sum.heads > 0 {
            self.say(format_args!("heads: rows of {} columns' series", sum.heads));
        }
        for line in &details {
            self.say(format_args!("series {line}"));
        }
        if self.detail == Detail::Series && kept > details.len() {
            self.say(format_args!("and {} series more", kept - details.len()));
        }
        self.depth -= 1;
        Ok(())
    }
}

/// Whether blocks may be answered for by their summaries, or why not.
fn summaries(
    plan: &Plan,
    stored: &Stored,
    columns: &[(Arc<str>, FieldType)],
    filtered: usize,
) -> std::result::Result<(), &'static str> {
    if plan.calls.is_empty() {
        return Err("rows are asked for");
    }
    if filtered > 0 {
        return Err("rows are filtered");
    }
    if plan.calls.iter().any(|(call, _)| call.is_selector()) && !plan.references.is_empty() {
        return Err("columns go with a selected point");
    }
    if stored.fields.values().any(|kinds| kinds.len() > 1) {
        return Err("a field has several types");
    }
    let serves = |call: &Call| {
        let mut innermost = call;
        while let Input::Call(inner) = &innermost.input {
            innermost = inner;
        }
        let name = &call.reference().name;
        let column = columns.iter().find(|(column, _)| **column == **name);
        match (innermost.function, column.map(|(_, kind)| *kind)) {
            (Function::Fold(Fold::Count), _) => true,
            (Function::Fold(Fold::Sum | Fold::Mean), Some(kind)) => kind != FieldType::Float,
            (Function::Fold(_), Some(kind)) => {
                !matches!(kind, FieldType::String | FieldType::Boolean)
            }
            _ => false,
        }
    };
    if plan.calls.iter().all(|(call, _)| serves(call)) {
        Ok(())
    } else {
        Err("a call needs the points")
    }
}

fn blocks(plan: &ColumnPlan) -> String {
    format!(
        "{} in the range ({} values, {} bytes), {} outside",
        plan.blocks_read, plan.rows, plan.bytes, plan.blocks_skipped
    )
}

/// The widest range that a call of the SELECT reads.
fn widest(plan: &Plan, windows: &Windows) -> TimeRange {
    let extra = plan.calls.iter().map(|(call, _)| call.windows_before());
    let longer = windows
        .extended(extra.max().unwrap_or(0), plan.ascending)
        .extended(plan.back, true);
    range(longer.start, longer.end)
}

/// The stored fields that a SELECT reads of a source, with the types they have there.
fn columns(plan: &Plan, stored: &Stored) -> Vec<(Arc<str>, FieldType)> {
    let mut wanted: BTreeMap<&str, ()> = BTreeMap::new();
    wanted.extend(
        plan.calls
            .iter()
            .map(|(call, _)| (&*call.reference().name, ())),
    );
    wanted.extend(plan.references.iter().map(|(named, _)| (&*named.name, ())));
    let filters = &stored.conditions.references;
    wanted.extend(filters.iter().map(|named| (&*named.name, ())));
    let fields = stored.fields.iter();
    let fields = fields.filter(|(name, _)| wanted.contains_key(&***name));
    fields
        .flat_map(|(name, kinds)| kinds.iter().map(|kind| (Arc::clone(name), *kind)))
        .collect()
}

/// How a function takes its points.
fn way(function: Function) -> &'static str {
    match function {
        Function::Fold(_) => "each series by itself, then merged",
        Function::Counter(_) => "the steps of each series by itself, then added up",
        Function::Sketch => "a sketch of each series, then merged",
        Function::CountSketch => "of each sketch",
        Function::Whole(_) => "all points of a window together",
        Function::Integral(_) => "all points in order of time",
        Function::Transform(_) => "neighbours in order of time",
        Function::HoltWinters(_) => "a forecast over the windows of its argument",
    }
}

fn span(start: i64, end: i64) -> String {
    let start = (start > TIME_MIN.0).then(|| go_time(start));
    let end = (end < TIME_MAX.0).then(|| go_time(end));
    match (start, end) {
        (None, None) => "all of time".to_owned(),
        (Some(start), None) => format!("from {start}"),
        (None, Some(end)) => format!("to {end}"),
        (Some(start), Some(end)) => format!("{start} to {end}"),
    }
}
