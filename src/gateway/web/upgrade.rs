//! `GET /ws`: from a request to a WebSocket (RFC 6455, section 4.2).

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::{
    answer::{problem, problem_with},
    door::{Door, protocols},
    socket,
};
use crate::listen::{Body, Page, Peer, full};

/// The subprotocol: what docs/wire.md says.
const PROTOCOL: &str = "rialto";

/// The page that becomes a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade(Arc<Door>);

impl Upgrade {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self(door)
    }
}

#[async_trait]
impl Page for Upgrade {
    async fn answer(&self, mut request: Request<Incoming>, _: &str, peer: Peer) -> Response<Body> {
        let guest = match self.0.admit(request.headers(), peer) {
            Ok(guest) => guest,
            Err(refusal) => return *refusal,
        };
        let response = match shake(&request) {
            Ok(response) => response,
            Err(refusal) => return *refusal,
        };
        let (upgrade, door) = (hyper::upgrade::on(&mut request), Arc::clone(&self.0));
        self.0.house.connections.spawn(async move {
            match upgrade.await {
                Ok(stream) => socket::converse(stream, door, guest).await,
                Err(error) => tracing::debug!(%error, "a client left before it was a WebSocket"),
            }
        });
        response
    }
}

/// The answer that agrees, or the one that says why not.
fn shake(request: &Request<Incoming>) -> Result<Response<Body>, Box<Response<Body>>> {
    let headers = request.headers();
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version != "13") {
        let why = "this server speaks version 13 of the protocol";
        return Err(problem_with(StatusCode::UPGRADE_REQUIRED, why, SEC_WEBSOCKET_VERSION, "13").into());
    }
    if !headers.contains_key(UPGRADE) {
        let why = "this address speaks WebSocket; for events over plain HTTP: /subscribe?pattern=…";
        return Err(problem_with(StatusCode::UPGRADE_REQUIRED, why, UPGRADE, "websocket").into());
    }
    let refuse =
        |why: &dyn std::fmt::Display| Err(problem(StatusCode::BAD_REQUEST, format!("no WebSocket handshake: {why}")).into());
    if headers.contains_key(SEC_WEBSOCKET_KEY) && !has_one_key(headers) {
        return refuse(&"`Sec-WebSocket-Key` is not 16 bytes in Base64, once");
    }
    let mut response = match create_response_with_body(request, || full(Bytes::new())) {
        Ok(response) => response,
        Err(error) => return refuse(&error),
    };
    // Never a token said back: a browser wants one of those that it offered, and `rialto` is the one that is spoken.
    if protocols(headers).any(|protocol| protocol == PROTOCOL) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Ok(response)
}

fn has_one_key(headers: &HeaderMap) -> bool {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().and_then(|key| STANDARD.decode(key.as_bytes()).ok());
    key.is_some_and(|key| key.len() == 16) && keys.next().is_none()
}
