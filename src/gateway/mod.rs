//! The doors to the hub: RESP for any Redis client, WebSocket and Server-Sent Events for any browser, and a page to look at.
//!
//! All doors do the same with other frames (docs/wire.md, "The gateway's frames"): a client subscribes to channels and patterns, gets
//! what is published from then on, and may publish itself. Each client has a bounded buffer; one that reads too slowly is sent away
//! and counted, and the others do not notice.

mod access;
mod publishing;
mod resp;
mod web;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    listen::{ListenError, Listeners, Mounted, Tokens},
    live::hub::Hub,
    telemetry::Metrics,
};

/// `gateway`, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where Redis clients come in.
    pub resp: Option<SocketAddr>,
    /// The `http_server` broker on which `/subscribe`, `/ws` and the page are mounted.
    pub http: Option<Arc<str>>,
    /// Who may come in; `None`: anybody who can reach the door.
    pub tokens: Option<Tokens>,
    /// How far a client may be behind, in bytes.
    pub buffer: usize,
    /// Clients at once, over all doors.
    pub clients: usize,
}

/// How long the clients have to take what is still theirs when the doors close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The open doors; dropped, the web ones are closed, and the clients of all are told to go.
#[derive(Debug)]
pub struct Gateway {
    resp: Option<SocketAddr>,
    _web: Vec<Mounted>,
    house: House,
}

/// What every door needs.
#[derive(Debug, Clone)]
struct House {
    hub: Hub,
    tokens: Option<Tokens>,
    buffer: usize,
    /// A place for each client.
    places: Arc<Semaphore>,
    /// How many places there are.
    clients: usize,
    /// The doors close: who is connected writes what waits and goes.
    closing: CancellationToken,
    /// Connections that are waited for when the doors close.
    connections: TaskTracker,
}

impl House {
    fn new(settings: &Settings, hub: &Hub) -> Self {
        let clients = settings.clients.min(Semaphore::MAX_PERMITS);
        Self {
            hub: hub.clone(),
            tokens: settings.tokens.clone(),
            buffer: settings.buffer,
            places: Arc::new(Semaphore::new(clients)),
            clients,
            closing: CancellationToken::new(),
            connections: TaskTracker::new(),
        }
    }
}

impl Gateway {
    /// Opens the doors. The `http_server` broker is listening already.
    pub fn open(settings: &Settings, hub: &Hub, listeners: &Listeners, metrics: &Metrics) -> Result<Self, ListenError> {
        let house = House::new(settings, hub);
        let resp = settings.resp.map(|address| resp::open(address, &house, listeners, metrics)).transpose()?;
        let listener = settings.http.as_ref().and_then(|name| listeners.of(name));
        let web = listener.map(|listener| web::mount(&listener, &house, metrics, resp)).unwrap_or_default();
        Ok(Self { resp, _web: web, house })
    }

    /// Where Redis clients come in: the port that the system chose where 0 was asked for.
    pub fn resp(&self) -> Option<SocketAddr> {
        self.resp
    }

    /// Closes the doors: nobody comes in, and each client gets what waits for it before its connection ends, if it takes it in time.
    pub async fn close(self) {
        self.house.closing.cancel();
        self.house.connections.close();
        if tokio::time::timeout(CLOSE_WITHIN, self.house.connections.wait()).await.is_err() {
            tracing::warn!(clients = self.house.connections.len(), "not every client took its last messages in time");
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.house.closing.cancel();
    }
}
