//! What travels beside an AMQP body: the properties, annotations and application properties of a message, read in place.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use fe2o3_amqp_types::{
    messaging::{
        Body, Header, Message, MessageAnnotations, MessageId, Properties,
        annotations::{AnnotationKey, BorrowedKey},
    },
    primitives::{SimpleValue, SymbolRef, Timestamp, Value},
};

use super::super::properties::{BASE64, ENCODING};
use crate::envelope::{Carrier, HeaderValue, Property, RawMessage};

/// What a producer's library calls the trace context (W3C, version 00) on this transport.
const DIAGNOSTIC_ID: &str = "Diagnostic-Id";

const TRACEPARENT: &str = "traceparent";

/// Annotations that the service sets ("Messages, payloads, and serialization").
mod annotation {
    pub(super) const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
    pub(super) const LOCKED_UNTIL: &str = "x-opt-locked-until";
    pub(super) const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
    pub(super) const PARTITION_KEY: &str = "x-opt-partition-key";
    pub(super) const DEAD_LETTER_SOURCE: &str = "x-opt-deadletter-source";
}

/// Where a link reads, in the words of templates.
#[derive(Debug, Clone)]
pub(in super::super) struct Place {
    /// The path on the wire: `orders`, `events/Subscriptions/eu`.
    pub(in super::super) path: Arc<str>,
    /// The queue, where it is one.
    pub(in super::super) queue: Option<Arc<str>>,
    /// The topic and its subscription, where it is one.
    pub(in super::super) topic: Option<(Arc<str>, Arc<str>)>,
}

/// All of a message but its body.
#[derive(Debug)]
pub(super) struct BusCarrier {
    place: Place,
    deliveries: u32,
    annotations: Option<MessageAnnotations>,
    properties: Properties,
    /// In their order. Values of types that no other transport has are text already.
    application: Vec<(String, SimpleValue)>,
    /// Why it must not be delivered, whatever its body says.
    refused: Option<&'static str>,
}

/// A received message, or the sentence that says why its body is none that can travel. A body that went out over HTTPS as base64, for it
/// was no text, is the bytes again that it was; one that says so and is no base64 is refused, and stays as it came.
pub(super) fn raw_message(message: Message<Body<Value>>, place: &Place) -> Result<RawMessage, &'static str> {
    let mut body = body_of(message.body)?;
    let application = message.application_properties.map(|properties| properties.0.into_inner()).unwrap_or_default();
    let mut application: Vec<_> = application.into_iter().map(|(name, value)| (name, plain_or_text(value))).collect();
    let mut refused = None;
    if let Some(at) = application.iter().position(says_base64) {
        match BASE64_STANDARD.decode(&body) {
            Ok(bytes) => {
                body = bytes.into();
                application.remove(at);
            }
            Err(_) => refused = Some("its property `rialto-encoding` says `base64`, and its body is none"),
        }
    }
    let carrier = BusCarrier {
        place: place.clone(),
        deliveries: message.header.as_ref().map_or(0, |header: &Header| header.delivery_count),
        annotations: message.message_annotations,
        properties: message.properties.unwrap_or_default(),
        application,
        refused,
    };
    Ok(RawMessage { body, carrier: Arc::new(carrier) })
}

fn says_base64((name, value): &(String, SimpleValue)) -> bool {
    name == ENCODING && matches!(value, SimpleValue::String(text) if text == BASE64)
}

/// When the lock of a received message ends, in milliseconds since the Unix epoch; by the service's clock.
pub(super) fn locked_until(message: &Message<Body<Value>>) -> Option<i64> {
    milliseconds(lookup(message.message_annotations.as_ref()?, annotation::LOCKED_UNTIL)?)
}

/// The message's number in its entity, which it keeps for its life.
pub(super) fn sequence_number(message: &Message<Body<Value>>) -> Option<i64> {
    number(lookup(message.message_annotations.as_ref()?, annotation::SEQUENCE_NUMBER)?)
}

fn body_of(body: Body<Value>) -> Result<Bytes, &'static str> {
    match body {
        Body::Data(sections) => {
            let mut sections: Vec<_> = sections.into_iter().map(|data| data.0.into_vec()).collect();
            Ok(match sections.len() {
                1 => sections.remove(0).into(),
                _ => sections.concat().into(),
            })
        }
        Body::Value(value) => match value.0 {
            Value::String(text) => Ok(text.into()),
            Value::Binary(bytes) => Ok(bytes.into_vec().into()),
            Value::Null => Ok(Bytes::new()),
            _ => Err("its body is an AMQP value that is neither text nor bytes"),
        },
        Body::Sequence(_) => Err("its body is an AMQP sequence, which has no bytes"),
        Body::Empty => Ok(Bytes::new()),
    }
}

impl BusCarrier {
    fn application(&self, name: &str) -> Option<HeaderValue<'_>> {
        self.application.iter().find(|(known, _)| known == name).and_then(|(_, value)| plain(value))
    }

    fn annotation(&self, name: &str) -> Option<&Value> {
        lookup(self.annotations.as_ref()?, name)
    }

    fn text_annotation(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.annotation(name)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Symbol(symbol) => Some(Cow::Borrowed(symbol.as_str())),
            value => Some(Cow::Owned(number(value)?.to_string())),
        }
    }

    /// A property of the broker, by the name that Microsoft's libraries give it, in lower case.
    fn broker_property(&self, name: &str) -> Option<Cow<'_, str>> {
        let properties = &self.properties;
        match name {
            "message_id" => properties.message_id.as_ref().map(id_text),
            "correlation_id" => properties.correlation_id.as_ref().map(id_text),
            "subject" | "label" => properties.subject.as_deref().map(Cow::Borrowed),
            "content_type" => properties.content_type.as_ref().map(|symbol| Cow::Borrowed(symbol.as_str())),
            "content_encoding" => properties.content_encoding.as_ref().map(|symbol| Cow::Borrowed(symbol.as_str())),
            "to" => properties.to.as_deref().map(Cow::Borrowed),
            "reply_to" => properties.reply_to.as_deref().map(Cow::Borrowed),
            "session_id" => properties.group_id.as_deref().map(Cow::Borrowed),
            "reply_to_session_id" => properties.reply_to_group_id.as_deref().map(Cow::Borrowed),
            "partition_key" => self.text_annotation(annotation::PARTITION_KEY),
            "sequence_number" => self.text_annotation(annotation::SEQUENCE_NUMBER),
            "dead_letter_source" => self.text_annotation(annotation::DEAD_LETTER_SOURCE),
            "enqueued_time" => Some(Cow::Owned(milliseconds(self.annotation(annotation::ENQUEUED_TIME)?)?.to_string())),
            // Deliveries, this one among them: the service counts those before it.
            "delivery_count" => Some(Cow::Owned(u64::from(self.deliveries).saturating_add(1).to_string())),
            _ => None,
        }
    }
}

impl Carrier for BusCarrier {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        match property {
            Property::Id => self.broker_property("message_id"),
            Property::Name => self.broker_property("subject"),
            Property::Type => self.application("message_type")?.to_text(),
            Property::Key => self.broker_property("session_id").or_else(|| self.broker_property("partition_key")),
            Property::ContentType => self.broker_property("content_type"),
            Property::CorrelationId => self.broker_property("correlation_id"),
        }
    }

    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        let value = self.application(name);
        if value.is_none() && name == TRACEPARENT { self.application(DIAGNOSTIC_ID) } else { value }
    }

    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        for (name, value) in &self.application {
            if let Some(value) = plain(value) {
                each(name, value);
            }
        }
    }

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        let place = |name: &Arc<str>| Cow::Owned(name.to_string());
        match name {
            "queue" => self.place.queue.as_ref().map(place),
            "topic" => self.place.topic.as_ref().map(|(topic, _)| place(topic)),
            "subscription" => self.place.topic.as_ref().map(|(_, subscription)| place(subscription)),
            // Both are "properties" in this broker's own words; its own first.
            _ => self.broker_property(name).or_else(|| self.application(name)?.to_text()),
        }
    }

    fn time(&self) -> Option<i64> {
        let enqueued = self.annotation(annotation::ENQUEUED_TIME).and_then(milliseconds);
        enqueued.or_else(|| self.properties.creation_time.as_ref().map(Timestamp::milliseconds))
    }

    fn position(&self) -> Option<String> {
        let sequence = number(self.annotation(annotation::SEQUENCE_NUMBER)?)?;
        Some(format!("{}/{sequence}", self.place.path))
    }

    fn refused(&self) -> Option<&str> {
        self.refused
    }
}

fn lookup<'a>(annotations: &'a MessageAnnotations, name: &str) -> Option<&'a Value> {
    let key = BorrowedKey::Symbol(SymbolRef(name));
    annotations.get(&key as &dyn AnnotationKey)
}

fn id_text(id: &MessageId) -> Cow<'_, str> {
    match id {
        MessageId::String(text) => Cow::Borrowed(text),
        MessageId::Ulong(number) => Cow::Owned(number.to_string()),
        MessageId::Uuid(uuid) => Cow::Owned(format!("{uuid:x}")),
        MessageId::Binary(bytes) => String::from_utf8_lossy(bytes),
    }
}

fn milliseconds(value: &Value) -> Option<i64> {
    match value {
        Value::Timestamp(time) => Some(time.milliseconds()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Long(number) => Some(*number),
        Value::Int(number) => Some(i64::from(*number)),
        Value::Ulong(number) => i64::try_from(*number).ok(),
        Value::Uint(number) => Some(i64::from(*number)),
        _ => None,
    }
}

/// The types that every transport has.
fn plain(value: &SimpleValue) -> Option<HeaderValue<'_>> {
    Some(match value {
        SimpleValue::Null => HeaderValue::Null,
        SimpleValue::Bool(truth) => HeaderValue::Bool(*truth),
        SimpleValue::Ubyte(number) => HeaderValue::Int(i64::from(*number)),
        SimpleValue::Ushort(number) => HeaderValue::Int(i64::from(*number)),
        SimpleValue::Uint(number) => HeaderValue::Int(i64::from(*number)),
        SimpleValue::Ulong(number) => HeaderValue::Int(i64::try_from(*number).ok()?),
        SimpleValue::Byte(number) => HeaderValue::Int(i64::from(*number)),
        SimpleValue::Short(number) => HeaderValue::Int(i64::from(*number)),
        SimpleValue::Int(number) => HeaderValue::Int(i64::from(*number)),
        SimpleValue::Long(number) => HeaderValue::Int(*number),
        SimpleValue::Float(number) => HeaderValue::Float(f64::from(number.into_inner())),
        SimpleValue::Double(number) => HeaderValue::Float(number.into_inner()),
        SimpleValue::String(text) => HeaderValue::Str(text),
        SimpleValue::Symbol(symbol) => HeaderValue::Str(symbol.as_str()),
        SimpleValue::Binary(bytes) => HeaderValue::Bytes(bytes),
        _ => return None,
    })
}

/// The other types as text: forwarded rather than dropped.
fn plain_or_text(value: SimpleValue) -> SimpleValue {
    match value {
        SimpleValue::Ulong(number) if i64::try_from(number).is_err() => SimpleValue::String(number.to_string()),
        SimpleValue::Uuid(uuid) => SimpleValue::String(format!("{uuid:x}")),
        SimpleValue::Char(letter) => SimpleValue::String(letter.to_string()),
        // Whole milliseconds: seconds, as headers have them, would round.
        SimpleValue::Timestamp(time) => SimpleValue::String(time_text(time.milliseconds())),
        // .NET's own types (a URI, a DateTimeOffset, a TimeSpan) are described values.
        SimpleValue::Described(described) => match described.value {
            Value::String(text) => SimpleValue::String(text),
            Value::Long(number) => SimpleValue::Long(number),
            _ => SimpleValue::Null,
        },
        SimpleValue::Decimal32(_) | SimpleValue::Decimal64(_) | SimpleValue::Decimal128(_) => SimpleValue::Null,
        value => value,
    }
}

/// As RFC 3339 spells it.
fn time_text(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| milliseconds.to_string(), |time| time.to_string())
}
