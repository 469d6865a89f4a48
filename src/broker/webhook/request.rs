//! One message as a request (docs/wire.md, "Per broker", webhook).
//!
//! Of the headers that a message came with, those go along that say something of the message. Those that say how a request travels, who
//! sends it or what its body is are ours or the operator's: a message could otherwise smuggle a second request behind its own, pass for
//! somebody else, or change what its signature covers.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{endpoint::Endpoint, path};
use crate::{
    broker::{Outgoing, standard_webhooks as signature},
    envelope::{HeaderValue as Carried, Property},
    outcome::{Reason, Refusal},
};

const NAME: HeaderName = HeaderName::from_static("rialto-message-name");
const TYPE: HeaderName = HeaderName::from_static("rialto-message-type");
const CORRELATION: HeaderName = HeaderName::from_static("correlation-id");
const WEBHOOK_ID: HeaderName = HeaderName::from_static(signature::ID);
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static(signature::TIMESTAMP);
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static(signature::SIGNATURE);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("rialto/", env!("CARGO_PKG_VERSION")));

/// The trace is the first hop's.
const TRACE: [HeaderName; 2] = [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

/// Set by us and by the connection, whoever else would like to: framing, and what the signature is made of.
const OURS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    signature::TIMESTAMP,
    signature::SIGNATURE,
];

/// Not a message's to say: who sends, for whom, from where, and how the body is written.
const SENDERS: [&str; 16] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "forwarded",
    "origin",
    "referer",
    "set-cookie",
    "user-agent",
    "via",
    "x-real-ip",
];

/// Families of them.
const SENDERS_PREFIXES: [&str; 7] = ["accept", "if-", "proxy-", "sec-", "webhook-", "www-", "x-forwarded-"];

/// In an id a full stop would make it unclear where it ends (Standard Webhooks 1.0, "Signature scheme").
const ID_ENCODED: &AsciiSet = &TEXT_ENCODED.add(b'.');
/// As the HTTP binding of CloudEvents 1.0 writes texts (3.1.3.2).
const TEXT_ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// A request that lacks what belongs to its moment: the credentials, the time, the signature.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) request: Request<Full<Bytes>>,
    /// As it is signed.
    pub(super) id: String,
    /// What is signed.
    pub(super) body: Bytes,
    /// For the whole exchange.
    pub(super) timeout: Duration,
}

impl Letter {
    /// Writes it, with `headers` of the broker. A message that cannot be a request is refused for good.
    pub(super) fn write(
        out: &Outgoing<'_>,
        body: Bytes,
        endpoint: &Endpoint,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Self, Refusal> {
        let refused = |why: String| Refusal::new(Reason::Final, why);
        let target = path::request_target(endpoint, out.address).map_err(refused)?;
        let id = utf8_percent_encode(out.message.id(), ID_ENCODED).to_string();
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.into();
        let map = request.headers_mut();
        map.reserve(16);
        carried(out, map);
        map.insert(HOST, endpoint.authority.clone());
        map.insert(USER_AGENT, AGENT);
        map.insert(CONTENT_TYPE, content_type(out.content_type));
        for (name, value) in [
            (WEBHOOK_ID, Cow::Borrowed(id.as_str())),
            (NAME, encoded(out.message.name())),
            (TYPE, encoded(out.message.message_type())),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                map.insert(name, value);
            }
        }
        for (name, value) in headers {
            map.insert(name, value.clone());
        }
        for (name, value) in out.headers {
            let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused(format!("`{name}` cannot name a header")))?;
            if !is_ours(&known) {
                map.insert(known, printable(value));
            }
        }
        Ok(Self { request, id, body, timeout: out.timeout })
    }

    /// Adds what belongs to this moment; `now` is in seconds since the Unix epoch.
    pub(super) fn seal(&mut self, authorization: Option<&HeaderValue>, keys: Option<&signature::Keys>, now: u64) {
        let map = self.request.headers_mut();
        if let Some(value) = authorization
            && !map.contains_key(AUTHORIZATION)
        {
            map.insert(AUTHORIZATION, value.clone());
        }
        if let Some(keys) = keys {
            map.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(now));
            if let Ok(signature) = HeaderValue::try_from(keys.sign(&self.id, now, &self.body)) {
                map.insert(WEBHOOK_SIGNATURE, signature);
            }
        }
    }
}

/// Whether nobody else sets it.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    OURS.contains(&name.as_str())
}

/// What goes along with the message.
fn carried(out: &Outgoing<'_>, map: &mut HeaderMap) {
    let message = out.message;
    message.headers(&mut |name, value| {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return };
        if is_ours(&name) || is_senders(name.as_str()) {
            return;
        }
        let value = match value {
            Carried::Bytes(bytes) => HeaderValue::from_bytes(bytes).ok(),
            other => other.to_text().and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()),
        };
        if let Some(value) = value {
            map.append(name, value);
        }
    });
    for name in TRACE {
        if !map.contains_key(&name)
            && let Some(value) = message.metadata(name.as_str()).and_then(|text| HeaderValue::from_str(&text).ok())
        {
            map.insert(name, value);
        }
    }
    let correlation = message.raw().carrier.property(Property::CorrelationId).or_else(|| message.metadata("correlation_id"));
    if let Some(value) = correlation.and_then(|text| HeaderValue::from_str(&encoded(&text)).ok()) {
        map.insert(CORRELATION, value);
    }
}

fn is_senders(name: &str) -> bool {
    SENDERS.contains(&name) || SENDERS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn content_type(text: &str) -> HeaderValue {
    match text {
        "" => JSON,
        text => HeaderValue::from_str(text).unwrap_or(BYTES),
    }
}

fn encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, TEXT_ENCODED).into()
}

/// A value of the operator's template, or of a death: on one line, whatever a message brought into it.
fn printable(text: &str) -> HeaderValue {
    HeaderValue::from_bytes(text.as_bytes()).unwrap_or_else(|_| {
        let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        HeaderValue::from_bytes(line.as_bytes()).unwrap_or(HeaderValue::from_static(""))
    })
}
