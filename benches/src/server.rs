//! A server under measurement: a process of its own in a temporary directory.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// For so long a server changes nothing on disk and computes next to nothing when it has
/// compacted.
const SECONDS_STILL: u32 = 15;
/// Less CPU than this in a second is next to nothing.
const IDLE_CPU_SECONDS: f64 = 0.2;

/// How often a fresh server is asked whether it answers, each time for up to 100 ms.
const STARTS_MAX: usize = 300;

/// Which program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This one.
    Plimsoll,
    /// InfluxDB 1.x.
    Influxd,
    /// VictoriaMetrics, one node.
    VictoriaMetrics,
}

impl Kind {
    /// What the table calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "Plimsoll",
            Self::Influxd => "influxd",
            Self::VictoriaMetrics => "VictoriaMetrics",
        }
    }
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    program: String,
    process: Child,
    port: u16,
    directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where the process has ended by itself, which is what is wanted.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Server {
    /// Starts `program` and makes the database `bench`.
    ///
    /// # Errors
    /// It is not installed, or does not come up.
    pub fn start(kind: Kind, program: &str) -> Result<Self, Box<dyn Error>> {
        Self::start_with(kind, program, &[])
    }

    /// As [`Self::start`], with variables in its environment.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(
        kind: Kind,
        program: &str,
        variables: &[(&str, &str)],
    ) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let port = free_port()?;
        let process = spawn(kind, program, variables, directory.path(), port)?;
        let server = Self {
            kind,
            program: program.to_owned(),
            process,
            port,
            directory,
        };
        server.wait()?;
        if kind != Kind::VictoriaMetrics {
            server.request("POST", "/query?q=CREATE%20DATABASE%20bench", "")?;
        }
        Ok(server)
    }

    /// Kills the process, without a word, and starts it over what it left; answers when it answers.
    ///
    /// # Errors
    /// It does not come up.
    pub fn kill_and_restart(
        &mut self,
        program: &str,
        variables: &[(&str, &str)],
    ) -> Result<(), Box<dyn Error>> {
        self.process.kill()?;
        self.process.wait()?;
        let directory = self.directory.path();
        self.process = spawn(self.kind, program, variables, directory, self.port)?;
        self.wait()
    }

    /// Waits until the server answers.
    fn wait(&self) -> Result<(), Box<dyn Error>> {
        let ready = match self.kind {
            Kind::VictoriaMetrics => "/health",
            Kind::Plimsoll | Kind::Influxd => "/ping",
        };
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        for _ in 0..STARTS_MAX {
            if self.get(ready).is_ok() {
                drop(sender);
                return Ok(());
            }
            // Nothing is ever sent: this is the pause between two tries.
            receiver
                .recv_timeout(std::time::Duration::from_millis(100))
                .ok();
        }
        Err(format!("{} does not come up", self.kind.name()).into())
    }

    /// Puts everything that Plimsoll has into one segment a partition: stops it, merges its
    /// directory, starts it again. Of the others nothing changes.
    ///
    /// # Errors
    /// The merge failed, or it does not come up again.
    pub fn compact(&mut self) -> Result<(), Box<dyn Error>> {
        if self.kind != Kind::Plimsoll {
            return Ok(());
        }
        self.process.kill()?;
        self.process.wait()?;
        let data = self.directory.path().join("data");
        let mut compact = Command::new(&self.program);
        compact.args(["compact", "--data"]).arg(data);
        let ended = compact.stdin(Stdio::null()).output()?;
        if !ended.status.success() {
            let text = String::from_utf8_lossy(&ended.stderr).into_owned();
            return Err(format!("plimsoll compact fails: {text}").into());
        }
        let directory = self.directory.path();
        self.process = spawn(self.kind, &self.program, &[], directory, self.port)?;
        self.wait()
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Which program it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Writes lines with times in ns.
    ///
    /// # Errors
    /// They were not all taken.
    pub fn write(&self, lines: &str) -> Result<(), Box<dyn Error>> {
        self.request("POST", "/write?db=bench&precision=ns", lines)?;
        Ok(())
    }

    /// Makes everything that was written visible to queries.
    ///
    /// # Errors
    /// The server is gone.
    pub fn settle(&self) -> Result<(), Box<dyn Error>> {
        if self.kind == Kind::VictoriaMetrics {
            self.get("/internal/force_flush")?;
        }
        Ok(())
    }

    /// Has it merge all that it holds, and waits until it has.
    ///
    /// # Errors
    /// The server is gone.
    pub fn compact_fully(&self) -> Result<(), Box<dyn Error>> {
        self.settle()?;
        if self.kind == Kind::VictoriaMetrics {
            self.get("/internal/force_merge")?;
        }
        // Influxd compacts fully by itself, soon after the last write if it is told so.
        self.rest(SECONDS_STILL)
    }

    /// Waits until it has changed nothing on disk and computed next to nothing for some seconds.
    ///
    /// # Errors
    /// The server is gone.
    pub fn rest(&self, seconds: u32) -> Result<(), Box<dyn Error>> {
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        let (mut before, mut still) = ((0, 0.0), 0);
        while still < seconds {
            // Nothing is ever sent: this is the pause between two looks.
            receiver
                .recv_timeout(std::time::Duration::from_secs(1))
                .ok();
            let now = (self.disk_bytes()?, self.cpu_seconds()?);
            let is_still = now.0 == before.0 && now.1 - before.1 < IDLE_CPU_SECONDS;
            still = if is_still { still + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }

    /// Ends it and answers what it left.
    #[must_use]
    pub fn end(mut self) -> TempDir {
        self.process.kill().ok();
        self.process.wait().ok();
        // The field cannot be moved out of what has a destructor.
        std::mem::replace(
            &mut self.directory,
            TempDir::new().expect("a temporary directory"),
        )
    }

    /// The body of an answer.
    ///
    /// # Errors
    /// The server is gone or answers another status than 2xx.
    pub fn get(&self, path: &str) -> Result<String, Box<dyn Error>> {
        self.request("GET", path, "")
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Result<String, Box<dyn Error>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        let len = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if status.starts_with('2') {
            Ok(body.to_owned())
        } else {
            let shown: String = body.chars().take(300).collect();
            Err(format!("{} answers {status} to {path}: {shown}", self.kind.name()).into())
        }
    }

    /// CPU that the process has used.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu_seconds(&self) -> Result<f64, Box<dyn Error>> {
        cpu_seconds_of(self.process.id())
    }

    /// Memory of the process.
    ///
    /// # Errors
    /// It is gone.
    pub fn resident_bytes(&self) -> Result<u64, Box<dyn Error>> {
        memory_bytes(self.process.id(), "VmRSS:")
    }

    /// The most memory the process has had.
    ///
    /// # Errors
    /// It is gone.
    pub fn peak_bytes(&self) -> Result<u64, Box<dyn Error>> {
        memory_bytes(self.process.id(), "VmHWM:")
    }

    /// What its directory occupies, preallocated files with what they hold on disk.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn disk_bytes(&self) -> Result<u64, Box<dyn Error>> {
        Ok(occupied(self.directory.path())?)
    }
}

/// CPU that a process has used.
///
/// # Errors
/// It is gone.
pub fn cpu_seconds_of(process: u32) -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// A line of a process's status that is a size.
///
/// # Errors
/// The process is gone.
pub fn memory_bytes(process: u32, name: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib = kib.ok_or_else(|| format!("a process has {name}"))?;
    Ok(kib.parse::<u64>()? * 1024)
}

fn spawn(
    kind: Kind,
    program: &str,
    variables: &[(&str, &str)],
    directory: &Path,
    port: u16,
) -> Result<Child, Box<dyn Error>> {
    let mut command = Command::new(program);
    arguments(kind, directory, port, &mut command)?;
    let child = command
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(child)
}

/// What a directory occupies.
///
/// # Errors
/// It cannot be read.
pub fn occupied(directory: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            occupied(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(bytes)
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn arguments(
    kind: Kind,
    directory: &Path,
    port: u16,
    command: &mut Command,
) -> Result<(), Box<dyn Error>> {
    let listen = format!("127.0.0.1:{port}");
    let shown = directory.display();
    match kind {
        Kind::Plimsoll => {
            command.args(["serve", "--no-cgroup", "--listen", &listen, "--data"]);
            command.arg(directory.join("data"));
        }
        Kind::Influxd => {
            let rpc = free_port()?;
            let config = format!(
                "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n\
                 [meta]\ndir = \"{shown}/meta\"\n[data]\ndir = \"{shown}/data\"\n\
                 wal-dir = \"{shown}/wal\"\nquery-log-enabled = false\n\
                 [monitor]\n\
                 store-enabled = false\n[http]\nbind-address = \"{listen}\"\n\
                 log-enabled = false\n"
            );
            let path = directory.join("influxd.toml");
            std::fs::write(&path, config)?;
            command.arg("-config").arg(path);
        }
        Kind::VictoriaMetrics => {
            command.arg(format!("-httpListenAddr={listen}"));
            command.arg(format!("-storageDataPath={shown}/data"));
            command.args([
                "-retentionPeriod=1200",
                "-influxSkipSingleField",
                "-search.disableCache",
            ]);
        }
    }
    Ok(())
}
