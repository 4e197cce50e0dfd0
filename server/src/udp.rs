//! Line protocol in UDP packets, off by default.
//!
//! Nothing is acknowledged, so nothing is promised: packets that come faster than they are written
//! are dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_ingest::line::{Parsed, Precision};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::app::App;
use crate::config::{UdpConfig, listen_failure};
use crate::exit::Failure;

/// The largest packet of UDP.
const PACKET_BYTES_MAX: usize = 65_536;
/// Packets are written together, up to this size…
const BATCH_BYTES: usize = 1 << 20;
/// …or after this time, InfluxDB's `batch-timeout`.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// Batches that wait to be written, InfluxDB's `batch-pending`.
const BATCHES_MAX: usize = 10;

/// The running listener.
#[derive(Debug)]
pub(crate) struct Udp {
    stopping: watch::Sender<bool>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Udp {
    /// Binds the socket and makes the database where it is not there, as InfluxDB does.
    ///
    /// # Errors
    /// A line that says why it cannot listen.
    pub(crate) async fn start(app: &Arc<App>, config: &UdpConfig) -> Result<Self, Failure> {
        let failure = |error| {
            let mut failure = listen_failure(config.listen, &error);
            for line in &mut failure.lines {
                *line = format!("udp_listen: {line}");
            }
            failure
        };
        let socket = UdpSocket::bind(config.listen).await.map_err(failure)?;
        app.ensure_database(&config.database, None)?;
        if let Ok(address) = socket.local_addr() {
            tracing::info!(%address, database = config.database, "taking line protocol by UDP");
        }
        let (stopping, stop) = watch::channel(false);
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        // Both end when `stopping` says so or is dropped.
        let reader = tokio::spawn(read(Arc::clone(app), socket, sender, stop));
        let writer = tokio::spawn(write_all(Arc::clone(app), config.clone(), batches));
        Ok(Self {
            stopping,
            reader,
            writer,
        })
    }

    /// Stops listening and writes what has come.
    pub(crate) async fn stop(self) {
        self.stopping.send_replace(true);
        for task in [self.reader, self.writer] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the UDP listener broke off");
            }
        }
    }
}

async fn read(
    app: Arc<App>,
    socket: UdpSocket,
    batches: mpsc::Sender<Vec<u8>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut packet = vec![0; PACKET_BYTES_MAX];
    let mut batch = Vec::new();
    let mut tick = tokio::time::interval(BATCH_WAIT);
    loop {
        let stopped = tokio::select! {
            received = socket.recv(&mut packet) => {
                match received {
                    Ok(len) => {
                        app.figures.udp_packets.add(1);
                        batch.extend_from_slice(&packet[..len]);
                        // Not every sender ends its packet with a line break.
                        batch.push(b'\n');
                    }
                    Err(error) => tracing::debug!(%error, "a UDP packet was not received"),
                }
                if batch.len() < BATCH_BYTES {
                    continue;
                }
                false
            }
            _ = tick.tick() => false,
            _ = stop.changed() => true,
        };
        if !batch.is_empty() && batches.try_send(std::mem::take(&mut batch)).is_err() {
            app.figures.udp_batches_dropped.add(1);
            tracing::warn!(
                waiting = BATCHES_MAX,
                "UDP packets come faster than they are written: some are dropped"
            );
        }
        if stopped {
            return;
        }
    }
}

async fn write_all(app: Arc<App>, config: UdpConfig, mut batches: mpsc::Receiver<Vec<u8>>) {
    let config = Arc::new(config);
    while let Some(lines) = batches.recv().await {
        let (writer, config) = (Arc::clone(&app), Arc::clone(&config));
        let written = app
            .workers
            .write(move || write(&writer, &config, &lines))
            .await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(text)) => tracing::warn!("UDP: {text}"),
            Err(refused) => tracing::warn!("UDP: {refused}"),
        }
    }
}

fn write(app: &App, config: &UdpConfig, lines: &[u8]) -> Result<(), String> {
    let precision: Precision = config.precision;
    let lines = app.parse_lines(&[lines], precision, app.clock.now());
    let outcome = write_parsed(app, config, &lines.parsed);
    app.end_lines(lines);
    outcome
}

fn write_parsed(app: &App, config: &UdpConfig, parsed: &Parsed) -> Result<(), String> {
    if !parsed.batch.is_empty() {
        let written = app
            .engine
            .write(&config.database, &config.policy, &parsed.batch);
        let written = written.map_err(|error| error.to_string())?;
        if let Some(first) = written.rejected.first() {
            return Err(first.reason.clone());
        }
    }
    parsed.error_text(None).map_or(Ok(()), Err)
}
