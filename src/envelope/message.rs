//! A decoded message.

use std::{borrow::Cow, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    Path, Property, RawMessage,
    field::child,
    json,
    text::{Text, slice},
};

/// The header in which a message carries how many bridges it came through.
pub(super) const HOPS_HEADER: &str = "rialto-hops";

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
        self.raw.carrier.property(Property::Key).filter(|key| !key.is_empty())
    }

    /// How many bridges it came through: header `rialto-hops`, or `hops` of an extended envelope, whichever is more. What is no
    /// number counts as none: the header is ours, and whoever else writes it can at most lift the limit for itself.
    pub fn hops(&self) -> u32 {
        let header = self.raw.carrier.header(HOPS_HEADER).and_then(super::HeaderValue::to_text);
        let header = header.and_then(|text| text.parse().ok()).unwrap_or(0);
        let inside = self.metadata_field("hops").and_then(|text| text.parse().ok()).unwrap_or(0);
        header.max(inside)
    }

    /// A field of the payload as text (a string's text, a number or boolean as it is spelled); `None` where it is absent, null, an
    /// array or an object.
    pub fn field(&self, path: &Path) -> Option<Cow<'_, str>> {
        json::scalar(path.find(self.payload_text()?)?)
    }

    /// A key of the extended envelope's `metadata`, as text.
    pub fn metadata(&self, key: &str) -> Option<Cow<'_, str>> {
        self.metadata_field(key)
    }

    /// Appends the extended envelope's `metadata`, a JSON object.
    pub(crate) fn write_metadata(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.metadata_json().unwrap_or("{}").as_bytes());
    }

    /// When the event happened, in RFC 3339.
    pub(crate) fn time_text(&self) -> Option<String> {
        Some(jiff::Timestamp::from_millisecond(self.time_ms()?).ok()?.to_string())
    }

    /// A key of the fifth key, `metadata`, as text.
    pub(super) fn metadata_field(&self, key: &str) -> Option<Cow<'_, str>> {
        json::scalar(child(self.metadata_json()?, key)?)
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
