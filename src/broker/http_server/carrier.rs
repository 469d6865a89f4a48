//! What an HTTP request carries beside its body.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use hyper::{HeaderMap, header::CONTENT_TYPE};
use percent_encoding::percent_decode_str;

use super::budget::Charge;
use crate::{
    broker::standard_webhooks,
    envelope::{Carrier, HeaderValue, Property},
};

/// The header that makes a repetition recognisable (draft-ietf-httpapi-idempotency-key-header).
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Headers by which a producer may name its message.
pub(super) const ID: &str = "message_id";
const NAME: &str = "message_name";
const TYPE: &str = "message_type";
/// The same from the webhooks of another bridge, percent-encoded.
const BRIDGE_NAME: &str = "rialto-message-name";
const BRIDGE_TYPE: &str = "rialto-message-type";
const CORRELATION: [&str; 3] = ["correlation-id", "x-correlation-id", "correlation_id"];

/// One request, shared by its messages. While any of them is in memory its bytes are charged.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) headers: HeaderMap,
    /// Percent-encoded, as it came.
    pub(super) path: Box<str>,
    /// The segment below the source's path.
    pub(super) name: Option<Box<str>>,
    /// What tells a repetition.
    pub(super) key: Option<Box<str>>,
    /// Given back with the last message.
    #[expect(dead_code, reason = "held, never read")]
    pub(super) charge: Charge,
}

/// Which part of a request a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it, with a content type of its own or without.
    Whole {
        /// As in [`super::media::Media::One`].
        typed: bool,
    },
    /// One event of a batch.
    Event,
    /// One line.
    Line,
}

/// One message of a request.
#[derive(Debug)]
pub(super) struct HttpCarrier {
    pub(super) request: Arc<Request>,
    pub(super) part: Part,
    /// Told when the message has been decoded: its producer is to hear it.
    pub(super) identity: OnceLock<Box<str>>,
}

impl HttpCarrier {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let value = self.request.headers.get(name)?;
        std::str::from_utf8(value.as_bytes()).ok().map(Cow::Borrowed)
    }

    /// Whether the webhooks of another bridge wrote the request.
    fn is_bridged(&self) -> bool {
        self.request.headers.contains_key(BRIDGE_TYPE)
    }

    /// The key, as its sender wrote it before it was encoded.
    fn id(&self) -> Option<Cow<'_, str>> {
        let encoded = self.is_bridged().then(|| self.bridged(standard_webhooks::ID)).flatten();
        encoded.or_else(|| self.request.key.as_deref().map(Cow::Borrowed))
    }

    /// What another bridge wrote; a value that decodes to no UTF-8 is taken as it stands.
    fn bridged(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = self.text(name).filter(|text| !text.is_empty())?;
        let decoded = percent_decode_str(&text).decode_utf8().ok().map(|decoded| Cow::Owned(decoded.into_owned()));
        decoded.or(Some(text))
    }
}

/// Headers that are between two ends of one connection, that say who the client is, or that have another place in a message: they stay
/// behind. Credentials above all.
const STAY: [&str; 35] = [
    "accept",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "cookie2",
    "correlation-id",
    "correlation_id",
    "date",
    "dnt",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "message_id",
    "message_name",
    "message_type",
    "origin",
    "pragma",
    "priority",
    "referer",
    "rialto-message-name",
    "rialto-message-type",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-correlation-id",
];

/// The same by their beginnings.
const STAY_PREFIXES: [&str; 6] = ["accept-", "if-", "proxy-", "sec-", "webhook-", "x-forwarded-"];

fn travels(name: &str) -> bool {
    STAY.binary_search(&name).is_err() && !STAY_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && name != "x-real-ip"
}

impl Carrier for HttpCarrier {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        let whole = matches!(self.part, Part::Whole { .. });
        match property {
            // The key of a request with many messages is nobody's id.
            Property::Id if whole => self.id(),
            Property::Id | Property::Key => None,
            Property::Name => match &self.request.name {
                Some(name) => Some(Cow::Borrowed(name)),
                None => self.bridged(BRIDGE_NAME).or_else(|| self.text(NAME)),
            },
            Property::Type => self.bridged(BRIDGE_TYPE).or_else(|| self.text(TYPE)),
            Property::ContentType => match self.part {
                Part::Whole { typed: true } => self.text(CONTENT_TYPE.as_str()),
                Part::Whole { typed: false } | Part::Line => None,
                Part::Event => Some(Cow::Borrowed("application/cloudevents+json")),
            },
            Property::CorrelationId if self.is_bridged() => self.bridged(CORRELATION[0]),
            Property::CorrelationId => CORRELATION.iter().find_map(|name| self.text(name)),
        }
    }

    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        let value = self.request.headers.get(name)?;
        let lower = name.to_ascii_lowercase();
        // The attributes of a binary event describe a whole body.
        if !travels(&lower) || lower.starts_with("ce-") && !matches!(self.part, Part::Whole { .. }) {
            return None;
        }
        Some(of(value.as_bytes()))
    }

    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        let whole = matches!(self.part, Part::Whole { .. });
        for (name, value) in &self.request.headers {
            let name = name.as_str();
            if travels(name) && (whole || !name.starts_with("ce-")) {
                each(name, of(value.as_bytes()));
            }
        }
    }

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "path").then(|| percent_decode_str(&self.request.path).decode_utf8_lossy())
    }

    fn time(&self) -> Option<i64> {
        self.text(standard_webhooks::TIMESTAMP)?.parse::<i64>().ok()?.checked_mul(1000)
    }

    fn position(&self) -> Option<String> {
        None
    }

    fn identified(&self, id: &str) {
        // The first word counts: a message is decoded once.
        let _ = self.identity.set(id.into());
    }
}

/// Bytes as a header's value: text where they are text.
fn of(bytes: &[u8]) -> HeaderValue<'_> {
    std::str::from_utf8(bytes).map_or(HeaderValue::Bytes(bytes), HeaderValue::Str)
}
