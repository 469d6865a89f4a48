//! `gateway`: the doors for live clients.

use std::net::SocketAddr;

use super::{Plan, brokers::Brokers, placed::is_off};
use crate::{
    gateway::Settings,
    listen::Tokens,
    written::{Node, Problem, Problems, Size, Span},
};

/// How far a client may be behind.
const BUFFER: u64 = 1 << 20;

/// Clients at once.
const CLIENTS: u32 = 10_000;

/// Reads it; `None` where there is none.
pub(super) fn read(root: &Node, faults: &mut Problems) -> Option<Settings> {
    let node = root.child("gateway").filter(|node| !is_off(node))?;
    let resp: Option<SocketAddr> = node.opt("resp", faults);
    let http = node.opt::<String>("http", faults);
    let tokens = node.file("tokens_file", faults);
    let buffer = node.get("buffer", Size(BUFFER), faults).0;
    let clients = node.get::<u32>("clients", CLIENTS, faults);
    if let Some(address) = resp.filter(|address| !address.ip().is_loopback()) {
        let at = node.child("resp").unwrap_or(node).at();
        if node.peek("tokens_file").is_none() {
            faults
                .fault(at, format!("`gateway.resp` shows payloads to whoever reaches {address}"))
                .hint("write `tokens_file` beside it, or listen on 127.0.0.1");
        } else {
            in_the_clear(at, address, faults).hint("listen on 127.0.0.1, and end TLS in front of it");
        }
    }
    node.finish(faults);
    Some(Settings {
        resp,
        http: http.map(Into::into),
        tokens: tokens.map(|file| Tokens::new(vec![file])),
        buffer: usize::try_from(buffer).unwrap_or(usize::MAX),
        clients: clients as usize,
    })
}

/// Whether `gateway.http` names a broker that listens, and one that is not open to everybody (G20).
pub(super) fn check(root: &Node, brokers: &Brokers, faults: &mut Problems) {
    let Some(node) = root.peek("gateway").filter(|node| !is_off(node)) else { return };
    let Some(http) = node.peek("http") else { return };
    // What is no text has had its fault.
    let Some((name, broker)) = http.text().and_then(|name| brokers.find(name, http.at(), faults)) else { return };
    let Some(listening) = broker.listens() else {
        faults
            .fault(http.at(), format!("`{name}` is a broker of kind `{}`: nobody can come in there", broker.kind().name))
            .hint("`gateway.http` names a broker of kind `http_server`");
        return;
    };
    if listening.address.ip().is_loopback() {
        return;
    }
    if node.peek("tokens_file").is_none() {
        faults
            .fault(
                http.at(),
                format!("`{name}` listens on {}: its doors would show payloads to whoever reaches it", listening.address),
            )
            .hint("write `tokens_file` beside `http`, or listen on 127.0.0.1");
    } else if listening.tls.is_none() {
        in_the_clear(http.at(), listening.address, faults).hint("write `tls` in the broker, or end TLS in front of it");
    }
}

/// Whoever reads along has the tokens, too.
fn in_the_clear<'a>(at: &Span, address: SocketAddr, faults: &'a mut Problems) -> &'a mut Problem {
    faults.warn(at, format!("tokens travel to {address} unencrypted"))
}

/// Who can come in where, in a sentence each.
pub(super) fn sentences(plan: &Plan) -> Vec<String> {
    let mut all = Vec::new();
    for (name, broker) in &plan.brokers {
        let Some(listening) = broker.listens() else { continue };
        let scheme = if listening.tls.is_some() { "https" } else { "http" };
        let paths: Vec<&str> =
            plan.pipelines.iter().filter(|pipeline| pipeline.broker == *name).map(|one| one.origin.address()).collect();
        all.push(format!("{scheme}://{} takes events for {}.", listening.address, paths.join(", ")));
    }
    let Some(gateway) = &plan.gateway else { return all };
    let who = if gateway.tokens.is_some() { "whoever has a token" } else { "whoever reaches it" };
    if let Some(address) = gateway.resp {
        all.push(format!("redis://{address} is open to {who}: any Redis client hears and publishes what is in the hub."));
    }
    if let Some(listening) = gateway.http.as_ref().and_then(|name| plan.brokers.get(name)?.listens()) {
        all.push(format!("{} shows the hub to {who}: /ws, /subscribe, and a page at /.", listening.address));
    }
    all
}
