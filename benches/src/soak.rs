//! Many clients at once, well-behaved ones and others, and what each of them has seen.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Points of one write.
const BATCH: u64 = 20;
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(20);
/// A client that gets nothing for this long has been forgotten by the server.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Over the `max_body_size` that the soak sets.
const TOO_LARGE_BYTES: usize = 2 << 20;

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Writes batch after batch.
    Writes,
    /// Writes, byte by byte.
    WritesSlowly,
    /// Leaves in the middle of a body.
    LeavesMidBody,
    /// Sends more than is allowed.
    SendsTooMuch,
    /// Asks.
    Queries,
    /// Asks for much and hardly reads.
    ReadsSlowly,
}

impl Behaviour {
    /// Of the client with this number: half of them write.
    #[must_use]
    pub fn of(number: usize) -> Self {
        match number % 10 {
            0..5 => Self::Writes,
            5 => Self::WritesSlowly,
            6 => Self::LeavesMidBody,
            7 => Self::SendsTooMuch,
            8 => Self::Queries,
            _ => Self::ReadsSlowly,
        }
    }
}

/// What a client has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Points that were acknowledged: the first so many of its own.
    pub acknowledged: u64,
    /// How long its answers took.
    pub latencies: Vec<Duration>,
    /// Answers by status; 0 is none.
    pub statuses: std::collections::BTreeMap<u16, u64>,
}

/// What all clients share.
#[derive(Debug)]
pub struct Soak {
    port: u16,
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Soak {
    /// Against a server on 127.0.0.1.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self {
            port,
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
        }
    }

    /// Ends all clients after their present request.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Answers so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// One client, until [`Self::stop`].
    #[must_use]
    pub fn client(&self, number: usize) -> Seen {
        let mut seen = Seen::default();
        // Nothing is ever sent: waiting on it is a pause.
        let (_kept, pause) = mpsc::channel();
        while !self.stop.load(Ordering::Relaxed) {
            let status = self.one(number, &pause, &mut seen);
            *seen.statuses.entry(status.unwrap_or(0)).or_default() += 1;
            self.answered.fetch_add(1, Ordering::Relaxed);
            wait(&pause, PAUSE);
        }
        seen
    }

    fn one(&self, number: usize, pause: &Receiver<()>, seen: &mut Seen) -> Option<u16> {
        let behaviour = Behaviour::of(number);
        let body = match behaviour {
            Behaviour::Writes | Behaviour::WritesSlowly => lines(number, seen.acknowledged),
            Behaviour::LeavesMidBody => lines(number, 0).replace("soak,", "cut,"),
            Behaviour::SendsTooMuch => "#".repeat(TOO_LARGE_BYTES),
            Behaviour::Queries => "q=SELECT+last(v)+FROM+soak+GROUP+BY+w".to_owned(),
            Behaviour::ReadsSlowly => "q=SELECT+*+FROM+soak+LIMIT+20000".to_owned(),
        };
        let (path, kind) = match behaviour {
            Behaviour::Queries | Behaviour::ReadsSlowly => {
                ("/query?db=bench", "application/x-www-form-urlencoded")
            }
            _ => ("/write?db=bench", "text/plain"),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let began = now();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(FORGOTTEN)).ok()?;
        stream.set_write_timeout(Some(FORGOTTEN)).ok()?;
        stream.write_all(head.as_bytes()).ok()?;
        match behaviour {
            Behaviour::LeavesMidBody => {
                stream.write_all(&body.as_bytes()[..body.len() / 2]).ok()?;
                stream.shutdown(Shutdown::Both).ok()?;
                return None;
            }
            Behaviour::WritesSlowly => {
                for byte in body.as_bytes().chunks(16) {
                    stream.write_all(byte).ok()?;
                    wait(pause, DRIP);
                }
            }
            // The server may answer before it has read everything.
            Behaviour::SendsTooMuch => drop(stream.write_all(body.as_bytes())),
            _ => stream.write_all(body.as_bytes()).ok()?,
        }
        let status = if behaviour == Behaviour::ReadsSlowly {
            slowly_read(&mut stream, pause)?
        } else {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).ok()?;
            status(&answer)?
        };
        if matches!(behaviour, Behaviour::Writes | Behaviour::Queries) {
            seen.latencies.push(now() - began);
        }
        if status == 204 && matches!(behaviour, Behaviour::Writes | Behaviour::WritesSlowly) {
            seen.acknowledged += BATCH;
        }
        Some(status)
    }
}

/// Points of a client, from the one with the number `first`: each has its own time.
fn lines(number: usize, first: u64) -> String {
    const START_NS: u64 = 1_700_000_000_000_000_000;
    let points = (first..first + BATCH).map(|value| {
        format!(
            "soak,w={number} v={value}i {}\n",
            START_NS + value * 1_000_000_000
        )
    });
    points.collect()
}

/// Reads a piece now and then, and leaves before the end.
fn slowly_read(stream: &mut TcpStream, pause: &Receiver<()>) -> Option<u16> {
    let mut piece = [0; 4096];
    let mut found = None;
    for _ in 0..20 {
        let len = stream.read(&mut piece).ok()?;
        if len == 0 {
            break;
        }
        found = found.or_else(|| status(&piece[..len]));
        wait(pause, DRIP);
    }
    found
}

fn status(answer: &[u8]) -> Option<u16> {
    let head = std::str::from_utf8(answer.get(9..12)?).ok()?;
    head.parse().ok()
}

fn wait(pause: &Receiver<()>, time: Duration) {
    let sent = pause.recv_timeout(time);
    debug_assert!(sent.is_err(), "nobody sends");
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch reads the time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_behaviour_is_there() {
        let all: Vec<Behaviour> = (0..10).map(Behaviour::of).collect();
        assert_eq!(all.iter().filter(|b| **b == Behaviour::Writes).count(), 5);
        assert!(all.contains(&Behaviour::ReadsSlowly) && all.contains(&Behaviour::SendsTooMuch));
    }

    #[test]
    fn a_client_writes_each_point_once() {
        let (first, second) = (lines(3, 0), lines(3, BATCH));
        assert!(first.starts_with("soak,w=3 v=0i 1700000000000000000\n"));
        assert!(second.starts_with("soak,w=3 v=20i 1700000020000000000\n"));
        assert_eq!(first.lines().count() as u64, BATCH);
    }
}
