//! Heapster's source URIs, `kubernetes:https://…?kubeletPort=10255`, to what is there today.

use reqwest::Url;

/// What a source of Heapster means today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Translated {
    /// The Kubernetes API; none is the one of the cluster that this runs in.
    pub api: Option<String>,
    /// A kubeconfig, Heapster's `auth`.
    pub kubeconfig: Option<String>,
    /// The Kubelets' port, where it is not the default.
    pub kubelet_port: Option<u16>,
    /// Whether certificates go unchecked.
    pub insecure: bool,
    /// What is gone or means something else, for the operator.
    pub warnings: Vec<String>,
}

/// Translates a source.
///
/// # Errors
/// What it is, where it is none of Kubernetes.
pub fn translate(source: &str) -> Result<Translated, String> {
    let source = source.trim();
    let rest = source
        .strip_prefix("kubernetes.summary_api:")
        .or_else(|| source.strip_prefix("kubernetes:"))
        .ok_or_else(|| {
            format!("`{source}` is not a source of Heapster such as kubernetes:https://HOST")
        })?;
    let mut translated = Translated::default();
    let mut warn = |text: &str| translated.warnings.push(text.to_owned());
    // An empty source, or options alone, means the cluster that it runs in.
    let text = match rest.trim_matches('\'') {
        text if text.is_empty() || text.starts_with('?') => format!("https://in-cluster{text}"),
        text => text.to_owned(),
    };
    let url = Url::parse(&text).map_err(|error| format!("`{source}`: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let mut in_cluster = matches!(
        host,
        "in-cluster" | "kubernetes" | "kubernetes.default" | "kubernetes.default.svc"
    );
    for (key, value) in url.query_pairs() {
        let is_true = matches!(&*value, "" | "true" | "1");
        match &*key {
            "inClusterConfig" => in_cluster = is_true || in_cluster && value != "false",
            "auth" if !value.is_empty() => translated.kubeconfig = Some(value.into_owned()),
            "kubeletPort" => match value.parse() {
                Ok(10_255) => warn(
                    "kubeletPort=10255 is the Kubelet's read-only port, which is off by default \
                     since Kubernetes 1.11: 10250 is read instead",
                ),
                Ok(port) => translated.kubelet_port = Some(port),
                Err(_) => return Err(format!("`{source}`: kubeletPort={value} is no port")),
            },
            "kubeletHttps" if !is_true => {
                warn("kubeletHttps=false is gone: the Kubelet speaks TLS alone on 10250")
            }
            "insecure" => translated.insecure = is_true,
            "useServiceAccount" | "kubeletHttps" | "apiVersion" | "auth" => {}
            "host_id_annotation" => warn("host_id_annotation is gone: no tag host_id is written"),
            other => warn(&format!("the option {other} is not known and ignored")),
        }
    }
    if !in_cluster {
        translated.api = Some(url.origin().ascii_serialization());
    }
    translated.warnings.push(
        "a source of Heapster is accepted for now: set kubernetes = true (--kubernetes) instead; \
         /stats/container, which Heapster read, is gone since Kubernetes 1.21, and /stats/summary \
         and /metrics/cadvisor are read"
            .to_owned(),
    );
    Ok(translated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_mean_what_they_meant() {
        let old = "kubernetes:https://10.0.0.1:6443?inClusterConfig=false&kubeletPort=10255\
                   &kubeletHttps=true&insecure=true&auth=/etc/heapster/kubeconfig";
        let translated = translate(old).unwrap();
        assert_eq!(translated.api.as_deref(), Some("https://10.0.0.1:6443"));
        assert_eq!(
            translated.kubeconfig.as_deref(),
            Some("/etc/heapster/kubeconfig")
        );
        assert_eq!(translated.kubelet_port, None);
        assert!(translated.insecure);
        assert!(translated.warnings[0].contains("10255"));
        assert!(translated.warnings[1].contains("/stats/container"));
        for source in [
            "kubernetes:https://kubernetes.default",
            "kubernetes:",
            "kubernetes:''",
            "kubernetes.summary_api:?useServiceAccount=true",
        ] {
            let translated = translate(source).unwrap();
            assert_eq!(translated.api, None, "{source}");
            assert_eq!(translated.warnings.len(), 1, "{:?}", translated.warnings);
        }
        let port = "kubernetes:https://kubernetes.default?kubeletPort=10250&kubeletHttps=false";
        let translated = translate(port).unwrap();
        assert_eq!(translated.kubelet_port, Some(10_250));
        assert!(translated.warnings[0].contains("kubeletHttps=false is gone"));
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for source in [
            "https://n1",
            "kubernetes:no url",
            "kubernetes:?kubeletPort=x",
        ] {
            assert!(translate(source).is_err(), "{source}");
        }
    }
}
