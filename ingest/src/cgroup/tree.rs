//! Which cgroups there are, in v1's hierarchies or in v2's one.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plimsoll_engine::Timestamp;

use super::path;
use super::read;
use super::stats::{self, Stats};

/// How deep cgroups may lie.
const DEPTH_MAX: usize = 32;

/// How cgroups are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// One tree.
    V2(PathBuf),
    /// A tree for each controller; those that are mounted.
    V1(Controllers),
}

/// The trees of v1 that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Controllers {
    pub(super) memory: Option<PathBuf>,
    pub(super) cpuacct: Option<PathBuf>,
    pub(super) cpu: Option<PathBuf>,
    pub(super) blkio: Option<PathBuf>,
    pids: Option<PathBuf>,
    systemd: Option<PathBuf>,
}

impl Controllers {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [
            &self.memory,
            &self.cpuacct,
            &self.cpu,
            &self.blkio,
            &self.pids,
            &self.systemd,
        ]
        .into_iter()
        .flatten()
    }
}

/// All cgroups of the machine that are of use.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    /// By path.
    pub(super) leaves: Vec<Leaf>,
    /// All processes of the machine.
    pub(super) processes: u64,
    /// Whether there were more than [`super::CGROUPS_MAX`].
    pub(super) is_cut: bool,
}

/// A cgroup that is a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    /// From the root of cgroups, with a `/` before it.
    pub(super) path: String,
    /// How many processes it and what lies below it hold.
    pub(super) processes: u64,
    /// One of them.
    pub(super) pid: u32,
}

/// The processes of one cgroup itself.
#[derive(Debug, Clone, Copy, Default)]
struct Processes {
    count: u64,
    first: u32,
}

impl Hierarchy {
    /// Finds out how cgroups are mounted at `root`.
    pub(super) fn find(root: &Path) -> Option<Self> {
        if root.join("cgroup.controllers").exists() {
            return Some(Self::V2(root.to_owned()));
        }
        let mounted = |names: &[&str]| {
            names
                .iter()
                .map(|name| root.join(name))
                .find(|path| path.join("cgroup.procs").exists())
        };
        let controllers = Controllers {
            memory: mounted(&["memory"]),
            cpuacct: mounted(&["cpuacct", "cpu,cpuacct", "cpuacct,cpu"]),
            cpu: mounted(&["cpu", "cpu,cpuacct", "cpuacct,cpu"]),
            blkio: mounted(&["blkio"]),
            pids: mounted(&["pids"]),
            systemd: mounted(&["systemd"]),
        };
        controllers.all().next()?;
        Some(Self::V1(controllers))
    }

    pub(super) fn version(&self) -> &'static str {
        match self {
            Self::V2(_) => "cgroup v2",
            Self::V1(_) => "cgroup v1",
        }
    }

    fn roots(&self) -> Vec<&PathBuf> {
        match self {
            Self::V2(root) => vec![root],
            Self::V1(controllers) => controllers.all().collect(),
        }
    }

    /// Walks all trees; a path that stands in several is one.
    pub(super) fn walk(&self) -> Tree {
        let mut cgroups = BTreeMap::new();
        let mut tree = Tree::default();
        for root in self.roots() {
            let mut processes = 0;
            let mut todo = vec![(String::from("/"), 0)];
            let mut seen = 0;
            while let Some((path, depth)) = todo.pop() {
                seen += 1;
                if seen > super::CGROUPS_MAX {
                    tree.is_cut = true;
                    break;
                }
                let folder = folder(root, &path);
                let own = processes_of(&folder);
                processes += own.count;
                let known: &mut Processes = cgroups.entry(path.clone()).or_default();
                if known.count == 0 {
                    *known = own;
                }
                if depth < DEPTH_MAX {
                    let before = path.trim_end_matches('/');
                    let below = subfolders(&folder);
                    todo.extend(below.map(|name| (format!("{before}/{name}"), depth + 1)));
                }
            }
            tree.processes = tree.processes.max(processes);
        }
        tree.leaves = leaves(&cgroups);
        tree
    }

    /// What a cgroup uses; nothing where it is gone.
    pub(super) fn stats(&self, path: &str) -> Option<Stats> {
        self.made(path)?;
        Some(match self {
            Self::V2(root) => stats::of_v2(&folder(root, path)),
            Self::V1(controllers) => stats::of_v1(controllers, path),
        })
    }

    /// The inode of a cgroup's folder, and when it was made.
    pub(super) fn made(&self, path: &str) -> Option<(u64, Timestamp)> {
        let metadata = self
            .roots()
            .into_iter()
            .find_map(|root| folder(root, path).metadata().ok())?;
        let time_ns = metadata
            .ctime()
            .checked_mul(1_000_000_000)?
            .checked_add(metadata.ctime_nsec())?;
        Some((metadata.ino(), Timestamp(time_ns)))
    }
}

/// The folder of the cgroup at `path`.
pub(super) fn folder(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn subfolders(folder: &Path) -> impl Iterator<Item = String> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
}

fn processes_of(folder: &Path) -> Processes {
    let text = read::text(&folder.join("cgroup.procs")).unwrap_or_default();
    let mut processes = Processes::default();
    for pid in text.lines() {
        // A process of another pid namespace is 0.
        if processes.first == 0 {
            processes.first = pid.parse().unwrap_or(0);
        }
        processes.count += 1;
    }
    processes
}

/// Which cgroups are rows: containers with all that lies below them, and of the rest those that
/// hold a process and no cgroup that does.
fn leaves(cgroups: &BTreeMap<String, Processes>) -> Vec<Leaf> {
    let mut rows: BTreeMap<&str, Leaf> = BTreeMap::new();
    let mut inner = std::collections::BTreeSet::new();
    for (cgroup, processes) in cgroups {
        if cgroup == "/" || processes.count == 0 {
            continue;
        }
        let row = path::container_root(cgroup).unwrap_or(cgroup);
        rows.entry(row)
            .and_modify(|leaf| {
                leaf.processes += processes.count;
                if leaf.pid == 0 {
                    leaf.pid = processes.first;
                }
            })
            .or_insert_with(|| Leaf {
                path: row.to_owned(),
                processes: processes.count,
                pid: processes.first,
            });
        let mut parent = row;
        while let Some((above, _)) = parent.rsplit_once('/') {
            parent = above;
            inner.insert(parent);
        }
    }
    rows.into_iter()
        .filter(|(path, _)| !inner.contains(path) && !path::is_slice(path))
        .map(|(_, leaf)| leaf)
        .collect()
}
