//! Columns of a table on its way through a statement: values of one type, some of them absent.

use std::sync::Arc;

use plimsoll_engine::model::{FieldType, FieldValue, ValueRef, Values};

use crate::rows::Cell;

/// A column.
#[derive(Debug, Clone)]
pub enum Column {
    /// The same cell in each row; `Null` for a column without values.
    Same(Cell, usize),
    /// Values of one type.
    Typed {
        /// A value for each row, any value where it is absent.
        values: Values,
        /// Whether the row has it; none: all have.
        present: Option<Vec<bool>>,
    },
    /// Cells of several types: fill() puts a number into columns of texts, too.
    Mixed(Vec<Cell>),
}

impl Column {
    /// A column without values.
    pub fn null(len: usize) -> Self {
        Self::Same(Cell::Null, len)
    }

    /// A column in which each row has a value.
    pub fn full(values: Values) -> Self {
        Self::Typed {
            values,
            present: None,
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Same(_, len) => *len,
            Self::Typed { values, .. } => values.len(),
            Self::Mixed(cells) => cells.len(),
        }
    }

    /// The value of a row.
    pub fn cell(&self, row: usize) -> Cell {
        match self {
            Self::Same(cell, _) => cell.clone(),
            Self::Typed { values, present } => {
                if present.as_ref().is_some_and(|present| !present[row]) {
                    Cell::Null
                } else {
                    cell_of(values, row)
                }
            }
            Self::Mixed(cells) => cells[row].clone(),
        }
    }

    /// The cells, with room for no more.
    pub fn into_cells(self) -> Vec<Cell> {
        match self {
            Self::Same(cell, len) => vec![cell; len],
            Self::Mixed(cells) => cells,
            Self::Typed { values, present } => {
                let mut cells: Vec<Cell> = match values {
                    Values::Float(v) => v.into_iter().map(Cell::Float).collect(),
                    Values::Integer(v) => v.into_iter().map(Cell::Integer).collect(),
                    Values::Unsigned(v) => v.into_iter().map(Cell::Unsigned).collect(),
                    Values::String(v) => v.into_iter().map(Cell::String).collect(),
                    Values::Boolean(v) => v.into_iter().map(Cell::Boolean).collect(),
                };
                if let Some(present) = present {
                    for (cell, present) in cells.iter_mut().zip(present) {
                        if !present {
                            *cell = Cell::Null;
                        }
                    }
                }
                cells
            }
        }
    }

    /// Turns the order of rows around.
    pub fn reverse(&mut self) {
        if let Self::Mixed(cells) = self {
            cells.reverse();
        }
        if let Self::Typed { values, present } = self {
            match values {
                Values::Float(v) => v.reverse(),
                Values::Integer(v) => v.reverse(),
                Values::Unsigned(v) => v.reverse(),
                Values::String(v) => v.reverse(),
                Values::Boolean(v) => v.reverse(),
            }
            if let Some(present) = present {
                present.reverse();
            }
        }
    }

    /// The rows from `from` on, at most `len`.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        match self {
            Self::Same(cell, _) => Self::Same(cell.clone(), rows.len()),
            Self::Typed { values, present } => Self::Typed {
                values: slice(values, rows.clone()),
                present: present.as_ref().map(|present| present[rows].to_vec()),
            },
            Self::Mixed(cells) => Self::from_cells(cells[rows].to_vec()),
        }
    }

    /// The rows that `keep` names.
    pub fn gather(&self, rows: &[u32]) -> Self {
        match self {
            Self::Same(cell, _) => Self::Same(cell.clone(), rows.len()),
            Self::Typed { values, present } => Self::Typed {
                values: gather(values, rows),
                present: present
                    .as_ref()
                    .map(|present| rows.iter().map(|row| present[*row as usize]).collect()),
            },
            Self::Mixed(cells) => Self::from_cells(
                rows.iter()
                    .map(|row| cells[*row as usize].clone())
                    .collect(),
            ),
        }
    }

    /// Appends the rows of columns, one behind the other.
    pub fn concat(parts: Vec<Self>) -> Self {
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else {
            return Self::null(0);
        };
        let Some(second) = parts.next() else {
            return first;
        };
        let mut cells = first.into_cells();
        cells.extend(second.into_cells());
        for part in parts {
            cells.extend(part.into_cells());
        }
        Self::from_cells(cells)
    }

    /// A column of cells.
    pub fn from_cells(cells: Vec<Cell>) -> Self {
        let Some(first) = cells.iter().find(|cell| **cell != Cell::Null) else {
            return Self::null(cells.len());
        };
        let is_other = |cell: &Cell| *cell != Cell::Null && type_of(cell) != type_of(first);
        if cells.iter().any(is_other) {
            return Self::Mixed(cells);
        }
        macro_rules! typed {
            ($variant:ident, $pattern:pat => $value:expr, $absent:expr) => {{
                let mut absent = false;
                let mut present = Vec::with_capacity(cells.len());
                let mut values = Vec::with_capacity(cells.len());
                for cell in cells {
                    match cell {
                        $pattern => {
                            values.push($value);
                            present.push(true);
                        }
                        _ => {
                            values.push($absent);
                            present.push(false);
                            absent = true;
                        }
                    }
                }
                Self::Typed {
                    values: Values::$variant(values),
                    present: absent.then_some(present),
                }
            }};
        }
        match first {
            Cell::Float(_) => typed!(Float, Cell::Float(v) => v, 0.0),
            Cell::Integer(_) | Cell::Time(_) => {
                typed!(Integer, Cell::Integer(v) | Cell::Time(v) => v, 0)
            }
            Cell::Unsigned(_) => typed!(Unsigned, Cell::Unsigned(v) => v, 0),
            Cell::Boolean(_) => typed!(Boolean, Cell::Boolean(v) => v, false),
            Cell::String(_) | Cell::List(_) | Cell::Null => {
                let empty: Arc<str> = "".into();
                typed!(String, Cell::String(v) => v, Arc::clone(&empty))
            }
        }
    }

    /// The rows that have a value, by number, and their values as `field_type`.
    pub fn driver(self, field_type: FieldType) -> (Option<Vec<u32>>, Values) {
        if let Self::Typed {
            values,
            present: None,
        } = &self
        {
            if values.field_type() == field_type
                && let Self::Typed { values, .. } = self
            {
                return (None, values);
            }
            if let Some(values) = cast(values, field_type) {
                return (None, values);
            }
        }
        let mut rows = Vec::new();
        let mut kept = Values::new(field_type);
        for (number, row) in (0_u32..).zip(0..self.len()) {
            if let Some(value) = cast_cell(&self.cell(row), field_type) {
                kept.push(value.as_ref());
                rows.push(number);
            }
        }
        (Some(rows), kept)
    }
}

/// What tells cells of one type from others; times are integers.
fn type_of(cell: &Cell) -> Option<FieldType> {
    Some(match cell {
        Cell::Null | Cell::List(_) => return None,
        Cell::Time(_) | Cell::Integer(_) => FieldType::Integer,
        Cell::Float(_) => FieldType::Float,
        Cell::Unsigned(_) => FieldType::Unsigned,
        Cell::String(_) => FieldType::String,
        Cell::Boolean(_) => FieldType::Boolean,
    })
}

/// The value at `row`.
pub fn cell_of(values: &Values, row: usize) -> Cell {
    match values {
        Values::Float(v) => Cell::Float(v[row]),
        Values::Integer(v) => Cell::Integer(v[row]),
        Values::Unsigned(v) => Cell::Unsigned(v[row]),
        Values::String(v) => Cell::String(Arc::clone(&v[row])),
        Values::Boolean(v) => Cell::Boolean(v[row]),
    }
}

/// A value as a cell.
pub fn cell_from(value: FieldValue) -> Cell {
    match value {
        FieldValue::Float(v) => Cell::Float(v),
        FieldValue::Integer(v) => Cell::Integer(v),
        FieldValue::Unsigned(v) => Cell::Unsigned(v),
        FieldValue::String(v) => Cell::String(v),
        FieldValue::Boolean(v) => Cell::Boolean(v),
    }
}

/// A cell as a value of `field_type`, numbers cast as Go casts them; none where it is null or
/// cannot be cast.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a cast of the language: it may lose"
)]
pub fn cast_cell(cell: &Cell, field_type: FieldType) -> Option<FieldValue> {
    Some(match (field_type, cell) {
        (FieldType::Float, Cell::Float(v)) => FieldValue::Float(*v),
        (FieldType::Float, Cell::Integer(v)) => FieldValue::Float(*v as f64),
        (FieldType::Float, Cell::Unsigned(v)) => FieldValue::Float(*v as f64),
        (FieldType::Integer, Cell::Float(v)) => FieldValue::Integer(integer(*v)),
        (FieldType::Integer, Cell::Integer(v)) => FieldValue::Integer(*v),
        (FieldType::Integer, Cell::Unsigned(v)) => FieldValue::Integer(*v as i64),
        (FieldType::Unsigned, Cell::Float(v)) => FieldValue::Unsigned(*v as u64),
        (FieldType::Unsigned, Cell::Integer(v)) => FieldValue::Unsigned(*v as u64),
        (FieldType::Unsigned, Cell::Unsigned(v)) => FieldValue::Unsigned(*v),
        (FieldType::String, Cell::String(v)) => FieldValue::String(Arc::clone(v)),
        (FieldType::Boolean, Cell::Boolean(v)) => FieldValue::Boolean(*v),
        _ => return None,
    })
}

/// Values as `field_type`; none where there is no cast between the two.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a cast of the language: it may lose"
)]
pub fn cast(values: &Values, field_type: FieldType) -> Option<Values> {
    if values.field_type() == field_type {
        return Some(values.clone());
    }
    Some(match (field_type, values) {
        (FieldType::Float, Values::Integer(v)) => {
            Values::Float(v.iter().map(|v| *v as f64).collect())
        }
        (FieldType::Float, Values::Unsigned(v)) => {
            Values::Float(v.iter().map(|v| *v as f64).collect())
        }
        (FieldType::Integer, Values::Float(v)) => {
            Values::Integer(v.iter().map(|v| integer(*v)).collect())
        }
        (FieldType::Integer, Values::Unsigned(v)) => {
            Values::Integer(v.iter().map(|v| *v as i64).collect())
        }
        (FieldType::Unsigned, Values::Float(v)) => {
            Values::Unsigned(v.iter().map(|v| *v as u64).collect())
        }
        (FieldType::Unsigned, Values::Integer(v)) => {
            Values::Unsigned(v.iter().map(|v| *v as u64).collect())
        }
        _ => return None,
    })
}

/// A float as an integer, as Go casts it on a PC: what no integer is is the least one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast of the language: it may lose"
)]
fn integer(value: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

/// Whether values of `from` can be read as `to`.
pub fn can_cast(from: FieldType, to: FieldType) -> bool {
    let is_number = |kind| {
        matches!(
            kind,
            FieldType::Float | FieldType::Integer | FieldType::Unsigned
        )
    };
    from == to || (is_number(from) && is_number(to))
}

/// A part of values.
pub fn slice(values: &Values, rows: std::ops::Range<usize>) -> Values {
    match values {
        Values::Float(v) => Values::Float(v[rows].to_vec()),
        Values::Integer(v) => Values::Integer(v[rows].to_vec()),
        Values::Unsigned(v) => Values::Unsigned(v[rows].to_vec()),
        Values::String(v) => Values::String(v[rows].to_vec()),
        Values::Boolean(v) => Values::Boolean(v[rows].to_vec()),
    }
}

/// The values of some rows.
pub fn gather(values: &Values, rows: &[u32]) -> Values {
    fn pick<T: Clone>(values: &[T], rows: &[u32]) -> Vec<T> {
        rows.iter()
            .map(|row| values[*row as usize].clone())
            .collect()
    }
    match values {
        Values::Float(v) => Values::Float(pick(v, rows)),
        Values::Integer(v) => Values::Integer(pick(v, rows)),
        Values::Unsigned(v) => Values::Unsigned(pick(v, rows)),
        Values::String(v) => Values::String(pick(v, rows)),
        Values::Boolean(v) => Values::Boolean(pick(v, rows)),
    }
}

/// The values of `times` (ascending, maybe repeated) out of a series' points (strictly ascending).
pub fn align(times: &[i64], found: &[i64], values: Values) -> Column {
    if times == found {
        return Column::full(values);
    }
    let mut aligned = Values::new(values.field_type());
    let mut present = Vec::with_capacity(times.len());
    let mut at = 0;
    for time in times {
        while at < found.len() && found[at] < *time {
            at += 1;
        }
        let here = at < found.len() && found[at] == *time;
        present.push(here);
        aligned.push(if here {
            values.value(at)
        } else {
            absent(values.field_type())
        });
    }
    if present.contains(&true) {
        Column::Typed {
            values: aligned,
            present: Some(present),
        }
    } else {
        Column::null(times.len())
    }
}

/// What stands in a column where there is no value.
pub fn absent(field_type: FieldType) -> ValueRef<'static> {
    match field_type {
        FieldType::Float => ValueRef::Float(0.0),
        FieldType::Integer => ValueRef::Integer(0),
        FieldType::Unsigned => ValueRef::Unsigned(0),
        FieldType::String => ValueRef::String(""),
        FieldType::Boolean => ValueRef::Boolean(false),
    }
}
