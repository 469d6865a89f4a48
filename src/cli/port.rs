//! A port that is taken: which key names it, and what to write instead.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use super::{Exit, Failure};

/// How many ports above are tried for one that is free.
const TRIES: u16 = 100;

/// The failure of a listener, with a mend where its port is another program's.
pub(super) fn mend(key: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let mut text = format!("{key}: cannot listen on {address}: {error}");
    if error.kind() == io::ErrorKind::AddrInUse {
        text.push_str("\n  another program listens there");
        if let Some(free) = free_above(address) {
            text = format!("{text}; take a free port: `--set {key}={free}`");
        }
    }
    Failure::say(Exit::Io, text)
}

/// A free port near one that is taken; by the time it is used it may be taken too.
fn free_above(address: SocketAddr) -> Option<SocketAddr> {
    let ports = address.port().checked_add(1)?..=address.port().saturating_add(TRIES);
    ports.map(|port| SocketAddr::new(address.ip(), port)).find(|address| TcpListener::bind(address).is_ok())
}
