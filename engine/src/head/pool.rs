//! Bytes in chunks of one size, so that thousands of short tails grow without doubling.

/// Two cache lines, the number of the next chunk among them.
pub(super) const CHUNK_BYTES: usize = 128;
const CHUNK_DATA_BYTES: usize = CHUNK_BYTES - 4;
/// Chunks are allocated this many at a time.
const SLAB_CHUNKS: usize = 256;
/// No chunk.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Chunk {
    next: u32,
    bytes: [u8; CHUNK_DATA_BYTES],
}

/// The chunks of one shard.
#[derive(Debug)]
pub(crate) struct Pool {
    slabs: Vec<Box<[Chunk]>>,
    /// The first of the chunks that nobody has.
    free: u32,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            slabs: Vec::new(),
            free: NONE,
        }
    }
}

/// Bytes in chunks of a pool. It must go back by [`Pool::clear`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    first: u32,
    last: u32,
    len_bytes: u32,
}

impl Chain {
    pub(super) const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
        len_bytes: 0,
    };

    pub(super) fn len(self) -> usize {
        self.len_bytes as usize
    }

    /// What its chunks take.
    pub(super) fn memory_bytes(self) -> usize {
        self.len().div_ceil(CHUNK_DATA_BYTES) * CHUNK_BYTES
    }
}

impl Pool {
    fn chunk(&self, number: u32) -> &Chunk {
        &self.slabs[number as usize / SLAB_CHUNKS][number as usize % SLAB_CHUNKS]
    }

    fn chunk_mut(&mut self, number: u32) -> &mut Chunk {
        &mut self.slabs[number as usize / SLAB_CHUNKS][number as usize % SLAB_CHUNKS]
    }

    fn take(&mut self) -> u32 {
        if self.free == NONE {
            let first = number(self.slabs.len() * SLAB_CHUNKS);
            let chunk = |at| Chunk {
                next: if at + 1 == SLAB_CHUNKS {
                    NONE
                } else {
                    first + number(at + 1)
                },
                bytes: [0; CHUNK_DATA_BYTES],
            };
            self.slabs.push((0..SLAB_CHUNKS).map(chunk).collect());
            self.free = first;
        }
        let taken = self.free;
        self.free = std::mem::replace(&mut self.chunk_mut(taken).next, NONE);
        taken
    }

    /// Gives back the chunks from `first` on.
    fn give_back(&mut self, first: u32) {
        let mut at = first;
        while at != NONE {
            let free = self.free;
            let next = std::mem::replace(&mut self.chunk_mut(at).next, free);
            self.free = at;
            at = next;
        }
    }

    /// Appends `bytes` to a chain.
    pub(super) fn append(&mut self, chain: &mut Chain, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = chain.len() % CHUNK_DATA_BYTES;
            if used == 0 {
                let next = self.take();
                if chain.last == NONE {
                    chain.first = next;
                } else {
                    self.chunk_mut(chain.last).next = next;
                }
                chain.last = next;
            }
            let len = bytes.len().min(CHUNK_DATA_BYTES - used);
            let (now, later) = bytes.split_at(len);
            self.chunk_mut(chain.last).bytes[used..used + len].copy_from_slice(now);
            chain.len_bytes += number(len);
            bytes = later;
        }
    }

    /// Cuts a chain to `len` bytes, at most as many as it has.
    pub(super) fn truncate(&mut self, chain: &mut Chain, len: usize) {
        let kept = len.div_ceil(CHUNK_DATA_BYTES);
        if kept == 0 {
            self.clear(chain);
            return;
        }
        let mut last = chain.first;
        for _ in 1..kept {
            last = self.chunk(last).next;
        }
        let behind = std::mem::replace(&mut self.chunk_mut(last).next, NONE);
        self.give_back(behind);
        chain.last = last;
        chain.len_bytes = number(len);
    }

    /// Gives all chunks of a chain back.
    pub(super) fn clear(&mut self, chain: &mut Chain) {
        self.give_back(chain.first);
        *chain = Chain::EMPTY;
    }

    /// Appends the bytes of a chain from `start` on to `out`.
    pub(super) fn copy(&self, chain: Chain, start: usize, out: &mut Vec<u8>) {
        out.reserve(chain.len() - start);
        let (mut at, mut offset) = (chain.first, 0);
        while at != NONE {
            let chunk = self.chunk(at);
            let end = (chain.len() - offset).min(CHUNK_DATA_BYTES);
            if offset + end > start {
                out.extend_from_slice(&chunk.bytes[start.saturating_sub(offset)..end]);
            }
            offset += CHUNK_DATA_BYTES;
            at = chunk.next;
        }
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("a shard's tails are far below 512 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(pool: &Pool, chain: Chain, start: usize) -> Vec<u8> {
        let mut out = Vec::new();
        pool.copy(chain, start, &mut out);
        out
    }

    #[test]
    fn chains_grow_shrink_and_share_chunks() {
        let mut pool = Pool::default();
        let mut chains = [Chain::EMPTY; 3];
        let mut expected = [const { Vec::new() }; 3];
        for step in 0..5000_usize {
            let at = step % 3;
            let piece: Vec<u8> = (0..200).cycle().skip(step).take(step * 7 % 200).collect();
            if step % 11 == 10 {
                let len = expected[at].len() * (step % 5) / 5;
                pool.truncate(&mut chains[at], len);
                expected[at].truncate(len);
            } else {
                pool.append(&mut chains[at], &piece);
                expected[at].extend(piece);
            }
            let start = expected[at].len() / 3;
            assert_eq!(bytes_of(&pool, chains[at], start), expected[at][start..]);
        }
        let slabs = pool.slabs.len();
        for chain in &mut chains {
            pool.clear(chain);
        }
        let len = SLAB_CHUNKS * slabs * CHUNK_DATA_BYTES;
        pool.append(&mut chains[0], &vec![1; len]);
        assert_eq!(
            pool.slabs.len(),
            slabs,
            "chunks that are given back are used again"
        );
    }
}
