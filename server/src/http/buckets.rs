//! `/api/v2/buckets`: databases and policies as the buckets `database/policy`, as the newest 1.x
//! shows them to the clients of InfluxDB 2.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::get;
use plimsoll_engine::Error;
use plimsoll_engine::catalog::{CatalogChange, Database, MakeDefault, Policy, PolicySpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body;
use super::identity::Identity;
use super::parameters::Parameters;
use super::pretty::Layout;
use super::reply;
use super::write::{Problem, body_problem, bucket};
use crate::app::App;

/// How many are listed where no limit is given.
const LISTED: usize = 100;
const NS_PER_SECOND: i64 = 1_000_000_000;
/// Buckets of InfluxDB 2 have no times of their own here; Go's zero time stands for none.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The paths. A bucket's name has a slash, which clients send as `%2F`.
pub(super) fn routes() -> Router<Arc<App>> {
    let mut router = Router::new()
        .route("/api/v2/buckets", get(list).post(create))
        .route(
            "/api/v2/buckets/{bucket}",
            get(one).patch(update).delete(remove),
        );
    for (path, what) in [
        ("labels", "bucket labels"),
        ("members", "bucket members"),
        ("owners", "bucket owners"),
    ] {
        let refuse = move || async move {
            let text = format!("{what} not supported in this version");
            reply::error(StatusCode::METHOD_NOT_ALLOWED, &text, Layout::Compact)
        };
        let path = format!("/api/v2/buckets/{{bucket}}/{path}");
        router = router
            .route(&path, axum::routing::any(refuse))
            .route(&format!("{path}/{{id}}"), axum::routing::any(refuse));
    }
    router
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    name: String,
    rp: String,
    #[serde(rename = "retentionRules")]
    rules: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    #[serde(rename = "everySeconds")]
    every_s: i64,
    #[serde(rename = "shardGroupDurationSeconds")]
    shard_s: i64,
}

impl Asked {
    fn spec(&self, policy: &str) -> PolicySpec {
        let rule = self.rules.first();
        let ns = |seconds: i64| seconds.saturating_mul(NS_PER_SECOND);
        PolicySpec {
            name: Some(policy.to_owned()),
            retention: Some(rule.map_or(0, |rule| ns(rule.every_s))),
            shard_duration_ns: Some(rule.map_or(0, |rule| ns(rule.shard_s))),
            replication: Some(1),
        }
    }
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Response {
    let parameters = Parameters::of_address(query.as_deref());
    answer(StatusCode::OK, listed(&app, &identity, &parameters))
}

async fn one(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
) -> Response {
    let found = named(&id).and_then(|(database, _)| {
        identity
            .may_read(&app, database)
            .map_err(|(status, text)| (status, format!("retrieve bucket - {text}")))?;
        find(&app, &id)
    });
    answer(StatusCode::OK, found)
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    request: Request<Body>,
) -> Response {
    let made = asked(&app, request, "buckets").await;
    let made = match made {
        Ok(asked) => blocking(move || create_now(&app, &identity, &asked)).await,
        Err(problem) => Err(problem),
    };
    answer(StatusCode::CREATED, made)
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Response {
    let asked = asked(&app, request, "update bucket").await;
    let changed = match asked {
        Ok(asked) => blocking(move || update_now(&app, &identity, &id, &asked)).await,
        Err(problem) => Err(problem),
    };
    answer(StatusCode::OK, changed)
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
) -> Response {
    let removed = blocking(move || remove_now(&app, &identity, &id)).await;
    match removed {
        // InfluxDB answers 200 without a body.
        Ok(()) => reply::with_type(StatusCode::OK, "application/json", Body::empty()),
        Err(problem) => refuse(problem),
    }
}

/// The engine's work, on a thread that may block.
async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(job)
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "a change of a bucket broke off");
            let text = reply::INTERNAL_ERROR.to_owned();
            Err((StatusCode::INTERNAL_SERVER_ERROR, text))
        })
}

fn answer(status: StatusCode, made: Result<Value, Problem>) -> Response {
    match made {
        Ok(value) => {
            let body = Body::from(value.to_string());
            reply::with_type(status, "application/json", body)
        }
        Err(problem) => refuse(problem),
    }
}

fn refuse((status, text): Problem) -> Response {
    reply::error(status, &text, Layout::Compact)
}

async fn asked(app: &App, request: Request<Body>, what: &str) -> Result<Asked, Problem> {
    let (parts, body) = request.into_parts();
    let body = body::read(app, &parts.headers, body).await;
    let body = body.map_err(|error| body_problem(&error))?;
    serde_json::from_slice(&body).map_err(|error| {
        let text = format!("{what} - cannot parse request body: {error}");
        (StatusCode::BAD_REQUEST, text)
    })
}

/// Database and policy of a bucket that must name both.
fn named(id: &str) -> Result<(&str, &str), Problem> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let (database, policy) = bucket(id).map_err(|(_, why)| bad(format!("bucket {id:?}: {why}")))?;
    if policy.is_empty() {
        let text = format!("bucket {id:?}: illegal bucket id, empty retention policy");
        return Err(bad(text));
    }
    Ok((database, policy))
}

fn create_now(app: &App, identity: &Identity, asked: &Asked) -> Result<Value, Problem> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let name = &asked.name;
    let (database, policy) =
        bucket(name).map_err(|(_, why)| bad(format!("buckets - illegal bucket name: {why}")))?;
    if policy.is_empty() {
        return Err(bad(format!("buckets - illegal bucket name: {name:?}")));
    }
    if !asked.rp.is_empty() && asked.rp != policy {
        let rp = &asked.rp;
        return Err(bad(format!(
            "buckets - two retention policies specified: {policy:?} differs from {rp:?}"
        )));
    }
    identity.may_administrate(app).map_err(|(status, why)| {
        (
            status,
            format!("buckets - not authorized to create {name:?}: {why}"),
        )
    })?;
    let spec = asked.spec(policy);
    let snapshot = app.engine.snapshot();
    let change = match snapshot.catalog().database(database) {
        Err(_) => CatalogChange::CreateDatabase {
            name: database.to_owned(),
            policy: Some(spec),
        },
        Ok(there) => {
            // As in InfluxDB: the same bucket may be made twice, another of its name not.
            CatalogChange::CreatePolicy {
                database: there.name.clone(),
                policy: spec,
                default: MakeDefault::No,
            }
        }
    };
    app.change(&change)
        .map_err(|error| bad(format!("buckets - cannot create bucket {name:?}: {error}")))?;
    find(app, name)
}

fn update_now(app: &App, identity: &Identity, id: &str, asked: &Asked) -> Result<Value, Problem> {
    let (database, policy) = named(id)?;
    identity.may_administrate(app).map_err(|(status, why)| {
        (
            status,
            format!("update bucket - not authorized to modify {id:?}: {why}"),
        )
    })?;
    let change = CatalogChange::AlterPolicy {
        database: database.to_owned(),
        policy: asked.spec(policy),
        default: MakeDefault::No,
    };
    app.change(&change).map_err(|error| {
        (
            StatusCode::BAD_REQUEST,
            format!("update bucket {id:?}: {error}"),
        )
    })?;
    find(app, id)
}

fn remove_now(app: &App, identity: &Identity, id: &str) -> Result<(), Problem> {
    let (database, policy) = named(id)?;
    identity.may_administrate(app).map_err(|(status, why)| {
        (
            status,
            format!("buckets - not authorized to modify {id:?}: {why}"),
        )
    })?;
    let snapshot = app.engine.snapshot();
    let there = snapshot.catalog().database(database);
    if there.and_then(|there| there.policy(policy)).is_err() {
        let text = format!("delete bucket - not found: {id:?}");
        return Err((StatusCode::NOT_FOUND, text));
    }
    let change = CatalogChange::DropPolicy {
        database: database.to_owned(),
        name: policy.to_owned(),
    };
    app.change(&change).map_err(|error| {
        (
            StatusCode::BAD_REQUEST,
            format!("delete bucket {id:?}: {error}"),
        )
    })
}

fn find(app: &App, name: &str) -> Result<Value, Problem> {
    let missing = |text: String| (StatusCode::NOT_FOUND, text);
    let (database, policy) =
        bucket(name).map_err(|(_, why)| missing(format!("bucket {name:?}: {why}")))?;
    let snapshot = app.engine.snapshot();
    let not_found = |_: Error| missing(format!("bucket not found: {name:?}"));
    let database = snapshot.catalog().database(database).map_err(not_found)?;
    let policy = database.policy(policy).map_err(not_found)?;
    Ok(shown(database, policy))
}

fn shown(database: &Database, policy: &Policy) -> Value {
    let name = format!("{}/{}", database.name, policy.name);
    json!({
        "description": "",
        "name": name,
        "retentionRules": [{
            "type": "",
            "everySeconds": policy.retention.as_ns() / NS_PER_SECOND,
            "shardGroupDurationSeconds": policy.shard_duration_ns / NS_PER_SECOND,
        }],
        "orgId": "",
        "schemaType": "implicit",
        "id": name,
        "type": "",
        "rp": policy.name,
        "createdAt": NO_TIME,
        "updatedAt": NO_TIME,
    })
}

fn listed(app: &App, identity: &Identity, parameters: &Parameters) -> Result<Value, Problem> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    if matches!(identity, Identity::Nobody) {
        let text = "list buckets - user is required".to_owned();
        return Err((StatusCode::FORBIDDEN, text));
    }
    let (id, name) = (parameters.value("id"), parameters.value("name"));
    if !id.is_empty() && !name.is_empty() && id != name {
        return Err(bad(format!(
            "list buckets: name: {name:?} and id: {id:?} do not match"
        )));
    }
    let one = if id.is_empty() { name } else { id };
    if !one.is_empty() {
        let (database, _) = bucket(one)?;
        identity.may_read(app, database)?;
        return Ok(json!({"buckets": [find(app, one)?]}));
    }
    let number = |key: &str| match parameters.value(key) {
        "" => Ok(None),
        text => text.parse::<i64>().map(Some).map_err(|error| {
            bad(format!(
                "list buckets parameter is not an integer - {key}={text:?}: {error}"
            ))
        }),
    };
    let limit = match number("limit")? {
        None => LISTED,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|l| *l > 0)
            .unwrap_or(usize::MAX),
    };
    let after = parameters.value("after");
    let offset = number("offset")?;
    if !after.is_empty() && offset.is_some() {
        let text = "list buckets cannot have both \"offset\" and \"after\" arguments";
        return Err(bad(text.to_owned()));
    }
    let offset = usize::try_from(offset.unwrap_or(0)).unwrap_or(0);
    let snapshot = app.engine.snapshot();
    let readable = |database: &&Database| identity.may_read(app, &database.name).is_ok();
    let all = snapshot.catalog().databases.values().filter(readable);
    let mut all: Vec<Value> = all
        .flat_map(|database| {
            database
                .policies
                .iter()
                .map(move |policy| (database, policy))
        })
        .map(|(database, policy)| shown(database, policy))
        .collect();
    let start = if after.is_empty() {
        offset.min(all.len())
    } else {
        let at = all.iter().position(|bucket| bucket["id"] == after);
        at.map(|at| at + 1).ok_or_else(|| {
            let text = format!("list buckets \"after\" parameter not found: {after:?}");
            (StatusCode::NOT_FOUND, text)
        })?
    };
    all.drain(..start);
    all.truncate(limit);
    Ok(json!({"buckets": all}))
}
