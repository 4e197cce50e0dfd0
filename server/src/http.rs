//! The HTTP interface of InfluxDB 1.x.
//!
//! Handlers read a request, hand the work to [`crate::workers`] and write the answer. Texts,
//! status codes and headers are InfluxDB's; where it differs on purpose a comment says why.

mod answer;
mod body;
mod debug_vars;
mod delete;
mod flux;
mod headers;
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
mod write;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};

use crate::app::App;

pub(crate) use listener::{Listener, serve};
pub(crate) use requests::Requests;

/// All paths.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(
            "/query",
            get(query::serve).post(query::serve).options(ping::nothing),
        )
        .route("/write", post(write::serve).options(ping::nothing))
        .route(
            "/api/v2/write",
            post(write::serve_v2).options(ping::nothing),
        )
        .route("/api/v1/prom/write", post(remote::write))
        .route("/api/v1/prom/read", post(remote::read))
        .route("/api/v2/delete", post(delete::serve))
        .route("/api/v2/query", post(flux::refuse))
        .route(
            "/ping",
            get(ping::ping).head(ping::ping).options(ping::nothing),
        )
        .route(
            "/status",
            get(ping::nothing)
                .head(ping::nothing)
                .options(ping::nothing),
        )
        .route("/health", get(ping::health))
        .route("/ready", get(ping::ready))
        .route("/metrics", get(metrics::serve))
        .route("/debug/vars", get(debug_vars::serve))
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
