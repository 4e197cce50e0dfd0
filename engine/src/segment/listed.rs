//! Tag sets that were listed last, kept in groups for all segments of an engine: dashboards list the
//! same series again and again.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::cold::ReadState;
use super::layout::TAG_SETS_GROUP;
use crate::model::TagSet;

/// How many groups are kept: 65,536 tag sets, about 20 MiB. When there are more, all are forgotten:
/// the segments that are listed now come back.
const GROUPS_MAX: usize = 4096;

/// Of longer lists nothing is kept: they would forget each other.
pub(super) const LIST_MAX: u64 = GROUPS_MAX as u64 * TAG_SETS_GROUP as u64 / 4;

/// A tag set, its shape, and the symbols of its values.
#[derive(Debug)]
pub(super) struct ReadTagSet {
    pub(super) tags: TagSet,
    pub(super) shape: usize,
    pub(super) symbols: Box<[u32]>,
}

/// The tag sets of one group, in order.
pub(super) type ReadGroup = Arc<[ReadTagSet]>;

/// By segment, then by the number of the group.
#[derive(Debug, Default)]
pub(super) struct ReadGroups(RwLock<HashMap<(u64, u32), ReadGroup>>);

impl ReadGroups {
    fn find(&self, token: u64, number: u32) -> Option<ReadGroup> {
        self.0.read().get(&(token, number)).cloned()
    }

    fn keep(&self, token: u64, number: u32, group: &ReadGroup) {
        let mut groups = self.0.write();
        if groups.len() >= GROUPS_MAX {
            groups.clear();
        }
        groups.insert((token, number), Arc::clone(group));
    }

    pub(super) fn forget(&self, token: u64) {
        self.0.write().retain(|(there, _), _| *there != token);
    }
}

/// What is kept of one segment's; with it all that [`ReadState`] keeps of the segment is forgotten.
#[derive(Debug)]
pub(super) struct OwnGroups {
    token: u64,
    shared: Arc<ReadState>,
}

impl OwnGroups {
    pub(super) fn new(token: u64, shared: &Arc<ReadState>) -> Self {
        Self {
            token,
            shared: Arc::clone(shared),
        }
    }

    pub(super) fn find(&self, number: u32) -> Option<ReadGroup> {
        self.shared.tag_sets().find(self.token, number)
    }

    pub(super) fn keep(&self, number: u32, group: &ReadGroup) {
        self.shared.tag_sets().keep(self.token, number, group);
    }
}

impl Drop for OwnGroups {
    fn drop(&mut self) {
        self.shared.forget(self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(text: &str) -> ReadGroup {
        let tags = TagSet::from_canonical(text);
        let symbols = Box::default();
        [ReadTagSet {
            tags,
            shape: 0,
            symbols,
        }]
        .into()
    }

    #[test]
    fn groups_are_kept_until_their_segment_is_closed_or_there_are_too_many() {
        let shared = Arc::<ReadState>::default();
        let (one, other) = (OwnGroups::new(1, &shared), OwnGroups::new(2, &shared));
        one.keep(7, &group("a=1"));
        other.keep(7, &group("a=2"));
        let text = |of: &OwnGroups, number| {
            let found = of.find(number);
            found.map(|group| group[0].tags.to_string())
        };
        assert_eq!(text(&one, 7).as_deref(), Some("a=1"));
        assert_eq!(text(&one, 8), None);
        drop(one);
        let again = OwnGroups::new(1, &shared);
        assert_eq!(text(&again, 7), None);
        assert_eq!(text(&other, 7).as_deref(), Some("a=2"));
        for number in 0..u32::try_from(GROUPS_MAX).unwrap() {
            again.keep(number, &group("b=1"));
        }
        assert_eq!(text(&other, 7), None);
        assert!(shared.tag_sets().0.read().len() <= GROUPS_MAX);
    }
}
