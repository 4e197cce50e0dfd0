//! The HTTP interface of InfluxDB 1.x.
//!
//! Handlers read a request, hand the work to [`crate::workers`] and write the answer. Texts,
//! status codes and headers are InfluxDB's; where it differs on purpose a comment says why.

mod answer;
mod backups;
mod body;
mod buckets;
mod debug_vars;
mod delete;
mod flux;
mod headers;
mod identity;
mod listener;
mod metrics;
mod output;
mod parameters;
mod ping;
mod pretty;
mod query;
mod remote;
mod reply;
mod requests;
mod room;
mod targets;
mod tls;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, options, post};

use crate::app::App;

pub(crate) use listener::{Listener, serve};
pub(crate) use query::Deadline;
pub(crate) use requests::Requests;
pub(crate) use room::Budget;
pub(crate) use tls::{Tls, probe as probe_tls};

/// All paths.
pub(crate) fn router(app: Arc<App>) -> Router {
    let who = || middleware::from_fn_with_state(Arc::clone(&app), identity::find);
    let mut public = public();
    if app.http.ping_auth_enabled {
        public = public.route_layer(who());
    }
    guarded()
        .route_layer(who())
        .merge(public)
        .merge(cors())
        .fallback(async || reply::text(StatusCode::NOT_FOUND, "404 page not found\n"))
        .method_not_allowed_fallback(async || {
            reply::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
        })
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            headers::add,
        ))
        .with_state(app)
}

/// What is answered only to those who may ask, where authentication is on.
fn guarded() -> Router<Arc<App>> {
    Router::new()
        .route("/query", get(query::serve).post(query::serve))
        .route("/write", post(write::serve))
        .route("/api/v2/write", post(write::serve_v2))
        .route("/api/v1/prom/write", post(remote::write))
        .route("/api/v1/prom/read", post(remote::read))
        .route("/api/v2/delete", post(delete::serve))
        .route("/plimsoll/backups", post(backups::serve))
        .route("/api/v2/query", post(flux::refuse))
        .route("/targets", get(targets::serve))
        .merge(buckets::routes())
}

/// What says that the server is there and how it is; open unless `ping_auth_enabled` says
/// otherwise, as in InfluxDB.
fn public() -> Router<Arc<App>> {
    Router::new()
        .route("/ping", get(ping::ping).head(ping::ping))
        .route("/status", get(ping::nothing).head(ping::nothing))
        .route("/health", get(ping::health))
        .route("/ready", get(ping::ready))
        .route("/metrics", get(metrics::serve))
        .route("/debug/vars", get(debug_vars::serve))
}

/// What a browser asks before it asks.
fn cors() -> Router<Arc<App>> {
    ["/query", "/write", "/api/v2/write", "/ping", "/status"]
        .into_iter()
        .fold(Router::new(), |router, path| {
            router.route(path, options(ping::nothing))
        })
}
