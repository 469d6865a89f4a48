//! A message as a record (docs/wire.md, "Per broker", Kafka).
//!
//! The value is the body, the key the message's ordering key. Headers of ours: `message_id`, `message_name`, `message_type`,
//! `content-type`, `correlation_id`, `traceparent` and `tracestate`; beside them all that the message came with, in its order and
//! with its duplicates, but what those of ours or of the destination say anew.

use std::{any::Any, borrow::Cow};

use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};

use super::{
    carrier::Record,
    ledger::Slot,
    letter,
    prefix::{self, Prefix},
    target::Options,
};
use crate::{
    broker::Outgoing,
    envelope::{HeaderValue, Property},
    outcome::{Reason, Refusal},
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

/// The headers that carry what other transports have properties for: those of a message that says them anew are not repeated.
pub(super) const HEADERS: [(Property, &str); 5] = [
    (Property::Id, ID),
    (Property::Name, NAME),
    (Property::Type, TYPE),
    (Property::ContentType, CONTENT_TYPE),
    (Property::CorrelationId, CORRELATION),
];

/// The word by which a carrier says that the record had no value: a tombstone, whose body is read as `null`.
pub(super) const TOMBSTONE: &str = "tombstone";

/// A clock that is further ahead of ours than this is wrong: a broker refuses what comes from the future.
const AHEAD_MAX_MS: i64 = 60_000;

/// Whether a header of this name is one of [`HEADERS`].
pub(super) fn is_property(name: &str) -> bool {
    HEADERS.iter().any(|(_, own)| *own == name)
}

/// The record of a message. `now_ms` is the wall clock; `value` is room for a value that is not the body itself. The error is for a
/// message that no further try can mend.
pub(super) fn of<'a>(
    outgoing: &'a Outgoing<'a>,
    slot: Slot,
    now_ms: i64,
    value: &'a mut Vec<u8>,
) -> Result<BaseRecord<'a, [u8], [u8], usize>, Refusal> {
    let options =
        Options::of(outgoing.target).ok_or_else(|| Refusal::new(Reason::Final, "this target is not of the kind `kafka`"))?;
    let is_gone = is_tombstone(outgoing);
    let prefix = if is_gone { None } else { prefix(outgoing, options) };
    if let Some((prefix, id)) = prefix {
        prefix.value(outgoing, id, value)?;
    }
    let payload = if is_gone {
        None
    } else if prefix.is_some() {
        Some(value.as_slice())
    } else {
        Some(outgoing.body)
    };
    Ok(BaseRecord {
        topic: outgoing.address,
        partition: None,
        payload,
        key: key(outgoing),
        timestamp: time(outgoing, now_ms),
        headers: Some(headers(outgoing, options, prefix.is_some())),
        delivery_opaque: slot.to_word(),
    })
}

/// The ordering key. A record whose key is no text has none to order or to route by, and keeps it all the same; and a dead letter has the
/// key that its message came with, whatever it would have been elsewhere.
fn key<'a>(outgoing: &Outgoing<'a>) -> Option<&'a [u8]> {
    let carrier: &dyn Any = &*outgoing.message.raw().carrier;
    let own = carrier.downcast_ref::<Record>().and_then(Record::key);
    let chosen = Some(outgoing.key.as_bytes()).filter(|key| !key.is_empty());
    match own {
        Some(_) if letter::is_dead(outgoing) => own,
        Some(bytes) if chosen.is_none() && (bytes.is_empty() || std::str::from_utf8(bytes).is_err()) => own,
        _ => chosen,
    }
}

/// A tombstone stays one where its payload leaves as it came; inside an envelope it is the payload `null`.
fn is_tombstone(outgoing: &Outgoing<'_>) -> bool {
    outgoing.body == b"null" && outgoing.message.raw().carrier.word(TOMBSTONE).is_some()
}

/// The schema's prefix and what the destination says of its id. A dead letter has the one that its message came with.
fn prefix<'a>(outgoing: &Outgoing<'a>, options: &Options) -> Option<(Prefix, Option<&'a str>)> {
    match options.prefix {
        Some(prefix) => Some((prefix, options.schema_id.and_then(|index| *outgoing.fields.get(index)?))),
        None if letter::is_dead(outgoing) => Prefix::of_origin(outgoing).map(|prefix| (prefix, None)),
        None => None,
    }
}

/// The message's own time, so that who reads by time finds it where it happened; a broker's retention counts from it. One that
/// nobody can have meant is the time of publishing.
fn time(outgoing: &Outgoing<'_>, now_ms: i64) -> Option<i64> {
    outgoing.message.time_ms().filter(|time| (1..=now_ms.saturating_add(AHEAD_MAX_MS)).contains(time))
}

fn headers(outgoing: &Outgoing<'_>, options: &Options, prefixed: bool) -> OwnedHeaders {
    let message = outgoing.message;
    let carrier = &*message.raw().carrier;
    let mut headers = Headers(Some(OwnedHeaders::new_with_capacity(HEADERS.len() + outgoing.headers.len())));
    let dead = letter::is_dead(outgoing);
    for (name, said) in [(ID, message.id()), (NAME, message.name()), (TYPE, message.message_type())] {
        match carrier.header(name).filter(|_| dead) {
            // A dead letter says what its message said.
            Some(original) => headers.carry(name, original),
            None => headers.push(name, said.as_bytes()),
        }
    }
    if let Some(content_type) = content_type(outgoing) {
        headers.push(CONTENT_TYPE, content_type.as_bytes());
    }
    let correlation = carrier.property(Property::CorrelationId).or_else(|| message.metadata("correlation_id"));
    if let Some(correlation) = correlation {
        headers.push(CORRELATION, correlation.as_bytes());
    }
    let said = |name: &str| {
        let anew = is_property(name) || outgoing.headers.iter().any(|(own, _)| *own == name);
        // The value itself says it again.
        anew || prefixed && name == prefix::ID
    };
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
    for (name, value) in outgoing.headers.iter().filter(|(name, _)| !is_property(name)) {
        headers.push(name, value.as_bytes());
    }
    options.style.push(outgoing, |name, value| headers.push(name, value));
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        broker::{
            Target,
            kafka::{source::Partition, target},
        },
        envelope::{Decode, DecodeRules, Message, RawMessage, decode},
        written::{Node, Problems, Span, Value},
    };

    const DEAD: &[(&str, &str)] = &[("rialto-dead-reason", "refused")];

    fn target() -> Target {
        let node = Node::new("to", Span::outside("test"), Value::Str("orders".into()));
        target::read(&"log".into(), &node, &mut Problems::default()).unwrap()
    }

    fn message(key: Option<&[u8]>) -> Message {
        let record = Record::new(&Partition::for_tests("source"), 7, None, key, None, &mut Vec::new());
        let rules = DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 20, broker: "log".into() };
        decode(RawMessage { body: "{}".into(), carrier: Arc::new(record) }, &rules, 0).unwrap()
    }

    fn key_of(own: Option<&[u8]>, key: &str, headers: &[(&str, &str)]) -> Option<Vec<u8>> {
        let (target, message) = (target(), message(own));
        let outgoing = Outgoing {
            target: &target,
            message: &message,
            address: "orders",
            key,
            body: b"{}",
            content_type: "",
            headers,
            fields: &[],
            attempt: 1,
            timeout: Duration::from_secs(15),
        };
        let mut value = Vec::new();
        of(&outgoing, Slot::new(0, 0), 0, &mut value).unwrap().key.map(<[u8]>::to_vec)
    }

    #[test]
    fn a_key_that_is_no_text_is_kept_and_one_that_is_written_wins() {
        let binary: &[u8] = &[0xff, 0];
        assert_eq!(key_of(Some(binary), "", &[]).as_deref(), Some(binary));
        assert_eq!(key_of(Some(binary), "customer-1", &[]).as_deref(), Some(&b"customer-1"[..]));
        assert_eq!(key_of(Some(b""), "", &[]).as_deref(), Some(&b""[..]), "empty is not null");
        assert_eq!(key_of(None, "", &[]), None);
        // A text that a route's own template made nothing of stays behind.
        assert_eq!(key_of(Some(b"text"), "", &[]), None);
    }

    #[test]
    fn a_dead_letter_has_the_key_of_its_message() {
        assert_eq!(key_of(Some(b"own"), "the route's", DEAD).as_deref(), Some(&b"own"[..]));
        assert_eq!(key_of(None, "the route's", DEAD).as_deref(), Some(&b"the route's"[..]));
    }
}
