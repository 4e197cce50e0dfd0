//! The rows of one group, made of what its calls answer.

use super::call::Points;
use super::column::{Column, cast_cell, cell_from};
use crate::ast::FillNumber;
use crate::plan::{Blank, Kind, Node, Place, Plan};
use crate::rows::Cell;

/// LIMIT and OFFSET: each call's points by themselves.
pub(super) fn cut(plan: &Plan, points: &mut Points) {
    let rows = plan.rows.range(points.times.len());
    if rows.len() < points.times.len() {
        points.times = points.times[rows.clone()].to_vec();
        points.column = points.column.slice(rows.clone());
        for column in &mut points.beside {
            *column = column.slice(rows.clone());
        }
    }
}

/// A column with its nulls replaced as fill() says.
pub(super) fn blanked_column(blank: Blank, column: Column, kind: Kind) -> Column {
    let replacement = match blank {
        Blank::Null => return column,
        Blank::Previous => None,
        Blank::Number(number) => Some(number_cell(number, kind)),
    };
    let mut before = Cell::Null;
    let cells = column.into_cells().into_iter().map(|cell| {
        let cell = match (cell, &replacement) {
            (Cell::Null, Some(replacement)) => replacement.clone(),
            (Cell::Null, None) => before.clone(),
            (cell, _) => cell,
        };
        before = cell.clone();
        cell
    });
    Column::from_cells(cells.collect())
}

/// A number of fill() as a cell of a column's type; texts keep it as it is.
fn number_cell(number: FillNumber, kind: Kind) -> Cell {
    let cell = match number {
        FillNumber::Integer(value) => Cell::Integer(value),
        FillNumber::Float(value) => Cell::Float(value),
    };
    let cast = kind.values().and_then(|wanted| cast_cell(&cell, wanted));
    cast.map_or(cell, cell_from)
}

/// The rows of several calls, joined by time: each row takes one point of each call that has one
/// at its time.
pub(super) fn joined(plan: &Plan, mut answers: Vec<Points>) -> (Vec<i64>, Vec<Column>) {
    if let [_] = answers.as_slice()
        && let Some(points) = answers.pop()
    {
        let (_, kind) = plan.calls[0];
        let mut columns = vec![blanked_column(plan.blank, points.column, kind)];
        let beside = points.beside.into_iter().zip(&plan.references);
        columns.extend(beside.map(|(column, (_, kind))| blanked_column(plan.blank, column, *kind)));
        return (points.times, columns);
    }
    let is_same = answers.windows(2).all(|two| two[0].times == two[1].times);
    let mut times: Vec<i64> = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    if is_same {
        times = answers
            .first()
            .map(|points| points.times.clone())
            .unwrap_or_default();
        columns.extend(answers.into_iter().map(|points| points.column));
    } else {
        let mut cells: Vec<Vec<Cell>> = vec![Vec::new(); answers.len()];
        let mut at = vec![0_usize; answers.len()];
        loop {
            let heads = answers.iter().zip(&at);
            let heads = heads.filter_map(|(points, at)| points.times.get(*at).copied());
            let next = if plan.ascending {
                heads.min()
            } else {
                heads.max()
            };
            let Some(time) = next else { break };
            times.push(time);
            for ((points, at), cells) in answers.iter().zip(&mut at).zip(&mut cells) {
                if points.times.get(*at) == Some(&time) {
                    cells.push(points.column.cell(*at));
                    *at += 1;
                } else {
                    cells.push(Cell::Null);
                }
            }
        }
        columns.extend(cells.into_iter().map(Column::from_cells));
    }
    let columns = columns.into_iter().zip(&plan.calls);
    let columns = columns.map(|(column, (_, kind))| match kind {
        // Nothing is known by the name: there is nothing to fill.
        Kind::Unknown => column,
        kind => blanked_column(plan.blank, column, *kind),
    });
    (times, columns.collect())
}

/// The columns of an answer, computed of its symbols.
pub(super) fn outputs(plan: &Plan, mut symbols: Vec<Column>, rows: usize) -> Vec<Column> {
    if let [output] = plan.fields.as_slice()
        && let Node::Symbol(number) = output.node
        && number < symbols.len()
    {
        return vec![symbols.swap_remove(number)];
    }
    // A call without columns beside it leaves the names out; they are null then.
    let symbol = |number: usize, row: usize| {
        symbols
            .get(number)
            .map_or(Cell::Null, |column| column.cell(row))
    };
    plan.fields
        .iter()
        .map(|output| match &output.node {
            Node::Symbol(number) => symbols
                .get(*number)
                .cloned()
                .unwrap_or_else(|| Column::null(rows)),
            node => {
                let cells =
                    (0..rows).map(|row| node.eval(Place::Column, &|number| symbol(number, row)));
                Column::from_cells(cells.collect())
            }
        })
        .collect()
}
