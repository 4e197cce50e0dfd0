//! What the server's tests share: the real binary on a free port, and a plain HTTP client.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "part of tests: each test file uses some of it, none all"
)]

pub mod http;
pub mod peer;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use http::Client;

/// Nothing here takes this long on a machine that works.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often an event is looked for that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The binary, without the settings of whoever runs the tests.
pub fn plimsoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PLIMSOLL_") {
            command.env_remove(name);
        }
    }
    command
}

/// A `plimsoll serve` that runs until it is dropped.
pub struct Server {
    child: Child,
    /// The lines that it printed on start.
    pub greeting: Vec<String>,
    pub client: Client,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts it over `data` without sources of its own, and waits until it answers.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &["--no-cgroup"])
    }

    /// Starts it over `data`.
    pub fn start_with(data: &Path, flags: &[&str]) -> Self {
        let mut command = plimsoll();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(flags);
        Self::spawn(&mut command)
    }

    /// Starts a command that serves.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("it is piped");
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let stdout = child.stdout.take().expect("it is piped");
        let (send, greeting) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let greeting: Vec<String> = (0..4)
            .map(|_| {
                greeting.recv_timeout(DEADLINE).unwrap_or_else(|_| {
                    panic!("it does not start:\n{}", log.lock().unwrap());
                })
            })
            .collect();
        let address = greeting[2]
            .split_once("://")
            .map(|(_, rest)| rest)
            .and_then(|rest| rest.split(',').next())
            .expect("the third line names the address");
        let client = Client::new(address);
        Self {
            child,
            greeting,
            client,
            log,
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// `http://…`
    pub fn url(&self) -> String {
        format!("http://{}", self.client.address)
    }

    /// Memory that it has.
    pub fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// The most memory that it had since the peak was forgotten.
    pub fn resident_peak_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    /// Starts the peak afresh.
    pub fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        std::fs::write(path, "5").unwrap();
    }

    fn memory_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// Tells it to stop, and waits until it has.
    pub fn stop(mut self) -> (ExitStatus, String) {
        signal(&self.child, "TERM");
        let status = wait(&mut self.child);
        // The log's pipe ends with the process; its thread may be a moment behind.
        let log = Arc::clone(&self.log);
        let log = eventually("the end of the log", || {
            let log = log.lock().unwrap().clone();
            log.contains("stopped").then_some(log)
        });
        (status, log)
    }

    /// Sends it a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Kills it without a word.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        wait(&mut self.child);
    }

    /// Writes lines into `database`, which must take all of them.
    pub fn write(&self, database: &str, lines: &str) {
        let path = format!("/write?db={database}");
        let answer = self.client.post(&path, lines.as_bytes());
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// Runs a query by POST, with parameters such as `&epoch=ns`; the JSON must be one document.
    pub fn query(&self, database: &str, text: &str, more: &str) -> serde_json::Value {
        let answer = self.client.query(database, text, more);
        assert_eq!(answer.status, 200, "{text}: {}", answer.text());
        serde_json::from_str(&answer.text()).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().expect("it runs");
            self.child.wait().expect("it ran");
        }
        if std::thread::panicking() {
            eprintln!("log of the server:\n{}", self.log());
        }
    }
}

/// Runs a command that is expected to end by itself: its exit code and standard error.
pub fn ends(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let status = wait(&mut child);
    let mut text = String::new();
    let stderr = child.stderr.as_mut().expect("it is piped");
    stderr.read_to_string(&mut text).expect("it is text");
    (status.code(), text)
}

fn wait(child: &mut Child) -> ExitStatus {
    eventually("the end of the process", || child.try_wait().unwrap())
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status();
    assert!(sent.expect("kill is installed").success());
}

/// Looks until `event` has happened, but not for ever.
#[expect(
    clippy::disallowed_methods,
    reason = "a real process has only the real clock"
)]
pub fn eventually<T>(what: &str, mut event: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = event() {
            return found;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// ns since 1970, by the clock that the server reads, too.
#[expect(
    clippy::disallowed_methods,
    reason = "a real process has only the real clock"
)]
pub fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap().as_nanos()).unwrap()
}

/// The real data beside the checkout; says so and answers nothing where it is not there.
pub fn shared_data(test: &str, path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")).join(path);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED {test} ../shared/data is not there");
    None
}

/// A temporary directory for data.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}
