//! Runs statements: SELECT and SHOW to rows, CREATE and DROP to effects.
//!
//! It reads a snapshot and writes nothing: what a statement changes is an [`Effect`], which the
//! server applies through the engine.

mod call;
pub(crate) mod column;
pub(crate) mod context;
pub(crate) mod error;
mod fields;
mod groups;
pub(crate) mod load;
mod merged;
mod outputs;
pub(crate) mod pool;
pub(crate) mod select;
pub(crate) mod table;
pub(crate) mod window;

use std::sync::Arc;

use plimsoll_engine::catalog::CatalogChange;
use plimsoll_engine::{Deletion, PartitionId, TimeRange, Timestamp};

pub use context::{
    Cancel, Collect, Context, FillPrevious, Hints, INTERRUPTED, Limits, Options, SharedMemory,
    Sink, TIMED_OUT,
};
pub use error::{Error, Result};
pub use pool::Execution;

use crate::ast::{Fill, Select, Source, Statement};
use crate::change;
use crate::check;
use crate::continuous;
use crate::delete;
use crate::explain;
use crate::into::{Points, Writer};
use crate::plan::Plan;
use crate::rows::{Cell, ColumnRows, Message, Rows};
use crate::show;
use select::Run;
use table::Table;

/// How a statement ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Its answer is in the sink.
    Done,
    /// Something is to be changed.
    Effect(Effect),
}

/// What a statement changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Databases, and what belongs to them.
    Catalog(CatalogChange),
    /// Points, in this order.
    Delete(Vec<Deletion>),
    /// A partition, where it is there.
    DropShard(PartitionId),
}

/// Runs one statement.
///
/// # Errors
/// InfluxDB's texts, which belong into the statement's part of the answer. What went into `sink`
/// before stays valid.
pub fn execute(
    statement: &Statement,
    context: &Context<'_>,
    sink: &mut dyn Sink,
) -> Result<Outcome> {
    execute_as(Execution::default(), statement, context, sink)
}

/// Runs one statement in one of the ways that answer the same.
///
/// # Errors
/// As [`execute`].
pub fn execute_as(
    execution: Execution,
    statement: &Statement,
    context: &Context<'_>,
    sink: &mut dyn Sink,
) -> Result<Outcome> {
    context.cancel.check()?;
    if !matches!(statement, Statement::Select(_)) {
        check::check_statement(statement, context.now)?;
    }
    if let Some(change) = change::of_statement(statement, context)? {
        return Ok(Outcome::Effect(Effect::Catalog(change)));
    }
    if let Some(deletions) = delete::of_statement(statement, context)? {
        return Ok(Outcome::Effect(Effect::Delete(deletions)));
    }
    let mut emitter = Emitter::new(context, sink);
    let comes_in_pieces = matches!(
        statement,
        Statement::Select(_) | Statement::ShowFieldKeys(_) | Statement::ShowSeries(_)
    );
    if !comes_in_pieces {
        emitter.chunk_size = None;
    }
    match statement {
        Statement::Select(select) => run_select(execution, select, context, &mut emitter)?,
        Statement::ShowDatabases => show::databases(context, &mut emitter)?,
        Statement::ShowRetentionPolicies { database } => {
            show::retention_policies(database.as_deref(), context, &mut emitter)?;
        }
        Statement::ShowSubscriptions => show::subscriptions(context, &mut emitter)?,
        Statement::ShowContinuousQueries => show::continuous_queries(context, &mut emitter)?,
        Statement::ShowMeasurements(show) => show::measurements(show, context, &mut emitter)?,
        Statement::ShowSeries(show) => show::series(show, context, &mut emitter)?,
        Statement::ShowTagKeys(show) => show::tag_keys(show, context, &mut emitter)?,
        Statement::ShowTagValues(show) => show::tag_values(show, context, &mut emitter)?,
        Statement::ShowFieldKeys(show) => show::field_keys(show, context, &mut emitter)?,
        Statement::ShowCardinality { of, exact, show } => {
            show::cardinality(*of, *exact, show, context, &mut emitter)?;
        }
        Statement::Explain {
            select,
            analyze,
            verbose,
        } => explain_as(select, *analyze, *verbose, context, None, &mut emitter)?,
        Statement::ShowShards => show::shards(context, &mut emitter)?,
        Statement::ShowShardGroups => show::shard_groups(context, &mut emitter)?,
        Statement::DropShard { id } => {
            return Ok(Outcome::Effect(Effect::DropShard(PartitionId(*id))));
        }
        other => return Err(Error::Unsupported(name_of(other))),
    }
    Ok(Outcome::Done)
}

/// EXPLAIN ANALYZE, with the phases timed by `clock`.
///
/// # Errors
/// As [`execute`].
pub fn explain_analyze(
    select: &Select,
    verbose: bool,
    context: &Context<'_>,
    clock: &dyn Fn() -> Timestamp,
    sink: &mut dyn Sink,
) -> Result<()> {
    context.cancel.check()?;
    let mut emitter = Emitter::new(context, sink);
    explain_as(select, true, verbose, context, Some(clock), &mut emitter)
}

fn explain_as(
    select: &Select,
    analyze: bool,
    verbose: bool,
    context: &Context<'_>,
    clock: explain::Clock<'_>,
    emitter: &mut Emitter<'_>,
) -> Result<()> {
    let detail = if verbose {
        explain::Detail::Series
    } else {
        explain::Detail::Sums
    };
    let (column, lines) = if analyze {
        let lines = explain::analyze(select, detail, context, clock)?;
        ("EXPLAIN ANALYZE", lines)
    } else {
        ("QUERY PLAN", explain::explain(select, detail, context)?)
    };
    let values = lines
        .into_iter()
        .map(|line| vec![Cell::String(line.into())]);
    emitter.rows(Rows {
        columns: [column.into()].into(),
        values: values.collect(),
        ..Rows::default()
    })
}

fn run_select(
    execution: Execution,
    select: &Select,
    context: &Context<'_>,
    emitter: &mut Emitter<'_>,
) -> Result<()> {
    let mut target = select.target.clone();
    if let Some(target) = &mut target {
        let catalog = context.snapshot.catalog();
        continuous::qualify(target, catalog, context.database, context.policy)?;
    }
    find_databases(select, context)?;
    let mut checked = check::check(select, context.now)?;
    if target.is_some() && checked.select.fill == Fill::Null {
        // InfluxDB writes no zeros of count() that nobody asked for.
        checked.select.fill = Fill::None;
    }
    let plan = Plan::new(&checked.select, context)?;
    if context.options.hints == Hints::Given {
        let hints = plan.hints(&checked.select);
        hints.into_iter().for_each(|hint| emitter.hint(hint));
    }
    let mut columns = vec![Arc::clone(&plan.time_name)];
    columns.extend(plan.fields.iter().map(|output| Arc::clone(&output.column)));
    let columns: Arc<[Arc<str>]> = columns.into();
    let run = Run::new(context, plan.readable(), execution);
    let Some(target) = target else {
        return run.select(&plan, TimeRange::ALL, &mut |table| {
            emitter.table(table, &columns, plan.zone_name.as_ref())
        });
    };
    let mut writer = Writer::new(target, &plan);
    run.select(&plan, TimeRange::ALL, &mut |table| {
        writer.table(&table, emitter)
    })?;
    writer.finish(emitter)
}

/// Looks for the databases of FROM, which InfluxDB does before it looks at the rest, but for INTO.
fn find_databases(select: &Select, context: &Context<'_>) -> Result<()> {
    for source in &select.sources {
        match source {
            Source::Subquery(inner) => find_databases(inner, context)?,
            Source::Measurement(measurement) => {
                let named = [measurement.database.as_str(), context.database];
                let Some(name) = named.iter().find(|name| !name.is_empty()) else {
                    return Err(Error::DatabaseRequired);
                };
                context.snapshot.catalog().database(name)?;
            }
        }
    }
    Ok(())
}

/// Hands rows to the sink: in pieces, or cut at the row limit.
pub(crate) struct Emitter<'a> {
    sink: &'a mut dyn Sink,
    cancel: &'a Cancel,
    chunk_size: Option<usize>,
    rows_left: Option<usize>,
}

impl<'a> Emitter<'a> {
    fn new(context: &Context<'a>, sink: &'a mut dyn Sink) -> Self {
        let limit = usize::try_from(context.limits.rows_max).unwrap_or(usize::MAX);
        let is_limited = limit > 0 && context.chunk_size.is_none();
        Self {
            sink,
            cancel: context.cancel,
            chunk_size: context.chunk_size.filter(|size| *size > 0),
            rows_left: is_limited.then_some(limit),
        }
    }

    fn table(
        &mut self,
        table: Table,
        columns: &Arc<[Arc<str>]>,
        timezone: Option<&Arc<str>>,
    ) -> Result<()> {
        let len = table.times.len();
        let head = Rows {
            name: table.name,
            tags: table.tags,
            columns: Arc::clone(columns),
            values: Vec::new(),
            timezone: timezone.cloned(),
            partial: false,
        };
        let rows = ColumnRows::new(head, table.times, table.columns);
        if self.chunk_size.is_some() || self.rows_left.is_some_and(|left| left < len) {
            return self.rows(rows.into_rows());
        }
        self.cancel.check()?;
        if let Some(left) = &mut self.rows_left {
            *left -= len;
        }
        self.sink.columns(rows)
    }

    /// Hands over a note on what was probably meant.
    fn hint(&mut self, text: String) {
        self.sink.message(Message {
            level: "warning",
            text,
        });
    }

    /// Hands over points of SELECT … INTO.
    pub(crate) fn write(&mut self, points: Points) -> Result<()> {
        self.cancel.check()?;
        self.sink.write(points)
    }

    /// Hands over one series.
    pub(crate) fn rows(&mut self, mut rows: Rows) -> Result<()> {
        self.cancel.check()?;
        if let Some(left) = &mut self.rows_left {
            if *left == 0 {
                return Ok(());
            }
            if rows.values.len() > *left {
                rows.values.truncate(*left);
                rows.partial = true;
            }
            *left -= rows.values.len();
        }
        let Some(size) = self.chunk_size else {
            return self.sink.series(rows);
        };
        while rows.values.len() > size {
            let rest = rows.values.split_off(size);
            let piece = Rows {
                values: std::mem::replace(&mut rows.values, rest),
                partial: true,
                ..rows.clone_without_values()
            };
            self.sink.series(piece)?;
        }
        self.sink.series(rows)
    }
}

/// What a statement is called in "… is not supported yet".
fn name_of(statement: &Statement) -> &'static str {
    match statement {
        Statement::CreateUser { .. } => "CREATE USER",
        Statement::DropUser { .. } => "DROP USER",
        Statement::SetPassword { .. } => "SET PASSWORD",
        Statement::Grant { .. } => "GRANT",
        Statement::Revoke { .. } => "REVOKE",
        Statement::KillQuery { .. } => "KILL QUERY",
        Statement::ShowUsers => "SHOW USERS",
        Statement::ShowGrants { .. } => "SHOW GRANTS",
        Statement::ShowQueries => "SHOW QUERIES",
        Statement::ShowStats { .. } => "SHOW STATS",
        Statement::ShowDiagnostics { .. } => "SHOW DIAGNOSTICS",
        _ => "this statement",
    }
}
