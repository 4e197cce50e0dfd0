//! What is scraped, and whether its URL can be right.

use std::path::PathBuf;

use reqwest::Url;

use super::Error;
use crate::cgroup;
use crate::generic::Rules;
use crate::kubelet::Pages;
use crate::profile::NodeAmounts;

/// The Kubelet's port.
const KUBELET_PORT: u16 = 10_250;
/// Where a cAdvisor shows its metrics.
const CADVISOR_PATH: &str = "/metrics";

/// What is known of a target besides where it is, which may change while it is scraped.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NodeState {
    /// Whether its cluster expects it to answer.
    pub readiness: Readiness,
    /// What it has.
    pub capacity: NodeAmounts,
    /// What of it pods may have.
    pub allocatable: NodeAmounts,
}

/// Whether a node is said to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readiness {
    /// It is, or nobody says.
    #[default]
    Ready,
    /// It is not: it is tried more seldom.
    NotReady,
}

/// Something to scrape.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A cAdvisor of its own: `http://host:8080`, or the whole URL of its metrics, or of its REST
    /// pages `/api/v1.3/subcontainers/` or `/api/v2.1/stats`.
    Cadvisor {
        /// Its URL.
        url: String,
    },
    /// A Kubelet: `https://node:10250`.
    Kubelet {
        /// Its URL.
        url: String,
        /// The token to show, read anew each time because it rotates.
        token_file: Option<PathBuf>,
        /// The certificates that its own must be signed by.
        ca_file: Option<PathBuf>,
        /// Whether any certificate will do.
        insecure_skip_verify: bool,
        /// Which of its pages are read.
        pages: Pages,
        /// The node's name where it is known before the node says it.
        node_name: Option<String>,
    },
    /// Anything that shows metrics in Prometheus' format.
    Prometheus {
        /// Its URL.
        url: String,
        /// What its metrics are called here.
        rules: Rules,
    },
    /// This machine's own cgroups.
    Cgroups {
        /// Where they are.
        paths: cgroup::Paths,
    },
}

impl Target {
    /// Says what is wrong with the target as far as can be known without reaching it.
    ///
    /// # Errors
    /// [`Error::Url`] and [`Error::Gone`].
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Cadvisor { url } => cadvisor(url).map(drop),
            Self::Kubelet { url, .. } => kubelet(url).map(drop),
            Self::Prometheus { url, .. } => parse(url, "http").map(drop),
            Self::Cgroups { .. } => Ok(()),
        }
    }
}

/// A URL without credentials and query, to show and to tag with.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only where a URL can have no host, which `parse` has refused.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return url.scheme().to_owned();
    }
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// The text of a URL that is no URL may hold a password too.
fn shown_raw(raw: &str) -> String {
    match raw.rsplit_once('@') {
        Some((_, behind)) => format!("…@{behind}"),
        None => raw.to_owned(),
    }
}

fn gone(raw: &str) -> Option<Error> {
    let error = |gone, today| {
        Some(Error::Gone {
            url: shown_raw(raw),
            gone,
            today,
        })
    };
    const TODAY: &str = "today's URL is https://NODE:10250, whose /stats/summary and \
                         /metrics/cadvisor are read";
    if raw.starts_with("kubernetes:") {
        return error(
            "this is a source of Heapster and no Kubelet's URL",
            "give it as source (--source), or each Kubelet by its own URL, https://NODE:10250",
        );
    }
    if raw.contains("/stats/container") {
        return error("/stats/container is gone since Kubernetes 1.21", TODAY);
    }
    if raw.contains(":10255") {
        return error(
            "the Kubelet's read-only port 10255 is off by default since Kubernetes 1.11",
            TODAY,
        );
    }
    if raw.contains(":4194") {
        return error(
            "the Kubelet's --cadvisor-port 4194 is gone since Kubernetes 1.12",
            TODAY,
        );
    }
    None
}

fn parse(raw: &str, scheme: &str) -> Result<Url, Error> {
    if let Some(error) = gone(raw) {
        return Err(error);
    }
    let invalid = |why: String| Error::Url {
        url: shown_raw(raw),
        why,
    };
    let text = if raw.contains("://") {
        raw.to_owned()
    } else {
        format!("{scheme}://{raw}")
    };
    let url = Url::parse(&text).map_err(|error| invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!(
            "its scheme is {}, and http or https is expected",
            url.scheme()
        )));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("it has no host".to_owned()));
    }
    Ok(url)
}

/// Which of a cAdvisor's pages a URL is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CadvisorPage {
    /// `/metrics`.
    Metrics,
    /// `/api/v1.3/subcontainers/`.
    RestV1,
    /// `/api/v2.1/stats`, all of them.
    RestV2,
}

/// The URL of a cAdvisor's page.
pub(super) fn cadvisor(raw: &str) -> Result<(Url, CadvisorPage), Error> {
    let mut url = parse(raw, "http")?;
    let path = url.path().trim_end_matches('/').to_owned();
    let page = match path.as_str() {
        "" => {
            url.set_path(CADVISOR_PATH);
            CadvisorPage::Metrics
        }
        _ if ["/api/v1.1", "/api/v1.2", "/api/v1.3"]
            .iter()
            .any(|api| path == format!("{api}/subcontainers")) =>
        {
            CadvisorPage::RestV1
        }
        "/api/v2.0/stats" | "/api/v2.1/stats" => {
            // All cgroups, and of each the last stat.
            url.set_query(Some("recursive=true&count=1"));
            CadvisorPage::RestV2
        }
        path if path.starts_with("/api/") || path.starts_with("/containers") => {
            return Err(Error::Url {
                url: shown(&url),
                why: format!(
                    "cAdvisor is read by its metrics, and this is another of its pages: give \
                     {0}{CADVISOR_PATH}, {0}/api/v1.3/subcontainers/ or {0}/api/v2.1/stats",
                    url.origin().ascii_serialization()
                ),
            });
        }
        _ => CadvisorPage::Metrics,
    };
    Ok((url, page))
}

/// The URL of a page of metrics.
pub(super) fn prometheus(raw: &str) -> Result<Url, Error> {
    let mut url = parse(raw, "http")?;
    if url.path() == "/" {
        url.set_path("/metrics");
    }
    Ok(url)
}

/// The URL of a Kubelet, with the path of a proxy before it where there is one; ends in `/`.
pub(super) fn kubelet(raw: &str) -> Result<Url, Error> {
    /// Pages of a Kubelet, which are found without being named.
    const PAGES: [&str; 3] = ["/metrics/cadvisor", "/metrics/resource", "/stats/summary"];
    let mut url = parse(raw, "https")?;
    let mut path = url.path().to_owned();
    for page in PAGES {
        if let Some(before) = path.strip_suffix(page) {
            path = before.to_owned();
        }
    }
    let first = path.split('/').nth(1).unwrap_or_default();
    if matches!(first, "metrics" | "stats" | "pods" | "healthz") {
        return Err(Error::Url {
            url: shown(&url),
            why: format!("its path is {}, and none is expected", url.path()),
        });
    }
    if !path.ends_with('/') {
        path.push('/');
    }
    url.set_path(&path);
    // An https URL with an explicit 443 is one without a port to `url`; so is 80 with http.
    let authority = raw.split("://").last().unwrap_or_default();
    let authority = authority.split('/').next().unwrap_or_default();
    let has_port =
        url.port().is_some() || authority.ends_with(":443") || authority.ends_with(":80");
    if !has_port && url.set_port(Some(KUBELET_PORT)).is_err() {
        return Err(Error::Url {
            url: shown(&url),
            why: "it can have no port".to_owned(),
        });
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubelet_target(url: &str) -> Target {
        Target::Kubelet {
            url: url.to_owned(),
            token_file: None,
            ca_file: None,
            insecure_skip_verify: false,
            pages: Pages::Full,
            node_name: None,
        }
    }

    #[test]
    fn urls_are_completed() {
        for (url, expected) in [
            ("n1", "https://n1:10250/"),
            ("https://n1", "https://n1:10250/"),
            ("https://n1:443", "https://n1/"),
            ("http://10.0.0.1:8001/", "http://10.0.0.1:8001/"),
            ("https://[::1]:10250/stats/summary", "https://[::1]:10250/"),
            (
                "https://api:6443/api/v1/nodes/n1/proxy",
                "https://api:6443/api/v1/nodes/n1/proxy/",
            ),
        ] {
            assert_eq!(kubelet(url).unwrap().as_str(), expected, "{url}");
        }
        for (url, expected) in [
            ("h:8080", "http://h:8080/metrics"),
            ("http://h:8080/", "http://h:8080/metrics"),
            ("https://h/cadvisor/metrics", "https://h/cadvisor/metrics"),
            (
                "h:8080/api/v1.3/subcontainers/",
                "http://h:8080/api/v1.3/subcontainers/",
            ),
            (
                "h:8080/api/v2.1/stats",
                "http://h:8080/api/v2.1/stats?recursive=true&count=1",
            ),
        ] {
            assert_eq!(cadvisor(url).unwrap().0.as_str(), expected, "{url}");
        }
    }

    #[test]
    fn urls_of_the_past_say_what_is_gone_and_what_is_there_today() {
        for (url, gone, today) in [
            (
                "http://n1:10255",
                "read-only port 10255",
                "https://NODE:10250",
            ),
            (
                "https://n1:10250/stats/container/",
                "1.21",
                "/stats/summary",
            ),
            ("http://n1:4194", "--cadvisor-port", "https://NODE:10250"),
            (
                "kubernetes:https://kubernetes.default",
                "source of Heapster",
                "https://NODE:10250",
            ),
        ] {
            let text = kubelet_target(url).check().unwrap_err().to_string();
            assert!(text.contains(gone) && text.contains(today), "{text}");
        }
    }

    #[test]
    fn urls_that_cannot_be_right_are_refused_before_they_are_tried() {
        for (target, why) in [
            (kubelet_target("ftp://n1"), "http or https is expected"),
            (kubelet_target("https://"), "empty host"),
            (
                kubelet_target("https://n1:10250/metrics"),
                "its path is /metrics",
            ),
            (
                Target::Cadvisor {
                    url: "http://h:8080/api/v1.3/docker".to_owned(),
                },
                "give http://h:8080/metrics",
            ),
        ] {
            let text = target.check().unwrap_err().to_string();
            assert!(text.contains(why), "{text}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        let url = Url::parse("https://me:secret@h:1/metrics?token=secret#secret").unwrap();
        assert_eq!(shown(&url), "https://h:1/metrics");
        let error = kubelet_target("https://me:secret@n1:10255")
            .check()
            .unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
