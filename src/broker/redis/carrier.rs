//! What travels beside a body: a stream entry's fields, or a channel's name.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use redis::Value;

use super::command::{BODY, FIELDS};
use crate::envelope::{Carrier, HeaderValue, Property, RawMessage};

/// A stream entry's id: milliseconds and a number within them. Ordered as Redis orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct EntryId {
    /// Milliseconds since the Unix epoch, unless the producer chose its own ids.
    pub(super) milliseconds: u64,
    /// Within that millisecond, from 0.
    pub(super) number: u64,
}

/// Ids below 2001-09-09 were chosen by a producer and say nothing about time.
const TIME_MIN: u64 = 1_000_000_000_000;

impl EntryId {
    /// `1526919030474-55`; a lone number is the first of its millisecond.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (milliseconds, number) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self { milliseconds: milliseconds.parse().ok()?, number: number.parse().ok()? })
    }

    /// The id right below; the lowest is its own.
    pub(super) fn before(self) -> Self {
        match (self.milliseconds, self.number) {
            (0, 0) => self,
            (milliseconds, 0) => Self { milliseconds: milliseconds - 1, number: u64::MAX },
            (milliseconds, number) => Self { milliseconds, number: number - 1 },
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.number)
    }
}

/// An entry of a stream, in Redis' own form.
#[derive(Debug)]
pub(super) struct Entry {
    stream: Arc<str>,
    id: EntryId,
    /// Names and values in turn, without the body.
    fields: Vec<Vec<u8>>,
    /// The body was made of the fields, so that they are no headers.
    whole: bool,
}

impl Entry {
    /// Takes `[id, [name, value, …]]` apart. The fields are absent where the entry was trimmed while it was pending.
    pub(super) fn read(value: Value, stream: &Arc<str>) -> Option<(EntryId, Option<RawMessage>)> {
        let Value::Array(parts) = value else { return None };
        let mut parts = parts.into_iter();
        let id = match parts.next()? {
            Value::BulkString(id) => EntryId::parse(&id)?,
            _ => return None,
        };
        let fields = match parts.next() {
            Some(Value::Array(fields)) => fields,
            Some(Value::Nil) | None => return Some((id, None)),
            Some(_) => return None,
        };
        let mut texts = Vec::with_capacity(fields.len());
        for field in fields {
            let Value::BulkString(bytes) = field else { return None };
            texts.push(bytes);
        }
        Some((id, Some(Self::message(stream, id, texts))))
    }

    fn message(stream: &Arc<str>, id: EntryId, mut fields: Vec<Vec<u8>>) -> RawMessage {
        let at = fields.iter().step_by(2).position(|name| name == BODY.as_bytes()).map(|nth| 2 * nth);
        let body = match at {
            Some(at) if at + 1 < fields.len() => {
                let body = fields.remove(at + 1);
                fields.remove(at);
                Bytes::from(body)
            }
            _ => Bytes::from(object(&fields)),
        };
        let entry = Self { stream: Arc::clone(stream), id, fields, whole: at.is_none() };
        RawMessage { body, carrier: Arc::new(entry) }
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        self.pairs().find(|(own, _)| *own == name.as_bytes()).map(|(_, value)| value)
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.chunks_exact(2).map(|pair| (&pair[0][..], &pair[1][..]))
    }
}

/// The fields as a JSON object of texts, in their order, repetitions included. What is not UTF-8 stays as it is, and so the body is
/// found undecodable rather than changed.
fn object(fields: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::with_capacity(fields.iter().map(|field| field.len() + 4).sum::<usize>() + 2);
    body.push(b'{');
    for (nth, pair) in fields.chunks_exact(2).enumerate() {
        if nth > 0 {
            body.push(b',');
        }
        quote(&pair[0], &mut body);
        body.push(b':');
        quote(&pair[1], &mut body);
    }
    body.push(b'}');
    body
}

fn quote(bytes: &[u8], body: &mut Vec<u8>) {
    if let Ok(Ok(text)) = std::str::from_utf8(bytes).map(serde_json::to_string) {
        body.extend_from_slice(text.as_bytes());
    } else {
        body.push(b'"');
        body.extend_from_slice(bytes);
        body.push(b'"');
    }
}

/// Bytes as a header's value: text where they are text.
fn header_value(bytes: &[u8]) -> HeaderValue<'_> {
    std::str::from_utf8(bytes).map_or(HeaderValue::Bytes(bytes), HeaderValue::Str)
}

impl Carrier for Entry {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        let name = match property {
            Property::Id => "message_id",
            Property::Name => "message_name",
            Property::Type => "message_type",
            Property::Key => "key",
            Property::ContentType => "content_type",
            Property::CorrelationId => "correlation_id",
        };
        std::str::from_utf8(self.field(name)?).ok().map(Cow::Borrowed)
    }

    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        if self.whole { None } else { self.field(name).map(header_value) }
    }

    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        if self.whole {
            return;
        }
        for (name, value) in self.pairs() {
            if let Ok(name) = std::str::from_utf8(name)
                && !FIELDS.contains(&name)
            {
                each(name, header_value(value));
            }
        }
    }

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "stream").then(|| Cow::Borrowed(&*self.stream))
    }

    fn time(&self) -> Option<i64> {
        i64::try_from(self.id.milliseconds).ok().filter(|_| self.id.milliseconds >= TIME_MIN)
    }

    fn position(&self) -> Option<String> {
        Some(format!("{}/{}", self.stream, self.id))
    }
}

/// What a pub/sub message comes with: the channel it was published on.
#[derive(Debug)]
pub(super) struct Heard {
    /// The channel itself, also where a pattern caught it.
    pub(super) channel: Vec<u8>,
}

impl Carrier for Heard {
    fn property(&self, _: Property) -> Option<Cow<'_, str>> {
        None
    }

    fn header(&self, _: &str) -> Option<HeaderValue<'_>> {
        None
    }

    fn headers(&self, _: &mut dyn FnMut(&str, HeaderValue<'_>)) {}

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        if name == "channel" { Some(String::from_utf8_lossy(&self.channel)) } else { None }
    }

    fn time(&self) -> Option<i64> {
        None
    }

    fn position(&self) -> Option<String> {
        None
    }
}
