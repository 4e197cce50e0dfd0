//! Headers of every answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::query::accepted;
use crate::app::App;

const VERSION: HeaderName = HeaderName::from_static("x-influxdb-version");
const BUILD: HeaderName = HeaderName::from_static("x-influxdb-build");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, as its answer and the log give it.
#[derive(Debug, Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    pub(super) fn text(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Adds version, build and the request's id, the client's where it sent one.
pub(super) async fn add(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // An empty answer has the type that a full one would have had, as in InfluxDB.
    let (_, kind) = accepted(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    let status = response.status();
    app.requests.count(&path, status);
    // Never the whole address: it may hold a password, or text of a query that does.
    let request_id = id.to_str().unwrap_or_default();
    tracing::debug!(%method, path, status = status.as_u16(), request_id, "request");
    let headers = response.headers_mut();
    if status == StatusCode::NO_CONTENT {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(VERSION, app.version_header.clone());
    headers.insert(BUILD, HeaderValue::from_static("OSS"));
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(X_REQUEST_ID, id);
    response
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sent = [X_REQUEST_ID, REQUEST_ID]
        .iter()
        .find_map(|name| headers.get(name).filter(|value| !value.is_empty()).cloned());
    sent.unwrap_or_else(|| {
        HeaderValue::from_str(&new_id().to_string()).expect("a UUID is letters, digits and dashes")
    })
}

/// An id for one request: random enough to tell requests apart, and without a device file, which
/// an empty image may not have. Never a secret.
fn new_id() -> uuid::Uuid {
    let half = || {
        let hasher = std::collections::hash_map::RandomState::new();
        std::hash::BuildHasher::hash_one(&hasher, std::thread::current().id())
    };
    uuid::Builder::from_random_bytes(
        ((u128::from(half()) << 64) | u128::from(half())).to_be_bytes(),
    )
    .into_uuid()
}
