//! A real influxd on ports of its own, stopped when it goes out of scope.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = "/usr/bin/influxd";

pub struct Influxd {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
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
            child,
            port,
            _directory: directory,
        })
    }

    /// Status and body of `POST path`.
    pub fn post(&self, path: &str, content_type: &str, body: &str) -> (u16, String) {
        let mut stream =
            TcpStream::connect(("127.0.0.1", self.port)).expect("influxd accepts connections");
        write!(
            stream,
            "POST {path} HTTP/1.0\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("influxd reads the request");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("influxd answers text");
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .expect("an answer has a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status code"), body.to_owned())
    }

    /// Writes line protocol.
    pub fn write(&self, database: &str, policy: &str, lines: &str) {
        let path = format!("/write?db={database}&rp={policy}");
        let (status, body) = self.post(&path, "text/plain", lines);
        assert_eq!(status, 204, "{body}");
    }

    /// The body of an answer.
    pub fn query(&self, database: &str, epoch: &str, query: &str) -> String {
        let path = format!("/query?db={database}&epoch={epoch}");
        let form = format!("q={}", encode(query));
        self.post(&path, "application/x-www-form-urlencoded", &form)
            .1
    }
}

impl Drop for Influxd {
    fn drop(&mut self) {
        self.child.kill().expect("influxd was running");
        self.child.wait().expect("influxd ends");
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
