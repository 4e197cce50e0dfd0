//! Where the data of a view lies, told from indexes alone: no block is decoded here.

use std::collections::BTreeSet;
use std::ops::AddAssign;

use super::{Series, Snapshot, SourceKind, View};
use crate::Result;
use crate::catalog::PolicyId;
use crate::model::{FieldType, TimeRange};
use crate::partition::PartitionId;

/// A partition as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionView {
    /// Its number.
    pub id: PartitionId,
    /// Its policy.
    pub policy: PolicyId,
    /// The first ns.
    pub start: i64,
    /// The first ns behind it.
    pub end: i64,
}

/// How many places a view reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Partitions that overlap its range.
    pub partitions: u64,
    /// Their segments that overlap it.
    pub segments: u64,
    /// Their heads.
    pub heads: u64,
}

/// What reading a column will take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnPlan {
    /// Blocks with rows in the range.
    pub blocks_read: u64,
    /// Of these, such as a summary may stand for: they lie in the range and in one window, and
    /// nothing else of the series overlaps them.
    pub blocks_whole: u64,
    /// Blocks that lie outside.
    pub blocks_skipped: u64,
    /// Rows of the blocks that are read.
    pub rows: u64,
    /// Their encoded bytes, without times.
    pub bytes: u64,
    /// Heads that hold the series; how many rows they have of it is not told here.
    pub heads: u64,
}

impl AddAssign for ColumnPlan {
    fn add_assign(&mut self, other: Self) {
        self.blocks_read += other.blocks_read;
        self.blocks_whole += other.blocks_whole;
        self.blocks_skipped += other.blocks_skipped;
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.heads += other.heads;
    }
}

impl Snapshot {
    /// The partitions, by number.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionView> {
        self.partitions.values().map(|partition| PartitionView {
            id: partition.id,
            policy: partition.policy,
            start: partition.start,
            end: partition.end,
        })
    }
}

impl View {
    /// How many places it reads.
    #[must_use]
    pub fn source_counts(&self) -> SourceCounts {
        let partitions: BTreeSet<PartitionId> =
            self.sources.iter().map(|source| source.partition).collect();
        let is_head = |kind: &SourceKind| matches!(kind, SourceKind::Head(_));
        let heads = self.sources.iter().filter(|source| is_head(&source.kind));
        let heads = heads.count();
        SourceCounts {
            partitions: partitions.len() as u64,
            segments: (self.sources.len() - heads) as u64,
            heads: heads as u64,
        }
    }

    /// What reading a field of a series within `range`, a part of the view's, will take;
    /// `is_one_window` knows which times belong together.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub fn plan_column(
        &self,
        series: &Series,
        field: &str,
        field_type: FieldType,
        range: TimeRange,
        is_one_window: &dyn Fn(TimeRange) -> bool,
    ) -> Result<ColumnPlan> {
        let mut plan = ColumnPlan::default();
        let mut found: Vec<(u32, TimeRange)> = Vec::new();
        let range = self.range.intersect(&range);
        for (number, (source, id)) in (0_u32..).zip(self.places(series)) {
            let segment = match &source.kind {
                SourceKind::Head(_) => {
                    plan.heads += 1;
                    continue;
                }
                SourceKind::Segment(segment) => segment,
            };
            let Some(column) = segment.column(&series.measurement, field, field_type) else {
                continue;
            };
            let blocks = segment.blocks(column, id, range)?;
            found.extend(blocks.iter().map(|block| (number, block.time_range())));
            plan.blocks_read += blocks.len() as u64;
            plan.rows += blocks
                .iter()
                .map(|block| u64::from(block.count))
                .sum::<u64>();
            plan.bytes += blocks
                .iter()
                .map(|block| block.encoded_bytes())
                .sum::<u64>();
            let all = segment.blocks_count(column, id)?;
            plan.blocks_skipped += all.saturating_sub(blocks.len() as u64);
        }
        let is_alone = |(number, block): &&(u32, TimeRange)| {
            let others = found.iter().filter(|(other, _)| other != number);
            block.intersect(&range) == *block
                && is_one_window(*block)
                && others.into_iter().all(|(_, other)| !other.overlaps(block))
        };
        if plan.heads == 0 {
            plan.blocks_whole = found.iter().filter(is_alone).count() as u64;
        }
        Ok(plan)
    }
}
