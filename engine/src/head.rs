//! The newest data, in memory: one [`Generation`] is a head and its log files.
//!
//! Sharded by tag set; a shard's lock covers its tag sets, row groups and log buffer, so log order
//! is head order. Columns and partitions are the generation's own and have a buffer that is
//! drained after the shards' and written before them.

mod columns;
mod generation;
mod group;
mod index;
mod listing;
mod pool;
mod ranking;
mod replay;
mod sealed;
mod shape;
mod shard;
mod side;
mod tail;
mod times;
mod unindexed;

pub(crate) use generation::Generation;
pub(crate) use group::GroupRows;
pub(crate) use replay::{Fault, Replay};
pub(crate) use shard::Incoming;
pub(crate) use times::ReadTimes;
