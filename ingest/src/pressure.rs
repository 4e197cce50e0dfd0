//! Pressure stall information, as the Kubelet's summary and cAdvisor's REST pages have it in JSON.

use serde::Deserialize;

/// How long some tasks, and all of them, waited.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Psi {
    some: Option<Stall>,
    full: Option<Stall>,
}

/// A stall's total in µs, whatever the Kubelet's documentation says.
#[derive(Debug, Clone, Deserialize)]
struct Stall {
    total: Option<u64>,
}

impl Psi {
    /// The totals of some and of full, in ns.
    pub(crate) fn stalled_ns(&self) -> [Option<u64>; 2] {
        [&self.some, &self.full].map(|stall| {
            let total_us = stall.as_ref()?.total?;
            Some(total_us.saturating_mul(1_000))
        })
    }
}
