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
use crate::figures::figures;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Answers the figures.
pub(super) async fn serve(State(app): State<Arc<App>>) -> Response {
    let kind = "application/json; charset=utf-8";
    let body = format!("{:#}\n", variables(&app));
    reply::with_type(StatusCode::OK, kind, Body::from(body))
}

fn variables(app: &App) -> Value {
    let (now, started) = (app.clock.now().0, app.started.0);
    let uptime = now.saturating_sub(started) / NS_PER_SECOND;
    let mut variables = json!({
        "system": {"currentTime": text(now), "started": text(started), "uptime": uptime},
        "build": {"Version": app.http.influxdb_version, "Plimsoll": env!("CARGO_PKG_VERSION")},
        // Never the arguments: an address among them may hold a password.
        "cmdline": ["plimsoll"],
    });
    for figure in figures(app) {
        let group = &mut variables[figure.group];
        if group.is_null() {
            *group = json!({"name": figure.group, "tags": {}, "values": {}});
        }
        group["values"][figure.key] = figure.value.into();
    }
    variables
}

fn text(ns: i64) -> Value {
    let mut quoted = Vec::new();
    write_cell(&Cell::Time(ns), Epoch::Rfc3339, None, &mut quoted);
    serde_json::from_slice(&quoted).unwrap_or_default()
}
