//! Recognising what arrived.

use std::sync::Arc;

use super::{
    Message, Property, RawMessage, Shape,
    depth::{DEPTH_MAX, is_too_deep},
    identity::identify,
    json,
    message::Payload,
    outline::{Member, Outline},
    text::{Text, span},
};
use crate::outcome::Reason;

/// `decode:`, the shape that a source's messages have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decode {
    /// Recognised: a CloudEvent, else an envelope, else a bare payload.
    #[default]
    Auto,
    /// Envelopes only.
    Envelope,
    /// CloudEvents only, structured even without their content type.
    CloudEvents,
    /// `{type, timestamp, data}` only.
    StandardWebhook,
    /// The whole body is the payload, whatever it looks like.
    Bare,
}

/// How a source's messages are read.
#[derive(Debug, Clone)]
pub struct DecodeRules {
    /// The shape that is expected.
    pub shape: Decode,
    /// True: a body that is not JSON travels as `{"datacontenttype":…,"data_base64":…}` instead of being rejected.
    pub any: bool,
    /// Larger bodies are rejected before anything looks into them, in bytes.
    pub message_max: u64,
    /// The broker's name: part of an identity made from a position.
    pub broker: Arc<str>,
}

/// Why a message cannot be routed, in the words of its dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// The closed-set reason.
    pub reason: Reason,
    /// What exactly is wrong with it.
    pub detail: String,
}

impl Rejection {
    /// A rejection in the words of whoever noticed.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    fn undecodable(detail: impl Into<String>) -> Self {
        Self::new(Reason::Undecodable, detail)
    }
}

/// A message that could not be decoded: body and carrier as they were, for the dead letter.
#[derive(Debug)]
pub struct Undecoded {
    /// Opaque: its payload is the whole body.
    pub message: Message,
    /// Why.
    pub rejection: Rejection,
}

/// What was read of a message before it has its identity.
struct Draft {
    shape: Shape,
    message_type: Text,
    name: Text,
    /// The event's own id.
    id: Option<Text>,
    /// The payload's `event_id`.
    event_id: Option<Text>,
    payload: Payload,
    metadata: Option<std::ops::Range<u32>>,
}

/// Reads one message. `now_ms` is the wall clock, in milliseconds since the Unix epoch: the time it was first seen.
pub fn decode(raw: RawMessage, rules: &DecodeRules, now_ms: i64) -> Result<Message, Box<Undecoded>> {
    match read(&raw, rules) {
        Ok(draft) => Ok(finish(raw, draft, rules, now_ms)),
        Err(rejection) => {
            let draft = opaque(&raw);
            Err(Box::new(Undecoded { message: finish(raw, draft, rules, now_ms), rejection }))
        }
    }
}

fn finish(raw: RawMessage, draft: Draft, rules: &DecodeRules, now_ms: i64) -> Message {
    let identity = identify(&raw, draft.id, draft.event_id, &rules.broker, now_ms);
    Message {
        shape: draft.shape,
        unstable: identity.unstable,
        kind: draft.message_type,
        name: draft.name,
        id: identity.id,
        payload: draft.payload,
        metadata: draft.metadata,
        received_ms: now_ms,
        raw,
    }
}

fn read(raw: &RawMessage, rules: &DecodeRules) -> Result<Draft, Rejection> {
    let size = raw.body.len();
    if size as u64 > rules.message_max.min(u64::from(u32::MAX)) {
        return Err(Rejection::new(Reason::Oversize, format!("{size} bytes, `message_max` is {}", rules.message_max)));
    }
    let text = text(raw)?;
    let outline = Outline::read(text).map_err(|error| Rejection::undecodable(format!("the body is not JSON: {error}")))?;
    if is_too_deep(text.as_bytes()) {
        return Err(Rejection::undecodable(format!("the body nests deeper than {DEPTH_MAX} levels")));
    }
    match (rules.shape, outline) {
        (Decode::Auto | Decode::Envelope, Some(outline)) if outline.is_envelope() => envelope(raw, &outline),
        (Decode::Auto | Decode::Bare, outline) => Ok(bare(raw, text, &outline.unwrap_or_default())),
        (Decode::Envelope, _) => Err(Rejection::undecodable("the body is no envelope, and `decode` says that it must be")),
        (Decode::CloudEvents | Decode::StandardWebhook, _) => Err(Rejection::undecodable("not a shape that `decode` allows")),
    }
}

/// The body as text, without a byte order mark.
fn text(raw: &RawMessage) -> Result<&str, Rejection> {
    let text = std::str::from_utf8(&raw.body).map_err(|error| Rejection::undecodable(format!("the body is not UTF-8: {error}")))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn envelope(raw: &RawMessage, outline: &Outline<'_>) -> Result<Draft, Rejection> {
    let body = &raw.body;
    let wanted = |member, key: &str| {
        outline
            .value(member)
            .and_then(|value| string(body, value))
            .ok_or_else(|| Rejection::undecodable(format!("`{key}` of the envelope is not text")))
    };
    let message_type = wanted(Member::MessageType, "message_type")?;
    let name = wanted(Member::MessageName, "message_name")?;
    let id = match outline.value(Member::MessageId) {
        Some("null" | "\"\"") => None,
        _ => Some(wanted(Member::MessageId, "message_id")?),
    };
    let metadata = match outline.value(Member::Metadata) {
        None | Some("null") => None,
        Some(value) if value.starts_with('{') => Some(span(body, value)),
        Some(_) => return Err(Rejection::undecodable("`metadata` of the envelope is not an object")),
    };
    let payload = outline.value(Member::Payload).unwrap_or_default();
    let event_id = if id.is_none() { super::field::child(payload, "event_id").and_then(|value| scalar(body, value)) } else { None };
    let payload = Payload::Body(span(body, payload));
    Ok(Draft { shape: Shape::Envelope, message_type, name, id, event_id, payload, metadata })
}

fn bare(raw: &RawMessage, text: &str, outline: &Outline<'_>) -> Draft {
    let body = &raw.body;
    let named = |member| outline.value(member).and_then(|value| string(body, value)).filter(|name| !name.within(body).is_empty());
    let name = property(raw, Property::Name).or_else(|| named(Member::EventName)).or_else(|| named(Member::Event));
    Draft {
        shape: Shape::Bare,
        message_type: property(raw, Property::Type).unwrap_or(Text::Fixed(DEFAULT_TYPE)),
        name: name.unwrap_or(Text::Fixed(DEFAULT_NAME)),
        id: None,
        event_id: outline.value(Member::EventId).and_then(|value| scalar(body, value)),
        payload: Payload::Body(span(body, text.trim_matches([' ', '\t', '\n', '\r']))),
        metadata: None,
    }
}

/// The type of an event that names none.
const DEFAULT_TYPE: &str = "notification_event";
/// The name of an event that nothing names.
const DEFAULT_NAME: &str = "Event";

fn opaque(raw: &RawMessage) -> Draft {
    Draft {
        shape: Shape::Opaque,
        message_type: property(raw, Property::Type).unwrap_or(Text::Fixed(DEFAULT_TYPE)),
        name: property(raw, Property::Name).unwrap_or(Text::Fixed(DEFAULT_NAME)),
        id: None,
        event_id: None,
        payload: Payload::Owned(raw.body.clone()),
        metadata: None,
    }
}

/// A property of the transport; an empty one is none.
fn property(raw: &RawMessage, property: Property) -> Option<Text> {
    raw.carrier.property(property).filter(|text| !text.is_empty()).map(|text| Text::owned(&text))
}

/// The text of a JSON string of the body: a span of it where nothing is escaped.
fn string(body: &[u8], value: &str) -> Option<Text> {
    match json::string(value)? {
        std::borrow::Cow::Borrowed(inside) => Some(Text::Body(span(body, inside))),
        std::borrow::Cow::Owned(text) => Some(Text::Owned(text.into())),
    }
}

/// The text of a scalar of the body; an empty one is none.
fn scalar(body: &[u8], value: &str) -> Option<Text> {
    let text = match json::scalar(value)? {
        std::borrow::Cow::Borrowed(inside) => Text::Body(span(body, inside)),
        std::borrow::Cow::Owned(text) => Text::Owned(text.into()),
    };
    (!text.within(body).is_empty()).then_some(text)
}
