//! Prometheus' remote write and read.
//!
//! A read is answered through InfluxQL: its matchers become a WHERE, so that it has the limits and
//! the deadline of a query.

mod influxql;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use plimsoll_ingest::remote::{self, Error, ReadRequest, ReadResponse};
use plimsoll_query::exec::TIMED_OUT;
use plimsoll_query::{Cancel, Context, Options, Params, execute, parse};

use super::body::{self, Received};
use super::identity::Identity;
use super::parameters::Parameters;
use super::pretty::Layout;
use super::query::Deadline;
use super::reply;
use super::write::{Problem, body_problem, engine_problem, refused_problem};
use crate::app::App;
use crate::into::dropped;
use influxql::Found;

/// Where a request goes.
struct Target {
    database: String,
    policy: String,
}

/// Takes a remote write.
pub(super) async fn write(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    request: Request<Body>,
) -> Response {
    match take(app, identity, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err((status, text)) => reply::error(status, &text, Layout::Compact),
    }
}

/// Answers a remote read with samples; the streamed form is not offered.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    request: Request<Body>,
) -> Response {
    match look_up(app, identity, request).await {
        Ok(packed) => {
            let kind = "application/x-protobuf";
            let mut response = reply::with_type(StatusCode::OK, kind, Body::from(packed));
            let snappy = HeaderValue::from_static("snappy");
            response.headers_mut().insert(CONTENT_ENCODING, snappy);
            response
        }
        Err((status, text)) => reply::error(status, &text, Layout::Compact),
    }
}

async fn take(app: Arc<App>, identity: Identity, request: Request<Body>) -> Result<(), Problem> {
    let (target, body) = received(&app, request).await?;
    app.requests.count_written_bytes(body.len());
    check_database(&app, &target)?;
    identity.may_write(&app, &target.database)?;
    app.slow_down().await;
    let workers = Arc::clone(&app);
    workers
        .workers
        .write(move || store(&app, &target, &body))
        .await
        .map_err(refused_problem)?
}

fn store(app: &App, target: &Target, body: &Bytes) -> Result<(), Problem> {
    let parsed = remote::points(body, app.http.body_bytes_max).map_err(|e| format_problem(&e))?;
    let mut problem = None;
    if !parsed.batch.is_empty() {
        let written = app
            .engine
            .write(&target.database, &target.policy, &parsed.batch)
            .map_err(|error| engine_problem(&error))?;
        problem = dropped(&written).map(|dropped| {
            format!(
                "partial write: {} dropped={}",
                dropped.reason, dropped.count
            )
        });
    }
    if problem.is_none() && parsed.rejected > 0 {
        let count = parsed.rejected;
        problem = Some(format!(
            "partial write: labels with an empty or repeated name, or a time that no point can \
             have dropped={count}"
        ));
    }
    problem.map_or(Ok(()), |text| Err((StatusCode::BAD_REQUEST, text)))
}

async fn look_up(
    app: Arc<App>,
    identity: Identity,
    request: Request<Body>,
) -> Result<Vec<u8>, Problem> {
    let (target, body) = received(&app, request).await?;
    check_database(&app, &target)?;
    identity.may_read(&app, &target.database)?;
    let cancel = Arc::new(Cancel::default());
    let (sender, answer) = tokio::sync::oneshot::channel();
    let job = {
        let (app, cancel) = (Arc::clone(&app), Arc::clone(&cancel));
        move || {
            let answered = answer_all(&app, &target, &body, &cancel);
            if sender.send(answered).is_err() {
                tracing::debug!("the client left before its remote read was answered");
            }
        }
    };
    app.workers.query(job).map_err(refused_problem)?;
    let _gone = StopOnDrop(Arc::clone(&cancel));
    let _deadline = app
        .query
        .timeout
        .map(|timeout| Deadline::start(timeout, cancel));
    answer.await.unwrap_or_else(|_| {
        let text = reply::INTERNAL_ERROR.to_owned();
        Err((StatusCode::INTERNAL_SERVER_ERROR, text))
    })
}

/// Stops the query when nobody waits for it any more.
struct StopOnDrop(Arc<Cancel>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop("query aborted");
    }
}

fn answer_all(
    app: &App,
    target: &Target,
    body: &Bytes,
    cancel: &Cancel,
) -> Result<Vec<u8>, Problem> {
    let request: ReadRequest =
        remote::unpack(body, app.http.body_bytes_max).map_err(|error| format_problem(&error))?;
    let snapshot = app.engine.snapshot();
    let context = Context {
        snapshot: &snapshot,
        database: &target.database,
        policy: &target.policy,
        now: app.clock.now(),
        limits: &app.query.limits,
        cancel,
        chunk_size: None,
        options: Options::default(),
    };
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let mut response = ReadResponse::default();
    for query in &request.queries {
        let text = influxql::select(query).map_err(bad)?;
        let mut found = Found::new(query).map_err(bad)?;
        for statement in parse(&text, &Params::default()).map_err(|e| bad(e.to_string()))? {
            execute(&statement, &context, &mut found).map_err(|error| {
                let text = error.to_string();
                let status = if text == TIMED_OUT {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::BAD_REQUEST
                };
                (status, text)
            })?;
        }
        response.results.push(found.finish());
    }
    remote::pack(&response).map_err(|error| format_problem(&error))
}

async fn received(app: &App, request: Request<Body>) -> Result<(Target, Received), Problem> {
    let (parts, body) = request.into_parts();
    let body = body::read(app, &parts.headers, body).await;
    let body = body.map_err(|error| body_problem(&error))?;
    let parameters = Parameters::of_address(parts.uri.query());
    let database = parameters.value("db").to_owned();
    if database.is_empty() {
        let text = "database is required".to_owned();
        return Err((StatusCode::BAD_REQUEST, text));
    }
    let policy = parameters.value("rp").to_owned();
    Ok((Target { database, policy }, body))
}

fn check_database(app: &App, target: &Target) -> Result<(), Problem> {
    let snapshot = app.engine.snapshot();
    let found = snapshot.catalog().database(&target.database).map(drop);
    found.map_err(|error| engine_problem(&error))
}

fn format_problem(error: &Error) -> Problem {
    let status = match error {
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Snappy(_) | Error::Protobuf(_) => StatusCode::BAD_REQUEST,
    };
    (status, error.to_string())
}
