//! A SELECT, resolved against the catalog and the schema: what is read, and how rows are made of it.
//!
//! Types and wildcards are settled from the innermost subquery out, time ranges from the outermost
//! in. It reads names only, no points.

mod call;
mod condition;
mod fields;
mod hint;
mod kind;
mod node;
mod source;
mod time;

use std::sync::Arc;

use jiff::tz::TimeZone;
use plimsoll_engine::TimeRange;
use plimsoll_engine::model::TIME_MAX;

pub(crate) use call::{Call, Function, Input};
pub(crate) use condition::{Conditions, Decision, compile_regex};
pub(crate) use kind::Kind;
pub(crate) use node::{Node, Place};
pub(crate) use source::{Derived, Source, Stored, kind_in, kind_over};
pub(crate) use time::split;

use crate::ast::{Dimension, Expr, Fill, FillNumber, Operator, Reference, Select};
use crate::exec::context::{Context, FillPrevious};
use crate::exec::error::{Error, Result};
use crate::functions::fill::Filling;

/// A resolved SELECT.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What is read.
    pub(crate) sources: Vec<Source>,
    /// Calls: symbols from 0 on.
    pub(crate) calls: Vec<(Call, Kind)>,
    /// Names outside calls: symbols behind the calls.
    pub(crate) references: Vec<(Reference, Kind)>,
    /// What comes out.
    pub(crate) fields: Vec<Output>,
    /// The name of the column of times.
    pub(crate) time_name: Arc<str>,
    /// Tags of its own GROUP BY, as written.
    pub(crate) own_tags: Vec<Arc<str>>,
    /// Tags by which it groups, the outer query's among them; sorted.
    pub(crate) group_by: Vec<Arc<str>>,
    /// What its own WHERE says about time.
    pub(crate) range: TimeRange,
    /// GROUP BY time, its own or the outer query's.
    pub(crate) interval: Interval,
    /// tz().
    pub(crate) zone: Option<TimeZone>,
    /// The zone's name, for output.
    pub(crate) zone_name: Option<Arc<str>>,
    /// The order of rows.
    pub(crate) ascending: bool,
    /// What windows without points get.
    pub(crate) filling: Option<Filling>,
    /// How many ns before the range fill(previous) looks for a value.
    pub(crate) look_back_ns: i64,
    /// How many windows before the range are read for that, and for the first steps of counters.
    pub(crate) back: i64,
    /// What a row's cell without a value gets.
    pub(crate) blank: Blank,
    /// Rows of a series.
    pub(crate) rows: Slice,
    /// Series.
    pub(crate) series: Slice,
    /// What it is refused with once it is run: a subquery that nothing is read of is not.
    pub(crate) refusal: Option<String>,
}

/// One column that comes out.
#[derive(Debug)]
pub(crate) struct Output {
    /// How it is computed.
    pub(crate) node: Node,
    /// Its type.
    pub(crate) kind: Kind,
    /// How an outer query calls it.
    pub(crate) name: String,
    /// Its name in the answer: unlike all others.
    pub(crate) column: Arc<str>,
    /// Why it is there.
    pub(crate) origin: Origin,
}

/// Why a column is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The statement lists it.
    Asked,
    /// top() or bottom() tells its points apart by it.
    Distinguishes,
}

/// GROUP BY time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    /// ns; 0 where it is not there.
    pub(crate) every: i64,
    /// ns.
    pub(crate) offset: i64,
}

/// What a row's cell gets where there is no value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Blank {
    /// Null.
    Null,
    /// What stood there in the row before.
    Previous,
    /// A number.
    Number(FillNumber),
}

/// A limit and an offset; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    /// How many.
    pub(crate) limit: u64,
    /// How many are left out before.
    pub(crate) offset: u64,
}

impl Slice {
    /// Which of `len` are meant.
    pub(crate) fn range(self, len: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset).map_or(len, |offset| offset.min(len));
        let end = match usize::try_from(self.limit) {
            Ok(limit) if limit > 0 => start.saturating_add(limit).min(len),
            _ => len,
        };
        start..end
    }

    /// How many rows from the start are enough to answer it; none: all.
    pub(crate) fn needed(self) -> Option<usize> {
        let rows = self.limit.checked_add(self.offset)?;
        (self.limit > 0)
            .then(|| usize::try_from(rows).ok())
            .flatten()
    }

    /// Whether all are meant.
    pub(crate) fn is_all(self) -> bool {
        self.limit == 0 && self.offset == 0
    }
}

/// What a subquery takes from the query around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outer {
    /// Its range, with the windows that it reads before.
    range: TimeRange,
    /// That of the whole statement: what names stand for is settled over it.
    schema: TimeRange,
    interval: Interval,
    ascending: bool,
}

impl Plan {
    /// Resolves a SELECT.
    ///
    /// # Errors
    /// [`Error::Invalid`] with InfluxDB's text, and what the engine answers for unknown names.
    pub(crate) fn new(select: &Select, context: &Context<'_>) -> Result<Self> {
        let mut plan = Self::build(select, context, None)?;
        plan.group_by_outer(&[]);
        Ok(plan)
    }

    fn build(select: &Select, context: &Context<'_>, outer: Option<Outer>) -> Result<Self> {
        let zone = match &select.timezone {
            None => None,
            Some(name) => Some(
                TimeZone::get(name)
                    .map_err(|_| Error::invalid(format!("unable to find time zone {name}")))?,
            ),
        };
        let split = match outer {
            None => split(select.condition.as_ref(), context.now, zone.as_ref()),
            Some(_) => time::split_folded(select.condition.as_ref(), context.now, zone.as_ref()),
        }?;
        let mut refusal = split.rest.as_ref().and_then(refused_condition);
        let own = own_interval(&select.dimensions, context, zone.as_ref(), &mut refusal)?;
        let mut range = split.range;
        if own.every > 0 && range.end == TIME_MAX {
            range.end = context.now;
        }
        let interval = match (own.every, outer) {
            (0, Some(outer)) => outer.interval,
            _ => own,
        };
        let ascending = outer.map_or_else(|| select.is_ascending(), |outer| outer.ascending);
        let look_back_ns = look_back_ns(select, context, ascending, interval);
        let look_back = match interval.every {
            0 => 0,
            every => look_back_ns / every + i64::from(look_back_ns % every > 0),
        };
        let back = if interval.every > 0 && select.fields.iter().any(|f| has_counter(&f.expr)) {
            look_back.saturating_add(1)
        } else {
            look_back
        };
        let mut read = reading_range(select, range, interval, ascending, outer);
        read.start.0 = read
            .start
            .0
            .saturating_sub(interval.every.saturating_mul(back));
        let read = read.intersect(&TimeRange::ALL);
        let below = Outer {
            range: read,
            schema: outer.map_or_else(
                || widened(range, extra_windows(select), interval, ascending),
                |outer| outer.schema,
            ),
            interval,
            ascending,
        };
        let mut sources = source::resolve(&select.sources, context, below)?;
        let level = match outer {
            None => fields::Level::Outermost,
            Some(_) => fields::Level::Subquery,
        };
        let fields = fields::resolve(select, &sources, level)?;
        source::compile_conditions(&mut sources, split.rest.as_ref())?;
        let is_inner = outer.is_some();
        let filling = filling(select.fill, is_inner);
        Ok(Self {
            sources,
            calls: fields.calls,
            references: fields.references,
            fields: fields.outputs,
            time_name: fields.time_name,
            own_tags: fields.tags,
            group_by: Vec::new(),
            range,
            interval,
            zone,
            zone_name: select.timezone.as_deref().map(Into::into),
            ascending,
            filling,
            look_back_ns,
            back,
            blank: blank(select.fill),
            rows: Slice {
                limit: select.limit,
                offset: select.offset,
            },
            series: Slice {
                limit: select.slimit,
                offset: select.soffset,
            },
            refusal,
        })
    }

    /// Adds the tags that the query around groups by, here and below.
    fn group_by_outer(&mut self, outer: &[Arc<str>]) {
        let mut all: Vec<Arc<str>> = self.own_tags.iter().chain(outer).cloned().collect();
        all.sort_unstable();
        all.dedup();
        for source in &mut self.sources {
            if let Source::Derived(derived) = source {
                derived.plan.group_by_outer(&all);
            }
        }
        self.group_by = all;
    }

    /// What a statement may read of stored series, its subqueries too: its range, and the windows
    /// before it that its own calls need.
    pub(crate) fn readable(&self) -> TimeRange {
        let windows = self
            .calls
            .iter()
            .map(|(call, _)| call.windows_before_at_most());
        let more = self
            .interval
            .every
            .saturating_mul(windows.max().unwrap_or(0));
        let mut range = self.range;
        if self.ascending {
            range.start.0 = range.start.0.saturating_sub(more);
        } else {
            range.end.0 = range.end.0.saturating_add(more);
        }
        range.start.0 = range.start.0.saturating_sub(self.back_ns());
        range.intersect(&TimeRange::ALL)
    }

    /// How much is read before the range for counters and fill(previous), here and below.
    fn back_ns(&self) -> i64 {
        let below = self.sources.iter().map(|source| match source {
            Source::Stored(_) => 0,
            Source::Derived(derived) => derived.plan.back_ns(),
        });
        let own = self.interval.every.saturating_mul(self.back);
        own.saturating_add(below.max().unwrap_or(0))
    }

    /// Whether its one call answers points, which other columns may go with.
    pub(crate) fn is_selector(&self) -> bool {
        matches!(self.calls.as_slice(), [(call, _)] if call.is_selector())
    }
}

/// The range that is read: with the windows before it that transforms need.
fn reading_range(
    select: &Select,
    own: TimeRange,
    interval: Interval,
    ascending: bool,
    outer: Option<Outer>,
) -> TimeRange {
    let range = outer.map_or(own, |outer| own.intersect(&outer.range));
    let depths = select.fields.iter().map(|field| depth(&field.expr));
    widened(range, depths.max().unwrap_or(0), interval, ascending)
}

/// A range with some windows more, at its start or, in a descending query, at its end.
fn widened(mut range: TimeRange, windows: i64, interval: Interval, ascending: bool) -> TimeRange {
    let more = interval.every.saturating_mul(windows);
    if ascending {
        range.start.0 = range.start.0.saturating_sub(more);
    } else {
        range.end.0 = range.end.0.saturating_add(more);
    }
    range.intersect(&TimeRange::ALL)
}

/// How many ns before the range fill(previous) looks for a value.
fn look_back_ns(
    select: &Select,
    context: &Context<'_>,
    ascending: bool,
    interval: Interval,
) -> i64 {
    match context.options.fill_previous {
        FillPrevious::LookBack(ns)
            if select.fill == Fill::Previous && ascending && interval.every > 0 =>
        {
            ns
        }
        _ => 0,
    }
}

/// Whether an expression calls rate() or increase().
fn has_counter(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => {
            matches!(&*call.name, "rate" | "increase") || call.arguments.iter().any(has_counter)
        }
        Expr::Binary { left, right, .. } => has_counter(left) || has_counter(right),
        Expr::Paren(inner) => has_counter(inner),
        _ => false,
    }
}

/// How many windows before its range InfluxDB looks for shards.
fn extra_windows(select: &Select) -> i64 {
    fn of(expr: &Expr) -> i64 {
        match expr {
            Expr::Call(call) => {
                let own = match (call.name.as_str(), call.arguments.get(1)) {
                    ("derivative" | "difference" | "elapsed", _) => 1,
                    ("non_negative_derivative" | "non_negative_difference", _) => 1,
                    ("moving_average", Some(Expr::Integer(n))) => *n,
                    (name, Some(Expr::Integer(n))) if is_technical(name) => *n,
                    _ => 0,
                };
                own.max(call.arguments.iter().map(of).max().unwrap_or(0))
            }
            Expr::Binary { left, right, .. } => of(left).max(of(right)),
            Expr::Paren(inner) => of(inner),
            _ => 0,
        }
    }
    let windows = select.fields.iter().map(|field| of(&field.expr));
    windows.max().unwrap_or(0)
}

fn is_technical(name: &str) -> bool {
    crate::functions::technical::Indicator::named(name).is_some()
}

/// How many windows a field's calls may read more than the range has.
fn depth(expr: &Expr) -> i64 {
    match expr {
        Expr::Call(call) => 1 + call.arguments.iter().map(depth).max().unwrap_or(0),
        Expr::Binary { left, right, .. } => depth(left).max(depth(right)),
        Expr::Paren(inner) => depth(inner),
        _ => 0,
    }
}

fn own_interval(
    dimensions: &[Dimension],
    context: &Context<'_>,
    zone: Option<&TimeZone>,
    refusal: &mut Option<String>,
) -> Result<Interval> {
    let mut interval = Interval::default();
    for dimension in dimensions {
        let Expr::Call(call) = &dimension.expr else {
            continue;
        };
        if call.name != "time" {
            return Err(Error::invalid("only time() calls allowed in dimensions"));
        }
        if interval.every != 0 {
            return Err(Error::invalid("multiple time dimensions not allowed"));
        }
        interval = match call.arguments.as_slice() {
            [Expr::Duration(every)] => Interval {
                every: (*every).max(0),
                offset: 0,
            },
            [Expr::Duration(every), offset] if *every > 0 => Interval {
                every: *every,
                offset: match time::offset(offset, *every, context.now, zone) {
                    Ok(offset) => offset,
                    Err(error) => {
                        refusal.get_or_insert(error.to_string());
                        0
                    }
                },
            },
            [Expr::Duration(_), _] => Interval::default(),
            [_] | [_, _] => {
                return Err(Error::invalid("time dimension must have duration argument"));
            }
            _ => return Err(Error::invalid("time dimension expected 1 or 2 arguments")),
        };
    }
    Ok(interval)
}

/// What a condition is refused with of which a part comes to a constant.
fn refused_condition(rest: &Expr) -> Option<String> {
    match rest {
        Expr::Binary {
            op: Operator::And | Operator::Or,
            left,
            right,
        } => refused_condition(left).or_else(|| refused_condition(right)),
        Expr::Paren(inner) => refused_condition(inner),
        Expr::Boolean(_) => None,
        rest => {
            crate::reduce::is_literal(rest).then(|| format!("invalid condition expression: {rest}"))
        }
    }
}

fn filling(fill: Fill, is_inner: bool) -> Option<Filling> {
    match fill {
        Fill::Null if is_inner => None,
        Fill::None => None,
        Fill::Null => Some(Filling::Null),
        Fill::Previous => Some(Filling::Previous),
        Fill::Linear => Some(Filling::Linear),
        Fill::Number(FillNumber::Integer(value)) => Some(Filling::Integer(value)),
        Fill::Number(FillNumber::Float(value)) => Some(Filling::Number(value)),
    }
}

fn blank(fill: Fill) -> Blank {
    match fill {
        Fill::Previous => Blank::Previous,
        Fill::Number(number) => Blank::Number(number),
        Fill::Null | Fill::None | Fill::Linear => Blank::Null,
    }
}
