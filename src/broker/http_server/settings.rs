//! The settings of a broker: `brokers: { in: { http_server: { listen: 127.0.0.1:8080 } } }`.

use std::net::SocketAddr;

use schemars::JsonSchema;

use crate::{
    listen::{HttpSettings, ServerTls},
    written::{Node, Problems},
};

/// Room for the gateway's clients (`gateway.clients`) and some requests beside them.
const CONNECTIONS: u32 = 12_000;

/// A broker's settings, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// How it is served.
    pub(super) listener: HttpSettings,
}

impl Settings {
    /// Reads the long form; there is no short one.
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<Self> {
        let address: Option<SocketAddr> = node.need("listen", faults);
        let tls = node.child("tls").map(|tls| read_tls(tls, faults));
        let connections = node.get("connections", CONNECTIONS, faults);
        if connections == 0 {
            faults.fault(node.at(), "`connections` is at least 1: nobody could come in");
        }
        node.finish(faults);
        let tls = match tls {
            Some(read) => Some(read?),
            None => None,
        };
        Some(Self { listener: HttpSettings { address: address?, tls, connections_max: connections as usize } })
    }

    /// Where it listens, as a URL.
    pub(super) fn display(&self) -> String {
        let scheme = if self.listener.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.listener.address)
    }

    /// Whether only this machine reaches it.
    pub(super) fn is_loopback(&self) -> bool {
        self.listener.address.ip().to_canonical().is_loopback()
    }
}

fn read_tls(node: &Node, faults: &mut Problems) -> Option<ServerTls> {
    for key in ["cert_file", "key_file"] {
        if node.is_map() && node.peek(key).is_none() {
            faults.fault(node.at(), format!("`tls` of a listener needs `{key}`"));
        }
    }
    let files = (node.file("cert_file", faults), node.file("key_file", faults));
    node.finish(faults);
    let (Some(cert_file), Some(key_file)) = files else { return None };
    Some(ServerTls { cert_file, key_file })
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// IP:PORT; another address than loopback needs `verify` in every source.
    listen: String,
    /// Certificates; without them it is plain HTTP.
    tls: Option<WrittenTls>,
    /// Connections at once; more are told to come again (default 12000).
    connections: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
struct WrittenTls {
    /// PEM of the certificate chain; read anew when it changes.
    cert_file: String,
    /// PEM of its key; read anew when it changes.
    key_file: String,
}
