//! The doors for browsers, mounted on an `http_server`: `/ws` (WebSocket), `/subscribe` (Server-Sent Events) and the page at `/`.

use std::{net::SocketAddr, sync::Arc};

use super::House;
use crate::{
    listen::{HttpListener, Mount, Mounted, Page},
    telemetry::{Metrics, Protocol},
};

mod answer;
mod asked;
mod door;
mod event;
mod frame;
mod listening;
mod page;
mod socket;
mod subscribe;
mod upgrade;

#[cfg(test)]
mod tests;

use door::{Door, Pace};

/// Mounts them; the page tells where `resp` is.
pub(super) fn mount(listener: &Arc<HttpListener>, house: &House, metrics: &Metrics, resp: Option<SocketAddr>) -> Vec<Mounted> {
    mount_at(Pace::default(), listener, house, metrics, resp)
}

fn mount_at(pace: Pace, listener: &Arc<HttpListener>, house: &House, metrics: &Metrics, resp: Option<SocketAddr>) -> Vec<Mounted> {
    let door = |protocol| Arc::new(Door::new(house, listener.address(), metrics.gateway(protocol), pace));
    let streams: [(&str, Arc<dyn Page>); 2] = [
        ("/ws", Arc::new(upgrade::Upgrade::new(door(Protocol::WebSocket)))),
        ("/subscribe", Arc::new(subscribe::Subscribe::new(door(Protocol::Sse)))),
    ];
    let files = page::files(resp).map(|file| (file.path, Arc::new(file) as Arc<dyn Page>));
    let mounted = streams.into_iter().chain(files).map(|(path, page)| listener.mount(Mount::At(path.into()), page));
    mounted
        .filter_map(|mounted| mounted.inspect_err(|taken| tracing::error!(%taken, "the gateway is not all there")).ok())
        .collect()
}
