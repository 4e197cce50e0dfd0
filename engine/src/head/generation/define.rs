//! Tag sets that are new to a generation, and their numbers.

use crate::log::Record;
use crate::model::{Place, TagSet};

use super::{Generation, SHARDS, Shard};

/// What a tag set takes beside its text: entry, places by number and by hash, allocations' own.
const TAG_SET_BYTES: usize = 100;

impl Generation {
    /// Locks the shard of `tags` and finds or makes its entry; notes its place.
    pub(super) fn with_entry<T>(
        &self,
        tags: &TagSet,
        place: &Place,
        then: impl FnOnce(&mut Shard, usize) -> T,
    ) -> T {
        if let Some((shard, entry)) = self.shard_and_entry(place.get()) {
            let mut shard = self.shards[shard].lock();
            let there = shard.entries.get(entry);
            if there.is_some_and(|there| there.tags == *tags) {
                return then(&mut shard, entry);
            }
        }
        let (hash, shard_number) = self.place(tags);
        let mut shard = self.shards[shard_number].lock();
        let entry = match shard.find(hash, tags) {
            Some(entry) => entry,
            None => {
                let mut places = self.places.write();
                let id = u32::try_from(places.len())
                    .expect("the memory budget freezes a head before 2^32 tag sets");
                let entry =
                    self.insert_tag_set(&mut shard, hash, shard_number, id, tags, &mut places);
                drop(places);
                self.pend_tag_set(shard_number, id, tags);
                shard.log(&Record::TagSet {
                    tag_set: id,
                    canonical: tags.as_str(),
                });
                entry
            }
        };
        place.set(self.place_of(shard_number, entry));
        then(&mut shard, entry)
    }

    /// Shard and entry that a place says, where it is one of this generation.
    fn shard_and_entry(&self, place: u64) -> Option<(usize, usize)> {
        let (stamp, shard) = (place >> 40, place >> 32 & 0xff);
        if stamp != self.stamp() || shard >= SHARDS as u64 {
            return None;
        }
        let entry = usize::try_from(place & 0xffff_ffff).ok()?;
        Some((usize::try_from(shard).ok()?, entry))
    }

    fn place_of(&self, shard: usize, entry: usize) -> u64 {
        self.stamp() << 40 | (shard as u64) << 32 | entry as u64 & 0xffff_ffff
    }

    /// The low bits of its number, never 0.
    fn stamp(&self) -> u64 {
        (self.id & 0xff_ffff).max(1)
    }

    fn insert_tag_set(
        &self,
        shard: &mut Shard,
        hash: u64,
        shard_number: usize,
        id: u32,
        tags: &TagSet,
        places: &mut Vec<(u32, u32)>,
    ) -> usize {
        let entry = shard.add_tag_set(hash, id, tags.clone());
        let number = |n: usize| u32::try_from(n).expect("tag-set numbers are u32");
        if places.len() <= id as usize {
            places.resize(id as usize + 1, (u32::MAX, u32::MAX));
        }
        places[id as usize] = (number(shard_number), number(entry));
        let own = tags.as_str().len() + TAG_SET_BYTES;
        self.add_bytes(own.cast_signed());
        entry
    }

    /// A tag set with the number that the log gave it, in its shard; whether it is new. The caller
    /// indexes it. `None` where it is not the shard's.
    pub(in crate::head) fn replay_tag_set(
        &self,
        number: usize,
        shard: &mut Shard,
        id: u32,
        tags: &TagSet,
    ) -> Option<bool> {
        let (hash, own) = self.place(tags);
        if own != number {
            return None;
        }
        let is_new = shard.find(hash, tags).is_none();
        if is_new {
            let mut places = self.places.write();
            self.insert_tag_set(shard, hash, number, id, tags, &mut places);
        }
        Some(is_new)
    }
}
