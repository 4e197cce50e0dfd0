//! SELECT … INTO: rows of an answer as points, in batches for whoever may write.

use std::sync::Arc;

use plimsoll_engine::model::FieldValue;
use plimsoll_engine::{Batch, TagSet, Timestamp};

use crate::ast::{Measurement, MeasurementName};
use crate::exec::Emitter;
use crate::exec::column::Column;
use crate::exec::error::{Error, Result};
use crate::exec::table::Table;
use crate::plan::{Kind, Origin, Plan};
use crate::rows::{Cell, Rows};

/// Points of one batch; InfluxDB's number.
pub const BATCH_POINTS_MAX: usize = 10_000;
/// Bytes of one batch, roughly.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// What a value costs in a batch, beside its text.
const VALUE_BYTES: usize = 32;

/// Points of a SELECT … INTO that are to be written now.
#[derive(Debug, Clone)]
pub struct Points {
    /// The database.
    pub database: String,
    /// The policy.
    pub policy: String,
    /// The points.
    pub batch: Batch,
}

/// What becomes of a column.
#[derive(Debug)]
enum Role {
    Field(Arc<str>),
    Tag(Arc<str>),
    /// What top() is asked to tell apart and is no tag.
    Nothing,
}

/// Turns the rows of one SELECT into points.
#[derive(Debug)]
pub(crate) struct Writer {
    target: Measurement,
    /// A role for each column; none: the times cannot be told.
    roles: Option<Vec<Role>>,
    batch: Batch,
    batch_bytes: usize,
    written: usize,
}

impl Writer {
    /// `target` names a database and a policy.
    pub(crate) fn new(target: Measurement, plan: &Plan) -> Self {
        let roles = plan.fields.iter().map(|output| {
            let name = Arc::clone(&output.column);
            match (output.origin, output.kind) {
                (Origin::Asked, _) => Role::Field(name),
                (Origin::Distinguishes, Kind::Tag) => Role::Tag(name),
                (Origin::Distinguishes, _) => Role::Nothing,
            }
        });
        let roles: Vec<Role> = roles.collect();
        let is_time = |role: &Role| matches!(role, Role::Field(name) if &**name == "time");
        let is_clear = &*plan.time_name == "time" && !roles.iter().any(is_time);
        Self {
            target,
            roles: is_clear.then_some(roles),
            batch: Batch::default(),
            batch_bytes: 0,
            written: 0,
        }
    }

    /// Takes a series of the answer.
    ///
    /// # Errors
    /// Rows without a time, and what writing fails with.
    pub(crate) fn table(&mut self, table: &Table, emitter: &mut Emitter<'_>) -> Result<()> {
        let Some(roles) = self.roles.take() else {
            return Err(Error::invalid("error finding time index in result"));
        };
        let done = self.rows(table, &roles, emitter);
        self.roles = Some(roles);
        done
    }

    fn rows(&mut self, table: &Table, roles: &[Role], emitter: &mut Emitter<'_>) -> Result<()> {
        let series_tags = tag_set(table, roles, None)?;
        let has_tags = roles.iter().any(|role| matches!(role, Role::Tag(_)));
        for (row, time) in table.times.iter().enumerate() {
            let own;
            let tags = if has_tags {
                own = tag_set(table, roles, Some(row))?;
                &own
            } else {
                &series_tags
            };
            self.row(table, roles, row, tags, Timestamp(*time));
            if self.batch.len() >= BATCH_POINTS_MAX || self.batch_bytes >= BATCH_BYTES_MAX {
                self.flush(emitter)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, table: &Table, roles: &[Role], row: usize, tags: &TagSet, time: Timestamp) {
        let mut fields = Vec::with_capacity(roles.len());
        for (role, column) in roles.iter().zip(&table.columns) {
            let Role::Field(name) = role else { continue };
            match value(column, row) {
                Cellular::Value(value) => {
                    if let FieldValue::String(text) = &value {
                        self.batch_bytes += text.len();
                    }
                    fields.push((self.batch.name(name), value));
                }
                Cellular::Absent => {}
                // InfluxDB drops the whole point.
                Cellular::Infinite => return,
            }
        }
        self.batch_bytes += VALUE_BYTES * (1 + fields.len());
        let measurement = match &self.target.name {
            MeasurementName::Name(name) if !name.is_empty() => name,
            _ => &*table.name,
        };
        let (measurement, tags) = (self.batch.name(measurement), self.batch.tag_set(tags));
        self.batch.push(measurement, tags, time, fields);
    }

    fn flush(&mut self, emitter: &mut Emitter<'_>) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.written += self.batch.len();
        self.batch_bytes = 0;
        emitter.write(Points {
            database: self.target.database.clone(),
            policy: self.target.policy.clone(),
            batch: std::mem::take(&mut self.batch),
        })
    }

    /// Hands over the last points, and answers how many there were.
    ///
    /// # Errors
    /// What writing fails with.
    pub(crate) fn finish(mut self, emitter: &mut Emitter<'_>) -> Result<()> {
        self.flush(emitter)?;
        let written = i64::try_from(self.written).unwrap_or(i64::MAX);
        emitter.rows(Rows {
            name: "result".into(),
            columns: ["time".into(), "written".into()].into(),
            values: vec![vec![Cell::Time(0), Cell::Integer(written)]],
            ..Rows::default()
        })
    }
}

/// The tags that a series, or one row of it, is written with.
fn tag_set(table: &Table, roles: &[Role], row: Option<usize>) -> Result<TagSet> {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = table.tags.clone();
    if let Some(row) = row {
        for (role, column) in roles.iter().zip(&table.columns) {
            if let (Role::Tag(key), Cell::String(text)) = (role, column.cell(row))
                && !pairs.iter().any(|(there, _)| there == key)
            {
                pairs.push((Arc::clone(key), text));
            }
        }
    }
    let pairs = pairs.iter().map(|(key, value)| (&**key, &**value));
    TagSet::from_pairs(pairs).map_err(|error| Error::invalid(error.to_string()))
}

/// What a cell is to a point.
enum Cellular {
    Value(FieldValue),
    Absent,
    Infinite,
}

fn value(column: &Column, row: usize) -> Cellular {
    Cellular::Value(match column.cell(row) {
        Cell::Float(value) if value.is_nan() => return Cellular::Absent,
        Cell::Float(value) if value.is_infinite() => return Cellular::Infinite,
        Cell::Float(value) => FieldValue::Float(value),
        Cell::Integer(value) => FieldValue::Integer(value),
        Cell::Unsigned(value) => FieldValue::Unsigned(value),
        Cell::String(text) => FieldValue::String(text),
        Cell::Boolean(value) => FieldValue::Boolean(value),
        Cell::Null | Cell::Time(_) | Cell::List(_) => return Cellular::Absent,
    })
}
