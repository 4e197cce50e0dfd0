//! Series of a measurement by the values of the tags that a SELECT groups by.

use std::ops::Deref;
use std::sync::Arc;

use plimsoll_engine::{Listing, TagValues};
use smallvec::SmallVec;

use super::error::Result;
use super::load::Member;
use crate::plan::{Decision, Stored};

/// A group's key: its measurement, and its values of the tags that it is grouped by, which are
/// mostly few.
pub(crate) type Key = (Arc<str>, SmallVec<[Arc<str>; 3]>);

/// A group: its key and its members.
pub(crate) type Group<'a> = (Key, Members<'a>);

/// What has rows of a group, in the order of series. Many groups have one member, which takes no
/// room of its own.
pub(crate) enum Members<'a> {
    /// One.
    One([Member<'a>; 1]),
    /// None or several.
    Some(Vec<Member<'a>>),
}

impl<'a> Members<'a> {
    /// None yet, of so many.
    fn with_capacity(count: usize) -> Self {
        Self::Some(match count {
            1 => Vec::new(),
            count => Vec::with_capacity(count),
        })
    }

    /// Adds one.
    pub(crate) fn push(&mut self, member: Member<'a>) {
        if let Self::Some(members) = self
            && members.capacity() > 0
        {
            return members.push(member);
        }
        *self = match std::mem::take(self) {
            Self::Some(_) => Self::One([member]),
            Self::One([first]) => Self::Some(vec![first, member]),
        };
    }

    /// Adds those of another.
    pub(crate) fn extend(&mut self, members: Self) {
        match members {
            Self::One([member]) => self.push(member),
            Self::Some(members) => members.into_iter().for_each(|member| self.push(member)),
        }
    }
}

impl Default for Members<'_> {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl<'a> Deref for Members<'a> {
    type Target = [Member<'a>];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::One(member) => member,
            Self::Some(members) => members,
        }
    }
}

/// Numbers are made dense by counting where they go up to so many times of how many there are.
const COUNTED_MAX: usize = 8;

/// Groups the series of a measurement by the tags that they are listed with; groups are sorted by
/// their values.
///
/// # Errors
/// Damaged data.
pub(crate) fn of_series<'p>(
    stored: &'p Stored,
    source: usize,
    Listing { series, tags }: Listing,
) -> Result<Vec<Group<'p>>> {
    let is_decided = stored.conditions.condition.of_tags().is_some();
    let decide = |at: usize| {
        if is_decided {
            return Decision::All;
        }
        let tags = &series[at].tags;
        let value = |key: &str| tags.value(key).unwrap_or_default().into_owned();
        stored.conditions.decide(&value)
    };
    let decisions: Vec<Decision> = (0..series.len()).map(decide).collect();
    let numbers = numbers(&tags, series.len());
    // By group: its place among those that have members, how many those are, and one of them.
    let mut found = vec![(0_usize, 0_usize, 0_usize); numbers.iter().max().map_or(0, |n| n + 1)];
    for (at, (number, decision)) in numbers.iter().zip(&decisions).enumerate() {
        if !matches!(decision, Decision::None) {
            let (_, count, member) = &mut found[*number];
            (*count, *member) = (*count + 1, at);
        }
    }
    let mut grouped: Vec<Group<'p>> = Vec::with_capacity(found.len());
    for (place, count, member) in found.iter_mut().filter(|(_, count, _)| *count > 0) {
        let values = tags.iter();
        let values = values.map(|tag| Arc::clone(&tag.texts[tag.numbers[*member] as usize]));
        *place = grouped.len();
        let key = (Arc::clone(&stored.measurement), values.collect());
        grouped.push((key, Members::with_capacity(*count)));
    }
    for ((series, number), decision) in series.into_iter().zip(numbers).zip(decisions) {
        if !matches!(decision, Decision::None) {
            grouped[found[number].0].1.push(Member::Series {
                stored,
                source,
                series,
                decision,
            });
        }
    }
    Ok(grouped)
}

/// By series: the number of its group. Their order is that of the groups' values.
fn numbers(tags: &[TagValues], count: usize) -> Vec<usize> {
    let Some((first, rest)) = tags.split_first() else {
        return vec![0; count];
    };
    let mut numbers: Vec<usize> = first.numbers.iter().map(|n| *n as usize).collect();
    for tag in rest {
        for (number, value) in numbers.iter_mut().zip(&tag.numbers) {
            // Each is below the number of series, so that their product is small enough.
            *number = *number * tag.texts.len() + *value as usize;
        }
        make_dense(&mut numbers);
    }
    numbers
}

/// Numbers those that are there from 0 on, in their order.
fn make_dense(numbers: &mut [usize]) {
    let most = numbers.iter().max().map_or(0, |most| most + 1);
    if most > numbers.len() * COUNTED_MAX {
        let mut used = numbers.to_vec();
        used.sort_unstable();
        used.dedup();
        for number in numbers {
            *number = used.partition_point(|there| there < number);
        }
        return;
    }
    let mut places = vec![0; most];
    for number in &*numbers {
        places[*number] = 1;
    }
    let mut next = 0;
    for place in &mut places {
        let is_there = *place;
        *place = next;
        next += is_there;
    }
    for number in numbers {
        *number = places[*number];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_keep_their_order() {
        for numbers in [
            vec![7, 0, 9, 7, 3],
            vec![700, 0, 9, 700, 3],
            vec![5],
            vec![],
        ] {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.dedup();
            let mut dense = numbers.clone();
            make_dense(&mut dense);
            let back: Vec<usize> = dense.iter().map(|number| sorted[*number]).collect();
            assert_eq!(back, numbers);
        }
    }

    #[test]
    fn groups_are_numbered_in_the_order_of_their_values() {
        let tag = |numbers: &[u32]| TagValues {
            texts: ["a", "b", "c"].map(Into::into).into(),
            numbers: numbers.into(),
        };
        assert_eq!(numbers(&[], 3), [0, 0, 0]);
        assert_eq!(numbers(&[tag(&[2, 0, 2])], 3), [2, 0, 2]);
        let tags = [tag(&[2, 0, 2, 0]), tag(&[0, 1, 2, 1]), tag(&[1, 1, 1, 0])];
        assert_eq!(numbers(&tags, 4), [2, 1, 3, 0]);
    }
}
