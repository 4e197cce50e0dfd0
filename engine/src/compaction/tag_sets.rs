//! The tag sets of several segments as one list in canonical order.

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use crate::model::TagSet;
use crate::segment::Segment;
use crate::{Error, Result};

/// The union of several segments' tag sets. A tag set's place in it grows with its id in every
/// segment, since both follow canonical order.
#[derive(Debug)]
pub(super) struct TagSets {
    sets: Vec<TagSet>,
    /// For each segment, the place of each id.
    places: Vec<Vec<u32>>,
}

impl TagSets {
    /// Reads those of `segments`.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(super) fn of<'a>(segments: impl Iterator<Item = &'a Segment>) -> Result<Self> {
        let mut numbers: HashMap<TagSet, u32> = HashMap::new();
        let mut places = Vec::new();
        for segment in segments {
            let all = RoaringBitmap::from_iter(0..segment.tag_sets_count());
            let mut here = Vec::with_capacity(segment.tag_sets_count() as usize);
            segment.each_tag_set(&all, &mut |_, text| {
                let next = u32::try_from(numbers.len()).map_err(|_| Error::Limit {
                    what: "tag sets of a partition",
                    got: numbers.len() as u64,
                    limit: u64::from(u32::MAX),
                })?;
                let tags = TagSet::from_canonical(text);
                here.push(*numbers.entry(tags).or_insert(next));
                Ok(())
            })?;
            places.push(here);
        }
        let mut sorted: Vec<(TagSet, u32)> = numbers.into_iter().collect();
        sorted.sort_unstable_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        let mut ranks = vec![0u32; sorted.len()];
        for (rank, (_, number)) in (0u32..).zip(&sorted) {
            ranks[*number as usize] = rank;
        }
        for place in places.iter_mut().flatten() {
            *place = ranks[*place as usize];
        }
        Ok(Self {
            sets: sorted.into_iter().map(|(tags, _)| tags).collect(),
            places,
        })
    }

    /// The tag set at a place.
    pub(super) fn tags(&self, place: u32) -> &TagSet {
        &self.sets[place as usize]
    }

    /// The place of a segment's id, if it has that id.
    pub(super) fn place(&self, segment: usize, id: u32) -> Option<u32> {
        self.places[segment].get(id as usize).copied()
    }

    /// The ids of a segment whose places lie from `first` to `last`.
    pub(super) fn ids_between(&self, segment: usize, first: u32, last: u32) -> RoaringBitmap {
        let places = &self.places[segment];
        let start = places.partition_point(|place| *place < first);
        let end = places.partition_point(|place| *place <= last);
        let id = |at: usize| u32::try_from(at).expect("ids are 32 bits");
        RoaringBitmap::from_iter(id(start)..id(end))
    }
}
