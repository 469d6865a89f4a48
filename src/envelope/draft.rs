//! What was read of a message before it has its identity.

use std::{borrow::Cow, ops::Range, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    Property, RawMessage, Rejection, Shape,
    cloudevents::Attributes,
    json,
    message::Payload,
    metadata::Object,
    outline::{Member, Outline},
    text::{Text, span},
};
use crate::outcome::Reason;

/// The type of an event that names none.
pub(super) const DEFAULT_TYPE: &str = "notification_event";
/// The name of an event that nothing names.
const DEFAULT_NAME: &str = "Event";
/// The media type of bytes of which nothing is known (RFC 2046, 4.5.1).
const DEFAULT_MEDIA: &str = "application/octet-stream";

pub(super) struct Draft {
    pub(super) shape: Shape,
    pub(super) message_type: Text,
    pub(super) name: Text,
    /// The event's own id.
    pub(super) id: Option<Text>,
    /// The payload's `event_id`.
    pub(super) event_id: Option<Text>,
    pub(super) payload: Payload,
    pub(super) metadata: Option<Range<u32>>,
    pub(super) attributes: Option<Arc<Attributes>>,
    /// The media type of a payload that is no JSON and travels wrapped.
    pub(super) wrapped: Option<Text>,
}

pub(super) fn undecodable(detail: impl Into<String>) -> Rejection {
    Rejection::new(Reason::Undecodable, detail)
}

impl Draft {
    fn new(shape: Shape, message_type: Text, name: Text, payload: Payload) -> Self {
        Self { shape, message_type, name, id: None, event_id: None, payload, metadata: None, attributes: None, wrapped: None }
    }

    /// Four keys or five.
    pub(super) fn envelope(raw: &RawMessage, outline: &Outline<'_>) -> Result<Self, Rejection> {
        let body = &raw.body;
        let wanted = |member, key: &str| {
            let text = outline.value(member).and_then(|value| string(body, value));
            text.ok_or_else(|| undecodable(format!("`{key}` of the envelope is not text")))
        };
        let payload = outline.value(Member::Payload).unwrap_or_default();
        let mut draft = Self::new(
            Shape::Envelope,
            wanted(Member::MessageType, "message_type")?,
            wanted(Member::MessageName, "message_name")?,
            Payload::Body(span(body, payload)),
        );
        match outline.value(Member::MessageId) {
            Some("null" | "\"\"") => draft.event_id = event_id(body, payload),
            _ => draft.id = Some(wanted(Member::MessageId, "message_id")?),
        }
        match outline.value(Member::Metadata) {
            None | Some("null") => {}
            Some(value) if value.starts_with('{') => draft.metadata = Some(span(body, value)),
            Some(_) => return Err(undecodable("`metadata` of the envelope is not an object")),
        }
        Ok(draft)
    }

    /// A payload alone: `text` is the whole body.
    pub(super) fn bare(raw: &RawMessage, text: &str, outline: &Outline<'_>) -> Self {
        let body = &raw.body;
        let named =
            |member| outline.value(member).and_then(|value| string(body, value)).filter(|name| !name.within(body).is_empty());
        let mut draft = Self::carried(raw, Shape::Bare, Payload::Body(span(body, trimmed(text))));
        if matches!(draft.name, Text::Fixed(_))
            && let Some(name) = named(Member::EventName).or_else(|| named(Member::Event))
        {
            draft.name = name;
        }
        draft.event_id = outline.value(Member::EventId).and_then(|value| scalar(body, value));
        draft
    }

    /// `{type, timestamp, data}` (the Standard Webhooks specification, "Payload structure").
    pub(super) fn standard_webhook(raw: &RawMessage, outline: &Outline<'_>) -> Result<Self, Rejection> {
        let body = &raw.body;
        let wrong = || undecodable("the body is no Standard Webhook: it needs `type` and `timestamp`, both text, and `data`");
        let wanted = |member| outline.value(member).and_then(|value| string(body, value)).ok_or_else(wrong);
        let data = outline.value(Member::Data).ok_or_else(wrong)?;
        let mut attributes = Attributes::default();
        attributes.set("time", wanted(Member::Timestamp)?, false);
        let mut draft = Self::carried(raw, Shape::StandardWebhook, Payload::Body(span(body, data)));
        draft.name = wanted(Member::Type)?;
        draft.event_id = event_id(body, data);
        draft.attributes = Some(Arc::new(attributes));
        Ok(draft)
    }

    /// Bytes that are no JSON, wrapped.
    pub(super) fn wrapped(raw: &RawMessage) -> Self {
        let (payload, media) = wrapped_body(raw);
        Self { wrapped: Some(media), ..Self::carried(raw, Shape::Bare, payload) }
    }

    /// A body that is not looked into.
    pub(super) fn opaque(raw: &RawMessage) -> Self {
        Self::carried(raw, Shape::Opaque, Payload::Owned(raw.body.clone()))
    }

    /// What the transport says of it.
    fn carried(raw: &RawMessage, shape: Shape, payload: Payload) -> Self {
        let said = |property, default| {
            let text = raw.carrier.property(property).filter(|text| !text.is_empty());
            text.map_or(Text::Fixed(default), |text| Text::owned(&text))
        };
        Self::new(shape, said(Property::Type, DEFAULT_TYPE), said(Property::Name, DEFAULT_NAME), payload)
    }
}

/// JSON without the white space around it.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// The body as `{"datacontenttype":…,"data_base64":…}`, and its media type.
pub(super) fn wrapped_body(raw: &RawMessage) -> (Payload, Text) {
    let media = raw.carrier.property(Property::ContentType).filter(|media| !media.is_empty());
    let media = media.unwrap_or(Cow::Borrowed(DEFAULT_MEDIA));
    (Payload::Owned(wrap(&media, &BASE64_STANDARD.encode(&raw.body)).into()), Text::owned(&media))
}

/// Bytes in base64 as a JSON value.
pub(super) fn wrap(media: &str, base64: &str) -> Vec<u8> {
    let mut wrapped = Vec::with_capacity(base64.len() + media.len() + 40);
    let mut object = Object::open(&mut wrapped);
    object.text("datacontenttype", media);
    object.text("data_base64", base64);
    object.close();
    wrapped
}

/// The text of a JSON string of the body: a span of it where nothing is escaped.
pub(super) fn string(body: &[u8], value: &str) -> Option<Text> {
    json::string(value).map(|text| kept(body, text))
}

/// The text of a scalar of the body; an empty one is none.
fn scalar(body: &[u8], value: &str) -> Option<Text> {
    json::scalar(value).filter(|text| !text.is_empty()).map(|text| kept(body, text))
}

fn kept(body: &[u8], text: Cow<'_, str>) -> Text {
    match text {
        Cow::Borrowed(inside) => Text::Body(span(body, inside)),
        Cow::Owned(text) => Text::Owned(text.into()),
    }
}

fn event_id(body: &[u8], payload: &str) -> Option<Text> {
    super::field::child(payload, "event_id").and_then(|value| scalar(body, value))
}
