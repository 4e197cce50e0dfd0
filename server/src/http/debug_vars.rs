//! `/debug/vars`: the server's figures in the shape of InfluxDB's, for Telegraf's
//! `inputs.influxdb`.
//!
//! Names are InfluxDB's where the figure means the same; Plimsoll's own stand under `plimsoll`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use plimsoll_query::json::{Epoch, write_cell};
use plimsoll_query::rows::Cell;
use serde_json::{Value, json};

use super::reply;
use crate::app::App;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Answers the figures.
pub(super) async fn serve(State(app): State<Arc<App>>) -> Response {
    let kind = "application/json; charset=utf-8";
    let body = format!("{:#}\n", variables(&app));
    reply::with_type(StatusCode::OK, kind, Body::from(body))
}

fn variables(app: &App) -> Value {
    let (stats, requests) = (app.engine.stats(), app.requests.counts());
    let (now, started) = (app.clock.now().0, app.started.0);
    let uptime = now.saturating_sub(started) / NS_PER_SECOND;
    let points = |name: &str, values: Value| json!({"name": name, "tags": {}, "values": values});
    json!({
        "system": {"currentTime": text(now), "started": text(started), "uptime": uptime},
        "build": {"Version": app.http.influxdb_version, "Plimsoll": env!("CARGO_PKG_VERSION")},
        // Never the arguments: an address among them may hold a password.
        "cmdline": ["plimsoll"],
        "httpd": points("httpd", json!({
            "req": requests.all,
            "queryReq": requests.queries,
            "writeReq": requests.writes,
            "pingReq": requests.pings,
            "clientError": requests.client_errors,
            "serverError": requests.server_errors,
            "pointsWrittenOK": stats.points_written,
            "pointsWrittenDropped": stats.points_rejected,
        })),
        "write": points("write", json!({
            "req": requests.writes,
            "pointReq": stats.points_written + stats.points_rejected,
            "writeDrop": stats.points_rejected,
        })),
        "plimsoll": points("plimsoll", json!({
            "valuesWritten": stats.values_written,
            "headBytes": stats.head_bytes,
            "logBytes": stats.log_bytes,
            "partitions": stats.partitions,
            "segments": stats.segments,
            "segmentBytes": stats.segment_bytes,
            "flushes": stats.flushes,
            "deletions": stats.deletions,
            "tombstones": stats.tombstones,
            "compactions": stats.compactions,
            "compactionsFailed": stats.compactions_failed,
            "partitionsExpired": stats.partitions_expired,
            "writesRefused": u64::from(stats.writes_refused.is_some()),
        })),
    })
}

fn text(ns: i64) -> Value {
    let mut quoted = Vec::new();
    write_cell(&Cell::Time(ns), Epoch::Rfc3339, None, &mut quoted);
    serde_json::from_slice(&quoted).unwrap_or_default()
}
