//! A message as a CloudEvent.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{CloudEvents, STRUCTURED};
use crate::envelope::{HeaderArena, Message, metadata::Object};

/// What the HTTP binding (3.1.3.2) has percent-encoded in a header, beside all that is not ASCII.
const HTTP_ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Appends a structured event; answers its content type.
pub(in crate::envelope) fn push_structured(event: &CloudEvents, message: &Message, body: &mut Vec<u8>) -> &'static str {
    body.reserve(message.payload().len() + 384);
    let mut object = Object::open(body);
    object.text("specversion", "1.0");
    object.text("id", message.id());
    object.text("source", &source(event, message));
    object.joined("type", &event.type_prefix, message.name());
    object.text("messagetype", message.message_type());
    message.each_attribute(|name, value, literal| if literal { object.json(name, value) } else { object.text(name, value) });
    match message.wrapped() {
        Some((media, base64)) => {
            if message.attribute("datacontenttype").is_none() {
                object.text("datacontenttype", media);
            }
            object.text("data_base64", &base64);
        }
        None => object.bytes("data", message.payload()),
    }
    object.close();
    STRUCTURED
}

/// Appends the data and adds a header for each attribute; answers the data's content type, empty for JSON.
pub(in crate::envelope) fn push_binary<'m>(
    event: &CloudEvents,
    prefix: &str,
    message: &'m Message,
    body: &mut Vec<u8>,
    headers: &mut HeaderArena,
) -> &'m str {
    let mut push = |name: &str, value: &str| {
        if prefix == "ce-" {
            headers.push_parts(&[prefix, name], &utf8_percent_encode(value, HTTP_ENCODED).to_string());
        } else {
            headers.push_parts(&[prefix, name], value);
        }
    };
    push("specversion", "1.0");
    push("id", message.id());
    push("source", &source(event, message));
    if event.type_prefix.is_empty() {
        push("type", message.name());
    } else {
        push("type", &format!("{}{}", event.type_prefix, message.name()));
    }
    push("messagetype", message.message_type());
    message.each_attribute(|name, value, _| {
        if name != "datacontenttype" {
            push(name, value);
        }
    });
    message.push_data(body);
    message.media().or_else(|| message.attribute("datacontenttype")).unwrap_or_default()
}

fn source<'a>(event: &'a CloudEvents, message: &'a Message) -> Cow<'a, str> {
    message.metadata("source").unwrap_or(Cow::Borrowed(&event.source))
}
