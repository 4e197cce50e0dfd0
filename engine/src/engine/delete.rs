//! Deleting points: resolved, hidden from every later read, logged, and only then answered.
//!
//! The rows of the open generation are removed at once; segments and the frozen generation are
//! masked by a tombstone of the open generation's rank until merges have left its rows out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use plimsoll_wal::log::CommitSync;

use crate::Result;
use crate::log::{Deleted, Record};
use crate::model::{TagSet, TimeRange};
use crate::partition::{Mask, Partition, PartitionId};
use crate::predicate::TagPredicate;
use crate::snapshot::View;
use crate::tombstone::{Covered, TAG_SET_BYTES_MAX, Tombstone};

use super::Engine;
use super::state::State;

/// Which series of its measurements a [`Deletion`] means.
#[derive(Debug, Clone, PartialEq)]
pub enum Chosen {
    /// Those whose tags fulfil this when the deletion takes place.
    Where(TagPredicate),
    /// Those with one of these tag sets.
    These(BTreeSet<TagSet>),
}

/// Points to delete: what DELETE, DROP SERIES and DROP MEASUREMENT come down to.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletion {
    /// The database.
    pub database: String,
    /// The retention policy; `None` for all of the database.
    pub policy: Option<String>,
    /// The measurements; one that is not there is passed over.
    pub measurements: BTreeSet<Arc<str>>,
    /// Their series.
    pub series: Chosen,
    /// The points.
    pub range: TimeRange,
}

/// What a deletion comes down to: in which partitions there is something to delete, and what.
#[derive(Debug, PartialEq)]
struct Plan {
    partitions: Vec<PartitionId>,
    measurements: Box<[Arc<str>]>,
    /// Each becomes a tombstone of its own.
    covered: Vec<Covered>,
}

/// Resolves a deletion; `None` where there is nothing to delete.
fn plan(state: &State, deletion: &Deletion) -> Result<Option<Plan>> {
    let database = state.catalog.database(&deletion.database)?;
    let policies: Vec<&str> = match &deletion.policy {
        Some(name) => vec![&database.policy(name)?.name],
        None => database.policies.iter().map(|p| p.name.as_str()).collect(),
    };
    let snapshot = state.snapshot();
    let (mut partitions, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut tag_sets: BTreeSet<TagSet> = BTreeSet::new();
    let (predicate, is_all) = match &deletion.series {
        Chosen::Where(TagPredicate::All) => (&TagPredicate::All, true),
        Chosen::Where(predicate) => (predicate, false),
        Chosen::These(_) => (&TagPredicate::All, false),
    };
    for policy in policies {
        let view = snapshot.view(&deletion.database, policy, deletion.range)?;
        for measurement in &deletion.measurements {
            if is_all {
                let found = view.partitions_with(measurement);
                if !found.is_empty() {
                    names.insert(Arc::clone(measurement));
                }
                partitions.extend(found);
                continue;
            }
            for series in view.series(measurement, predicate)? {
                let is_meant = match &deletion.series {
                    Chosen::These(sets) => sets.contains(&series.tags),
                    Chosen::Where(_) => true,
                };
                if is_meant {
                    names.insert(Arc::clone(measurement));
                    partitions.extend(view.partitions_of(&series));
                    tag_sets.insert(series.tags);
                }
            }
        }
    }
    let covered = if is_all {
        vec![Covered::All]
    } else {
        pieces(tag_sets)
    };
    Ok((!partitions.is_empty()).then(|| Plan {
        partitions: partitions.into_iter().collect(),
        measurements: names.into_iter().collect(),
        covered,
    }))
}

/// Tag sets in pieces that a log frame has room for.
fn pieces(tag_sets: BTreeSet<TagSet>) -> Vec<Covered> {
    let mut pieces = Vec::new();
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for tags in tag_sets {
        bytes += tags.as_str().len();
        piece.push(tags);
        if bytes > TAG_SET_BYTES_MAX {
            pieces.push(Covered::These(std::mem::take(&mut piece).into()));
            bytes = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(Covered::These(piece.into()));
    }
    pieces
}

impl Engine {
    /// Deletes points; returns when that is durable. Every later snapshot is without them, and
    /// without the series and measurements that have no other point; a field that has none left
    /// in a partition may come back there with another type. Points that are written afterwards
    /// are not touched. A view that was taken before may or may not still hold them.
    ///
    /// # Errors
    /// `DatabaseNotFound`, `PolicyNotFound`; `Corrupt` where an index cannot be read (nothing is
    /// deleted); `Storage`: not acknowledged.
    pub fn delete(&self, deletion: &Deletion) -> Result<()> {
        if self.refusal().is_some() {
            // The probe, as for a write: nothing is taken out that the log would not know of.
            self.commit(&self.state.read(), self.log.ticket(), CommitSync::Always)?;
        }
        let mut state = self.state.write();
        if let Some(plan) = plan(&state, deletion)? {
            for covered in plan.covered {
                let tombstone = Arc::new(Tombstone {
                    id: state.next_tombstone,
                    rank: state.open.id,
                    measurements: plan.measurements.clone(),
                    covered,
                    range: deletion.range,
                });
                let freed = apply(&mut state, &tombstone, &plan.partitions);
                state
                    .open
                    .log_behind_rows(&Record::Delete(Box::new(Deleted {
                        tombstone,
                        partitions: plan.partitions.clone(),
                        freed,
                    })));
                // As with a change of the catalog: in memory before the log has it, and an error
                // means "not acknowledged", not "undone".
                self.commit(&state, self.log.ticket(), CommitSync::Always)?;
            }
        }
        self.counters.deletions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Deletes a measurement from all policies of a database; see [`Self::delete`].
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn drop_measurement(&self, database: &str, measurement: &str) -> Result<()> {
        let measurements = BTreeSet::from([Arc::from(measurement)]);
        self.drop_series(database, measurements, Chosen::Where(TagPredicate::All))
    }

    /// Deletes series with all their points from all policies of a database; see
    /// [`Self::delete`].
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn drop_series(
        &self,
        database: &str,
        measurements: BTreeSet<Arc<str>>,
        series: Chosen,
    ) -> Result<()> {
        self.delete(&Deletion {
            database: database.to_owned(),
            policy: None,
            measurements,
            series,
            range: TimeRange::ALL,
        })
    }
}

/// Makes a deletion visible in memory; answers which columns have nothing left.
fn apply(
    state: &mut State,
    tombstone: &Arc<Tombstone>,
    partitions: &[PartitionId],
) -> Vec<(PartitionId, Arc<str>, Arc<str>)> {
    state.next_tombstone += 1;
    let frozen = state.frozen.as_ref().map(|frozen| frozen.id);
    for id in partitions {
        state.open.delete(*id, tombstone);
        if let Some(partition) = Arc::make_mut(&mut state.partitions).get_mut(id) {
            let partition = Arc::make_mut(partition);
            partition.masks.push(Mask {
                tombstone: Arc::clone(tombstone),
                clean: Vec::new(),
            });
            let segments = partition.segments.clone();
            partition.clear_masks(&segments);
            partition.retire_masks(frozen);
        }
    }
    let mut freed = Vec::new();
    for id in partitions {
        let Some(partition) = state.partitions.get(id) else {
            continue;
        };
        let view = state.snapshot().view_of_partition(partition);
        for (measurement, field) in empty_fields(partition, tombstone, &view) {
            partition.schema.release(&measurement, &field);
            state.open.forget_column(*id, &measurement, &field);
            freed.push((*id, measurement, field));
        }
    }
    freed
}

/// Fields of the tombstone's measurements that have no value left. Where that cannot be read, they
/// keep their type.
fn empty_fields(
    partition: &Partition,
    tombstone: &Tombstone,
    view: &View,
) -> Vec<(Arc<str>, Arc<str>)> {
    let mut empty = Vec::new();
    for measurement in &tombstone.measurements {
        for (field, field_type) in partition.schema.fields(measurement) {
            if matches!(view.holds_field(measurement, &field, field_type), Ok(false)) {
                empty.push((Arc::clone(measurement), field));
            }
        }
    }
    empty
}
