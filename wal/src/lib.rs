//! File access for Plimsoll: bytes only, no word of time series.
//!
//! Owns the [`storage::Storage`] trait that every file operation goes through, the memory map
//! (the workspace's only `unsafe`), checksummed frames and the write-ahead log with group commit.
//! It never knows what a log record means; that is encoded in `plimsoll_engine`.

pub mod error;
pub mod frame;
pub mod log;
pub mod storage;

pub use error::{Error, Result};
