//! CloudEvents 1.0 (the CNCF specification, its JSON format, and its HTTP, Kafka and AMQP bindings).
//!
//! `message_id` is `id`, `message_name` is `type`, `message_type` is the extension `messagetype`, `payload` is `data`. An envelope
//! that becomes a CloudEvent and an envelope again is byte-equal; attributes that an envelope has no place for are kept from one
//! CloudEvent to the next.

mod read;
mod write;

pub(super) use read::{Media, binary, media, structured};
pub(super) use write::{push_binary, push_structured};

use std::{borrow::Cow, sync::Arc};

use super::{Message, text::Text};

/// Prefixes of the attributes among the headers, in binary mode: HTTP, Kafka, AMQP (both spellings of its binding), and none, for
/// the fields of a stream. Beside each, the header that says that there are others: every message is asked for it.
const PREFIXES: [(&str, &str); 5] = [
    ("ce-", "ce-specversion"),
    ("ce_", "ce_specversion"),
    ("cloudEvents_", "cloudEvents_specversion"),
    ("cloudEvents:", "cloudEvents:specversion"),
    ("", "specversion"),
];

/// The attributes that an envelope's keys hold, or that every event has.
const REQUIRED: [&str; 5] = ["specversion", "id", "source", "type", "messagetype"];

/// Content type of a structured event.
const STRUCTURED: &str = "application/cloudevents+json";

/// `envelope: cloudevents`.
#[derive(Debug, Clone)]
pub struct CloudEvents {
    /// Where the attributes stand.
    pub mode: Mode,
    /// Put before `message_name` to make `type`.
    pub type_prefix: Arc<str>,
    /// `source` of events that name none of their own.
    pub source: Arc<str>,
}

/// Where a CloudEvent's attributes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In the body, beside the data.
    Structured,
    /// In headers with this prefix (`ce-` HTTP, `ce_` Kafka, `cloudEvents_` AMQP, empty for the fields of a stream); the body is the
    /// data.
    Binary {
        /// The transport's prefix.
        prefix: &'static str,
    },
}

/// Attributes of a CloudEvent that no key of an envelope holds; also the `timestamp` of a Standard Webhook, as `time`.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    all: Vec<Attribute>,
    /// The prefix that they had among the headers, in binary mode.
    binary: Option<&'static str>,
}

#[derive(Debug)]
struct Attribute {
    name: Box<str>,
    value: Text,
    /// A number or a boolean: without quotes in JSON.
    literal: bool,
}

impl Attributes {
    /// Sets one; of a repeated name the last value counts.
    pub(super) fn set(&mut self, name: &str, value: Text, literal: bool) {
        self.all.retain(|attribute| &*attribute.name != name);
        self.all.push(Attribute { name: name.into(), value, literal });
    }

    /// The text of one.
    pub(super) fn get<'a>(&'a self, body: &'a [u8], name: &str) -> Option<&'a str> {
        self.all.iter().find(|attribute| &*attribute.name == name).map(|attribute| attribute.value.within(body))
    }

    /// True where they came among the headers.
    pub(super) fn came_as_headers(&self) -> bool {
        self.binary.is_some()
    }

    /// True where the header `name` is one of them.
    pub(super) fn came_as(&self, name: &str) -> bool {
        match self.binary {
            Some("") => REQUIRED.contains(&name) || self.all.iter().any(|attribute| &*attribute.name == name),
            Some(prefix) => name.starts_with(prefix),
            None => false,
        }
    }
}

impl Message {
    /// A CloudEvents attribute that came with the message.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.as_ref()?.get(&self.raw.body, name).filter(|text| !text.is_empty())
    }

    /// Everything that a CloudEvent says beside its four required attributes and its data, each with whether it is a literal: the
    /// attributes it came with, then what its `metadata`, its key and its transport know under an attribute's name.
    fn each_attribute(&self, mut each: impl FnMut(&str, &str, bool)) {
        use super::metadata::{KEYS, Key};
        let own = self.attributes.as_deref().map(|attributes| attributes.all.as_slice()).unwrap_or_default();
        for attribute in own.iter().filter(|attribute| &*attribute.name != "source") {
            each(&attribute.name, attribute.value.within(&self.raw.body), attribute.literal);
        }
        let has = |name: &str| own.iter().any(|attribute| &*attribute.name == name);
        for (key, name, attribute) in KEYS.iter().filter(|(key, ..)| !matches!(key, Key::Source | Key::Hops)) {
            let known = if has(attribute) {
                None
            } else if *key == Key::Timestamp {
                self.event_time()
            } else {
                self.metadata(name)
            };
            match known {
                Some(text) if *key == Key::Sequence => each(attribute, &padded(&text), false),
                Some(text) => each(attribute, &text, false),
                None => {}
            }
        }
        if !has("partitionkey")
            && let Some(key) = self.key()
        {
            each("partitionkey", &key, false);
        }
    }
}

/// A sequence number with the zeros that make its order the order of its text.
fn padded(sequence: &str) -> Cow<'_, str> {
    match sequence.parse::<u64>() {
        Ok(number) => Cow::Owned(format!("{number:020}")),
        Err(_) => Cow::Borrowed(sequence),
    }
}
