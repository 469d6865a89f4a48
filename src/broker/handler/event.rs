//! An event as a handler gets it.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::de::DeserializeOwned;

use crate::{
    broker::Outgoing,
    envelope::{HeaderValue, Message},
};

/// One event, for one call of one handler. Cloning it is a few reference counts.
#[derive(Clone)]
pub struct Event {
    message: Message,
    /// What the destination's `headers` say; they win over those that came.
    headers: Arc<[(Box<str>, Box<str>)]>,
    attempt: u32,
}

impl Event {
    pub(super) fn of(outgoing: &Outgoing<'_>) -> Self {
        let headers = outgoing.headers.iter().map(|(name, value)| (Box::from(*name), Box::from(*value))).collect();
        Self { message: outgoing.message.clone(), headers, attempt: outgoing.attempt }
    }

    /// `domain_event`, `notification_event`, `ecst_event`, or what its producer calls it.
    pub fn message_type(&self) -> &str {
        self.message.message_type()
    }

    /// What happened: `UserJoined`.
    pub fn name(&self) -> &str {
        self.message.name()
    }

    /// Its identity, which stays over redeliveries and bridges: what a handler is idempotent by.
    pub fn id(&self) -> &str {
        self.message.id()
    }

    /// The payload as it came: JSON, or the whole body where the source decodes `any`.
    pub fn payload(&self) -> &[u8] {
        self.message.payload()
    }

    /// The payload as a value.
    ///
    /// # Errors
    /// Where it has another shape. Trying again will not change that: `event.json().map_err(Permanent::new)?`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.payload())
    }

    /// A header by its exact name, as text.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let own = self.headers.iter().find(|(own, _)| **own == *name);
        own.map(|(_, value)| Cow::Borrowed(&**value))
            .or_else(|| self.message.raw().carrier.header(name).and_then(HeaderValue::to_text))
    }

    /// All headers as text: those that came, but for what the destination sets anew, and those that it sets.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        self.message.headers(&mut |name, value| {
            if let Some(text) = value.to_text().filter(|_| !self.headers.iter().any(|(own, _)| **own == *name)) {
                all.push((name.to_owned(), text.into_owned()));
            }
        });
        all.extend(self.headers.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        all
    }

    /// What it belongs to, by its metadata or its transport.
    pub fn correlation_id(&self) -> Option<Cow<'_, str>> {
        self.message.metadata("correlation_id")
    }

    /// A key of the extended envelope's metadata (docs/wire.md), known from wherever: `traceparent`, `source`, `timestamp`.
    pub fn metadata(&self, key: &str) -> Option<Cow<'_, str>> {
        self.message.metadata(key)
    }

    /// When its producer or transport says it was sent: milliseconds since the Unix epoch.
    pub fn time_ms(&self) -> Option<i64> {
        self.message.time_ms()
    }

    /// Which try this is, from 1. A restart forgets the tries before it.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// Without the payload, which may hold what no log should.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("message_type", &self.message_type())
            .field("name", &self.name())
            .field("id", &self.id())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
