//! Makes the rows of one group: a table of them, or, for a query around it, the one column that is
//! read.

use std::sync::Arc;

use super::Run;
use crate::exec::call::{Caller, Seeds, Spread};
use crate::exec::error::Result;
use crate::exec::fields::{Fields, Readers};
use crate::exec::groups;
use crate::exec::load::{Argument, Block, Member};
use crate::exec::outputs::{blanked_column, cut, joined, outputs};
use crate::exec::table::Table;
use crate::exec::window::Windows;
use crate::plan::{Derived, Node, Plan};

/// Makes the rows of groups.
pub(super) struct Group<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) plan: &'a Plan,
    pub(super) windows: &'a Windows,
    pub(super) fields: &'a Fields,
    pub(super) spread: Spread,
}

/// What a group of a subquery makes for the call that reads it.
pub(crate) enum Made {
    /// No rows.
    Nothing,
    /// The column that is read.
    Column(Block),
    /// All columns.
    Table(Table),
}

impl Run<'_> {
    /// What a group of a subquery makes. Where `argument` is all that is read of it, that may come
    /// without a table of it.
    pub(crate) fn pending(
        &self,
        derived: &Derived,
        group: &groups::Group<'_>,
        argument: Option<Argument<'_>>,
        readers: &mut Readers<'_>,
    ) -> Result<Made> {
        let (inner, readers) = readers.inner();
        let pending = Group {
            run: self,
            plan: &derived.plan,
            windows: &inner.windows,
            fields: &inner.fields,
            spread: Spread::Groups,
        };
        if let Some(argument) = argument.filter(|argument| is_lone(derived, argument)) {
            let column = pending.column(&group.1, argument, readers)?;
            return Ok(column.map_or(Made::Nothing, Made::Column));
        }
        let table = pending.table(group, readers)?;
        Ok(table.map_or(Made::Nothing, Made::Table))
    }
}

/// Whether a subquery's rows are what its one call answers, as it does, under the name of
/// `argument`.
fn is_lone(derived: &Derived, argument: &Argument<'_>) -> bool {
    let Derived { plan, filter } = derived;
    let name = &argument.reference.name;
    let is_plain = plan.calls.len() == 1 && plan.rows.is_all() && filter.is_none();
    let output = plan.fields.iter().find(|output| output.name == *name);
    is_plain && output.is_some_and(|output| matches!(output.node, Node::Symbol(0)))
}

impl Group<'_> {
    fn caller<'a>(&'a self, members: &'a [Member<'a>]) -> Caller<'a> {
        Caller {
            run: self.run,
            plan: self.plan,
            members,
            windows: self.windows,
            seeds: Seeds::AreUsed,
            fields: self.fields,
            spread: self.spread,
        }
    }

    /// The rows of its one call as the type that is read, if there are any: what
    /// [`Self::table`] comes to for a reader of that column.
    fn column(
        &self,
        members: &[Member<'_>],
        argument: Argument<'_>,
        readers: &mut Readers<'_>,
    ) -> Result<Option<Block>> {
        let (call, kind) = &self.plan.calls[0];
        let points = self.caller(members).points(0, call, readers)?;
        if points.times.is_empty() {
            return Ok(None);
        }
        let column = blanked_column(self.plan.blank, points.column, *kind);
        let (rows, values) = column.driver(argument.field_type);
        let times = match rows {
            None => points.times,
            Some(rows) => rows.iter().map(|row| points.times[*row as usize]).collect(),
        };
        Ok(Some(Block {
            times,
            values: Some(values),
            beside: Vec::new(),
        }))
    }

    /// The rows of one group, if it has any.
    pub(super) fn table(
        &self,
        ((name, values), members): &groups::Group<'_>,
        readers: &mut Readers<'_>,
    ) -> Result<Option<Table>> {
        let plan = self.plan;
        let (times, symbols) = if plan.calls.is_empty() {
            self.run
                .raw_rows(plan, self.windows, members, self.fields)?
        } else {
            let caller = self.caller(members);
            let mut answers = Vec::with_capacity(plan.calls.len());
            for (number, (call, _)) in plan.calls.iter().enumerate() {
                let mut points = caller.points(number, call, readers)?;
                cut(plan, &mut points);
                answers.push(points);
            }
            joined(plan, answers)
        };
        if times.is_empty() {
            return Ok(None);
        }
        let tags = plan.group_by.iter().cloned();
        Ok(Some(Table {
            name: Arc::clone(name),
            tags: tags.zip(values.iter().cloned()).collect(),
            columns: outputs(plan, symbols, times.len()),
            times,
        }))
    }
}
