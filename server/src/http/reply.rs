//! Short answers: errors and plain text.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use plimsoll_query::json;

use super::pretty::{Layout, indent};

const ERROR: HeaderName = HeaderName::from_static("x-influxdb-error");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
/// What a client is told of an error that only the operator can do something about.
pub(super) const INTERNAL_ERROR: &str = "internal error: see the server's log";
/// InfluxDB cuts the text in its header here.
const ERROR_HEADER_BYTES_MAX: usize = 1024;

/// An error as InfluxDB answers it: JSON, and the text once more in a header.
pub(super) fn error(status: StatusCode, text: &str, layout: Layout) -> Response {
    let mut body = b"{\"error\":".to_vec();
    json::write_string(text, &mut body);
    body.push(b'}');
    let mut body = match layout {
        Layout::Compact => body,
        Layout::Pretty => indent(&body),
    };
    body.push(b'\n');
    let mut response = with_type(status, "application/json", Body::from(body));
    let headers = response.headers_mut();
    headers.insert(ERROR, header_text(text));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Plain text, as Go's server answers for what it does not know.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response {
    let mut response = with_type(status, "text/plain; charset=utf-8", Body::from(text));
    let headers = response.headers_mut();
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    response
}

/// An answer of some type.
pub(super) fn with_type(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whatever a header cannot hold becomes a blank.
fn header_text(text: &str) -> HeaderValue {
    let bytes = text.as_bytes();
    let bytes: Vec<u8> = bytes[..bytes.len().min(ERROR_HEADER_BYTES_MAX)]
        .iter()
        .map(|byte| if byte.is_ascii_control() { b' ' } else { *byte })
        .collect();
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| HeaderValue::from_static("error"))
}
