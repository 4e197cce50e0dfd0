//! Reads one series, or one table of a subquery, as columns.

use std::sync::Arc;

use plimsoll_engine::model::{FieldType, TIME_MIN, Values};
use plimsoll_engine::{Series, TimeRange, Timestamp};

use super::column::{Column, align, can_cast, cast, cast_cell, cell_from, gather, slice};
use super::error::Result;
use super::groups::Group;
use super::select::Run;
use super::table::Table;
use super::window::Windows;
use crate::ast::{Cast, Reference};
use crate::plan::{Decision, Derived, Kind, Node, Place, Stored};
use crate::rows::Cell;

/// One thing of a group that has rows.
pub(crate) enum Member<'a> {
    /// A stored series.
    Series {
        /// Where it is.
        stored: &'a Stored,
        /// Which of the SELECT's sources that is.
        source: usize,
        /// Which it is.
        series: Series,
        /// Which of its rows are wanted.
        decision: Decision,
    },
    /// A table of a subquery.
    Table {
        /// The subquery.
        derived: &'a Derived,
        /// Its rows, ascending by time.
        table: Arc<Table>,
        /// How many windows before the range were read for it.
        extra: i64,
        /// How many more were read, of which calls that do not need them know nothing.
        back: i64,
    },
    /// A table of a subquery that is made when it is read.
    Pending {
        /// The subquery.
        derived: &'a Derived,
        /// The subquery's groups.
        groups: Arc<Vec<Group<'a>>>,
        /// Which of them it is made of.
        at: usize,
    },
}

/// Rows of one member, ascending by time.
pub(crate) struct Block {
    /// Their times.
    pub(crate) times: Vec<i64>,
    /// The argument of a call; each row has a value.
    pub(crate) values: Option<Values>,
    /// The columns beside it.
    pub(crate) beside: Vec<Column>,
}

impl Block {
    /// Keeps the first rows, or the last ones.
    pub(crate) fn keep_end(self, rows: usize, ascending: bool) -> Self {
        let len = self.times.len();
        if len <= rows {
            return self;
        }
        let kept = if ascending { 0..rows } else { len - rows..len };
        Self {
            times: self.times[kept.clone()].to_vec(),
            values: self.values.map(|values| slice(&values, kept.clone())),
            beside: self
                .beside
                .iter()
                .map(|column| column.slice(kept.clone()))
                .collect(),
        }
    }

    /// Keeps the rows of these numbers, which ascend.
    pub(crate) fn keep(&mut self, rows: &[u32]) {
        self.times = rows.iter().map(|row| self.times[*row as usize]).collect();
        self.values = self.values.as_ref().map(|values| gather(values, rows));
        for column in &mut self.beside {
            *column = column.gather(rows);
        }
    }
}

/// What a call reads: a name, and the type that it wants.
#[derive(Clone, Copy)]
pub(crate) struct Argument<'a> {
    /// The name.
    pub(crate) reference: &'a Reference,
    /// The type.
    pub(crate) field_type: FieldType,
    /// Whether the name is a tag's.
    pub(crate) is_tag: bool,
}

impl Member<'_> {
    /// Reads the rows in `range` that have the argument, or any of the columns beside it where
    /// there is none; none where the member cannot have any.
    pub(crate) fn load(
        &self,
        run: &Run<'_>,
        argument: Option<Argument<'_>>,
        beside: &[(Reference, Kind)],
        range: TimeRange,
    ) -> Result<Option<Block>> {
        run.context.cancel.check()?;
        let block = match self {
            Self::Series {
                stored,
                series,
                decision,
                ..
            } => Reader {
                stored,
                series,
                range: range.intersect(&run.readable),
            }
            .load(argument, beside, decision)?,
            Self::Table {
                derived,
                table,
                back,
                ..
            } => {
                let block = from_table(derived, table, argument, beside);
                if *back == 0 {
                    block
                } else {
                    block.map(|block| within(derived, block, range))
                }
            }
            Self::Pending { .. } => unreachable!("a call makes the tables that wait for it"),
        };
        if let Some(block) = &block {
            run.count_points(block.times.len() * (1 + beside.len()))?;
        }
        Ok(block.filter(|block| !block.times.is_empty()))
    }
}

/// Reads a stored series.
struct Reader<'a> {
    stored: &'a Stored,
    series: &'a Series,
    range: TimeRange,
}

impl Reader<'_> {
    fn load(
        &self,
        argument: Option<Argument<'_>>,
        beside: &[(Reference, Kind)],
        decision: &Decision,
    ) -> Result<Option<Block>> {
        if let Decision::None = decision {
            return Ok(None);
        }
        let (times, values, columns) = match argument {
            Some(argument) => {
                if argument.is_tag {
                    return Ok(None);
                }
                let name = &argument.reference.name;
                let Some((times, values)) = self.field(name, argument.field_type)? else {
                    return Ok(None);
                };
                let mut columns = Vec::with_capacity(beside.len());
                for (reference, kind) in beside {
                    columns.push(self.column(reference, *kind, &times)?);
                }
                (times, Some(values), columns)
            }
            None => {
                let (times, columns) = self.all(beside)?;
                (times, None, columns)
            }
        };
        let mut block = Block {
            times,
            values,
            beside: columns,
        };
        if let Decision::Some(node) = decision {
            self.filter(node, &mut block)?;
        }
        Ok(Some(block))
    }

    /// Keeps the rows for which `node` holds.
    fn filter(&self, node: &Node, block: &mut Block) -> Result<()> {
        let references = &self.stored.conditions.references;
        let mut needed = vec![false; references.len()];
        node.each_symbol(&mut |symbol| needed[symbol] = true);
        let mut columns = Vec::with_capacity(references.len());
        for (reference, needed) in references.iter().zip(needed) {
            columns.push(if needed {
                let kind = crate::plan::kind_in(self.stored, reference);
                self.column(reference, kind, &block.times)?
            } else {
                Column::null(block.times.len())
            });
        }
        let mut kept = Vec::new();
        for (number, row) in (0_u32..).zip(0..block.times.len()) {
            if node.holds(Place::Stored, &|symbol| columns[symbol].cell(row)) {
                kept.push(number);
            }
        }
        if kept.len() < block.times.len() {
            block.keep(&kept);
        }
        Ok(())
    }

    /// All points of a field as `wanted`, over all its types that can be cast to it; none where
    /// the measurement has no such field.
    fn field(&self, name: &str, wanted: FieldType) -> Result<Option<(Vec<i64>, Values)>> {
        let types = self.stored.fields.get(name).map(Vec::as_slice);
        let mut found: Option<(Vec<i64>, Values)> = None;
        for field_type in types.unwrap_or_default() {
            if !can_cast(*field_type, wanted) {
                continue;
            }
            let column = self.stored.view.column(self.series, name, *field_type)?;
            let (times, values) = self.trim(column.times, column.values);
            let values = if values.field_type() == wanted {
                values
            } else {
                cast(&values, wanted).unwrap_or_else(|| Values::new(wanted))
            };
            found = Some(match found {
                None => (times, values),
                Some(before) => join(before, (times, values)),
            });
        }
        Ok(found)
    }

    /// Cuts what lies outside the range.
    fn trim(&self, mut times: Vec<i64>, mut values: Values) -> (Vec<i64>, Values) {
        let from = times.partition_point(|time| *time < self.range.start.0);
        let to = times.partition_point(|time| *time <= self.range.end.0);
        if from > 0 || to < times.len() {
            let to = to.max(from);
            values = slice(&values, from..to);
            times = times[from..to].to_vec();
        }
        (times, values)
    }

    /// A column beside an argument: a field at its times, or the tag.
    fn column(&self, reference: &Reference, kind: Kind, times: &[i64]) -> Result<Column> {
        let name = reference.name.as_str();
        if kind != Kind::Tag {
            let has_field = self.stored.fields.contains_key(name);
            let wanted = match kind {
                Kind::Value(field_type) => Some(field_type),
                _ => None,
            };
            if let (true, Some(wanted)) = (has_field, wanted) {
                return Ok(match self.field(name, wanted)? {
                    Some((found, values)) => align(times, &found, values),
                    None => Column::null(times.len()),
                });
            }
            if wanted.is_some() || reference.cast == Some(Cast::Field) {
                return Ok(Column::null(times.len()));
            }
        }
        Ok(Column::Same(self.tag(name), times.len()))
    }

    /// A tag's value; null where it is missing.
    fn tag(&self, name: &str) -> Cell {
        match self.series.tags.value(name) {
            Some(value) => Cell::String(value.as_ref().into()),
            None => Cell::Null,
        }
    }

    /// The rows at which one of the fields has a value.
    fn all(&self, beside: &[(Reference, Kind)]) -> Result<(Vec<i64>, Vec<Column>)> {
        let mut fields = Vec::with_capacity(beside.len());
        for (reference, kind) in beside {
            fields.push(match kind {
                Kind::Value(wanted) => self.field(&reference.name, *wanted)?,
                Kind::Tag | Kind::Unknown => None,
            });
        }
        let mut times: Vec<i64> = Vec::new();
        for (found, _) in fields.iter().flatten() {
            if times.is_empty() {
                times.clone_from(found);
            } else if times != *found {
                times.extend(found);
                times.sort_unstable();
                times.dedup();
            }
        }
        let columns = fields.into_iter().zip(beside);
        let columns = columns.map(|(field, (reference, kind))| match (field, kind) {
            (Some((found, values)), _) => align(&times, &found, values),
            (None, Kind::Value(_)) => Column::null(times.len()),
            (None, _) if reference.cast == Some(Cast::Field) => Column::null(times.len()),
            (None, _) => Column::Same(self.tag(&reference.name), times.len()),
        });
        let columns = columns.collect();
        Ok((times, columns))
    }
}

/// Joins points of one field in partitions where it has different types.
fn join(before: (Vec<i64>, Values), after: (Vec<i64>, Values)) -> (Vec<i64>, Values) {
    let mut times = before.0;
    times.extend(after.0);
    let mut values = before.1;
    for at in 0..after.1.len() {
        values.push(after.1.value(at));
    }
    let mut order: Vec<u32> = (0..u32::try_from(times.len()).unwrap_or(u32::MAX)).collect();
    order.sort_by_key(|row| times[*row as usize]);
    let sorted = order.iter().map(|row| times[*row as usize]).collect();
    (sorted, gather(&values, &order))
}

/// The rows that lie in a range: more were read where a call needs some before it. A window that
/// the range begins in belongs to it.
fn within(derived: &Derived, mut block: Block, range: TimeRange) -> Block {
    let plan = &derived.plan;
    let start = if plan.interval.every > 0 && range.start > TIME_MIN {
        let windows = Windows {
            every: plan.interval.every,
            offset: plan.interval.offset,
            start: range.start.0,
            end: range.end.0,
            zone: plan.zone.clone(),
        };
        windows.of(range.start.0).0
    } else {
        range.start.0
    };
    let is_inside = |time: i64| (start..=range.end.0).contains(&time);
    if !block.times.iter().all(|time| is_inside(*time)) {
        let rows = (0_u32..).zip(&block.times);
        let kept = rows
            .filter(|(_, time)| is_inside(**time))
            .map(|(row, _)| row);
        let kept: Vec<u32> = kept.collect();
        block.keep(&kept);
    }
    block
}

/// Reads a subquery's table.
fn from_table(
    derived: &Derived,
    table: &Table,
    argument: Option<Argument<'_>>,
    beside: &[(Reference, Kind)],
) -> Option<Block> {
    let inner = Inner { derived, table };
    let (mut rows, values) = match argument {
        None => (None, None),
        Some(argument) => {
            let column = inner.named(&argument.reference.name)?;
            let (rows, values) = column.driver(argument.field_type);
            (rows, Some(values))
        }
    };
    let mut values = values;
    if let Some((node, references)) = &derived.filter {
        let columns: Vec<Column> = references
            .iter()
            .map(|(reference, kind)| inner.in_filter(reference, *kind))
            .collect();
        let all = (0_u32..).take(table.times.len());
        let candidates: Vec<u32> = rows.unwrap_or_else(|| all.collect());
        let mut places = Vec::new();
        let mut kept = Vec::new();
        for (place, row) in (0_u32..).zip(candidates) {
            if node.holds(Place::Derived, &|symbol| columns[symbol].cell(row as usize)) {
                places.push(place);
                kept.push(row);
            }
        }
        values = values.map(|values| gather(&values, &places));
        rows = Some(kept);
    }
    let columns = beside
        .iter()
        .map(|(reference, kind)| inner.beside(reference, *kind));
    let mut block = Block {
        times: table.times.clone(),
        values: None,
        beside: columns.collect(),
    };
    if let Some(rows) = rows {
        block.keep(&rows);
    }
    block.values = values;
    Some(block)
}

struct Inner<'a> {
    derived: &'a Derived,
    table: &'a Table,
}

impl Inner<'_> {
    /// The column of this name, or the tag that the subquery groups by.
    fn named(&self, name: &str) -> Option<Column> {
        let outputs = &self.derived.plan.fields;
        if let Some(at) = outputs.iter().position(|output| output.name == name) {
            return Some(self.table.columns[at].clone());
        }
        let tags = &self.derived.plan.own_tags;
        tags.iter()
            .any(|tag| &**tag == name)
            .then(|| self.tag(name))
    }

    fn tag(&self, name: &str) -> Column {
        let tag = self.table.tags.iter().find(|(key, _)| &**key == name);
        let value: Arc<str> = tag.map_or_else(|| "".into(), |(_, value)| Arc::clone(value));
        Column::Same(Cell::String(value), self.table.times.len())
    }

    fn beside(&self, reference: &Reference, kind: Kind) -> Column {
        let len = self.table.times.len();
        let Some(column) = self.named(&reference.name) else {
            return Column::null(len);
        };
        match kind {
            Kind::Value(wanted) => cast_column(column, wanted),
            Kind::Tag | Kind::Unknown => column,
        }
    }

    /// A name in the outer WHERE: a column of the answer as the type that it has there, or else a
    /// tag.
    fn in_filter(&self, reference: &Reference, kind: Kind) -> Column {
        let outputs = &self.derived.plan.fields;
        let at = outputs
            .iter()
            .position(|output| *output.column == *reference.name);
        match at {
            Some(at) => {
                let column = self.table.columns[at].clone();
                match kind {
                    Kind::Value(wanted) => cast_column(column, wanted),
                    Kind::Tag | Kind::Unknown => column,
                }
            }
            None => self.tag(&reference.name),
        }
    }
}

/// A column as `wanted`; what has no such cast stays as it is. What is no number stays so,
/// which is printed as null and is not filled.
fn cast_column(column: Column, wanted: FieldType) -> Column {
    let has_none = |values: &[f64]| values.iter().any(|value| value.is_nan());
    match column {
        Column::Typed {
            values: Values::Float(values),
            present,
        } if wanted != FieldType::Float && has_none(&values) => {
            let column = Column::Typed {
                values: Values::Float(values),
                present,
            };
            let cells = column.into_cells().into_iter().map(|cell| match cell {
                Cell::Float(value) if value.is_nan() => cell,
                cell => cast_cell(&cell, wanted).map_or(cell, cell_from),
            });
            Column::from_cells(cells.collect())
        }
        Column::Same(cell, len) => {
            let cast = cast_cell(&cell, wanted).map(cell_from);
            Column::Same(cast.unwrap_or(cell), len)
        }
        Column::Typed { values, present } => Column::Typed {
            values: if values.field_type() == wanted {
                values
            } else {
                cast(&values, wanted).unwrap_or(values)
            },
            present,
        },
        Column::Mixed(cells) => Column::from_cells(
            cells
                .into_iter()
                .map(|cell| cast_cell(&cell, wanted).map_or(cell, cell_from))
                .collect(),
        ),
    }
}

/// The range of a number of windows.
pub(crate) fn range(start: i64, end: i64) -> TimeRange {
    TimeRange {
        start: Timestamp(start),
        end: Timestamp(end),
    }
}
