//! The sections by which a segment's series are found: symbols, tag sets, postings, schema.

mod tags;
mod texts;

use self::tags::{Tag, Tags};
use self::texts::{Symbols, Texts};
use super::SegmentBuilder;
use super::plan::Plan;
use crate::Result;
use crate::segment::bounds::{self, Object, ObjectsEncoder};
use crate::segment::layout::Section;
use crate::segment::postings;
use crate::segment::schema::SchemaEncoder;
use crate::segment::symbols::encode as encode_symbols;
use crate::segment::tag_sets::TagSetsEncoder;

/// The sections that the tag sets and names go to, encoded.
pub(super) struct IndexSections(pub(super) [(Section, Vec<u8>); 5]);

impl IndexSections {
    pub(super) fn encode(builder: &SegmentBuilder, plan: &Plan) -> Result<Self> {
        let mut texts = Texts::default();
        for name in &builder.names.items {
            texts.number(name);
        }
        let sets = plan.tag_sets.iter();
        let sets = sets.map(|number| &builder.tag_sets.items[*number as usize]);
        let tags = Tags::of(sets, &mut texts);
        let symbols = texts.into_symbols();
        let mut objects = ObjectsEncoder::default();
        let mut schema = SchemaEncoder::default();
        encode_measurements(builder, plan, &symbols, &mut objects, &mut schema);

        let of_numbers = |numbers: &[u32]| -> Vec<u32> {
            let numbers = numbers.iter();
            numbers.map(|number| symbols.of_number(*number)).collect()
        };
        let mut tag_sets = TagSetsEncoder::default();
        let mut rest = &tags.sets[..];
        while let Some((shape, behind)) = rest.split_first() {
            let (values, behind) = behind.split_at(tags.shapes[*shape as usize].len());
            tag_sets.push(*shape, of_numbers(values))?;
            rest = behind;
        }
        schema.list(tags.shapes.len());
        for shape in &tags.shapes {
            schema.shape(&of_numbers(shape));
        }
        let postings = encode_postings(&symbols, tags.tags, &mut schema)?;
        Ok(Self([
            (Section::Symbols, encode_symbols(&symbols.sorted)?),
            (Section::TagSets, tag_sets.finish()),
            (Section::Objects, objects.bytes),
            (Section::Postings, postings),
            (Section::Schema, schema.bytes),
        ]))
    }
}

/// The postings section of the ids of each tag; lists the keys.
fn encode_postings(
    symbols: &Symbols<'_>,
    tags: Vec<Tag>,
    schema: &mut SchemaEncoder,
) -> Result<Vec<u8>> {
    // By what they mean, so that keys and values are visited in order.
    let places = symbols.places_by_meaning();
    let place = |symbol: u32| {
        places
            .as_ref()
            .map_or(symbol, |places| places[symbol as usize])
    };
    let tags = tags.into_iter();
    let mut tags: Vec<_> = tags
        .map(|tag| {
            let (key, value) = (symbols.of_number(tag.key), symbols.of_number(tag.value));
            ((place(key), place(value)), key, value, tag.ids)
        })
        .collect();
    tags.sort_unstable_by_key(|(places, ..)| *places);
    let keys: Vec<_> = tags.chunk_by(|a, b| a.1 == b.1).collect();
    let mut postings = Vec::new();
    schema.list(keys.len());
    for tags in keys {
        let offset = postings.len();
        let values = tags
            .iter()
            .map(|(_, _, value, ids)| (*value, ids.as_slice()));
        postings::encode(values, &mut postings)?;
        let len = postings.len() - offset;
        schema.key(tags[0].1, tags.len(), offset as u64, len as u64);
    }
    Ok(postings)
}

fn encode_measurements(
    builder: &SegmentBuilder,
    plan: &Plan,
    symbols: &Symbols<'_>,
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
    let mut sets = Sets::default();
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
        let (ids, bounds): (Vec<u32>, Vec<(i64, i64)>) = bounds.into_iter().unzip();
        let (ids, bounds) = sets.of_measurement(ids, bounds, objects);
        let columns: Vec<&[usize]> = chunks
            .chunk_by(|a, b| column_of(*a) == column_of(*b))
            .collect();
        let measurement = name(column_of(chunks[0]).0);
        schema.measurement(symbols.of_text(measurement), ids, bounds, columns.len());
        for column in columns {
            let (_, field, field_type) = column_of(column[0]);
            let ids = sets.of_column(column.iter().map(id_of), objects);
            let count = u32::try_from(column.len()).expect("one chunk for each tag set");
            schema.column(symbols.of_text(name(field)), field_type, ids, count);
        }
    }
}

/// What the measurement before has: mostly the next has the same, and its columns, too.
#[derive(Default)]
struct Sets {
    ids: Vec<u32>,
    bounds: Vec<(i64, i64)>,
    objects: Option<(Object, Object)>,
}

impl Sets {
    /// The objects of a measurement's ids and their first and last times.
    fn of_measurement(
        &mut self,
        ids: Vec<u32>,
        bounds: Vec<(i64, i64)>,
        objects: &mut ObjectsEncoder,
    ) -> (Object, Object) {
        let known = self.objects.filter(|_| self.ids == ids);
        let ids_object =
            known.map_or_else(|| put_ids(ids.iter().copied(), objects), |(ids, _)| ids);
        let bounds_object = match known {
            Some((_, known)) if self.bounds == bounds => known,
            _ => objects.put(bounds::encode(&bounds)),
        };
        (self.ids, self.bounds) = (ids, bounds);
        *self.objects.insert((ids_object, bounds_object))
    }

    /// The object of a column's ids, of the measurement that was asked for last.
    fn of_column(
        &self,
        ids: impl ExactSizeIterator<Item = u32> + Clone,
        objects: &mut ObjectsEncoder,
    ) -> Object {
        match self.objects {
            // It has no other than its measurement has.
            Some((known, _)) if ids.len() == self.ids.len() => known,
            _ => put_ids(ids, objects),
        }
    }
}

fn put_ids(ids: impl Iterator<Item = u32>, objects: &mut ObjectsEncoder) -> Object {
    objects.put(postings::encode_ids(ids))
}
