//! A small HTTP client for commands that ask a server.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, ClientBuilder, Method, StatusCode, redirect};

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

/// Who asks a server.
#[derive(Debug, Default, Args)]
pub(crate) struct Login {
    /// The user to ask as; the password comes from the variable INFLUX_PASSWORD
    #[arg(long, value_name = "NAME", env = "INFLUX_USERNAME")]
    username: Option<String>,
    /// File with the authority that signed the server's certificate, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Login {
    /// The header that says it, where a user is named.
    fn header(&self) -> Option<HeaderValue> {
        let name = self.username.as_deref().filter(|name| !name.is_empty())?;
        let password = std::env::var("INFLUX_PASSWORD").unwrap_or_default();
        let encoded = STANDARD.encode(format!("{name}:{password}"));
        let mut header = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// A client that trusts the given authority, or else the system's.
    fn trust(&self, scheme: &str) -> Result<ClientBuilder, String> {
        // An error says that another part of this process was first, with the same provider.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder().no_proxy();
        if scheme == "http" {
            // Without it the system's certificates are loaded, which a bare image has not.
            return Ok(builder.tls_certs_only([]));
        }
        let Some(path) = &self.ca_file else {
            return Ok(builder);
        };
        let wrong = |why: String| format!("--ca-file {}: {why}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem);
        let certificates = certificates.map_err(|error| wrong(error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("it holds no certificate in PEM".to_owned()));
        }
        Ok(builder.tls_certs_only(certificates))
    }
}

/// A server that is asked many times.
pub(super) struct Connection {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    url: SourceUrl,
    header: Option<HeaderValue>,
}

impl Connection {
    /// Gets ready to ask; nothing is sent yet.
    ///
    /// # Errors
    /// A line that says what does not work.
    pub(super) fn open(url: SourceUrl, login: &Login, timeout: Duration) -> Result<Self, Failure> {
        let failed = |why: String| Failure::new(Code::Failed, format!("{url}: {why}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let client = login
            .trust(url.0.scheme())
            .map_err(failed)?
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .build()
            .map_err(|error| failed(why(error)))?;
        Ok(Self {
            runtime,
            client,
            header: login.header(),
            url,
        })
    }

    /// Posts a body and waits for all of the answer.
    ///
    /// # Errors
    /// A line that says what did not work, with the address and without its password.
    pub(super) fn post(&self, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), Failure> {
        let base = self.url.0.as_str().trim_end_matches('/');
        let mut request = self
            .client
            .post(format!("{base}{path}"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        if let Some(header) = &self.header {
            request = request.header(AUTHORIZATION, header.clone());
        }
        let answer = self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status();
            Ok((status, answer.bytes().await?))
        });
        answer.map_err(|error| Failure::new(Code::Failed, format!("{}: {}", self.url, why(error))))
    }

    /// Waits, for a server that has no room.
    pub(super) fn pause(&self, pause: Duration) {
        self.runtime.block_on(tokio::time::sleep(pause));
    }
}

/// Asks the server at `url` and waits for all of its answer.
///
/// # Errors
/// A line that says what did not work, with the address and without its password.
pub(super) fn ask(
    url: &SourceUrl,
    login: &Login,
    method: Method,
    path: &str,
    form: Option<String>,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), Failure> {
    let failed = |why: String| Failure::new(Code::Failed, format!("{url}{path}: {why}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let answer = async {
        let exchange = exchange(url, login, method, path, form);
        match tokio::time::timeout(timeout, exchange).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed(format!("no answer within {timeout:?}"))),
        }
    };
    runtime.block_on(answer)
}

async fn exchange(
    url: &SourceUrl,
    login: &Login,
    method: Method,
    path: &str,
    form: Option<String>,
) -> Result<(StatusCode, Bytes), String> {
    let client = login
        .trust(url.0.scheme())?
        .redirect(redirect::Policy::none())
        .build();
    let client = client.map_err(why)?;
    let base = url.0.as_str().trim_end_matches('/');
    let mut request = client
        .request(method, format!("{base}{path}"))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.unwrap_or_default());
    if let Some(header) = login.header() {
        request = request.header(AUTHORIZATION, header);
    }
    let answer = request.send().await.map_err(why)?;
    let status = answer.status();
    Ok((status, answer.bytes().await.map_err(why)?))
}

/// The innermost reason; the address, which may hold a password, stands in front already.
fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut reason: &dyn std::error::Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
