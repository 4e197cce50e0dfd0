//! The head's inverted index: postings per tag pair, tag sets per (partition, measurement).

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use crate::Result;
use crate::model::TagSet;
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

/// Grows with the tag sets of one generation and leaves with it.
#[derive(Debug, Default)]
pub(crate) struct HeadIndex {
    all: RoaringBitmap,
    tags: BTreeMap<Box<str>, BTreeMap<Box<str>, Posting>>,
    measurements: HashMap<(PartitionId, Arc<str>), RoaringBitmap>,
}

impl HeadIndex {
    /// Answers roughly how many bytes that took.
    pub(crate) fn add_tag_set(&mut self, id: u32, tags: &TagSet) -> usize {
        let mut bytes = 0;
        self.all.insert(id);
        for (key, value) in tags.pairs() {
            let values = match self.tags.get_mut(key.as_ref()) {
                Some(values) => values,
                None => self.tags.entry(key.as_ref().into()).or_default(),
            };
            match values.get_mut(value.as_ref()) {
                Some(ids) => ids.insert(id),
                None => {
                    values.insert(value.as_ref().into(), Posting::of(id));
                    bytes += value.len() + VALUE_BYTES;
                }
            }
        }
        bytes
    }

    pub(crate) fn add_series(
        &mut self,
        partition: PartitionId,
        measurement: &Arc<str>,
        tag_set: u32,
    ) {
        self.measurements
            .entry((partition, Arc::clone(measurement)))
            .or_default()
            .insert(tag_set);
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

    /// How many values a tag has.
    pub(crate) fn values_count(&self, key: &str) -> usize {
        self.tags.get(key).map_or(0, BTreeMap::len)
    }

    /// Calls `visit` with each value of a tag.
    pub(crate) fn each_value_of(&self, key: &str, visit: &mut dyn FnMut(&str, &RoaringBitmap)) {
        for (value, posting) in self.tags.get(key).into_iter().flatten() {
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
            .filter(move |(_, values)| values.values().any(|posting| !posting.is_disjoint(ids)))
            .map(|(key, _)| key.as_ref())
    }
}

impl TagIndex for HeadIndex {
    fn all(&self) -> Result<RoaringBitmap> {
        Ok(self.all.clone())
    }

    fn postings(&self, key: &str, value: &str) -> Result<RoaringBitmap> {
        let found = self.tags.get(key).and_then(|values| values.get(value));
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
    fn a_posting_is_small() {
        assert_eq!(size_of::<Posting>(), 16);
    }
}
