//! Who may come in: by the name it asks for, the page it comes from, its token, and whether there is a place.

use std::{net::SocketAddr, time::Duration};

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL, WWW_AUTHENTICATE},
};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{problem, problem_with};
use crate::{
    gateway::{House, access::may_use},
    listen::{Body, Grant, Peer, is_asked_by_address, is_foreign},
    live::hub::Topic,
    telemetry::{ClientHere, DropReason, GatewayMetrics},
};

/// Before a token in the list of subprotocols: the only header that a page can set on a WebSocket.
const BEARER_PROTOCOL: &str = "bearer.";

/// One door: the house behind it and what is counted at it.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) house: House,
    pub(super) metrics: GatewayMetrics,
    pub(super) pace: Pace,
    /// Whoever reaches the address may come in, and only this machine does: then a browser must not be led here by a foreign name.
    by_address: bool,
}

/// How long the door waits for whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// A client that has been silent this long is pinged, and after as long again it is dropped.
    pub(super) ping: Duration,
    /// What was begun to be written must be gone after this.
    pub(super) stall: Duration,
    /// For a farewell.
    pub(super) farewell: Duration,
}

/// Somebody who was let in. Dropped, the place is free.
#[derive(Debug)]
pub(super) struct Guest {
    grant: Option<Grant>,
    _place: OwnedSemaphorePermit,
    _here: ClientHere,
}

impl Default for Pace {
    fn default() -> Self {
        Self { ping: Duration::from_secs(25), stall: Duration::from_secs(30), farewell: Duration::from_secs(1) }
    }
}

impl Door {
    pub(super) fn new(house: &House, address: SocketAddr, metrics: GatewayMetrics, pace: Pace) -> Self {
        let by_address = house.tokens.is_none() && address.ip().is_loopback();
        Self { house: house.clone(), metrics, pace, by_address }
    }

    /// Lets somebody in, or answers why not.
    pub(super) fn admit(&self, headers: &HeaderMap, peer: Peer) -> Result<Guest, Box<Response<Body>>> {
        self.check_origin(headers, peer)?;
        let grant = self.check_token(headers)?;
        let Ok(place) = self.house.places.clone().try_acquire_owned() else {
            self.metrics.dropped(DropReason::Full);
            let why = "as many clients are connected as `gateway.clients` allows";
            return Err(problem_with(StatusCode::SERVICE_UNAVAILABLE, why, RETRY_AFTER, "5").into());
        };
        Ok(Guest { grant, _place: place, _here: self.metrics.client() })
    }

    /// A page of another site may not listen with the rights of whoever looks at it; nor may one that made a name of its own point
    /// here (DNS rebinding).
    fn check_origin(&self, headers: &HeaderMap, peer: Peer) -> Result<(), Box<Response<Body>>> {
        let foreign = |why: &str| {
            self.metrics.dropped(DropReason::Origin);
            Err(problem(StatusCode::FORBIDDEN, why).into())
        };
        if self.by_address && !is_asked_by_address(headers) {
            return foreign(
                "without tokens this address is served under `localhost` and IP addresses only, not under the name in `Host`",
            );
        }
        if is_foreign(headers, peer, self.house.tokens.is_some()) {
            return foreign("a page of another site may not listen here");
        }
        Ok(())
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<Option<Grant>, Box<Response<Body>>> {
        let Some(tokens) = &self.house.tokens else { return Ok(None) };
        let granted = token(headers).map(|token| tokens.grant(token.as_bytes())).transpose();
        match granted.map(Option::flatten) {
            Ok(Some(grant)) => Ok(Some(grant)),
            Ok(None) => {
                self.metrics.dropped(DropReason::Unauthenticated);
                let why = "a token is needed: `Authorization: Bearer TOKEN`, or the WebSocket subprotocols `rialto, bearer.TOKEN`";
                Err(problem_with(StatusCode::UNAUTHORIZED, why, WWW_AUTHENTICATE, "Bearer").into())
            }
            Err(error) => {
                tracing::error!(%error, "the tokens of the gateway cannot be read");
                Err(problem_with(StatusCode::SERVICE_UNAVAILABLE, "tokens cannot be checked now", RETRY_AFTER, "5").into())
            }
        }
    }
}

impl Guest {
    /// Whether the guest may hear this, or publish on it.
    pub(super) fn may_use(&self, topic: &Topic) -> bool {
        may_use(self.grant.as_ref(), topic)
    }
}

/// The token that was shown, by a program or by a page.
fn token(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((scheme, token)) = authorization.and_then(|value| value.split_once(' ')) {
        return scheme.eq_ignore_ascii_case("bearer").then_some(token.trim());
    }
    protocols(headers).find_map(|protocol| protocol.strip_prefix(BEARER_PROTOCOL))
}

/// The subprotocols that a client offers.
pub(super) fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}
