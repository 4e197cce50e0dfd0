//! What the parts of a running server share.

use std::path::Path;
use std::sync::Arc;

use axum::http::HeaderValue;
use plimsoll_engine::catalog::{CatalogChange, MakeDefault, PolicySpec};
use plimsoll_engine::{Clock, Engine, Timestamp};
use plimsoll_query::ast::Secret;

use crate::collect::Targets;
use crate::config::{Config, HttpConfig, QueryConfig};
use crate::exit::{Code, Failure};
use crate::figures::Figures;
use crate::forward::Feeds;
use crate::http::{Budget, Requests};
use crate::lines::LineReaders;
use crate::queries::Queries;
use crate::users::Users;
use crate::workers::Workers;

/// The shortest secret that tokens may be signed with.
const SECRET_BYTES_MIN: usize = 8;

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
    pub(crate) figures: Figures,
    pub(crate) started: Timestamp,
    /// What each target gave last.
    pub(crate) targets: Targets,
    /// The ways out.
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) users: Users,
    /// The queries that run now.
    pub(crate) queries: Queries,
    /// This machine's name.
    pub(crate) hostname: String,
    /// What JSON Web Tokens are signed with; empty: none are taken.
    pub(crate) shared_secret: Secret,
    /// Memory for the bodies of requests.
    pub(crate) bodies: Arc<Budget>,
    /// What has parsed lines and will again.
    pub(crate) lines: LineReaders,
    /// One backup at a time.
    pub(crate) backing_up: parking_lot::Mutex<()>,
}

impl App {
    /// Puts them together. The engine's directory is open, so that nobody else changes its users.
    ///
    /// # Errors
    /// Users or the shared secret cannot be read.
    pub(crate) fn new(
        engine: Engine,
        clock: Arc<dyn Clock>,
        config: &Config,
    ) -> Result<Self, Failure> {
        let started = clock.now();
        Ok(Self {
            users: Users::open(&config.engine.directory)?,
            shared_secret: shared_secret(config.http.shared_secret_file.as_deref())?,
            queries: Queries::default(),
            hostname: config.sources.hostname.clone(),
            bodies: Budget::new(config.http.bodies_bytes_max),
            lines: LineReaders::new(config.engine.head_bytes_max),
            backing_up: parking_lot::Mutex::new(()),
            engine,
            clock,
            requests: Requests::default(),
            figures: Figures::default(),
            targets: Targets::default(),
            feeds: Arc::new(Feeds::new(config.forward.clone())),
            started,
            http: config.http.clone(),
            query: config.query.clone(),
            version_header: HeaderValue::from_str(&config.http.influxdb_version)
                .expect("the version was checked to fit into a header"),
            workers: Workers::new(config.query.concurrent_max, config.http.write_limits),
        })
    }

    /// Changes the catalog, and begins or ends what is forwarded because of it.
    ///
    /// # Errors
    /// As [`Engine::change`].
    pub(crate) fn change(&self, change: &CatalogChange) -> Result<(), plimsoll_engine::Error> {
        self.engine.change(change)?;
        self.feeds.follow_catalog(&self.engine);
        Ok(())
    }

    /// Lets a client wait for its answer where the head is nearly full, so that merges keep up:
    /// it sends the next batch later, and none has to be refused.
    pub(crate) async fn slow_down(&self) {
        let delay = self.engine.write_delay();
        if !delay.is_zero() {
            self.figures.writes_slowed.add(1);
            tokio::time::sleep(delay).await;
        }
    }

    /// Makes a database where it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn ensure_database(
        &self,
        name: &str,
        policy: Option<PolicySpec>,
    ) -> Result<(), Failure> {
        if self.engine.snapshot().catalog().database(name).is_ok() {
            return Ok(());
        }
        let name = name.to_owned();
        let made = self
            .engine
            .change(&CatalogChange::CreateDatabase { name, policy });
        made.map(drop).map_err(|error| Failure::engine(&error))
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

/// Reads what JSON Web Tokens are signed with.
pub(crate) fn shared_secret(path: Option<&Path>) -> Result<Secret, Failure> {
    let Some(path) = path else {
        return Ok(Secret(String::new()));
    };
    let failure = |why: String| {
        let line = format!("shared_secret_file: {}: {why}", path.display());
        Failure::new(Code::File, line)
    };
    let text = std::fs::read_to_string(path).map_err(|error| failure(error.to_string()))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.len() < SECRET_BYTES_MIN {
        return Err(failure(format!(
            "the secret has fewer than {SECRET_BYTES_MIN} bytes"
        )));
    }
    Ok(Secret(secret.to_owned()))
}
