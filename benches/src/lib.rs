//! The seeded container fleet that benchmarks and scale tests share.
//!
//! Nothing uses this crate; it may use all others.

pub mod cluster;
pub mod dashboards;
pub mod fleet;
pub mod many;
pub mod recording;
pub mod server;
pub mod soak;
pub mod store;
pub mod watch;
