//! What listing series needs of a head: its tag sets in canonical order, and the values of tags as
//! numbers, so that no texts are compared.
//!
//! Made when somebody lists many series for the first time, and completed when new tag sets are
//! listed: a head that nobody asks, or asks for a few series only, keeps no more than the tag sets.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use roaring::RoaringBitmap;

use crate::model::{TagFinder, TagSet};

use super::ranking::Ranking;

/// What a tag set takes here: itself, and its places in the lists.
pub(super) const LISTED_BYTES: usize = 32;
/// What a value of a tag takes beside its text: its number, its place by hash, its rank.
const VALUE_BYTES: usize = 64;
/// Entering a tag set is worth it where at most so many are new for each that is asked for.
const NEW_FOR_EACH: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Tag sets that are in the index and not in `known` yet.
    new: Mutex<Vec<(u32, TagSet)>>,
    known: RwLock<Known>,
}

/// Tag sets in canonical order, and the values of the tags that were asked for.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By number.
    tag_sets: Vec<TagSet>,
    /// Their numbers, as they came.
    came: Vec<u32>,
    order: Ranking,
    tags: BTreeMap<Arc<str>, TagColumn>,
}

/// The value that each tag set has of one tag.
#[derive(Debug)]
pub(super) struct TagColumn {
    hasher: DefaultHashBuilder,
    /// By tag set: the number of its value.
    numbers: Vec<u32>,
    /// By number; the first is that of tag sets without the tag.
    texts: Vec<Arc<str>>,
    by_text: HashTable<u32>,
    ranking: Ranking,
    /// How many of the tag sets that came it has.
    taken: usize,
}

impl Listing {
    /// Takes tag sets that are about to be seen in the index.
    pub(super) fn add(&self, tag_sets: Vec<(u32, TagSet)>) {
        let mut new = self.new.lock();
        if new.is_empty() {
            *new = tag_sets;
        } else {
            new.extend(tag_sets);
        }
    }

    /// What is known of all tag sets in the index and of these tags, completed first; none where
    /// that would take longer than comparing the texts of the `wanted` tag sets, and where none is
    /// wanted: a head may have columns, and no tag set yet. With it comes by how many bytes it grew.
    pub(super) fn known(
        &self,
        wanted: u64,
        keys: &[Arc<str>],
    ) -> Option<(RwLockReadGuard<'_, Known>, usize)> {
        if wanted == 0 {
            return None;
        }
        let worth = usize::try_from(wanted)
            .unwrap_or(usize::MAX)
            .saturating_mul(NEW_FOR_EACH);
        let new = self.new.lock().len();
        if new > worth {
            return None;
        }
        let known = self.known.read();
        let missing = known.missing(keys);
        if new == 0 && missing == 0 {
            return Some((known, 0));
        }
        if new + missing > worth {
            return None;
        }
        drop(known);
        let mut known = self.known.write();
        // Taken under the lock: whoever finds none here waits until those are known.
        let new = std::mem::take(&mut *self.new.lock());
        known.add(new);
        let grown = known.complete(keys);
        Some((RwLockWriteGuard::downgrade(known), grown))
    }
}

impl Known {
    fn add(&mut self, new: Vec<(u32, TagSet)>) {
        let numbers: Vec<u32> = new.iter().map(|(id, _)| *id).collect();
        let most = numbers.iter().max().map_or(0, |id| *id as usize + 1);
        if self.tag_sets.len() < most {
            self.tag_sets.resize(most, TagSet::default());
        }
        for (id, tags) in new {
            self.tag_sets[id as usize] = tags;
        }
        self.came.extend_from_slice(&numbers);
        let text = |id: u32| self.tag_sets[id as usize].as_str();
        self.order.insert(numbers, |a, b| text(a).cmp(text(b)));
    }

    /// How many tag sets the columns of these tags do not have.
    fn missing(&self, keys: &[Arc<str>]) -> usize {
        let taken = |key| self.tags.get(key).map_or(0, |tag| tag.taken);
        keys.iter().map(|key| self.came.len() - taken(key)).sum()
    }

    /// Gives the columns of these tags all tag sets; answers by how many bytes they grew.
    fn complete(&mut self, keys: &[Arc<str>]) -> usize {
        let mut grown = 0;
        for key in keys {
            let tag = self.tags.entry(Arc::clone(key)).or_default();
            grown += tag.take(key, &self.tag_sets, &self.came);
        }
        grown
    }

    /// Those of `ids` that are known, in canonical order.
    pub(super) fn in_order(&self, ids: &RoaringBitmap) -> Vec<u32> {
        let order = self.order.order();
        if ids.len() == order.len() as u64 {
            return order.to_vec();
        }
        let mut ranks: Vec<u32> = ids.iter().filter_map(|id| self.order.rank(id)).collect();
        ranks.sort_unstable();
        ranks.iter().map(|rank| order[*rank as usize]).collect()
    }

    /// The tag set of a number that is known.
    pub(super) fn tag_set(&self, id: u32) -> &TagSet {
        &self.tag_sets[id as usize]
    }

    /// The values of a tag that was asked for.
    pub(super) fn tag(&self, key: &str) -> &TagColumn {
        &self.tags[key]
    }
}

impl Default for TagColumn {
    fn default() -> Self {
        let mut column = Self {
            hasher: DefaultHashBuilder::default(),
            numbers: Vec::new(),
            texts: Vec::new(),
            by_text: HashTable::new(),
            ranking: Ranking::default(),
            taken: 0,
        };
        column.number("");
        column.ranking.insert(vec![0], |a, b| a.cmp(&b));
        column
    }
}

impl TagColumn {
    fn take(&mut self, key: &str, tag_sets: &[TagSet], came: &[u32]) -> usize {
        let finder = TagFinder::new(key);
        let known = self.texts.len();
        let before = self.numbers.len();
        self.numbers.resize(tag_sets.len(), 0);
        for id in &came[self.taken..] {
            if let Some(raw) = finder.find(tag_sets[*id as usize].as_str()) {
                self.numbers[*id as usize] = self.number(&TagFinder::unescaped(raw));
            }
        }
        self.taken = came.len();
        let number = |at: usize| u32::try_from(at).expect("fewer values than tag sets");
        let new = number(known)..number(self.texts.len());
        let texts = &self.texts;
        self.ranking.insert(new.collect(), |a, b| {
            texts[a as usize].cmp(&texts[b as usize])
        });
        let texts = texts[known..].iter().map(|text| text.len() + VALUE_BYTES);
        texts.sum::<usize>() + (self.numbers.len() - before) * size_of::<u32>()
    }

    /// The number of a value, a new one where it is new.
    fn number(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let is_same = |number: &u32| &*self.texts[*number as usize] == text;
        if let Some(number) = self.by_text.find(hash, is_same) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).expect("fewer values than tag sets");
        self.texts.push(text.into());
        let (hasher, texts) = (&self.hasher, &self.texts);
        self.by_text.insert_unique(hash, number, |number| {
            hasher.hash_one(&*texts[*number as usize])
        });
        number
    }

    /// The rank of the value of a tag set among all values; 0 is that of tag sets without one.
    pub(super) fn rank(&self, id: u32) -> u32 {
        let number = self.numbers.get(id as usize).copied().unwrap_or(0);
        self.ranking.rank(number).unwrap_or(0)
    }

    /// The value of a rank.
    pub(super) fn text(&self, rank: u32) -> &Arc<str> {
        &self.texts[self.ranking.order()[rank as usize] as usize]
    }

    /// How many ranks there are.
    pub(super) fn ranks(&self) -> usize {
        self.texts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(range: std::ops::Range<u32>) -> Vec<(u32, TagSet)> {
        let set = |id: u32| {
            let (pod, node) = (format!("p{}", id * 7 % 40), format!("n\\,{}", id % 3));
            let with = format!("node={node},pod={pod}");
            let text = if id.is_multiple_of(5) {
                format!("pod={pod}")
            } else {
                with
            };
            (id, TagSet::from_canonical(&text))
        };
        range.map(set).collect()
    }

    #[test]
    fn tag_sets_and_values_stand_in_order_however_they_came() {
        let keys: [Arc<str>; 3] = ["node".into(), "pod".into(), "none".into()];
        let listing = Listing::default();
        // The later ones first, as writers may leave them.
        listing.add(sets(20..40));
        listing.add(sets(0..3));
        assert!(listing.known(1, &[]).is_none(), "few want many entered");
        drop(listing.known(23, &keys[1..]));
        listing.add(sets(3..20));
        let (known, grown) = listing.known(40, &keys).unwrap();
        assert!(grown > 0);
        let ids: RoaringBitmap = (0..40).collect();
        let all = sets(0..40);
        for ids in [ids.clone(), ids.iter().step_by(3).collect()] {
            let listed = known.in_order(&ids);
            let mut expected: Vec<&TagSet> = ids.iter().map(|id| &all[id as usize].1).collect();
            expected.sort();
            assert!(listed.iter().map(|id| known.tag_set(*id)).eq(expected));
            for key in &keys {
                let tag = known.tag(key);
                let ranks = u32::try_from(tag.ranks()).unwrap();
                let texts: Vec<&str> = (0..ranks).map(|rank| &**tag.text(rank)).collect();
                assert!(texts.is_sorted_by(|a, b| a < b), "{texts:?}");
                for id in &listed {
                    let value = known.tag_set(*id).value(key).unwrap_or_default();
                    assert_eq!(**tag.text(tag.rank(*id)), *value);
                }
            }
        }
        drop(known);
        assert_eq!(listing.known(1, &keys).unwrap().1, 0);
    }
}
