//! Plimsoll's server: command line, configuration, HTTP, schedules.
//!
//! Owns the sockets, the wall clock and the environment, and puts engine, query and ingest
//! together in `app.rs`. Nothing below this crate knows of any of these.

mod app;
pub mod cli;
pub mod clock;
mod collect;
pub mod commands;
pub mod config;
mod continuous;
mod diagnostics;
pub mod exit;
mod figures;
mod forward;
mod http;
mod into;
mod lines;
mod logging;
mod monitor;
mod queries;
mod udp;
mod users;
mod workers;
