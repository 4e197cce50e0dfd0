//! The head's inverted index: postings per tag pair, tag sets per (partition, measurement).

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use crate::Result;
use crate::model::TagSet;
use crate::partition::PartitionId;
use crate::predicate::TagIndex;

/// Grows with the tag sets of one generation and leaves with it.
#[derive(Debug, Default)]
pub(crate) struct HeadIndex {
    all: RoaringBitmap,
    tags: BTreeMap<Box<str>, BTreeMap<Box<str>, RoaringBitmap>>,
    measurements: HashMap<(PartitionId, Arc<str>), RoaringBitmap>,
}

impl HeadIndex {
    pub(crate) fn add_tag_set(&mut self, id: u32, tags: &TagSet) {
        self.all.insert(id);
        for (key, value) in tags.pairs() {
            let values = match self.tags.get_mut(key.as_ref()) {
                Some(values) => values,
                None => self.tags.entry(key.as_ref().into()).or_default(),
            };
            match values.get_mut(value.as_ref()) {
                Some(ids) => ids.insert(id),
                None => values.entry(value.as_ref().into()).or_default().insert(id),
            };
        }
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
        Ok(found.cloned().unwrap_or_default())
    }

    fn each_value(&self, key: &str, visit: &mut dyn FnMut(&str, &RoaringBitmap)) -> Result<()> {
        for (value, ids) in self.tags.get(key).into_iter().flatten() {
            visit(value, ids);
        }
        Ok(())
    }
}
