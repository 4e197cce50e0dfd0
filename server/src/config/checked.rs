//! The configuration that the rest of the server works with: complete and without contradiction.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use plimsoll_engine::Options;
use plimsoll_engine::catalog::{DAY_NS, Retention};
use plimsoll_engine::engine::Durability;
use plimsoll_ingest::line::Precision;
use plimsoll_query::Options as QueryOptions;
use plimsoll_query::exec::{FillPrevious, Hints, Limits, SharedMemory};
use plimsoll_wal::storage::ReadMode;

use super::forward::{ForwardConfig, forward};
use super::layer::{Layer, Listen};
use super::probe::memory_limit_bytes;
use super::sources::{SourcesConfig, sources};
use super::value::{DurabilitySetting, LogLevel, RetentionSetting};
use crate::workers::WriteLimits;

/// Everything that `serve` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// How the engine is opened.
    pub engine: Options,
    /// How long the database `k8s` keeps points, where it is made.
    pub retention: Retention,
    /// Whether somebody asked for that, so that a database that is there is changed.
    pub retention_is_set: bool,
    /// What is collected.
    pub sources: SourcesConfig,
    /// What is sent on to other stores.
    pub forward: ForwardConfig,
    /// How requests are served.
    pub http: HttpConfig,
    /// What queries may do.
    pub query: QueryConfig,
    /// How the log is written.
    pub log: LogConfig,
    /// Line protocol in UDP packets, where it is taken.
    pub udp: Option<UdpConfig>,
    /// How often the server writes its own figures into `_internal`; none: it does not.
    pub monitor_every: Option<Duration>,
    /// How often it looks which continuous queries are due; none: they do not run.
    pub continuous_queries_every: Option<Duration>,
}

/// How requests are served.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The largest body, before and after it is unpacked.
    pub body_bytes_max: usize,
    /// What `X-Influxdb-Version` says.
    pub influxdb_version: String,
    /// Whether requests must say who they come from.
    pub auth_enabled: bool,
    /// Whether `/ping`, `/metrics` and their like must, too.
    pub ping_auth_enabled: bool,
    /// What JSON Web Tokens are signed with.
    pub shared_secret_file: Option<PathBuf>,
    /// Certificate and key; none: no TLS.
    pub tls: Option<TlsFiles>,
    /// A Unix socket to listen on, too.
    pub unix_socket: Option<PathBuf>,
    /// Its permissions.
    pub unix_socket_mode: u32,
    /// How many connections there are at a time; 0: no limit.
    pub connections_max: usize,
    /// How many writes run and wait.
    pub write_limits: WriteLimits,
    /// Memory that the bodies of all requests may take.
    pub bodies_bytes_max: usize,
    /// How long a client may take for the headers of a request.
    pub read_header_timeout: Duration,
    /// How long a client may take for the body of a request.
    pub read_body_timeout: Duration,
    /// How long a client may take nothing of its answer.
    pub write_idle_timeout: Duration,
    /// How long running requests may take when the server stops.
    pub shutdown_timeout: Duration,
}

/// The server's certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

/// Line protocol in UDP packets.
#[derive(Debug, Clone)]
pub struct UdpConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The database that is written into.
    pub database: String,
    /// Its policy; empty: the default.
    pub policy: String,
    /// The precision of times.
    pub precision: Precision,
}

/// What queries may do.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// A query is stopped after this time.
    pub timeout: Option<Duration>,
    /// A statement that takes this long is logged.
    pub log_after: Option<Duration>,
    /// How many run at a time.
    pub concurrent_max: Option<usize>,
    /// How much each may read and answer.
    pub limits: Limits,
    /// Where they may do more than InfluxDB does.
    pub options: QueryOptions,
}

/// How the log is written.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Text or JSON.
    pub format: LogFormat,
    /// What it holds.
    pub level: LogLevel,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is none of text and json")),
        }
    }
}
/// What one statement may hold in memory at a time.
const SELECT_MEMORY_BYTES_MAX: u64 = 1 << 30;

/// The default data directory.
const DATA: &str = "./plimsoll-data";
/// The version whose behaviour and texts are followed.
const INFLUXDB_VERSION: &str = "1.12.2";
/// InfluxDB's `max-body-size`.
const BODY_BYTES_MAX: u64 = 25_000_000;
const RETENTION: Retention = Retention::For(30 * DAY_NS);
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);
const CONCURRENT_QUERIES_MAX: u64 = 64;
const SELECT_SERIES_MAX: u64 = 1_000_000;
const SELECT_BUCKETS_MAX: u64 = 1_000_000;
/// A log file holds at least one large batch.
const LOG_FILE_BYTES_MIN: u64 = 1 << 20;
/// Below this no batch of a large body would find room.
const HEAD_BYTES_MIN: u64 = 16 << 20;
/// Writes wait for the disk together (group commit), so there are more of them than cores.
const WRITES_MAX: usize = 32;
const WRITES_WAITING_MAX: usize = 1024;
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// Below the file descriptors that most systems give a service.
const CONNECTIONS_MAX: usize = 4096;
const READ_HEADER: Duration = Duration::from_secs(30);
const READ_BODY: Duration = Duration::from_mins(5);
const WRITE_IDLE: Duration = Duration::from_mins(1);
const SHUTDOWN: Duration = Duration::from_secs(10);
/// The owner and the group.
const UNIX_SOCKET_MODE: u32 = 0o660;
/// InfluxDB's `store-interval`.
const MONITOR_EVERY: Duration = Duration::from_secs(10);
/// InfluxDB's `run-interval`.
const CONTINUOUS_QUERIES_EVERY: Duration = Duration::from_secs(1);
/// Below this it would do little else.
const CONTINUOUS_QUERIES_EVERY_MIN: Duration = Duration::from_millis(10);
/// Queries may hold this much together, however small the machine.
const QUERY_MEMORY_BYTES_DEFAULT_MIN: u64 = 128 << 20;
/// Bodies of requests may take this much, however small the machine.
const BODIES_BYTES_DEFAULT_MIN: u64 = 64 << 20;
/// The default never goes below this, however small the machine.
const HEAD_BYTES_DEFAULT_MIN: u64 = 64 << 20;

/// Puts defaults in, and looks for what cannot work.
///
/// # Errors
/// Everything that was found, a line each.
pub fn check(layer: Layer) -> Result<Config, Vec<String>> {
    let mut errors = Vec::new();
    let sources = sources(&layer, &mut errors);
    let forward = forward(&layer, &mut errors);
    let engine = engine(&layer, &mut errors);
    let body_bytes_max = layer
        .max_body_size
        .as_ref()
        .map_or(BODY_BYTES_MAX, |size| size.0.0);
    if body_bytes_max == 0 {
        errors.push("max_body_size is 0: no write would fit; the default is 25MB".to_owned());
    }
    let influxdb_version = layer
        .influxdb_version
        .clone()
        .unwrap_or_else(|| INFLUXDB_VERSION.to_owned());
    if !influxdb_version.bytes().all(|byte| byte.is_ascii_graphic()) {
        errors.push("influxdb_version must fit into a header: letters, digits, dots".to_owned());
    }
    let http = http(&layer, body_bytes_max, influxdb_version, &mut errors);
    let monitor_every = layer
        .monitor_store_interval
        .map_or(MONITOR_EVERY, |time| time.0.0);
    if monitor_every < Duration::from_secs(1) {
        errors.push("monitor_store_interval is below 1s; the default is 10s".to_owned());
    }
    let continuous_queries_every = layer
        .continuous_queries_run_interval
        .map_or(CONTINUOUS_QUERIES_EVERY, |time| time.0.0);
    if continuous_queries_every < CONTINUOUS_QUERIES_EVERY_MIN {
        errors.push("continuous_queries_run_interval is below 10ms; the default is 1s".to_owned());
    }
    if layer.udp_database.as_deref() == Some("") {
        errors.push("udp_database is empty: name a database".to_owned());
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let loopback = Listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 8086)));
    Ok(Config {
        listen: layer.listen.map_or(loopback, |listen| listen.0).0,
        engine,
        retention: layer
            .retention
            .as_ref()
            .map_or(RETENTION, |retention| retention.0.0),
        retention_is_set: layer.retention.is_some(),
        sources,
        forward,
        http,
        udp: layer.udp_listen.map(|listen| UdpConfig {
            listen: listen.0.0,
            database: layer
                .udp_database
                .clone()
                .unwrap_or_else(|| "udp".to_owned()),
            policy: layer.udp_retention_policy.clone().unwrap_or_default(),
            precision: layer
                .udp_precision
                .map_or(Precision::Nanoseconds, |precision| precision.0.0),
        }),
        monitor_every: layer
            .monitor_store_enabled
            .unwrap_or(true)
            .then_some(monitor_every),
        continuous_queries_every: layer
            .continuous_queries_enabled
            .unwrap_or(true)
            .then_some(continuous_queries_every),
        query: QueryConfig {
            log_after: layer.log_queries_after.and_then(|time| nonzero(time.0.0)),
            timeout: nonzero(layer.query_timeout.map_or(QUERY_TIMEOUT, |time| time.0.0)),
            concurrent_max: nonzero(
                layer
                    .max_concurrent_queries
                    .unwrap_or(CONCURRENT_QUERIES_MAX),
            )
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
            limits: Limits {
                select_points_max: layer.max_select_point.unwrap_or(0),
                memory_bytes_max: SELECT_MEMORY_BYTES_MAX,
                memory_shared_bytes_max: layer.query_memory_max.as_ref().map_or_else(
                    || (memory_limit_bytes() / 4).max(QUERY_MEMORY_BYTES_DEFAULT_MIN),
                    |size| size.0.0,
                ),
                memory_shared: SharedMemory::default(),
                select_series_max: layer.max_select_series.unwrap_or(SELECT_SERIES_MAX),
                select_buckets_max: layer.max_select_buckets.unwrap_or(SELECT_BUCKETS_MAX),
                rows_max: layer.max_row_limit.unwrap_or(0),
            },
            options: QueryOptions {
                fill_previous: fill_previous(layer.fill_previous_lookback.as_ref()),
                hints: if layer.query_hints.unwrap_or(true) {
                    Hints::Given
                } else {
                    Hints::None
                },
            },
        },
        log: LogConfig {
            format: layer.log_format.map_or(LogFormat::Text, |format| format.0),
            level: layer
                .log_level
                .map_or(LogLevel(tracing::Level::INFO), |level| level.0),
        },
    })
}

/// How far fill(previous) sees.
fn fill_previous(setting: Option<&super::Parsed<super::Duration>>) -> FillPrevious {
    let time = setting.map(|time| time.0.0);
    match time.map(|time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)) {
        None | Some(0) => FillPrevious::InRange,
        Some(ns) => FillPrevious::LookBack(ns),
    }
}

fn http(
    layer: &Layer,
    body_bytes_max: u64,
    influxdb_version: String,
    errors: &mut Vec<String>,
) -> HttpConfig {
    let count = |setting: Option<u64>, default: usize| {
        setting.map_or(default, |count| {
            usize::try_from(count).unwrap_or(usize::MAX)
        })
    };
    let mut time = |key: &str, setting: &Option<super::Parsed<super::Duration>>, default| {
        let time = setting.as_ref().map_or(default, |time| time.0.0);
        if time.is_zero() {
            errors.push(format!("{key} is 0: every client would be too slow"));
        }
        time
    };
    let write_limits = WriteLimits {
        running_max: count(layer.max_concurrent_write_limit, WRITES_MAX),
        waiting_max: count(layer.max_enqueued_write_limit, WRITES_WAITING_MAX),
        wait: time(
            "enqueued_write_timeout",
            &layer.enqueued_write_timeout,
            WRITE_WAIT,
        ),
    };
    let read_header_timeout = time(
        "read_header_timeout",
        &layer.read_header_timeout,
        READ_HEADER,
    );
    let read_body_timeout = time("read_body_timeout", &layer.read_body_timeout, READ_BODY);
    let write_idle_timeout = time("write_idle_timeout", &layer.write_idle_timeout, WRITE_IDLE);
    let shutdown_timeout = time("shutdown_timeout", &layer.shutdown_timeout, SHUTDOWN);
    let bodies_bytes_max = layer.request_memory_max.as_ref().map_or_else(
        || (memory_limit_bytes() / 8).max(BODIES_BYTES_DEFAULT_MIN),
        |size| size.0.0,
    );
    if bodies_bytes_max < body_bytes_max {
        errors.push(
            "request_memory_max is smaller than max_body_size: the largest body would never fit"
                .to_owned(),
        );
    }
    let tls = match (&layer.tls_certificate_file, &layer.tls_key_file) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        (None, None) => None,
        _ => {
            errors.push(
                "tls_certificate_file and tls_key_file belong together: name both".to_owned(),
            );
            None
        }
    };
    HttpConfig {
        body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(usize::MAX),
        influxdb_version,
        auth_enabled: layer.auth_enabled.unwrap_or(false),
        ping_auth_enabled: layer.ping_auth_enabled.unwrap_or(false),
        shared_secret_file: layer.shared_secret_file.clone(),
        tls,
        unix_socket: layer.unix_socket.clone(),
        unix_socket_mode: layer
            .unix_socket_permissions
            .as_ref()
            .map_or(UNIX_SOCKET_MODE, |mode| mode.0.0),
        connections_max: count(layer.max_connection_limit, CONNECTIONS_MAX),
        write_limits,
        bodies_bytes_max: usize::try_from(bodies_bytes_max).unwrap_or(usize::MAX),
        read_header_timeout,
        read_body_timeout,
        write_idle_timeout,
        shutdown_timeout,
    }
}

fn engine(layer: &Layer, errors: &mut Vec<String>) -> Options {
    let defaults = Options::new(layer.data.clone().unwrap_or_else(|| DATA.into()));
    let options = Options {
        durability: layer
            .durability
            .as_ref()
            .map_or(DurabilitySetting(Durability::Sync), |d| d.0)
            .0,
        log_file_bytes: layer
            .log_file_size
            .as_ref()
            .map_or(defaults.log_file_bytes, |size| size.0.0),
        log_bytes_max: layer
            .log_size_max
            .as_ref()
            .map_or(defaults.log_bytes_max, |size| size.0.0),
        head_bytes_max: layer.head_size_max.as_ref().map_or_else(
            || (memory_limit_bytes() / 4).max(HEAD_BYTES_DEFAULT_MIN),
            |size| size.0.0,
        ),
        reader_backlog_bytes_max: layer
            .forward_backlog_bytes_max
            .as_ref()
            .map_or(defaults.reader_backlog_bytes_max, |size| size.0.0),
        merge_bytes_per_second: layer
            .merge_rate_max
            .as_ref()
            .map_or(defaults.merge_bytes_per_second, |rate| {
                Some(rate.0.0).filter(|rate| *rate > 0)
            }),
        read_mode: layer.io.as_ref().map_or(ReadMode::Map, |io| io.0.0),
        tag_sets_max: layer.max_tag_sets_per_database.filter(|max| *max > 0),
        columns_max: layer
            .max_columns_per_measurement
            .unwrap_or(defaults.columns_max),
        ..defaults
    };
    if options.log_file_bytes < LOG_FILE_BYTES_MIN {
        errors.push("log_file_size is below 1MiB".to_owned());
    }
    if options.log_bytes_max < options.log_file_bytes {
        errors.push("log_size_max is smaller than log_file_size: one file is the least".to_owned());
    }
    if options.head_bytes_max < HEAD_BYTES_MIN {
        errors.push("head_size_max is below 16MiB".to_owned());
    }
    if options.columns_max == 0 {
        errors.push("max_columns_per_measurement is 0: nothing could be written".to_owned());
    }
    if options.directory.as_os_str().is_empty() {
        errors.push("data (--data) is empty: name a directory".to_owned());
    }
    options
}

impl Config {
    /// How long the database `k8s` keeps points, as people write it.
    #[must_use]
    pub fn retention_text(&self) -> String {
        RetentionSetting(self.retention).to_string()
    }

    /// What an acknowledged write means, as people write it.
    #[must_use]
    pub fn durability_text(&self) -> String {
        DurabilitySetting(self.engine.durability).to_string()
    }
}

/// 0 switches a limit off.
fn nonzero<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, SourceUrl};
    use super::*;

    #[test]
    fn nothing_is_needed() {
        let config = check(Layer::default()).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8086");
        assert_eq!(config.retention_text(), "30d");
        assert_eq!(config.durability_text(), "sync");
        assert_eq!(config.query.timeout, Some(Duration::from_secs(60)));
        assert!(config.sources.cgroup && !config.sources.hostname.is_empty());
    }

    #[test]
    fn every_contradiction_is_found_at_once() {
        let url: SourceUrl = "http://u:secret@h:1".parse().unwrap();
        let errors = check(Layer {
            kubelet: Some(vec![Parsed(url.clone()), Parsed(url)]),
            kubelet_ca_file: Some("ca.crt".into()),
            kubelet_insecure_skip_verify: Some(true),
            kubernetes: Some(true),
            kubernetes_config: Some("kubeconfig".into()),
            kubernetes_api: Some("http://127.0.0.1:8001".to_owned()),
            prometheus_names: Some(vec!["*".to_owned()]),
            source: Some(vec!["https://n1".to_owned()]),
            interval: Some(Parsed("0".parse().unwrap())),
            log_size_max: Some(Parsed("1MiB".parse().unwrap())),
            ..Layer::default()
        })
        .unwrap_err();
        assert_eq!(errors.len(), 7, "{errors:#?}");
        assert!(!errors.concat().contains("secret"));
    }

    #[test]
    fn zero_switches_a_limit_off() {
        let config = check(Layer {
            query_timeout: Some(Parsed("0".parse().unwrap())),
            max_concurrent_queries: Some(0),
            ..Layer::default()
        })
        .unwrap();
        assert_eq!(
            (config.query.timeout, config.query.concurrent_max),
            (None, None)
        );
    }
}
