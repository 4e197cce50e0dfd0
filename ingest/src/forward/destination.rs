//! Where points go, as an address says it.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// What a store is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Line protocol, as InfluxDB takes it.
    Lines,
    /// Prometheus' remote write.
    Series,
}

/// How it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Http,
    Udp,
}

/// A store that takes points.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    /// What it is spoken to in.
    pub protocol: Protocol,
    pub(super) way: Way,
    pub(super) url: Url,
}

impl Destination {
    /// A destination of a subscription, as InfluxDB writes it: `http://`, `https://` or `udp://`,
    /// all in line protocol.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn of_subscription(text: &str) -> Result<Self, String> {
        let way = match text.split_once("://") {
            Some(("http" | "https", _)) => Way::Http,
            Some(("udp", _)) => Way::Udp,
            _ => {
                return Err(format!(
                    "`{}` is no destination: it must start with http://, https:// or udp://",
                    shown_raw(text)
                ));
            }
        };
        Self::new(Protocol::Lines, way, text)
    }

    fn new(protocol: Protocol, way: Way, text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}` is no destination: {why}", shown_raw(text));
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it names no host"));
        }
        if way == Way::Udp && url.port().is_none() {
            return Err(wrong("it names no port, as in udp://host:8089"));
        }
        Ok(Self { protocol, way, url })
    }

    /// The URL that points of `database` and `policy` are sent to; an empty policy is not named.
    pub(super) fn write_url(&self, database: &str, policy: &str) -> Url {
        let mut url = self.url.clone();
        if self.protocol == Protocol::Series {
            return url;
        }
        let path = url.path().trim_end_matches('/');
        if !path.ends_with("/write") {
            let path = format!("{path}/write");
            url.set_path(&path);
        }
        let given: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(key, _)| key != "precision")
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        let has = |name: &str| given.iter().any(|(key, _)| key == name);
        let mut pairs = url.query_pairs_mut();
        pairs.clear().extend_pairs(&given);
        if !has("db") {
            pairs.append_pair("db", database);
        }
        if !has("rp") && !policy.is_empty() {
            pairs.append_pair("rp", policy);
        }
        pairs.append_pair("precision", "ns");
        drop(pairs);
        url
    }
}

/// `influxdb+http://host:8086`, `prometheus+https://host/api/v1/write`, and `influxdb+udp://`.
impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (kind, rest) = text.split_once('+').unwrap_or_default();
        let scheme = rest.split_once("://").map_or("", |(scheme, _)| scheme);
        let (protocol, way) = match (kind, scheme) {
            ("influxdb", "http" | "https") => (Protocol::Lines, Way::Http),
            ("influxdb", "udp") => (Protocol::Lines, Way::Udp),
            ("prometheus", "http" | "https") => (Protocol::Series, Way::Http),
            _ => {
                return Err(format!(
                    "`{}` is no destination: write it as influxdb+http://HOST:8086, \
                     influxdb+udp://HOST:8089 or prometheus+http://HOST:9090/api/v1/write",
                    shown_raw(text)
                ));
            }
        };
        let destination = Self::new(protocol, way, rest)?;
        if protocol == Protocol::Series && destination.url.path() == "/" {
            return Err(format!(
                "`{}` names no path: Prometheus takes remote writes at /api/v1/write, \
                 Mimir at /api/v1/push",
                shown_raw(text)
            ));
        }
        Ok(destination)
    }
}

/// Without credentials and parameters: it is logged.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.protocol {
            Protocol::Lines => "influxdb+",
            Protocol::Series => "prometheus+",
        })?;
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.url.scheme())?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.url.path().trim_end_matches('/'))
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text of what is no URL may hold a password, too.
fn shown_raw(text: &str) -> String {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    match text.rsplit_once('@') {
        Some((_, behind)) => format!("{scheme}://…@{behind}"),
        None => text.to_owned(),
    }
}
