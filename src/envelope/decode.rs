//! Recognising what arrived.

use std::sync::Arc;

use super::{
    Message, RawMessage,
    cloudevents::{Media, binary, media, structured},
    depth::{DEPTH_MAX, is_too_deep},
    draft::{Draft, trimmed, undecodable, wrapped_body},
    identity::identify,
    message::Payload,
    outline::{Member, Outline},
    text::span,
};
use crate::outcome::{Reason, Refusal};

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

impl From<Rejection> for Refusal {
    fn from(Rejection { reason, detail }: Rejection) -> Self {
        Self { reason, detail }
    }
}

impl Rejection {
    /// A rejection in the words of whoever noticed.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
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

/// Reads one message. `now_ms` is the wall clock, in milliseconds since the Unix epoch: the time it was first seen.
///
/// The order is: its size; a CloudEvent by its content type (a batch first) or by its four attributes among the headers; an envelope
/// by its keys; else a bare payload. A pinned [`Decode`] skips what it does not name.
pub fn decode(raw: RawMessage, rules: &DecodeRules, now_ms: i64) -> Result<Message, Box<Undecoded>> {
    match read(&raw, rules) {
        Ok(draft) => Ok(finish(raw, draft, rules, now_ms)),
        Err(rejection) => {
            let draft = Draft::opaque(&raw);
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
        attributes: draft.attributes,
        wrapped: draft.wrapped,
        received_ms: now_ms,
        raw,
    }
}

fn read(raw: &RawMessage, rules: &DecodeRules) -> Result<Draft, Rejection> {
    let size = raw.body.len();
    if size as u64 > rules.message_max.min(u64::from(u32::MAX)) {
        return Err(Rejection::new(Reason::Oversize, format!("{size} bytes, `message_max` is {}", rules.message_max)));
    }
    if let Some(why) = raw.carrier.refused() {
        return Err(undecodable(why));
    }
    if matches!(rules.shape, Decode::Auto | Decode::CloudEvents)
        && let Some(draft) = cloud_event(raw, rules)?
    {
        return Ok(draft);
    }
    let (text, outline) = match document(raw) {
        Ok(document) => document,
        Err(Unread::NotJson(_)) if rules.any && matches!(rules.shape, Decode::Auto | Decode::Bare) => {
            return Ok(Draft::wrapped(raw));
        }
        Err(unread) => return Err(unread.into()),
    };
    let unlike = |what: &str| Err(undecodable(format!("the body is no {what}, and `decode` says that it must be")));
    match (rules.shape, outline) {
        (Decode::Auto | Decode::Envelope, Some(outline)) if outline.is_envelope() => Draft::envelope(raw, &outline),
        (Decode::Auto | Decode::Bare, outline) => Ok(Draft::bare(raw, text, &outline.unwrap_or_default())),
        (Decode::Envelope, _) => unlike("envelope"),
        (Decode::StandardWebhook, Some(outline)) => Draft::standard_webhook(raw, &outline),
        (Decode::StandardWebhook, None) => unlike("Standard Webhook"),
        (Decode::CloudEvents, Some(outline)) if outline.value(Member::SpecVersion).is_some() => structured(raw, text, rules.any),
        (Decode::CloudEvents, _) => unlike("CloudEvent"),
    }
}

/// A CloudEvent that its content type or its headers tell.
fn cloud_event(raw: &RawMessage, rules: &DecodeRules) -> Result<Option<Draft>, Rejection> {
    match media(raw) {
        Media::Foreign(why) => Err(undecodable(why)),
        Media::Structured => {
            let (text, outline) = document(raw)?;
            if outline.is_none() {
                return Err(undecodable("not a CloudEvent: the body is no object"));
            }
            structured(raw, text, rules.any).map(Some)
        }
        Media::Other => {
            let Some(event) = binary(raw)? else { return Ok(None) };
            if raw.body.is_empty() {
                return Ok(Some(event.draft(raw, Payload::Owned("null".into()), None)));
            }
            match document(raw) {
                Ok((text, _)) => Ok(Some(event.draft(raw, Payload::Body(span(&raw.body, trimmed(text))), None))),
                Err(Unread::NotJson(_)) if rules.any => {
                    let (payload, media) = wrapped_body(raw);
                    Ok(Some(event.draft(raw, payload, Some(media))))
                }
                Err(unread) => Err(unread.into()),
            }
        }
    }
}

/// Why a body was not read as JSON.
enum Unread {
    NotJson(String),
    TooDeep,
}

impl From<Unread> for Rejection {
    fn from(unread: Unread) -> Self {
        undecodable(match unread {
            Unread::NotJson(why) => format!("the body is not JSON: {why}"),
            Unread::TooDeep => format!("the body nests deeper than {DEPTH_MAX} levels"),
        })
    }
}

/// The body as a checked JSON document, without a byte order mark, and the top level of an object.
fn document(raw: &RawMessage) -> Result<(&str, Option<Outline<'_>>), Unread> {
    let text = std::str::from_utf8(&raw.body).map_err(|error| Unread::NotJson(error.to_string()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let outline = Outline::read(text).map_err(|error| Unread::NotJson(error.to_string()))?;
    if is_too_deep(text.as_bytes()) { Err(Unread::TooDeep) } else { Ok((text, outline)) }
}
