//! An open file of the disk in memory.

use std::io;
use std::path::{Path, PathBuf};

use super::Memory;
use super::pages::Pages;
use crate::storage::File;
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct MemoryFile {
    memory: Memory,
    inode: u64,
    path: PathBuf,
}

impl MemoryFile {
    pub(super) fn new(memory: Memory, inode: u64, path: &Path) -> Self {
        Self {
            memory,
            inode,
            path: path.to_owned(),
        }
    }

    fn full(&self, op: &'static str) -> Error {
        Error::io(op, &self.path, io::ErrorKind::StorageFull.into())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let mut state = self.memory.state.lock();
        state.inode(self.inode).handles -= 1;
        state.forget_nameless();
    }
}

impl File for MemoryFile {
    fn read_at(&self, offset_bytes: u64, out: &mut [u8]) -> Result<()> {
        let mut state = self.memory.begin("read", &self.path)?;
        let pages = &state.inode(self.inode).now;
        if offset_bytes + out.len() as u64 > pages.len_bytes() {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(Error::io("read", &self.path, source));
        }
        pages.read(offset_bytes, out);
        Ok(())
    }

    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let (mut state, fault) = self.memory.begin_faulty();
        if let Some(source) = fault {
            if !state.is_cut(state.operations - 1) {
                let half = &bytes[..bytes.len() / 2];
                let end = state.grow_limit(self.inode, offset_bytes + half.len() as u64);
                if end == offset_bytes + half.len() as u64 {
                    state.inode(self.inode).now.write(offset_bytes, half);
                }
            }
            return Err(Error::io("write", &self.path, source));
        }
        let end = offset_bytes + bytes.len() as u64;
        let fits_to = state.grow_limit(self.inode, end);
        let missing = usize::try_from(end - fits_to).map_or(bytes.len(), |n| n.min(bytes.len()));
        let fitting = &bytes[..bytes.len() - missing];
        state.inode(self.inode).now.write(offset_bytes, fitting);
        if missing > 0 {
            return Err(self.full("write"));
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let (mut state, fault) = self.memory.begin_faulty();
        let cut = state.is_cut(state.operations - 1);
        let inode = state.inode(self.inode);
        if let Some(source) = fault {
            if !cut {
                inode.given_up = Some(inode.now.clone());
            }
            return Err(Error::io("sync", &self.path, source));
        }
        inode.durable = match &inode.given_up {
            Some(given_up) => Pages::synced_but(&inode.durable, &inode.now, given_up),
            None => inode.now.clone(),
        };
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        let mut state = self.memory.begin("read the length of", &self.path)?;
        Ok(state.inode(self.inode).now.len_bytes())
    }

    fn set_len(&self, len_bytes: u64) -> Result<()> {
        let mut state = self.memory.begin("set the length of", &self.path)?;
        if state.grow_limit(self.inode, len_bytes) < len_bytes {
            return Err(self.full("set the length of"));
        }
        state.inode(self.inode).now.set_len(len_bytes);
        Ok(())
    }

    fn allocate(&self, len_bytes: u64) -> Result<()> {
        let mut state = self.memory.begin("allocate", &self.path)?;
        if state.inode(self.inode).now.len_bytes() >= len_bytes {
            return Ok(());
        }
        if state.grow_limit(self.inode, len_bytes) < len_bytes {
            return Err(self.full("allocate"));
        }
        state.inode(self.inode).now.set_len(len_bytes);
        Ok(())
    }
}
