//! Opening a directory: lock, manifest, segments, log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use parking_lot::{Mutex, RwLock};
use plimsoll_wal::log::{self, Log, LogOptions, Recovered, Tail};
use plimsoll_wal::storage::Storage;

use crate::head::{Fault, Generation, Replay};
use crate::log::{Deleted, Record};
use crate::manifest::{Manifest, PartitionEntry, Paths, SegmentEntry};
use crate::partition::{Damaged, Mask, Partition, PartitionId, Schema};
use crate::readers::Positions;
use crate::segment::{ReadState, Segment};
use crate::snapshot::View;
use crate::{Clock, Error, Result};

use super::state::State;
use super::{Counters, Durability, Engine, Options, Undrained};

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Rows that were read back from the log.
    pub rows_replayed: u64,
    /// Rows that the log holds but that cannot be read, since rows before them are lost.
    pub rows_lost: u64,
    /// Frames that a repair left out, or that cannot be read without those.
    pub frames_lost: u64,
    /// A sentence where a torn tail was cut: which file, where, how many bytes.
    pub torn_tail: Option<String>,
    /// Files that no manifest names and that were removed: left by a flush that was cut off.
    pub files_removed: usize,
}

type Partitions = BTreeMap<PartitionId, Partition>;

impl Engine {
    /// Opens or creates the directory and replays its log.
    ///
    /// # Errors
    /// [`crate::Error::Storage`] with `Locked`, `NewerFormat`, `Io`; [`crate::Error::Corrupt`].
    pub fn open(
        storage: Arc<dyn Storage>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, OpenReport)> {
        let paths = Paths {
            root: options.directory.clone(),
        };
        make_durable(&*storage, &paths.root)?;
        for directory in [paths.log(), paths.partitions()] {
            storage.create_directory(&directory)?;
        }
        let lock = storage.lock(&paths.root)?;
        storage.sync_directory(&paths.root)?;
        let manifest = Manifest::read(&*storage, &paths.root)?.unwrap_or_default();
        let mut report = OpenReport::default();
        let reading = Arc::default();
        let mut partitions = open_partitions(&*storage, &paths, &options, &manifest, &reading)?;
        report.files_removed = remove_unnamed(&*storage, &paths, &manifest)?;
        let mut replay = Loading {
            catalog: manifest.catalog.clone(),
            next_partition: manifest.next_partition,
            next_tombstone: next_tombstone(&partitions),
            partitions: &mut partitions,
            is_gapped: false,
        };
        let (recovered, generations) = replay.log(&storage, &paths, &manifest, &mut report)?;
        let (catalog, next_partition) = (replay.catalog, replay.next_partition);
        let next_tombstone = replay.next_tombstone;
        partitions.retain(|_, partition| catalog.policy_by_id(partition.policy).is_some());
        report.torn_tail = describe(&recovered.tail);
        let log_options = LogOptions {
            file_bytes: options.log_file_bytes,
            durability: match options.durability {
                Durability::Sync => log::Durability::Sync,
                Durability::Interval(every) => log::Durability::Interval(every),
                Durability::None => log::Durability::None,
            },
        };
        let log = Log::start(Arc::clone(&storage), &paths.log(), log_options, &recovered)?;
        let readers = Self::open_readers(&*storage, &paths, &recovered)?;
        let Generations {
            open,
            open_from,
            is_gapped,
            frozen,
            boundary,
        } = generations;
        for partition in partitions.values_mut() {
            let segments = partition.segments.clone();
            partition.clear_masks(&segments);
            partition.retire_masks(frozen.as_ref().map(|frozen| frozen.id));
        }
        let state = State {
            catalog: Arc::new(catalog),
            partitions: Arc::new(
                partitions
                    .into_iter()
                    .map(|(id, p)| (id, Arc::new(p)))
                    .collect(),
            ),
            open,
            frozen,
            next_partition,
            next_tombstone,
        };
        let log_covered = manifest.log_covered;
        let undrained = Undrained {
            bytes: Vec::new(),
            failures: log.failures(),
        };
        let engine = Self {
            storage,
            last_sync: Mutex::new(clock.now()),
            next_flush: Mutex::default(),
            options,
            clock,
            paths,
            log,
            state: RwLock::new(state),
            format: AtomicU32::new(manifest.format),
            manifest: Mutex::new(manifest),
            merging: Mutex::default(),
            being_merged: super::compaction::BeingMerged::default(),
            reading,
            undrained: Mutex::new(undrained),
            tag_sets_seen: Mutex::default(),
            readers: Mutex::new(readers),
            log_covered: AtomicU64::new(log_covered),
            open_from: AtomicU64::new(open_from),
            boundary: AtomicU64::new(boundary),
            log_bytes_flushed: AtomicU64::new(0),
            log_bytes_replayed: AtomicU64::new(recovered.body_bytes),
            counters: Counters::default(),
            _lock: lock,
        };
        if is_gapped {
            // Once for what is frozen, and once for what was open.
            engine.flush()?;
            engine.flush()?;
            engine.cover_log()?;
        }
        engine.release_log()?;
        Ok((engine, report))
    }

    /// Where named readers stand: nowhere behind the end of the log.
    fn open_readers(
        storage: &dyn Storage,
        paths: &Paths,
        recovered: &Recovered,
    ) -> Result<Positions> {
        let mut readers = Positions::read(storage, &paths.root)?;
        if readers.clamp(recovered.last_sequence) {
            tracing::warn!("the log ends before what its readers had read: they are set back");
            readers.replace(storage, &paths.root)?;
        }
        Ok(readers)
    }
}

fn unreadable((sequence, offset): Fault) -> Error {
    Error::LogRecord { sequence, offset }
}

/// Makes a directory with its parents, and syncs the entry of each that was not there.
pub(super) fn make_durable(storage: &dyn Storage, directory: &Path) -> Result<()> {
    let mut missing = Vec::new();
    for ancestor in directory.ancestors() {
        if ancestor.as_os_str().is_empty() || storage.exists(ancestor)? {
            break;
        }
        missing.push(ancestor);
    }
    storage.create_directory(directory)?;
    for ancestor in missing {
        if let Some(parent) = ancestor.parent() {
            storage.sync_directory(parent)?;
        }
    }
    Ok(())
}

fn describe(tail: &Tail) -> Option<String> {
    match tail {
        Tail::Clean => None,
        Tail::Torn {
            path,
            valid_to,
            dropped_bytes,
        } => Some(format!(
            "the log {} was cut at byte {valid_to}: {dropped_bytes} bytes behind it were written \
             but never acknowledged as durable",
            path.display()
        )),
    }
}

/// The generations that the log holds: at most one was frozen when the process ended.
struct Generations {
    open: Arc<Generation>,
    /// The first frame of the open one.
    open_from: u64,
    /// Whether nothing may be written to the open one, for its frames have a gap.
    is_gapped: bool,
    frozen: Option<Arc<Generation>>,
    /// The last sequence of the frozen one.
    boundary: u64,
}

/// The catalog and the partitions while the log is replayed over them.
struct Loading<'a> {
    catalog: crate::catalog::Catalog,
    next_partition: u64,
    next_tombstone: u64,
    partitions: &'a mut Partitions,
    /// Whether a repair has left out frames so far.
    is_gapped: bool,
}

impl Loading<'_> {
    fn log(
        &mut self,
        storage: &Arc<dyn Storage>,
        paths: &Paths,
        manifest: &Manifest,
        report: &mut OpenReport,
    ) -> Result<(Recovered, Generations)> {
        let first = manifest.next_generation;
        let mut replay = Replay::new(Generation::unlogged(first));
        let mut finished: Vec<(Arc<Generation>, u64)> = Vec::new();
        let mut last_sequence = manifest.log_covered;
        let mut open_from = manifest.log_covered + 1;
        let mut catalog_error = None;
        let mut frames_lost = 0;
        let visited = log::recover(storage, &paths.log(), manifest.log_covered, &mut |frame| {
            let before = Arc::clone(replay.generation());
            let applied = replay.apply(frame.sequence, frame.body, &mut |record| match self
                .apply(record)
            {
                Err(error) if self.is_gapped => {
                    tracing::error!(%error, "a change needs one that is lost");
                }
                Err(error) => {
                    catalog_error.get_or_insert(error);
                }
                Ok(()) => {}
            });
            self.is_gapped |= replay.is_gapped();
            if !Arc::ptr_eq(&before, replay.generation()) {
                finished.push((before, last_sequence));
                open_from = frame.sequence;
            }
            last_sequence = frame.sequence;
            if self.is_gapped {
                let is_gap = frame.body == Record::gap();
                frames_lost += u64::from(is_gap || applied.is_err());
                return Ok(());
            }
            applied.map_err(unreadable)
        });
        let recovered = visited?;
        replay.finish().map_err(unreadable)?;
        if let Some(error) = catalog_error {
            return Err(error);
        }
        (report.rows_replayed, report.rows_lost) = replay.rows();
        report.frames_lost = frames_lost;
        finished.retain(|(generation, _)| !generation.is_empty());
        let frozen = finished.pop();
        assert!(
            finished.is_empty(),
            "a generation is frozen only when the one before is flushed"
        );
        let is_gapped = replay.is_gapped();
        let mut open = Arc::clone(replay.generation());
        if is_gapped && open.is_empty() {
            // Behind a gap only another generation can be read.
            open = Arc::new(Generation::new(open.id + 1));
            open_from = last_sequence + 1;
        } else if open.is_empty() && frozen.is_none() {
            // Nothing names its number in the log yet, or the name is all there is: say it again.
            open.define(&Record::Generation(open.id));
        }
        let boundary = frozen.as_ref().map_or(0, |(_, boundary)| *boundary);
        Ok((
            recovered,
            Generations {
                open,
                open_from,
                is_gapped,
                frozen: frozen.map(|(f, _)| f),
                boundary,
            },
        ))
    }

    /// A deletion that the manifest may or may not have already.
    fn delete(&mut self, deleted: &Deleted) {
        let tombstone = &deleted.tombstone;
        self.next_tombstone = self.next_tombstone.max(tombstone.id.saturating_add(1));
        for id in &deleted.partitions {
            if let Some(partition) = self.partitions.get_mut(id) {
                let mut masks = partition.masks.iter();
                if masks.all(|mask| mask.tombstone.id != tombstone.id) {
                    partition.masks.push(Mask {
                        tombstone: Arc::clone(tombstone),
                        clean: Vec::new(),
                    });
                }
            }
        }
        for (id, measurement, field) in &deleted.freed {
            if let Some(partition) = self.partitions.get(id) {
                partition.schema.release(measurement, field);
            }
        }
    }

    /// What the log says of catalog and partitions.
    fn apply(&mut self, record: &Record<'_>) -> Result<()> {
        match record {
            Record::Catalog { version, .. }
                if self.is_gapped && *version > self.catalog.version + 1 =>
            {
                // Changes before it are lost, and ids with them: it cannot be known what it is of.
                tracing::error!(
                    version,
                    "a change of the catalog is lost with those before it"
                );
            }
            Record::Catalog { version, change } if *version > self.catalog.version => {
                self.catalog.apply(change)?;
                let catalog = &self.catalog;
                self.partitions
                    .retain(|_, there| catalog.policy_by_id(there.policy).is_some());
            }
            Record::Partition {
                id,
                policy,
                start,
                end,
            } => {
                self.next_partition = self.next_partition.max(id.0);
                // Never taken twice, also where its making is lost.
                self.catalog.next_id = self.catalog.next_id.max(policy.0);
                self.partitions.entry(*id).or_insert_with(|| Partition {
                    id: *id,
                    policy: *policy,
                    start: *start,
                    end: *end,
                    schema: Arc::default(),
                    segments: Vec::new(),
                    damaged: Vec::new(),
                    masks: Vec::new(),
                });
            }
            Record::DropPartition(id) => {
                self.partitions.remove(id);
            }
            Record::Delete(deleted) => self.delete(deleted),
            Record::Column {
                partition,
                field_type,
                measurement,
                field,
                ..
            } => {
                if let Some(partition) = self.partitions.get(partition) {
                    partition.schema.claim(
                        &Arc::from(*measurement),
                        &Arc::from(*field),
                        *field_type,
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn next_tombstone(partitions: &Partitions) -> u64 {
    let masks = partitions.values().flat_map(|partition| &partition.masks);
    masks
        .map(|mask| mask.tombstone.id.saturating_add(1))
        .max()
        .unwrap_or(0)
}

fn open_partitions(
    storage: &dyn Storage,
    paths: &Paths,
    options: &Options,
    manifest: &Manifest,
    reading: &Arc<ReadState>,
) -> Result<Partitions> {
    let mut partitions = BTreeMap::new();
    for entry in &manifest.partitions {
        let partition = open_partition(storage, paths, options, entry, reading)?;
        partitions.insert(entry.id, partition);
    }
    Ok(partitions)
}

fn open_partition(
    storage: &dyn Storage,
    paths: &Paths,
    options: &Options,
    entry: &PartitionEntry,
    reading: &Arc<ReadState>,
) -> Result<Partition> {
    let schema = Schema::default();
    let (mut segments, mut damaged) = (Vec::new(), Vec::new());
    for segment in &entry.segments {
        let path = paths.segment(entry.id, segment.id);
        let mode = options.read_mode;
        let opened = Segment::open_with(storage, &path, &segment.facts, mode, reading);
        let segment = match opened {
            Ok(opened) => Arc::new(opened),
            // A newer format is no damage: an older program must not touch it.
            Err(error @ Error::Storage(plimsoll_wal::Error::NewerFormat { .. })) => {
                return Err(error);
            }
            Err(error) => {
                damaged.push(damage(&error, path, segment));
                continue;
            }
        };
        let masks: Vec<_> = entry
            .masks
            .iter()
            .filter(|mask| mask.hides(&segment))
            .map(|mask| Arc::clone(&mask.tombstone))
            .collect();
        let view = View::of_segment(entry.id, &segment, masks);
        for measurement in segment.measurements() {
            for (field, field_type, _) in segment.columns(measurement) {
                // What cannot be read may be there; a query that needs it says what is wrong.
                if view
                    .holds_field(measurement, field, field_type)
                    .unwrap_or(true)
                {
                    schema.claim(measurement, field, field_type);
                }
            }
        }
        segments.push(segment);
    }
    Ok(Partition {
        id: entry.id,
        policy: entry.policy,
        start: entry.start,
        end: entry.end,
        schema: Arc::new(schema),
        segments,
        damaged,
        masks: entry.masks.clone(),
    })
}

/// Says that a segment cannot be read, and answers what the partition keeps of it.
fn damage(error: &Error, path: PathBuf, entry: &SegmentEntry) -> Damaged {
    tracing::error!(
        path = %path.display(),
        "a segment cannot be opened, and queries of its times fail, until it is restored from a \
         backup or its partition is dropped: {error}"
    );
    let (what, offset) = match error {
        Error::Corrupt { what, offset, .. } => (*what, *offset),
        _ => ("a segment that cannot be read", 0),
    };
    Damaged {
        what,
        path,
        offset,
        range: entry.facts.time_range(),
        rank_high: entry.rank_high,
    }
}

/// Removes what a flush or a drop that was cut off left behind.
fn remove_unnamed(storage: &dyn Storage, paths: &Paths, manifest: &Manifest) -> Result<usize> {
    let mut removed = 0;
    for name in storage.list(&paths.partitions())? {
        let directory = paths.partitions().join(&name);
        let entry = manifest
            .partitions
            .iter()
            .find(|entry| Paths::partition_name(entry.id) == name);
        let Some(entry) = entry else {
            storage.remove_directory(&directory)?;
            removed += 1;
            continue;
        };
        for file in storage.list(&directory)? {
            let named = entry
                .segments
                .iter()
                .any(|segment| Paths::segment_name(segment.id) == file);
            if !named {
                storage.remove(&directory.join(&file))?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}
