//! Counts requests by what they ask for and how they ended.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;

/// Since the start.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    all: AtomicU64,
    queries: AtomicU64,
    writes: AtomicU64,
    pings: AtomicU64,
    client_errors: AtomicU64,
    server_errors: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) all: u64,
    pub(super) queries: u64,
    pub(super) writes: u64,
    pub(super) pings: u64,
    pub(super) client_errors: u64,
    pub(super) server_errors: u64,
}

impl Requests {
    /// Counts one that was answered.
    pub(super) fn count(&self, path: &str, status: StatusCode) {
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        add(&self.all);
        match path {
            "/query" | "/api/v1/prom/read" | "/api/v2/query" => add(&self.queries),
            "/write" | "/api/v1/prom/write" | "/api/v2/write" => add(&self.writes),
            "/ping" => add(&self.pings),
            _ => 0,
        };
        if status.is_client_error() {
            add(&self.client_errors);
        } else if status.is_server_error() {
            add(&self.server_errors);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            all: read(&self.all),
            queries: read(&self.queries),
            writes: read(&self.writes),
            pings: read(&self.pings),
            client_errors: read(&self.client_errors),
            server_errors: read(&self.server_errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_path_and_by_status() {
        let requests = Requests::default();
        for (path, status) in [
            ("/query", StatusCode::OK),
            ("/api/v2/query", StatusCode::FORBIDDEN),
            ("/write", StatusCode::SERVICE_UNAVAILABLE),
            ("/ping", StatusCode::NO_CONTENT),
            ("/nothing", StatusCode::NOT_FOUND),
        ] {
            requests.count(path, status);
        }
        let expected = Counts {
            all: 5,
            queries: 2,
            writes: 1,
            pings: 1,
            client_errors: 2,
            server_errors: 1,
        };
        assert_eq!(requests.counts(), expected);
    }
}
