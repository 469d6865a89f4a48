//! A message as a record (docs/wire.md, "Per broker", Kafka).
//!
//! The value is the body, the key the message's ordering key. Headers of ours: `message_id`, `message_name`, `message_type`,
//! `content-type`, `correlation_id`, `traceparent` and `tracestate`; beside them all that the message came with, in its order and
//! with its duplicates, but what those of ours or of the destination say anew.

use std::borrow::Cow;

use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};

use super::ledger::Slot;
use crate::{
    broker::Outgoing,
    envelope::{HeaderValue, Property},
};

/// Header of the identity that every copy keeps.
pub(super) const ID: &str = "message_id";
/// Header of the event's name.
pub(super) const NAME: &str = "message_name";
/// Header of the kind of event.
pub(super) const TYPE: &str = "message_type";
/// Header of the body's media type, spelled as other clients of Kafka spell it.
pub(super) const CONTENT_TYPE: &str = "content-type";
/// Header of what the message answers or belongs to.
pub(super) const CORRELATION: &str = "correlation_id";

/// Headers with a meaning of their own: those of a message that says them anew are not repeated.
pub(super) const HEADERS: [&str; 5] = [ID, NAME, TYPE, CONTENT_TYPE, CORRELATION];

/// The word by which a carrier says that the record had no value: a tombstone, whose body is read as `null`.
pub(super) const TOMBSTONE: &str = "tombstone";

/// A clock that is further ahead of ours than this is wrong: a broker refuses what comes from the future.
const AHEAD_MAX_MS: i64 = 60_000;

/// The record of a message. `now_ms` is the wall clock.
pub(super) fn of<'a>(outgoing: &'a Outgoing<'a>, slot: Slot, now_ms: i64) -> BaseRecord<'a, [u8], [u8], usize> {
    BaseRecord {
        topic: outgoing.address,
        partition: None,
        payload: value(outgoing),
        key: Some(outgoing.key.as_bytes()).filter(|key| !key.is_empty()),
        timestamp: time(outgoing, now_ms),
        headers: Some(headers(outgoing)),
        delivery_opaque: slot.to_word(),
    }
}

/// A tombstone stays one where its payload leaves as it came; inside an envelope it is the payload `null`.
fn value<'a>(outgoing: &Outgoing<'a>) -> Option<&'a [u8]> {
    let gone = outgoing.body == b"null" && outgoing.message.raw().carrier.word(TOMBSTONE).is_some();
    if gone { None } else { Some(outgoing.body) }
}

/// The message's own time, so that who reads by time finds it where it happened; a broker's retention counts from it. One that
/// nobody can have meant is the time of publishing.
fn time(outgoing: &Outgoing<'_>, now_ms: i64) -> Option<i64> {
    outgoing.message.time_ms().filter(|time| (1..=now_ms.saturating_add(AHEAD_MAX_MS)).contains(time))
}

fn headers(outgoing: &Outgoing<'_>) -> OwnedHeaders {
    let message = outgoing.message;
    let carrier = &*message.raw().carrier;
    let mut headers = Headers(Some(OwnedHeaders::new_with_capacity(HEADERS.len() + outgoing.headers.len())));
    headers.push(ID, message.id().as_bytes());
    headers.push(NAME, message.name().as_bytes());
    headers.push(TYPE, message.message_type().as_bytes());
    if let Some(content_type) = content_type(outgoing) {
        headers.push(CONTENT_TYPE, content_type.as_bytes());
    }
    let correlation = carrier.property(Property::CorrelationId).or_else(|| message.metadata("correlation_id"));
    if let Some(correlation) = correlation {
        headers.push(CORRELATION, correlation.as_bytes());
    }
    let said = |name: &str| HEADERS.contains(&name) || outgoing.headers.iter().any(|(own, _)| *own == name);
    let mut traced = [false; 2];
    message.headers(&mut |name, value| {
        if let Some(at) = TRACE.iter().position(|trace| *trace == name) {
            traced[at] = true;
        }
        if !said(name) {
            headers.carry(name, value);
        }
    });
    for (name, _) in TRACE.iter().zip(traced).filter(|(name, traced)| !traced && !said(name)) {
        // Never overwritten on the way: the first hop's header is the trace.
        if let Some(value) = message.metadata(name) {
            headers.push(name, value.as_bytes());
        }
    }
    for (name, value) in outgoing.headers.iter().filter(|(name, _)| !HEADERS.contains(name)) {
        headers.push(name, value.as_bytes());
    }
    headers.0.unwrap_or_default()
}

const TRACE: [&str; 2] = ["traceparent", "tracestate"];

/// The encoder's; a body that goes on as it came keeps its own. JSON that nobody named is not named.
fn content_type<'a>(outgoing: &'a Outgoing<'_>) -> Option<Cow<'a, str>> {
    if !outgoing.content_type.is_empty() {
        return Some(Cow::Borrowed(outgoing.content_type));
    }
    let raw = outgoing.message.raw();
    if outgoing.body == &*raw.body { raw.carrier.property(Property::ContentType) } else { None }
}

/// Headers under construction: the client's own type is moved with every header that it gets.
struct Headers(Option<OwnedHeaders>);

impl Headers {
    fn insert(&mut self, key: &str, value: Option<&[u8]>) {
        self.0 = self.0.take().map(|headers| headers.insert(Header { key, value }));
    }

    fn push(&mut self, key: &str, value: &[u8]) {
        self.insert(key, Some(value));
    }

    /// A header has no type: every value as people would write it.
    fn carry(&mut self, key: &str, value: HeaderValue<'_>) {
        match value {
            HeaderValue::Str(text) => self.push(key, text.as_bytes()),
            HeaderValue::Bytes(bytes) => self.push(key, bytes),
            HeaderValue::Null => self.insert(key, None),
            HeaderValue::Bool(truth) => self.push(key, if truth { b"true" } else { b"false" }),
            HeaderValue::Int(number) | HeaderValue::Time(number) => {
                self.push(key, itoa::Buffer::new().format(number).as_bytes());
            }
            HeaderValue::Float(number) => self.push(key, number.to_string().as_bytes()),
        }
    }
}
