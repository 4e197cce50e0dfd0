//! The log against a disk that loses power, fills up, fails and flips bits.

#![expect(
    clippy::unwrap_used,
    reason = "also in the functions that tests share, where a failure fails the test"
)]

#[path = "log/crash.rs"]
mod crash;
#[path = "log/damage.rs"]
mod damage;
#[path = "log/faults.rs"]
mod faults;
#[path = "log/files.rs"]
mod files;
#[path = "log/follow.rs"]
mod follow;
#[path = "log/group.rs"]
mod group;
#[path = "log/repair.rs"]
mod repair;
#[path = "log/workload.rs"]
mod workload;
