//! `gateway`: the doors for live clients.

use super::placed::is_off;
use crate::{
    gateway::Settings,
    listen::Tokens,
    written::{Node, Problems, Size},
};

/// How far a client may be behind.
const BUFFER: u64 = 1 << 20;

/// Clients at once.
const CLIENTS: u32 = 10_000;

/// Reads it; `None` where there is none.
pub(super) fn read(root: &Node, faults: &mut Problems) -> Option<Settings> {
    let node = root.child("gateway").filter(|node| !is_off(node))?;
    let resp: Option<std::net::SocketAddr> = node.opt("resp", faults);
    let http = node.opt::<String>("http", faults);
    let tokens = node.file("tokens_file", faults);
    let buffer = node.get("buffer", Size(BUFFER), faults).0;
    let clients = node.get::<u32>("clients", CLIENTS, faults);
    if let Some(address) = resp.filter(|address| !address.ip().is_loopback() && tokens.is_none()) {
        let at = node.child("resp").unwrap_or(node).at();
        faults
            .fault(at, format!("`gateway.resp` shows payloads to whoever reaches {address}"))
            .hint("write `tokens_file` beside it, or listen on 127.0.0.1");
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
