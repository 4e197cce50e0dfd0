//! What brings points in: parsers of pushed text, mappings of scraped payloads, scrape clients.
//!
//! Owns the way from bytes to a [`Batch`](plimsoll_engine::Batch) and the tasks that pull from
//! Kubelets, cAdvisors and this machine's cgroups. It never writes to the engine: the server
//! takes the batches and does.

pub mod cadvisor;
pub mod cgroup;
pub mod choice;
pub mod cri;
pub mod discover;
pub mod forward;
pub mod generic;
pub mod kubelet;
pub mod labels;
pub mod line;
pub mod names;
pub mod profile;
pub mod prometheus;
pub mod remote;
pub mod rest;
pub mod scrape;

mod known;
mod number;
mod pressure;
#[cfg(test)]
mod test_data;
