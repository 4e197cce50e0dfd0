//! Writing a batch: partitions, columns, rows, commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hashbrown::HashMap;
use plimsoll_wal::log::CommitSync;
use smallvec::SmallVec;

use crate::catalog::{PolicyId, Retention};
use crate::head::{Generation, Incoming};
use crate::log::Record;
use crate::model::{Batch, FieldType, FieldValue, Point, TagSet, Timestamp};
use crate::partition::{Partition, PartitionId, plan_bounds};
use crate::{Error, Result};

use super::Engine;
use super::limits::{self, Admission, Refused, STRING_BYTES_MAX};
use super::state::State;

/// What happened to a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Points that are stored.
    pub points_stored: usize,
    /// Points that were dropped, by reason.
    pub rejected: Vec<Rejected>,
}

/// Points that the engine refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why, in InfluxDB's words: `field type conflict: input field "v" on measurement "m" is type
    /// float, already exists as type integer`, or `points beyond retention policy`.
    pub reason: String,
    /// How many points.
    pub points: usize,
}

impl Written {
    fn reject(&mut self, reason: &str) {
        match self
            .rejected
            .iter_mut()
            .find(|rejected| rejected.reason == reason)
        {
            Some(rejected) => rejected.points += 1,
            None => self.rejected.push(Rejected {
                reason: reason.to_owned(),
                points: 1,
            }),
        }
    }
}

/// The longest that a writer is asked to wait.
pub const WRITE_DELAY_MAX: Duration = Duration::from_millis(200);

/// [`Engine::write_delay`] for a head of `bytes` of at most `max`.
fn delay(bytes: u64, max: u64) -> Duration {
    let free = max / 4 * 3;
    let (over, room) = (bytes.saturating_sub(free), (max - free).max(1));
    let most_us = WRITE_DELAY_MAX.as_micros();
    let us = u128::from(over.min(room)) * most_us / u128::from(room);
    Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX))
}

const BEYOND_RETENTION: &str = "points beyond retention policy";

impl Engine {
    /// Writes a batch into `policy` (empty: the default one) of `database`; returns when it is
    /// as durable as configured. Points of one series and time overwrite field by field.
    ///
    /// # Errors
    /// `DatabaseNotFound`, `PolicyNotFound`, `Busy` (nothing stored), `Storage` (not acknowledged).
    pub fn write(&self, database: &str, policy: &str, batch: &Batch) -> Result<Written> {
        self.refuse_where_it_must()?;
        let mut written = Written::default();
        let mut values = 0;
        let ticket = self.log.ticket();
        let state = loop {
            let state = self.state.read();
            let database = state.catalog.database(database)?;
            let policy = database.policy(policy)?;
            let plan = plan(&state, policy.id, self.oldest(policy.retention), batch);
            match plan.missing {
                None => {
                    let mut rows = Rows::new(self, &state.open, batch, ticket.failures());
                    rows.admission = self.options.tag_sets_max.map(|max| {
                        Admission::new(&self.tag_sets_seen, state.open.id, database.id, max)
                    });
                    rows.write(&plan, &mut written);
                    values += rows.values;
                    drop(rows);
                    break state;
                }
                Some(time) => {
                    let policy = policy.id;
                    drop(state);
                    self.make_partition(policy, time);
                }
            }
        };
        self.commit(&state, ticket, CommitSync::AsConfigured)?;
        drop(state);
        let rejected: usize = written
            .rejected
            .iter()
            .map(|rejected| rejected.points)
            .sum();
        self.counters
            .points_written
            .fetch_add(written.points_stored as u64, Ordering::Relaxed);
        self.counters
            .points_rejected
            .fetch_add(rejected as u64, Ordering::Relaxed);
        self.counters
            .values_written
            .fetch_add(values, Ordering::Relaxed);
        Ok(written)
    }

    /// How long a writer should wait before its next batch, so that flushes and merges keep up and
    /// [`Error::Busy`] stays away: nothing below three quarters of the head's budget, then more and
    /// more, up to [`WRITE_DELAY_MAX`].
    #[must_use]
    pub fn write_delay(&self) -> Duration {
        let head_bytes = self.state.read().head_bytes() as u64;
        delay(head_bytes, self.options.head_bytes_max)
    }

    /// Nothing is taken into the head that the log would refuse for long, or that has no room.
    fn refuse_where_it_must(&self) -> Result<()> {
        if self.refusal().is_some() {
            // The probe: it succeeds, and writes go on, as soon as the disk has space again.
            self.commit(&self.state.read(), self.log.ticket(), CommitSync::Always)?;
        }
        let head_bytes = self.state.read().head_bytes() as u64;
        let budget_bytes = self.options.head_bytes_max;
        if head_bytes > budget_bytes {
            Err(Error::Busy { budget_bytes })
        } else {
            Ok(())
        }
    }

    /// The oldest time that a policy still takes.
    fn oldest(&self, retention: Retention) -> Timestamp {
        match retention {
            Retention::Forever => Timestamp(i64::MIN),
            Retention::For(ns) => Timestamp(self.clock.now().0.saturating_sub(ns)),
        }
    }

    fn make_partition(&self, policy: PolicyId, time: Timestamp) {
        let mut state = self.state.write();
        let Some((_, terms)) = state.catalog.policy_by_id(policy) else {
            return;
        };
        if state.partition_at(policy, time).is_some() {
            return;
        }
        let siblings = state
            .partitions
            .values()
            .filter(|there| there.policy == policy);
        let (start, end) = plan_bounds(terms, time, siblings.map(|there| there.as_ref()));
        state.next_partition += 1;
        let id = PartitionId(state.next_partition);
        state.open.define(&Record::Partition {
            id,
            policy,
            start,
            end,
        });
        let partition = Partition {
            id,
            policy,
            start,
            end,
            schema: Arc::default(),
            segments: Vec::new(),
            damaged: Vec::new(),
            masks: Vec::new(),
        };
        Arc::make_mut(&mut state.partitions).insert(id, Arc::new(partition));
    }
}

/// Where each point goes.
struct Plan<'a> {
    /// Points in the order to write them: grouped by tag set and time, else as they came.
    points: Vec<(Point<'a>, usize)>,
    partitions: SmallVec<[Arc<Partition>; 2]>,
    /// A time that has no partition yet.
    missing: Option<Timestamp>,
    expired: usize,
}

fn plan<'a>(state: &State, policy: PolicyId, oldest: Timestamp, batch: &'a Batch) -> Plan<'a> {
    let mut plan = Plan {
        points: Vec::with_capacity(batch.len()),
        partitions: SmallVec::new(),
        missing: None,
        expired: 0,
    };
    let mut last = 0;
    // Partitions of a policy do not overlap.
    let mut by_start = BTreeMap::new();
    let mut is_grouped = true;
    let mut previous = (0, Timestamp(i64::MIN));
    for point in batch.points() {
        if point.time < oldest {
            plan.expired += 1;
            continue;
        }
        let holds = |partition: &Arc<Partition>| partition.range().contains(point.time);
        if !plan.partitions.get(last).is_some_and(holds) {
            let before = by_start.range(..=point.time.0).next_back();
            last = match before.filter(|(_, index)| holds(&plan.partitions[**index])) {
                Some((_, index)) => *index,
                None => match state.partition_at(policy, point.time) {
                    Some(partition) => {
                        plan.partitions.push(Arc::clone(partition));
                        by_start.insert(partition.start, plan.partitions.len() - 1);
                        plan.partitions.len() - 1
                    }
                    None => {
                        plan.missing = Some(point.time);
                        return plan;
                    }
                },
            };
        }
        let key = (point.tag_set, point.time);
        is_grouped &= previous <= key;
        previous = key;
        plan.points.push((point, last));
    }
    if !is_grouped {
        // Stable: of two values of one series and time the later line wins.
        plan.points
            .sort_by_key(|(point, _)| (point.tag_set, point.time));
    }
    plan
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ColumnKey {
    measurement: u32,
    field: u32,
    field_type: FieldType,
    partition: PartitionId,
}

/// Writes the points of a plan, row by row.
struct Rows<'a> {
    engine: &'a Engine,
    generation: &'a Generation,
    batch: &'a Batch,
    failures: u64,
    /// A column's number, or why it cannot have this type.
    columns: HashMap<ColumnKey, Result<u32, Refused>>,
    /// The columns of the rows before, by place in the row: most rows have the same.
    recent: Vec<(ColumnKey, u32)>,
    /// Where tag sets are limited.
    admission: Option<Admission<'a>>,
    values: u64,
    bytes: isize,
}

impl<'a> Rows<'a> {
    fn new(
        engine: &'a Engine,
        generation: &'a Generation,
        batch: &'a Batch,
        failures: u64,
    ) -> Self {
        Self {
            engine,
            generation,
            batch,
            failures,
            columns: HashMap::new(),
            recent: Vec::new(),
            admission: None,
            values: 0,
            bytes: 0,
        }
    }

    fn write(&mut self, plan: &Plan<'a>, written: &mut Written) {
        for _ in 0..plan.expired {
            written.reject(BEYOND_RETENTION);
        }
        let mut row: Vec<Incoming<'a>> = Vec::with_capacity(32);
        let same_row = |a: &(Point<'_>, usize), b: &(Point<'_>, usize)| {
            a.0.tag_set == b.0.tag_set && a.0.time == b.0.time
        };
        for points in plan.points.chunk_by(same_row) {
            row.clear();
            let (first, partition) = (points[0].0, &plan.partitions[points[0].1]);
            let tags = &self.batch.tag_sets()[first.tag_set as usize];
            if let Err(refused) = self.admit(tags) {
                for _ in points {
                    self.refuse(&refused, written);
                }
                continue;
            }
            for (point, _) in points {
                match self.add(partition, point, &mut row) {
                    Ok(()) => written.points_stored += 1,
                    Err(refused) => self.refuse(&refused, written),
                }
            }
            if !row.is_empty() {
                self.values += row.len() as u64;
                let place = self.batch.place(first.tag_set);
                self.bytes += self.generation.write_row(
                    (tags, place),
                    partition.id,
                    first.time.0,
                    &row,
                    self.failures,
                );
            }
        }
        self.generation.add_bytes(self.bytes);
    }

    fn refuse(&self, refused: &Refused, written: &mut Written) {
        if let Some(limit) = refused.limit {
            self.engine.counters.over_limits.count(limit);
        }
        written.reject(&refused.reason);
    }

    fn admit(&mut self, tags: &TagSet) -> Result<(), Refused> {
        limits::check_tag_set(tags)?;
        match &mut self.admission {
            None => Ok(()),
            Some(admission) => admission.admits(tags),
        }
    }

    /// Adds a point's values to the row, or none of them where one has the wrong type.
    fn add(
        &mut self,
        partition: &Partition,
        point: &Point<'a>,
        row: &mut Vec<Incoming<'a>>,
    ) -> Result<(), Refused> {
        let before = row.len();
        for (field, value) in point.fields {
            let key = ColumnKey {
                measurement: point.measurement,
                field: *field,
                field_type: value.field_type(),
                partition: partition.id,
            };
            let column = match (value, self.recent.get(row.len())) {
                (FieldValue::String(text), _) if text.len() > STRING_BYTES_MAX => {
                    let name = |number: u32| &*self.batch.names()[number as usize];
                    Err(limits::string_too_long(
                        name(point.measurement),
                        name(*field),
                    ))
                }
                (_, Some((recent, column))) if *recent == key => Ok(*column),
                _ => self.column(partition, key, row.len()),
            };
            match column {
                Ok(column) => row.push(Incoming { column, value }),
                Err(refused) => {
                    row.truncate(before);
                    return Err(refused);
                }
            }
        }
        Ok(())
    }

    /// The column of a value that stands at `at` in its row.
    fn column(&mut self, partition: &Partition, key: ColumnKey, at: usize) -> Result<u32, Refused> {
        let found = match self.columns.get(&key) {
            Some(known) => known.clone(),
            None => {
                let found = self.find_column(partition, key);
                self.columns.insert(key, found.clone());
                found
            }
        };
        if let Ok(column) = found {
            self.recent.truncate(at);
            self.recent.push((key, column));
        }
        found
    }

    fn find_column(&self, partition: &Partition, key: ColumnKey) -> Result<u32, Refused> {
        let names = self.batch.names();
        let measurement = &names[key.measurement as usize];
        let field = &names[key.field as usize];
        let field_type = key.field_type;
        limits::check_name("measurement", measurement)?;
        limits::check_name("field", field)?;
        let (schema, columns_max) = (&partition.schema, self.engine.options.columns_max);
        if schema.is_full(measurement, field, columns_max) {
            return Err(limits::too_many_columns(measurement, columns_max));
        }
        self.generation
            .column(partition.id, schema, measurement, field, field_type)
            .map_err(|there| Refused {
                reason: format!(
                    "field type conflict: input field \"{field}\" on measurement \"{measurement}\" \
                     is type {field_type}, already exists as type {there}"
                )
                .into(),
                limit: None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_slowed_in_the_last_quarter_of_the_head() {
        let ms = Duration::from_millis;
        for (bytes, max, expected) in [
            (0, 1000, ms(0)),
            (750, 1000, ms(0)),
            (800, 1000, ms(40)),
            (875, 1000, ms(100)),
            (1000, 1000, ms(200)),
            (5000, 1000, ms(200)),
            (1, 0, ms(200)),
            (u64::MAX, u64::MAX, ms(200)),
        ] {
            assert_eq!(delay(bytes, max), expected, "{bytes} of {max}");
        }
    }
}
