//! Counters of interfaces: the machine's, and those of containers in a network of their own.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use plimsoll_engine::Timestamp;

use super::Paths;
use super::read;
use super::tree::Leaf;
use crate::names::{Series, Writer, stored};

/// Sums over interfaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Network {
    rx_bytes: u64,
    rx_errors: u64,
    tx_bytes: u64,
    tx_errors: u64,
}

impl Network {
    pub(super) fn write(&self, tag_set: u32, now: Timestamp, writer: &mut Writer) {
        for (series, value) in [
            (Series::NetworkRx, self.rx_bytes),
            (Series::NetworkTx, self.tx_bytes),
            (Series::NetworkRxErrors, self.rx_errors),
            (Series::NetworkTxErrors, self.tx_errors),
        ] {
            writer.value(series, tag_set, now, stored(value));
        }
    }

    fn add(mut self, other: Self) -> Self {
        self.rx_bytes = self.rx_bytes.saturating_add(other.rx_bytes);
        self.rx_errors = self.rx_errors.saturating_add(other.rx_errors);
        self.tx_bytes = self.tx_bytes.saturating_add(other.tx_bytes);
        self.tx_errors = self.tx_errors.saturating_add(other.tx_errors);
        self
    }
}

/// The machine's: its physical interfaces, else `eth0`, else all that lead out of it.
pub(super) fn of_machine(paths: &Paths) -> Option<Network> {
    let text = ["1/net/dev", "net/dev"]
        .iter()
        .find_map(|name| read::text(&paths.proc.join(name)))?;
    let interfaces: Vec<(&str, Network)> = interfaces(&text).collect();
    let is_physical = |name: &str| {
        paths
            .sys
            .join("class/net")
            .join(name)
            .join("device")
            .exists()
    };
    let sum = |keep: &dyn Fn(&str) -> bool| {
        interfaces
            .iter()
            .filter(|(name, _)| keep(name))
            .map(|(_, network)| *network)
            .reduce(Network::add)
    };
    sum(&is_physical)
        .or_else(|| sum(&|name| name == "eth0"))
        .or_else(|| sum(&leads_out))
}

/// Those of leaves whose processes are in a network of their own. Where several share one, as
/// the containers of a pod do, the oldest has it, so that a sum counts it once.
pub(super) fn of_leaves(
    paths: &Paths,
    leaves: &[Leaf],
    created: &[Option<Timestamp>],
) -> HashMap<usize, Network> {
    let namespace = |pid: &str| -> Option<PathBuf> {
        std::fs::read_link(paths.proc.join(pid).join("ns/net")).ok()
    };
    let Some(machine) = namespace("1").or_else(|| namespace("self")) else {
        return HashMap::new();
    };
    let mut owners: HashMap<PathBuf, usize> = HashMap::new();
    for (index, leaf) in leaves.iter().enumerate() {
        if leaf.pid == 0 {
            continue;
        }
        let Some(own) = namespace(&leaf.pid.to_string()).filter(|own| *own != machine) else {
            continue;
        };
        owners
            .entry(own)
            .and_modify(|owner| {
                if created[index] < created[*owner] {
                    *owner = index;
                }
            })
            .or_insert(index);
    }
    owners
        .into_values()
        .filter_map(|index| {
            let dev = net_dev(&paths.proc, leaves[index].pid);
            let text = read::text(&dev)?;
            let sum = interfaces(&text)
                .filter(|(name, _)| *name != "lo")
                .map(|(_, network)| network)
                .reduce(Network::add)?;
            Some((index, sum))
        })
        .collect()
}

fn net_dev(proc: &Path, pid: u32) -> PathBuf {
    proc.join(pid.to_string()).join("net/dev")
}

/// The lines of a `net/dev`: `eth0: bytes packets errs …` for both ways, eight columns each.
fn interfaces(text: &str) -> impl Iterator<Item = (&str, Network)> {
    text.lines().filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let mut counters = counters.split_ascii_whitespace();
        let mut next = |skipped| counters.nth(skipped)?.parse().ok();
        Some((
            name.trim(),
            Network {
                rx_bytes: next(0)?,
                rx_errors: next(1)?,
                tx_bytes: next(5)?,
                tx_errors: next(1)?,
            },
        ))
    })
}

fn leads_out(name: &str) -> bool {
    let inside = [
        "lo", "veth", "docker", "br-", "virbr", "cni", "cali", "flannel", "ifb", "dummy",
    ];
    !inside.iter().any(|prefix| name.starts_with(prefix))
}
