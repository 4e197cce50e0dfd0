//! Sends contents to one destination.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Response, StatusCode, redirect};
use tokio::net::UdpSocket;

use super::destination::Way;
use super::{Content, Destination, Protocol};
use crate::scrape::{bearer, certificates, chain};

/// InfluxDB's `UDPPayloadSize`: small enough for every network.
const PACKET_BYTES_MAX: usize = 512;
/// How much of an answer's text is read, for the log.
const ANSWER_BYTES_MAX: usize = 4_096;

/// How destinations are reached; the same for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// How long one request may take.
    pub timeout: Duration,
    /// A bearer token to show, read anew for each request because it rotates.
    pub token_file: Option<PathBuf>,
    /// The certificates that theirs must be signed by.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            token_file: None,
            ca_file: None,
            insecure_skip_verify: false,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Taken,
    /// All but `lost` points are there, and trying again changes nothing.
    Partly {
        /// What it says.
        why: String,
        /// Points that it did not take.
        lost: usize,
    },
    /// It will never be taken as it is.
    Refused {
        /// What it says.
        why: String,
    },
    /// It may be taken in smaller parts.
    TooLarge {
        /// What it says.
        why: String,
    },
    /// It may be taken later.
    Later {
        /// What is wrong.
        why: String,
        /// What the destination wants to be left alone for.
        after: Option<Duration>,
    },
}

/// A client of one destination.
#[derive(Debug)]
pub struct Sender {
    destination: Destination,
    http: reqwest::Client,
    token_file: Option<PathBuf>,
    timeout: Duration,
}

impl Sender {
    /// A client; it reaches nothing yet.
    ///
    /// # Errors
    /// The file of certificates is not good.
    pub fn new(destination: Destination, access: &Access) -> Result<Self, String> {
        // Whoever is first in the process decides; the rest of it uses ring as well.
        let first = rustls::crypto::ring::default_provider().install_default();
        tracing::trace!(is_first = first.is_ok(), "ring is the provider of TLS");
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(access.timeout)
            .pool_max_idle_per_host(1)
            .tls_danger_accept_invalid_certs(access.insecure_skip_verify);
        if destination.url.scheme() != "https" {
            // Without it the system's certificates are loaded, which a bare image has not.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &access.ca_file {
            let certificates = certificates(path).map_err(|error| error.to_string())?;
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder.build().map_err(|error| {
            format!("cannot make a client for {destination}: {}", chain(&error))
        })?;
        Ok(Self {
            http,
            token_file: access.token_file.clone(),
            timeout: access.timeout,
            destination,
        })
    }

    /// Where it sends.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Sends one content; an empty policy is the destination's default.
    pub async fn send(&self, content: &Content, database: &str, policy: &str) -> Outcome {
        let sent = match self.destination.way {
            Way::Http => self.send_http(content, database, policy).await,
            Way::Udp => self.send_udp(content).await,
        };
        sent.unwrap_or_else(|why| Outcome::Later { why, after: None })
    }

    async fn send_http(
        &self,
        content: &Content,
        database: &str,
        policy: &str,
    ) -> Result<Outcome, String> {
        let body = content
            .packed()
            .map_err(|error| format!("cannot pack a request: {error}"))?;
        let url = self.destination.write_url(database, policy);
        let headers = self.headers()?;
        let request = self.http.post(url).headers(headers).body(body);
        let response = request.send().await.map_err(|error| {
            // reqwest names the URL, which may hold credentials.
            format!("{}: {}", self.destination, chain(&error.without_url()))
        })?;
        Ok(self.outcome(response).await)
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let agent = HeaderValue::from_static(concat!("Plimsoll/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        let pairs = match self.destination.protocol {
            Protocol::Lines => [
                (CONTENT_TYPE, "text/plain; charset=utf-8"),
                (CONTENT_ENCODING, "gzip"),
            ],
            Protocol::Series => [
                (CONTENT_TYPE, "application/x-protobuf"),
                (CONTENT_ENCODING, "snappy"),
            ],
        };
        for (name, value) in pairs {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.destination.protocol == Protocol::Series {
            let version = HeaderValue::from_static("0.1.0");
            headers.insert("x-prometheus-remote-write-version", version);
        }
        if let Some(path) = &self.token_file {
            let token = bearer(path).map_err(|error| error.to_string())?;
            headers.insert(AUTHORIZATION, token);
        }
        Ok(headers)
    }

    async fn outcome(&self, response: Response) -> Outcome {
        let status = response.status();
        if status.is_success() {
            return Outcome::Taken;
        }
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let text = text_of(response).await;
        let why = format!("{}: {status}: {}", self.destination, text.trim());
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge { why },
            // Somebody may grant the right, or make the database; what else is 4xx stays so.
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS => Outcome::Later { why, after },
            status if status.is_client_error() => match lost(&text) {
                Some(lost) => Outcome::Partly { why, lost },
                None => Outcome::Refused { why },
            },
            _ => Outcome::Later { why, after },
        }
    }

    /// Packets of whole lines. Nobody says whether they arrive.
    async fn send_udp(&self, content: &Content) -> Result<Outcome, String> {
        let Content::Lines(lines) = content else {
            return Err("remote writes do not go by UDP".to_owned());
        };
        let unreachable = |error: std::io::Error| format!("{}: {error}", self.destination);
        let url = &self.destination.url;
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = tokio::net::lookup_host((host, url.port().unwrap_or_default()));
        let mut addresses = tokio::time::timeout(self.timeout, addresses)
            .await
            .map_err(|_| format!("{}: its name is not found in time", self.destination))?
            .map_err(unreachable)?;
        let address = addresses
            .next()
            .ok_or_else(|| format!("{}: its name has no address", self.destination))?;
        let any = match address.is_ipv4() {
            true => "0.0.0.0:0",
            false => "[::]:0",
        };
        let socket = UdpSocket::bind(any).await.map_err(unreachable)?;
        let mut packet = Vec::with_capacity(PACKET_BYTES_MAX);
        let mut lost = 0;
        let mut why = String::new();
        for line in lines.each() {
            if packet.len() + line.len() > PACKET_BYTES_MAX && !packet.is_empty() {
                socket
                    .send_to(&packet, address)
                    .await
                    .map_err(unreachable)?;
                packet.clear();
            }
            packet.extend_from_slice(line);
            if packet.len() > PACKET_BYTES_MAX {
                // A line that fills packets alone: the network may take it all the same.
                if let Err(error) = socket.send_to(&packet, address).await {
                    lost += 1;
                    why = unreachable(error);
                }
                packet.clear();
            }
        }
        if !packet.is_empty() {
            socket
                .send_to(&packet, address)
                .await
                .map_err(unreachable)?;
        }
        Ok(match lost {
            0 => Outcome::Taken,
            lost => Outcome::Partly { why, lost },
        })
    }
}

/// The beginning of an answer.
async fn text_of(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_BYTES_MAX {
            bytes.truncate(ANSWER_BYTES_MAX);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How many points InfluxDB says that it dropped: `partial write: … dropped=3`.
fn lost(text: &str) -> Option<usize> {
    let (_, behind) = text.split_once("partial write")?.1.split_once("dropped=")?;
    let digits = behind.find(|c: char| !c.is_ascii_digit());
    behind[..digits.unwrap_or(behind.len())].parse().ok()
}
