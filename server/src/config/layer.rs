//! One source of settings, everything optional: the file, the environment or the flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use plimsoll_ingest::cgroup::Socket;
use plimsoll_ingest::choice::Metric;
use plimsoll_ingest::forward::Destination;
use plimsoll_ingest::kubelet::Pages;
use plimsoll_ingest::labels::Joined;
use plimsoll_ingest::profile::Profile;

use super::checked::LogFormat;
use super::value::{
    Bytes, DurabilitySetting, Duration, LogLevel, Parsed, Port, RetentionSetting, SourceUrl,
};

/// How a setting is written in an environment variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it stands.
    Text,
    /// `true` or `false`.
    Flag,
    /// Several, with commas between them.
    List,
}

macro_rules! settings {
    ($( $(#[doc = $doc:literal])+ $key:ident: $kind:ident $type:ty, )+) => {
        /// Settings of one source. A key of the TOML file and the variable `PLIMSOLL_` and the key
        /// in capitals are named as the field.
        #[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Layer {
            $( $(#[doc = $doc])+ pub $key: Option<$type>, )+
        }

        impl Layer {
            /// Every key, and how its environment variable is written.
            pub const KEYS: &[(&str, Kind)] = &[ $( (stringify!($key), Kind::$kind), )+ ];

            /// These settings, and those of `below` where these have none.
            #[must_use]
            pub fn over(self, below: Self) -> Self {
                Self { $( $key: self.$key.or(below.$key), )+ }
            }
        }
    };
}

settings! {
    /// The data directory.
    data: Text PathBuf,
    /// The address to listen on.
    listen: Text Parsed<Listen>,
    /// Addresses of cAdvisors.
    cadvisor: List Vec<Parsed<SourceUrl>>,
    /// Addresses of Kubelets.
    kubelet: List Vec<Parsed<SourceUrl>>,
    /// The file with the bearer token for Kubelets; read again when it rotates.
    kubelet_token_file: Text PathBuf,
    /// The file with the certificate authority of the Kubelets.
    kubelet_ca_file: Text PathBuf,
    /// Whether the Kubelets' certificates go unchecked.
    kubelet_insecure_skip_verify: Flag bool,
    /// Which pages of Kubelets are read.
    kubelet_pages: Text Parsed<Pages>,
    /// The Kubelets' port, where it is another than their nodes say.
    kubelet_port: Text Parsed<Port>,
    /// How Kubelets that are found are reached: `https`, or `http` behind a proxy.
    kubelet_scheme: Text String,
    /// Whether nodes are found by the Kubernetes API.
    kubernetes: Flag bool,
    /// A kubeconfig for that.
    kubernetes_config: Text PathBuf,
    /// The URL of a Kubernetes API that needs no credentials.
    kubernetes_api: Text String,
    /// Sources as Heapster wrote them.
    source: List Vec<String>,
    /// Addresses of anything that shows metrics in Prometheus' format.
    prometheus: List Vec<Parsed<SourceUrl>>,
    /// What those metrics are called here.
    prometheus_names: List Vec<String>,
    /// A file with more targets; read again when it changes.
    targets_file: Text PathBuf,
    /// The largest answer of a target.
    max_scrape_size: Text Parsed<Bytes>,
    /// How many points may come of one scrape.
    max_scrape_series: Text u64,
    /// How many targets are asked at a time.
    max_scrapes: Text u64,
    /// How often sources are read.
    interval: Text Parsed<Duration>,
    /// The names that collected series get.
    profile: Text Parsed<Profile>,
    /// Whether this machine's cgroups are collected.
    cgroup: Flag bool,
    /// Where the cgroup file system is mounted.
    cgroup_root: Text PathBuf,
    /// Where container engines say how their containers are called; an empty list: nobody is asked.
    engine_sockets: List Vec<Parsed<Socket>>,
    /// The name of this machine in collected series.
    hostname: Text String,
    /// The tag `cluster_name` of collected series.
    cluster_name: Text String,
    /// Which metrics of what is collected are stored; none named: all.
    metrics_keep: List Vec<Parsed<Metric>>,
    /// Which of those are not.
    metrics_drop: List Vec<Parsed<Metric>>,
    /// Labels of containers that become tags.
    label_tags: List Vec<String>,
    /// Labels that are left out of the tag `labels`.
    label_drop: List Vec<String>,
    /// What stands between labels in it.
    label_separator: Text String,
    /// Whether there is a tag `labels`: `joined` or `off`.
    labels: Text Parsed<Joined>,
    /// Whether names of Heapster 0.x are written, too.
    heapster_v0_aliases: Flag bool,
    /// How long the database `k8s` keeps points.
    retention: Text Parsed<RetentionSetting>,
    /// What an acknowledged write means.
    durability: Text Parsed<DurabilitySetting>,
    /// The size of a log file.
    log_file_size: Text Parsed<Bytes>,
    /// The log is flushed to segments at this size.
    log_size_max: Text Parsed<Bytes>,
    /// Memory for rows that are not in segments yet; writes are refused above it.
    head_size_max: Text Parsed<Bytes>,
    /// What a merge writes at most in a second.
    merge_rate_max: Text Parsed<Bytes>,
    /// How many tag sets a database may have in the head; 0: no limit.
    max_tag_sets_per_database: Text u64,
    /// How many fields a measurement may have in a shard.
    max_columns_per_measurement: Text u64,
    /// How segments are read: `map` or `pread`.
    io: Text Parsed<Io>,
    /// The largest body of a request.
    max_body_size: Text Parsed<Bytes>,
    /// Memory that the bodies of all requests may take.
    request_memory_max: Text Parsed<Bytes>,
    /// Whether requests must say who they come from.
    auth_enabled: Flag bool,
    /// Whether `/ping`, `/metrics` and their like must, too.
    ping_auth_enabled: Flag bool,
    /// The file with what JSON Web Tokens are signed with.
    shared_secret_file: Text PathBuf,
    /// The file with the server's certificate and its chain, PEM.
    tls_certificate_file: Text PathBuf,
    /// The file with the certificate's key, PEM.
    tls_key_file: Text PathBuf,
    /// The path of a Unix socket to listen on, too.
    unix_socket: Text PathBuf,
    /// Who may use the Unix socket, as `chmod` has it.
    unix_socket_permissions: Text Parsed<Permissions>,
    /// How many connections there are at a time; 0: no limit.
    max_connection_limit: Text u64,
    /// How many writes run at a time; 0: no limit.
    max_concurrent_write_limit: Text u64,
    /// How many writes wait for their turn.
    max_enqueued_write_limit: Text u64,
    /// How long a write waits for its turn.
    enqueued_write_timeout: Text Parsed<Duration>,
    /// How long a client may take for the headers of a request.
    read_header_timeout: Text Parsed<Duration>,
    /// How long a client may take for the body of a request.
    read_body_timeout: Text Parsed<Duration>,
    /// How long a client may take nothing of its answer.
    write_idle_timeout: Text Parsed<Duration>,
    /// How long running requests may take when the server stops.
    shutdown_timeout: Text Parsed<Duration>,
    /// The address for line protocol in UDP packets; none: they are not taken.
    udp_listen: Text Parsed<Listen>,
    /// The database that they are written into.
    udp_database: Text String,
    /// The policy that they are written into; empty: the default.
    udp_retention_policy: Text String,
    /// The precision of their times.
    udp_precision: Text Parsed<UdpPrecision>,
    /// Stores that everything that is stored is sent on to.
    forward: List Vec<Parsed<Destination>>,
    /// The databases that are; none named: all but `_internal`.
    forward_databases: List Vec<String>,
    /// Log that is kept for those who have not taken it yet; beyond it the oldest is dropped.
    forward_backlog_bytes_max: Text Parsed<Bytes>,
    /// How long one request to them may take.
    forward_timeout: Text Parsed<Duration>,
    /// The file with a bearer token for them; read again for each request.
    forward_token_file: Text PathBuf,
    /// The file with the certificate authority of theirs.
    forward_ca_file: Text PathBuf,
    /// Whether their certificates go unchecked.
    forward_insecure_skip_verify: Flag bool,
    /// Whether the server writes its own figures into the database `_internal`.
    monitor_store_enabled: Flag bool,
    /// How often it does.
    monitor_store_interval: Text Parsed<Duration>,
    /// Whether continuous queries run.
    continuous_queries_enabled: Flag bool,
    /// How often it is looked which of them are due.
    continuous_queries_run_interval: Text Parsed<Duration>,
    /// Statements that take this long are logged; 0: none.
    log_queries_after: Text Parsed<Duration>,
    /// A query is stopped after this time; 0: never.
    query_timeout: Text Parsed<Duration>,
    /// Memory that all queries may hold together; 0: no limit.
    query_memory_max: Text Parsed<Bytes>,
    /// How many queries run at a time; 0: no limit.
    max_concurrent_queries: Text u64,
    /// How many values a query may read; 0: no limit.
    max_select_point: Text u64,
    /// How many series a query may read; 0: no limit.
    max_select_series: Text u64,
    /// How many windows a query may make; 0: no limit.
    max_select_buckets: Text u64,
    /// How many rows an answer that is not chunked may have; 0: no limit.
    max_row_limit: Text u64,
    /// How far before its range fill(previous) looks for a value; 0: not at all.
    fill_previous_lookback: Text Parsed<Duration>,
    /// Whether answers carry hints about statements that were probably meant otherwise.
    query_hints: Flag bool,
    /// The version that the server gives out in `X-Influxdb-Version`.
    influxdb_version: Text String,
    /// How the log is written: `text` or `json`.
    log_format: Text Parsed<LogFormat>,
    /// What the log holds: `error`, `warn`, `info`, `debug` or `trace`.
    log_level: Text Parsed<LogLevel>,
}

/// An address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.strip_prefix("localhost:").map_or_else(
            // `:8086`, as InfluxDB's `bind-address` has it, is every address.
            || match text.strip_prefix(':') {
                Some(port) => format!("0.0.0.0:{port}"),
                None => text.to_owned(),
            },
            |port| format!("127.0.0.1:{port}"),
        );
        text.parse().map(Self).map_err(|_| {
            format!("`{text}` is not an address such as 127.0.0.1:8086, 0.0.0.0:8086 or [::1]:8086")
        })
    }
}

/// Permissions of a file, in octal: `0660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions(pub u32);

impl std::str::FromStr for Permissions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        u32::from_str_radix(text.trim(), 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a file's permissions such as 0660"))
    }
}

/// The precision of times in UDP packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpPrecision(pub plimsoll_ingest::line::Precision);

impl std::str::FromStr for UdpPrecision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        plimsoll_ingest::line::Precision::from_v1(text.trim())
            .map(Self)
            .map_err(|_| format!("`{text}` is none of n, u, ms, s, m and h"))
    }
}

/// How segments are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Io(pub plimsoll_wal::storage::ReadMode);

impl std::str::FromStr for Io {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "map" => Ok(Self(plimsoll_wal::storage::ReadMode::Map)),
            "pread" => Ok(Self(plimsoll_wal::storage::ReadMode::Pread)),
            _ => Err(format!("`{text}` is none of map and pread")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_layer_hides_a_lower_one_key_by_key() {
        let below = Layer {
            hostname: Some("below".to_owned()),
            cluster_name: Some("below".to_owned()),
            ..Layer::default()
        };
        let above = Layer {
            hostname: Some("above".to_owned()),
            ..Layer::default()
        };
        let both = above.over(below);
        assert_eq!(both.hostname.as_deref(), Some("above"));
        assert_eq!(both.cluster_name.as_deref(), Some("below"));
    }

    #[test]
    fn every_key_stands_in_the_operators_document() {
        let document = include_str!("../../../docs/operations.md");
        for (key, _) in Layer::KEYS {
            let stands =
                document.contains(&format!("`{key}`")) || document.contains(&format!("`{key} = "));
            assert!(stands, "{key}");
        }
    }

    #[test]
    fn an_address_may_leave_out_its_host() {
        for (text, expected) in [
            (":8086", "0.0.0.0:8086"),
            ("localhost:1", "127.0.0.1:1"),
            ("[::1]:2", "[::1]:2"),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.0.to_string(), expected);
        }
        assert!("8086".parse::<Listen>().is_err());
    }
}
