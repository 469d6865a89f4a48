//! A decoded message.

use std::{borrow::Cow, ops::Range, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{
    HeaderValue, Path, Property, RawMessage,
    cloudevents::Attributes,
    field::child,
    json,
    text::{Text, slice},
};

/// The header in which a message carries how many bridges it came through.
pub(super) const HOPS_HEADER: &str = "rialto-hops";
/// What the headers of a dead letter begin with.
const DEAD_PREFIX: &str = "rialto-dead-";

/// What a message was recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An envelope of four or five keys.
    Envelope,
    /// A CloudEvent, structured or binary.
    CloudEvent,
    /// `{type, timestamp, data}`.
    StandardWebhook,
    /// A payload without an envelope.
    Bare,
    /// Not decoded: only what its transport says of it is known.
    Opaque,
}

/// Where the payload's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    /// In the body, as they came.
    Body(Range<u32>),
    /// Made here: by a `transform`, or wrapped because they are no JSON.
    Owned(Bytes),
}

/// A decoded message: spans into the body it came in. Cloning it is a few reference counts.
#[derive(Debug, Clone)]
pub struct Message {
    pub(super) raw: RawMessage,
    pub(super) shape: Shape,
    pub(super) unstable: bool,
    /// `message_type`.
    pub(super) kind: Text,
    pub(super) name: Text,
    pub(super) id: Text,
    pub(super) payload: Payload,
    /// The fifth key of an extended envelope, a JSON object.
    pub(super) metadata: Option<Range<u32>>,
    /// What a CloudEvent says beside what an envelope holds.
    pub(super) attributes: Option<Arc<Attributes>>,
    /// The media type of a payload that is no JSON and travels wrapped.
    pub(super) wrapped: Option<Text>,
    pub(super) received_ms: i64,
}

impl Message {
    /// `message_id`: the identity that every copy keeps.
    pub fn id(&self) -> &str {
        self.id.within(&self.raw.body)
    }

    /// `message_name`.
    pub fn name(&self) -> &str {
        self.name.within(&self.raw.body)
    }

    /// `message_type`.
    pub fn message_type(&self) -> &str {
        self.kind.within(&self.raw.body)
    }

    /// The payload, JSON as it came; for [`Shape::Opaque`] the whole body.
    pub fn payload(&self) -> &[u8] {
        match &self.payload {
            Payload::Body(range) => slice(&self.raw.body, range),
            Payload::Owned(bytes) => bytes,
        }
    }

    /// As it was received.
    pub fn raw(&self) -> &RawMessage {
        &self.raw
    }

    /// What it was recognised as.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// True for a payload that came without an envelope: `event:` says what it is called.
    pub fn is_bare(&self) -> bool {
        self.shape == Shape::Bare
    }

    /// True where nothing the message brought identifies it: a redelivery will have another id.
    pub fn identity_unstable(&self) -> bool {
        self.unstable
    }

    /// When its producer or transport says it was sent, in milliseconds since the Unix epoch.
    pub fn time_ms(&self) -> Option<i64> {
        self.raw.carrier.time()
    }

    /// When it was first seen here, in milliseconds since the Unix epoch.
    pub fn received_ms(&self) -> i64 {
        self.received_ms
    }

    /// The message's own ordering key.
    pub fn key(&self) -> Option<Cow<'_, str>> {
        let own = self.attribute("partitionkey").map(Cow::Borrowed);
        own.or_else(|| self.raw.carrier.property(Property::Key).filter(|key| !key.is_empty()))
    }

    /// The headers that go along with it to a destination: all that its producer set, but for the traces of an earlier death, and for
    /// the attributes of a CloudEvent, which would contradict what a destination gets in another form. A dead letter keeps the
    /// attributes: [`Message::as_received`].
    pub fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        let attributes = self.attributes.as_deref();
        self.raw.carrier.headers(&mut |name, value| {
            if !name.starts_with(DEAD_PREFIX) && !attributes.is_some_and(|attributes| attributes.came_as(name)) {
                each(name, value);
            }
        });
    }

    /// True where [`Message::headers`] keeps some back that [`Message::as_received`] would not.
    pub fn withholds_headers(&self) -> bool {
        self.attributes.as_ref().is_some_and(|attributes| attributes.came_as_headers())
    }

    /// The message as its source had it, for a dead letter: its payload is the whole body, and no header is an attribute.
    #[must_use]
    pub fn as_received(&self) -> Self {
        let payload = Payload::Owned(self.raw.body.clone());
        Self { shape: Shape::Opaque, payload, metadata: None, attributes: None, wrapped: None, ..self.clone() }
    }

    /// The media type of a payload that is no JSON.
    pub fn media(&self) -> Option<&str> {
        self.wrapped.as_ref().map(|media| media.within(&self.raw.body))
    }

    /// The media type and the base64 text of a payload that is no JSON.
    pub(super) fn wrapped(&self) -> Option<(&str, Cow<'_, str>)> {
        let media = self.media()?;
        Some((media, child(self.payload_text()?, "data_base64").and_then(json::string)?))
    }

    /// Appends the payload; one that is no JSON as the bytes it is.
    pub(super) fn push_data(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let Some((_, base64)) = self.wrapped() else { return out.extend_from_slice(self.payload()) };
        // What was wrapped here is base64; were it none, the wrapping itself would be the data.
        if BASE64_STANDARD.decode_vec(base64.as_bytes(), out).is_err() {
            out.truncate(start);
            out.extend_from_slice(self.payload());
        }
    }

    /// How many bridges it came through: header `rialto-hops`, or `hops` of an extended envelope, whichever is more. What is no
    /// number counts as none: the header is ours, and whoever else writes it can at most lift the limit for itself.
    pub fn hops(&self) -> u32 {
        let header = self.raw.carrier.header(HOPS_HEADER).and_then(HeaderValue::to_text);
        let header = header.and_then(|text| text.parse().ok()).unwrap_or(0);
        let inside = self.metadata_field("hops").and_then(|text| text.parse().ok()).unwrap_or(0);
        header.max(inside)
    }

    /// A field of the payload as text (a string's text, a number or boolean as it is spelled); `None` where it is absent, null, an
    /// array or an object.
    pub fn field(&self, path: &Path) -> Option<Cow<'_, str>> {
        json::scalar(path.find(self.payload_text()?)?)
    }

    /// The fifth key as it stands.
    pub(super) fn metadata_json(&self) -> Option<&str> {
        std::str::from_utf8(slice(&self.raw.body, self.metadata.as_ref()?)).ok()
    }

    /// The payload as text; `None` where nothing says that it is JSON.
    pub(super) fn payload_text(&self) -> Option<&str> {
        if self.shape == Shape::Opaque { None } else { std::str::from_utf8(self.payload()).ok() }
    }

    /// The message with what a route wrote over it: what is `None` stays.
    pub(crate) fn rewritten(&self, rewrite: Rewrite) -> Self {
        let mut message = self.clone();
        if let Some(text) = rewrite.message_type {
            message.kind = Text::Owned(text);
        }
        if let Some(text) = rewrite.name {
            message.name = Text::Owned(text);
        }
        if let Some(text) = rewrite.id {
            message.id = Text::Owned(text);
            message.unstable = false;
        }
        if let Some(bytes) = rewrite.payload {
            message.payload = Payload::Owned(bytes);
            message.wrapped = None;
        }
        message
    }
}

/// What a route may write over a message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rewrite {
    pub(crate) message_type: Option<Arc<str>>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) id: Option<Arc<str>>,
    /// Must be JSON.
    pub(crate) payload: Option<Bytes>,
}

impl Rewrite {
    /// True where nothing is written over.
    pub(crate) fn is_empty(&self) -> bool {
        self.message_type.is_none() && self.name.is_none() && self.id.is_none() && self.payload.is_none()
    }
}
