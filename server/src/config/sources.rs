//! What is collected: the part of the configuration that becomes targets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_ingest::cgroup::Socket;
use plimsoll_ingest::choice::Choice;
use plimsoll_ingest::discover::{Api, KubeletAccess, translate};
use plimsoll_ingest::generic::Rules;
use plimsoll_ingest::labels::{Joined, LabelRules};
use plimsoll_ingest::profile::{Aliases, Naming, Profile};

use super::layer::Layer;
use super::probe::hostname;
use super::value::SourceUrl;

const INTERVAL: Duration = Duration::from_secs(10);
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const SCRAPE_BYTES_MAX: u64 = 64 << 20;
const SCRAPE_SERIES_MAX: u64 = 500_000;
const SCRAPES_MAX: u64 = 512;

/// What is collected.
#[derive(Debug, Clone)]
pub struct SourcesConfig {
    /// Whether this machine's cgroups are.
    pub cgroup: bool,
    /// Where the cgroup file system is mounted; none: where the kernel says.
    pub cgroup_root: Option<PathBuf>,
    /// Where engines say how their containers are called; none: where they usually do.
    pub engine_sockets: Option<Vec<Socket>>,
    /// cAdvisors.
    pub cadvisor: Vec<SourceUrl>,
    /// Kubelets.
    pub kubelet: Vec<SourceUrl>,
    /// How they are reached, and those that are found.
    pub kubelet_access: KubeletAccess,
    /// Where Kubelets are found; none: nowhere.
    pub kubernetes: Option<KubernetesConfig>,
    /// Endpoints in Prometheus' format.
    pub prometheus: Vec<SourceUrl>,
    /// What their metrics are called.
    pub prometheus_rules: Rules,
    /// A file with more targets.
    pub targets_file: Option<PathBuf>,
    /// How often each is read.
    pub interval: Duration,
    /// The names that series and tags get.
    pub naming: Naming,
    /// This machine's name in them.
    pub hostname: String,
    /// The tag `cluster_name`.
    pub cluster_name: String,
    /// The largest answer of a target.
    pub scrape_bytes_max: usize,
    /// How many points may come of one scrape.
    pub scrape_series_max: usize,
    /// How many targets are asked at a time.
    pub scrapes_max: usize,
    /// What is odd about them and no error.
    pub warnings: Vec<String>,
}

/// How nodes are found.
#[derive(Debug, Clone)]
pub struct KubernetesConfig {
    /// Where to ask.
    pub api: Api,
    /// `https` or `http`.
    pub scheme: String,
    /// The Kubelets' port, where it is another than their nodes say.
    pub port: Option<u16>,
}

/// The sources of a layer, with defaults; what cannot work goes to `errors`.
pub(super) fn sources(layer: &Layer, errors: &mut Vec<String>) -> SourcesConfig {
    let urls = |list: &Option<Vec<super::Parsed<SourceUrl>>>| -> Vec<SourceUrl> {
        let urls = list.iter().flatten();
        urls.map(|url| url.0.clone()).collect()
    };
    let interval = layer.interval.as_ref().map_or(INTERVAL, |time| time.0.0);
    if interval < INTERVAL_MIN {
        errors.push("interval (--interval) is below 100ms: sources cannot be read so often".into());
    }
    let mut access = KubeletAccess {
        token_file: layer.kubelet_token_file.clone(),
        ca_file: layer.kubelet_ca_file.clone(),
        insecure_skip_verify: layer.kubelet_insecure_skip_verify.unwrap_or(false),
        pages: layer
            .kubelet_pages
            .as_ref()
            .map(|pages| pages.0)
            .unwrap_or_default(),
    };
    if access.insecure_skip_verify && access.ca_file.is_some() {
        errors.push(
            "kubelet_ca_file and kubelet_insecure_skip_verify contradict each other: \
             check the certificates, or do not"
                .to_owned(),
        );
    }
    let mut warnings = Vec::new();
    let kubernetes = kubernetes(layer, &mut access, &mut warnings, errors);
    let (cadvisor, kubelet) = (urls(&layer.cadvisor), urls(&layer.kubelet));
    let prometheus = urls(&layer.prometheus);
    for (key, list) in [
        ("cadvisor (--cadvisor)", &cadvisor),
        ("kubelet (--kubelet)", &kubelet),
        ("prometheus", &prometheus),
    ] {
        for (index, url) in list.iter().enumerate() {
            if list[..index].contains(url) {
                errors.push(format!("{key} names {url} twice"));
            }
        }
    }
    let names = layer.prometheus_names.iter().flatten();
    let prometheus_rules = Rules::parse(names.map(String::as_str)).unwrap_or_else(|error| {
        errors.push(format!("prometheus_names: {error}"));
        Rules::default()
    });
    let count = |setting: Option<u64>, default: u64| {
        usize::try_from(setting.unwrap_or(default)).unwrap_or(usize::MAX)
    };
    let scrape_bytes_max = layer.max_scrape_size.as_ref().map(|size| size.0.0);
    SourcesConfig {
        cgroup: layer.cgroup.unwrap_or(true),
        cgroup_root: layer.cgroup_root.clone(),
        engine_sockets: layer
            .engine_sockets
            .as_ref()
            .map(|sockets| sockets.iter().map(|socket| socket.0.clone()).collect()),
        cadvisor,
        kubelet,
        kubelet_access: access,
        kubernetes,
        prometheus,
        prometheus_rules,
        targets_file: layer.targets_file.clone(),
        interval,
        naming: naming(layer, errors),
        hostname: layer.hostname.clone().unwrap_or_else(hostname),
        cluster_name: layer
            .cluster_name
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        scrape_bytes_max: count(scrape_bytes_max, SCRAPE_BYTES_MAX),
        scrape_series_max: count(layer.max_scrape_series, SCRAPE_SERIES_MAX),
        scrapes_max: count(layer.max_scrapes, SCRAPES_MAX),
        warnings,
    }
}

fn naming(layer: &Layer, errors: &mut Vec<String>) -> Naming {
    let labels = LabelRules::default();
    let [keep, drop] = [&layer.metrics_keep, &layer.metrics_drop]
        .map(|list| list.iter().flatten().map(|entry| entry.0.as_str()));
    let choice = Choice::parse(keep, drop).unwrap_or_else(|error| {
        errors.push(error);
        Choice::default()
    });
    Naming {
        profile: layer.profile.as_ref().map_or(Profile::Classic, |p| p.0),
        aliases: match layer.heapster_v0_aliases {
            Some(true) => Aliases::HeapsterV0,
            _ => Aliases::None,
        },
        labels: LabelRules {
            joined: layer.labels.as_ref().map_or(Joined::Tag, |joined| joined.0),
            separator: layer.label_separator.clone().unwrap_or(labels.separator),
            tags: layer.label_tags.clone().unwrap_or_default(),
            drop: layer.label_drop.clone().unwrap_or_default(),
        },
        choice: Arc::new(choice),
    }
}

fn kubernetes(
    layer: &Layer,
    access: &mut KubeletAccess,
    warnings: &mut Vec<String>,
    errors: &mut Vec<String>,
) -> Option<KubernetesConfig> {
    let mut api = match (&layer.kubernetes_config, &layer.kubernetes_api) {
        (Some(_), Some(_)) => {
            errors.push("kubernetes_config and kubernetes_api are two places of one API".into());
            Api::Inferred
        }
        (Some(path), None) => Api::Kubeconfig(path.clone()),
        (None, Some(url)) => Api::Url(url.clone()),
        (None, None) => Api::Inferred,
    };
    let mut port = layer.kubelet_port.as_ref().map(|port| port.0.0);
    let scheme = layer.kubelet_scheme.clone();
    let scheme = scheme.unwrap_or_else(|| "https".to_owned());
    if !matches!(scheme.as_str(), "http" | "https") {
        errors.push(format!(
            "kubelet_scheme is `{scheme}`, and none of http and https"
        ));
    }
    let mut is_wanted = layer.kubernetes == Some(true) || api != Api::Inferred;
    for source in layer.source.iter().flatten() {
        match translate(source) {
            Ok(translated) => {
                is_wanted = true;
                api = match (translated.kubeconfig, translated.api) {
                    (Some(path), _) => Api::Kubeconfig(path.into()),
                    (None, Some(url)) => Api::Url(url),
                    (None, None) => api,
                };
                port = port.or(translated.kubelet_port);
                access.insecure_skip_verify |= translated.insecure;
                warnings.extend(translated.warnings);
            }
            Err(error) => errors.push(format!("source (--source): {error}")),
        }
    }
    is_wanted.then_some(KubernetesConfig { api, scheme, port })
}
