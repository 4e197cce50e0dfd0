//! Stores that points are sent to: real ones, and one of this process that answers as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::http::Client;
use super::{directory, eventually};

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A real program that stores points; it ends when this is dropped.
pub struct Peer {
    child: Child,
    pub client: Client,
    _directory: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ran");
    }
}

impl Peer {
    /// influxd on `port`; none where it is not installed.
    pub fn influxd(test: &str, port: u16) -> Option<Self> {
        let directory = directory();
        let (root, other) = (directory.path().display(), free_port());
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{other}\"\n\
             [meta]\ndir = \"{root}/meta\"\n[data]\ndir = \"{root}/data\"\nwal-dir = \"{root}/wal\"\n\
             [monitor]\nstore-enabled = false\n\
             [http]\nbind-address = \"127.0.0.1:{port}\"\nlog-enabled = false\n"
        );
        let path = directory.path().join("influxdb.conf");
        std::fs::write(&path, config).unwrap();
        let flags = ["-config".to_owned(), path.display().to_string()];
        Self::start(test, "/usr/bin/influxd", &flags, port, "/ping", directory)
    }

    /// Prometheus on `port`, which takes remote writes; none where it is not installed.
    pub fn prometheus(test: &str, port: u16) -> Option<Self> {
        let directory = directory();
        let config = directory.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        let flags = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}/data", directory.path().display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-remote-write-receiver".to_owned(),
        ];
        let program = "/usr/bin/prometheus";
        Self::start(test, program, &flags, port, "/-/ready", directory)
    }

    fn start(
        test: &str,
        program: &str,
        flags: &[String],
        port: u16,
        ready: &str,
        directory: tempfile::TempDir,
    ) -> Option<Self> {
        if !Path::new(program).exists() {
            println!("SKIPPED {test} {program} is not installed");
            return None;
        }
        let mut command = Command::new(program);
        let child = command
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let peer = Self {
            child,
            client: Client::new(&format!("127.0.0.1:{port}")),
            _directory: directory,
        };
        eventually("the peer", || {
            let answer = peer.client.try_send("GET", ready, &[], b"").ok()?;
            (answer.status < 300).then_some(())
        });
        Some(peer)
    }
}

/// A store of this process: it answers requests with statuses in turn, the last one for ever, and
/// keeps what it took.
pub struct Fake {
    pub port: u16,
    taken: Arc<Mutex<Vec<String>>>,
    statuses: Arc<Mutex<VecDeque<&'static str>>>,
}

impl Fake {
    pub fn start(statuses: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            port: listener.local_addr().unwrap().port(),
            taken: Arc::default(),
            statuses: Arc::new(Mutex::new(statuses.iter().copied().collect())),
        };
        let (taken, statuses) = (Arc::clone(&fake.taken), Arc::clone(&fake.statuses));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (taken, statuses) = (Arc::clone(&taken), Arc::clone(&statuses));
                // Whatever breaks the connection is its end.
                std::thread::spawn(move || serve(&stream, &taken, &statuses).ok());
            }
        });
        fake
    }

    /// The lines that were answered with 204, each with the parameters of its request before it.
    pub fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    /// What it answers from now on.
    pub fn answer(&self, statuses: &[&'static str]) {
        *self.statuses.lock().unwrap() = statuses.iter().copied().collect();
    }

    /// How many answers are left.
    pub fn answers_left(&self) -> usize {
        self.statuses.lock().unwrap().len()
    }
}

fn serve(
    stream: &TcpStream,
    taken: &Mutex<Vec<String>>,
    statuses: &Mutex<VecDeque<&'static str>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut first, mut len) = (String::new(), 0);
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line)?;
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                len = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body)?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text)?;
        let status = {
            let mut statuses = statuses.lock().unwrap();
            match statuses.len() {
                0 | 1 => statuses.front().copied().unwrap_or("204 No Content"),
                _ => statuses.pop_front().unwrap(),
            }
        };
        if status.starts_with("204") {
            let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let lines = text.lines().map(|line| format!("{target} {line}"));
            taken.lock().unwrap().extend(lines);
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        (&mut &*stream).write_all(answer.as_bytes())?;
    }
}
