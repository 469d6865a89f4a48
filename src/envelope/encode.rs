//! Writing what leaves.

use std::sync::Arc;

use super::{
    HeaderArena, Message,
    cloudevents::{CloudEvents, Mode, push_binary, push_structured},
    json::push_string,
    message::HOPS_HEADER,
    metadata::Object,
    time::rfc3339,
};

/// `envelope:`, the form in which a destination gets its messages.
#[derive(Debug, Clone, Default)]
pub enum Format {
    /// The four keys of diator's `Message`, in its order, compact, around the payload's own bytes.
    #[default]
    Standard,
    /// The four keys, and `metadata`.
    Extended {
        /// `metadata.source` of events that name none of their own.
        source: Arc<str>,
    },
    /// CloudEvents 1.0.
    CloudEvents(CloudEvents),
    /// The payload alone; one that is no JSON as the bytes it is.
    Payload,
    /// `{type, timestamp, data}`.
    StandardWebhook,
}

impl Format {
    /// Appends the body of `message` and adds the headers that belong to this form, `rialto-hops` among them; answers its content
    /// type, empty for JSON. Allocates nothing but what the two buffers grow by, in the forms that need no times.
    pub fn encode<'m>(&self, message: &'m Message, body: &mut Vec<u8>, headers: &mut HeaderArena) -> &'m str {
        let hops = message.hops().saturating_add(1);
        headers.push_number(HOPS_HEADER, hops);
        match self {
            Self::Standard => {
                push_head(body, message);
                body.push(b'}');
                ""
            }
            Self::Extended { source } => {
                push_extended(body, message, Some(source), hops, &[]);
                ""
            }
            Self::CloudEvents(event) => match event.mode {
                Mode::Structured => push_structured(event, message, body),
                Mode::Binary { prefix } => push_binary(event, prefix, message, body, headers),
            },
            Self::Payload => {
                message.push_data(body);
                message.media().unwrap_or_default()
            }
            Self::StandardWebhook => {
                let time = message.event_time().unwrap_or_else(|| rfc3339(message.received_ms()).into());
                let mut object = Object::open(body);
                object.text("type", message.name());
                object.text("timestamp", &time);
                object.bytes("data", message.payload());
                object.close();
                ""
            }
        }
    }
}

/// Four keys and `metadata`, with `further` keys in it.
pub(crate) fn push_extended(body: &mut Vec<u8>, message: &Message, source: Option<&str>, hops: u32, further: &[(&str, &str)]) {
    push_head(body, message);
    body.extend_from_slice(br#","metadata":"#);
    message.write_metadata(body, source, hops, further);
    body.push(b'}');
}

/// The four keys, without the closing brace.
fn push_head(body: &mut Vec<u8>, message: &Message) {
    let payload = message.payload();
    body.reserve(payload.len() + 192);
    body.extend_from_slice(br#"{"message_type":"#);
    push_string(body, message.message_type());
    body.extend_from_slice(br#","message_name":"#);
    push_string(body, message.name());
    body.extend_from_slice(br#","message_id":"#);
    push_string(body, message.id());
    body.extend_from_slice(br#","payload":"#);
    body.extend_from_slice(payload);
}
