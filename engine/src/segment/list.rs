//! Lists the tag sets of a segment, its tag keys and the values of tags.

use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::layout::TAG_SETS_GROUP;
use super::listed::{LIST_MAX, ReadGroup, ReadTagSet};
use super::reader::Segment;
use crate::Result;
use crate::model::TagSet;
use crate::model::tags::unescaped;
use crate::snapshot::{Listed, TagValues};

/// A group of tag sets is read as a whole, and kept, where at least this part of it is listed.
const GROUP_SHARE: usize = 4;

/// Reading a tag set takes about as long as looking at so many values of a tag.
const VALUES_FOR_TAG_SET: u64 = 2;

impl Segment {
    /// Calls `visit` with the canonical text of each of `ids`, in order: quicker than one by one.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], and what `visit` returns.
    pub fn each_tag_set(
        &self,
        ids: &RoaringBitmap,
        visit: &mut dyn FnMut(u32, &str) -> Result<()>,
    ) -> Result<()> {
        let (pages, schema, symbols) = (&self.pages, &self.schema, &self.symbols);
        self.tag_sets
            .each(pages, schema, symbols, ids.iter(), visit)
    }

    /// The tag sets of `ids`, which stand in canonical order, and the values that they have of
    /// `keys`.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub(crate) fn list(&self, ids: &RoaringBitmap, keys: &[Arc<str>]) -> Result<Listed> {
        let count = usize::try_from(ids.len()).unwrap_or(0);
        let mut tag_sets: Vec<(u32, TagSet)> = Vec::with_capacity(count);
        let places = keys.iter().map(|key| self.places_of(key));
        let places: Option<Vec<Places>> = places.collect::<Result<_>>()?;
        let Some(places) = places else {
            self.each_tag_set(ids, &mut |id, text| {
                tag_sets.push((id, TagSet::from_canonical(text)));
                Ok(())
            })?;
            let sets = || tag_sets.iter().map(|(_, tags)| tags);
            let tags = keys.iter().map(|key| TagValues::of_texts(key, sets()));
            return Ok(Listed {
                tags: tags.collect(),
                tag_sets,
            });
        };
        // By key: one more than the symbol of each one's value; 0 where it has none.
        let mut values: Vec<Vec<u32>> = keys.iter().map(|_| Vec::with_capacity(count)).collect();
        self.each_listed(ids, |id, tags, shape, symbols| {
            tag_sets.push((id, tags));
            for (values, places) in values.iter_mut().zip(&places) {
                let place = places.get(shape).copied().flatten();
                values.push(place.map_or(0, |at| symbols[at].saturating_add(1)));
            }
        })?;
        let text = |number: u32| match number.checked_sub(1) {
            None => Ok("".into()),
            Some(symbol) => {
                let raw = self.symbols.text(&self.pages, symbol)?;
                Ok(Arc::from(&*unescaped(raw)))
            }
        };
        let tags = values
            .into_iter()
            .map(|numbers| TagValues::of_numbers(numbers, text));
        Ok(Listed {
            tag_sets,
            tags: tags.collect::<Result<_>>()?,
        })
    }

    /// Calls `visit` with each of `ids`, in order: its tag set, its shape, and the symbols of its
    /// values. Groups of which much is wanted are kept for the next time.
    fn each_listed(
        &self,
        ids: &RoaringBitmap,
        mut visit: impl FnMut(u32, TagSet, usize, &[u32]),
    ) -> Result<()> {
        let all: Vec<u32> = ids.iter().collect();
        let may_keep = ids.len() <= LIST_MAX;
        for same in all.chunk_by(|a, b| a / TAG_SETS_GROUP == b / TAG_SETS_GROUP) {
            let Some(group) = self.group_of(same, may_keep)? else {
                self.each_read(same, &mut visit)?;
                continue;
            };
            for id in same {
                let one = &group[(id % TAG_SETS_GROUP) as usize];
                visit(*id, one.tags.clone(), one.shape, &one.symbols);
            }
        }
        Ok(())
    }

    /// The group that all of `same` belong to, where it is kept or worth keeping; none where one of
    /// them is not there, which reading it says.
    fn group_of(&self, same: &[u32], may_keep: bool) -> Result<Option<ReadGroup>> {
        let number = same[0] / TAG_SETS_GROUP;
        let first = number * TAG_SETS_GROUP;
        let end = first.saturating_add(TAG_SETS_GROUP);
        let whole = first..self.tag_sets.count().min(end);
        if !same.iter().all(|id| whole.contains(id)) {
            return Ok(None);
        }
        if let Some(group) = self.listed.find(number) {
            return Ok(Some(group));
        }
        let is_worth_it = may_keep && same.len() * GROUP_SHARE >= whole.len();
        is_worth_it.then(|| self.read_group(whole)).transpose()
    }

    /// As [`Self::each_listed`], of tag sets that are not kept.
    fn each_read(
        &self,
        ids: &[u32],
        visit: &mut impl FnMut(u32, TagSet, usize, &[u32]),
    ) -> Result<()> {
        self.tag_sets.each_with_values(
            &self.pages,
            &self.schema,
            &self.symbols,
            ids.iter().copied(),
            &mut |id, text, shape, symbols| {
                visit(id, TagSet::from_canonical(text), shape, symbols);
            },
        )
    }

    /// Reads a group and keeps it.
    fn read_group(&self, ids: Range<u32>) -> Result<ReadGroup> {
        let number = ids.start / TAG_SETS_GROUP;
        let all: Vec<u32> = ids.collect();
        let mut group = Vec::with_capacity(all.len());
        self.each_read(&all, &mut |_, tags, shape, symbols| {
            group.push(ReadTagSet {
                tags,
                shape,
                symbols: symbols.into(),
            });
        })?;
        let group = group.into();
        self.listed.keep(number, &group);
        Ok(group)
    }

    /// Calls `visit` with each value that some of `ids` have at a tag, unescaped, and with those
    /// ids; in order of the escaped values.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], and what `visit` returns.
    pub(crate) fn each_value_of(
        &self,
        key: &str,
        ids: &RoaringBitmap,
        visit: &mut dyn FnMut(&str, &[u32]) -> Result<()>,
    ) -> Result<()> {
        let Some(there) = self.schema.key(key) else {
            return Ok(());
        };
        let mut visit = |symbol: u32, ids: &[u32]| {
            let raw = self.symbols.text(&self.pages, symbol)?;
            visit(&unescaped(raw), ids)
        };
        let places = self.places_of(key)?;
        let are_few = ids.len() < u64::from(there.values) / VALUES_FOR_TAG_SET;
        let Some(places) = places.filter(|_| are_few) else {
            let mut both = Vec::new();
            return self.postings_of(there).each_symbol(&mut |symbol, with| {
                with.within(ids, &mut both);
                if !both.is_empty() {
                    visit(symbol, &both)?;
                }
                Ok(true)
            });
        };
        let mut values: Vec<(u32, u32)> = Vec::new();
        self.tag_sets.each_values(
            &self.pages,
            &self.schema,
            ids.iter(),
            &mut |id, shape, symbols| {
                if let Some(at) = places.get(shape).copied().flatten() {
                    values.push((symbols[at], id));
                }
            },
        )?;
        values.sort_unstable();
        let mut with = Vec::new();
        for same in values.chunk_by(|a, b| a.0 == b.0) {
            with.clear();
            with.extend(same.iter().map(|(_, id)| *id));
            visit(same[0].0, &with)?;
        }
        Ok(())
    }

    /// The tag keys that a tag set of the measurement has, sorted.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub fn tag_keys(&self, measurement: &str) -> Result<Vec<Arc<str>>> {
        let ids = self.measurement_ids(measurement)?;
        let mut keys = Vec::new();
        for key in &self.schema.keys {
            let mut has = false;
            self.postings_of(key).each_symbol(&mut |_, with| {
                has = !with.is_disjoint(&ids);
                Ok(!has)
            })?;
            if has {
                keys.push(Arc::clone(&key.name));
            }
        }
        Ok(keys)
    }

    /// Where each shape of tag sets has a key; none where some tag set is kept as a text.
    fn places_of(&self, wanted: &str) -> Result<Option<Places>> {
        let mut places = Vec::with_capacity(self.schema.shapes.len());
        for shape in &self.schema.shapes {
            let mut place = None;
            for (at, key) in shape.iter().enumerate() {
                let key = self.symbols.text(&self.pages, *key)?;
                if key.is_empty() {
                    return Ok(None);
                }
                if unescaped(key) == wanted {
                    place = Some(at);
                }
            }
            places.push(place);
        }
        Ok(Some(places))
    }
}

/// By shape: where it has a key.
type Places = Vec<Option<usize>>;
