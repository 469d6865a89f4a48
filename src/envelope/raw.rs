//! A message as its source has it: a body and, untouched, whatever travelled beside it.

use std::{any::Any, borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;

/// One message as received. Cloning it is two reference counts.
#[derive(Debug, Clone)]
pub struct RawMessage {
    /// The bytes that arrived; nothing below the router changes or copies them.
    pub body: Bytes,
    /// Headers, properties and position, in the source's own form.
    pub carrier: Arc<dyn Carrier>,
}

/// The properties that several transports have under different names (docs/wire.md, "Per broker").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Property {
    /// AMQP and Service Bus `message_id`, stream field or Kafka header `message_id`, `webhook-id`.
    Id,
    /// The transport's own type: AMQP `type`, Kafka header `message_name`, Service Bus `Subject`, URL path.
    Name,
    /// Header or field `message_type`.
    Type,
    /// The message's own ordering key: Kafka record key, `SessionId`, `partitionkey`.
    Key,
    /// MIME type of the body.
    ContentType,
    /// What this message answers or belongs to.
    CorrelationId,
}

/// A header's value, as typed as its transport has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeaderValue<'a> {
    /// Text.
    Str(&'a str),
    /// Bytes that are not text.
    Bytes(&'a [u8]),
    /// Any integer type.
    Int(i64),
    /// Any float type.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// Seconds since the Unix epoch.
    Time(i64),
    /// Present, without a value.
    Null,
}

impl<'a> HeaderValue<'a> {
    /// As text, for templates and matching; `None` for bytes that are not UTF-8 and for null.
    pub fn to_text(self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Str(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
            Self::Int(number) | Self::Time(number) => Cow::Owned(number.to_string()),
            Self::Float(number) => Cow::Owned(number.to_string()),
            Self::Bool(truth) => Cow::Borrowed(if truth { "true" } else { "false" }),
            Self::Null => return None,
        })
    }
}

/// What came with a body. Each source implements it over its client library's own structure, so that nothing is converted
/// before something asks for it.
pub trait Carrier: Any + fmt::Debug + Send + Sync {
    /// A property that the transport knows by a name of its own; `None` where absent or not text.
    fn property(&self, property: Property) -> Option<Cow<'_, str>>;

    /// A header by its exact name.
    fn header(&self, name: &str) -> Option<HeaderValue<'_>>;

    /// Every header the producer set, without what the transport itself added (`x-death`, `x-delivery-count`).
    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>));

    /// A transport word: `queue`, `exchange`, `routing_key`, `topic`, `partition`, `offset`, `channel`, `stream` and `path` for
    /// templates such as `{queue}`, and `x` for `{property.x}` (AMQP's `type`, `app_id`, `reply_to`…); `None` where this transport
    /// has no such word.
    fn word(&self, name: &str) -> Option<Cow<'_, str>>;

    /// When the producer or transport says it was sent: milliseconds since the Unix epoch.
    fn time(&self) -> Option<i64>;

    /// Where it stands in its source, if that survives a redelivery: (topic, partition, offset) or (stream, entry id) as one text.
    /// The seed of a UUIDv5 identity, and `rialto-dead-original-position`.
    fn position(&self) -> Option<String>;

    /// Why the message must be rejected, whatever its body says: its source cannot make a message of it.
    fn refused(&self) -> Option<&str> {
        None
    }

    /// The message has its identity now: told to a source whose producer waits to hear it.
    fn identified(&self, id: &str) {
        let _ = id;
    }
}

/// A carrier with nothing in it, for bodies that come alone (a pub/sub message, a line, a test).
#[derive(Debug, Clone, Copy, Default)]
pub struct Bare;

impl Carrier for Bare {
    fn property(&self, _: Property) -> Option<Cow<'_, str>> {
        None
    }
    fn header(&self, _: &str) -> Option<HeaderValue<'_>> {
        None
    }
    fn headers(&self, _: &mut dyn FnMut(&str, HeaderValue<'_>)) {}
    fn word(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
    fn time(&self) -> Option<i64> {
        None
    }
    fn position(&self) -> Option<String> {
        None
    }
}
