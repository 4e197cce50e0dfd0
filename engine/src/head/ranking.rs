//! Numbered things in order, kept as more of them come.

use std::cmp::Ordering;

/// Numbers in the order of what they stand for, and the place of each there.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    order: Vec<u32>,
    /// By number; [`Self::NOWHERE`] where it is not there.
    ranks: Vec<u32>,
}

impl Ranking {
    const NOWHERE: u32 = u32::MAX;

    /// Takes numbers that are not there yet, of things that differ from all others.
    pub(super) fn insert(&mut self, mut new: Vec<u32>, compare: impl Fn(u32, u32) -> Ordering) {
        new.sort_unstable_by(|a, b| compare(*a, *b));
        let most = new.iter().max().map_or(0, |number| *number as usize + 1);
        // From the back, so that what is there moves once.
        let mut end = self.order.len();
        let mut to = end + new.len();
        self.order.resize(to, Self::NOWHERE);
        for number in new.iter().rev() {
            let is_before = |other| compare(other, *number) == Ordering::Less;
            let at = count_before(&self.order[..end], is_before);
            to -= end - at;
            self.order.copy_within(at..end, to);
            to -= 1;
            self.order[to] = *number;
            end = at;
        }
        if self.ranks.len() < most {
            self.ranks.resize(most, Self::NOWHERE);
        }
        for (rank, number) in (0_u32..).zip(&self.order).skip(end) {
            self.ranks[*number as usize] = rank;
        }
    }

    /// The numbers in order.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// The place of a number in the order.
    pub(super) fn rank(&self, number: u32) -> Option<u32> {
        let rank = self.ranks.get(number as usize).copied();
        rank.filter(|rank| *rank != Self::NOWHERE)
    }
}

/// How many of `order` stand before something; it is looked for from the end, as the one behind it
/// was found there.
fn count_before(order: &[u32], is_before: impl Fn(u32) -> bool) -> usize {
    let (mut high, mut step) = (order.len(), 1);
    loop {
        let low = high.saturating_sub(step);
        if low == high || is_before(order[low]) {
            return low + order[low..high].partition_point(|number| is_before(*number));
        }
        (high, step) = (low, step * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_later_stands_where_it_belongs() {
        // Whatever was there before: each number's text is its place in this list.
        let texts: Vec<u32> = (0..200_u32).map(|number| number * 67 % 200).collect();
        let compare = |a: u32, b: u32| texts[a as usize].cmp(&texts[b as usize]);
        for sizes in [[200, 0, 0], [1, 199, 0], [150, 1, 49], [0, 100, 100]] {
            let mut ranking = Ranking::default();
            let mut numbers = 0..200_u32;
            for size in sizes {
                ranking.insert(numbers.by_ref().take(size).collect(), compare);
            }
            let mut expected: Vec<u32> = (0..200).collect();
            expected.sort_by(|a, b| compare(*a, *b));
            assert_eq!(ranking.order(), expected, "{sizes:?}");
            for (rank, number) in (0..).zip(&expected) {
                assert_eq!(ranking.rank(*number), Some(rank), "{sizes:?}");
            }
        }
    }

    #[test]
    fn a_number_that_is_not_there_has_no_rank() {
        let mut ranking = Ranking::default();
        ranking.insert(vec![5, 2], |a, b| a.cmp(&b));
        assert_eq!(ranking.order(), [2, 5]);
        for absent in [0, 3, 6] {
            assert_eq!(ranking.rank(absent), None);
        }
    }
}
