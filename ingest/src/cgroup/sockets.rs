//! Asks container engines on their sockets how their containers are called.
//!
//! Docker and Podman answer in JSON over HTTP, runtimes of Kubernetes in gRPC (CRI). An engine
//! that does not answer is left alone for a while; what it would have said is then missing.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use hashbrown::HashMap;
use plimsoll_engine::Timestamp;
use reqwest::header::{CONTENT_TYPE, TE};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use tokio::runtime::Handle;

use super::engine::Named;
use crate::cri::{self, Container};
use crate::scrape::chain;

/// How long an engine may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// How much of its answer is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How long it is left alone after it did not answer, ns.
const REST_NS: i64 = 60_000_000_000;

/// An engine's socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Socket {
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Where it is.
    pub path: PathBuf,
}

/// What an engine speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Docker's REST, which Podman speaks, too.
    Docker,
    /// Kubernetes' runtime interface.
    Cri,
}

impl Socket {
    /// Where engines have their sockets.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        [
            (Protocol::Docker, "/run/docker.sock"),
            (Protocol::Docker, "/run/podman/podman.sock"),
            (Protocol::Cri, "/run/containerd/containerd.sock"),
            (Protocol::Cri, "/run/crio/crio.sock"),
            (Protocol::Cri, "/run/cri-dockerd.sock"),
            (Protocol::Cri, "/run/k3s/containerd/containerd.sock"),
        ]
        .map(|(protocol, path)| Self {
            protocol,
            path: path.into(),
        })
        .to_vec()
    }
}

/// `docker:/run/docker.sock`, `cri:/run/crio/crio.sock`.
impl FromStr for Socket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, path) = match text.trim().split_once(':') {
            Some(("docker" | "podman", path)) => (Protocol::Docker, path),
            Some(("cri", path)) => (Protocol::Cri, path),
            _ => (Protocol::Cri, ""),
        };
        if !path.starts_with('/') {
            return Err(format!(
                "`{text}` is no socket: write it as docker:/run/docker.sock, \
                 podman:/run/podman/podman.sock or cri:/run/containerd/containerd.sock"
            ));
        }
        Ok(Self {
            protocol,
            path: path.into(),
        })
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Docker => "docker",
            Protocol::Cri => "cri",
        };
        write!(f, "{protocol}:{}", self.path.display())
    }
}

/// All sockets of this machine.
#[derive(Debug)]
pub(super) struct Sockets(Vec<Asked>);

#[derive(Debug)]
struct Asked {
    socket: Socket,
    client: Option<Client>,
    /// Left alone before this time.
    rests_until: Timestamp,
}

/// A container of Docker's list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Sockets {
    pub(super) fn new(sockets: &[Socket]) -> Self {
        let asked = sockets.iter().map(|socket| Asked {
            socket: socket.clone(),
            client: None,
            rests_until: Timestamp(i64::MIN),
        });
        Self(asked.collect())
    }

    /// Everything that engines run now, by id. Blocks; outside of a runtime nobody is asked.
    pub(super) fn list(&mut self, now: Timestamp) -> HashMap<String, Named> {
        let mut all = HashMap::new();
        let Ok(runtime) = Handle::try_current() else {
            return all;
        };
        for asked in &mut self.0 {
            if now < asked.rests_until || !asked.socket.path.exists() {
                continue;
            }
            let listing = tokio::time::timeout(DEADLINE, asked.list());
            let listed = runtime
                .block_on(listing)
                .unwrap_or_else(|_| Err(format!("no answer within {DEADLINE:?}")));
            match listed {
                Ok(containers) => all.extend(containers.into_iter().map(|container| {
                    let named = Named {
                        name: container.name,
                        image: container.image,
                        labels: container.labels,
                    };
                    (container.id, named)
                })),
                Err(why) => {
                    asked.rests_until = Timestamp(now.0.saturating_add(REST_NS));
                    let socket = &asked.socket;
                    tracing::info!(%socket, why, "an engine does not say how containers are called");
                }
            }
        }
        all
    }
}

impl Asked {
    async fn list(&mut self) -> Result<Vec<Container>, String> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => client(&self.socket)?,
        };
        self.client = Some(client.clone());
        match self.socket.protocol {
            Protocol::Docker => docker(&client).await,
            Protocol::Cri => {
                let containers = cri(&client, cri::LIST_CONTAINERS).await?;
                let mut all = cri::containers(&containers).map_err(|error| error.to_string())?;
                let sandboxes = cri(&client, cri::LIST_SANDBOXES).await?;
                all.extend(cri::sandboxes(&sandboxes).map_err(|error| error.to_string())?);
                Ok(all)
            }
        }
    }
}

fn client(socket: &Socket) -> Result<Client, String> {
    let path: &Path = &socket.path;
    let builder = Client::builder()
        .unix_socket(path)
        // Without it the system's certificates are loaded, which a bare image has not.
        .tls_certs_only([]);
    let builder = match socket.protocol {
        Protocol::Docker => builder.http1_only(),
        Protocol::Cri => builder.http2_prior_knowledge(),
    };
    // Whoever is first in the process decides; the rest of it uses ring as well.
    let first = rustls::crypto::ring::default_provider().install_default();
    tracing::trace!(is_first = first.is_ok(), "ring is the provider of TLS");
    builder.build().map_err(|error| chain(&error))
}

async fn docker(client: &Client) -> Result<Vec<Container>, String> {
    let body = answer(client.get("http://engine/containers/json")).await?;
    let listed: Vec<Listed> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let containers = listed.into_iter().map(|listed| {
        let names = listed.names.unwrap_or_default();
        // A link's name is `/other/alias`; its own has one `/`.
        let own = names.iter().find(|name| name.rfind('/') == Some(0));
        let name = own.or(names.first()).map_or("", String::as_str);
        Container {
            id: listed.id,
            name: name.trim_start_matches('/').to_owned(),
            image: listed.image,
            labels: listed.labels.unwrap_or_default().into_iter().collect(),
        }
    });
    Ok(containers.collect())
}

/// Calls a method under each name of the service until one is known.
async fn cri(client: &Client, method: &str) -> Result<Vec<u8>, String> {
    let mut wrong = String::new();
    for service in cri::SERVICES {
        let request = client
            .post(format!("http://engine/{service}/{method}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(cri::REQUEST.to_vec());
        match answer(request).await {
            Ok(body) if !body.is_empty() => return Ok(body),
            Ok(_) => wrong = format!("{service}/{method} is answered with nothing"),
            Err(why) => wrong = why,
        }
    }
    Err(wrong)
}

async fn answer(request: RequestBuilder) -> Result<Vec<u8>, String> {
    let mut response = request.send().await.map_err(|error| chain(&error))?;
    if !response.status().is_success() {
        return Err(response.status().to_string());
    }
    // A call that fails has its status in the head.
    let header = |name| response.headers().get(name)?.to_str().ok();
    if let Some(status) = header("grpc-status").filter(|status| *status != "0") {
        let message = header("grpc-message").unwrap_or_default();
        return Err(format!("gRPC status {status} {message}"));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("its answer is over {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
