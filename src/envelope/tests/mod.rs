//! What is recognised, as whom, and how it leaves.

mod cloudevents;
mod formats;
mod identity;
mod properties;
mod recognition;

use std::{borrow::Cow, sync::Arc};

use super::*;

/// A carrier with what a test puts on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parcel {
    pub(crate) properties: Vec<(Property, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) words: Vec<(&'static str, String)>,
    pub(crate) time: Option<i64>,
    pub(crate) position: Option<String>,
}

impl Parcel {
    pub(crate) fn property(mut self, property: Property, value: &str) -> Self {
        self.properties.push((property, value.to_owned()));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn word(mut self, name: &'static str, value: &str) -> Self {
        self.words.push((name, value.to_owned()));
        self
    }

    pub(crate) fn position(mut self, position: &str) -> Self {
        self.position = Some(position.to_owned());
        self
    }

    pub(crate) fn with(self, body: impl AsRef<[u8]>) -> RawMessage {
        RawMessage { body: body.as_ref().to_vec().into(), carrier: Arc::new(self) }
    }
}

fn found<'a, K: PartialEq + ?Sized>(pairs: &'a [(impl std::borrow::Borrow<K>, String)], key: &K) -> Option<&'a str> {
    pairs.iter().find(|(name, _)| name.borrow() == key).map(|(_, value)| value.as_str())
}

impl Carrier for Parcel {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        found(&self.properties, &property).map(Cow::Borrowed)
    }
    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        found(&self.headers, name).map(HeaderValue::Str)
    }
    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        for (name, value) in &self.headers {
            each(name, HeaderValue::Str(value));
        }
    }
    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        found(&self.words, name).map(Cow::Borrowed)
    }
    fn time(&self) -> Option<i64> {
        self.time
    }
    fn position(&self) -> Option<String> {
        self.position.clone()
    }
}

const NOW: i64 = 1_700_000_000_000;

fn rules() -> DecodeRules {
    DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 20, broker: "mq".into() }
}

fn pinned(shape: Decode) -> DecodeRules {
    DecodeRules { shape, ..rules() }
}

/// A body and nothing beside it.
fn alone(body: impl AsRef<[u8]>) -> RawMessage {
    Parcel::default().with(body)
}

fn read(raw: RawMessage) -> Message {
    decode(raw, &rules(), NOW).unwrap_or_else(|undecoded| panic!("{}", undecoded.rejection))
}

fn refused(raw: RawMessage, rules: &DecodeRules) -> String {
    decode(raw, rules, NOW).expect_err("a rejection").rejection.to_string()
}

/// Body, content type and headers of a message in a form.
fn sent(format: &Format, message: &Message) -> (String, String, Vec<(String, String)>) {
    let (mut body, mut headers) = (Vec::new(), HeaderArena::default());
    let media = format.encode(message, &mut body, &mut headers).to_owned();
    let headers = headers.iter(0..headers.len()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (String::from_utf8(body).expect("UTF-8"), media, headers)
}

fn standard(message: &Message) -> String {
    sent(&Format::Standard, message).0
}

/// What a receiver of a sent message has in its hands.
fn received((body, media, headers): (String, String, Vec<(String, String)>)) -> RawMessage {
    let parcel = Parcel { headers, ..Parcel::default() };
    let parcel = if media.is_empty() { parcel } else { parcel.property(Property::ContentType, &media) };
    parcel.with(body)
}

fn structured() -> Format {
    Format::CloudEvents(CloudEvents { mode: Mode::Structured, type_prefix: "".into(), source: "urn:rialto:test".into() })
}

fn binary(prefix: &'static str) -> Format {
    Format::CloudEvents(CloudEvents { mode: Mode::Binary { prefix }, type_prefix: "".into(), source: "urn:rialto:test".into() })
}
