//! The rows of a group's members, merged by time.

use plimsoll_engine::model::Values;

use super::column::Column;
use super::load::Block;
use super::window::Windows;

/// Rows of several blocks by time, in the query's direction; rows of one time keep the order of
/// their series.
pub(crate) struct Merged {
    /// Their times.
    pub(crate) times: Vec<i64>,
    /// The argument's values.
    pub(crate) values: Option<Values>,
    /// The columns beside it.
    pub(crate) beside: Vec<Column>,
}

impl Merged {
    /// Merges blocks, each ascending by time.
    pub(crate) fn new(mut blocks: Vec<Block>, ascending: bool) -> Self {
        let mut merged = match blocks.len() {
            0 => Self {
                times: Vec::new(),
                values: None,
                beside: Vec::new(),
            },
            1 => {
                let block = blocks.remove(0);
                Self {
                    times: block.times,
                    values: block.values,
                    beside: block.beside,
                }
            }
            _ => Self::of_many(blocks),
        };
        if !ascending {
            merged.reverse();
        }
        merged
    }

    fn of_many(blocks: Vec<Block>) -> Self {
        let mut times = Vec::new();
        let mut values: Vec<Column> = Vec::new();
        let mut beside: Vec<Vec<Column>> = Vec::new();
        for block in blocks {
            times.extend(block.times);
            values.extend(block.values.map(Column::full));
            beside.resize_with(block.beside.len(), Vec::new);
            for (columns, column) in beside.iter_mut().zip(block.beside) {
                columns.push(column);
            }
        }
        let beside: Vec<Column> = beside.into_iter().map(Column::concat).collect();
        let values = concat_values(values);
        // The time stands beside its row: comparing does not leave the list.
        let mut keyed: Vec<(i64, u32)> = times.into_iter().zip(0_u32..).collect();
        if beside.is_empty() {
            keyed.sort();
        } else {
            keyed.sort_by(|(at, a), (bt, b)| {
                at.cmp(bt)
                    .then_with(|| by_texts(&beside, *a as usize, *b as usize))
            });
        }
        let (times, order): (Vec<i64>, Vec<u32>) = keyed.into_iter().unzip();
        Self {
            times,
            values: values.map(|values| super::column::gather(&values, &order)),
            beside: beside.iter().map(|column| column.gather(&order)).collect(),
        }
    }

    /// Puts blocks without columns beside them window by window: within one, rows stand in the
    /// order of series. For functions that break ties by time themselves; quicker than merging.
    pub(crate) fn by_window(blocks: &[Block], windows: &Windows) -> Self {
        let mut runs = Vec::new();
        for block in blocks {
            windows.runs(&block.times, |start, run| runs.push((start, block, run)));
        }
        runs.sort_by_key(|(start, _, _)| *start);
        let rows = blocks.iter().map(|block| block.times.len()).sum();
        let mut times = Vec::with_capacity(rows);
        let mut all: Option<Values> = None;
        for (_, block, run) in runs {
            if let Some(values) = &block.values {
                times.extend_from_slice(&block.times[run.clone()]);
                all.get_or_insert_with(|| Values::new(values.field_type()))
                    .extend_from(values, run);
            }
        }
        Self {
            times,
            values: all,
            beside: Vec::new(),
        }
    }

    fn reverse(&mut self) {
        self.times.reverse();
        if let Some(values) = self.values.take() {
            let mut column = Column::full(values);
            column.reverse();
            if let Column::Typed { values, .. } = column {
                self.values = Some(values);
            }
        }
        for column in &mut self.beside {
            column.reverse();
        }
    }
}

/// Rows of one time are ordered by the texts that lead the columns beside them, as InfluxDB does.
fn by_texts(beside: &[Column], a: usize, b: usize) -> std::cmp::Ordering {
    use crate::rows::Cell;
    for column in beside {
        if let Column::Typed {
            values: Values::String(values),
            present: None,
        } = column
        {
            match values[a].cmp(&values[b]) {
                std::cmp::Ordering::Equal => continue,
                unequal => return unequal,
            }
        }
        match (column.cell(a), column.cell(b)) {
            (Cell::String(a), Cell::String(b)) if a == b => {}
            (Cell::String(a), Cell::String(b)) => return a.cmp(&b),
            _ => break,
        }
    }
    std::cmp::Ordering::Equal
}

/// Appends values of one type.
fn concat_values(parts: Vec<Column>) -> Option<Values> {
    let mut parts = parts.into_iter().filter_map(|part| match part {
        Column::Typed { values, .. } => Some(values),
        Column::Same(..) | Column::Mixed(_) => None,
    });
    let mut all = parts.next()?;
    for part in parts {
        match (&mut all, part) {
            (Values::Float(all), Values::Float(part)) => all.extend(part),
            (Values::Integer(all), Values::Integer(part)) => all.extend(part),
            (Values::Unsigned(all), Values::Unsigned(part)) => all.extend(part),
            (Values::String(all), Values::String(part)) => all.extend(part),
            (Values::Boolean(all), Values::Boolean(part)) => all.extend(part),
            _ => unreachable!("all members give the argument as one type"),
        }
    }
    Some(all)
}
