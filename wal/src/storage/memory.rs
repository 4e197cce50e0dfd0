//! A disk in memory that can be broken on purpose, for the tests of every crate.
//!
//! Owns a model of what a real disk keeps: for each file the bytes now and the bytes as of the last
//! sync, for each directory the entries now and those as of its last sync. Every operation is
//! counted; operation N can fail, or the power can be cut there, and [`Memory::survivors`] is the
//! disk that is found afterwards. It never touches the real one.
//!
//! ```
//! use std::path::Path;
//! use plimsoll_wal::storage::memory::{Memory, Survivors, Unsynced};
//! use plimsoll_wal::storage::Storage;
//!
//! let memory = Memory::new();
//! let file = memory.create(Path::new("a")).unwrap();
//! file.write_at(0, b"synced").unwrap();
//! file.sync().unwrap();
//! memory.sync_directory(Path::new("")).unwrap();
//! file.write_at(0, b"UNSYNC").unwrap();
//! memory.cut_at(memory.operations());
//! assert!(file.sync().is_err());
//!
//! let found = memory.survivors(Survivors { bytes: Unsynced::Dropped, entries: Unsynced::Dropped });
//! assert_eq!(found.bytes(Path::new("a")).unwrap(), b"synced");
//! ```

mod file;
mod names;
mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use self::file::MemoryFile;
use self::names::{Names, Node};
use self::pages::Pages;
use super::disk::Copied;
use super::{DirectoryLock, File, ReadMode, Region, Storage};
use crate::{Error, Result};

/// What becomes of something that was written and not synced when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// All of it had reached the disk.
    Kept,
    /// None of it had.
    Dropped,
    /// Some had, in any order: each 512-byte sector, or each change of a directory, by a coin
    /// thrown from this seed.
    Torn(u64),
    /// As `Torn`, by 4 KiB pages.
    TornPages(u64),
    /// Exactly those sectors (or directory changes) whose bit is set, counted from the first
    /// that is unsynced: to try every subset. What is past the 64th is dropped.
    Subset(u64),
}

/// What a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survivors {
    /// Unsynced bytes and lengths of files.
    pub bytes: Unsynced,
    /// Unsynced creations, renames, links and removals in directories.
    pub entries: Unsynced,
}

/// Decides for each unsynced thing whether it survived.
#[derive(Debug)]
struct Coins {
    policy: Unsynced,
    thrown: u64,
}

impl Coins {
    fn new(policy: Unsynced) -> Self {
        Self { policy, thrown: 0 }
    }

    fn throw(&mut self) -> bool {
        let index = self.thrown;
        self.thrown += 1;
        match self.policy {
            Unsynced::Kept => true,
            Unsynced::Dropped => false,
            Unsynced::Torn(seed) | Unsynced::TornPages(seed) => mix(seed, index) & 1 == 1,
            Unsynced::Subset(mask) => index < 64 && mask >> index & 1 == 1,
        }
    }
}

/// SplitMix64 of the `index`-th step from `seed`.
fn mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    operations: u64,
    faults: BTreeMap<u64, io::ErrorKind>,
    cut_at: Option<u64>,
    capacity_bytes: Option<u64>,
    names: Names,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    locked: BTreeSet<PathBuf>,
}

/// One file's content, whatever its names.
#[derive(Debug, Clone, Default)]
struct Inode {
    now: Pages,
    durable: Pages,
    /// The bytes as of the last sync that failed. The kernel has given those up: a later sync
    /// that succeeds does not make them durable.
    given_up: Option<Pages>,
    /// How many open files lead here: content without a name stays while there are some.
    handles: u64,
}

impl Memory {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations were asked for so far: the number that the next one has.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Lets operation `operation` (counted from 0) fail with `kind`. A write does half its work
    /// before; a sync gives up what it should have made durable; other operations do nothing.
    pub fn fail_at(&self, operation: u64, kind: io::ErrorKind) {
        self.state.lock().faults.insert(operation, kind);
    }

    /// Cuts the power at operation `operation` (counted from 0): it and all after it do nothing
    /// and fail.
    pub fn cut_at(&self, operation: u64) {
        self.state.lock().cut_at = Some(operation);
    }

    /// Limits the sum of all file lengths; past it the disk is full. `None` lifts the limit.
    pub fn limit_bytes(&self, capacity_bytes: Option<u64>) {
        self.state.lock().capacity_bytes = capacity_bytes;
    }

    /// The sum of all file lengths, which [`Memory::limit_bytes`] limits.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes()
    }

    /// The disk as it is found after the power was cut now. Nothing is locked on it, nothing
    /// fails, the count of operations starts again, and everything on it is durable.
    #[must_use]
    pub fn survivors(&self, left: Survivors) -> Self {
        let state = self.state.lock();
        let names = state.names.survivors(&mut Coins::new(left.entries));
        let mut coins = Coins::new(left.bytes);
        let mut inodes = BTreeMap::new();
        for (&number, inode) in &state.inodes {
            let pages = Pages::survivors(&inode.durable, &inode.now, &mut coins);
            inodes.insert(
                number,
                Inode {
                    durable: pages.clone(),
                    now: pages,
                    ..Inode::default()
                },
            );
        }
        let mut found = State {
            names,
            inodes,
            next_inode: state.next_inode,
            ..State::default()
        };
        found.forget_nameless();
        Self {
            state: Arc::new(Mutex::new(found)),
        }
    }

    /// A copy of the disk as a program that is killed leaves it: nothing is lost, nothing synced.
    #[must_use]
    pub fn killed(&self) -> Self {
        let state = self.state.lock();
        let mut found = State {
            names: state.names.clone(),
            inodes: state.inodes.clone(),
            next_inode: state.next_inode,
            ..State::default()
        };
        for inode in found.inodes.values_mut() {
            inode.handles = 0;
        }
        found.forget_nameless();
        Self {
            state: Arc::new(Mutex::new(found)),
        }
    }

    /// Whether two disks that [`Memory::survivors`] left of one read the same: a test that has seen
    /// what becomes of the one need not look at the other.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.state, &other.state) {
            return true;
        }
        let (a, b) = (self.state.lock(), other.state.lock());
        a.names.now() == b.names.now()
            && a.inodes.len() == b.inodes.len()
            && a.inodes
                .iter()
                .zip(&b.inodes)
                .all(|((number, a), (other, b))| number == other && a.now.is_same(&b.now))
    }

    /// The bytes of a file, uncounted; `None` where there is none.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock();
        match state.names.find(&plain(path)) {
            Some(Node::File(number)) => Some(state.inodes[&number].now.to_vec()),
            _ => None,
        }
    }

    /// Puts a durable file in place, with its directories, uncounted.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state.lock();
        let number = state.new_inode();
        let inode = state.inodes.entry(number).or_default();
        inode.now.write(0, bytes);
        inode.durable = inode.now.clone();
        state.names.put_durable(&plain(path), Node::File(number));
        state.forget_nameless();
    }

    fn opened(&self, state: &mut State, inode: u64, path: &Path) -> Box<dyn File> {
        state.inode(inode).handles += 1;
        Box::new(MemoryFile::new(self.clone(), inode, path))
    }

    /// Counts an operation; fails where it is to fail.
    fn begin(&self, op: &'static str, path: &Path) -> Result<parking_lot::MutexGuard<'_, State>> {
        let (state, fault) = self.begin_faulty();
        match fault {
            Some(source) => Err(Error::io(op, path, source)),
            None => Ok(state),
        }
    }

    fn begin_faulty(&self) -> (parking_lot::MutexGuard<'_, State>, Option<io::Error>) {
        let mut state = self.state.lock();
        let operation = state.operations;
        state.operations += 1;
        let fault = if state.is_cut(operation) {
            Some(io::Error::other("the power is cut"))
        } else {
            state.faults.remove(&operation).map(io::Error::from)
        };
        (state, fault)
    }
}

impl State {
    fn is_cut(&self, operation: u64) -> bool {
        self.cut_at.is_some_and(|cut| operation >= cut)
    }

    fn used_bytes(&self) -> u64 {
        self.inodes
            .values()
            .map(|inode| inode.now.len_bytes())
            .sum()
    }

    fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Inode::default());
        self.next_inode
    }

    /// Drops the content that no entry, now or durable, and no open file leads to.
    fn forget_nameless(&mut self) {
        let named = self.names.inodes();
        self.inodes
            .retain(|number, inode| inode.handles > 0 || named.contains(number));
    }

    fn inode(&mut self, number: u64) -> &mut Inode {
        self.inodes.entry(number).or_default()
    }

    /// How far a file may grow towards `len_bytes` on this disk.
    fn grow_limit(&self, number: u64, len_bytes: u64) -> u64 {
        let Some(capacity_bytes) = self.capacity_bytes else {
            return len_bytes;
        };
        let own_bytes = self
            .inodes
            .get(&number)
            .map_or(0, |inode| inode.now.len_bytes());
        let free_bytes = capacity_bytes.saturating_sub(self.used_bytes());
        len_bytes
            .min(own_bytes + free_bytes)
            .max(own_bytes.min(len_bytes))
    }
}

/// A path without `.`, `..` and a leading `/`, so that one file has one key.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}

fn not_found(op: &'static str, path: &Path) -> Error {
    Error::io(op, path, io::ErrorKind::NotFound.into())
}

impl Storage for Memory {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        let mut state = self.begin("create", path)?;
        let key = plain(path);
        if state.names.find(&key).is_some() {
            return Err(Error::io(
                "create",
                path,
                io::ErrorKind::AlreadyExists.into(),
            ));
        }
        if !state.names.has_parent(&key) {
            return Err(not_found("create", path));
        }
        let inode = state.new_inode();
        state.names.link(&key, Node::File(inode));
        Ok(self.opened(&mut state, inode, path))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        let mut state = self.begin("open", path)?;
        let Some(Node::File(inode)) = state.names.find(&plain(path)) else {
            return Err(not_found("open", path));
        };
        Ok(self.opened(&mut state, inode, path))
    }

    fn open_to_read(&self, path: &Path) -> Result<Box<dyn File>> {
        self.open(path)
    }

    fn region(&self, path: &Path, _mode: ReadMode) -> Result<Arc<dyn Region>> {
        let state = self.begin("read", path)?;
        let Some(Node::File(inode)) = state.names.find(&plain(path)) else {
            return Err(not_found("read", path));
        };
        Ok(Arc::new(Copied(state.inodes[&inode].now.to_vec())))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.begin("rename", from)?;
        let (from_key, to_key) = (plain(from), plain(to));
        let node = state.names.find(&from_key);
        if node.is_none() || !state.names.has_parent(&to_key) {
            return Err(not_found("rename", from));
        }
        match (node, state.names.find(&to_key)) {
            (Some(Node::File(_)), None | Some(Node::File(_))) => {
                state.names.rename(&from_key, &to_key);
            }
            (Some(Node::Directory), None) => state.names.rename(&from_key, &to_key),
            _ => {
                return Err(Error::io(
                    "rename",
                    from,
                    io::ErrorKind::AlreadyExists.into(),
                ));
            }
        }
        state.forget_nameless();
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut state = self.begin("remove", path)?;
        let key = plain(path);
        let Some(Node::File(_)) = state.names.find(&key) else {
            return Err(not_found("remove", path));
        };
        state.names.unlink(&key);
        state.forget_nameless();
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.begin("link", from)?;
        let to_key = plain(to);
        let node = match state.names.find(&plain(from)) {
            Some(node @ Node::File(_)) if state.names.has_parent(&to_key) => node,
            _ => return Err(not_found("link", from)),
        };
        if state.names.find(&to_key).is_some() {
            return Err(Error::io("link", from, io::ErrorKind::AlreadyExists.into()));
        }
        state.names.link(&to_key, node);
        Ok(())
    }

    fn create_directory(&self, path: &Path) -> Result<()> {
        let mut state = self.begin("create directory", path)?;
        let mut key = PathBuf::new();
        for component in &plain(path) {
            key.push(component);
            match state.names.find(&key) {
                Some(Node::Directory) => {}
                Some(Node::File(_)) => {
                    let source = io::ErrorKind::NotADirectory.into();
                    return Err(Error::io("create directory", path, source));
                }
                None => state.names.link(&key, Node::Directory),
            }
        }
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> Result<()> {
        let mut state = self.begin("remove directory", path)?;
        state.names.unlink_tree(&plain(path));
        state.forget_nameless();
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        let state = self.begin("list", path)?;
        state
            .names
            .list(&plain(path))
            .ok_or_else(|| not_found("list", path))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let state = self.begin("look for", path)?;
        Ok(state.names.find(&plain(path)).is_some())
    }

    fn free_bytes(&self, _path: &Path) -> Result<Option<u64>> {
        let state = self.state.lock();
        let free = |capacity: u64| capacity.saturating_sub(state.used_bytes());
        Ok(state.capacity_bytes.map(free))
    }

    fn sync_directory(&self, path: &Path) -> Result<()> {
        let mut state = self.begin("sync", path)?;
        let key = plain(path);
        if !matches!(state.names.find(&key), Some(Node::Directory)) {
            return Err(not_found("sync", path));
        }
        state.names.sync(&key);
        state.forget_nameless();
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DirectoryLock>> {
        let mut state = self.begin("lock", path)?;
        let key = plain(path);
        if !matches!(state.names.find(&key), Some(Node::Directory)) {
            return Err(not_found("lock", path));
        }
        if !state.locked.insert(key.clone()) {
            return Err(Error::Locked {
                path: path.to_owned(),
            });
        }
        drop(state);
        Ok(Box::new(MemoryLock {
            memory: self.clone(),
            key,
        }))
    }
}

#[derive(Debug)]
struct MemoryLock {
    memory: Memory,
    key: PathBuf,
}

impl DirectoryLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.memory.state.lock().locked.remove(&self.key);
    }
}

#[cfg(test)]
mod tests;
