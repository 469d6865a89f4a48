//! The basic properties and headers of an outgoing message (docs/wire.md, "Per broker", AMQP).
//!
//! Ours: `message_id`, `type`, header `message_type`, `content_type`, `delivery_mode` 2, `timestamp`. From the message as it came, where
//! it came with them: `correlation_id`, `reply_to`, `app_id`, `priority`, its headers; and `content_encoding` where the body is the
//! one that came. Never carried on: `expiration` (time the message has spent already, and a reason to lose it), `user_id` (the broker
//! closes the channel when it is not our own), `cluster_id`, and the headers `CC` and `BCC`, by which a *message* would choose further
//! queues beside the route's.

use std::{borrow::Cow, collections::BTreeMap};

use lapin::{
    BasicProperties,
    types::{AMQPValue, ShortString},
};

use super::target::Set;
use crate::{
    broker::Outgoing,
    envelope::{Carrier, HeaderValue, Property},
    outcome::{Reason, Refusal},
};

/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;

const JSON: &str = "application/json";

/// Header of an id that is too long for the property.
const ID_HEADER: &str = "message_id";

/// The properties of one message. A field that makes no property is a refusal that no further try can mend.
pub(super) fn of(outgoing: &Outgoing<'_>, set: Set<'_>) -> Result<BasicProperties, Refusal> {
    let message = outgoing.message;
    let carrier = &*message.raw().carrier;
    let original = outgoing.body == &*message.raw().body;
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let mut headers = headers_of(outgoing);
    match short(message.id()) {
        Some(id) => properties = properties.with_message_id(id),
        None => {
            headers.insert(ID_HEADER.into(), text(message.id()));
        }
    }
    if let Some(name) = short(message.name()).filter(|name| !name.as_str().is_empty()) {
        properties = properties.with_type(name);
    }
    if let Some(content_type) = content_type(outgoing, carrier, set, original) {
        properties = properties.with_content_type(content_type);
    }
    let correlation = carrier.property(Property::CorrelationId).or_else(|| message.metadata("correlation_id"));
    if let Some(id) = correlation.and_then(|id| short(&id)) {
        properties = properties.with_correlation_id(id);
    }
    if let Some(time) = message.time_ms().and_then(|millis| u64::try_from(millis).ok()) {
        properties = properties.with_timestamp(time / 1000);
    }
    let word = |name: &str| short(&carrier.word(name)?);
    if let Some(reply_to) = word("reply_to") {
        properties = properties.with_reply_to(reply_to);
    }
    if let Some(app_id) = word("app_id") {
        properties = properties.with_app_id(app_id);
    }
    if let Some(encoding) = word("content_encoding").filter(|_| original) {
        properties = properties.with_content_encoding(encoding);
    }
    if let Some(priority) = priority(carrier, set)? {
        properties = properties.with_priority(priority);
    }
    if let Some(expiration) = set.expiration {
        properties = properties.with_expiration(milliseconds(expiration)?);
    }
    Ok(properties.with_headers(headers.into()))
}

/// The id by which a return is matched: the property's, else the header's.
pub(super) fn id_of(properties: &BasicProperties) -> &[u8] {
    if let Some(id) = properties.message_id() {
        return id.as_str().as_bytes();
    }
    match properties.headers().as_ref().and_then(|headers| headers.inner().get(ID_HEADER)) {
        Some(AMQPValue::LongString(id)) => id.as_bytes(),
        _ => &[],
    }
}

fn headers_of(outgoing: &Outgoing<'_>) -> BTreeMap<ShortString, AMQPValue> {
    let mut headers = BTreeMap::new();
    outgoing.message.headers(&mut |name, value| {
        if !chooses_queues(name)
            && let Some(name) = short(name)
        {
            headers.insert(name, typed(value));
        }
    });
    for name in ["traceparent", "tracestate"] {
        // Never overwritten on the way: the first hop's header is the trace.
        if !headers.contains_key(name)
            && let Some(value) = outgoing.message.metadata(name)
        {
            headers.insert(name.into(), text(&value));
        }
    }
    if !outgoing.message.message_type().is_empty() {
        headers.insert("message_type".into(), text(outgoing.message.message_type()));
    }
    for (name, value) in outgoing.headers {
        if let Some(name) = short(name) {
            headers.insert(name, text(value));
        }
    }
    headers
}

/// RabbitMQ routes a copy to every queue that these name.
fn chooses_queues(name: &str) -> bool {
    matches!(name, "CC" | "BCC")
}

fn typed(value: HeaderValue<'_>) -> AMQPValue {
    match value {
        HeaderValue::Str(value) => text(value),
        HeaderValue::Bytes(bytes) => AMQPValue::ByteArray(bytes.into()),
        HeaderValue::Int(number) => AMQPValue::LongLongInt(number),
        HeaderValue::Float(number) => AMQPValue::Double(number),
        HeaderValue::Bool(truth) => AMQPValue::Boolean(truth),
        HeaderValue::Time(seconds) => match u64::try_from(seconds) {
            Ok(seconds) => AMQPValue::Timestamp(seconds),
            Err(_) => AMQPValue::LongLongInt(seconds),
        },
        HeaderValue::Null => AMQPValue::Void,
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// lapin's own conversion panics over 255 bytes.
fn short(value: &str) -> Option<ShortString> {
    ShortString::try_new(value).ok()
}

/// The destination's, else the encoder's; a body that goes on as it came keeps its own, even none.
fn content_type(outgoing: &Outgoing<'_>, carrier: &dyn Carrier, set: Set<'_>, original: bool) -> Option<ShortString> {
    let written = set.content_type.or(Some(outgoing.content_type).filter(|written| !written.is_empty()));
    let chosen = match written {
        Some(written) => Cow::Borrowed(written),
        None if original => carrier.property(Property::ContentType)?,
        None => Cow::Borrowed(JSON),
    };
    short(&chosen)
}

fn priority(carrier: &dyn Carrier, set: Set<'_>) -> Result<Option<u8>, Refusal> {
    match set.priority {
        Some(written) => match written.trim().parse() {
            Ok(priority) => Ok(Some(priority)),
            Err(_) => Err(unfit("priority", written, "a whole number from 0 to 255")),
        },
        None => Ok(carrier.word("priority").and_then(|carried| carried.parse().ok())),
    }
}

fn milliseconds(written: &str) -> Result<ShortString, Refusal> {
    let written = written.trim();
    // RabbitMQ closes the channel for anything else.
    match written.parse::<u32>() {
        Ok(number) => Ok(number.to_string().into()),
        Err(_) => Err(unfit("expiration", written, "a whole number of milliseconds")),
    }
}

fn unfit(field: &str, written: &str, wanted: &str) -> Refusal {
    Refusal { reason: Reason::Final, detail: format!("`{field}` is `{written}`, where {wanted} is wanted") }
}
