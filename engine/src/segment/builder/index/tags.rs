//! The tag sets of a segment, taken apart: what each is stored as, and which have a tag.
//!
//! In canonical order a tag set has most of its tags from the one before it, so that these are
//! compared and not looked up.

use hashbrown::HashMap;

use super::texts::Texts;
use crate::model::TagSet;
use crate::model::tags::raw_pairs;

/// See the module. Texts are numbered as they came.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// The keys of each shape.
    pub(super) shapes: Vec<Vec<u32>>,
    shape_numbers: HashMap<Vec<u32>, u32>,
    /// Of each tag set its shape, and behind it its values, as many as the shape has keys.
    pub(super) sets: Vec<u32>,
    /// Of each tag its key and value, and the ids of the tag sets that are found by it, ascending.
    pub(super) tags: Vec<Tag>,
    tag_numbers: HashMap<(u32, u32), u32>,
}

#[derive(Debug)]
pub(super) struct Tag {
    pub(super) key: u32,
    pub(super) value: u32,
    pub(super) ids: Vec<u32>,
}

/// A pair of the tag set before.
struct Before<'b> {
    pair: (&'b str, &'b str),
    key: u32,
    value: u32,
    tag: u32,
}

impl Tags {
    /// Takes apart tag sets, which come in the order of their ids.
    pub(super) fn of<'b>(
        tag_sets: impl Iterator<Item = &'b TagSet>,
        texts: &mut Texts<'b>,
    ) -> Self {
        let mut all = Self::default();
        let mut before: Vec<Before<'b>> = Vec::new();
        let mut shape = 0;
        for (id, tags) in (0..).zip(tag_sets) {
            if !is_sound(tags) {
                before.clear();
                all.add_unsound(id, tags, texts);
                continue;
            }
            let (mut count, mut is_same_shape) = (0, !before.is_empty());
            let start = all.sets.len();
            all.sets.push(shape);
            for (at, pair) in raw_pairs(tags.as_str()).enumerate() {
                count += 1;
                match before.get_mut(at) {
                    Some(known) if known.pair == pair => {}
                    Some(known) => {
                        if known.pair.0 != pair.0 {
                            known.key = texts.number(pair.0);
                            is_same_shape = false;
                        }
                        known.value = texts.number(pair.1);
                        known.tag = all.tag(known.key, known.value);
                        known.pair = pair;
                    }
                    None => {
                        let (key, value) = (texts.number(pair.0), texts.number(pair.1));
                        let tag = all.tag(key, value);
                        before.push(Before {
                            pair,
                            key,
                            value,
                            tag,
                        });
                        is_same_shape = false;
                    }
                }
                all.sets.push(before[at].value);
                all.tags[before[at].tag as usize].ids.push(id);
            }
            if before.len() > count {
                before.truncate(count);
                is_same_shape = false;
            }
            if !is_same_shape {
                shape = all.shape(before.iter().map(|pair| pair.key).collect());
                all.sets[start] = shape;
            }
        }
        all
    }

    /// A tag set that its pairs do not make up: its whole text stands under the empty key.
    fn add_unsound<'b>(&mut self, id: u32, tags: &'b TagSet, texts: &mut Texts<'b>) {
        let whole = tags.as_str();
        let key = texts.number("");
        let shape = self.shape(vec![key]);
        self.sets.extend([shape, texts.number(whole)]);
        for (key, value) in raw_pairs(whole).filter(|(_, value)| !value.is_empty()) {
            let (key, value) = (texts.number(key), texts.number(value));
            let tag = self.tag(key, value);
            let ids = &mut self.tags[tag as usize].ids;
            // It may have a tag twice.
            if ids.last() != Some(&id) {
                ids.push(id);
            }
        }
    }

    fn shape(&mut self, keys: Vec<u32>) -> u32 {
        let next = u32::try_from(self.shapes.len()).expect("no more shapes than tag sets");
        let shape = *self.shape_numbers.entry_ref(&keys).or_insert(next);
        if shape == next {
            self.shapes.push(keys);
        }
        shape
    }

    fn tag(&mut self, key: u32, value: u32) -> u32 {
        let next = u32::try_from(self.tags.len()).expect("2^32 tags do not fit in memory");
        let tag = *self.tag_numbers.entry((key, value)).or_insert(next);
        if tag == next {
            self.tags.push(Tag {
                key,
                value,
                ids: Vec::new(),
            });
        }
        tag
    }
}

/// Whether the pairs of a tag set make up its text: a key that ends in `\` swallows its `=`.
fn is_sound(tags: &TagSet) -> bool {
    let whole = tags.as_str();
    let (mut len, mut sound) = (0, true);
    for (key, value) in raw_pairs(whole) {
        sound &= !key.is_empty() && !value.is_empty();
        len += key.len() + value.len() + 2;
    }
    // Each pair has its `=`, and all but the last their `,`.
    sound && len == whole.len() + usize::from(!whole.is_empty())
}
