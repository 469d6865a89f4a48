//! An outgoing message as AMQP has it.

use fe2o3_amqp_types::{
    messaging::{
        ApplicationProperties, Data, Message, MessageAnnotations, MessageId, Properties as AmqpProperties, annotations::OwnedKey,
        message::__private::Serializable,
    },
    primitives::{Binary, OrderedMap, SimpleValue, Symbol, Timestamp, Value},
};

use super::super::properties::{Properties, each_application};
use crate::{
    broker::Outgoing,
    envelope::HeaderValue,
    outcome::{Reason, Refusal},
};

const PARTITION_KEY: &str = "x-opt-partition-key";
const SCHEDULED: &str = "x-opt-scheduled-enqueue-time";

/// One message, and what it must share with those that travel in one batch with it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) message: Message<Data>,
    pub(super) kin: Kin,
}

/// Messages of one batch have one session and one partition key: a partitioned entity refuses others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kin {
    pub(super) session_id: Option<String>,
    pub(super) partition_key: Option<String>,
}

/// A field that makes no property is a refusal that no further try can mend.
pub(super) fn prepare(out: &Outgoing<'_>) -> Result<Prepared, Refusal> {
    let properties = Properties::of(out)?;
    let kin = Kin {
        session_id: properties.session_id.map(str::to_owned),
        partition_key: properties.partition_key.as_deref().map(str::to_owned),
    };
    let message = Message::builder()
        .message_annotations(kin.annotations(properties.scheduled_at))
        .properties(AmqpProperties {
            message_id: Some(MessageId::String(properties.message_id.into_owned())),
            subject: Some(properties.subject.to_owned()).filter(|subject| !subject.is_empty()),
            reply_to: properties.reply_to.map(Into::into),
            correlation_id: properties.correlation_id.map(|id| MessageId::String(id.into_owned())),
            content_type: properties.content_type.map(|kind| symbol(&kind)).transpose()?,
            group_id: kin.session_id.clone(),
            ..AmqpProperties::default()
        })
        .application_properties(application_properties(out))
        .data(Binary::from(out.body))
        .build();
    Ok(Prepared { message, kin })
}

impl Kin {
    /// What they say of where a message goes; also on the envelope of a batch.
    pub(super) fn annotations(&self, scheduled_at: Option<jiff::Timestamp>) -> Option<MessageAnnotations> {
        let mut annotations = OrderedMap::new();
        if let Some(key) = &self.partition_key {
            annotations.insert(OwnedKey::from(PARTITION_KEY), Value::String(key.clone()));
        }
        if let Some(at) = scheduled_at {
            let at = Timestamp::from_milliseconds(at.as_millisecond());
            annotations.insert(OwnedKey::from(SCHEDULED), Value::Timestamp(at));
        }
        (!annotations.is_empty()).then(|| MessageAnnotations(annotations))
    }
}

/// The bytes of a whole message, for the inside of a batch.
pub(super) fn encode(message: &Message<Data>) -> Result<Vec<u8>, Refusal> {
    serde_amqp::to_vec(&Serializable(message)).map_err(|error| Refusal::new(Reason::Final, error.to_string()))
}

fn application_properties(out: &Outgoing<'_>) -> Option<ApplicationProperties> {
    let mut properties = OrderedMap::new();
    each_application(out, &mut |name, value| {
        properties.insert(name.to_owned(), typed(value));
    });
    (!properties.is_empty()).then(|| ApplicationProperties(properties))
}

fn typed(value: HeaderValue<'_>) -> SimpleValue {
    match value {
        HeaderValue::Str(text) => SimpleValue::String(text.to_owned()),
        HeaderValue::Bytes(bytes) => SimpleValue::Binary(Binary::from(bytes)),
        HeaderValue::Int(number) => SimpleValue::Long(number),
        HeaderValue::Float(number) => SimpleValue::from(number),
        HeaderValue::Bool(truth) => SimpleValue::Bool(truth),
        HeaderValue::Time(seconds) => SimpleValue::Timestamp(Timestamp::from_milliseconds(seconds.saturating_mul(1000))),
        HeaderValue::Null => SimpleValue::Null,
    }
}

/// Symbols are ASCII.
fn symbol(text: &str) -> Result<Symbol, Refusal> {
    if text.is_ascii() {
        Ok(Symbol::from(text))
    } else {
        Err(Refusal::new(Reason::Final, format!("the content type `{text}` is not ASCII")))
    }
}
