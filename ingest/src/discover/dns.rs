//! A name in DNS, each of whose addresses is a target: a headless service, for example.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;
use tokio::time::sleep;

use super::{Finder, Unwanted};
use crate::scrape::{NodeState, Target};

/// How often it is looked up.
const EVERY: Duration = Duration::from_secs(30);

/// A target whose host stands for all addresses that it has.
#[derive(Debug, Clone)]
pub struct DnsName {
    /// Its URL is that of every address, with the address in the place of the name.
    pub template: Target,
}

impl DnsName {
    pub(super) async fn run(self, finder: &Finder) -> Result<Infallible, Unwanted> {
        let url = match &self.template {
            Target::Cadvisor { url }
            | Target::Kubelet { url, .. }
            | Target::Prometheus { url, .. } => url.clone(),
            Target::Cgroups { .. } => String::new(),
        };
        let mut before = None;
        loop {
            match look_up(&url).await {
                Ok(addresses) if before.as_ref() != Some(&addresses) => {
                    finder.found(self.targets(&url, &addresses)).await?;
                    before = Some(addresses);
                }
                Ok(_) => {}
                Err(why) => finder.failed("DNS", why).await?,
            }
            sleep(EVERY).await;
        }
    }

    /// The targets of a set of addresses.
    fn targets(&self, url: &str, addresses: &BTreeSet<SocketAddr>) -> Vec<(Target, NodeState)> {
        addresses
            .iter()
            .filter_map(|address| {
                let mut own = Url::parse(url).ok()?;
                own.set_ip_host(address.ip()).ok()?;
                let mut target = self.template.clone();
                match &mut target {
                    Target::Cadvisor { url }
                    | Target::Kubelet { url, .. }
                    | Target::Prometheus { url, .. } => *url = own.to_string(),
                    Target::Cgroups { .. } => return None,
                }
                Some((target, NodeState::default()))
            })
            .collect()
    }
}

async fn look_up(url: &str) -> Result<BTreeSet<SocketAddr>, String> {
    let parsed = Url::parse(url).map_err(|error| format!("{error}"))?;
    let host = parsed.host_str().unwrap_or_default().to_owned();
    let port = parsed.port_or_known_default().unwrap_or(0);
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let found = found.map_err(|error| format!("{host}: {error}"))?;
    let addresses: BTreeSet<SocketAddr> = found.collect();
    match addresses.is_empty() {
        true => Err(format!("{host} has no address")),
        false => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_address_is_a_target_of_its_own() {
        let url = "http://localhost:8080/metrics".to_owned();
        let addresses = look_up(&url).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        let name = DnsName {
            template: Target::Cadvisor { url: url.clone() },
        };
        let addresses = ["10.0.0.1:8080", "[::1]:8080"].map(|text| text.parse().unwrap());
        let targets = name.targets(&url, &BTreeSet::from(addresses));
        let urls: Vec<_> = targets
            .into_iter()
            .map(|(target, _)| match target {
                Target::Cadvisor { url } => url,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            urls,
            ["http://10.0.0.1:8080/metrics", "http://[::1]:8080/metrics"]
        );
        assert!(look_up("http://no-such-host.invalid").await.is_err());
    }
}
