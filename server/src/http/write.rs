//! `/write` and `/api/v2/write`: line protocol in, 204 out.
//!
//! Both store alike; they differ in how a request says where its points go.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use plimsoll_engine::{Error, Written};
use plimsoll_ingest::line::Precision;

use super::body::{self, BodyError, Pieces};
use super::identity::Identity;
use super::parameters::Parameters;
use super::pretty::Layout;
use super::reply;
use crate::app::App;
use crate::into::dropped;
use crate::workers::Refused;

/// Where points go, and how their times are written.
#[derive(Debug)]
struct Target {
    database: String,
    policy: String,
    precision: Precision,
}

/// What the client is told where it is not 204.
pub(super) type Problem = (StatusCode, String);

/// Reads where points go out of a request's address.
type Addressed = fn(&Parameters) -> Result<Target, Problem>;

/// Takes a write of InfluxDB 1.x.
pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    request: Request<Body>,
) -> Response {
    answer(app, identity, request, target).await
}

/// Takes a write of InfluxDB 2's clients, whose bucket is a database or `database/policy`.
pub(super) async fn serve_v2(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    request: Request<Body>,
) -> Response {
    answer(app, identity, request, bucket_target).await
}

async fn answer(
    app: Arc<App>,
    identity: Identity,
    request: Request<Body>,
    addressed: Addressed,
) -> Response {
    match take(app, identity, request, addressed).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err((status, text)) => reply::error(status, &text, Layout::Compact),
    }
}

async fn take(
    app: Arc<App>,
    identity: Identity,
    request: Request<Body>,
    addressed: Addressed,
) -> Result<(), Problem> {
    let (parts, body) = request.into_parts();
    // The body is read before anything is judged: a client that still sends when it is answered
    // would see a broken connection and not the answer.
    let body = body::read_pieces(&app, &parts.headers, body).await;
    let body = body.map_err(|error| body_problem(&error))?;
    app.requests.count_written_bytes(body.len());
    let parameters = Parameters::of_address(parts.uri.query());
    let target = addressed(&parameters)?;
    app.slow_down().await;
    let workers = Arc::clone(&app);
    workers
        .workers
        .write(move || store(&app, &identity, &target, &parts.headers, body))
        .await
        .map_err(refused_problem)?
}

/// Everything that blocks or computes: unpacking, parsing, writing.
fn store(
    app: &App,
    identity: &Identity,
    target: &Target,
    headers: &HeaderMap,
    body: Pieces,
) -> Result<(), Problem> {
    let snapshot = app.engine.snapshot();
    snapshot
        .catalog()
        .database(&target.database)
        .map_err(|error| engine_problem(&error))?;
    identity.may_write(app, &target.database)?;
    let (lines, room) = if body::is_gzip(headers) {
        body.join()
            .unpack(app.http.body_bytes_max)
            .map_err(|error| body_problem(&error))?
            .into_pieces()
    } else {
        body.into_pieces()
    };
    let lines_parsed = app.parse_lines(&lines, target.precision, app.clock.now());
    drop((lines, room));
    let parsed = &lines_parsed.parsed;
    let written = if parsed.batch.is_empty() {
        Ok(Written::default())
    } else {
        app.engine
            .write(&target.database, &target.policy, &parsed.batch)
    };
    let answer = written.map(|written| parsed.error_text(dropped(&written).as_ref()));
    app.end_lines(lines_parsed);
    match answer.map_err(|error| engine_problem(&error))? {
        None => Ok(()),
        Some(text) => Err((StatusCode::BAD_REQUEST, text)),
    }
}

fn target(parameters: &Parameters) -> Result<Target, Problem> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let precision = Precision::from_v1(parameters.value("precision"));
    let precision = precision.map_err(|error| bad(error.to_string()))?;
    let database = parameters.value("db");
    if database.is_empty() {
        return Err(bad("database is required".to_owned()));
    }
    let consistency = parameters.value("consistency").to_ascii_lowercase();
    if !matches!(&*consistency, "" | "any" | "one" | "quorum" | "all") {
        return Err(bad("invalid consistency level".to_owned()));
    }
    Ok(Target {
        database: database.to_owned(),
        policy: parameters.value("rp").to_owned(),
        precision,
    })
}

/// The organisation says nothing here: a server of 1.x has none.
fn bucket_target(parameters: &Parameters) -> Result<Target, Problem> {
    let asked = parameters.value("precision");
    let precision = match asked {
        "" | "ns" => "n",
        "us" => "u",
        "ms" | "s" => asked,
        _ => {
            let text = format!("invalid precision {asked:?} (use ns, us, ms or s)");
            return Err((StatusCode::BAD_REQUEST, text));
        }
    };
    let precision = Precision::from_v1(precision)
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let (database, policy) = bucket(parameters.value("bucket"))?;
    Ok(Target {
        database: database.to_owned(),
        policy: policy.to_owned(),
        precision,
    })
}

/// Database and policy of a bucket's name; no policy means the default one.
pub(super) fn bucket(name: &str) -> Result<(&str, &str), Problem> {
    let (database, policy) = name.split_once('/').unwrap_or((name, ""));
    if !database.is_empty() {
        return Ok((database, policy));
    }
    let text = if name.is_empty() {
        "bucket name \"\" is missing a slash; not in \"database/retention-policy\" format"
            .to_owned()
    } else {
        format!("bucket name {name:?} is in db/rp form but has an empty database")
    };
    Err((StatusCode::NOT_FOUND, text))
}

pub(super) fn body_problem(error: &BodyError) -> Problem {
    (error.status(), error.to_string())
}

pub(super) fn refused_problem(refused: Refused) -> Problem {
    match refused {
        Refused::Full(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        Refused::Broken(error) => {
            tracing::error!(%error, "a write broke off");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                reply::INTERNAL_ERROR.to_owned(),
            )
        }
    }
}

pub(super) fn engine_problem(error: &Error) -> Problem {
    use plimsoll_wal::Error as Storage;
    let status = match error {
        Error::DatabaseNotFound(name) => {
            return (
                StatusCode::NOT_FOUND,
                format!("database not found: {name:?}"),
            );
        }
        Error::Invalid(_) | Error::Limit { .. } => StatusCode::BAD_REQUEST,
        // Telegraf drops a batch for good on any 4xx: what passes by itself must be 503.
        Error::Busy { .. } | Error::Closed | Error::Storage(Storage::Full { .. }) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::PolicyNotFound(_) | Error::ReaderNotFound(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Error::Corrupt { .. } | Error::LogRecord { .. } | Error::Storage(_) => {
            tracing::error!(%error, "a write failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    (status, error.to_string())
}
