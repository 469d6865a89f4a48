//! Writing what leaves.

use std::{ops::Range, sync::Arc};

use super::{
    HeaderArena, Message,
    cloudevents::{CloudEvents, Mode, push_binary, push_structured},
    json::push_escaped,
    message::{HOPS_HEADER, Payload},
    metadata::Object,
    text::Text,
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
                if let Some(whole) = message.standard() {
                    body.extend_from_slice(whole);
                } else {
                    push_head(body, message);
                    body.push(b'}');
                }
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

/// What stands before the text of each of the three keys, the quote included.
const BEFORE_TEXTS: [&[u8]; 3] = [br#"{"message_type":""#, br#"","message_name":""#, br#"","message_id":""#];
/// What stands before the payload.
const BEFORE_PAYLOAD: &[u8] = br#"","payload":"#;

/// The four keys, without the closing brace.
fn push_head(body: &mut Vec<u8>, message: &Message) {
    let payload = message.payload();
    body.reserve(payload.len() + 192);
    for (before, text) in BEFORE_TEXTS.into_iter().zip([message.message_type(), message.name(), message.id()]) {
        body.extend_from_slice(before);
        push_escaped(body, text);
    }
    body.extend_from_slice(BEFORE_PAYLOAD);
    body.extend_from_slice(payload);
}

impl Message {
    /// The body it came in, where that is already, byte for byte, what [`Format::Standard`] would write: an envelope that another
    /// bridge or diator wrote need not be written again.
    fn standard(&self) -> Option<&[u8]> {
        let body = &*self.raw.body;
        let mut at = 0;
        // A text that is a span of the body has nothing escaped in it, and nothing in valid JSON that would have to be.
        for (before, text) in BEFORE_TEXTS.into_iter().zip([&self.kind, &self.name, &self.id]) {
            let Text::Body(span) = text else { return None };
            at = follows(body, at, before, span)?;
        }
        let Payload::Body(span) = &self.payload else { return None };
        at = follows(body, at, BEFORE_PAYLOAD, span)?;
        (body.get(at..)? == b"}").then_some(body)
    }
}

/// The end of `span`, where `before` and then the span stand in the body from `at` on.
fn follows(body: &[u8], at: usize, before: &[u8], span: &Range<u32>) -> Option<usize> {
    (body.get(at..span.start as usize)? == before).then_some(span.end as usize)
}
