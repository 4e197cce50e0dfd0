//! This machine's own cgroups, v1 and v2, to points.
//!
//! The machine is a row of type `node`; every leaf that holds a process is a row of type
//! `sys_container`, and an engine's container is a leaf whatever it made below itself. A cgroup
//! may vanish at any moment: what cannot be read is absent, never an error.

mod engine;
mod machine;
mod network;
pub(crate) mod path;
mod read;
mod sockets;
mod stats;
mod tree;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use hashbrown::HashMap;
use plimsoll_engine::Timestamp;
use plimsoll_engine::model::Batch;

use self::engine::Engines;
pub use self::sockets::{Protocol, Socket};
use self::stats::Stats;
use self::tree::{Hierarchy, Leaf};
use crate::choice::SeriesSet;
use crate::labels;
use crate::names::{Place, Series, Subject, Writer, stored};

/// How many cgroups are looked at in one collection.
pub const CGROUPS_MAX: usize = 20_000;

/// Where the kernel and the engines show what they do; tests give folders of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Paths {
    /// Where cgroups are mounted: itself v2, or a folder of v1's controllers.
    pub cgroup: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// The root of the machine's file system.
    pub root: PathBuf,
    /// Docker's containers, whose names are read there.
    pub docker: PathBuf,
    /// Podman's storage.
    pub podman: PathBuf,
    /// containerd's tasks, in a folder for each of its namespaces.
    pub containerd: PathBuf,
    /// Where engines say how their containers are called.
    pub sockets: Vec<Socket>,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            cgroup: "/sys/fs/cgroup".into(),
            proc: "/proc".into(),
            sys: "/sys".into(),
            root: "/".into(),
            docker: "/var/lib/docker/containers".into(),
            podman: "/var/lib/containers/storage".into(),
            containerd: "/run/containerd/io.containerd.runtime.v2.task".into(),
            sockets: Socket::usual(),
        }
    }
}

/// What a collection found.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// The points.
    pub batch: Batch,
    /// What is wrong with the machine's cgroups, in words for its operator.
    pub warnings: Vec<String>,
    /// How many values are not in the points, as their series are left out.
    pub not_chosen: usize,
}

/// Reads this machine's cgroups, again and again.
#[derive(Debug)]
pub struct Collector {
    paths: Paths,
    place: Place,
    /// Labels of containers that become tags; `*` at the end stands for the rest.
    label_tags: Vec<String>,
    wanted: SeriesSet,
    engines: Engines,
    /// When each cgroup was made, by its path, with its inode: the kernel may forget the time of
    /// an inode that it drops from its cache, so the earliest that was seen counts.
    created: HashMap<String, Created>,
    devices: HashMap<String, String>,
}

#[derive(Debug, Clone, Copy)]
struct Created {
    inode: u64,
    time: Timestamp,
    seen: Timestamp,
}

impl Collector {
    /// A collector of the machine that `paths` show, under `hostname`.
    #[must_use]
    pub fn new(paths: Paths, hostname: &str, cluster_name: &str, label_tags: &[String]) -> Self {
        let place = Place {
            cluster_name: cluster_name.to_owned(),
            nodename: hostname.to_owned(),
            hostname: hostname.to_owned(),
        };
        Self {
            engines: Engines::new(&paths),
            paths,
            place,
            label_tags: label_tags.to_vec(),
            wanted: SeriesSet::ALL,
            created: HashMap::new(),
            devices: HashMap::new(),
        }
    }

    /// The same, which leaves out all but these series.
    #[must_use]
    pub fn choosing(self, wanted: SeriesSet) -> Self {
        Self { wanted, ..self }
    }

    /// Which version of cgroups is mounted, in a word for the operator; nothing where none is.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        Hierarchy::find(&self.paths.cgroup).map(|hierarchy| hierarchy.version())
    }

    /// Reads all, at the time `now`.
    pub fn collect(&mut self, now: Timestamp) -> Collected {
        let mut warnings = Vec::new();
        let mut writer = Writer::choosing(Batch::default(), self.wanted);
        let hierarchy = Hierarchy::find(&self.paths.cgroup);
        let tree = match &hierarchy {
            Some(hierarchy) => hierarchy.walk(),
            None => {
                warnings.push(format!(
                    "no cgroups are mounted at {}: only the machine itself is collected",
                    self.paths.cgroup.display()
                ));
                tree::Tree::default()
            }
        };
        if tree.is_cut {
            warnings.push(format!(
                "more than {CGROUPS_MAX} cgroups: the rest is left out"
            ));
        }
        self.machine(hierarchy.as_ref(), tree.processes, now, &mut writer);
        if let Some(hierarchy) = &hierarchy {
            self.leaves(hierarchy, &tree.leaves, now, &mut writer);
        }
        self.created.retain(|_, created| created.seen == now);
        Collected {
            not_chosen: writer.not_chosen(),
            batch: writer.finish(),
            warnings,
        }
    }

    fn machine(
        &mut self,
        hierarchy: Option<&Hierarchy>,
        processes: u64,
        now: Timestamp,
        writer: &mut Writer,
    ) {
        let mut stats = machine::stats(&self.paths, hierarchy);
        if hierarchy.is_some() {
            stats.processes = Some(processes);
        }
        let tag_set = writer.tag_set(&self.place.tags(Subject::Node, &[]));
        stats.write(tag_set, now, writer);
        self.write_disks(&stats, Subject::Node, now, writer);
        if let Some(network) = network::of_machine(&self.paths) {
            network.write(tag_set, now, writer);
        }
        if let Some(fs) = machine::file_system(&self.paths.root) {
            let tags = self.place.tags(Subject::Node, &[("resource_id", "/")]);
            let tag_set = writer.tag_set(&tags);
            for (series, value) in fs {
                writer.value(series, tag_set, now, stored(value));
            }
        }
    }

    fn leaves(
        &mut self,
        hierarchy: &Hierarchy,
        leaves: &[Leaf],
        now: Timestamp,
        writer: &mut Writer,
    ) {
        let created: Vec<Option<Timestamp>> = leaves
            .iter()
            .map(|leaf| self.created(leaf, hierarchy, now))
            .collect();
        let networks = network::of_leaves(&self.paths, leaves, &created);
        let names = self.engines.names(leaves, now);
        for (index, leaf) in leaves.iter().enumerate() {
            let Some(mut stats) = hierarchy.stats(&leaf.path) else {
                continue;
            };
            stats.processes = Some(leaf.processes);
            stats.uptime_ms = created[index].map(|created| {
                let uptime_ms = now.0.saturating_sub(created.0) / 1_000_000;
                u64::try_from(uptime_ms).unwrap_or(0)
            });
            let named = &names[index];
            let subject = Subject::SysContainer {
                name: &named.name,
                id: path::container_id(&leaf.path).unwrap_or_default(),
                image: &named.image,
            };
            let more: Vec<(&str, &str)> = named
                .labels
                .iter()
                .filter(|(key, value)| {
                    labels::any(&self.label_tags, key) && value.len() <= labels::LABEL_BYTES_MAX
                })
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            let tag_set = writer.tag_set(&self.place.tags(subject, &more));
            stats.write(tag_set, now, writer);
            self.write_disks(&stats, subject, now, writer);
            if let Some(network) = networks.get(&index) {
                network.write(tag_set, now, writer);
            }
        }
    }

    /// When a cgroup was made, as far as was ever seen.
    fn created(&mut self, leaf: &Leaf, hierarchy: &Hierarchy, now: Timestamp) -> Option<Timestamp> {
        let (inode, time) = hierarchy.made(&leaf.path)?;
        let fresh = Created {
            inode,
            time,
            seen: now,
        };
        let created = self.created.entry_ref(leaf.path.as_str()).or_insert(fresh);
        if created.inode != inode {
            *created = fresh;
        }
        created.time = created.time.min(time);
        created.seen = now;
        Some(created.time)
    }

    fn write_disks(
        &mut self,
        stats: &Stats,
        subject: Subject<'_>,
        now: Timestamp,
        writer: &mut Writer,
    ) {
        for disk in &stats.disks {
            let device = self
                .devices
                .entry_ref(disk.device.as_str())
                .or_insert_with(|| machine::device_name(&self.paths.sys, &disk.device));
            if !writer.takes_any(&[Series::DiskRead, Series::DiskWrite]) {
                writer.leave_out(2);
                continue;
            }
            let tags = self.place.tags(subject, &[("resource_id", device)]);
            let tag_set = writer.tag_set(&tags);
            for (series, bytes) in [
                (Series::DiskRead, disk.read_bytes),
                (Series::DiskWrite, disk.written_bytes),
            ] {
                writer.value(series, tag_set, now, stored(bytes));
            }
        }
    }
}
