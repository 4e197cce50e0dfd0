//! A cluster on one machine: thousands of Kubelets and a Kubernetes API, from a seed.
//!
//! All Kubelets share one port: each has an address of its own in 127.0.0.0/8, so that they are
//! found, and reached, as real nodes are. The API stands on 127.0.0.1 of the same port. A node's
//! numbers depend on the seed, the node and the tick alone; a tick is one scrape of the node, or
//! one interval of the clock. Whoever begins with TLS is answered in TLS.

pub mod model;
mod pages;
mod serve;
mod templates;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plimsoll_engine::{Clock, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::ServerConfig;

use self::model::Shape;
use self::templates::Templates;

/// The first Kubelet's address is the one behind it.
const NODES_FROM: u32 = u32::from_be_bytes([127, 1, 0, 0]);

/// When a node's numbers move on.
#[derive(Debug, Clone)]
pub enum Pace {
    /// With each scrape, by one interval from the shape's start on.
    Scrape,
    /// With the clock.
    Clock(Arc<dyn Clock>),
}

/// One node as it is served.
#[derive(Debug)]
struct Served {
    scrapes: [AtomicU64; 3],
    is_gone: AtomicBool,
}

/// A cluster that is served until it is dropped.
#[derive(Debug)]
pub struct Cluster {
    state: Arc<State>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// What connections share.
#[derive(Debug)]
struct State {
    shape: Shape,
    pace: Pace,
    /// Where pages are rendered for many nodes at a time.
    templates: Option<Templates>,
    nodes: Vec<Served>,
    /// Events of the watch, a line of JSON each.
    events: broadcast::Sender<String>,
    /// The port of all.
    port: u16,
    /// For those who ask a Kubelet, or the API, in TLS; its certificate is self-signed.
    tls: Arc<ServerConfig>,
    certificate_pem: String,
}

impl Cluster {
    /// Starts serving on `port`, or on any free one where it is 0. Call it on a runtime.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub async fn serve(shape: Shape, pace: Pace, port: u16) -> std::io::Result<Self> {
        Self::serve_with(shape, pace, port, None).await
    }

    /// As [`Self::serve`] with the clock, but pages are rendered once a tick for all nodes that
    /// are alike, which are many: what differs is their names.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub async fn serve_rendered(
        shape: Shape,
        clock: Arc<dyn Clock>,
        port: u16,
    ) -> std::io::Result<Self> {
        let templates = Some(Templates::default());
        Self::serve_with(shape, Pace::Clock(clock), port, templates).await
    }

    async fn serve_with(
        shape: Shape,
        pace: Pace,
        port: u16,
        templates: Option<Templates>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        let port = listener.local_addr()?.port();
        let nodes = (0..shape.nodes).map(|_| Served {
            scrapes: Default::default(),
            is_gone: AtomicBool::new(false),
        });
        let (tls, certificate_pem) = tls::self_signed(shape.nodes)?;
        let state = Arc::new(State {
            nodes: nodes.collect(),
            shape,
            pace,
            templates,
            events: broadcast::Sender::new(256),
            port,
            tls,
            certificate_pem,
        });
        Ok(Self {
            server: tokio::spawn(serve::accept(listener, Arc::clone(&state))),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            state,
        })
    }

    /// The URL of its Kubernetes API, which wants no credentials.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port of the API and of all Kubelets.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.state.port
    }

    /// What every Kubelet's certificate is signed by: itself.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.state.certificate_pem
    }

    /// Takes a node out of the cluster: the watch says so, and it answers no more.
    pub fn remove(&self, node: usize) {
        self.state.nodes[node].is_gone.store(true, Ordering::SeqCst);
        let event = pages::event("DELETED", node, &self.state);
        // Nobody may watch yet; a list will not have it.
        drop(self.state.events.send(event));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The address of a Kubelet.
fn address(node: usize) -> Ipv4Addr {
    let number = u32::try_from(node).expect("a cluster has fewer nodes than addresses");
    Ipv4Addr::from(NODES_FROM + number + 1)
}

impl State {
    /// The address of a Kubelet.
    fn address(&self, node: usize) -> Ipv4Addr {
        address(node)
    }

    /// Which Kubelet stands at an address.
    fn node_at(&self, address: Ipv4Addr) -> Option<usize> {
        let number = u32::from(address).checked_sub(NODES_FROM + 1)?;
        let node = usize::try_from(number).ok()?;
        (node < self.nodes.len()).then_some(node)
    }

    /// The tick of the next answer of a page, and its time.
    fn tick(&self, node: usize, page: usize) -> (u64, Timestamp) {
        let interval_ns = self.shape.interval_ns;
        let tick = match &self.pace {
            Pace::Scrape => self.nodes[node].scrapes[page].fetch_add(1, Ordering::SeqCst),
            Pace::Clock(clock) => {
                let since = clock.now().0.saturating_sub(self.shape.start.0) / interval_ns;
                u64::try_from(since).unwrap_or(0)
            }
        };
        (tick, self.time(tick))
    }

    /// The tick that a node is in, and its time.
    fn now(&self, node: usize) -> (u64, Timestamp) {
        match &self.pace {
            Pace::Scrape => {
                let tick = self.nodes[node].scrapes[0].load(Ordering::SeqCst);
                (tick, self.time(tick))
            }
            Pace::Clock(_) => self.tick(node, 0),
        }
    }

    fn time(&self, tick: u64) -> Timestamp {
        let since = i64::try_from(tick).unwrap_or(i64::MAX);
        let since = since.saturating_mul(self.shape.interval_ns);
        Timestamp(self.shape.start.0.saturating_add(since))
    }
}
