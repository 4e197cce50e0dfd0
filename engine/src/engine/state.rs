//! What writers and readers share: catalog, partitions, the open and the frozen generation.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::{Catalog, PolicyId};
use crate::head::Generation;
use crate::model::Timestamp;
use crate::partition::{Partition, PartitionId};
use crate::snapshot::Snapshot;

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    pub(super) catalog: Arc<Catalog>,
    pub(super) partitions: Arc<BTreeMap<PartitionId, Arc<Partition>>>,
    pub(super) open: Arc<Generation>,
    /// Taken out of writing, not yet in segments.
    pub(super) frozen: Option<Arc<Generation>>,
    pub(super) next_partition: u64,
    /// The number of the next tombstone.
    pub(super) next_tombstone: u64,
}

impl State {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            catalog: Arc::clone(&self.catalog),
            partitions: Arc::clone(&self.partitions),
            heads: self.frozen.iter().chain([&self.open]).cloned().collect(),
            tally: None,
        }
    }

    pub(super) fn head_bytes(&self) -> usize {
        self.open.bytes() + self.frozen.as_ref().map_or(0, |frozen| frozen.bytes())
    }

    /// The partition of `policy` that holds `time`.
    pub(super) fn partition_at(
        &self,
        policy: PolicyId,
        time: Timestamp,
    ) -> Option<&Arc<Partition>> {
        self.partitions
            .values()
            .find(|partition| partition.policy == policy && partition.range().contains(time))
    }

    /// Partitions whose policy was dropped.
    pub(super) fn partitions_without_policy(&self) -> Vec<PartitionId> {
        self.partitions
            .values()
            .filter(|partition| self.catalog.policy_by_id(partition.policy).is_none())
            .map(|partition| partition.id)
            .collect()
    }
}
