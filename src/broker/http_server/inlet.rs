//! The page of a source: from a request to its messages.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, HeaderValue},
};

use super::{
    answer::busy,
    body,
    budget::Budget,
    carrier::{self, IDEMPOTENCY_KEY},
    delivery::{Delivery, Messages},
    media::{self, Media},
    split,
};
use crate::{
    broker::standard_webhooks,
    listen::{Body, Page, Peer, Problem, is_foreign},
};

/// The largest request of many messages, in bytes, where the window is not smaller.
const REQUEST_BYTES_MAX: u64 = 16 << 20;

/// A key of a request, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// What is mounted while a source runs.
pub(super) struct Inlet {
    pub(super) delivery: Arc<Delivery>,
    pub(super) budget: Arc<Budget>,
    /// `window_bytes`.
    pub(super) window_bytes: u64,
}

#[async_trait]
impl Page for Inlet {
    async fn answer(&self, request: Request<Incoming>, rest: &str, peer: Peer) -> Response<Body> {
        match self.take(request, rest, peer).await {
            Ok(response) => response,
            Err(problem) => problem.response(),
        }
    }
}

impl Inlet {
    async fn take(&self, request: Request<Incoming>, rest: &str, peer: Peer) -> Result<Response<Body>, Problem> {
        let terms = &self.delivery.terms;
        self.admit(&request, peer)?;
        let name = name(rest)?;
        let media = media::of(request.headers(), terms.any)?;
        let key = key(request.headers())?;
        if self.delivery.caller.is_busy() {
            return Err(busy("more requests wait than are taken: the destinations are slow, or the source is paused"));
        }
        let (parts, incoming) = request.into_parts();
        let mut charge = self.budget.charge();
        let max = if matches!(media, Media::One { .. }) { terms.message_max } else { self.request_max() };
        let body = body::read(incoming, max, &mut charge).await?;
        if let Some(verify) = &terms.verify {
            verify.body(&parts.headers, &body)?;
        }
        let found = split::parts(media, &body)?;
        split::within(&found, terms.message_max)?;
        if !charge.messages(found.len()) {
            return Err(busy("the requests in memory fill `window_bytes`"));
        }
        let path = parts.uri.path().into();
        let request = carrier::Request { headers: parts.headers, path, name, key, charge };
        let request = Arc::new(request);
        let listed = !matches!(media, Media::One { .. });
        let messages = Messages { all: split::messages(&request, found), listed };
        let Some(key) = request.key.as_deref() else { return Ok(self.delivery.deliver(&messages).await) };
        let kind = [u8::from(listed)];
        let content: [&[u8]; 4] = [&kind, request.path.as_bytes(), type_of(&request.headers), &body];
        self.delivery.deliver_once(key, &content, messages).await
    }

    /// What can be told from the head alone, before anything is read.
    fn admit(&self, request: &Request<Incoming>, peer: Peer) -> Result<(), Problem> {
        if request.method() != Method::POST {
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "events are sent by POST");
            return Err(problem.header(ALLOW, HeaderValue::from_static("POST")));
        }
        let verify = self.delivery.terms.verify.as_ref();
        if is_foreign(request.headers(), peer, verify.is_some()) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "a page of another origin may not send events here"));
        }
        verify.map_or(Ok(()), |verify| verify.head(request.headers()))
    }

    fn request_max(&self) -> u64 {
        REQUEST_BYTES_MAX.min(self.window_bytes).max(self.delivery.terms.message_max)
    }
}

/// The segment below the path, decoded.
fn name(rest: &str) -> Result<Option<Box<str>>, Problem> {
    if rest.is_empty() {
        return Ok(None);
    }
    match percent_encoding::percent_decode_str(rest).decode_utf8() {
        Ok(name) if !name.chars().any(char::is_control) => Ok(Some(name.into())),
        _ => Err(Problem::new(StatusCode::BAD_REQUEST, "the name in the path is no text")),
    }
}

/// What tells a repetition of the request. A key in quotes (a structured field, RFC 8941) is the same without them.
fn key(headers: &HeaderMap) -> Result<Option<Box<str>>, Problem> {
    for name in [standard_webhooks::ID, IDEMPOTENCY_KEY, carrier::ID] {
        let Some(value) = headers.get(name) else { continue };
        let text = std::str::from_utf8(value.as_bytes()).unwrap_or_default();
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        if inner.is_empty() || inner.len() > KEY_BYTES_MAX {
            let detail = format!("`{name}` is text of 1 to {KEY_BYTES_MAX} bytes");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        return Ok(Some(inner.into()));
    }
    Ok(None)
}

fn type_of(headers: &HeaderMap) -> &[u8] {
    headers.get(hyper::header::CONTENT_TYPE).map_or(&[], HeaderValue::as_bytes)
}
