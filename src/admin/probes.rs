//! `telemetry.listen`: `/livez /readyz /healthz /startupz /metrics /version`, each of the probes with `?verbose`.
//!
//! Served by a thread of its own with a small runtime, so that a busy pipeline cannot make the process look dead, nor a scrape slow
//! a pipeline. Connections, their number and their time are bounded.

use std::{
    convert::Infallible,
    fmt::Write as _,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
};

use crate::telemetry::{Check, Health, Metrics};

/// Connections at once; more wait in the listen queue.
const CONNECTIONS_MAX: usize = 64;

/// From a connection's first byte to the end of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection's whole life; a scraper that keeps its connection opens another.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Between tries to accept when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The media type of an exposition (`OpenMetrics` 1.0.0, "Overall Structure").
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const TEXT: &str = "text/plain; charset=utf-8";

/// The listener, while it lives. Dropped, it is closed.
#[derive(Debug)]
pub struct Probes {
    address: SocketAddr,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// The listener could not be opened: exit 74.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.listen: cannot listen on {address}")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

#[derive(Debug, Clone)]
struct Asked {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Probes {
    /// Binds `address` (port 0: any free one) and serves until dropped.
    pub fn listen(address: SocketAddr, health: Arc<Health>, metrics: Arc<Metrics>) -> Result<Self, ListenError> {
        let fail = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        let bound = listener.local_addr().map_err(fail)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(fail)?
        };
        let (stop, stopped) = oneshot::channel();
        let pages = pages(Asked { health, metrics });
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    never = serve(listener, pages) => match never {},
                    _ = stopped => {}
                }
            });
            // Connections that are being served end here, with the runtime.
        };
        let thread = thread::Builder::new().name("rialto-house".into()).spawn(serve).map_err(fail)?;
        Ok(Self { address: bound, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(listener = "telemetry.listen", "the thread of the probes panicked");
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, pages: Router) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { unreachable!("the semaphore is never closed") };
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, pages.clone(), place))),
            Err(error) => {
                tracing::warn!(listener = "telemetry.listen", %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, pages: Router, place: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(listener = "telemetry.listen", %error, "a connection broke"),
    }
    drop(place);
}

fn pages(asked: Asked) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/startupz", get(startupz))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .with_state(asked)
}

async fn livez(State(asked): State<Asked>, RawQuery(query): RawQuery) -> Response {
    answer(&asked.health.live(Instant::now()), &[], verbose(query.as_deref()))
}

async fn startupz(State(asked): State<Asked>, RawQuery(query): RawQuery) -> Response {
    answer(&asked.health.startup(), &[], verbose(query.as_deref()))
}

async fn readyz(State(asked): State<Asked>, RawQuery(query): RawQuery) -> Response {
    let decisive = asked.health.ready();
    let mut told = asked.health.details();
    told.retain(|check| !decisive.contains(check));
    answer(&decisive, &told, verbose(query.as_deref()))
}

async fn metrics(State(asked): State<Asked>) -> Response {
    match asked.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics could not be written: {error}\n")).into_response(),
    }
}

async fn version() -> Response {
    let body = serde_json::json!({ "version": crate::VERSION, "revision": crate::REVISION });
    ([(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

fn verbose(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")))
}

/// 200 where every decisive check is good, else 503 with all of them, one a line; what is only told decides nothing.
fn answer(decisive: &[Check], told: &[Check], verbose: bool) -> Response {
    let good = decisive.iter().all(|check| check.fault.is_none());
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = String::new();
    if verbose || !good {
        for check in decisive {
            line(&mut body, "[+]", "[-]", check);
        }
    }
    if verbose {
        for check in told {
            line(&mut body, "[+]", "[ ]", check);
        }
    }
    body.push_str(if good { "ok\n" } else { "failed\n" });
    (status, [(CONTENT_TYPE, TEXT)], body).into_response()
}

fn line(body: &mut String, good: &str, bad: &str, check: &Check) {
    let written = match &check.fault {
        None => writeln!(body, "{good} {}: ok", check.name),
        Some(fault) => writeln!(body, "{bad} {}: {fault}", check.name),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

#[cfg(test)]
mod tests;
