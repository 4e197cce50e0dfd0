//! Counts requests by what they ask for and how they ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
    authentication_failures: AtomicU64,
    written_bytes: AtomicU64,
    statements: AtomicU64,
    statements_ns: AtomicU64,
    connections: AtomicU64,
    connections_refused: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) all: u64,
    pub(crate) queries: u64,
    pub(crate) writes: u64,
    pub(crate) pings: u64,
    pub(crate) client_errors: u64,
    pub(crate) server_errors: u64,
    pub(crate) authentication_failures: u64,
    pub(crate) written_bytes: u64,
    pub(crate) statements: u64,
    pub(crate) statements_ns: u64,
    pub(crate) connections: u64,
    pub(crate) connections_refused: u64,
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

    /// Counts a request whose sender did not show who they are.
    pub(super) fn count_authentication_failure(&self) {
        self.authentication_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the body of a write, as it came.
    pub(super) fn count_written_bytes(&self, bytes: usize) {
        self.written_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a statement that was run.
    pub(super) fn count_statement(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.statements_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Counts a connection that was accepted.
    pub(super) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection for which there was no room.
    pub(super) fn count_connection_refused(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            all: read(&self.all),
            queries: read(&self.queries),
            writes: read(&self.writes),
            pings: read(&self.pings),
            client_errors: read(&self.client_errors),
            server_errors: read(&self.server_errors),
            authentication_failures: read(&self.authentication_failures),
            written_bytes: read(&self.written_bytes),
            statements: read(&self.statements),
            statements_ns: read(&self.statements_ns),
            connections: read(&self.connections),
            connections_refused: read(&self.connections_refused),
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
            ..Counts::default()
        };
        assert_eq!(requests.counts(), expected);
    }
}
