//! The manifest: which segments exist, what of the log they cover, and the catalog.
//!
//! One checksummed file, replaced atomically by every edit. A file that it does not name is
//! removed at start. Byte tables are in docs/format.md.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_wal::storage::{ReadMode, Storage};

use crate::Result;
use crate::catalog::{Catalog, ContinuousQuery, Database, DatabaseId, Policy, PolicyId, Retention};
use crate::envelope::Envelope;
use crate::log::{put_subscription, subscription};
use crate::model::Timestamp;
use crate::partition::{Mask, PartitionId};
use crate::segment::SegmentFacts;
use crate::tombstone::Tombstone;
use crate::varint::{Reader, put, put_signed, put_text};

/// The file's name in the data directory.
pub(crate) const FILE: &str = "MANIFEST";
const TEMPORARY: &str = "MANIFEST.new";
/// The format this program writes, and the newest it reads.
pub const FORMAT: u32 = 3;
const ENVELOPE: Envelope = Envelope {
    what: "manifest",
    magic: b"PLIMMANI",
    format: FORMAT,
};

/// A partition as the manifest names it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PartitionEntry {
    pub(crate) id: PartitionId,
    pub(crate) policy: PolicyId,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Lowest rank first.
    pub(crate) segments: Vec<SegmentEntry>,
    pub(crate) masks: Vec<Mask>,
}

/// A segment as the manifest names it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SegmentEntry {
    pub(crate) id: u64,
    pub(crate) rank_low: u64,
    pub(crate) rank_high: u64,
    pub(crate) facts: SegmentFacts,
}

/// The whole state that is not in the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Manifest {
    /// The format of the file; 0 where there is none yet.
    pub(crate) format: u32,
    /// Counts edits.
    pub(crate) edit: u64,
    /// Frames up to this sequence are in segments.
    pub(crate) log_covered: u64,
    /// The generation that comes after the last flushed one.
    pub(crate) next_generation: u64,
    pub(crate) next_partition: u64,
    pub(crate) next_segment: u64,
    pub(crate) catalog: Catalog,
    pub(crate) partitions: Vec<PartitionEntry>,
}

impl Manifest {
    /// Reads the manifest; `None` where there is none yet.
    ///
    /// # Errors
    /// `Corrupt`, `NewerFormat`, `Io`.
    pub(crate) fn read(storage: &dyn Storage, directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(FILE);
        if !storage.exists(&path)? {
            return Ok(None);
        }
        let region = storage.region(&path, ReadMode::Pread)?;
        decode(&region, &path).map(Some)
    }

    /// Replaces the manifest: written aside, synced, renamed, directory synced. Answers its length.
    ///
    /// # Errors
    /// `Io`; the old manifest stands.
    pub(crate) fn replace(&self, storage: &dyn Storage, directory: &Path) -> Result<u64> {
        let temporary = directory.join(TEMPORARY);
        if storage.exists(&temporary)? {
            storage.remove(&temporary)?;
        }
        let file = storage.create(&temporary)?;
        let bytes = self.encode();
        file.write_at(0, &bytes)?;
        file.sync()?;
        storage.rename(&temporary, &directory.join(FILE))?;
        storage.sync_directory(directory)?;
        Ok(bytes.len() as u64)
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for number in [
            self.edit,
            self.log_covered,
            self.next_generation,
            self.next_partition,
            self.next_segment,
        ] {
            put(&mut body, number);
        }
        put_catalog(&mut body, &self.catalog);
        put(&mut body, self.partitions.len() as u64);
        for partition in &self.partitions {
            put(&mut body, partition.id.0);
            put(&mut body, partition.policy.0);
            put_signed(&mut body, partition.start);
            put_signed(&mut body, partition.end);
            put(&mut body, partition.segments.len() as u64);
            for segment in &partition.segments {
                put_segment(&mut body, segment);
            }
            put(&mut body, partition.masks.len() as u64);
            for mask in &partition.masks {
                mask.tombstone.encode(&mut body);
                put(&mut body, mask.clean.len() as u64);
                for segment in &mask.clean {
                    put(&mut body, *segment);
                }
            }
        }
        ENVELOPE.seal(&body)
    }
}

fn put_catalog(out: &mut Vec<u8>, catalog: &Catalog) {
    put(out, catalog.version);
    put(out, catalog.next_id);
    put(out, catalog.databases.len() as u64);
    for database in catalog.databases.values() {
        put(out, database.id.0);
        put_text(out, &database.name);
        put_text(out, &database.default_policy);
        put(out, database.policies.len() as u64);
        for policy in &database.policies {
            put(out, policy.id.0);
            put_text(out, &policy.name);
            put_signed(out, policy.retention.as_ns());
            put_signed(out, policy.shard_duration_ns);
            put(out, u64::from(policy.replication));
            put(out, policy.subscriptions.len() as u64);
            for subscription in &policy.subscriptions {
                put_subscription(out, subscription);
            }
        }
        put(out, database.continuous_queries.len() as u64);
        for query in &database.continuous_queries {
            put_text(out, &query.name);
            put_text(out, &query.text);
            out.push(u8::from(query.last_run.is_some()));
            if let Some(last_run) = query.last_run {
                put_signed(out, last_run.0);
            }
        }
    }
}

fn put_segment(out: &mut Vec<u8>, segment: &SegmentEntry) {
    put(out, segment.id);
    put(out, segment.rank_low);
    put(out, segment.rank_high);
    put(out, segment.facts.len_bytes);
    put(out, u64::from(segment.facts.footer_crc));
    put(out, segment.facts.points);
    put(out, u64::from(segment.facts.tag_sets));
    put_signed(out, segment.facts.first.0);
    put_signed(out, segment.facts.last.0);
}

fn decode(bytes: &[u8], path: &Path) -> Result<Manifest> {
    ENVELOPE.open(bytes, path, manifest)
}

/// The format that first had tombstones.
const FORMAT_WITH_TOMBSTONES: u32 = 2;
/// The format that first had continuous queries and subscriptions.
const FORMAT_WITH_QUERIES: u32 = 3;

fn manifest(reader: &mut Reader<'_>, format: u32) -> Option<Manifest> {
    let mut manifest = Manifest {
        format,
        edit: reader.varint()?,
        log_covered: reader.varint()?,
        next_generation: reader.varint()?,
        next_partition: reader.varint()?,
        next_segment: reader.varint()?,
        catalog: catalog(reader, format)?,
        partitions: Vec::new(),
    };
    for _ in 0..reader.count(5)? {
        let mut partition = PartitionEntry {
            id: PartitionId(reader.varint()?),
            policy: PolicyId(reader.varint()?),
            start: reader.signed()?,
            end: reader.signed()?,
            segments: Vec::new(),
            masks: Vec::new(),
        };
        for _ in 0..reader.count(9)? {
            partition.segments.push(segment(reader)?);
        }
        if format >= FORMAT_WITH_TOMBSTONES {
            for _ in 0..reader.count(7)? {
                partition.masks.push(mask(reader)?);
            }
        }
        manifest.partitions.push(partition);
    }
    Some(manifest)
}

fn catalog(reader: &mut Reader<'_>, format: u32) -> Option<Catalog> {
    let mut catalog = Catalog {
        version: reader.varint()?,
        next_id: reader.varint()?,
        ..Catalog::default()
    };
    for _ in 0..reader.count(4)? {
        let id = DatabaseId(reader.varint()?);
        let name = reader.text()?.to_owned();
        let default_policy = reader.text()?.to_owned();
        let mut policies = Vec::new();
        for _ in 0..reader.count(5)? {
            let mut policy = Policy {
                id: PolicyId(reader.varint()?),
                name: reader.text()?.to_owned(),
                retention: Retention::from_ns(reader.signed()?),
                shard_duration_ns: reader.signed()?,
                replication: reader.number()?,
                subscriptions: Vec::new(),
            };
            if format >= FORMAT_WITH_QUERIES {
                for _ in 0..reader.count(3)? {
                    policy.subscriptions.push(subscription(reader)?);
                }
            }
            policies.push(policy);
        }
        let mut continuous_queries = Vec::new();
        if format >= FORMAT_WITH_QUERIES {
            for _ in 0..reader.count(3)? {
                continuous_queries.push(continuous_query(reader)?);
            }
        }
        catalog.databases.insert(
            name.clone(),
            Database {
                id,
                name,
                default_policy,
                policies,
                continuous_queries,
            },
        );
    }
    Some(catalog)
}

fn continuous_query(reader: &mut Reader<'_>) -> Option<ContinuousQuery> {
    Some(ContinuousQuery {
        name: reader.text()?.to_owned(),
        text: reader.text()?.to_owned(),
        last_run: match reader.byte()? {
            0 => None,
            1 => Some(Timestamp(reader.signed()?)),
            _ => return None,
        },
    })
}

fn segment(reader: &mut Reader<'_>) -> Option<SegmentEntry> {
    Some(SegmentEntry {
        id: reader.varint()?,
        rank_low: reader.varint()?,
        rank_high: reader.varint()?,
        facts: SegmentFacts {
            len_bytes: reader.varint()?,
            footer_crc: reader.number()?,
            points: reader.varint()?,
            tag_sets: reader.number()?,
            first: Timestamp(reader.signed()?),
            last: Timestamp(reader.signed()?),
        },
    })
}

fn mask(reader: &mut Reader<'_>) -> Option<Mask> {
    let tombstone = Arc::new(Tombstone::decode(reader)?);
    let count = reader.count(1)?;
    let clean = (0..count).map(|_| reader.varint()).collect::<Option<_>>()?;
    Some(Mask { tombstone, clean })
}

/// Where things lie: every path of the data directory is made here.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) root: PathBuf,
}

impl Paths {
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn partitions(&self) -> PathBuf {
        self.root.join("partitions")
    }

    pub(crate) fn partition(&self, id: PartitionId) -> PathBuf {
        self.partitions().join(Self::partition_name(id))
    }

    pub(crate) fn partition_name(id: PartitionId) -> String {
        format!("{:016x}", id.0)
    }

    pub(crate) fn segment(&self, partition: PartitionId, segment: u64) -> PathBuf {
        self.partition(partition).join(Self::segment_name(segment))
    }

    pub(crate) fn segment_name(segment: u64) -> String {
        format!("{segment:016x}.seg")
    }
}
