//! `/api/v2/delete`: points of a bucket between two times, as InfluxDB 1.12 deletes them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use plimsoll_query::{Cancel, Context, Options, delete};
use serde::Deserialize;

use super::body;
use super::identity::Identity;
use super::parameters::Parameters;
use super::pretty::Layout;
use super::reply;
use super::write::{Problem, body_problem, bucket, engine_problem, refused_problem};
use crate::app::App;

/// The body of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    start: String,
    stop: String,
    predicate: String,
}

/// Answers 200 with nothing, as 1.12 does.
pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    request: Request<Body>,
) -> Response {
    match take(app, identity, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err((status, text)) => reply::error(status, &text, Layout::Compact),
    }
}

async fn take(app: Arc<App>, identity: Identity, request: Request<Body>) -> Result<(), Problem> {
    let (parts, body) = request.into_parts();
    let body = body::read(&app, &parts.headers, body).await;
    let body = body.map_err(|error| body_problem(&error))?;
    let parameters = Parameters::of_address(parts.uri.query());
    let workers = Arc::clone(&app);
    workers
        .workers
        .write(move || apply(&app, &identity, parameters.value("bucket"), &body))
        .await
        .map_err(refused_problem)?
}

fn apply(app: &App, identity: &Identity, name: &str, body: &[u8]) -> Result<(), Problem> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let missing = |text: String| (StatusCode::NOT_FOUND, text);
    let (database, policy) =
        bucket(name).map_err(|(_, text)| missing(format!("delete - bucket: {text}")))?;
    let snapshot = app.engine.snapshot();
    let there = snapshot.catalog().database(database);
    let there = there.map_err(|_| missing(format!("delete - database not found: {database:?}")))?;
    let policy = there.policy(policy).map_err(|_| {
        missing(format!(
            "delete - retention policy not found in {database:?}: {policy:?}"
        ))
    })?;
    identity.may_delete(app, database)?;
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| bad(format!("delete - cannot parse request body: {error}")))?;
    let cancel = Cancel::default();
    let context = Context {
        snapshot: &snapshot,
        database,
        policy: &policy.name,
        now: app.clock.now(),
        limits: &app.query.limits,
        cancel: &cancel,
        chunk_size: None,
        options: Options::default(),
    };
    let request = delete::Request {
        database,
        policy: &policy.name,
        start: &asked.start,
        stop: &asked.stop,
        predicate: &asked.predicate,
    };
    for deletion in delete::v2(&request, &context).map_err(bad)? {
        app.engine
            .delete(&deletion)
            .map_err(|error| engine_problem(&error))?;
    }
    Ok(())
}
