//! What finds targets: the Kubernetes API's nodes, a file that is watched, a name in DNS.
//!
//! Each discovery is a task that says, whenever something changed, which targets there are. What
//! it cannot do it says too; the targets it found before stay meanwhile.

mod dns;
mod file;
mod heapster;
mod nodes;

use tokio::sync::mpsc;

use crate::scrape::{Error, NodeState, Target};

pub use self::dns::DnsName;
pub use self::file::{FileList, read_list};
pub use self::heapster::{Translated, translate};
pub use self::nodes::{Address, Api, KubeletAccess, Nodes, node_target};

/// Looks for targets.
#[derive(Debug)]
pub enum Discovery {
    /// The nodes of a cluster.
    Nodes(Nodes),
    /// A file.
    File(FileList),
    /// A name.
    Dns(DnsName),
}

/// What a discovery found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Which discovery.
    pub(crate) discovery: usize,
    /// All its targets; nothing where it does not know.
    pub(crate) targets: Option<Vec<(Target, NodeState)>>,
    /// What is wrong.
    pub(crate) problem: Option<Error>,
}

/// Where a discovery says what it found.
#[derive(Debug, Clone)]
struct Finder {
    discovery: usize,
    sink: mpsc::Sender<Found>,
}

/// Nobody wants to know any more.
#[derive(Debug)]
struct Unwanted;

impl Finder {
    async fn found(&self, targets: Vec<(Target, NodeState)>) -> Result<(), Unwanted> {
        self.send(Some(targets), None).await
    }

    async fn failed(&self, by: &str, why: String) -> Result<(), Unwanted> {
        let by = by.to_owned();
        self.send(None, Some(Error::Discovery { by, why })).await
    }

    async fn send(
        &self,
        targets: Option<Vec<(Target, NodeState)>>,
        problem: Option<Error>,
    ) -> Result<(), Unwanted> {
        let found = Found {
            discovery: self.discovery,
            targets,
            problem,
        };
        self.sink.send(found).await.map_err(|_| Unwanted)
    }
}

impl Discovery {
    /// Looks for targets until nobody wants to know, as number `discovery`.
    pub(crate) async fn run(self, discovery: usize, sink: mpsc::Sender<Found>) {
        let finder = Finder { discovery, sink };
        let Err(Unwanted) = match self {
            Self::Nodes(nodes) => nodes.run(&finder).await,
            Self::File(list) => list.run(&finder).await,
            Self::Dns(name) => name.run(&finder).await,
        };
    }
}
