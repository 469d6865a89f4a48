//! The door for Redis clients: RESP2 and RESP3.
//!
//! [`decode`] takes commands apart, [`commands`] runs them on a client's [`session`], [`connection`] moves the bytes. All clients share
//! the listeners' thread; what one of them publishes is written to the others before it is read from again.

mod answers;
mod commands;
mod connection;
mod decode;
mod encode;
mod session;

#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use super::House;
use crate::{
    listen::{ListenError, Listeners},
    telemetry::{DropReason, GatewayMetrics, Metrics, Protocol},
};
use connection::{Connection, HalfRead};
use session::Session;

/// A peer that is gone without a word is noticed after this, and three probes as far apart: neither protocol lets a server ask.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Between tries to accept when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Opens the door; answers where.
pub(super) fn open(
    address: SocketAddr,
    house: &House,
    listeners: &Listeners,
    metrics: &Metrics,
) -> Result<SocketAddr, ListenError> {
    let door = Door { house: house.clone(), metrics: metrics.gateway(Protocol::Resp), half_read: HalfRead::default(), last_id: 0 };
    listeners.tcp("gateway.resp", address, |socket| door.serve(socket))
}

struct Door {
    house: House,
    metrics: GatewayMetrics,
    half_read: HalfRead,
    last_id: u64,
}

impl Door {
    async fn serve(mut self, socket: TcpListener) {
        let closing = self.house.closing.clone();
        while let Some(accepted) = closing.run_until_cancelled(socket.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    if let Err(error) = self.admit(stream) {
                        tracing::debug!(%peer, %error, "a Redis client was gone at once");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "gateway.resp: cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream) -> io::Result<()> {
        let Ok(place) = Arc::clone(&self.house.places).try_acquire_owned() else {
            self.metrics.dropped(DropReason::Full);
            // Its buffer is empty, so that this goes whole or not at all.
            return stream.into_std()?.write_all(b"-ERR max number of clients reached\r\n");
        };
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4))?;
        self.last_id += 1;
        let session = Session::new(&self.house, self.last_id);
        let connection = Connection::new(stream, session, self.metrics.clone(), self.half_read.clone());
        let here = self.metrics.client();
        self.house.connections.spawn(async move {
            connection.serve().await;
            drop((here, place));
        });
        Ok(())
    }
}
