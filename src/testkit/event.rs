//! Events to put in, and messages that came out.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};

use crate::envelope::{Bare, Carrier, Decode, DecodeRules, HeaderValue, Message, Property, RawMessage, decode};

/// An event as a producer would send it: an envelope, unless it is told otherwise.
#[derive(Debug, Clone)]
pub struct TestEvent {
    message_type: String,
    name: String,
    id: Option<String>,
    key: Option<String>,
    payload: String,
    headers: BTreeMap<String, String>,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Envelope,
    CloudEvent(String),
    Bare,
    Bytes(Bytes),
}

impl TestEvent {
    /// A `domain_event`: for handlers and webhooks.
    pub fn domain(name: &str) -> Self {
        Self::of("domain_event", name)
    }

    /// A `notification_event`.
    pub fn notification(name: &str) -> Self {
        Self::of("notification_event", name)
    }

    /// An `ecst_event`: it carries a state.
    pub fn state(name: &str) -> Self {
        Self::of("ecst_event", name)
    }

    /// An event of any type.
    pub fn of(message_type: &str, name: &str) -> Self {
        Self {
            message_type: message_type.to_owned(),
            name: name.to_owned(),
            id: None,
            key: None,
            payload: "{}".to_owned(),
            headers: BTreeMap::new(),
            form: Form::Envelope,
        }
    }

    /// A body as it is, be it an event or not: what an unknown producer sends.
    pub fn body(bytes: impl Into<Bytes>) -> Self {
        Self { form: Form::Bytes(bytes.into()), ..Self::of("", "") }
    }

    /// Its id; otherwise `test-1`, `test-2`, …
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Its payload, JSON: a text, or what [`serde_json::json!`] makes.
    ///
    /// # Panics
    /// Where it is no JSON: that would be another test ([`TestEvent::body`]).
    #[must_use]
    pub fn payload(mut self, json: impl fmt::Display) -> Self {
        self.payload = json.to_string();
        assert!(serde_json::from_str::<&RawValue>(&self.payload).is_ok(), "a payload is JSON, and this is none: {}", self.payload);
        self
    }

    /// Its ordering key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// A header beside the body.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// As a `CloudEvent` in structured mode, from this source.
    #[must_use]
    pub fn as_cloud_event(mut self, source: &str) -> Self {
        self.form = Form::CloudEvent(source.to_owned());
        self.header("content-type", "application/cloudevents+json")
    }

    /// As its payload alone.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.form = Form::Bare;
        self
    }

    /// Body and what travels beside it.
    pub(super) fn message(self) -> Stored {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let Self { message_type, name, id, key, payload, headers, form } = self;
        let id = id.unwrap_or_else(|| format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let (message_type, name, id) = (json!(message_type), json!(name), json!(id));
        let body = match form {
            Form::Envelope => {
                format!(r#"{{"message_type":{message_type},"message_name":{name},"message_id":{id},"payload":{payload}}}"#).into()
            }
            Form::CloudEvent(source) => {
                let source = json!(source);
                let event = format!(r#"{{"specversion":"1.0","type":{name},"source":{source},"id":{id},"data":{payload}}}"#);
                event.into()
            }
            Form::Bare => Bytes::from(payload),
            Form::Bytes(bytes) => bytes,
        };
        Stored { body, id: None, key, headers }
    }
}

/// A message in memory, and the carrier of what is read from there.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) body: Bytes,
    /// The transport's own id.
    pub(super) id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
}

impl Stored {
    pub(super) fn raw(&self) -> RawMessage {
        RawMessage { body: self.body.clone(), carrier: Arc::new(self.clone()) }
    }
}

impl Carrier for Stored {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        let known = match property {
            Property::Id => self.id.as_deref(),
            Property::Key => self.key.as_deref(),
            Property::CorrelationId => self.headers.get("correlation_id").map(String::as_str),
            Property::ContentType => self.headers.get("content-type").map(String::as_str),
            Property::Name => self.headers.get("message_name").map(String::as_str),
            Property::Type => self.headers.get("message_type").map(String::as_str),
        };
        known.map(Cow::Borrowed)
    }
    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        self.headers.get(name).map(|value| HeaderValue::Str(value))
    }
    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        self.headers.iter().for_each(|(name, value)| each(name, HeaderValue::Str(value)));
    }
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

/// A message that was published, as a test looks at it.
#[derive(Debug, Clone)]
pub struct Published {
    stored: Stored,
    message: Option<Message>,
}

impl Published {
    pub(super) fn of(stored: Stored) -> Self {
        let rules = DecodeRules { shape: Decode::Auto, any: true, message_max: u64::from(u32::MAX), broker: "memory".into() };
        let raw = RawMessage { body: stored.body.clone(), carrier: Arc::new(Bare) };
        Self { message: decode(raw, &rules, 0).ok(), stored }
    }

    /// The bytes that were published.
    pub fn body(&self) -> &[u8] {
        &self.stored.body
    }

    /// The body as text, for messages of assertions.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stored.body)
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.stored.headers.get(name).map(String::as_str)
    }

    /// Its ordering key.
    pub fn key(&self) -> Option<&str> {
        self.stored.key.as_deref()
    }

    /// The event's type; empty where the body is no event.
    pub fn message_type(&self) -> &str {
        self.message.as_ref().map_or("", Message::message_type)
    }

    /// The event's name.
    pub fn name(&self) -> &str {
        self.message.as_ref().map_or("", Message::name)
    }

    /// The event's id.
    pub fn id(&self) -> &str {
        self.message.as_ref().map_or("", Message::id)
    }

    /// The event's payload as a value.
    ///
    /// # Panics
    /// Where it has another shape; the message says what came.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let payload = self.message.as_ref().map_or(self.body(), Message::payload);
        serde_json::from_slice(payload).unwrap_or_else(|error| panic!("the payload has another shape ({error}): {}", self.text()))
    }

    /// The event's payload as any JSON.
    ///
    /// # Panics
    /// Where it is no JSON.
    pub fn payload(&self) -> Value {
        self.json()
    }
}
