//! `/metrics`: the server's own figures, as Prometheus reads them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TEXT_FORMAT, TextEncoder};

use super::reply;
use crate::app::App;
use crate::figures::{Figure, Kind, figures};

/// Answers the figures.
pub(super) async fn serve(State(app): State<Arc<App>>) -> Response {
    let families: Vec<MetricFamily> = figures(&app).iter().map(family).collect();
    let mut text = Vec::new();
    match TextEncoder::new().encode(&families, &mut text) {
        Ok(()) => reply::with_type(StatusCode::OK, TEXT_FORMAT, Body::from(text)),
        Err(error) => {
            tracing::error!(%error, "figures were not printed");
            let text = "internal error: see the server's log\n";
            reply::text(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the format's numbers are floats; a count is exact to 2^53"
)]
fn family(figure: &Figure) -> MetricFamily {
    let mut metric = Metric::default();
    let kind = match figure.kind {
        Kind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(figure.value as f64);
            metric.set_counter(counter);
            MetricType::COUNTER
        }
        Kind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(figure.value as f64);
            metric.set_gauge(gauge);
            MetricType::GAUGE
        }
    };
    let mut family = MetricFamily::default();
    family.set_name(format!("plimsoll_{}", figure.metric));
    family.set_help(figure.help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}
