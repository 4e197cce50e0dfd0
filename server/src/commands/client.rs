//! A small HTTP client for commands that ask a server.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Position;

use crate::config::SourceUrl;
use crate::exit::{Code, Failure};

/// Reads the address of a server. clap does not, for it would print the password of a wrong one.
///
/// # Errors
/// A line that says what is wrong with it.
pub(super) fn server(text: &str) -> Result<SourceUrl, Failure> {
    let read = text.parse::<SourceUrl>();
    read.map_err(|error| Failure::new(Code::Configuration, format!("--url: {error}")))
}

/// Asks the server at `url` and waits for all of its answer.
///
/// # Errors
/// A line that says what did not work, with the address and without its password.
pub(super) fn ask(
    url: &SourceUrl,
    method: Method,
    path: &str,
    form: Option<String>,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), Failure> {
    let failed = |why: String| Failure::new(Code::Failed, format!("{url}{path}: {why}"));
    if url.0.scheme() != "http" {
        return Err(failed("only http:// is spoken here".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let answer = async {
        let exchange = exchange(url, method, path, form);
        match tokio::time::timeout(timeout, exchange).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed(format!("no answer within {timeout:?}"))),
        }
    };
    runtime.block_on(answer)
}

async fn exchange(
    url: &SourceUrl,
    method: Method,
    path: &str,
    form: Option<String>,
) -> Result<(StatusCode, Bytes), String> {
    let host = url.0.host_str().ok_or("the address names no host")?;
    let port = url.0.port_or_known_default().unwrap_or(8086);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port));
    let stream = stream.await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // The connection's own task; it ends when `sender` is dropped.
    tokio::spawn(connection);
    let base = url.0.path().trim_end_matches('/');
    let request = Request::builder()
        .method(method)
        .uri(format!("{base}{path}"))
        .header(HOST, &url.0[Position::BeforeHost..Position::AfterPort])
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form.unwrap_or_default())))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.into_body().collect().await;
    Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
}
