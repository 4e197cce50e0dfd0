//! A plain HTTP client: one connection a request, and every byte of the answer to look at.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use form_urlencoded::byte_serialize;

/// Longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks one server.
#[derive(Debug, Clone)]
pub struct Client {
    /// Host and port.
    pub address: String,
    /// The header `Authorization` of every request; empty: none.
    pub authorization: String,
}

/// An answer, its body unchunked and unpacked.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON member `error`.
    pub fn error(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["error"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            authorization: String::new(),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, &[], body)
    }

    /// `/query` by POST with everything in the address.
    pub fn query(&self, database: &str, text: &str, more: &str) -> Answer {
        let text = encode(text);
        self.post(
            &format!("/query?db={}&q={text}{more}", encode(database)),
            b"",
        )
    }

    /// A request. The connection is closed behind it.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// A request to a server that may be gone.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.authorization.is_empty() {
            request.push_str(&format!("Authorization: {}\r\n", self.authorization));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes())?;
        stream.write_all(body)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        read(&bytes).ok_or_else(|| std::io::Error::other("the answer is no HTTP"))
    }
}

/// As a parameter's value.
pub fn encode(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let is = |name: &str, value: &str| headers.iter().any(|(n, v)| n == name && v == value);
    let mut body = bytes[end + 4..].to_vec();
    if is("transfer-encoding", "chunked") {
        body = unchunk(&body)?;
    }
    if is("content-encoding", "gzip") {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&body[..])
            .read_to_end(&mut unpacked)
            .ok()?;
        body = unpacked;
    }
    Some(Answer {
        status,
        headers,
        body,
    })
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let len = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        bytes = &bytes[end + 2..];
        if len == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(bytes.get(..len)?);
        bytes = bytes.get(len + 2..)?;
    }
}
