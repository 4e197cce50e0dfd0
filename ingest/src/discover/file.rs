//! A file of targets, read again when it changes.
//!
//! A line is a kind (`kubelet`, `cadvisor` or `prometheus`) and a URL; a `#` starts a comment.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::{Finder, KubeletAccess, Unwanted};
use crate::generic::Rules;
use crate::scrape::{NodeState, Target};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// A file that is watched.
#[derive(Debug, Clone)]
pub struct FileList {
    /// Where it is.
    pub path: PathBuf,
    /// How Kubelets in it are reached.
    pub access: KubeletAccess,
    /// What metrics of Prometheus endpoints in it are called.
    pub rules: Rules,
}

impl FileList {
    pub(super) async fn run(self, finder: &Finder) -> Result<Infallible, Unwanted> {
        let by = format!("the list {}", self.path.display());
        let mut before: Option<Result<String, String>> = None;
        loop {
            // A few lines, read as one: no other task waits for them noticeably.
            let now = std::fs::read_to_string(&self.path).map_err(|error| error.to_string());
            if before.as_ref() != Some(&now) {
                let targets = now
                    .clone()
                    .and_then(|text| read_list(&text, &self.access, &self.rules));
                match targets {
                    Ok(targets) => {
                        let targets = targets.into_iter();
                        let targets = targets.map(|target| (target, NodeState::default()));
                        finder.found(targets.collect()).await?;
                    }
                    Err(why) => finder.failed(&by, why).await?,
                }
                before = Some(now);
            }
            sleep(EVERY).await;
        }
    }
}

/// Reads a list of targets.
///
/// # Errors
/// The first line that is none, with its number: a list that is half right is not taken.
pub fn read_list(text: &str, access: &KubeletAccess, rules: &Rules) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let (kind, url) = match (words.next(), words.next(), words.next()) {
            (None, ..) => continue,
            (Some(kind), Some(url), None) => (kind, url.to_owned()),
            _ => return Err(format!("line {number}: a kind and a URL are expected")),
        };
        let target = match kind {
            "kubelet" => access.target(url, None),
            "cadvisor" => Target::Cadvisor { url },
            "prometheus" => Target::Prometheus {
                url,
                rules: rules.clone(),
            },
            _ => {
                return Err(format!(
                    "line {number}: `{kind}` is none of kubelet, cadvisor and prometheus"
                ));
            }
        };
        target
            .check()
            .map_err(|error| format!("line {number}: {error}"))?;
        targets.push(target);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Target>, String> {
        read_list(text, &KubeletAccess::default(), &Rules::default())
    }

    #[test]
    fn a_list_is_read_line_by_line() {
        let text = "# nodes\n\nkubelet https://n1:10250 # the first\n cadvisor\th:8080\r\n\
                    prometheus http://h:9100/metrics\n";
        let targets = read(text).unwrap();
        assert_eq!(targets.len(), 3);
        assert!(matches!(&targets[0], Target::Kubelet { url, .. } if url == "https://n1:10250"));
        assert!(matches!(&targets[1], Target::Cadvisor { url } if url == "h:8080"));
        assert!(matches!(&targets[2], Target::Prometheus { .. }));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for (text, expected) in [
            ("\nkubelet", "line 2: a kind and a URL are expected"),
            ("node n1", "line 1: `node` is none of kubelet"),
            (
                "kubelet http://n1:10255",
                "line 1: http://n1:10255: the Kubelet's read-only port",
            ),
            ("cadvisor a b", "line 1: a kind and a URL"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
