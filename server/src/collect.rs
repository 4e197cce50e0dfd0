//! Sources that this server reads itself, and where their points go.

use crate::app::DATABASE;
use crate::config::{Duration, SourcesConfig};

/// What is collected, in a line.
pub(crate) fn describe(sources: &SourcesConfig) -> String {
    let mut parts = Vec::new();
    if sources.cgroup {
        parts.push("this machine's cgroups".to_owned());
    }
    let urls = |what: &str, urls: &[crate::config::SourceUrl]| {
        let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
        (!urls.is_empty()).then(|| format!("{what} {}", urls.join(", ")))
    };
    parts.extend(urls("cAdvisor", &sources.cadvisor));
    parts.extend(urls("Kubelet", &sources.kubelet));
    if parts.is_empty() {
        return "nothing by itself; it takes what is pushed to /write".to_owned();
    }
    let every = Duration(sources.interval);
    format!(
        "{}, every {every}, into database {DATABASE}",
        parts.join("; ")
    )
}
