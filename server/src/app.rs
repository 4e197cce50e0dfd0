//! What the parts of a running server share.

use std::sync::Arc;

use axum::http::HeaderValue;
use plimsoll_engine::catalog::{CatalogChange, MakeDefault, PolicySpec};
use plimsoll_engine::{Clock, Engine, Timestamp};

use crate::config::{Config, HttpConfig, QueryConfig};
use crate::exit::Failure;
use crate::http::Requests;
use crate::workers::Workers;

/// The database that this server's own sources write into.
pub(crate) const DATABASE: &str = "k8s";
/// Its policy: the one that Heapster writes into.
const POLICY: &str = "default";

/// An open engine and how requests are to be served from it.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) http: HttpConfig,
    pub(crate) query: QueryConfig,
    pub(crate) version_header: HeaderValue,
    pub(crate) workers: Workers,
    pub(crate) requests: Requests,
    pub(crate) started: Timestamp,
}

impl App {
    pub(crate) fn new(engine: Engine, clock: Arc<dyn Clock>, config: &Config) -> Self {
        let started = clock.now();
        Self {
            engine,
            clock,
            requests: Requests::default(),
            started,
            http: config.http.clone(),
            query: config.query.clone(),
            version_header: HeaderValue::from_str(&config.http.influxdb_version)
                .expect("the version was checked to fit into a header"),
            workers: Workers::new(config.query.concurrent_max),
        }
    }

    /// Makes the database of this server's own sources, or gives it the retention that was asked
    /// for where it is there.
    pub(crate) fn prepare_database(&self, config: &Config) -> Result<(), Failure> {
        let policy = PolicySpec {
            name: Some(POLICY.to_owned()),
            retention: Some(config.retention.as_ns()),
            ..PolicySpec::default()
        };
        let snapshot = self.engine.snapshot();
        let change = match snapshot.catalog().database(DATABASE) {
            Err(_) => CatalogChange::CreateDatabase {
                name: DATABASE.to_owned(),
                policy: Some(policy),
            },
            Ok(there) => match there.policy(POLICY) {
                Ok(kept) if config.retention_is_set && kept.retention != config.retention => {
                    tracing::info!(
                        database = DATABASE,
                        retention = config.retention_text(),
                        "the retention changes, as configured"
                    );
                    CatalogChange::AlterPolicy {
                        database: DATABASE.to_owned(),
                        policy,
                        default: MakeDefault::No,
                    }
                }
                _ => return Ok(()),
            },
        };
        let changed = self.engine.change(&change);
        changed.map(drop).map_err(|error| Failure::engine(&error))
    }
}
