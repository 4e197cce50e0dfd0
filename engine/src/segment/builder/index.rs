//! The sections by which a segment's series are found: symbols, tag sets, postings, schema.

use std::cmp::Ordering;

use hashbrown::HashMap;

use super::SegmentBuilder;
use super::plan::Plan;
use crate::Result;
use crate::model::TagSet;
use crate::model::tags::{raw_pairs, unescaped};
use crate::segment::bounds::{self, ObjectsEncoder};
use crate::segment::layout::Section;
use crate::segment::schema::SchemaEncoder;
use crate::segment::tag_sets::TagSetsEncoder;
use crate::segment::{postings, symbols};

/// The sections that the tag sets and names go to, encoded.
pub(super) struct IndexSections(pub(super) [(Section, Vec<u8>); 5]);

impl IndexSections {
    pub(super) fn encode(builder: &SegmentBuilder, plan: &Plan) -> Result<Self> {
        let (texts, numbers) = symbols_of(builder);
        let symbol = |text: &str| numbers[text];
        let mut objects = ObjectsEncoder::default();
        let mut schema = SchemaEncoder::default();
        encode_measurements(builder, plan, &symbol, &mut objects, &mut schema);

        let mut shapes: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut shape_order: Vec<Vec<u32>> = Vec::new();
        let mut tag_sets = TagSetsEncoder::default();
        let mut tags_of: HashMap<(u32, u32), Vec<u32>> = HashMap::new();
        for (id, number) in (0u32..).zip(&plan.tag_sets) {
            let tags = &builder.tag_sets.items[*number as usize];
            let (mut shape, mut values) = (Vec::new(), Vec::new());
            for (key, value) in stored_pairs(tags) {
                shape.push(symbol(key));
                values.push(symbol(value));
            }
            for (key, value) in indexed_pairs(tags) {
                let tag = (symbol(key), symbol(value));
                tags_of.entry(tag).or_default().push(id);
            }
            let next = u32::try_from(shapes.len()).expect("no more shapes than tag sets");
            let shape = *shapes.entry(shape).or_insert_with_key(|keys| {
                shape_order.push(keys.clone());
                next
            });
            tag_sets.push(shape, values)?;
        }
        schema.list(shape_order.len());
        for shape in &shape_order {
            schema.shape(shape);
        }
        let postings = encode_postings(&texts, tags_of, &mut schema)?;
        Ok(Self([
            (Section::Symbols, symbols::encode(&texts)?),
            (Section::TagSets, tag_sets.finish()),
            (Section::Objects, objects.bytes),
            (Section::Postings, postings),
            (Section::Schema, schema.bytes),
        ]))
    }
}

/// The postings section of the ids of each tag, (key, value) by symbol; lists the keys.
fn encode_postings(
    texts: &[&str],
    tags: HashMap<(u32, u32), Vec<u32>>,
    schema: &mut SchemaEncoder,
) -> Result<Vec<u8>> {
    let meaning = |symbol: u32| unescaped(texts[symbol as usize]);
    let mut tags: Vec<((u32, u32), Vec<u32>)> = tags.into_iter().collect();
    // By what they mean, so that keys and values are visited in order.
    tags.sort_unstable_by(|((key_a, value_a), _), ((key_b, value_b), _)| {
        let keys = if key_a == key_b {
            Ordering::Equal
        } else {
            meaning(*key_a).cmp(&meaning(*key_b))
        };
        keys.then_with(|| meaning(*value_a).cmp(&meaning(*value_b)))
    });
    let keys: Vec<_> = tags.chunk_by(|a, b| a.0.0 == b.0.0).collect();
    let mut postings = Vec::new();
    schema.list(keys.len());
    for tags in keys {
        let offset = postings.len();
        let values = tags
            .iter()
            .map(|((_, value), ids)| (*value, ids.as_slice()));
        postings::encode(values, &mut postings)?;
        let len = postings.len() - offset;
        schema.key(tags[0].0.0, tags.len(), offset as u64, len as u64);
    }
    Ok(postings)
}

/// All symbols, sorted, and their numbers.
fn symbols_of(builder: &SegmentBuilder) -> (Vec<&str>, HashMap<&str, u32>) {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    for name in &builder.names.items {
        numbers.insert(name, 0);
    }
    for tags in &builder.tag_sets.items {
        for (key, value) in stored_pairs(tags).chain(indexed_pairs(tags)) {
            numbers.insert(key, 0);
            numbers.insert(value, 0);
        }
    }
    let mut texts: Vec<&str> = numbers.keys().copied().collect();
    texts.sort_unstable();
    for (number, text) in (0u32..).zip(&texts) {
        numbers.insert(*text, number);
    }
    (texts, numbers)
}

fn encode_measurements(
    builder: &SegmentBuilder,
    plan: &Plan,
    symbol: &dyn Fn(&str) -> u32,
    objects: &mut ObjectsEncoder,
    schema: &mut SchemaEncoder,
) {
    let column_of = |chunk: usize| builder.columns.items[builder.chunks[chunk].column as usize];
    let name = |number: u32| &*builder.names.items[number as usize];
    let id_of = |chunk: &usize| plan.tag_set_ids[builder.chunks[*chunk].tag_set as usize];
    let measurements: Vec<&[usize]> = plan
        .chunks
        .chunk_by(|a, b| column_of(*a).0 == column_of(*b).0)
        .collect();
    schema.list(measurements.len());
    for chunks in measurements {
        let mut bounds: Vec<(u32, (i64, i64))> = chunks
            .iter()
            .map(|chunk| (id_of(chunk), builder.chunk_bounds(*chunk)))
            .collect();
        // Stable, as it is quick where each column's chunks are in order already.
        bounds.sort_by_key(|(id, _)| *id);
        bounds.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = (kept.1.0.min(later.1.0), kept.1.1.max(later.1.1));
            }
            same
        });
        let ids = objects.put(postings::encode_ids(bounds.iter().map(|(id, _)| *id)));
        let bounds: Vec<(i64, i64)> = bounds.into_iter().map(|(_, bounds)| bounds).collect();
        let bounds = objects.put(bounds::encode(&bounds));
        let columns: Vec<&[usize]> = chunks
            .chunk_by(|a, b| column_of(*a) == column_of(*b))
            .collect();
        let measurement = name(column_of(chunks[0]).0);
        schema.measurement(symbol(measurement), ids, bounds, columns.len());
        for column in columns {
            let (_, field, field_type) = column_of(column[0]);
            let ids = objects.put(postings::encode_ids(column.iter().map(id_of)));
            let count = u32::try_from(column.len()).expect("one chunk for each tag set");
            schema.column(symbol(name(field)), field_type, ids, count);
        }
    }
}

/// The pairs that a tag set is stored as: its own, or, where those do not make up its text (a key
/// that ends in `\` swallows its `=`), its whole text under the empty key.
fn stored_pairs(tags: &TagSet) -> impl Iterator<Item = (&str, &str)> {
    let whole = tags.as_str();
    let mut len = 0;
    let mut sound = true;
    for (key, value) in raw_pairs(whole) {
        sound &= !key.is_empty() && !value.is_empty();
        len += key.len() + value.len() + 2;
    }
    // Each pair has its `=`, and all but the last their `,`.
    sound &= len == whole.len() + usize::from(!whole.is_empty());
    let text = (!sound).then_some(("", whole));
    let pairs = sound.then(|| raw_pairs(whole));
    pairs.into_iter().flatten().chain(text)
}

/// The pairs that a tag set is found by.
fn indexed_pairs(tags: &TagSet) -> impl Iterator<Item = (&str, &str)> {
    raw_pairs(tags.as_str()).filter(|(_, value)| !value.is_empty())
}
