//! Merging segments, one run at a time, beside flushes, drops, writes and queries.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::Result;
use crate::compaction::{
    Candidate, Ended, Input, Pace, Run, SEGMENTS_MAX, Temperature, has_room, merge, plan,
    plan_whole,
};
use crate::manifest::SegmentEntry;
use crate::model::Timestamp;
use crate::partition::{Partition, PartitionId};
use crate::segment::{Segment, SegmentBuilder, SegmentIdentity};

use super::Engine;
use super::state::State;

/// How long a partition whose merge failed is left alone, ns.
const MERGE_RETRY_NS: i64 = 600_000_000_000;

/// What a merge did to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// The partition.
    pub partition: PartitionId,
    /// Its database.
    pub database: String,
    /// Its retention policy.
    pub policy: String,
    /// Its first time.
    pub start: Timestamp,
    /// The first time after it.
    pub end: Timestamp,
    /// How many segments it had.
    pub segments_before: usize,
    /// How many it has now.
    pub segments_after: usize,
    /// Their bytes before.
    pub bytes_before: u64,
    /// Their bytes now.
    pub bytes_after: u64,
}

/// Held by whoever merges.
#[derive(Debug, Default)]
pub(super) struct Merging {
    /// Partitions whose merge failed, and when the next may be tried.
    retry: BTreeMap<PartitionId, Timestamp>,
}

/// Which partition's segments are being merged, so that its files are not removed meanwhile.
#[derive(Debug, Default)]
pub(super) struct BeingMerged {
    partition: Mutex<Option<PartitionId>>,
    ended: Condvar,
}

impl BeingMerged {
    fn start(&self, partition: PartitionId) -> Started<'_> {
        *self.partition.lock() = Some(partition);
        Started(self)
    }

    /// Waits until none of `ids` is merged. They are out of the state, so that a merge of one of
    /// them is about to stop and no other starts.
    pub(super) fn wait_for(&self, ids: &[PartitionId]) {
        let mut current = self.partition.lock();
        while current.is_some_and(|id| ids.contains(&id)) {
            self.ended.wait(&mut current);
        }
    }
}

/// A merge that has started and ends when this is dropped.
struct Started<'a>(&'a BeingMerged);

impl Drop for Started<'_> {
    fn drop(&mut self) {
        *self.0.partition.lock() = None;
        self.0.ended.notify_all();
    }
}

/// How a run of segments was merged.
struct Merged {
    segments: Vec<Arc<Segment>>,
    /// Tombstones whose rows are not in the new one.
    left_out: Vec<u64>,
    /// `None` where no point is left.
    into: Option<(SegmentEntry, Arc<Segment>)>,
}

impl State {
    /// Whether a partition has so many segments that merging comes before flushing.
    pub(super) fn is_merge_urgent(&self) -> bool {
        let mut partitions = self.partitions.values();
        partitions.any(|partition| partition.segments.len() > SEGMENTS_MAX)
    }
}

impl Engine {
    /// Merges one run of small segments, where there is one: of the partition that needs it most.
    /// Call it again until it answers `None`, from one thread of its own; flushes, writes and
    /// queries go on meanwhile. It ends early, and changes nothing, once `stop` is set.
    ///
    /// # Errors
    /// `Storage`, `Corrupt`: the old segments stay, and the partition is left alone for ten
    /// minutes.
    pub fn compact_step(&self, stop: &AtomicBool) -> Result<Option<Compacted>> {
        let mut merging = self.merging.lock();
        let now = self.clock.now();
        let partitions = Arc::clone(&self.state.read().partitions);
        merging
            .retry
            .retain(|id, again| *again > now && partitions.contains_key(id));
        let mut planned: Vec<_> = partitions
            .values()
            .filter(|partition| !merging.retry.contains_key(&partition.id))
            // What cannot be read keeps its place between the others.
            .filter(|partition| partition.damaged.is_empty())
            .filter_map(|partition| {
                let temperature = Temperature::of(partition.end, now);
                let run = plan(&candidates(partition), temperature)?;
                Some((partition, run, temperature))
            })
            .collect();
        planned.sort_by_key(|(_, run, _)| (!run.is_urgent, run.bytes));
        let free_bytes = self.storage.free_bytes(&self.paths.root)?;
        let again = Timestamp(now.0.saturating_add(MERGE_RETRY_NS));
        for (partition, run, _) in &planned {
            if !has_room(run.bytes, free_bytes) {
                self.put_off(partition, run, free_bytes);
                merging.retry.insert(partition.id, again);
            }
        }
        let fits = |(_, run, _): &(_, Run, _)| has_room(run.bytes, free_bytes);
        let Some((partition, run, temperature)) = planned.into_iter().find(fits) else {
            return Ok(None);
        };
        let rate = self.options.merge_bytes_per_second;
        let pace = Pace::start(rate.filter(|_| !run.is_urgent), now);
        let merged = self.merge_run(partition, run, temperature, pace, stop);
        if merged.is_err() {
            merging.retry.insert(partition.id, again);
        }
        merged
    }

    fn put_off(&self, partition: &Partition, run: &Run, free_bytes: Option<u64>) {
        let counter = &self.counters.compactions_put_off;
        counter.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            partition = partition.id.0,
            run.bytes,
            free_bytes,
            "too little of the disk is free to merge segments: the new one is written before the \
             old ones go"
        );
    }

    /// Flushes the head, then merges every partition into one segment, in cold pages; answers what
    /// became of each. It ends early once `stop` is set.
    ///
    /// # Errors
    /// `Storage`, `Corrupt`: what was merged before stays merged.
    pub fn compact_all(&self, stop: &AtomicBool) -> Result<Vec<Compacted>> {
        self.flush()?;
        let ids: Vec<PartitionId> = self.state.read().partitions.keys().copied().collect();
        let mut all = Vec::new();
        for id in ids {
            let _merging = self.merging.lock();
            let partition = self.state.read().partitions.get(&id).cloned();
            let Some(partition) = partition.filter(|found| !found.segments.is_empty()) else {
                continue;
            };
            let planned = plan_whole(&candidates(&partition));
            let done = match planned.filter(|_| partition.damaged.is_empty()) {
                Some(run) => {
                    let pace = Pace::start(None, self.clock.now());
                    self.merge_run(&partition, run, Temperature::Cold, pace, stop)?
                }
                None => self.compacted(&partition, &partition),
            };
            all.extend(done);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(all)
    }

    /// Merges a run of `partition`, into cold pages where it is cold; `None` where it was stopped,
    /// or the partition is gone.
    fn merge_run(
        &self,
        partition: &Arc<Partition>,
        run: Run,
        temperature: Temperature,
        pace: Pace,
        stop: &AtomicBool,
    ) -> Result<Option<Compacted>> {
        let is_there = || self.state.read().partitions.contains_key(&partition.id);
        let goes_on = || !stop.load(Ordering::Relaxed) && is_there();
        let _started = self.being_merged.start(partition.id);
        if !goes_on() {
            return Ok(None);
        }
        let goes_on = |written: u64| {
            while let Some(wait) = pace.wait(written, self.clock.now()) {
                if !goes_on() {
                    return false;
                }
                let before = self.clock.now();
                self.clock.wait(wait);
                if self.clock.now() <= before {
                    // A clock that stands still would hold it up for ever.
                    break;
                }
            }
            goes_on()
        };
        let result = self
            .write_merged(partition, run.places, temperature, &goes_on)
            .and_then(|merged| match merged {
                Some(merged) => self.install_merged(partition, &merged),
                None => Ok(None),
            });
        match result {
            Ok(Some(after)) => {
                self.counters.compactions.fetch_add(1, Ordering::Relaxed);
                Ok(self.compacted(partition, &after))
            }
            Ok(None) => Ok(None),
            // Its directory went away while it was merged.
            Err(_) if !is_there() => Ok(None),
            Err(error) => {
                let failed = &self.counters.compactions_failed;
                failed.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Reads the segments at `places` and writes the one that replaces them, under its name but
    /// not yet in the manifest. The manifest is free meanwhile.
    fn write_merged(
        &self,
        partition: &Partition,
        places: Range<usize>,
        temperature: Temperature,
        goes_on: &dyn Fn(u64) -> bool,
    ) -> Result<Option<Merged>> {
        let segments = partition.segments[places].to_vec();
        let inputs: Vec<Input> = segments
            .iter()
            .map(|segment| Input {
                segment: Arc::clone(segment),
                masks: partition.masks_of(segment),
            })
            .collect();
        let left_out: Vec<u64> = partition.masks.iter().map(|m| m.tombstone.id).collect();
        let (Some(lowest), Some(highest)) = (segments.first(), segments.last()) else {
            return Ok(None);
        };
        let id = {
            let mut manifest = self.manifest.lock();
            manifest.next_segment += 1;
            manifest.next_segment - 1
        };
        let identity = SegmentIdentity {
            partition: partition.id.0,
            segment: id,
            rank_lo: lowest.identity().rank_lo,
            rank_hi: highest.identity().rank_hi,
        };
        let path = self.paths.segment(partition.id, id);
        let mut builder = match temperature {
            Temperature::Hot => SegmentBuilder::in_order(identity, &*self.storage, &path)?,
            Temperature::Cold => SegmentBuilder::cold(identity, &*self.storage, &path)?,
        };
        let ended = merge(&inputs, &mut builder, goes_on);
        let points = builder.points();
        if !matches!(ended, Ok(Ended::Whole)) || points == 0 {
            if let Err(error) = builder.discard(&*self.storage, &path) {
                tracing::warn!(%error, "a merge that was broken off left a file, until the next start");
            }
            return ended.map(|ended| match ended {
                Ended::Whole => Some(Merged {
                    segments,
                    left_out,
                    into: None,
                }),
                Ended::Stopped => None,
            });
        }
        let copied = builder.copied();
        let facts = builder.write(&*self.storage, &path)?;
        let segment = self.open_segment(&path, &facts)?;
        let read = segments.iter().map(|segment| segment.facts().len_bytes);
        let (read, written) = (read.sum(), facts.len_bytes);
        let counters = &self.counters;
        counters
            .compaction_bytes_read
            .fetch_add(read, Ordering::Relaxed);
        counters
            .compaction_bytes_written
            .fetch_add(written, Ordering::Relaxed);
        counters
            .compaction_values_copied
            .fetch_add(copied, Ordering::Relaxed);
        let entry = SegmentEntry {
            id,
            rank_low: identity.rank_lo,
            rank_high: identity.rank_hi,
            facts,
        };
        Ok(Some(Merged {
            segments,
            left_out,
            into: Some((entry, Arc::new(segment))),
        }))
    }

    /// One manifest edit takes the merged segments out and their successor in; then the swap in
    /// memory, before any other edit; then the old files go. Views that hold them read on, as a
    /// removed file lives as long as its map. `None` where the partition is gone.
    fn install_merged(
        &self,
        partition: &Partition,
        merged: &Merged,
    ) -> Result<Option<Arc<Partition>>> {
        let first = merged.segments[0].identity().segment;
        let len = merged.segments.len();
        let after = {
            let mut manifest = self.manifest.lock();
            let mut edited = manifest.clone();
            let entry = edited.partitions.iter_mut().find(|e| e.id == partition.id);
            let Some(entry) = entry else {
                return Ok(None);
            };
            let at = entry.segments.iter().position(|there| there.id == first);
            let at = at.expect("only a merge takes segments out, and there is one at a time");
            let new = merged.into.iter().map(|(entry, _)| entry.clone());
            entry.segments.splice(at..at + len, new);
            let successor = merged.into.as_ref().map(|(_, segment)| segment);
            let (current, frozen) = {
                let state = self.state.read();
                let frozen = state.frozen.as_ref().map(|frozen| frozen.id);
                (state.partitions.get(&partition.id).cloned(), frozen)
            };
            let Some(mut current) = current else {
                return Ok(None);
            };
            let replace = |partition: &mut Partition| {
                partition.replace_segments(at, len, successor, &merged.left_out);
                // Nothing is frozen or flushed meanwhile: that takes the manifest.
                partition.retire_masks(frozen);
            };
            replace(Arc::make_mut(&mut current));
            entry.masks.clone_from(&current.masks);
            // Where this fails the new file stays: the edit may have reached the disk.
            self.replace_manifest(&mut manifest, edited)?;
            let mut state = self.state.write();
            let partitions = Arc::make_mut(&mut state.partitions);
            let Some(there) = partitions.get_mut(&partition.id) else {
                return Ok(None);
            };
            // Again, as a deletion may have come in between.
            replace(Arc::make_mut(there));
            Arc::clone(there)
        };
        for segment in &merged.segments {
            self.remove_merged(segment.path());
        }
        Ok(Some(after))
    }

    fn remove_merged(&self, path: &Path) {
        if let Err(error) = self.storage.remove(path) {
            // The manifest does not name it, so that the next start removes it.
            tracing::warn!(%error, path = %path.display(), "a merged segment stays until the next start");
        }
    }

    fn compacted(&self, before: &Partition, after: &Partition) -> Option<Compacted> {
        let state = self.state.read();
        let (database, policy) = state.catalog.policy_by_id(before.policy)?;
        let bytes = |partition: &Partition| {
            let segments = partition.segments.iter();
            segments.map(|segment| segment.facts().len_bytes).sum()
        };
        Some(Compacted {
            partition: before.id,
            database: database.name.clone(),
            policy: policy.name.clone(),
            start: Timestamp(before.start),
            end: Timestamp(before.end),
            segments_before: before.segments.len(),
            segments_after: after.segments.len(),
            bytes_before: bytes(before),
            bytes_after: bytes(after),
        })
    }
}

fn candidates(partition: &Partition) -> Vec<Candidate> {
    let one = |segment: &Arc<Segment>| Candidate {
        rank_low: segment.identity().rank_lo,
        rank_high: segment.identity().rank_hi,
        bytes: segment.facts().len_bytes,
        masks: partition.masks_of(segment).len(),
        is_cold: segment.is_cold(),
    };
    partition.segments.iter().map(one).collect()
}
