//! The entries of directories: as they are now, as they are durable, and the changes between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Coins;

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    File(u64),
    Directory,
}

/// A change that is not durable before its directory is synced.
///
/// Each stands alone: what it puts in place is in it, so that any subset can have reached the disk.
#[derive(Debug, Clone)]
enum Change {
    Link(PathBuf, Node),
    Unlink(PathBuf),
    /// The entries that move, each from where to where. One change: a rename is atomic.
    Rename(Vec<(PathBuf, PathBuf, Node)>),
}

pub(super) type Entries = BTreeMap<PathBuf, Node>;

impl Change {
    fn apply(&self, entries: &mut Entries) {
        match self {
            Self::Link(path, node) => {
                entries.insert(path.clone(), *node);
            }
            Self::Unlink(path) => {
                entries.remove(path);
            }
            Self::Rename(moves) => {
                for (from, to, node) in moves {
                    entries.remove(from);
                    entries.insert(to.clone(), *node);
                }
            }
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        let inside = |path: &Path| path.parent() == Some(directory);
        match self {
            Self::Link(path, _) | Self::Unlink(path) => inside(path),
            Self::Rename(moves) => moves
                .first()
                .is_some_and(|(f, t, _)| inside(f) || inside(t)),
        }
    }
}

/// All names of a disk, by plain path. The root, the empty path, is always there.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    now: Entries,
    durable: Entries,
    changes: Vec<Change>,
}

impl Names {
    pub(super) fn find(&self, path: &Path) -> Option<Node> {
        if path.as_os_str().is_empty() {
            return Some(Node::Directory);
        }
        self.now.get(path).copied()
    }

    pub(super) fn has_parent(&self, path: &Path) -> bool {
        let parent = path.parent();
        parent.is_some_and(|parent| self.find(parent) == Some(Node::Directory))
    }

    pub(super) fn list(&self, directory: &Path) -> Option<Vec<String>> {
        if self.find(directory) != Some(Node::Directory) {
            return None;
        }
        let inside = self
            .now
            .keys()
            .filter(|path| path.parent() == Some(directory));
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Some(names.collect())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }

    pub(super) fn link(&mut self, path: &Path, node: Node) {
        self.change(Change::Link(path.to_owned(), node));
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        self.change(Change::Unlink(path.to_owned()));
    }

    pub(super) fn unlink_tree(&mut self, top: &Path) {
        let inside = self.now.keys().filter(|path| path.starts_with(top));
        let mut paths: Vec<PathBuf> = inside.cloned().collect();
        paths.reverse(); // children stand after their parents
        for path in paths {
            self.change(Change::Unlink(path));
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        let inside = self.now.iter().filter(|(path, _)| path.starts_with(from));
        let moves = inside.map(|(path, &node)| {
            let below = path.strip_prefix(from).expect("it starts with it");
            let target = if below.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(below)
            };
            (path.clone(), target, node)
        });
        let moves = moves.collect();
        self.change(Change::Rename(moves));
    }

    pub(super) fn sync(&mut self, directory: &Path) {
        let durable = &mut self.durable;
        self.changes.retain(|change| {
            let synced = change.is_in(directory);
            if synced {
                change.apply(durable);
            }
            !synced
        });
    }

    pub(super) fn put_durable(&mut self, path: &Path, node: Node) {
        let parents = path
            .ancestors()
            .skip(1)
            .filter(|p| !p.as_os_str().is_empty());
        for parent in parents {
            self.now.insert(parent.to_owned(), Node::Directory);
            self.durable.insert(parent.to_owned(), Node::Directory);
        }
        self.now.insert(path.to_owned(), node);
        self.durable.insert(path.to_owned(), node);
    }

    /// The entries that a crash leaves. What lies in a directory that was lost is lost.
    pub(super) fn survivors(&self, coins: &mut Coins) -> Self {
        let mut entries = self.durable.clone();
        for change in &self.changes {
            if coins.throw() {
                change.apply(&mut entries);
            }
        }
        let mut reachable = Entries::new();
        for (path, node) in entries {
            let parent = path.parent().expect("the root is no entry");
            let is_root = parent.as_os_str().is_empty();
            if is_root || reachable.get(parent) == Some(&Node::Directory) {
                reachable.insert(path, node);
            }
        }
        Self {
            now: reachable.clone(),
            durable: reachable,
            changes: Vec::new(),
        }
    }

    /// The entries as they are now.
    pub(super) fn now(&self) -> &Entries {
        &self.now
    }

    /// The files that an entry leads to, now or after any crash.
    pub(super) fn inodes(&self) -> BTreeSet<u64> {
        let mut inodes = BTreeSet::new();
        let mut add = |node: &Node| {
            if let Node::File(number) = node {
                inodes.insert(*number);
            }
        };
        self.now
            .values()
            .chain(self.durable.values())
            .for_each(&mut add);
        for change in &self.changes {
            match change {
                Change::Link(_, node) => add(node),
                Change::Unlink(_) => {}
                Change::Rename(moves) => moves.iter().for_each(|(_, _, node)| add(node)),
            }
        }
        inodes
    }
}
