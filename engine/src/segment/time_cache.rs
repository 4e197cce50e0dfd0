//! Blocks of times that one query has decoded, shared by all columns and threads that refer to them.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::times::TimeBlock;
use crate::Result;

/// Times that one cache holds, about 8 bytes each; later ones are decoded again where they are
/// needed again.
const TIMES_MAX: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct TimeCache {
    blocks: RwLock<Blocks>,
}

#[derive(Debug, Default)]
struct Blocks {
    /// By segment and place. A block of constant step has no bytes and so no place of its own: its
    /// extent says which it is.
    known: HashMap<(u64, TimeBlock), Arc<[i64]>>,
    times: usize,
}

impl TimeCache {
    /// The times of a block, which `decode` makes where they are not known.
    ///
    /// # Errors
    /// What `decode` fails with.
    pub(crate) fn times(
        &self,
        segment: u64,
        block: TimeBlock,
        decode: impl FnOnce() -> Result<Vec<i64>>,
    ) -> Result<Arc<[i64]>> {
        let key = (segment, block);
        if let Some(times) = self.blocks.read().known.get(&key) {
            return Ok(Arc::clone(times));
        }
        let times: Arc<[i64]> = decode()?.into();
        let mut blocks = self.blocks.write();
        if blocks.times + times.len() <= TIMES_MAX {
            blocks.times += times.len();
            blocks.known.insert(key, Arc::clone(&times));
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn a_block_is_decoded_once_and_an_error_is_not_kept() {
        let cache = TimeCache::default();
        let block = TimeBlock::constant_step(0, 20, 3);
        let failed = cache.times(1, block, || Err(Error::Invalid("no".into())));
        assert!(failed.is_err());
        let times = cache.times(1, block, || Ok(vec![0, 10, 20]));
        assert_eq!(&*times.unwrap(), [0, 10, 20]);
        let again = cache.times(1, block, || Err(Error::Invalid("twice".into())));
        assert_eq!(&*again.unwrap(), [0, 10, 20]);
        let other = cache.times(2, block, || Ok(vec![0, 5, 20]));
        assert_eq!(&*other.unwrap(), [0, 5, 20], "another segment");
    }
}
