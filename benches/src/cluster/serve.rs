//! Just enough of HTTP/1.1: GET, connections that stay, and a watch that goes on; in TLS where the
//! other side begins so.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::model::Health;
use super::pages::Page;
use super::{State, pages};

/// The first byte of a client that begins with TLS.
const TLS_HANDSHAKE: u8 = 22;

/// Takes connections until the task is ended, which ends them too.
pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection; whatever breaks it is its end.
async fn connection(stream: TcpStream, state: Arc<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let IpAddr::V4(address) = stream.local_addr()?.ip() else {
        return Ok(());
    };
    let node = state.node_at(address);
    let mut first = [0];
    stream.peek(&mut first).await?;
    match first[0] {
        TLS_HANDSHAKE => {
            let tls = TlsAcceptor::from(Arc::clone(&state.tls));
            requests(tls.accept(stream).await?, &state, node).await
        }
        _ => requests(stream, &state, node).await,
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    state: &State,
    node: Option<usize>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while line.trim_end() != "" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        let answer = match node {
            Some(node) => kubelet(state, node, &path).await,
            None if path.starts_with("/api/v1/nodes") && path.contains("watch=") => {
                return watch(stream.get_mut(), state).await;
            }
            None if path.starts_with("/api/v1/nodes") => {
                let is_there = |node: usize| !state.nodes[node].is_gone.load(Ordering::SeqCst);
                Ok(pages::nodes(state, is_there).into_bytes())
            }
            None => Err(404),
        };
        let (status, body) = match answer {
            Ok(body) => (200, body),
            Err(status) => (status, Vec::new()),
        };
        let kind = match body.starts_with(b"{") {
            true => "application/json",
            false => "text/plain; version=0.0.4",
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes()).await?;
        stream.get_mut().write_all(&body).await?;
        // What TLS holds back goes now.
        stream.get_mut().flush().await?;
    }
}

async fn kubelet(state: &State, node: usize, path: &str) -> Result<Vec<u8>, u16> {
    if state.nodes[node].is_gone.load(Ordering::SeqCst) {
        return Err(503);
    }
    match state.shape.health(node) {
        Health::Well => {}
        Health::Failing => return Err(500),
        Health::Slow => std::future::pending().await,
    }
    let page = Page::of(path).ok_or(404_u16)?;
    let (tick, time) = match page {
        // Once a minute: the next answer of the summary is not used up by it.
        Page::Pods => state.now(node),
        page => state.tick(node, page as usize),
    };
    Ok(match &state.templates {
        None => page.render(&state.shape, node, tick, time).into_bytes(),
        Some(templates) => templates.body(&state.shape, page, node, tick, time),
    })
}

/// Tells of changes until either side is gone.
async fn watch(stream: &mut (impl AsyncWrite + Unpin), state: &State) -> std::io::Result<()> {
    let mut events = state.events.subscribe();
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    // What left between the list and the watch is told again.
    for (node, served) in state.nodes.iter().enumerate() {
        if served.is_gone.load(Ordering::SeqCst) {
            chunk(stream, &pages::event("DELETED", node, state)).await?;
        }
    }
    while let Ok(event) = events.recv().await {
        chunk(stream, &event).await?;
    }
    Ok(())
}

async fn chunk(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> std::io::Result<()> {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    stream.write_all(chunk.as_bytes()).await?;
    stream.flush().await
}
