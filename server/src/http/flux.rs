//! `/api/v2/query`: Flux, which is not spoken here.

use axum::http::StatusCode;
use axum::response::Response;

use super::pretty::Layout;
use super::reply;

/// What clients of InfluxDB 2 are told; the status is that of a 1.x server without Flux.
const DISABLED: &str = "Flux query service disabled: Plimsoll answers InfluxQL, at /query";

/// Refuses every query.
pub(super) async fn refuse() -> Response {
    reply::error(StatusCode::FORBIDDEN, DISABLED, Layout::Compact)
}
