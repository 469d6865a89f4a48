//! The fifth key of an extended envelope: what is known of an event beside what it says.
//!
//! A fact comes from the first of these that has it: the message's own `metadata`, its CloudEvents attributes, its transport.

use std::borrow::Cow;

use super::{
    HeaderValue, Message, Property,
    field::{child, each_member},
    json::{self, push_escaped, push_string},
};

/// The keys of `metadata`, in the order in which they are written (docs/wire.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Source,
    Timestamp,
    CorrelationId,
    CausationId,
    ActorId,
    Tenant,
    Version,
    Stream,
    Position,
    Sequence,
    Epoch,
    Traceparent,
    Tracestate,
    Hops,
}

/// All of them: as `metadata` spells them, and as a CloudEvents attribute, where underscores are illegal.
pub(super) const KEYS: [(Key, &str, &str); 14] = [
    (Key::Source, "source", "source"),
    (Key::Timestamp, "timestamp", "time"),
    (Key::CorrelationId, "correlation_id", "correlationid"),
    (Key::CausationId, "causation_id", "causationid"),
    (Key::ActorId, "actor_id", "actorid"),
    (Key::Tenant, "tenant", "tenant"),
    (Key::Version, "version", "version"),
    (Key::Stream, "stream", "stream"),
    (Key::Position, "position", "position"),
    (Key::Sequence, "sequence", "sequence"),
    (Key::Epoch, "epoch", "epoch"),
    (Key::Traceparent, "traceparent", "traceparent"),
    (Key::Tracestate, "tracestate", "tracestate"),
    (Key::Hops, "hops", "hops"),
];

/// The members of `metadata` as they came: the known ones at their place, then the others.
#[derive(Debug, Default)]
struct Own<'a> {
    known: [Option<&'a str>; KEYS.len()],
    others: Vec<(&'a str, &'a str)>,
}

impl<'a> Own<'a> {
    fn of(message: &'a Message) -> Self {
        let mut own = Self::default();
        let Some(metadata) = message.metadata_json() else { return own };
        each_member(metadata, |key, value| {
            let known = json::string(key).and_then(|key| KEYS.iter().position(|(_, name, _)| *name == key));
            match known {
                Some(index) => own.known[index] = Some(value).filter(|value| *value != "null"),
                None => own.others.push((key, value)),
            }
        });
        own
    }
}

impl Message {
    /// A key of the extended envelope's `metadata` as text, known from wherever; `None` where nothing knows it.
    pub fn metadata(&self, key: &str) -> Option<Cow<'_, str>> {
        if let Some(own) = self.metadata_field(key) {
            return Some(own);
        }
        match KEYS.iter().find(|(_, name, _)| *name == key) {
            Some((Key::Hops, ..)) => Some(Cow::Owned(self.hops().to_string())),
            Some((known, _, attribute)) => self.attribute(attribute).map(Cow::Borrowed).or_else(|| self.carried(*known)),
            None => self.attribute(key).map(Cow::Borrowed),
        }
    }

    /// What the transport knows.
    fn carried(&self, key: Key) -> Option<Cow<'_, str>> {
        let carrier = &self.raw.carrier;
        match key {
            Key::Timestamp => self.event_time(),
            Key::CorrelationId => carrier.property(Property::CorrelationId),
            Key::Traceparent => carrier.header("traceparent").and_then(HeaderValue::to_text),
            Key::Tracestate => carrier.header("tracestate").and_then(HeaderValue::to_text),
            _ => None,
        }
        .filter(|text| !text.is_empty())
    }

    /// A member of the message's own `metadata` as text.
    pub(super) fn metadata_field(&self, key: &str) -> Option<Cow<'_, str>> {
        json::scalar(child(self.metadata_json()?, key)?)
    }

    /// Appends `metadata`, a JSON object: what is known, in the order of docs/wire.md, then whatever else the message brought there, then
    /// `further`. `source` is for events that name none of their own; `hops` are those the message will have come through.
    pub(crate) fn write_metadata(&self, out: &mut Vec<u8>, source: Option<&str>, hops: u32, further: &[(&str, &str)]) {
        let own = Own::of(self);
        let mut object = Object::open(out);
        for ((key, name, attribute), value) in KEYS.iter().zip(own.known) {
            match (key, value) {
                (Key::Hops, _) if hops > 0 => object.json(name, itoa::Buffer::new().format(hops)),
                (Key::Hops, _) => {}
                (_, Some(value)) => object.json(name, value),
                (_, None) => {
                    let said = self.attribute(attribute).map(Cow::Borrowed).or_else(|| self.carried(*key));
                    let fallback = || source.filter(|_| *key == Key::Source).map(Cow::Borrowed);
                    match said.or_else(fallback) {
                        Some(text) if *key == Key::Sequence => object.number_or_text(name, &text),
                        Some(text) => object.text(name, &text),
                        None => {}
                    }
                }
            }
        }
        for (key, value) in own.others {
            object.as_it_stands(key, value);
        }
        for (key, value) in further {
            object.text(key, value);
        }
        object.close();
    }
}

/// A JSON object while it is written.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    pub(super) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
    }

    /// A member whose key and value are JSON already.
    fn as_it_stands(&mut self, key: &str, value: &str) {
        self.comma();
        self.out.extend_from_slice(key.as_bytes());
        self.out.push(b':');
        self.out.extend_from_slice(value.as_bytes());
    }

    fn key(&mut self, key: &str) {
        self.comma();
        push_string(self.out, key);
        self.out.push(b':');
    }

    /// Two texts in a row as one.
    pub(super) fn joined(&mut self, key: &str, first: &str, second: &str) {
        self.key(key);
        self.out.push(b'"');
        push_escaped(self.out, first);
        push_escaped(self.out, second);
        self.out.push(b'"');
    }

    pub(super) fn json(&mut self, key: &str, value: &str) {
        self.bytes(key, value.as_bytes());
    }

    /// A value that is JSON already.
    pub(super) fn bytes(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(value);
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        push_string(self.out, value);
    }

    /// Digits as a number, without the zeros before it; anything else as text.
    fn number_or_text(&mut self, key: &str, value: &str) {
        match value.parse::<u64>() {
            Ok(number) => self.json(key, itoa::Buffer::new().format(number)),
            Err(_) => self.text(key, value),
        }
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }
}
