//! What travels beside a body, the same over both transports (docs/wire.md, "Per broker", Service Bus).
//!
//! Ours: `MessageId`, `Subject`, the property `message_type`, `ContentType`. From the message as it came, where it came with them: the
//! correlation id, `ReplyTo`, the trace, its headers as application properties. Never carried on: a time to live (time the message has
//! spent already, and a reason to lose it), `To`.

use std::borrow::Cow;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use uuid::Uuid;

use super::target::{Options, Set};
use crate::{
    broker::Outgoing,
    envelope::{HeaderValue, Property},
    outcome::{Reason, Refusal},
};

/// Of `MessageId`, `SessionId` and `PartitionKey`, in characters
/// (<https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas>).
const ID_MAX: usize = 128;

const JSON: &str = "application/json";

/// The application property of an id that is too long for `MessageId`.
const ID_PROPERTY: &str = "message_id";
const TYPE_PROPERTY: &str = "message_type";
/// Headers of other transports that have a place of their own here.
const PLACED: [&str; 3] = [ID_PROPERTY, TYPE_PROPERTY, "message_name"];

/// The property that says how a body is to be read: as it is, or as base64 where HTTPS could not carry the bytes. It is each hop's own,
/// and never carried on.
pub(super) const ENCODING: &str = "rialto-encoding";
pub(super) const BASE64: &str = "base64";

/// How Azure's own clients call the header `traceparent`.
const DIAGNOSTIC_ID: &str = "Diagnostic-Id";
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The properties that Service Bus itself understands.
#[derive(Debug)]
pub(super) struct Properties<'a> {
    pub(super) message_id: Cow<'a, str>,
    /// The message's name; empty where it has none.
    pub(super) subject: &'a str,
    pub(super) correlation_id: Option<Cow<'a, str>>,
    pub(super) content_type: Option<Cow<'a, str>>,
    pub(super) session_id: Option<&'a str>,
    /// `None` with a session, which is its own partition key.
    pub(super) partition_key: Option<Cow<'a, str>>,
    pub(super) reply_to: Option<Cow<'a, str>>,
    pub(super) scheduled_at: Option<Timestamp>,
}

impl<'a> Properties<'a> {
    /// Those of one message. What makes no property is a refusal that no further try can mend.
    pub(super) fn of(out: &Outgoing<'a>) -> Result<Self, Refusal> {
        let options = Options::of(out.target).ok_or_else(|| refused("this target is not of the kind `service_bus`".into()))?;
        let set = options.set(out.fields);
        let message = out.message;
        let carrier = &*message.raw().carrier;
        Ok(Self {
            message_id: fitting(message.id()),
            subject: message.name(),
            correlation_id: carrier
                .property(Property::CorrelationId)
                .or_else(|| message.metadata("correlation_id"))
                .filter(|id| !id.is_empty()),
            content_type: content_type(out),
            session_id: session(set)?,
            partition_key: partition_key(out, set),
            reply_to: carrier.word("reply_to").filter(|to| !to.is_empty()),
            scheduled_at: set.scheduled_at.map(moment).transpose()?,
        })
    }
}

/// Every application property: what the message came with, ours, and those that the destination sets, which win.
pub(super) fn each_application(out: &Outgoing<'_>, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
    let message = out.message;
    let is_set = |name: &str| out.headers.iter().any(|(own, _)| *own == name);
    let (mut parent, mut state, mut diagnostic) = (is_set(TRACEPARENT), is_set(TRACESTATE), is_set(DIAGNOSTIC_ID));
    let mut traced: Option<String> = None;
    message.headers(&mut |name, value| {
        if PLACED.contains(&name) || name == ENCODING || is_set(name) {
            return;
        }
        match name {
            TRACEPARENT => {
                parent = true;
                traced = value.to_text().map(Cow::into_owned);
            }
            TRACESTATE => state = true,
            DIAGNOSTIC_ID => diagnostic = true,
            _ => {}
        }
        each(name, value);
    });
    // Never overwritten on the way: the first hop's trace is the trace.
    if !parent && let Some(value) = message.metadata(TRACEPARENT) {
        each(TRACEPARENT, HeaderValue::Str(&value));
        traced = Some(value.into_owned());
    }
    if !state && let Some(value) = message.metadata(TRACESTATE) {
        each(TRACESTATE, HeaderValue::Str(&value));
    }
    if !message.message_type().is_empty() && !is_set(TYPE_PROPERTY) {
        each(TYPE_PROPERTY, HeaderValue::Str(message.message_type()));
    }
    if is_too_long(message.id()) && !is_set(ID_PROPERTY) {
        each(ID_PROPERTY, HeaderValue::Str(message.id()));
    }
    for (name, value) in out.headers.iter().filter(|(name, _)| *name != ENCODING) {
        each(name, HeaderValue::Str(value));
        if *name == TRACEPARENT {
            traced = Some((*value).to_owned());
        }
    }
    if !diagnostic && let Some(value) = traced.filter(|value| !value.is_empty()) {
        each(DIAGNOSTIC_ID, HeaderValue::Str(&value));
    }
}

/// The encoder's; a body that goes on as it came keeps its own, even none.
fn content_type<'a>(out: &Outgoing<'a>) -> Option<Cow<'a, str>> {
    if !out.content_type.is_empty() {
        return Some(Cow::Borrowed(out.content_type));
    }
    let raw = out.message.raw();
    let original = out.body.len() == raw.body.len() && out.body == &*raw.body;
    if original { raw.carrier.property(Property::ContentType) } else { Some(Cow::Borrowed(JSON)) }
}

fn session(set: Set<'_>) -> Result<Option<&str>, Refusal> {
    match set.session_id {
        Some(id) if is_too_long(id) => Err(refused(format!("`session_id` has more than {ID_MAX} characters"))),
        session => Ok(session),
    }
}

/// Only what belongs together matters, so a key that is too long is replaced by what is as unique and short enough.
fn partition_key<'a>(out: &Outgoing<'a>, set: Set<'_>) -> Option<Cow<'a, str>> {
    (set.session_id.is_none() && !out.key.is_empty()).then(|| fitting(out.key))
}

/// The text where it fits, else a UUID (version 5) of it: the same text makes the same, and duplicates are still recognised.
fn fitting(text: &str) -> Cow<'_, str> {
    if is_too_long(text) {
        Cow::Owned(Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).to_string())
    } else {
        Cow::Borrowed(text)
    }
}

fn is_too_long(text: &str) -> bool {
    text.len() > ID_MAX && text.chars().count() > ID_MAX
}

/// RFC 3339; without a zone it is UTC.
fn moment(text: &str) -> Result<Timestamp, Refusal> {
    let zoned = text.parse::<Timestamp>();
    let moment = zoned.or_else(|_| text.parse::<DateTime>().and_then(|time| Ok(time.to_zoned(TimeZone::UTC)?.timestamp())));
    moment.map_err(|_| refused(format!("`scheduled_at` is `{text}`, where a date and time is wanted: `2026-11-21T18:00:00Z`")))
}

fn refused(detail: String) -> Refusal {
    Refusal::new(Reason::Final, detail)
}
