//! Is the server there?

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use plimsoll_query::json;

use super::parameters::Parameters;
use super::reply;
use crate::app::App;

/// `/ping`: 204, or 200 with the version where `verbose` asks for it.
pub(super) async fn ping(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::of_address(query.as_deref());
    match parameters.value("verbose") {
        "" | "0" | "false" => StatusCode::NO_CONTENT.into_response(),
        _ => {
            let mut body = b"{\"version\":".to_vec();
            json::write_string(&app.http.influxdb_version, &mut body);
            body.push(b'}');
            reply::with_type(StatusCode::OK, "application/json", Body::from(body))
        }
    }
}

/// 204 and nothing else.
pub(super) async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// `/health`: passes while writes are taken; says why not otherwise.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let refused = app.engine.stats().writes_refused;
    let (status, word, message) = match &refused {
        None => (StatusCode::OK, "pass", "ready for queries and writes"),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, "fail", reason.as_str()),
    };
    let mut body = b"{\"checks\":[],\"message\":".to_vec();
    json::write_string(message, &mut body);
    body.extend_from_slice(b",\"name\":\"influxdb\",\"status\":");
    json::write_string(word, &mut body);
    body.extend_from_slice(b",\"version\":");
    json::write_string(&app.http.influxdb_version, &mut body);
    body.push(b'}');
    reply::with_type(status, "application/json; charset=utf-8", Body::from(body))
}

/// `/ready`, as InfluxDB 2's clients ask: requests are only taken once the engine is open, so
/// whoever gets an answer gets this one.
pub(super) async fn ready() -> Response {
    let kind = "application/json; charset=utf-8";
    reply::with_type(StatusCode::OK, kind, Body::from("{\"status\":\"ready\"}"))
}
