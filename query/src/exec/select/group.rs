//! Makes the rows of one group: a table of them, or, for a query around it, the one column that is
//! read.

use std::sync::Arc;

use super::Run;
use crate::exec::call::folded::Pieces;
use crate::exec::call::{Caller, Seeds, Spread};
use crate::exec::column::Column;
use crate::exec::error::Result;
use crate::exec::fields::{Fields, Readers};
use crate::exec::groups::{self, Key};
use crate::exec::load::{Argument, Block, Member};
use crate::exec::outputs::{blanked_column, cut, joined, outputs};
use crate::exec::pool;
use crate::exec::table::Table;
use crate::exec::window::Windows;
use crate::functions::fold::Folded;
use crate::plan::{Derived, Node, Plan};

/// Makes the rows of groups.
pub(super) struct Group<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) plan: &'a Plan,
    pub(super) windows: &'a Windows,
    pub(super) fields: &'a Fields,
    pub(super) spread: Spread,
}

/// What a thread takes at a time.
enum Piece<'a> {
    /// A group.
    Whole(&'a groups::Group<'a>),
    /// Some of its members.
    Cut(Slice<'a>),
}

/// Some members of a group, the first of which has this number there.
#[derive(Clone, Copy)]
struct Slice<'a> {
    key: &'a Key,
    first: u32,
    members: &'a [Member<'a>],
    is_last: bool,
}

/// What a thread makes of it.
enum Part<'a> {
    Table(Option<Table>),
    Folded(Slice<'a>, Vec<Folded>),
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
    pub(super) fn caller<'a>(&'a self, members: &'a [Member<'a>]) -> Caller<'a> {
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
        (key, members): &groups::Group<'_>,
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
        Ok(table(plan, key, times, symbols))
    }

    /// Hands over the tables of groups, in order, of which threads take pieces.
    pub(super) fn in_pieces(
        &self,
        groups: &[groups::Group<'_>],
        pieces: &Pieces<'_>,
        emit: &mut dyn FnMut(Table) -> Result<()>,
    ) -> Result<()> {
        let items = self.pieces_of(groups, pieces.go_alone());
        let mut own = self.fields.readers();
        let mut folded = pieces.empty();
        pool::in_order(
            self.run.execution,
            &items,
            self.run.execution.parts(),
            || self.fields.readers(),
            |piece, readers| match piece {
                Piece::Whole(group) => self.table(group, readers).map(Part::Table),
                Piece::Cut(slice) => {
                    let caller = self.caller(slice.members);
                    let parts = pieces.parts(&caller, slice.first, readers)?;
                    Ok(Part::Folded(*slice, parts))
                }
            },
            |part| {
                let (slice, parts) = match part {
                    Part::Table(table) => return table.map_or(Ok(()), &mut *emit),
                    Part::Folded(slice, parts) => (slice, parts),
                };
                let caller = self.caller(slice.members);
                pieces.merge(&caller, &mut folded, parts)?;
                if !slice.is_last {
                    return Ok(());
                }
                let group = std::mem::replace(&mut folded, pieces.empty());
                let mut points = pieces.points(&caller, group, &mut own)?;
                cut(self.plan, &mut points);
                let (times, symbols) = joined(self.plan, vec![points]);
                table(self.plan, slice.key, times, symbols).map_or(Ok(()), &mut *emit)
            },
        )
    }

    /// Cuts groups into pieces. Where what a piece comes to is as large as what it is made of, only
    /// the last groups are cut: so many that no thread is left without work while another has a
    /// whole one.
    fn pieces_of<'g>(&self, groups: &'g [groups::Group<'g>], go_alone: bool) -> Vec<Piece<'g>> {
        let len = |(_, members): &groups::Group<'_>| members.len();
        let all: usize = groups.iter().map(len).sum();
        let whole = if go_alone {
            let largest = groups.iter().map(len).max().unwrap_or(0);
            let others = self.run.execution.threads() - 1;
            let mut behind = 0;
            let is_enough = |behind: &mut usize, group| {
                let is_enough = *behind >= largest * others;
                *behind += len(group);
                is_enough
            };
            let last = groups
                .iter()
                .rposition(|group| is_enough(&mut behind, group));
            last.map_or(0, |last| last + 1)
        } else {
            0
        };
        let size = pool::part_size(self.run.execution, all);
        let (whole, cut) = groups.split_at(whole);
        let mut items: Vec<Piece<'_>> = whole.iter().map(Piece::Whole).collect();
        for (key, members) in cut {
            let mut some = members.chunks(size).peekable();
            let mut first = 0;
            while let Some(members) = some.next() {
                let is_last = some.peek().is_none();
                items.push(Piece::Cut(Slice {
                    key,
                    first,
                    members,
                    is_last,
                }));
                first += u32::try_from(members.len()).unwrap_or(u32::MAX);
            }
        }
        items
    }
}

/// The rows of a group, if it has any.
fn table(
    plan: &Plan,
    (name, values): &Key,
    times: Vec<i64>,
    symbols: Vec<Column>,
) -> Option<Table> {
    if times.is_empty() {
        return None;
    }
    let tags = plan.group_by.iter().cloned();
    Some(Table {
        name: Arc::clone(name),
        tags: tags.zip(values.iter().cloned()).collect(),
        columns: outputs(plan, symbols, times.len()),
        times,
    })
}
