//! A real influxd on ports of its own, stopped when it goes out of scope.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = "/usr/bin/influxd";

pub struct Influxd {
    child: Option<Child>,
    port: u16,
    _directory: Option<tempfile::TempDir>,
}

impl Influxd {
    /// Starts one and waits until it listens; none where it is not installed.
    pub fn start() -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            return None;
        }
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let (port, other) = (free_port(), free_port());
        let root = directory.path().display();
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{other}\"\n\
             [meta]\ndir = \"{root}/meta\"\n\
             [data]\ndir = \"{root}/data\"\nwal-dir = \"{root}/wal\"\nindex-version = \"inmem\"\n\
             [monitor]\nstore-enabled = false\n\
             [continuous_queries]\nenabled = false\n\
             [http]\nbind-address = \"127.0.0.1:{port}\"\nlog-enabled = false\n\
             max-row-limit = 0\n"
        );
        let path = directory.path().join("influxdb.conf");
        std::fs::write(&path, config).expect("the configuration can be written");
        let mut child = Command::new(PROGRAM)
            .arg("-config")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("influxd can be started");
        let log = child.stderr.take().expect("its log is piped");
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let listening = lines.any(|line| line.contains("Listening on HTTP"));
        assert!(listening, "influxd ended before it listened");
        // Its log must be read on, or it blocks.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            child: Some(child),
            port,
            _directory: Some(directory),
        })
    }

    /// One that listens already.
    #[allow(
        dead_code,
        clippy::allow_attributes,
        reason = "not every test asks one"
    )]
    pub fn at(port: u16) -> Self {
        Self {
            child: None,
            port,
            _directory: None,
        }
    }

    /// Status and body of `POST path`.
    pub fn post(&self, path: &str, content_type: &str, body: &str) -> (u16, String) {
        self.ask(path, content_type, body)
            .expect("influxd answers the request")
    }

    /// Status and body of `POST path`; none where the connection breaks off.
    pub fn ask(&self, path: &str, content_type: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(
            stream,
            "POST {path} HTTP/1.0\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// Writes line protocol.
    pub fn write(&self, database: &str, policy: &str, lines: &str) {
        let path = format!("/write?db={database}&rp={policy}");
        let (status, body) = self.post(&path, "text/plain", lines);
        assert_eq!(status, 204, "{body}");
    }

    /// The body of an answer.
    pub fn query(&self, database: &str, epoch: &str, query: &str) -> String {
        self.query_as(database, epoch, None, query)
            .expect("influxd answers the request")
    }

    /// The body of an answer, whole or in chunks; none where the connection breaks off.
    pub fn query_as(
        &self,
        database: &str,
        epoch: &str,
        chunk_size: Option<usize>,
        query: &str,
    ) -> Option<String> {
        let mut path = format!("/query?db={database}&epoch={epoch}");
        if let Some(size) = chunk_size {
            path.push_str(&format!("&chunked=true&chunk_size={size}"));
        }
        let form = format!("q={}", encode(query));
        let answer = self.ask(&path, "application/x-www-form-urlencoded", &form)?;
        Some(answer.1)
    }
}

impl Drop for Influxd {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().expect("influxd was running");
            child.wait().expect("influxd ends");
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
