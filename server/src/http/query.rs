//! `/query`: InfluxQL in, JSON or CSV out.

mod params;
mod run;
mod state;
mod users;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use plimsoll_query::ast::Statement;
use plimsoll_query::exec::TIMED_OUT;
use plimsoll_query::json::Epoch;
use plimsoll_query::{Cancel, Params, parse};
use tokio::time::Instant;

use super::answer::{self, Format};
use super::body;
use super::headers::RequestId;
use super::identity::Identity;
use super::output::{self, Incoming, Output, Packing, Piece};
use super::parameters::Parameters;
use super::pretty::Layout;
use super::reply;
use super::write::refused_problem;
use crate::app::App;
use run::{Asker, Query};

/// InfluxDB's `chunk_size`.
const CHUNK_ROWS: usize = 10_000;

/// How an answer is given.
#[derive(Debug, Clone, Copy)]
struct Shape {
    layout: Layout,
    packing: Packing,
    format: Format,
    content_type: &'static str,
}

/// Takes a query.
pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    Extension(id): Extension<RequestId>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = match body::read(&app, &parts.headers, body).await {
        Ok(body) => body,
        Err(error) => {
            let shape = shape(&parts.headers, &Parameters::default());
            return refuse(error.status(), &error.to_string(), shape);
        }
    };
    let parameters = Parameters::of_address(parts.uri.query());
    let parameters = parameters.with_form(&parts.headers, &body).await;
    drop(body);
    let shape = shape(&parts.headers, &parameters);
    let asker = Asker { identity, id };
    let query = match query(&parts.method, &parameters, shape.format, asker) {
        Ok(query) => query,
        Err(text) => return refuse(StatusCode::BAD_REQUEST, &text, shape),
    };
    let asynchronous = parameters.is_true("async");
    drop(parameters);
    start(&app, query, shape, asynchronous).await
}

async fn start(app: &Arc<App>, query: Query, shape: Shape, asynchronous: bool) -> Response {
    let cancel = Arc::new(Cancel::default());
    let (sender, mut incoming) = output::channel(&cancel);
    let manages = manages_queries(&query);
    let job = {
        let (app, cancel) = (Arc::clone(app), Arc::clone(&cancel));
        move || {
            let out = Output::new(sender.clone(), shape.layout, shape.packing);
            run::run(&app, &query, &cancel, &sender, out, shape.format);
        }
    };
    let started = if manages {
        app.workers.management(job)
    } else {
        app.workers.query(job)
    };
    if let Err(refused) = started {
        let (status, text) = refused_problem(refused);
        return refuse(status, &text, shape);
    }
    let timeout = app.query.timeout;
    let deadline = |left| Deadline::start(left, Arc::clone(&cancel));
    if asynchronous {
        let deadline = timeout.map(deadline);
        // Nobody waits for the answer, but somebody has to take it for the query to go on.
        tokio::spawn(async move {
            let _deadline = deadline;
            if let Some(Piece::Part(_)) = incoming.first().await {
                while incoming.next().await.is_some() {}
            }
        });
        return StatusCode::NO_CONTENT.into_response();
    }
    let begun = Instant::now();
    // Most answers come at once: a task that watches the time would wake another thread, twice.
    let first = match timeout {
        None => incoming.first().await,
        Some(timeout) => tokio::select! {
            first = incoming.first() => first,
            () = tokio::time::sleep(timeout) => {
                cancel.stop(TIMED_OUT);
                incoming.first().await
            }
        },
    };
    let body = match first {
        Some(Piece::Refused(status, text)) => return refuse(status, &text, shape),
        Some(Piece::Whole(bytes)) => Body::from(bytes),
        Some(Piece::Part(bytes)) => {
            let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
            stream(bytes, incoming, left.map(deadline))
        }
        Some(Piece::End) | None => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return refuse(status, reply::INTERNAL_ERROR, shape);
        }
    };
    let mut response = reply::with_type(StatusCode::OK, shape.content_type, body);
    if shape.packing == Packing::Gzip {
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
    }
    response
}

/// Whether all that is asked for is to list queries or to kill some: what finds room when queries
/// have taken all.
fn manages_queries(query: &Query) -> bool {
    let word = query.text.split_whitespace().next().unwrap_or_default();
    let may = word.eq_ignore_ascii_case("SHOW") || word.eq_ignore_ascii_case("KILL");
    may && parse(&query.text, &query.params).is_ok_and(|statements| {
        let is_one =
            |s: &Statement| matches!(s, Statement::ShowQueries | Statement::KillQuery { .. });
        !statements.is_empty() && statements.iter().all(is_one)
    })
}

/// An error, in the format that the answer would have had.
fn refuse(status: StatusCode, text: &str, shape: Shape) -> Response {
    let mut response = reply::error(status, text, shape.layout);
    let body = match shape.format {
        Format::Json | Format::Chunked => return response,
        Format::Csv => answer::csv_error(text),
        Format::MsgPack => answer::msgpack_error(text),
    };
    let kind = HeaderValue::from_static(shape.content_type);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    *response.body_mut() = Body::from(body);
    response
}

fn stream(first: bytes::Bytes, rest: Incoming, deadline: Option<Deadline>) -> Body {
    let first = futures_util::stream::once(std::future::ready(Ok(first)));
    let rest = rest.map(move |piece| {
        // The deadline lives as long as the answer does.
        let _kept = &deadline;
        piece
    });
    Body::from_stream(first.chain(rest))
}

/// Stops the query when its time is over, unless it is dropped before.
pub(crate) struct Deadline(tokio::task::AbortHandle);

impl Deadline {
    pub(crate) fn start(timeout: Duration, cancel: Arc<Cancel>) -> Self {
        // The task ends with the deadline or with this value, whichever is first.
        let timer = tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            cancel.stop(TIMED_OUT);
        });
        Self(timer.abort_handle())
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn query(
    method: &Method,
    parameters: &Parameters,
    format: Format,
    asker: Asker,
) -> Result<Query, String> {
    let text = parameters.value("q").trim();
    if text.is_empty() {
        return Err("missing required parameter \"q\"".to_owned());
    }
    let bound = parameters.value("params");
    let bound = if bound.is_empty() {
        Ok(Params::default())
    } else {
        params::read(bound)
    };
    Ok(Query {
        text: text.to_owned(),
        asker,
        params: bound?,
        database: parameters.value("db").to_owned(),
        policy: parameters.value("rp").to_owned(),
        epoch: Epoch::parse(parameters.value("epoch").trim()),
        read_only: *method != Method::POST,
        chunk_size: (format == Format::Chunked).then(|| {
            let asked = parameters.value("chunk_size").parse().unwrap_or(0);
            if asked == 0 { CHUNK_ROWS } else { asked }
        }),
    })
}

fn shape(headers: &HeaderMap, parameters: &Parameters) -> Shape {
    let (mut format, mut content_type) = accepted(headers);
    if matches!(format, Format::Json | Format::MsgPack) && parameters.is_true("chunked") {
        (format, content_type) = (Format::Chunked, "application/json");
    }
    let json = matches!(format, Format::Json | Format::Chunked);
    let layout = if parameters.is_true("pretty") && json {
        Layout::Pretty
    } else {
        Layout::Compact
    };
    let encodings = headers.get_all(ACCEPT_ENCODING).iter();
    let gzip = encodings
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(accepts_gzip);
    let packing = if gzip { Packing::Gzip } else { Packing::Plain };
    Shape {
        layout,
        packing,
        format,
        content_type,
    }
}

fn accepts_gzip(encoding: &str) -> bool {
    let mut parts = encoding.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
    name.eq_ignore_ascii_case("gzip") && !refused
}

/// The first type of `Accept` that is known; JSON where none is. A chunked answer in msgpack is
/// given in JSON: its clients read what `Content-Type` says.
pub(super) fn accepted(headers: &HeaderMap) -> (Format, &'static str) {
    let values = headers.get_all(ACCEPT).iter();
    let mut types = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|kind| kind.split(';').next().unwrap_or_default().trim());
    types
        .find_map(|kind| match kind {
            "application/csv" => Some((Format::Csv, "application/csv")),
            "text/csv" | "text/*" => Some((Format::Csv, "text/csv")),
            "application/x-msgpack" => Some((Format::MsgPack, "application/x-msgpack")),
            "application/json" | "application/*" | "*/*" => {
                Some((Format::Json, "application/json"))
            }
            _ => None,
        })
        .unwrap_or((Format::Json, "application/json"))
}
