//! Freezing the head and writing it into segments, exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use plimsoll_wal::log::CommitSync;

use crate::Result;
use crate::catalog::Catalog;
use crate::head::{Generation, GroupRows};
use crate::manifest::{FORMAT, Manifest, PartitionEntry, SegmentEntry};
use crate::model::{TagSet, Values};
use crate::partition::{Partition, PartitionId};
use crate::segment::{Column, Segment, SegmentBuilder, SegmentIdentity, TimeColumn};

use super::Engine;

impl Engine {
    /// Whether the head is large enough, or its log long enough, to be flushed.
    pub(super) fn is_flush_due(&self) -> bool {
        let state = self.state.read();
        // Where there are too many segments, merging gets a chance to come before the next.
        let head_bytes = if state.is_merge_urgent() {
            self.options.head_bytes_max / 4 * 3
        } else {
            self.options.head_bytes_max / 2
        };
        state.frozen.is_some()
            || state.open.bytes() as u64 > head_bytes
            || self.log_bytes() > self.options.log_bytes_max
    }

    /// Writes the head into segments and frees its log. Writes and queries go on meanwhile.
    ///
    /// # Errors
    /// `Storage`: the head stays in memory and in the log, and the next flush tries again.
    pub fn flush(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let covered = self.freeze(manifest.next_generation)?;
        let Some((frozen, covered)) = covered else {
            return Ok(());
        };
        let partitions = Arc::clone(&self.state.read().partitions);
        let mut sealed = BTreeMap::new();
        for partition in partitions
            .values()
            .filter(|partition| frozen.has_partition(partition.id))
        {
            let id = manifest.next_segment;
            manifest.next_segment += 1;
            if let Some(segment) = self.seal(&frozen, partition, id)? {
                sealed.insert(partition.id, segment);
            }
        }
        self.install(&mut manifest, &frozen, covered, sealed)?;
        self.release_log()?;
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// One short critical section: everything into the old log files, a new file, a new
    /// generation. `None` where there is nothing to flush.
    fn freeze(&self, next_generation: u64) -> Result<Option<(Arc<Generation>, u64)>> {
        let mut state = self.state.write();
        if let Some(frozen) = &state.frozen {
            // An earlier flush failed after its freeze; its boundary is where the log turned.
            return Ok(Some((
                Arc::clone(frozen),
                self.boundary.load(Ordering::SeqCst),
            )));
        }
        if state.open.is_empty() {
            return Ok(None);
        }
        // Everything is in the log before it turns: writers are kept out by the state's lock, so
        // the turn itself finds nothing to drain.
        self.commit(&state, self.log.ticket(), CommitSync::Always)?;
        let boundary = self.log.rotate(&|_| {})?;
        self.boundary.store(boundary, Ordering::SeqCst);
        self.log_bytes_flushed
            .store(self.log.stats().bytes, Ordering::SeqCst);
        self.log_bytes_replayed.store(0, Ordering::SeqCst);
        self.open_from.store(boundary + 1, Ordering::SeqCst);
        let id = next_generation.max(state.open.id + 1);
        let frozen = std::mem::replace(&mut state.open, Arc::new(Generation::new(id)));
        state.frozen = Some(Arc::clone(&frozen));
        Ok(Some((frozen, boundary)))
    }

    /// Writes one partition of a frozen generation; `None` where it has no points there.
    fn seal(
        &self,
        frozen: &Generation,
        partition: &Partition,
        id: u64,
    ) -> Result<Option<(SegmentEntry, Arc<Segment>)>> {
        let identity = SegmentIdentity {
            partition: partition.id.0,
            segment: id,
            rank_lo: frozen.id,
            rank_hi: frozen.id,
        };
        let mut sealing = Sealing {
            builder: SegmentBuilder::new(identity),
            frozen,
            columns: HashMap::new(),
        };
        let mut groups = 0;
        frozen.each_group(partition.id, &mut |tags, rows| {
            groups += 1;
            sealing.add_group(tags, rows)
        })?;
        if groups == 0 {
            return Ok(None);
        }
        let builder = sealing.builder;
        let directory = self.paths.partition(partition.id);
        if !self.storage.exists(&directory)? {
            self.storage.create_directory(&directory)?;
            self.storage.sync_directory(&self.paths.partitions())?;
        }
        let path = self.paths.segment(partition.id, id);
        let facts = builder.write(&*self.storage, &path)?;
        let segment = self.open_segment(&path, &facts)?;
        let entry = SegmentEntry {
            id,
            rank_low: frozen.id,
            rank_high: frozen.id,
            facts,
        };
        Ok(Some((entry, Arc::new(segment))))
    }

    /// The one manifest edit, and the swap in memory in the same critical section, so that no
    /// reader sees the rows twice or not at all.
    fn install(
        &self,
        manifest: &mut Manifest,
        frozen: &Generation,
        covered: u64,
        sealed: BTreeMap<PartitionId, (SegmentEntry, Arc<Segment>)>,
    ) -> Result<()> {
        let mut state = self.state.write();
        let mut edited = manifest.clone();
        edited.log_covered = covered;
        edited.next_generation = frozen.id + 1;
        edited.next_partition = state.next_partition;
        let mut partitions = (*state.partitions).clone();
        for (id, (_, segment)) in &sealed {
            // A partition that was dropped meanwhile stays dropped; its file goes at next start.
            if let Some(partition) = partitions.get_mut(id) {
                let partition = Arc::make_mut(partition);
                partition.segments.push(Arc::clone(segment));
                partition.clear_masks(std::slice::from_ref(segment));
            }
        }
        for partition in partitions.values_mut().filter(|p| !p.masks.is_empty()) {
            Arc::make_mut(partition).retire_masks(None);
        }
        edit_partitions(&mut edited, &state.catalog, &partitions);
        for entry in &mut edited.partitions {
            if let Some((segment, _)) = sealed.get(&entry.id) {
                entry.segments.push(segment.clone());
            }
        }
        self.replace_manifest(manifest, edited)?;
        self.log_covered.store(covered, Ordering::SeqCst);
        state.partitions = Arc::new(partitions);
        state.frozen = None;
        Ok(())
    }

    /// Notes that a start needs nothing of the log: what no segment holds of it cannot be read.
    pub(super) fn cover_log(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let state = self.state.write();
        let mut edited = manifest.clone();
        edited.log_covered = self.log.stats().last_sequence;
        edited.next_generation = edited.next_generation.max(state.open.id);
        edited.next_partition = state.next_partition;
        edit_partitions(&mut edited, &state.catalog, &state.partitions);
        let covered = edited.log_covered;
        self.replace_manifest(&mut manifest, edited)?;
        self.log_covered.store(covered, Ordering::SeqCst);
        Ok(())
    }

    /// Writes an edit; the old manifest stands where that fails.
    pub(super) fn replace_manifest(
        &self,
        manifest: &mut Manifest,
        mut edited: Manifest,
    ) -> Result<()> {
        edited.edit += 1;
        edited.format = FORMAT;
        edited.replace(&*self.storage, &self.paths.root)?;
        *manifest = edited;
        self.format.store(FORMAT, Ordering::SeqCst);
        Ok(())
    }
}

/// Brings catalog and partitions of a manifest up to the state in memory.
pub(super) fn edit_partitions(
    manifest: &mut Manifest,
    catalog: &Catalog,
    partitions: &BTreeMap<PartitionId, Arc<Partition>>,
) {
    manifest.catalog = catalog.clone();
    manifest
        .partitions
        .retain(|entry| partitions.contains_key(&entry.id));
    for partition in partitions.values() {
        let mut entries = manifest.partitions.iter_mut();
        if let Some(entry) = entries.find(|entry| entry.id == partition.id) {
            entry.masks.clone_from(&partition.masks);
        } else {
            manifest.partitions.push(PartitionEntry {
                id: partition.id,
                policy: partition.policy,
                start: partition.start,
                end: partition.end,
                segments: Vec::new(),
                masks: partition.masks.clone(),
            });
        }
    }
}

/// A segment that is being made of a generation.
struct Sealing<'g> {
    builder: SegmentBuilder,
    frozen: &'g Generation,
    /// The builder's columns, by the generation's: millions of chunks have some tens of them.
    columns: HashMap<u32, Column>,
}

impl Sealing<'_> {
    fn add_group(&mut self, tags: &TagSet, rows: GroupRows) -> Result<()> {
        match rows {
            GroupRows::Together { times, columns } => {
                let times = self.builder.time_column(&times)?;
                for (column, values, presence) in columns {
                    self.chunk(column, tags, times, presence.as_deref(), &values)?;
                }
            }
            GroupRows::Apart(columns) => {
                for (column, times, values) in columns {
                    if !times.is_empty() {
                        let times = self.builder.time_column(&times)?;
                        self.chunk(column, tags, times, None, &values)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn chunk(
        &mut self,
        number: u32,
        tags: &TagSet,
        times: TimeColumn,
        presence: Option<&[bool]>,
        values: &Values,
    ) -> Result<()> {
        let column = match self.columns.get(&number) {
            Some(column) => *column,
            None => {
                // A column without a value would leave its names in the segment.
                let named = self
                    .frozen
                    .definition(number)
                    .filter(|_| !values.is_empty());
                let Some(named) = named else { return Ok(()) };
                let (measurement, field) = (&named.measurement, &named.field);
                let column = self.builder.column(measurement, field, values.field_type());
                self.columns.insert(number, column);
                column
            }
        };
        self.builder.chunk_of(column, tags, times, presence, values)
    }
}
