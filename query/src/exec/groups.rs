//! Series of a measurement by the values of the tags that a SELECT groups by.

use std::cmp::Ordering;
use std::sync::Arc;

use hashbrown::HashMap;
use plimsoll_engine::Series;
use plimsoll_engine::model::TagFinder;
use smallvec::SmallVec;

use super::error::Result;
use super::load::Member;
use crate::plan::{Decision, Stored};

/// A group's key: its measurement, and its values of the tags that it is grouped by.
pub(crate) type Key = (Arc<str>, Vec<Arc<str>>);

/// A group: its key, and what has rows of it in the order of series.
pub(crate) type Group<'a> = (Key, Vec<Member<'a>>);

/// The values of one tag that series have, each once.
struct Values<'a> {
    finder: TagFinder,
    /// Escaped text to number; a missing tag is the empty text.
    numbers: HashMap<&'a str, u32>,
    texts: Vec<&'a str>,
}

/// Groups the series of a measurement by `keys`; groups are sorted by their values.
///
/// # Errors
/// Damaged data.
pub(crate) fn of_series<'p>(
    stored: &'p Stored,
    source: usize,
    found: Vec<Series>,
    keys: &[Arc<str>],
) -> Result<Vec<Group<'p>>> {
    let is_decided = stored.conditions.condition.of_tags().is_some();
    let mut tags: Vec<Values<'_>> = keys.iter().map(|key| Values::of(key)).collect();
    let mut numbers: HashMap<SmallVec<[u32; 4]>, u32> = HashMap::new();
    // By series: its group, and what of it is wanted.
    let mut placed: Vec<Option<(u32, Decision)>> = Vec::with_capacity(found.len());
    for series in &found {
        let decision = if is_decided {
            Decision::All
        } else {
            let value = |key: &str| series.tags.value(key).unwrap_or_default();
            stored.conditions.decide(&|key| value(key).into_owned())
        };
        if let Decision::None = decision {
            placed.push(None);
            continue;
        }
        let text = series.tags.as_str();
        let values: SmallVec<[u32; 4]> = tags.iter_mut().map(|tag| tag.number(text)).collect();
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let group = *numbers.entry(values).or_insert(next);
        placed.push(Some((group, decision)));
    }
    let sorted: Vec<(Vec<Arc<str>>, Vec<u32>)> = tags.iter().map(Values::sorted).collect();
    let mut groups: Vec<(SmallVec<[u32; 4]>, u32)> = numbers
        .into_iter()
        .map(|(values, group)| {
            let ranks = values.iter().zip(&sorted);
            let ranks = ranks.map(|(value, (_, ranks))| ranks[*value as usize]);
            (ranks.collect(), group)
        })
        .collect();
    groups.sort_unstable_by(|a, b| by_ranks(&a.0, &b.0));
    let mut place_of = vec![0; groups.len()];
    let mut grouped: Vec<Group<'p>> = Vec::with_capacity(groups.len());
    for (ranks, group) in groups {
        place_of[group as usize] = grouped.len();
        let values = ranks.iter().zip(&sorted);
        let values = values.map(|(rank, (texts, _))| Arc::clone(&texts[*rank as usize]));
        let key = (Arc::clone(&stored.measurement), values.collect());
        grouped.push((key, Vec::new()));
    }
    drop(sorted);
    drop(tags);
    for (series, place) in found.into_iter().zip(placed) {
        if let Some((group, decision)) = place {
            grouped[place_of[group as usize]].1.push(Member::Series {
                stored,
                source,
                series,
                decision,
            });
        }
    }
    Ok(grouped)
}

fn by_ranks(a: &[u32], b: &[u32]) -> Ordering {
    a.cmp(b)
}

impl<'a> Values<'a> {
    fn of(key: &str) -> Self {
        Self {
            finder: TagFinder::new(key),
            numbers: HashMap::new(),
            texts: Vec::new(),
        }
    }

    /// The number of the value that a tag set has.
    fn number(&mut self, tags: &'a str) -> u32 {
        let text = self.finder.find(tags).unwrap_or_default();
        let next = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            next
        })
    }

    /// The values, sorted, and the rank of each number.
    fn sorted(&self) -> (Vec<Arc<str>>, Vec<u32>) {
        let texts = self.texts.iter().zip(0_u32..);
        let mut texts: Vec<(Arc<str>, u32)> = texts
            .map(|(text, number)| (TagFinder::unescaped(text).into(), number))
            .collect();
        texts.sort_unstable();
        let mut ranks = vec![0; texts.len()];
        for (rank, (_, number)) in (0_u32..).zip(&texts) {
            ranks[*number as usize] = rank;
        }
        (texts.into_iter().map(|(text, _)| text).collect(), ranks)
    }
}
