//! What travels beside an AMQP body: basic properties and the header table, read in place.

use std::{borrow::Cow, sync::Arc};

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::envelope::{Carrier, HeaderValue, Property, RawMessage};

/// The properties and the address of one delivery.
#[derive(Debug)]
pub(super) struct AmqpCarrier {
    queue: Arc<str>,
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
}

/// A delivery without its acknowledgement: that is told by the channel's tags. The body is not copied.
pub(super) fn raw_message(delivery: Delivery, queue: &Arc<str>) -> RawMessage {
    let Delivery { exchange, routing_key, properties, data, .. } = delivery;
    let carrier = AmqpCarrier { queue: Arc::clone(queue), exchange, routing_key, properties };
    RawMessage { body: data.into(), carrier: Arc::new(carrier) }
}

impl AmqpCarrier {
    fn table(&self) -> Option<&FieldTable> {
        self.properties.headers().as_ref()
    }

    fn text_header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.header(name)?.to_text()
    }

    /// A basic property by the name the specification gives it (AMQP 0-9-1, section 1.8.1).
    fn basic(&self, name: &str) -> Option<Cow<'_, str>> {
        let properties = &self.properties;
        let text = match name {
            "content_type" => properties.content_type(),
            "content_encoding" => properties.content_encoding(),
            "correlation_id" => properties.correlation_id(),
            "reply_to" => properties.reply_to(),
            "expiration" => properties.expiration(),
            "message_id" => properties.message_id(),
            "type" => properties.kind(),
            "user_id" => properties.user_id(),
            "app_id" => properties.app_id(),
            "cluster_id" => properties.cluster_id(),
            "delivery_mode" => return properties.delivery_mode().map(|number| number.to_string().into()),
            "priority" => return properties.priority().map(|number| number.to_string().into()),
            "timestamp" => return properties.timestamp().map(|seconds| seconds.to_string().into()),
            _ => return None,
        };
        text.as_ref().map(|text| Cow::Borrowed(text.as_str()))
    }
}

impl Carrier for AmqpCarrier {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        match property {
            // An id over 255 bytes fits no property: it travels as a header, ours does too.
            Property::Id => self.basic("message_id").or_else(|| self.text_header("message_id")),
            Property::Name => self.basic("type"),
            Property::Type => self.text_header("message_type"),
            Property::Key => None,
            Property::ContentType => self.basic("content_type"),
            Property::CorrelationId => self.basic("correlation_id"),
        }
    }

    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        if is_brokers_own(name) {
            return None;
        }
        plain(self.table()?.inner().get(name)?)
    }

    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        for (name, value) in self.table().into_iter().flatten() {
            let name = name.as_str();
            if is_brokers_own(name) {
                continue;
            }
            match plain(value) {
                Some(value) => each(name, value),
                None => each(name, HeaderValue::Str(&nested(value).to_string())),
            }
        }
    }

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "queue" => Some(Cow::Borrowed(&self.queue)),
            "exchange" => Some(Cow::Borrowed(self.exchange.as_str())),
            "routing_key" => Some(Cow::Borrowed(self.routing_key.as_str())),
            _ => self.basic(name),
        }
    }

    fn time(&self) -> Option<i64> {
        i64::try_from((*self.properties.timestamp())?).ok()?.checked_mul(1000)
    }

    /// A queue has no position that survives a redelivery.
    fn position(&self) -> Option<String> {
        None
    }
}

/// Headers that RabbitMQ adds by itself when it redelivers or dead-letters.
fn is_brokers_own(name: &str) -> bool {
    matches!(name, "x-death" | "x-delivery-count" | "x-acquired-count" | "x-stream-offset")
        || name.starts_with("x-first-death-")
        || name.starts_with("x-last-death-")
}

/// The scalar types; `None` for an array, a table and a decimal.
fn plain(value: &AMQPValue) -> Option<HeaderValue<'_>> {
    Some(match value {
        AMQPValue::Boolean(truth) => HeaderValue::Bool(*truth),
        AMQPValue::ShortShortInt(number) => HeaderValue::Int(i64::from(*number)),
        AMQPValue::ShortShortUInt(number) => HeaderValue::Int(i64::from(*number)),
        AMQPValue::ShortInt(number) => HeaderValue::Int(i64::from(*number)),
        AMQPValue::ShortUInt(number) => HeaderValue::Int(i64::from(*number)),
        AMQPValue::LongInt(number) => HeaderValue::Int(i64::from(*number)),
        AMQPValue::LongUInt(number) => HeaderValue::Int(i64::from(*number)),
        AMQPValue::LongLongInt(number) => HeaderValue::Int(*number),
        AMQPValue::Float(number) => HeaderValue::Float(f64::from(*number)),
        AMQPValue::Double(number) => HeaderValue::Float(*number),
        AMQPValue::Timestamp(seconds) => HeaderValue::Time(i64::try_from(*seconds).ok()?),
        AMQPValue::ShortString(text) => HeaderValue::Str(text.as_str()),
        AMQPValue::LongString(bytes) => match std::str::from_utf8(bytes.as_bytes()) {
            Ok(text) => HeaderValue::Str(text),
            Err(_) => HeaderValue::Bytes(bytes.as_bytes()),
        },
        AMQPValue::ByteArray(bytes) => HeaderValue::Bytes(bytes.as_slice()),
        AMQPValue::Void => HeaderValue::Null,
        AMQPValue::DecimalValue(_) | AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) => return None,
    })
}

/// What no other transport has a type for, as JSON: forwarded as text rather than dropped.
fn nested(value: &AMQPValue) -> serde_json::Value {
    use serde_json::Value;
    match value {
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(nested).collect(),
        AMQPValue::FieldTable(table) => table.into_iter().map(|(key, value)| (key.to_string(), nested(value))).collect(),
        AMQPValue::DecimalValue(decimal) => Value::String(format!("{}e-{}", decimal.value, decimal.scale)),
        scalar => match plain(scalar) {
            Some(HeaderValue::Bool(truth)) => Value::Bool(truth),
            Some(HeaderValue::Int(number) | HeaderValue::Time(number)) => Value::from(number),
            Some(HeaderValue::Float(number)) => Value::from(number),
            Some(HeaderValue::Str(text)) => Value::from(text),
            Some(HeaderValue::Bytes(bytes)) => Value::from(String::from_utf8_lossy(bytes).into_owned()),
            Some(HeaderValue::Null) | None => Value::Null,
        },
    }
}
