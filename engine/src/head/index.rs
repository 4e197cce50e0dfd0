//! The head's inverted index: postings per tag pair, tag sets per (partition, measurement).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use crate::Result;
use crate::model::TagSet;
use crate::model::tags::{raw_pairs, unescaped};
use crate::partition::PartitionId;
use crate::predicate::TagIndex;

/// What a value takes beside its text: its place in the map, its posting, an allocation's own.
const VALUE_BYTES: usize = 64;
/// How many tag sets are kept in place.
const FEW_MAX: usize = 3;

/// The tag sets that have one tag: mostly few, as those of a pod.
#[derive(Debug)]
enum Posting {
    Few { count: u8, ids: [u32; FEW_MAX] },
    Many(Box<RoaringBitmap>),
}

impl Posting {
    fn of(id: u32) -> Self {
        Self::Few {
            count: 1,
            ids: [id; FEW_MAX],
        }
    }

    fn ids(&self) -> &[u32] {
        match self {
            Self::Few { count, ids } => &ids[..usize::from(*count)],
            Self::Many(_) => &[],
        }
    }

    fn insert(&mut self, id: u32) {
        if self.ids().contains(&id) {
            return;
        }
        match self {
            Self::Few { count, ids } if usize::from(*count) < FEW_MAX => {
                ids[usize::from(*count)] = id;
                *count += 1;
            }
            Self::Few { ids, .. } => {
                let ids = ids.iter().copied().chain([id]);
                *self = Self::Many(Box::new(ids.collect()));
            }
            Self::Many(ids) => {
                ids.insert(id);
            }
        }
    }

    fn bitmap(&self) -> RoaringBitmap {
        match self {
            Self::Few { .. } => self.ids().iter().copied().collect(),
            Self::Many(ids) => (**ids).clone(),
        }
    }

    fn is_disjoint(&self, ids: &RoaringBitmap) -> bool {
        match self {
            Self::Few { .. } => !self.ids().iter().any(|id| ids.contains(*id)),
            Self::Many(own) => own.is_disjoint(ids),
        }
    }
}

/// The tag sets that have each value of a tag.
#[derive(Debug, Default)]
struct Values {
    postings: HashMap<Box<str>, Posting>,
}

impl Values {
    /// Answers roughly how many bytes that took.
    fn insert(&mut self, value: &str, id: u32) -> usize {
        match self.postings.get_mut(value) {
            Some(ids) => {
                ids.insert(id);
                0
            }
            None => {
                self.postings.insert(value.into(), Posting::of(id));
                value.len() + VALUE_BYTES
            }
        }
    }
}

type Tags = BTreeMap<Box<str>, Values>;

fn insert(tags: &mut Tags, key: &str, value: &str, id: u32) -> usize {
    let values = match tags.get_mut(key) {
        Some(values) => values,
        None => tags.entry(key.into()).or_default(),
    };
    values.insert(value, id)
}

/// Fewer tag sets are not worth threads.
const ALONE_MAX: usize = 4096;
/// The most threads that index.
const THREADS_MAX: usize = 8;

/// Which of `threads` indexes a key.
fn thread_of(key: &str, threads: usize) -> usize {
    crc32fast::hash(key.as_bytes()) as usize % threads
}

/// The keys of the tag set before, by place: most have the same.
#[derive(Debug, Default)]
struct Keys<'a> {
    /// As they stand in the text, and without escapes where they are the thread's own.
    seen: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl<'a> Keys<'a> {
    /// The key at a place without its escapes, if it is the thread's.
    fn own(&mut self, at: usize, raw: &'a str, is_own: impl Fn(&str) -> bool) -> Option<&str> {
        if self.seen.get(at).is_none_or(|(seen, _)| *seen != raw) {
            let key = unescaped(raw);
            let own = is_own(&key).then_some(key);
            self.seen.truncate(at);
            self.seen.push((raw, own));
        }
        self.seen[at].1.as_deref()
    }
}

/// Grows with the tag sets of one generation and leaves with it.
#[derive(Debug, Default)]
pub(crate) struct HeadIndex {
    all: RoaringBitmap,
    tags: Tags,
    measurements: HashMap<(PartitionId, Arc<str>), RoaringBitmap>,
}

impl HeadIndex {
    /// Answers roughly how many bytes that took.
    pub(crate) fn add_tag_set(&mut self, id: u32, tags: &TagSet) -> usize {
        self.all.insert(id);
        let pairs = tags.pairs();
        pairs
            .map(|(key, value)| insert(&mut self.tags, &key, &value, id))
            .sum()
    }

    /// As [`Self::add_tag_set`], of many in ascending order; each thread takes some of the keys.
    pub(crate) fn add_many_tag_sets(&mut self, tag_sets: &[(u32, TagSet)]) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(THREADS_MAX);
        if tag_sets.len() <= ALONE_MAX || threads == 1 {
            let tag_sets = tag_sets.iter();
            return tag_sets.map(|(id, tags)| self.add_tag_set(*id, tags)).sum();
        }
        self.all.extend(tag_sets.iter().map(|(id, _)| *id));
        // Each thread has its keys to itself: a map of them, which is put together in the end.
        let mut parts: Vec<Tags> = (0..threads).map(|_| Tags::new()).collect();
        for (key, values) in std::mem::take(&mut self.tags) {
            parts[thread_of(&key, threads)].insert(key, values);
        }
        let mut bytes = 0;
        std::thread::scope(|scope| {
            let handles: Vec<_> = parts
                .into_iter()
                .enumerate()
                .map(|(thread, mut part)| {
                    scope.spawn(move || {
                        let mut bytes = 0;
                        let mut keys = Keys::default();
                        for (id, tags) in tag_sets {
                            for (at, (key, value)) in raw_pairs(tags.as_str()).enumerate() {
                                let is_own = |key: &str| thread_of(key, threads) == thread;
                                if let Some(key) = keys.own(at, key, is_own) {
                                    bytes += insert(&mut part, key, &unescaped(value), *id);
                                }
                            }
                        }
                        (part, bytes)
                    })
                })
                .collect();
            for handle in handles {
                match handle.join() {
                    Ok((part, grown)) => {
                        self.tags.extend(part);
                        bytes += grown;
                    }
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        bytes
    }

    /// Enters series of a measurement.
    pub(crate) fn add_many_series(
        &mut self,
        partition: PartitionId,
        measurement: &Arc<str>,
        tag_sets: &RoaringBitmap,
    ) {
        let key = (partition, Arc::clone(measurement));
        *self.measurements.entry(key).or_default() |= tag_sets;
    }

    /// Takes series out of a measurement.
    pub(crate) fn remove_series(
        &mut self,
        partition: PartitionId,
        measurement: &Arc<str>,
        tag_sets: &RoaringBitmap,
    ) {
        let key = (partition, Arc::clone(measurement));
        if let Some(ids) = self.measurements.get_mut(&key) {
            *ids -= tag_sets;
            if ids.is_empty() {
                self.measurements.remove(&key);
            }
        }
    }

    pub(crate) fn measurement(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
    ) -> RoaringBitmap {
        self.measurements
            .get(&(partition, Arc::clone(measurement)))
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn measurements(&self, partition: PartitionId) -> impl Iterator<Item = &Arc<str>> {
        self.measurements
            .keys()
            .filter(move |(p, _)| *p == partition)
            .map(|(_, m)| m)
    }

    /// Calls `visit` with each value of a tag, in no order.
    pub(crate) fn each_value_of(&self, key: &str, visit: &mut dyn FnMut(&str, &RoaringBitmap)) {
        let values = self.tags.get(key).into_iter();
        for (value, posting) in values.flat_map(|values| &values.postings) {
            match posting {
                Posting::Few { .. } => visit(value, &posting.bitmap()),
                Posting::Many(ids) => visit(value, ids),
            }
        }
    }

    /// Keys that some of `ids` have.
    pub(crate) fn keys_of(&self, ids: &RoaringBitmap) -> impl Iterator<Item = &str> {
        self.tags
            .iter()
            .filter(move |(_, values)| {
                values
                    .postings
                    .values()
                    .any(|posting| !posting.is_disjoint(ids))
            })
            .map(|(key, _)| key.as_ref())
    }
}

impl TagIndex for HeadIndex {
    fn all(&self) -> Result<RoaringBitmap> {
        Ok(self.all.clone())
    }

    fn postings(&self, key: &str, value: &str) -> Result<RoaringBitmap> {
        let found = self
            .tags
            .get(key)
            .and_then(|values| values.postings.get(value));
        Ok(found.map(Posting::bitmap).unwrap_or_default())
    }

    fn each_value(&self, key: &str, visit: &mut dyn FnMut(&str, &RoaringBitmap)) -> Result<()> {
        self.each_value_of(key, visit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_posting_holds_what_was_inserted_however_much_it_is() {
        let mut index = HeadIndex::default();
        for id in 0..10 {
            let tags = format!("all=x,own={id},third={}", id / 3);
            index.add_tag_set(id, &TagSet::from_canonical(&tags));
        }
        let ids = |key: &str, value: &str| -> Vec<u32> {
            index.postings(key, value).unwrap().into_iter().collect()
        };
        assert_eq!(ids("all", "x"), (0..10).collect::<Vec<u32>>());
        assert_eq!(ids("own", "7"), [7]);
        assert_eq!(ids("third", "1"), [3, 4, 5]);
        assert_eq!(ids("third", "3"), [9]);
        let mut seen = Vec::new();
        index
            .each_value("third", &mut |value, ids| {
                seen.push((value.to_owned(), ids.len()))
            })
            .unwrap();
        seen.sort();
        let expected = [("0", 3), ("1", 3), ("2", 3), ("3", 1)];
        assert!(
            seen.iter()
                .map(|(value, len)| (value.as_str(), *len))
                .eq(expected)
        );
        let some: Vec<&str> = index.keys_of(&RoaringBitmap::from([9])).collect();
        assert_eq!(some, ["all", "own", "third"]);
    }

    #[test]
    fn many_tag_sets_at_once_are_indexed_as_one_by_one() {
        let tag_sets: Vec<(u32, TagSet)> = (0_u32..5000)
            .map(|id| {
                let tags = format!("all=x,k{}=1,own={id},some={}", id % 7, id % 100);
                (id, TagSet::from_canonical(&tags))
            })
            .collect();
        let (few, rest) = tag_sets.split_at(5);
        assert!(rest.len() > ALONE_MAX);
        let (mut one_by_one, mut at_once) = (HeadIndex::default(), HeadIndex::default());
        let mut bytes = (0, 0);
        for (id, tags) in &tag_sets {
            bytes.0 += one_by_one.add_tag_set(*id, tags);
        }
        bytes.1 += at_once.add_many_tag_sets(few);
        bytes.1 += at_once.add_many_tag_sets(rest);
        assert_eq!(bytes.0, bytes.1);
        let all = one_by_one.all().unwrap();
        assert_eq!(all, at_once.all().unwrap());
        let keys: Vec<&str> = one_by_one.keys_of(&all).collect();
        assert!(keys.iter().copied().eq(at_once.keys_of(&all)));
        for key in keys {
            let values = |index: &HeadIndex| {
                let mut values = Vec::new();
                index.each_value_of(key, &mut |value, ids| {
                    values.push((value.to_owned(), ids.iter().collect::<Vec<u32>>()));
                });
                values.sort();
                values
            };
            assert_eq!(values(&one_by_one), values(&at_once), "{key}");
        }
    }

    #[test]
    fn a_posting_is_small() {
        assert_eq!(size_of::<Posting>(), 16);
    }
}
