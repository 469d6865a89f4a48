//! `check --connect`: whether the address can be listened on, with its certificate.

use std::{io, net::TcpListener};

use super::settings::Settings;
use crate::broker::Probe;

/// One sentence for each fault. A port in use is none: a bridge that is being checked may well be running.
pub(super) fn probe(settings: &Settings, what: &Probe<'_>) -> Vec<String> {
    let Probe::Broker = what else { return Vec::new() };
    let address = settings.listener.address;
    let bound = TcpListener::bind(address).err().filter(|error| error.kind() != io::ErrorKind::AddrInUse);
    let certificate = settings.listener.tls.as_ref().and_then(|tls| tls.check().err());
    let sentences = [bound.map(|error| format!("cannot listen on {address}: {error}")), certificate.map(|error| error.to_string())];
    sentences.into_iter().flatten().collect()
}
