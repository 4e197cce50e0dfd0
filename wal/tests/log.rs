//! The log against a disk that loses power, fills up, fails and flips bits.

#[path = "log/crash.rs"]
mod crash;
#[path = "log/damage.rs"]
mod damage;
#[path = "log/faults.rs"]
mod faults;
#[path = "log/files.rs"]
mod files;
#[path = "log/repair.rs"]
mod repair;
#[path = "log/workload.rs"]
mod workload;
