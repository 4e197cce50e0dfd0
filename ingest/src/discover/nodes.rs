//! The nodes of a cluster, by list and watch of the Kubernetes API.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Client, Config};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Finder, Unwanted};
use crate::kubelet::Pages;
use crate::kubelet::pods::quantity;
use crate::profile::NodeAmounts;
use crate::scrape::{NodeState, Readiness, Target};

/// The Kubelet's port where a node does not say it.
const KUBELET_PORT: u16 = 10_250;
/// How long to wait before the API is tried anew.
const RETRY: Duration = Duration::from_secs(15);
/// Changes that come within this are told at once: a cluster that is rolled changes every node.
const GATHER: Duration = Duration::from_millis(500);

/// Where the Kubernetes API is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Api {
    /// The kubeconfig of the environment, else the account of the cluster that this runs in.
    #[default]
    Inferred,
    /// A kubeconfig.
    Kubeconfig(PathBuf),
    /// A URL that needs no credentials: a proxy.
    Url(String),
}

/// How Kubelets are reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KubeletAccess {
    /// The token to show.
    pub token_file: Option<PathBuf>,
    /// The certificates that theirs must be signed by.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// Which of their pages are read.
    pub pages: Pages,
}

impl KubeletAccess {
    /// A Kubelet that is reached so.
    #[must_use]
    pub fn target(&self, url: String, node_name: Option<String>) -> Target {
        Target::Kubelet {
            url,
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
            insecure_skip_verify: self.insecure_skip_verify,
            pages: self.pages,
            node_name,
        }
    }
}

/// A kind of address that a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Within the cluster.
    InternalIp,
    /// From outside.
    ExternalIp,
    /// The host's name.
    Hostname,
}

impl Address {
    /// What is tried first, second and last.
    pub const PREFERENCE: [Self; 3] = [Self::InternalIp, Self::ExternalIp, Self::Hostname];

    fn name(self) -> &'static str {
        match self {
            Self::InternalIp => "InternalIP",
            Self::ExternalIp => "ExternalIP",
            Self::Hostname => "Hostname",
        }
    }
}

/// Finds the nodes of a cluster.
#[derive(Debug, Clone)]
pub struct Nodes {
    /// Where to ask.
    pub api: Api,
    /// How the Kubelets are reached.
    pub access: KubeletAccess,
    /// `https`, or `http` behind a proxy.
    pub scheme: String,
    /// The Kubelets' port, where it is another than they say.
    pub port: Option<u16>,
    /// Which address of a node is taken.
    pub preference: Vec<Address>,
}

impl Nodes {
    /// The nodes that `api` knows, by what they say of themselves.
    #[must_use]
    pub fn new(api: Api, access: KubeletAccess) -> Self {
        Self {
            api,
            access,
            scheme: "https".to_owned(),
            port: None,
            preference: Address::PREFERENCE.to_vec(),
        }
    }

    pub(super) async fn run(self, finder: &Finder) -> Result<Infallible, Unwanted> {
        const BY: &str = "the Kubernetes API";
        // Whoever is first in the process decides; the rest of it uses ring as well.
        let first = rustls::crypto::ring::default_provider().install_default();
        tracing::trace!(is_first = first.is_ok(), "ring is the provider of TLS");
        loop {
            match self.client().await {
                Ok(client) => self.watch(client, finder).await?,
                Err(why) => finder.failed(BY, why).await?,
            }
            sleep(RETRY).await;
        }
    }

    async fn client(&self) -> Result<Client, String> {
        let options = KubeConfigOptions::default();
        let config = match &self.api {
            Api::Inferred => Config::infer().await.map_err(|error| {
                format!(
                    "neither a kubeconfig nor the account of a cluster is there: {error}; give a \
                     kubeconfig (kubernetes_config), or run in the cluster"
                )
            })?,
            Api::Kubeconfig(path) => {
                let wrong = |error| format!("{}: {error}", path.display());
                let file = Kubeconfig::read_from(path).map_err(wrong)?;
                let config = Config::from_custom_kubeconfig(file, &options).await;
                config.map_err(wrong)?
            }
            Api::Url(url) => {
                let url = url.parse().map_err(|error| format!("{url}: {error}"))?;
                Config::new(url)
            }
        };
        Client::try_from(config).map_err(|error| error.to_string())
    }

    /// Lists, then watches, as long as the stream goes on: it lists anew by itself where a watch
    /// breaks off, and waits longer each time that it fails.
    async fn watch(&self, client: Client, finder: &Finder) -> Result<(), Unwanted> {
        let api = kube::Api::<Node>::all(client);
        let events = kube::runtime::watcher(api, watcher::Config::default()).default_backoff();
        let mut events = events.boxed();
        let mut nodes: BTreeMap<String, (Target, NodeState)> = BTreeMap::new();
        let mut listed = BTreeMap::new();
        let mut due: Option<Instant> = None;
        loop {
            let event = match due {
                None => events.next().await,
                Some(at) => match timeout_at(at, events.next()).await {
                    Ok(event) => event,
                    Err(_) => {
                        due = None;
                        finder.found(nodes.values().cloned().collect()).await?;
                        continue;
                    }
                },
            };
            let Some(event) = event else { return Ok(()) };
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(node)) => self.put(&mut listed, &node, finder).await?,
                Ok(Event::InitDone) => {
                    nodes = std::mem::take(&mut listed);
                    due = None;
                    finder.found(nodes.values().cloned().collect()).await?;
                }
                Ok(Event::Apply(node)) => {
                    let name = node.metadata.name.clone().unwrap_or_default();
                    let before = nodes.get(&name).cloned();
                    self.put(&mut nodes, &node, finder).await?;
                    // A node says every few seconds that it lives, which is no change.
                    if nodes.get(&name) != before.as_ref() {
                        due.get_or_insert_with(|| Instant::now() + GATHER);
                    }
                }
                Ok(Event::Delete(node)) => {
                    nodes.remove(&node.metadata.name.unwrap_or_default());
                    due.get_or_insert_with(|| Instant::now() + GATHER);
                }
                Err(error) => {
                    let why = why(&error);
                    finder.failed("the Kubernetes API", why).await?;
                }
            }
        }
    }

    async fn put(
        &self,
        nodes: &mut BTreeMap<String, (Target, NodeState)>,
        node: &Node,
        finder: &Finder,
    ) -> Result<(), Unwanted> {
        let name = node.metadata.name.clone().unwrap_or_default();
        match node_target(node, self) {
            Ok(found) => {
                nodes.insert(name, found);
            }
            Err(why) => {
                nodes.remove(&name);
                finder.failed(&format!("node {name}"), why).await?;
            }
        }
        Ok(())
    }
}

fn why(error: &watcher::Error) -> String {
    let text = error.to_string();
    match text.contains("403") || text.to_ascii_lowercase().contains("forbidden") {
        true => format!(
            "{text}: the account's role lacks the rule: resources: [\"nodes\"], verbs: [\"list\", \
             \"watch\"]"
        ),
        false => text,
    }
}

/// The Kubelet of a node, and what is known of it.
///
/// # Errors
/// Why it cannot be reached, in words.
pub fn node_target(node: &Node, options: &Nodes) -> Result<(Target, NodeState), String> {
    let none = NodeStatus::default();
    let status = node.status.as_ref().unwrap_or(&none);
    let addresses = status.addresses.as_deref().unwrap_or_default();
    let address = options
        .preference
        .iter()
        .find_map(|wanted| addresses.iter().find(|own| own.type_ == wanted.name()));
    let address = address.ok_or("it has no address that is wanted")?;
    let said = status
        .daemon_endpoints
        .as_ref()
        .and_then(|endpoints| u16::try_from(endpoints.kubelet_endpoint.as_ref()?.port).ok())
        .filter(|port| *port > 0);
    let port = options.port.or(said).unwrap_or(KUBELET_PORT);
    let host = match address.address.contains(':') {
        true => format!("[{}]", address.address),
        false => address.address.clone(),
    };
    let url = format!("{}://{host}:{port}", options.scheme);
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let is_ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .is_some_and(|condition| condition.status == "True");
    let state = NodeState {
        readiness: match is_ready {
            true => Readiness::Ready,
            false => Readiness::NotReady,
        },
        capacity: amounts(status.capacity.as_ref()),
        allocatable: amounts(status.allocatable.as_ref()),
    };
    let target = options.access.target(url, node.metadata.name.clone());
    Ok((target, state))
}

fn amounts(said: Option<&BTreeMap<String, Quantity>>) -> NodeAmounts {
    let amount = |name: &str| quantity(&said?.get(name)?.0);
    NodeAmounts {
        cpu_millis: amount("cpu").map(|cores| cores * 1_000.0),
        memory_bytes: amount("memory"),
        ephemeral_bytes: amount("ephemeral-storage"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Nodes {
        Nodes::new(Api::Inferred, KubeletAccess::default())
    }

    fn node(addresses: &[(&str, &str)], port: i32, ready: &str) -> Node {
        let addresses: Vec<String> = addresses
            .iter()
            .map(|(kind, address)| format!(r#"{{"type":"{kind}","address":"{address}"}}"#))
            .collect();
        let text = format!(
            r#"{{"metadata":{{"name":"n1"}},"status":{{"addresses":[{}],
            "daemonEndpoints":{{"kubeletEndpoint":{{"Port":{port}}}}},
            "conditions":[{{"type":"Ready","status":"{ready}"}}],
            "capacity":{{"cpu":"14","memory":"8024304Ki"}},"allocatable":{{"cpu":"13500m"}}}}}}"#,
            addresses.join(",")
        );
        serde_json::from_str(&text).unwrap()
    }

    fn url(target: &Target) -> &str {
        match target {
            Target::Kubelet { url, node_name, .. } => {
                assert_eq!(node_name.as_deref(), Some("n1"));
                url
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_address_the_port_and_the_state_of_a_node_are_taken() {
        let all = [
            ("Hostname", "host-1"),
            ("ExternalIP", "198.51.100.1"),
            ("InternalIP", "10.0.0.1"),
        ];
        for (addresses, port, expected) in [
            (&all[..], 10_250, "https://10.0.0.1:10250"),
            (&all[..2], 10_251, "https://198.51.100.1:10251"),
            (&all[..1], 0, "https://host-1:10250"),
            (&[("InternalIP", "fd00::1")], 0, "https://[fd00::1]:10250"),
        ] {
            let (target, _) = node_target(&node(addresses, port, "True"), &nodes()).unwrap();
            assert_eq!(url(&target), expected);
        }
        let proxied = Nodes {
            scheme: "http".to_owned(),
            port: Some(80),
            preference: vec![Address::Hostname],
            ..nodes()
        };
        let (target, state) = node_target(&node(&all, 10_250, "Unknown"), &proxied).unwrap();
        assert_eq!(url(&target), "http://host-1:80");
        assert_eq!(state.readiness, Readiness::NotReady);
        assert_eq!(state.capacity.cpu_millis, Some(14_000.0));
        assert_eq!(state.capacity.memory_bytes, Some(8_024_304.0 * 1_024.0));
        assert_eq!(state.allocatable.cpu_millis, Some(13_500.0));
        assert_eq!(state.allocatable.memory_bytes, None);
        let error = node_target(&node(&[], 0, "True"), &nodes()).unwrap_err();
        assert!(error.contains("no address"));
    }
}
