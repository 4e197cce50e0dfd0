//! Dropping partitions: those that expired, and those whose database or policy is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use plimsoll_wal::log::CommitSync;

use crate::Result;
use crate::catalog::Applied;
use crate::log::Record;
use crate::model::Timestamp;
use crate::partition::PartitionId;

use super::Engine;
use super::flush::edit_partitions;
use super::state::State;

/// Which partitions hold nothing that their policy still keeps.
pub(super) fn plan(state: &State, now: Timestamp) -> Vec<PartitionId> {
    let expired = |policy, partition: &crate::partition::Partition| {
        let terms = state.catalog.policy_by_id(policy);
        terms.is_none_or(|(_, terms)| partition.is_expired(terms.retention, now))
    };
    state
        .partitions
        .values()
        .filter(|partition| expired(partition.policy, partition))
        .map(|partition| partition.id)
        .collect()
}

impl Engine {
    /// Drops the partitions that expired; answers how many.
    ///
    /// # Errors
    /// `Storage`; what is not dropped now is dropped next time.
    pub fn enforce_retention(&self) -> Result<usize> {
        let expired = plan(&self.state.read(), self.clock.now());
        self.drop_partitions(&expired)?;
        self.counters
            .partitions_expired
            .fetch_add(expired.len() as u64, Ordering::Relaxed);
        Ok(expired.len())
    }

    /// Drops one partition, where it is there.
    ///
    /// # Errors
    /// `Storage`.
    pub fn drop_partition(&self, id: PartitionId) -> Result<Applied> {
        if !self.state.read().partitions.contains_key(&id) {
            return Ok(Applied::Unchanged);
        }
        self.drop_partitions(&[id])?;
        Ok(Applied::Changed)
    }

    /// Takes partitions out of the state, the log and the manifest, then removes their files.
    pub(super) fn drop_partitions(&self, ids: &[PartitionId]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut manifest = self.manifest.lock();
        let edited = {
            let mut state = self.state.write();
            let partitions = Arc::make_mut(&mut state.partitions);
            for id in ids {
                partitions.remove(id);
            }
            for id in ids {
                state.open.define(&Record::DropPartition(*id));
            }
            self.commit(&state, self.log.ticket(), CommitSync::Always)?;
            let mut edited = manifest.clone();
            edit_partitions(&mut edited, &state.catalog, &state.partitions);
            edited.next_partition = state.next_partition;
            edited
        };
        self.replace_manifest(&mut manifest, edited)?;
        drop(manifest);
        // A merge of one of them sees that it is gone, and stops before its directory goes.
        self.being_merged.wait_for(ids);
        for id in ids {
            self.storage.remove_directory(&self.paths.partition(*id))?;
        }
        Ok(())
    }
}
