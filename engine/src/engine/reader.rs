//! Named readers of the log: acknowledged points in the order of the log, and positions that last.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use plimsoll_wal::log::{Followed, Follower, LogFile};

use crate::catalog::{Catalog, PolicyId};
use crate::log::{Decoder, Entry, Row};
use crate::model::{Batch, FieldValue};
use crate::partition::PartitionId;
use crate::readers::{Position, Positions, READER_NAME_BYTES_MAX, READERS_MAX};
use crate::{Error, Result, Timestamp};

use super::Engine;

/// Where a reader that is new begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderStart {
    /// With what the log still holds: what no flush has put into segments.
    Oldest,
    /// With what is written from now on.
    Now,
}

/// What a reader has read up to. Kept in memory until [`Engine::commit_reader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderPosition {
    sequence: u64,
    from: u64,
}

/// Points of one retention policy.
#[derive(Debug, Clone)]
pub struct ReaderPoints {
    /// The database, as it is called now.
    pub database: String,
    /// The retention policy.
    pub policy: String,
    /// The points, in the order of the log.
    pub batch: Batch,
}

/// What a reader found.
#[derive(Debug, Clone)]
pub struct ReaderBatch {
    /// Points by database and policy.
    pub points: Vec<ReaderPoints>,
    /// Hand it to [`Engine::commit_reader`] once the points are where they should go.
    pub position: ReaderPosition,
    /// How many deletions stand between the points; what they deleted may be among them.
    pub deletions: u64,
    /// How many changes of the catalog stand between them.
    pub catalog_changes: u64,
    /// Rows whose database, policy or partition is gone: they are not among the others.
    pub rows_gone: u64,
    /// Frames of the log that could not be read: damaged, or removed.
    pub frames_lost: u64,
    /// Rows that could not be read since rows or definitions before them are lost.
    pub rows_lost: u64,
}

/// A reader's durable state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderStats {
    /// Its name.
    pub name: String,
    /// The last frame of the log that it is done with.
    pub sequence: u64,
    /// Frames that are written and that it is not done with.
    pub frames_behind: u64,
    /// Bytes of log files that it alone, or with others, keeps from being removed.
    pub held_bytes: u64,
    /// Frames that were dropped for want of room before it had read them, ever.
    pub frames_dropped: u64,
    /// Bytes of log files that were dropped so.
    pub bytes_dropped: u64,
}

/// Reads the log under a name. One at a time for each name.
#[derive(Debug)]
pub struct Reader {
    name: String,
    follower: Follower,
    decoder: Decoder,
    /// The last frame whose points were given.
    given: u64,
    /// The first frame of the generation that the decoder is in.
    from: u64,
}

impl Reader {
    fn at(position: &Position) -> Self {
        Self {
            name: position.name.clone(),
            follower: Follower::at(position.from),
            decoder: Decoder::default(),
            given: position.sequence,
            from: position.from,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next points behind those that were given before: whole frames, until there are
    /// `points_max` or the log ends. `None` where there is nothing new.
    ///
    /// Only what is durable is read; with a durability other than `sync` the log is synced for it.
    /// The first call after a start reads the generation of the position from its beginning.
    ///
    /// # Errors
    /// `Storage`: nothing is skipped, try again. `NotFound` where the reader was dropped.
    pub fn read(&mut self, engine: &Engine, points_max: usize) -> Result<Option<ReaderBatch>> {
        let mut found = Found::new(engine);
        while found.points < points_max {
            self.catch_up(engine)?;
            let (decoder, given, from) = (&mut self.decoder, &mut self.given, &mut self.from);
            let followed = engine.log.follow(&mut self.follower, &mut |frame| {
                let generation = decoder.generation();
                let is_new = frame.sequence > *given;
                let read = decoder.apply(frame.body, &mut |entry| {
                    if is_new {
                        found.add(entry);
                    }
                });
                if decoder.generation() != generation {
                    *from = frame.sequence;
                }
                if let Err(offset) = read {
                    let sequence = frame.sequence;
                    tracing::warn!(
                        sequence,
                        offset,
                        "a reader cannot read the rest of a log frame"
                    );
                    decoder.skip();
                    found.frames_lost += u64::from(is_new);
                }
                if is_new {
                    *given = frame.sequence;
                    found.read_to = frame.sequence;
                }
                if found.points < points_max {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            match followed {
                Ok(Followed::End) => break,
                Ok(Followed::Paused) => {}
                Ok(Followed::Lost { frames, damage }) => {
                    self.lose(*frames.end(), damage, &mut found);
                }
                // What was read before is given; the next call meets the error again.
                Err(_) if found.read_to > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        found.rows_lost = std::mem::take(&mut self.decoder.rows_lost);
        Ok(found.finish(self.from))
    }

    /// Goes to where the log was dropped to, if it was.
    fn catch_up(&mut self, engine: &Engine) -> Result<()> {
        let readers = engine.readers.lock();
        let position = find(&readers, &self.name)?;
        if self.follower.next_sequence() < position.from {
            *self = Self::at(position);
        }
        Ok(())
    }

    fn lose(&mut self, last: u64, damage: Option<plimsoll_wal::Error>, found: &mut Found) {
        if let Some(error) = damage {
            tracing::error!(%error, reader = self.name, "a reader skips a part of the log");
        }
        self.decoder.skip();
        found.frames_lost += last.saturating_sub(self.given);
        if last > self.given {
            self.given = last;
            found.read_to = last;
        }
    }
}

fn find<'a>(readers: &'a Positions, name: &str) -> Result<&'a Position> {
    readers
        .find(name)
        .ok_or_else(|| Error::ReaderNotFound(name.to_owned()))
}

impl Engine {
    /// The reader of this name, where it stood; a new one begins at `start` and lasts from now on.
    ///
    /// While it lasts, log files that it has not read are kept, up to
    /// [`super::Options::reader_backlog_bytes_max`] beside those that no flush covers; then the
    /// oldest generations are dropped and counted.
    ///
    /// # Errors
    /// `Invalid` for a name that is empty, `Limit`, `Storage`.
    pub fn reader(&self, name: &str, start: ReaderStart) -> Result<Reader> {
        check_name(name)?;
        // Before the readers' lock: no freeze comes between the two numbers.
        let state = self.state.read();
        let mut readers = self.readers.lock();
        if let Some(position) = readers.find(name) {
            return Ok(Reader::at(position));
        }
        if readers.all.len() == READERS_MAX {
            return Err(Error::Limit {
                what: "number of log readers",
                got: READERS_MAX as u64 + 1,
                limit: READERS_MAX as u64,
            });
        }
        let (sequence, from) = match start {
            ReaderStart::Oldest => {
                let covered = self.log_covered.load(Ordering::SeqCst);
                (covered, covered + 1)
            }
            ReaderStart::Now => {
                let from = self.open_from.load(Ordering::SeqCst);
                (self.log.stats().last_sequence.max(from - 1), from)
            }
        };
        let position = Position {
            name: name.to_owned(),
            sequence,
            from,
            ..Position::default()
        };
        drop(state);
        let reader = Reader::at(&position);
        let mut edited = readers.clone();
        edited.all.push(position);
        edited.all.sort_by(|a, b| a.name.cmp(&b.name));
        self.replace_readers(&mut readers, edited)?;
        Ok(reader)
    }

    /// Notes durably that the reader `name` is done with everything up to `position`; log files
    /// that nobody needs any more go. A position before the one that is noted changes nothing.
    ///
    /// # Errors
    /// `ReaderNotFound`, `Storage`: the old position stands.
    pub fn commit_reader(&self, name: &str, position: ReaderPosition) -> Result<()> {
        let mut readers = self.readers.lock();
        let mut edited = readers.clone();
        let there = edited
            .find_mut(name)
            .ok_or_else(|| Error::ReaderNotFound(name.to_owned()))?;
        if position.sequence <= there.sequence {
            return Ok(());
        }
        there.sequence = position.sequence;
        there.from = there.from.max(position.from);
        let open_from = self.open_from.load(Ordering::SeqCst);
        if there.sequence + 1 == open_from {
            // All of the generation before was read, and nothing of this one.
            there.from = open_from;
        }
        self.replace_readers(&mut readers, edited)?;
        self.remove_log(&readers)
    }

    /// Forgets a reader; log files that only it held go. Answers whether there was one.
    ///
    /// # Errors
    /// `Storage`.
    pub fn drop_reader(&self, name: &str) -> Result<bool> {
        let mut readers = self.readers.lock();
        let mut edited = readers.clone();
        edited.all.retain(|position| position.name != name);
        if edited == *readers {
            return Ok(false);
        }
        self.replace_readers(&mut readers, edited)?;
        self.remove_log(&readers)?;
        Ok(true)
    }

    /// All readers, by name.
    #[must_use]
    pub fn readers(&self) -> Vec<ReaderStats> {
        let readers = self.readers.lock();
        let last = self.log.stats().last_sequence;
        let held = self.held_files(self.log_covered.load(Ordering::SeqCst));
        let stats = readers.all.iter().map(|position| ReaderStats {
            name: position.name.clone(),
            sequence: position.sequence,
            frames_behind: last.saturating_sub(position.sequence),
            held_bytes: held
                .iter()
                .filter(|file| file.last_sequence >= position.from)
                .map(|file| file.len_bytes)
                .sum(),
            frames_dropped: position.frames_dropped,
            bytes_dropped: position.bytes_dropped,
        });
        stats.collect()
    }

    /// Removes log files that neither a start nor a reader needs; where they hold more than they
    /// may, readers lose their oldest generations first.
    pub(super) fn release_log(&self) -> Result<()> {
        let mut readers = self.readers.lock();
        let covered = self.log_covered.load(Ordering::SeqCst);
        if let Some(from) = self.plan_drop(&readers, covered) {
            let files = self.held_files(covered);
            let dropped: Vec<(u64, u64)> = files
                .iter()
                .filter(|file| file.last_sequence < from)
                .map(|file| (file.last_sequence, file.len_bytes))
                .collect();
            let mut edited = readers.clone();
            edited.drop_before(from, &dropped);
            tracing::warn!(
                files = dropped.len(),
                limit_bytes = self.options.reader_backlog_bytes_max,
                "log files are dropped that a reader has not read"
            );
            self.replace_readers(&mut readers, edited)?;
        }
        self.remove_log(&readers)
    }

    /// The frame before which the log has to go, where readers hold too much of it: the first of
    /// a generation.
    fn plan_drop(&self, readers: &Positions, covered: u64) -> Option<u64> {
        let held_from = readers.held_from()?;
        let mut files = self.held_files(covered);
        files.retain(|file| file.last_sequence >= held_from);
        let sum = |files: &[LogFile]| files.iter().map(|file| file.len_bytes).sum::<u64>();
        let limit = self.options.reader_backlog_bytes_max;
        if sum(&files) <= limit {
            return None;
        }
        let mut generation = self.generation_at(held_from);
        for (index, pair) in files.windows(2).enumerate() {
            let first = pair[0].last_sequence + 1;
            let here = self.generation_at(first);
            if here.is_some() && here != generation {
                generation = here;
                if sum(&files[index + 1..]) <= limit {
                    return Some(first);
                }
            }
        }
        Some(covered + 1)
    }

    /// The generation that a frame names, as the first one of each does.
    fn generation_at(&self, sequence: u64) -> Option<u64> {
        let mut decoder = Decoder::default();
        let followed = self.log.follow(&mut Follower::at(sequence), &mut |frame| {
            if frame.sequence == sequence {
                // Later records may need what is before this frame.
                decoder.apply(frame.body, &mut |_| {}).ok();
            }
            ControlFlow::Break(())
        });
        followed.ok()?;
        decoder.generation()
    }

    /// Closed files that a flush covers: only readers keep them.
    fn held_files(&self, covered: u64) -> Vec<LogFile> {
        let mut files = self.log.files();
        files.retain(|file| file.last_sequence <= covered);
        files
    }

    fn remove_log(&self, readers: &Positions) -> Result<()> {
        let covered = self.log_covered.load(Ordering::SeqCst);
        let through = readers
            .held_from()
            .map_or(covered, |from| covered.min(from.saturating_sub(1)));
        self.log.remove_covered(through)?;
        Ok(())
    }

    fn replace_readers(&self, readers: &mut Positions, edited: Positions) -> Result<()> {
        edited.replace(&*self.storage, &self.paths.root)?;
        *readers = edited;
        Ok(())
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::Invalid("a log reader needs a name".to_owned()));
    }
    if name.len() > READER_NAME_BYTES_MAX {
        return Err(Error::Limit {
            what: "bytes of a log reader's name",
            got: name.len() as u64,
            limit: READER_NAME_BYTES_MAX as u64,
        });
    }
    Ok(())
}

/// What one call of [`Reader::read`] has found so far.
struct Found<'a> {
    engine: &'a Engine,
    catalog: Arc<Catalog>,
    /// Of each partition the place among `batches`; `None` where its policy is gone.
    places: HashMap<PartitionId, Option<usize>>,
    policies: Vec<PolicyId>,
    batches: Vec<ReaderPoints>,
    points: usize,
    /// The last frame that was read, 0 where none was.
    read_to: u64,
    deletions: u64,
    catalog_changes: u64,
    rows_gone: u64,
    frames_lost: u64,
    rows_lost: u64,
    /// A row's fields by measurement, kept to reuse its memory.
    fields: Vec<(u32, Vec<(u32, FieldValue)>)>,
}

impl<'a> Found<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self {
            engine,
            catalog: Arc::clone(&engine.state.read().catalog),
            places: HashMap::new(),
            policies: Vec::new(),
            batches: Vec::new(),
            points: 0,
            read_to: 0,
            deletions: 0,
            catalog_changes: 0,
            rows_gone: 0,
            frames_lost: 0,
            rows_lost: 0,
            fields: Vec::new(),
        }
    }

    fn add(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Row(row) => self.add_row(&row),
            Entry::Deletion => self.deletions += 1,
            Entry::Gap => self.frames_lost += 1,
            Entry::Catalog => {
                self.catalog_changes += 1;
                // A policy that was not there a moment ago may be now.
                self.places.retain(|_, place| place.is_some());
                self.catalog = Arc::clone(&self.engine.state.read().catalog);
            }
        }
    }

    fn add_row(&mut self, row: &Row<'_>) {
        let Some(place) = self.place(row) else {
            self.rows_gone += 1;
            return;
        };
        let batch = &mut self.batches[place].batch;
        let tags = batch.tag_set(row.tags);
        let mut measurements = 0;
        for (column, value) in row.values() {
            let measurement = batch.name(&column.measurement);
            let field = batch.name(&column.field);
            let used = &mut self.fields[..measurements];
            let at = match used.iter().rposition(|(there, _)| *there == measurement) {
                Some(at) => at,
                None => {
                    if self.fields.len() == measurements {
                        self.fields.push((measurement, Vec::new()));
                    }
                    self.fields[measurements].0 = measurement;
                    measurements += 1;
                    measurements - 1
                }
            };
            self.fields[at].1.push((field, value));
        }
        for (measurement, fields) in &mut self.fields[..measurements] {
            batch.push(*measurement, tags, Timestamp(row.time), fields.drain(..));
        }
        self.points += measurements;
    }

    fn place(&mut self, row: &Row<'_>) -> Option<usize> {
        if let Some(place) = self.places.get(&row.partition) {
            return *place;
        }
        let there = || {
            Some(
                self.engine
                    .state
                    .read()
                    .partitions
                    .get(&row.partition)?
                    .policy,
            )
        };
        let place = row.policy.or_else(there).and_then(|policy| {
            if let Some(place) = self.policies.iter().position(|there| *there == policy) {
                return Some(place);
            }
            let (database, terms) = self.catalog.policy_by_id(policy)?;
            self.policies.push(policy);
            self.batches.push(ReaderPoints {
                database: database.name.clone(),
                policy: terms.name.clone(),
                batch: Batch::default(),
            });
            Some(self.batches.len() - 1)
        });
        self.places.insert(row.partition, place);
        place
    }

    fn finish(self, from: u64) -> Option<ReaderBatch> {
        (self.read_to > 0).then_some(ReaderBatch {
            points: self.batches,
            position: ReaderPosition {
                sequence: self.read_to,
                from,
            },
            deletions: self.deletions,
            catalog_changes: self.catalog_changes,
            rows_gone: self.rows_gone,
            frames_lost: self.frames_lost,
            rows_lost: self.rows_lost,
        })
    }
}
