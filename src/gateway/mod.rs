//! The doors to the hub: RESP for any Redis client, WebSocket and Server-Sent Events for any browser, and a page to look at.
//!
//! All doors do the same with other frames (docs/wire.md, "The gateway's frames"): a client subscribes to channels and patterns, gets
//! what is published from then on, and may publish itself. Each client has a bounded buffer; one that reads too slowly is sent away
//! and counted, and the others do not notice.

mod resp;
mod web;

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::Semaphore;

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

/// The open doors; dropped, the web ones are closed.
#[derive(Debug)]
pub struct Gateway {
    resp: Option<SocketAddr>,
    web: Vec<Mounted>,
}

/// What every door needs.
#[derive(Debug, Clone)]
struct House {
    hub: Hub,
    tokens: Option<Tokens>,
    buffer: usize,
    /// A place for each client.
    places: Arc<Semaphore>,
}

impl Gateway {
    /// Opens the doors. The `http_server` broker is listening already.
    pub fn open(settings: &Settings, hub: &Hub, listeners: &Listeners, metrics: &Metrics) -> Result<Self, ListenError> {
        let house = House {
            hub: hub.clone(),
            tokens: settings.tokens.clone(),
            buffer: settings.buffer,
            places: Arc::new(Semaphore::new(settings.clients.min(Semaphore::MAX_PERMITS))),
        };
        let resp = settings.resp.map(|address| resp::open(address, &house, listeners, metrics)).transpose()?;
        let listener = settings.http.as_ref().and_then(|name| listeners.of(name));
        let web = listener.map(|listener| web::mount(&listener, &house, metrics)).unwrap_or_default();
        Ok(Self { resp, web })
    }

    /// Where Redis clients come in: the port that the system chose where 0 was asked for.
    pub fn resp(&self) -> Option<SocketAddr> {
        self.resp
    }

    /// Whether browsers are served.
    pub fn is_on_the_web(&self) -> bool {
        !self.web.is_empty()
    }
}
