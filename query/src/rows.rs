//! What a statement answers: series of rows, message by message.

use std::sync::Arc;

use crate::exec::column::Column;

/// One cell of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value, or one that JSON cannot say.
    Null,
    /// A time, ns since 1970; printed by the server as RFC 3339 or as an epoch number.
    Time(i64),
    /// A float.
    Float(f64),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// Text.
    String(Arc<str>),
    /// True or false.
    Boolean(bool),
    /// Several texts.
    List(Arc<[Arc<str>]>),
}

/// A series of an answer, or a piece of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// The measurement, or what SHOW calls it; empty is left out.
    pub name: Arc<str>,
    /// Grouping tags, sorted by key; empty is left out.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Column names.
    pub columns: Arc<[Arc<str>]>,
    /// Rows, each as long as `columns`.
    pub values: Vec<Vec<Cell>>,
    /// How the offset of `Cell::Time` is printed: `None` is UTC (`Z`).
    pub timezone: Option<Arc<str>>,
    /// Whether more rows of this same series follow.
    pub partial: bool,
}

impl Rows {
    /// The same head, without rows.
    #[must_use]
    pub fn clone_without_values(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            tags: self.tags.clone(),
            columns: Arc::clone(&self.columns),
            values: Vec::new(),
            timezone: self.timezone.clone(),
            partial: self.partial,
        }
    }
}

/// A whole series of an answer as it was computed: column by column.
#[derive(Debug, Clone)]
pub struct ColumnRows {
    /// All but the rows.
    head: Rows,
    times: Vec<i64>,
    /// Those behind the times, each as long.
    columns: Vec<Column>,
}

impl ColumnRows {
    pub(crate) fn new(head: Rows, times: Vec<i64>, columns: Vec<Column>) -> Self {
        debug_assert!(head.values.is_empty() && columns.iter().all(|c| c.len() == times.len()));
        Self {
            head,
            times,
            columns,
        }
    }

    /// Everything but the rows.
    #[must_use]
    pub fn head(&self) -> &Rows {
        &self.head
    }

    pub(crate) fn times(&self) -> &[i64] {
        &self.times
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The same, row by row.
    #[must_use]
    pub fn into_rows(self) -> Rows {
        let cells = self.columns.into_iter();
        let mut cells: Vec<_> = cells
            .map(|column| column.into_cells().into_iter())
            .collect();
        let values = self.times.into_iter().map(|time| {
            let mut row = Vec::with_capacity(1 + cells.len());
            row.push(Cell::Time(time));
            row.extend(cells.iter_mut().map(|cells| answer(cells.next())));
            row
        });
        Rows {
            values: values.collect(),
            ..self.head
        }
    }
}

/// A cell of an answer: what is not finite is null.
fn answer(cell: Option<Cell>) -> Cell {
    match cell {
        Some(Cell::Float(value)) if !value.is_finite() => Cell::Null,
        Some(cell) => cell,
        None => Cell::Null,
    }
}

/// A note that accompanies an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `warning`.
    pub level: &'static str,
    /// The text.
    pub text: String,
}
