//! Asks the machine: what the configuration names, is it there and usable?

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::checked::Config;
use super::sources::SourcesConfig;
use crate::exit::{Code, Failure};

/// Looks whether the files that the configuration names can be read and hold what they should.
/// They are read again whenever they are needed, since tokens rotate.
///
/// # Errors
/// A line for each file that cannot be used.
pub fn probe_files(sources: &SourcesConfig) -> Result<(), Failure> {
    let mut lines = Vec::new();
    if let Some(path) = &sources.kubelet_access.token_file {
        match fs::read_to_string(path) {
            Ok(token) if token.trim().is_empty() => {
                lines.push(format!("kubelet_token_file {} is empty", path.display()));
            }
            Ok(_) => {}
            Err(error) => lines.push(unreadable("kubelet_token_file", path, &error)),
        }
    }
    if let Some(path) = &sources.kubelet_access.ca_file {
        match fs::read(path) {
            Ok(bytes) if holds_a_certificate(&bytes) => {}
            Ok(_) => lines.push(format!(
                "kubelet_ca_file {} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)",
                path.display()
            )),
            Err(error) => lines.push(unreadable("kubelet_ca_file", path, &error)),
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let code = Code::File;
    Err(Failure { code, lines })
}

fn unreadable(key: &str, path: &Path, error: &std::io::Error) -> String {
    format!("{key}: cannot read {}: {error}", path.display())
}

fn holds_a_certificate(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN)
}

/// Looks whether the address can be listened on, and lets go of it.
///
/// # Errors
/// The line that `serve` would end with.
pub fn probe_listen(listen: SocketAddr) -> Result<(), Failure> {
    match TcpListener::bind(listen) {
        Ok(_) => Ok(()),
        Err(error) => Err(listen_failure(listen, &error)),
    }
}

/// The failure of a socket that does not bind.
pub(crate) fn listen_failure(listen: SocketAddr, error: &std::io::Error) -> Failure {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there; stop it, or choose another address with --listen"
        }
        ErrorKind::PermissionDenied => {
            "this user may not use that port; choose one above 1023 with --listen"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine does not have that address; choose another with --listen"
        }
        _ => "choose another address with --listen",
    };
    Failure::new(
        Code::Listen,
        format!("cannot listen on {listen}: {error}: {advice}"),
    )
}

/// Looks whether the data directory can be made, written and locked. What it had to make for that
/// it takes away again.
///
/// # Errors
/// The line that `serve` would end with.
pub fn probe_data(config: &Config) -> Result<(), Failure> {
    use plimsoll_wal::storage::{Disk, Storage};
    let directory = &config.engine.directory;
    let failure = |error: plimsoll_wal::Error| Failure::engine(&error.into());
    let existed = directory.exists();
    let first_missing = directory
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .last();
    Disk.create_directory(directory).map_err(failure)?;
    let probed = if existed {
        let trial = directory.join("check-config.tmp");
        match Disk.lock(directory) {
            Ok(_lock) => fs::write(&trial, b"")
                .and_then(|()| fs::remove_file(&trial))
                .map_err(|error| failure(plimsoll_wal::Error::io("write", &trial, error))),
            Err(error) => Err(failure(error)),
        }
    } else {
        Ok(())
    };
    if let Some(made) = first_missing {
        let mut path = Some(directory.as_path());
        while let Some(at) = path {
            fs::remove_dir(at)
                .map_err(|error| failure(plimsoll_wal::Error::io("remove directory", at, error)))?;
            path = if at == made { None } else { at.parent() };
        }
    }
    probed
}

/// This machine's name.
pub(super) fn hostname() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.into_owned()
    }
}

/// Memory that this process may use: the machine's, or its cgroup's limit where that is less.
pub(super) fn memory_limit_bytes() -> u64 {
    let machine = rustix::system::sysinfo();
    let machine_bytes = machine.totalram.saturating_mul(machine.mem_unit.into());
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or("/")
        .trim_start_matches('/');
    let root = Path::new("/sys/fs/cgroup");
    [
        root.join("memory.max"),
        root.join(own).join("memory.max"),
        root.join("memory/memory.limit_in_bytes"),
    ]
    .iter()
    .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
    .fold(machine_bytes, u64::min)
}
