//! The order in which a segment's tag sets, chunks and time columns are written.

use super::SegmentBuilder;
use crate::{Error, Result};

/// The order in which everything is written.
pub(super) struct Plan {
    /// The builder's tag-set numbers, by canonical text.
    pub(super) tag_sets: Vec<u32>,
    /// The ids of the builder's tag sets.
    pub(super) tag_set_ids: Vec<u32>,
    /// The builder's chunk numbers, by column and tag set.
    pub(super) chunks: Vec<usize>,
    /// The builder's time columns that are used, by first use.
    pub(super) time_order: Vec<u32>,
    /// The new numbers of the builder's time columns.
    pub(super) time_numbers: Vec<Option<u32>>,
}

impl Plan {
    pub(super) fn of(builder: &SegmentBuilder) -> Result<Self> {
        if builder.chunks.is_empty() {
            return Err(Error::Invalid("a segment without points".into()));
        }
        let tag_sets = order_by(builder.tag_sets.items.len(), |number| {
            builder.tag_sets.items[number].as_str()
        });
        let tag_set_ids = inverse(&tag_sets);
        let columns = order_by(builder.columns.items.len(), |number| {
            let (measurement, field, field_type) = builder.columns.items[number];
            let name = |number: u32| &*builder.names.items[number as usize];
            (name(measurement), name(field), field_type)
        });
        let chunks = order_of(builder, &tag_set_ids, &inverse(&columns))?;
        let mut time_order = Vec::new();
        let mut time_numbers = vec![None; builder.times.len()];
        for number in &chunks {
            let column = builder.chunks[*number].time_column;
            time_numbers[column as usize].get_or_insert_with(|| {
                time_order.push(column);
                u32::try_from(time_order.len() - 1).expect("time columns fit in 32 bits")
            });
        }
        Ok(Self {
            tag_sets,
            tag_set_ids,
            chunks,
            time_order,
            time_numbers,
        })
    }

    /// The first and last time of all chunks.
    pub(super) fn bounds(&self, builder: &SegmentBuilder) -> (i64, i64) {
        let (all, times) = match builder.sparse_bounds.is_empty() {
            // Every chunk has all of its column's.
            true => (&[][..], &self.time_order[..]),
            false => (&self.chunks[..], &[][..]),
        };
        let all = all.iter().map(|chunk| builder.chunk_bounds(*chunk));
        let times = times.iter().map(|column| builder.times.bounds(*column));
        all.chain(times)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            .expect("a plan has chunks")
    }
}

/// The chunks by column and tag set: put in order by one, then by the other, without comparing.
fn order_of(
    builder: &SegmentBuilder,
    tag_set_ids: &[u32],
    column_ranks: &[u32],
) -> Result<Vec<usize>> {
    let chunks = &builder.chunks;
    let id_of = |number: usize| tag_set_ids[chunks[number].tag_set as usize] as usize;
    let rank_of = |number: usize| column_ranks[chunks[number].column as usize] as usize;
    let by_tag_set = distributed(0..chunks.len(), tag_set_ids.len(), id_of);
    let mut last = vec![None; column_ranks.len()];
    for number in &by_tag_set {
        let id = Some(id_of(*number));
        if std::mem::replace(&mut last[rank_of(*number)], id) == id {
            return Err(Error::Invalid(
                "two chunks of one column and tag set in a segment".into(),
            ));
        }
    }
    let numbers = by_tag_set.iter().copied();
    Ok(distributed(numbers, column_ranks.len(), rank_of))
}

/// Numbers in the order of their keys, which are below `keys`; of equal keys, as they came.
fn distributed(
    numbers: impl Iterator<Item = usize> + Clone,
    keys: usize,
    key_of: impl Fn(usize) -> usize,
) -> Vec<usize> {
    let mut starts = vec![0; keys + 1];
    for number in numbers.clone() {
        starts[key_of(number) + 1] += 1;
    }
    for key in 0..keys {
        starts[key + 1] += starts[key];
    }
    let mut order = vec![0; starts[keys]];
    for number in numbers {
        let place = &mut starts[key_of(number)];
        order[*place] = number;
        *place += 1;
    }
    order
}

/// The numbers below `len`, sorted by key.
fn order_by<K: Ord>(len: usize, key: impl Fn(usize) -> K) -> Vec<u32> {
    let len = u32::try_from(len).expect("numbers were given in 32 bits");
    let mut order: Vec<u32> = (0..len).collect();
    order.sort_unstable_by_key(|number| key(*number as usize));
    order
}

/// Where each number stands in `order`.
fn inverse(order: &[u32]) -> Vec<u32> {
    let mut places = vec![0; order.len()];
    for (place, number) in (0u32..).zip(order) {
        places[*number as usize] = place;
    }
    places
}
