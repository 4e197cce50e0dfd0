//! `/metrics`: the server's own figures, as Prometheus reads them.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::reply;
use crate::app::App;

/// Answers the figures of the engine.
pub(super) async fn serve(State(app): State<Arc<App>>) -> Response {
    let stats = app.engine.stats();
    let mut text = String::new();
    let refused = u64::from(stats.writes_refused.is_some());
    let requests = app.requests.counts();
    for (name, kind, value, help) in [
        (
            "http_requests_total",
            "counter",
            requests.all,
            "Requests that were answered.",
        ),
        (
            "http_query_requests_total",
            "counter",
            requests.queries,
            "Requests for queries.",
        ),
        (
            "http_write_requests_total",
            "counter",
            requests.writes,
            "Requests to write.",
        ),
        (
            "http_client_errors_total",
            "counter",
            requests.client_errors,
            "Answers with a status of 4xx.",
        ),
        (
            "http_server_errors_total",
            "counter",
            requests.server_errors,
            "Answers with a status of 5xx.",
        ),
        (
            "points_written_total",
            "counter",
            stats.points_written,
            "Points that were stored.",
        ),
        (
            "values_written_total",
            "counter",
            stats.values_written,
            "Field values that were stored.",
        ),
        (
            "points_rejected_total",
            "counter",
            stats.points_rejected,
            "Points that were refused.",
        ),
        (
            "flushes_total",
            "counter",
            stats.flushes,
            "Flushes of the head to segments.",
        ),
        (
            "partitions_expired_total",
            "counter",
            stats.partitions_expired,
            "Partitions that retention dropped.",
        ),
        (
            "deletions_total",
            "counter",
            stats.deletions,
            "Deletions of points: DELETE, DROP SERIES, DROP MEASUREMENT.",
        ),
        (
            "tombstones",
            "gauge",
            stats.tombstones,
            "Deletions whose points are hidden and not yet merged out of segments.",
        ),
        (
            "compactions_total",
            "counter",
            stats.compactions,
            "Merges of segments.",
        ),
        (
            "compactions_failed_total",
            "counter",
            stats.compactions_failed,
            "Merges that failed and left the segments as they were.",
        ),
        (
            "compaction_read_bytes_total",
            "counter",
            stats.compaction_bytes_read,
            "Bytes of segments that merges read.",
        ),
        (
            "compaction_written_bytes_total",
            "counter",
            stats.compaction_bytes_written,
            "Bytes of segments that merges wrote.",
        ),
        (
            "head_bytes",
            "gauge",
            stats.head_bytes,
            "Memory of rows that are not in segments yet.",
        ),
        (
            "log_bytes",
            "gauge",
            stats.log_bytes,
            "Log since the last flush.",
        ),
        (
            "partitions",
            "gauge",
            stats.partitions,
            "Partitions with segments.",
        ),
        ("segments", "gauge", stats.segments, "Segments."),
        (
            "segment_bytes",
            "gauge",
            stats.segment_bytes,
            "Bytes of all segments.",
        ),
        (
            "writes_refused",
            "gauge",
            refused,
            "1 while writes are refused because of the disk.",
        ),
    ] {
        writeln!(
            text,
            "# HELP plimsoll_{name} {help}\n# TYPE plimsoll_{name} {kind}\nplimsoll_{name} {value}"
        )
        .expect("writing to memory does not fail");
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    reply::with_type(StatusCode::OK, kind, Body::from(text))
}
