//! A batch of points on its way into the engine.
//!
//! Names, tag sets and strings are kept once each in arenas, so that a container's fifteen
//! metrics cost one tag set; consecutive points share it by number.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::{FieldValue, TagSet, Timestamp};

/// Points to write together. Points of equal series and time overwrite field by field, in order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    names: Vec<Arc<str>>,
    name_ids: HashMap<Arc<str>, u32>,
    tag_sets: Vec<TagSet>,
    /// Numbers of the tag sets, by the hash of their texts.
    tag_set_ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Where the engine found each tag set the last time.
    places: Vec<Place>,
    points: Vec<Entry>,
    fields: Vec<(u32, FieldValue)>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    measurement: u32,
    tag_set: u32,
    time: Timestamp,
    fields_end: u32,
}

/// Where a tag set was found in a head: what a batch that is written again and again with other
/// points saves is the look for it. It may be stale, so who uses it compares what is there.
#[derive(Debug, Default)]
pub(crate) struct Place(AtomicU64);

impl Clone for Place {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.get()))
    }
}

impl Place {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, place: u64) {
        self.0.store(place, Ordering::Relaxed);
    }
}

/// One point of a batch. Name and tag-set numbers index [`Batch::names`] and [`Batch::tag_sets`].
#[derive(Debug, Clone, Copy)]
pub struct Point<'a> {
    /// Number of the measurement's name.
    pub measurement: u32,
    /// Number of the tag set.
    pub tag_set: u32,
    /// The point's time.
    pub time: Timestamp,
    /// Field name numbers and values, at least one.
    pub fields: &'a [(u32, FieldValue)],
}

impl Batch {
    /// Interns a measurement's or field's name.
    pub fn name(&mut self, name: &str) -> u32 {
        if let Some(id) = self.name_ids.get(name) {
            return *id;
        }
        let name: Arc<str> = name.into();
        let id = number(self.names.len());
        self.names.push(Arc::clone(&name));
        self.name_ids.insert(name, id);
        id
    }

    /// Interns a tag set.
    pub fn tag_set(&mut self, tags: &TagSet) -> u32 {
        if let Some(last) = self.tag_sets.last()
            && last == tags
        {
            return number(self.tag_sets.len() - 1);
        }
        let hash_of = |tags: &TagSet| self.hasher.hash_one(tags.as_str());
        let hash = hash_of(tags);
        let same = |id: &u32| self.tag_sets[*id as usize] == *tags;
        if let Some(id) = self.tag_set_ids.find(hash, same) {
            return *id;
        }
        let id = number(self.tag_sets.len());
        self.tag_sets.push(tags.clone());
        self.places.push(Place::default());
        let tag_sets = &self.tag_sets;
        self.tag_set_ids
            .insert_unique(hash, id, |id| hash_of(&tag_sets[*id as usize]));
        id
    }

    /// Adds a point of interned parts; a point without fields is left out.
    pub fn push(
        &mut self,
        measurement: u32,
        tag_set: u32,
        time: Timestamp,
        fields: impl IntoIterator<Item = (u32, FieldValue)>,
    ) {
        let before = self.fields.len();
        self.fields.extend(fields);
        if self.fields.len() > before {
            let fields_end = number(self.fields.len());
            self.points.push(Entry {
                measurement,
                tag_set,
                time,
                fields_end,
            });
        }
    }

    /// Takes all points out. Names and tag sets stay, with their numbers.
    pub fn clear_points(&mut self) {
        self.points.clear();
        self.fields.clear();
    }

    /// How much memory it keeps for points.
    #[must_use]
    pub fn room_bytes(&self) -> usize {
        self.points.capacity() * size_of::<Entry>()
            + self.fields.capacity() * size_of::<(u32, FieldValue)>()
    }

    /// Adds a point; a convenience for callers that are not in a hurry.
    pub fn add<'a>(
        &mut self,
        measurement: &str,
        tags: &TagSet,
        time: Timestamp,
        fields: impl IntoIterator<Item = (&'a str, FieldValue)>,
    ) {
        let measurement = self.name(measurement);
        let tag_set = self.tag_set(tags);
        let fields: Vec<_> = fields.into_iter().map(|(k, v)| (self.name(k), v)).collect();
        self.push(measurement, tag_set, time, fields);
    }

    /// The points in the order they were added.
    pub fn points(&self) -> impl ExactSizeIterator<Item = Point<'_>> {
        let mut start = 0;
        self.points.iter().map(move |entry| {
            let end = entry.fields_end as usize;
            let fields = &self.fields[start..end];
            start = end;
            Point {
                measurement: entry.measurement,
                tag_set: entry.tag_set,
                time: entry.time,
                fields,
            }
        })
    }

    /// The interned names, by number.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The interned tag sets, by number.
    #[must_use]
    pub fn tag_sets(&self) -> &[TagSet] {
        &self.tag_sets
    }

    /// Where the engine found a tag set the last time.
    pub(crate) fn place(&self, tag_set: u32) -> &Place {
        &self.places[tag_set as usize]
    }

    /// How many points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Roughly how much memory it holds, without the texts of tag sets, which it may share.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Entry>() * self.points.len()
            + size_of::<(u32, FieldValue)>() * self.fields.len()
            + (size_of::<TagSet>() + size_of::<u32>()) * self.tag_sets.len()
            + size_of::<(Arc<str>, Arc<str>, u32)>() * self.names.len()
    }

    /// How many field values in all points.
    #[must_use]
    pub fn values_count(&self) -> usize {
        self.fields.len()
    }
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("a batch is bounded by the request body, far below 2^32 parts")
}
