//! What is scraped, and whether its URL can be right.

use std::path::PathBuf;

use reqwest::Url;

use super::Error;
use crate::cgroup;

/// The Kubelet's port.
const KUBELET_PORT: u16 = 10_250;
/// Where a cAdvisor shows its metrics.
const CADVISOR_PATH: &str = "/metrics";

/// Something to scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A cAdvisor of its own: `http://host:8080`, or the whole URL of its metrics.
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
            "this is a source of Heapster, whose URLs are not read here",
            "give each Kubelet by its own URL, https://NODE:10250",
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

/// The URL of a cAdvisor's metrics.
pub(super) fn cadvisor(raw: &str) -> Result<Url, Error> {
    let mut url = parse(raw, "http")?;
    if url.path().starts_with("/api/") || url.path().starts_with("/containers") {
        return Err(Error::Url {
            url: shown(&url),
            why: format!(
                "cAdvisor is read by its metrics, and this is another of its pages: give {}{CADVISOR_PATH}",
                url.origin().ascii_serialization()
            ),
        });
    }
    if url.path() == "/" {
        url.set_path(CADVISOR_PATH);
    }
    Ok(url)
}

/// The URL of a Kubelet, without a path.
pub(super) fn kubelet(raw: &str) -> Result<Url, Error> {
    let mut url = parse(raw, "https")?;
    if !matches!(url.path(), "/" | "/metrics/cadvisor" | "/stats/summary") {
        return Err(Error::Url {
            url: shown(&url),
            why: format!("its path is {}, and none is expected", url.path()),
        });
    }
    url.set_path("/");
    // An https URL with an explicit 443 is one without a port to `url`.
    let has_port = url.port().is_some() || raw.trim_end_matches('/').ends_with(":443");
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
        ] {
            assert_eq!(kubelet(url).unwrap().as_str(), expected, "{url}");
        }
        for (url, expected) in [
            ("h:8080", "http://h:8080/metrics"),
            ("http://h:8080/", "http://h:8080/metrics"),
            ("https://h/cadvisor/metrics", "https://h/cadvisor/metrics"),
        ] {
            assert_eq!(cadvisor(url).unwrap().as_str(), expected, "{url}");
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
                    url: "http://h:8080/api/v1.3/subcontainers".to_owned(),
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
