//! The listening socket and its connections.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::config::listen_failure;
use crate::exit::Failure;

/// How long a client may take to send a request's headers.
const HEADERS: Duration = Duration::from_secs(30);
/// How long running requests may take when the server stops.
const FINISH: Duration = Duration::from_secs(10);
/// How long to wait after an error of accept that is the machine's, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    /// Where it listens, with the port that was chosen where 0 was asked for.
    pub(crate) address: SocketAddr,
}

impl Listener {
    /// Binds the socket.
    pub(crate) async fn bind(listen: SocketAddr) -> Result<Self, Failure> {
        let failure = |error| listen_failure(listen, &error);
        let socket = TcpListener::bind(listen).await.map_err(failure)?;
        let address = socket.local_addr().map_err(failure)?;
        Ok(Self { socket, address })
    }
}

/// Serves until `stop` ends, then lets running requests finish.
pub(crate) async fn serve(listener: Listener, router: Router, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .title_case_headers(true);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        // One task a connection; it ends with the connection, which `graceful` watches.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(FINISH, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests still ran after {FINISH:?} and were cut off");
    }
}
