//! Making a log with corrupt frames usable again, and saying what is lost.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{
    Epoch, FRAMES_START_BYTES, HEADER_BYTES, Header, SPARE_NAME, create_spare, discard_spare,
};
use super::recovery::{epochs, recover, used_bytes};
use crate::frame::{FRAME_HEADER_BYTES, decode, find, seal};
use crate::storage::{ReadMode, Region, Storage};
use crate::{Error, Result};

/// Appended to the name of a log file that [`repair`] found damaged and set aside.
pub const DAMAGED_SUFFIX: &str = ".damaged";

/// Bytes of a log file that are no sound frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The file; after the repair it has [`DAMAGED_SUFFIX`] behind its name.
    pub path: PathBuf,
    /// Where they start.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
}

/// What [`repair`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// How many frames are kept.
    pub frames: u64,
    /// The bytes that were skipped.
    pub losses: Vec<Loss>,
    /// The sequences of frames that were between others and are gone. (Frames lost at the very end
    /// leave no sequence, only bytes.)
    pub missing: Vec<RangeInclusive<u64>>,
}

/// A sound frame, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Salvaged {
    sequence: u64,
    range: Range<usize>,
}

struct Examined {
    epoch: Epoch,
    path: PathBuf,
    region: Arc<dyn Region>,
    header: Option<Header>,
    frames: Vec<Salvaged>,
    damage: Vec<Range<usize>>,
}

/// Rewrites a log that [`recover`] calls corrupt into one new file, without what does not verify.
///
/// Wherever frames are missing before others, a frame with the body `gap` stands in for them, so
/// that whoever reads bodies knows. Frames with a sequence over `after` that are sound are kept in order; they and the
/// gaps get new sequences from `after + 1`. Damaged files stay beside it under another name. `None` where
/// nothing is corrupt (a torn tail is not), and nothing is changed.
///
/// # Errors
/// [`Error::Io`], [`Error::NewerFormat`]: then the log is as it was.
pub fn repair(
    storage: &Arc<dyn Storage>,
    dir: &Path,
    after: u64,
    gap: &[u8],
) -> Result<Option<Repaired>> {
    match recover(storage, dir, after, &mut |_| Ok::<(), Error>(())) {
        Err(Error::Corrupt { .. }) => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(None),
    }
    let files = examine(storage.as_ref(), dir, after)?;
    let kept = choose(&files, after);
    let latest = epochs(storage.as_ref(), dir)?.last().copied();
    let epoch = Epoch::after(latest).map_err(|_| Error::Limit {
        what: "log epoch",
        got: u64::MAX,
        limit: u64::MAX,
    })?;
    if let Err(error) = rewrite(storage.as_ref(), dir, epoch, (after, gap), &files, &kept) {
        discard_spare(storage.as_ref(), dir);
        return Err(error);
    }
    let repaired = Repaired {
        frames: kept.len() as u64,
        losses: losses(&files),
        missing: missing(&kept, after),
    };
    // From here on the new file is the log. The old ones are covered by what it says of itself.
    for file in files.iter().filter(|file| !file.damage.is_empty()) {
        let mut aside = file.path.clone().into_os_string();
        aside.push(DAMAGED_SUFFIX);
        storage.rename(&file.path, Path::new(&aside))?;
    }
    storage.sync_directory(dir)?;
    Ok(Some(repaired))
}

/// Reads every file that may hold frames over `after`, oldest first.
fn examine(storage: &dyn Storage, dir: &Path, after: u64) -> Result<Vec<Examined>> {
    let mut files = Vec::new();
    let mut ends = BTreeMap::new();
    for epoch in epochs(storage, dir)?.into_iter().rev() {
        let path = dir.join(epoch.file_name());
        let header = match Header::read(storage, &path, epoch) {
            Ok(header) => Some(header),
            Err(Error::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(predecessor) = header.and_then(|header| header.predecessor) {
            ends.insert(predecessor.epoch, predecessor.end_bytes);
        }
        let region = storage.region(&path, ReadMode::Pread)?;
        let end_bytes = ends.get(&epoch).copied();
        let (frames, mut damage) = salvage(&region, epoch, end_bytes);
        if header.is_none() {
            damage.insert(0, 0..HEADER_BYTES.min(region.len()));
        }
        files.push(Examined {
            epoch,
            path,
            region,
            header,
            frames,
            damage,
        });
        if header.is_some_and(|header| header.first_sequence <= after.saturating_add(1)) {
            break;
        }
    }
    files.reverse();
    Ok(files)
}

/// The sound frames of a file and the bytes between them, up to where its successor says it ends.
fn salvage(
    bytes: &[u8],
    epoch: Epoch,
    end_bytes: Option<u64>,
) -> (Vec<Salvaged>, Vec<Range<usize>>) {
    let (mut frames, mut damage): (Vec<Salvaged>, Vec<Range<usize>>) = Default::default();
    let recorded_end = end_bytes.map(|end| usize::try_from(end).unwrap_or(usize::MAX));
    let until = recorded_end.map_or_else(|| used_bytes(bytes), |end| end.min(bytes.len()));
    let mut at = HEADER_BYTES;
    while let Some((offset, frame, len)) = find(bytes, at..until, epoch.0) {
        if offset > at {
            damage.push(at..offset);
        }
        at = offset + len;
        if frames
            .last()
            .is_none_or(|last| last.sequence < frame.sequence)
        {
            frames.push(Salvaged {
                sequence: frame.sequence,
                range: offset..at,
            });
        }
    }
    let end = recorded_end.unwrap_or(until);
    if at < end {
        damage.push(at..end);
    }
    (frames, damage)
}

/// The frames to keep, in order: (file, frame). A later file's frames stand in for those of the
/// same sequences in an earlier one, which were cut off when it was made.
fn choose(files: &[Examined], after: u64) -> Vec<(usize, &Salvaged)> {
    let mut bound = u64::MAX;
    let mut kept = Vec::new();
    for (index, file) in files.iter().enumerate().rev() {
        let wanted = |frame: &&Salvaged| frame.sequence > after && frame.sequence < bound;
        kept.extend(
            file.frames
                .iter()
                .rev()
                .filter(wanted)
                .map(|frame| (index, frame)),
        );
        let first = file.frames.first().map(|frame| frame.sequence);
        let start = file.header.map(|header| header.first_sequence).or(first);
        bound = bound.min(start.unwrap_or(u64::MAX));
    }
    kept.reverse();
    kept
}

fn rewrite(
    storage: &dyn Storage,
    dir: &Path,
    epoch: Epoch,
    (after, gap): (u64, &[u8]),
    files: &[Examined],
    kept: &[(usize, &Salvaged)],
) -> Result<()> {
    let header = Header {
        epoch,
        first_sequence: after.saturating_add(1),
        predecessor: None,
    };
    let new = create_spare(storage, dir)?;
    new.write_at(0, &header.encode())?;
    let mut at = FRAMES_START_BYTES;
    let mut buffer = Vec::new();
    let mut sequence = after;
    // The file gets its name only once all of it is durable, so each frame may say so.
    let mut append = |body: &[u8]| {
        buffer.clear();
        buffer.resize(FRAME_HEADER_BYTES, 0);
        buffer.extend_from_slice(body);
        sequence += 1;
        seal(&mut buffer, epoch.0, sequence, sequence - 1)?;
        new.write_at(at, &buffer)?;
        at += buffer.len() as u64;
        Ok::<(), Error>(())
    };
    let mut last = after;
    for &(index, frame) in kept {
        if frame.sequence > last.saturating_add(1) {
            append(gap)?;
        }
        last = frame.sequence;
        let file = &files[index];
        let (old, _) = decode(&file.region[frame.range.clone()], file.epoch.0)
            .expect("the same bytes were a frame when they were examined");
        append(old.body)?;
    }
    new.sync()?;
    storage.rename(&dir.join(SPARE_NAME), &dir.join(epoch.file_name()))?;
    storage.sync_directory(dir)
}

fn losses(files: &[Examined]) -> Vec<Loss> {
    let each = files.iter().flat_map(|file| {
        file.damage.iter().map(|range| Loss {
            path: file.path.clone(),
            offset: range.start as u64,
            bytes: range.len() as u64,
        })
    });
    each.collect()
}

fn missing(kept: &[(usize, &Salvaged)], after: u64) -> Vec<RangeInclusive<u64>> {
    let mut missing = Vec::new();
    let mut last = after;
    for (_, frame) in kept {
        if frame.sequence > last.saturating_add(1) {
            missing.push(last + 1..=frame.sequence - 1);
        }
        last = frame.sequence;
    }
    missing
}
