//! `plimsoll serve`: collects, stores and answers, until it is told to stop.

mod maintenance;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::{Engine, OpenReport};
use plimsoll_wal::storage::Disk;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use self::maintenance::Maintenance;
use super::print;
use crate::app::{App, DATABASE};
use crate::clock::SystemClock;
use crate::collect::{self, Collecting};
use crate::config::{Config, probe_files};
use crate::continuous::Querier;
use crate::exit::{Code, Failure};
use crate::forward::Forwarding;
use crate::http::{self, Listener, Tls};
use crate::logging;
use crate::monitor::Monitor;
use crate::udp::Udp;
use crate::workers::Workers;

/// The tree of a query may be deep, and is walked by recursion.
const THREAD_STACK_BYTES: usize = 8 << 20;
/// How long tasks and threads may take to end after the last request.
const END: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting, and what stops it.
pub fn run(config: Config, warnings: &[String]) -> Result<(), Failure> {
    logging::start(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    collect::check(&config.sources)?;
    probe_files(&config.sources)?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name("http")
        .thread_stack_size(THREAD_STACK_BYTES)
        .max_blocking_threads(Workers::threads_max(
            config.query.concurrent_max,
            config.http.write_limits,
        ))
        .build()
        .map_err(|error| Failure::new(Code::Failed, format!("cannot start threads: {error}")))?;
    let listener = runtime.block_on(Listener::bind(&config))?;
    let clock = Arc::new(SystemClock);
    let (engine, report) = Engine::open(Arc::new(Disk), config.engine.clone(), clock.clone())
        .map_err(|error| Failure::engine(&error))?;
    say_what_opening_found(&report);
    let app = Arc::new(App::new(engine, clock, &config)?);
    app.prepare_database(&config)?;
    let ended = runtime.block_on(serve(&app, &config, listener));
    stop(runtime, app)?;
    ended
}

async fn serve(app: &Arc<App>, config: &Config, listener: Listener) -> Result<(), Failure> {
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hang_up)) = signals else {
        return Err(Failure::new(Code::Failed, "cannot take signals"));
    };
    let udp = match &config.udp {
        Some(udp) => Some(Udp::start(app, udp).await?),
        None => None,
    };
    let forwarding = Forwarding::start(app);
    let monitor = Monitor::start(app, config)?;
    let querier = Querier::start(app, config);
    let collecting = Collecting::start(app, config)?;
    let (maintenance, broken) = Maintenance::start(app, config.engine.durability);
    print(&greeting(config, &listener));
    tracing::info!(address = %listener.address, "started");
    let mut ended = Ok(());
    let tls = listener.tls();
    let reload = async {
        while hang_up.recv().await.is_some() {
            reload(tls.clone()).await;
        }
    };
    let stop = async {
        tokio::select! {
            () = reload => {}
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            () = broken.notified() => {
                let line = "a maintenance thread broke off; see the log above";
                ended = Err(Failure::new(Code::Failed, line));
            }
        }
    };
    let served = accept_until(stop, listener, app).await;
    if let Some(udp) = udp {
        udp.stop().await;
    }
    querier.stop().await;
    monitor.stop().await;
    collecting.stop().await;
    forwarding.stop().await;
    maintenance.stop();
    ended.and(served)
}

/// Serves connections until `stop` ends. They are accepted where they are served: on this thread,
/// each would have to wake another.
///
/// # Errors
/// What accepts them broke off.
async fn accept_until(
    stop: impl Future<Output = ()>,
    listener: Listener,
    app: &Arc<App>,
) -> Result<(), Failure> {
    let (stopping, stopped) = oneshot::channel::<()>();
    let app = Arc::clone(app);
    let mut serving = tokio::spawn(async move {
        let router = http::router(Arc::clone(&app));
        let stopped = async move {
            // It is never sent: it ends when the other end is dropped.
            stopped.await.ok();
        };
        http::serve(listener, &app, router, stopped).await;
    });
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop => {
            drop(stopping);
            serving.await
        }
    };
    served.map_err(|error| {
        let line = format!("what accepts connections broke off: {error}");
        Failure::new(Code::Failed, line)
    })
}

/// SIGHUP: what can be read again is.
async fn reload(tls: Option<Arc<Tls>>) {
    let Some(tls) = tls else {
        tracing::info!("SIGHUP: there is no certificate to read again");
        return;
    };
    match tokio::task::spawn_blocking(move || tls.reload()).await {
        Ok(Ok(())) => tracing::info!("SIGHUP: the certificate was read again"),
        Ok(Err(failure)) => tracing::error!("SIGHUP: the old certificate stays: {failure}"),
        Err(error) => tracing::error!(%error, "SIGHUP: the old certificate stays"),
    }
}

/// Ends tasks and threads, then closes the engine, which syncs what is not yet synced.
fn stop(runtime: Runtime, app: Arc<App>) -> Result<(), Failure> {
    runtime.shutdown_timeout(END);
    match Arc::try_unwrap(app) {
        Ok(app) => app
            .engine
            .close()
            .map_err(|error| Failure::engine(&error))?,
        // Whatever was acknowledged is as durable as configured without it.
        Err(_) => tracing::warn!("a query still runs: the engine is left as after a crash"),
    }
    tracing::info!("stopped");
    Ok(())
}

fn say_what_opening_found(report: &OpenReport) {
    if let Some(tail) = &report.torn_tail {
        tracing::warn!("{tail}");
    }
    if report.rows_lost > 0 {
        tracing::warn!(
            rows = report.rows_lost,
            "rows could not be read back from the log"
        );
    }
    tracing::info!(
        rows = report.rows_replayed,
        files_removed = report.files_removed,
        "the data directory is open"
    );
}

/// The four lines that say what it does and what to do next.
fn greeting(config: &Config, listener: &Listener) -> String {
    let directory = &config.engine.directory;
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
    let address = listener.address;
    let scheme = if config.http.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let reachable = if address.ip().is_unspecified() {
        format!("{scheme}://{}:{}", config.sources.hostname, address.port())
    } else {
        format!("{scheme}://{address}")
    };
    let flag = match address.port() {
        8086 if address.ip().is_loopback() && scheme == "http" => String::new(),
        port => format!(" --url {scheme}://127.0.0.1:{port}"),
    };
    format!(
        "Collecting: {collected}\n\
         Data:       {directory}, kept {retention} in {DATABASE}, durability {durability}\n\
         Grafana:    data source InfluxDB, query language InfluxQL, URL {reachable}, database {DATABASE}\n\
         Next:       plimsoll query 'SHOW MEASUREMENTS'{flag}",
        collected = collect::describe(&config.sources),
        directory = directory.display(),
        retention = config.retention_text(),
        durability = config.durability_text(),
    )
}
