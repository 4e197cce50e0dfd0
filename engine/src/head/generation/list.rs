//! Lists tag sets in canonical order, and values of tags.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::Result;
use crate::model::{TagSet, TimeRange};
use crate::partition::PartitionId;
use crate::predicate::TagPredicate;
use crate::snapshot::{Listed, TagValues};

use super::Generation;

/// Finding values in texts takes so much longer than in columns by number, each.
const COLUMN_FOR_TEXTS: u64 = 8;

impl Generation {
    /// The tag sets of a measurement that fulfil `predicate`, in canonical order, and the values
    /// that they have of `keys`.
    pub(crate) fn list(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
        predicate: &TagPredicate,
        keys: &[Arc<str>],
    ) -> Result<Listed> {
        let ids = self.select(partition, measurement, predicate)?;
        let Some((known, grown)) = self.listing.known(ids.len(), keys) else {
            return Ok(self.list_by_text(&ids, keys));
        };
        self.add_bytes(grown.cast_signed());
        let order = known.in_order(&ids);
        let values = |key: &Arc<str>| {
            let tag = known.tag(key);
            let ranks = order.iter().map(|id| tag.rank(*id)).collect();
            TagValues::of_numbers(ranks, |rank| Ok(Arc::clone(tag.text(rank))))
        };
        let tags = keys.iter().map(values).collect::<Result<_>>()?;
        let tag_sets = order.iter().map(|id| (*id, known.tag_set(*id).clone()));
        Ok(Listed {
            tag_sets: tag_sets.collect(),
            tags,
        })
    }

    fn list_by_text(&self, ids: &RoaringBitmap, keys: &[Arc<str>]) -> Listed {
        let mut tag_sets: Vec<(u32, TagSet)> = self.tag_sets(ids).collect();
        tag_sets.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        let sets = || tag_sets.iter().map(|(_, tags)| tags);
        let tags = keys.iter().map(|key| TagValues::of_texts(key, sets()));
        Listed {
            tags: tags.collect(),
            tag_sets,
        }
    }

    fn tag_sets(&self, ids: &RoaringBitmap) -> impl Iterator<Item = (u32, TagSet)> {
        ids.iter().filter_map(|id| Some((id, self.tags(id)?)))
    }

    /// The values of a tag that tag sets of a measurement have which fulfil `predicate` and have a
    /// point in `range`, ascending.
    pub(crate) fn tag_values(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
        key: &Arc<str>,
        predicate: &TagPredicate,
        range: TimeRange,
    ) -> Result<Vec<Arc<str>>> {
        let ids = self.select(partition, measurement, predicate)?;
        let columns = self.columns_of_measurement(partition, measurement);
        let has_points = |id| self.has_points_of(id, partition, &columns, range);
        let keys = std::slice::from_ref(key);
        let Some((known, grown)) = self.listing.known(ids.len(), keys) else {
            let tag_sets: Vec<(u32, TagSet)> = self.tag_sets(&ids).collect();
            let values = TagValues::of_texts(key, tag_sets.iter().map(|(_, tags)| tags));
            return Ok(values.of_those(tag_sets.iter().map(|(id, _)| has_points(*id))));
        };
        self.add_bytes(grown.cast_signed());
        let tag = known.tag(key);
        if ids.len() * COLUMN_FOR_TEXTS < tag.ranks() as u64 {
            let mut ranked: Vec<(u32, u32)> = ids.iter().map(|id| (tag.rank(id), id)).collect();
            ranked.sort_unstable();
            let same = ranked.chunk_by(|(a, _), (b, _)| a == b);
            let same = same.filter(|ids| ids[0].0 > 0 && ids.iter().any(|(_, id)| has_points(*id)));
            return Ok(same.map(|ids| Arc::clone(tag.text(ids[0].0))).collect());
        }
        let mut found = vec![false; tag.ranks()];
        for id in &ids {
            let rank = tag.rank(id);
            let found = &mut found[rank as usize];
            *found |= rank > 0 && (*found || has_points(id));
        }
        let ranks = (0_u32..).zip(found).filter(|(_, found)| *found);
        Ok(ranks.map(|(rank, _)| Arc::clone(tag.text(rank))).collect())
    }
}
