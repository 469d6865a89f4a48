//! What the gateway's doors count.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;

use super::families::Families;

/// A door: the `protocol` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Redis clients.
    Resp,
    /// WebSocket clients.
    WebSocket,
    /// `EventSource` clients.
    Sse,
}

/// Why a client was sent away: the `reason` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// It read too slowly for its buffer.
    Slow,
    /// It said what the protocol does not allow.
    Protocol,
    /// It said nothing, or was silent on a ping, for too long.
    Idle,
    /// `gateway.clients` were connected already.
    Full,
    /// No token, or one that nobody gave out.
    Unauthenticated,
    /// A foreign `Origin`.
    Origin,
}

/// The counters of one door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GatewayMetrics {
    protocol: Arc<str>,
    clients: Gauge,
    dropped: super::families::Counters<2>,
}

/// A connected client; dropped, it is gone.
#[derive(Debug)]
pub struct ClientHere(Gauge);

impl Protocol {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Resp => "resp",
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
        }
    }
}

impl DropReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Protocol => "protocol",
            Self::Idle => "idle",
            Self::Full => "full",
            Self::Unauthenticated => "unauthenticated",
            Self::Origin => "origin",
        }
    }
}

impl GatewayMetrics {
    pub(super) fn new(families: &Families, protocol: Protocol) -> Self {
        let protocol: Arc<str> = protocol.as_str().into();
        let clients = families.gateway_clients.get_or_create(&[("protocol", Arc::clone(&protocol))]).clone();
        Self { protocol, clients, dropped: families.gateway_dropped.clone() }
    }

    /// A client came.
    #[must_use]
    pub fn client(&self) -> ClientHere {
        self.clients.inc();
        ClientHere(self.clients.clone())
    }

    /// A client was sent away.
    pub fn dropped(&self, reason: DropReason) {
        let labels = [("protocol", Arc::clone(&self.protocol)), ("reason", Arc::from(reason.as_str()))];
        self.dropped.get_or_create(&labels).inc();
    }
}

impl Drop for ClientHere {
    fn drop(&mut self) {
        self.0.dec();
    }
}
