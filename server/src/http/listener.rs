//! The listening sockets and their connections: TCP, with or without TLS, and a Unix socket.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;

use super::tls::Tls;
use crate::app::App;
use crate::config::{Config, HttpConfig, listen_failure};
use crate::exit::{Code, Failure};

/// How long to wait after an error of accept that is the machine's, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How often a client of HTTP/2 that says nothing is asked whether it is there.
const HTTP2_PING: Duration = Duration::from_secs(30);
/// Requests at a time in one connection of HTTP/2.
const HTTP2_STREAMS_MAX: u32 = 64;
/// The headers of a request.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Connections over the limit that are told so; the rest is closed without a word.
const TOLD_MAX: usize = 64;
/// How long one is told.
const TELL: Duration = Duration::from_secs(5);

/// The sockets that listen.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    /// Where it listens, with the port that was chosen where 0 was asked for.
    pub(crate) address: SocketAddr,
    unix: Option<Unix>,
    tls: Option<Arc<Tls>>,
}

/// A Unix socket, whose file goes when it goes.
#[derive(Debug)]
struct Unix {
    socket: UnixListener,
    path: PathBuf,
}

impl Drop for Unix {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file stays");
        }
    }
}

impl Listener {
    /// Binds the sockets and reads the certificate.
    ///
    /// # Errors
    /// A line that names the address, the path or the file.
    pub(crate) async fn bind(config: &Config) -> Result<Self, Failure> {
        let failure = |error| listen_failure(config.listen, &error);
        let tls = config.http.tls.as_ref().map(Tls::open).transpose()?;
        let tcp = TcpListener::bind(config.listen).await.map_err(failure)?;
        let address = tcp.local_addr().map_err(failure)?;
        let unix = config.http.unix_socket.as_deref();
        let unix = unix.map(|path| Unix::bind(path, config.http.unix_socket_mode));
        Ok(Self {
            tcp,
            address,
            unix: unix.transpose()?,
            tls: tls.map(Arc::new),
        })
    }

    /// What is to be read again on SIGHUP.
    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }
}

impl Unix {
    fn bind(path: &Path, mode: u32) -> Result<Self, Failure> {
        let failure = |error: std::io::Error, advice: &str| {
            let line = format!("cannot listen on {}: {error}{advice}", path.display());
            Failure::new(Code::Listen, line)
        };
        let is_socket =
            std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
        // Left by a server that was killed: nobody answers there any more.
        if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
            std::fs::remove_file(path).map_err(|error| failure(error, ""))?;
        }
        let socket = UnixListener::bind(path)
            .map_err(|error| failure(error, ": choose another path with unix_socket"))?;
        let unix = Self {
            socket,
            path: path.to_owned(),
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(|error| failure(error, ""))?;
        Ok(unix)
    }
}

/// One that came.
enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// What every connection needs.
#[derive(Clone)]
struct Connections {
    app: Arc<App>,
    router: Router,
    http: auto::Builder<TokioExecutor>,
    tls: Option<Arc<Tls>>,
    places: Arc<Semaphore>,
    tellings: Arc<Semaphore>,
}

/// Serves until `stop` ends, then lets running requests finish.
pub(crate) async fn serve(
    listener: Listener,
    app: &Arc<App>,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places_max = match app.http.connections_max {
        0 => Semaphore::MAX_PERMITS,
        max => max.min(Semaphore::MAX_PERMITS),
    };
    let connections = Connections {
        app: Arc::clone(app),
        router,
        http: builder(&app.http),
        tls: listener.tls.clone(),
        places: Arc::new(Semaphore::new(places_max)),
        tellings: Arc::new(Semaphore::new(TOLD_MAX)),
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.tcp.accept() => accepted.map(|(s, peer)| Accepted::Tcp(s, peer)),
            accepted = accept_unix(listener.unix.as_ref()) => accepted.map(Accepted::Unix),
            () = &mut stop => break,
        };
        match accepted {
            Ok(accepted) => connections.take(accepted, graceful.watcher()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    let finish = app.http.shutdown_timeout;
    if tokio::time::timeout(finish, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests still ran after shutdown_timeout ({finish:?}) and were cut off");
    }
}

async fn accept_unix(unix: Option<&Unix>) -> std::io::Result<UnixStream> {
    match unix {
        Some(unix) => unix.socket.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

fn builder(config: &HttpConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.read_header_timeout)
        .title_case_headers(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX);
    builder
}

impl Connections {
    fn take(&self, accepted: Accepted, watcher: Watcher) {
        let requests = &self.app.requests;
        requests.count_connection();
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            requests.count_connection_refused();
            return self.tell_that_it_is_full(accepted);
        };
        let this = self.clone();
        // One task a connection; it ends with the connection, which the watcher watches.
        tokio::spawn(async move {
            let ended = match accepted {
                Accepted::Unix(stream) => this.serve(stream, watcher, place).await,
                Accepted::Tcp(stream, peer) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
                    }
                    match &this.tls {
                        None => this.serve(stream, watcher, place).await,
                        Some(tls) => {
                            let handshake = tls.acceptor().accept(stream);
                            let deadline = this.app.http.read_header_timeout;
                            match tokio::time::timeout(deadline, handshake).await {
                                Ok(Ok(stream)) => this.serve(stream, watcher, place).await,
                                Ok(Err(error)) => Err(error.into()),
                                Err(_) => Err("no TLS handshake".into()),
                            }
                        }
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(error, "connection ended");
            }
        });
    }

    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        watcher: Watcher,
        _place: OwnedSemaphorePermit,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // A client that does not take its answer is gone.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.app.http.write_idle_timeout));
        let asked = Arc::new(AtomicBool::new(false));
        let router = TowerToHyperService::new(self.router.clone());
        let service = {
            let asked = Arc::clone(&asked);
            hyper::service::service_fn(move |request| {
                asked.store(true, Ordering::Relaxed);
                router.call(request)
            })
        };
        let io = TokioIo::new(Box::pin(stream));
        let connection = self.http.serve_connection(io, service).into_owned();
        let mut connection = std::pin::pin!(watcher.watch(connection));
        // Headers have their own time limit once the version of HTTP is known; until then this
        // one holds.
        let first = tokio::time::sleep(self.app.http.read_header_timeout);
        tokio::select! {
            ended = &mut connection => return ended,
            () = first => {}
        }
        if !asked.load(Ordering::Relaxed) {
            return Err("no request within read_header_timeout".into());
        }
        connection.await
    }

    /// Over `max_connection_limit`: says so, where that costs little.
    fn tell_that_it_is_full(&self, accepted: Accepted) {
        let Ok(telling) = Arc::clone(&self.tellings).try_acquire_owned() else {
            return;
        };
        if self.tls.is_some() && matches!(accepted, Accepted::Tcp(..)) {
            return;
        }
        let max = self.app.http.connections_max;
        let body = format!("{{\"error\":\"max_connection_limit ({max}) is reached\"}}\n");
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
             Retry-After: 1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // It ends within `TELL`.
        tokio::spawn(async move {
            let _telling = telling;
            let told = async {
                match accepted {
                    Accepted::Tcp(mut stream, _) => {
                        stream.write_all(answer.as_bytes()).await?;
                        stream.shutdown().await
                    }
                    Accepted::Unix(mut stream) => {
                        stream.write_all(answer.as_bytes()).await?;
                        stream.shutdown().await
                    }
                }
            };
            if !matches!(tokio::time::timeout(TELL, told).await, Ok(Ok(()))) {
                tracing::debug!("a client over max_connection_limit was not told so");
            }
        });
    }
}
