//! Lists the series of a measurement in canonical order, with the values of tags as numbers.

use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use super::{Series, SourceKind, View, select};
use crate::Result;
use crate::model::{TagFinder, TagSet, TimeRange};
use crate::predicate::TagPredicate;
use crate::segment::Segment;

/// Series of a measurement in canonical order, and their values of some tags.
#[derive(Debug, Default)]
pub struct Listing {
    /// The series.
    pub series: Vec<Series>,
    /// The values of each tag that was asked for.
    pub tags: Vec<TagValues>,
}

/// The values that listed series have of one tag.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct TagValues {
    /// Each value once, ascending; series without the tag have the empty one.
    pub texts: Vec<Arc<str>>,
    /// By series: the place of its value in `texts`.
    pub numbers: Vec<u32>,
}

/// What one source lists.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Numbers and tag sets, in canonical order.
    pub(crate) tag_sets: Vec<(u32, TagSet)>,
    /// The values of each tag that was asked for.
    pub(crate) tags: Vec<TagValues>,
}

impl View {
    /// Series of a measurement that fulfil the predicate, in canonical order, that may have a
    /// point in the range; [`Self::has_points`] answers exactly.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub fn series(&self, measurement: &str, predicate: &TagPredicate) -> Result<Vec<Series>> {
        Ok(self.list(measurement, predicate, &[])?.series)
    }

    /// As [`Self::series`], with the values that they have of the tags `keys`.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub fn list(
        &self,
        measurement: &str,
        predicate: &TagPredicate,
        keys: &[Arc<str>],
    ) -> Result<Listing> {
        let measurement: Arc<str> = measurement.into();
        let mut listing = Listing {
            series: Vec::new(),
            tags: keys.iter().map(|_| TagValues::default()).collect(),
        };
        let mut runs = 0;
        for (number, source) in (0_u32..).zip(&self.sources) {
            let mut listed = match &source.kind {
                SourceKind::Head(head) => {
                    head.list(source.partition, &measurement, predicate, keys)?
                }
                SourceKind::Segment(segment) => {
                    let ids = select(segment, &measurement, predicate)?;
                    let ids = self.within(segment, &measurement, ids)?;
                    segment.list(&ids, keys)?
                }
            };
            if source.is_masked(&measurement) {
                let mut left = Vec::with_capacity(listed.tag_sets.len());
                for (id, tags) in &listed.tag_sets {
                    left.push(self.is_left(&measurement, tags, (number, *id))?);
                }
                listed.retain(&left);
            }
            runs += usize::from(!listed.tag_sets.is_empty());
            listing.append(&measurement, number, listed);
        }
        if runs > 1 {
            listing.merge();
        }
        Ok(listing)
    }

    /// Those of a segment's ids of which the bounds overlap the range.
    fn within(
        &self,
        segment: &Segment,
        measurement: &str,
        ids: RoaringBitmap,
    ) -> Result<RoaringBitmap> {
        let all = segment.time_range();
        if self.range.intersect(&all) == all {
            return Ok(ids);
        }
        let mut within = RoaringBitmap::new();
        segment.each_bounds(measurement, &ids, &mut |id, start, end| {
            if (TimeRange { start, end }).overlaps(&self.range) {
                within.insert(id);
            }
        })?;
        Ok(within)
    }
}

impl Listing {
    /// Takes what a source lists.
    fn append(&mut self, measurement: &Arc<str>, source: u32, listed: Listed) {
        let series = listed.tag_sets.into_iter().map(|(id, tags)| Series {
            measurement: Arc::clone(measurement),
            tags,
            places: SmallVec::from_slice(&[(source, id)]),
        });
        self.series.extend(series);
        for (tag, listed) in self.tags.iter_mut().zip(listed.tags) {
            tag.append(listed);
        }
    }

    /// Puts the series of several sources in order, and those of one tag set together.
    fn merge(&mut self) {
        let series = std::mem::take(&mut self.series).into_iter();
        let mut found: Vec<(Series, u32)> = series.zip(0..).collect();
        // Stable: the places of one tag set stay in the order of sources. Runs are merged.
        found.sort_by(|(a, _), (b, _)| a.tags.cmp(&b.tags));
        let mut kept: Vec<u32> = Vec::with_capacity(found.len());
        for (series, at) in found {
            match self.series.last_mut() {
                Some(last) if last.tags == series.tags => last.places.extend(series.places),
                _ => {
                    self.series.push(series);
                    kept.push(at);
                }
            }
        }
        for tag in &mut self.tags {
            let numbers = kept.iter().map(|at| tag.numbers[*at as usize]);
            tag.numbers = numbers.collect();
            tag.sort();
        }
    }
}

impl Listed {
    /// Keeps those for which `left` says so.
    fn retain(&mut self, left: &[bool]) {
        let mut of = left.iter();
        self.tag_sets.retain(|_| *of.next().unwrap_or(&false));
        for tag in &mut self.tags {
            let mut of = left.iter();
            tag.numbers.retain(|_| *of.next().unwrap_or(&false));
            tag.forget_unused();
        }
    }
}

impl TagValues {
    /// The values behind numbers, in whose order they need not be.
    pub(crate) fn of_numbers(
        numbers: Vec<u32>,
        text: impl FnMut(u32) -> Result<Arc<str>>,
    ) -> Result<Self> {
        let mut used = numbers.clone();
        used.sort_unstable();
        used.dedup();
        let place = |number: u32| used.partition_point(|there| *there < number);
        let place = |number| u32::try_from(place(number)).expect("fewer values than series");
        let mut values = Self {
            numbers: numbers.into_iter().map(place).collect(),
            texts: used.iter().copied().map(text).collect::<Result<_>>()?,
        };
        values.sort();
        Ok(values)
    }

    /// The values of `key` in the texts of tag sets.
    pub(crate) fn of_texts<'a>(key: &str, tag_sets: impl Iterator<Item = &'a TagSet>) -> Self {
        let finder = TagFinder::new(key);
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut values = Self::default();
        for tags in tag_sets {
            let raw = finder.find(tags.as_str()).unwrap_or_default();
            let number = *known.entry(raw).or_insert_with(|| {
                values.texts.push(TagFinder::unescaped(raw).into());
                u32::try_from(values.texts.len() - 1).expect("fewer values than tag sets")
            });
            values.numbers.push(number);
        }
        values.sort();
        values
    }

    /// The values of those series for which `wanted` says so, but for the empty one.
    pub(crate) fn of_those(&self, wanted: impl Iterator<Item = bool>) -> Vec<Arc<str>> {
        let mut found = vec![false; self.texts.len()];
        for (number, wanted) in self.numbers.iter().zip(wanted) {
            found[*number as usize] |= wanted;
        }
        let texts = self.texts.iter().zip(found);
        let texts = texts.filter(|(text, found)| *found && !text.is_empty());
        texts.map(|(text, _)| Arc::clone(text)).collect()
    }

    /// Takes the values of more series.
    fn append(&mut self, more: Self) {
        if self.texts.is_empty() {
            *self = more;
            return;
        }
        let behind = u32::try_from(self.texts.len()).expect("fewer values than tag sets");
        self.texts.extend(more.texts);
        let numbers = more.numbers.into_iter();
        self.numbers.extend(numbers.map(|number| number + behind));
    }

    /// Puts the texts in order, each once.
    fn sort(&mut self) {
        if self.texts.is_sorted_by(|a, b| a < b) {
            return;
        }
        let texts = std::mem::take(&mut self.texts);
        let mut order: Vec<(Arc<str>, usize)> = texts.into_iter().zip(0..).collect();
        order.sort_unstable();
        let mut places = vec![0_u32; order.len()];
        for (text, number) in order {
            if self.texts.last() != Some(&text) {
                self.texts.push(text);
            }
            let place = u32::try_from(self.texts.len() - 1);
            places[number] = place.expect("fewer values than tag sets");
        }
        for number in &mut self.numbers {
            *number = places[*number as usize];
        }
    }

    /// Leaves out the values that no series has any more.
    fn forget_unused(&mut self) {
        let numbers = std::mem::take(&mut self.numbers);
        let texts = std::mem::take(&mut self.texts);
        let text = |number: u32| Ok(Arc::clone(&texts[number as usize]));
        *self = Self::of_numbers(numbers, text).expect("what is there is found");
    }
}
