//! Backing up while everything goes on: hard links of segments, and the log up to a sequence.

use std::path::Path;

use plimsoll_wal::storage::link_or_copy;

use crate::backup::{BackupFile, BackupList};
use crate::manifest::{self, Paths};
use crate::{Error, Result};

use super::Engine;

/// A file that the caller wants in a backup beside the engine's own.
#[derive(Debug, Clone, Copy)]
pub struct Companion<'a> {
    /// Its name in the data directory.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

impl Engine {
    /// Makes a backup in the new directory `to`: everything that was acknowledged before the call,
    /// and nothing by halves. Writes and queries go on; flushes and merges wait until all files
    /// have their second names (or copies, where `to` is on another file system).
    ///
    /// # Errors
    /// `Invalid` where `to` is there; `Storage`: what is in `to` is no backup then, remove it.
    pub fn backup(&self, to: &Path, companions: &[Companion<'_>]) -> Result<BackupList> {
        if self.storage.exists(to)? {
            return Err(Error::Invalid(format!(
                "{} is there already: choose another name",
                to.display()
            )));
        }
        let target = Paths {
            root: to.to_owned(),
        };
        // Held to the end: segments and log files that it names stay.
        let manifest = self.manifest.lock();
        let storage = &*self.storage;
        super::open::make_durable(storage, to)?;
        storage.create_directory(&target.log())?;
        storage.create_directory(&target.partitions())?;
        let mut list = BackupList::default();
        for partition in &manifest.partitions {
            let directory = target.partition(partition.id);
            storage.create_directory(&directory)?;
            for segment in &partition.segments {
                let from = self.paths.segment(partition.id, segment.id);
                link_or_copy(storage, &from, &target.segment(partition.id, segment.id))?;
                list.files.push(BackupFile {
                    path: format!(
                        "partitions/{}/{}",
                        Paths::partition_name(partition.id),
                        Paths::segment_name(segment.id)
                    ),
                    len_bytes: segment.facts.len_bytes,
                });
            }
            storage.sync_directory(&directory)?;
        }
        let (sequence, files) = self.log.copy_to(&target.log(), manifest.log_covered)?;
        list.sequence = sequence.max(manifest.log_covered);
        list.files
            .extend(files.into_iter().map(|(name, len_bytes)| BackupFile {
                path: format!("log/{name}"),
                len_bytes,
            }));
        let len_bytes = manifest.replace(storage, to)?;
        list.files.push(BackupFile {
            path: manifest::FILE.to_owned(),
            len_bytes,
        });
        drop(manifest);
        for companion in companions {
            let file = storage.create(&to.join(companion.name))?;
            file.write_at(0, companion.bytes)?;
            file.sync()?;
            list.files.push(BackupFile {
                path: companion.name.to_owned(),
                len_bytes: companion.bytes.len() as u64,
            });
        }
        for directory in [target.log(), target.partitions()] {
            storage.sync_directory(&directory)?;
        }
        list.write(storage, to)?;
        Ok(list)
    }
}
