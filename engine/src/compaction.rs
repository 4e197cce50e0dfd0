//! Compaction: which segments of a partition are merged, and the merge itself.
//!
//! [`plan`] decides and touches nothing; [`merge`] reads segments and fills one builder. Neither
//! knows the manifest or the engine's state: `engine/compaction.rs` installs what they make.

mod budget;
mod merge;
mod plan;
mod rows;
mod tag_sets;

pub(crate) use budget::{Pace, has_room};
pub(crate) use merge::{Ended, Input, merge};
pub(crate) use plan::{Candidate, Run, SEGMENTS_MAX, Temperature, plan, plan_whole};
