//! Asks a target for one of its pages.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Certificate, StatusCode, Url, redirect};

use super::error::chain;
use super::target::shown;
use super::{Error, Options, Target};

/// A client of one target.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    token_file: Option<PathBuf>,
    body_bytes_max: usize,
    deadline: Duration,
    /// Bytes of bodies, unpacked, since they were last asked for.
    body_bytes: AtomicU64,
}

/// The clients of HTTP that targets share: thousands of nodes are trusted alike, and a client of its
/// own for each would cost more memory than its rows.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<Trust, reqwest::Client>>);

/// Whom a client trusts.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Trust {
    /// There is no TLS.
    Plain,
    /// A certificate that the system, or the file of these bytes, knows.
    Known(Option<Vec<u8>>),
    /// Everybody.
    Anybody(Option<Vec<u8>>),
}

/// What a page is, for the errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// A cAdvisor's metrics.
    Metrics,
    /// A page of a cAdvisor's REST API.
    Rest,
    /// A page of any Prometheus endpoint.
    Generic,
    /// A Kubelet's `/metrics/cadvisor` or `/metrics/resource`.
    KubeletMetrics,
    /// A Kubelet's `/stats/summary`.
    Summary,
    /// A Kubelet's `/pods`.
    Pods,
}

impl Page {
    /// The rule that lets an account read it.
    fn rule(self) -> &'static str {
        match self {
            Self::Metrics | Self::Rest => "read access to cAdvisor's pages",
            Self::Generic => "read access to its metrics",
            Self::KubeletMetrics => "resources: [\"nodes/metrics\"], verbs: [\"get\"]",
            Self::Summary => "resources: [\"nodes/stats\"], verbs: [\"get\"]",
            Self::Pods => {
                "resources: [\"nodes/pods\"], verbs: [\"get\"] (before Kubernetes 1.33: \"nodes/proxy\")"
            }
        }
    }
}

impl Client {
    pub(super) fn new(
        target: &Target,
        base: &Url,
        options: &Options,
        clients: &Clients,
    ) -> Result<Self, Error> {
        let mut token_file = None;
        let mut trust = Trust::Known(None);
        if let Target::Kubelet {
            token_file: of_target,
            ca_file,
            insecure_skip_verify,
            ..
        } = target
        {
            token_file.clone_from(of_target);
            // It is read even where it is not used: that it is wrong is said at the start.
            let pem = ca_file.as_deref().map(pem).transpose()?;
            trust = match insecure_skip_verify {
                true => Trust::Anybody(pem),
                false => Trust::Known(pem),
            };
        }
        if base.scheme() == "http" {
            trust = Trust::Plain;
        }
        let http = clients
            .client(trust, options)
            .map_err(|error| Error::Client {
                url: shown(base),
                why: chain(&error),
            })?;
        Ok(Self {
            http,
            token_file,
            body_bytes_max: options.scrape_body_bytes_max,
            deadline: options.deadline,
            body_bytes: AtomicU64::new(0),
        })
    }

    /// How many bytes of bodies came, unpacked, since this was last asked.
    pub(super) fn take_body_bytes(&self) -> u64 {
        self.body_bytes.swap(0, Ordering::Relaxed)
    }

    /// The text of a page.
    pub(super) async fn get(&self, url: &Url, page: Page) -> Result<Vec<u8>, Error> {
        let answer = tokio::time::timeout(self.deadline, self.get_whole(url, page));
        answer.await.unwrap_or_else(|_| {
            Err(Error::Deadline {
                url: shown(url),
                deadline_ms: self.deadline.as_millis(),
            })
        })
    }

    async fn get_whole(&self, url: &Url, page: Page) -> Result<Vec<u8>, Error> {
        let mut request = self.http.get(url.clone());
        if let Some(path) = &self.token_file {
            request = request.header(AUTHORIZATION, bearer(path)?);
        }
        let unreachable = |error: reqwest::Error| unreachable(url, &error);
        let mut response = request.send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err(Error::Unauthorized {
                    url: shown(url),
                    why: match &self.token_file {
                        Some(path) => format!(
                            "the token in {} is not accepted: it may have expired, or the Kubelet does \
                             not take tokens (--authentication-token-webhook)",
                            path.display()
                        ),
                        None => "it wants a token, and no token file is given".to_owned(),
                    },
                });
            }
            StatusCode::FORBIDDEN => {
                return Err(Error::Forbidden {
                    url: shown(url),
                    rule: page.rule().to_owned(),
                });
            }
            status => {
                return Err(Error::Status {
                    url: shown(url),
                    status: status.to_string(),
                });
            }
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > self.body_bytes_max {
                return Err(Error::BodyTooLong {
                    url: shown(url),
                    limit: self.body_bytes_max,
                });
            }
            body.extend_from_slice(&chunk);
        }
        self.body_bytes
            .fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(body)
    }
}

impl Clients {
    fn client(&self, trust: Trust, options: &Options) -> Result<reqwest::Client, reqwest::Error> {
        // A panic while it was held cannot have left it half changed.
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&trust) {
            return Ok(client.clone());
        }
        // Whoever is first in the process decides; the rest of it uses ring as well.
        let first = rustls::crypto::ring::default_provider().install_default();
        tracing::trace!(is_first = first.is_ok(), "ring is the provider of TLS");
        let builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(options.deadline)
            .pool_max_idle_per_host(4);
        let only = |builder: reqwest::ClientBuilder, pem: &[u8]| {
            Certificate::from_pem_bundle(pem).map(|these| builder.tls_certs_only(these))
        };
        let builder = match &trust {
            // Without it the system's certificates are loaded, which a bare image has not.
            Trust::Plain => builder.tls_certs_only([]),
            Trust::Known(None) => builder,
            Trust::Known(Some(pem)) => only(builder, pem)?,
            Trust::Anybody(None) => builder.tls_danger_accept_invalid_certs(true),
            Trust::Anybody(Some(pem)) => only(builder, pem)?.tls_danger_accept_invalid_certs(true),
        };
        let client = builder.build()?;
        clients.insert(trust, client.clone());
        Ok(client)
    }
}

fn unreachable(url: &Url, error: &reqwest::Error) -> Error {
    let why = chain(error);
    let hint = if why.contains("certificate") || why.contains("UnknownIssuer") {
        " (a Kubelet signs its own certificate unless it is told otherwise: give the file of \
         certificates that signs it, or skip its verification)"
    } else if why.contains("refused") {
        " (nothing listens there)"
    } else {
        ""
    };
    // reqwest names the URL, which is at the front already and may hold credentials.
    let why = why.replace(&format!(" for url ({url})"), "");
    Error::Unreachable {
        url: shown(url),
        why,
        hint,
    }
}

pub(crate) fn bearer(path: &Path) -> Result<HeaderValue, Error> {
    let failed = |source| Error::File {
        what: "token",
        path: path.to_owned(),
        source,
    };
    let token = std::fs::read_to_string(path).map_err(failed)?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The text of a file that holds certificates.
fn pem(path: &Path) -> Result<Vec<u8>, Error> {
    let pem = std::fs::read(path).map_err(|source| Error::File {
        what: "certificates",
        path: path.to_owned(),
        source,
    })?;
    parsed(path, &pem)?;
    Ok(pem)
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    parsed(path, &pem(path)?)
}

fn parsed(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, Error> {
    let none = |why| Error::Certificates {
        path: path.to_owned(),
        why,
    };
    let certificates =
        Certificate::from_pem_bundle(pem).map_err(|error| none(Some(chain(&error))))?;
    if certificates.is_empty() {
        return Err(none(None));
    }
    Ok(certificates)
}
