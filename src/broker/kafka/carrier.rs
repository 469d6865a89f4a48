//! What travels beside a record's value: its key, its headers, and where it stands.

use std::{borrow::Cow, fmt, sync::Arc};

use rdkafka::message::{BorrowedHeaders, Headers};

use super::{
    prefix::{self, Prefix},
    record::{HEADERS, TOMBSTONE, is_property},
    source::Partition,
};
use crate::envelope::{Carrier, HeaderValue, Property};

/// A record as its consumer got it, without its value.
pub(super) struct Record {
    /// Where it comes from, and the group it is read for.
    pub(super) partition: Arc<Partition>,
    /// Its place there.
    pub(super) offset: i64,
    /// Milliseconds since the Unix epoch, by the producer's or the broker's clock.
    timestamp: Option<i64>,
    beside: Beside,
    /// Why it must not be delivered, whatever its value says.
    refused: Option<&'static str>,
    /// Its value was null.
    tombstone: bool,
    /// What a schema registry's client had put in front of its value: the id of the schema.
    schema: Option<(Prefix, u64)>,
}

impl Record {
    /// What stands beside a value. `scratch` is memory for a moment.
    pub(super) fn new(
        partition: &Arc<Partition>,
        offset: i64,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        headers: Option<&BorrowedHeaders>,
        scratch: &mut Vec<u8>,
    ) -> Self {
        let beside = Beside::new(key, headers, scratch);
        Self { partition: Arc::clone(partition), offset, timestamp, beside, refused: None, tombstone: false, schema: None }
    }

    /// Marks a record whose value is null.
    pub(super) fn tombstone(&mut self) {
        self.tombstone = true;
    }

    /// Notes what stood in front of its value.
    pub(super) fn schema(&mut self, prefix: Prefix, id: u64) {
        self.schema = Some((prefix, id));
    }

    /// Marks a record that is to be rejected.
    pub(super) fn refuse(&mut self, why: &'static str) {
        self.refused = Some(why);
    }

    /// The record's key, bytes as they came.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.beside.key()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({}@{})", self.partition, self.offset)
    }
}

fn header_value(value: Option<&[u8]>) -> HeaderValue<'_> {
    match value {
        None => HeaderValue::Null,
        Some(bytes) => std::str::from_utf8(bytes).map_or(HeaderValue::Bytes(bytes), HeaderValue::Str),
    }
}

/// Registries count from 1; an id beyond what a header's integer holds does not occur.
fn schema_id(id: u64) -> HeaderValue<'static> {
    HeaderValue::Int(i64::try_from(id).unwrap_or(i64::MAX))
}

impl Carrier for Record {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        if property == Property::Key {
            return std::str::from_utf8(self.key()?).ok().map(Cow::Borrowed);
        }
        let (_, name) = HEADERS.iter().find(|(own, _)| *own == property)?;
        self.beside.last(name)?.to_text()
    }

    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        match self.schema {
            Some((_, id)) if name == prefix::ID => Some(schema_id(id)),
            _ => self.beside.last(name),
        }
    }

    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        if let Some((_, id)) = self.schema {
            each(prefix::ID, schema_id(id));
        }
        for (name, value) in self.beside.headers() {
            if !is_property(name) {
                each(name, header_value(value));
            }
        }
    }

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "topic" => Some(Cow::Borrowed(&*self.partition.topic)),
            "partition" => Some(Cow::Owned(self.partition.number.to_string())),
            "offset" => Some(Cow::Owned(self.offset.to_string())),
            "group" => Some(Cow::Borrowed(self.partition.membership.group())).filter(|group| !group.is_empty()),
            prefix::WORD => self.schema.map(|(prefix, _)| Cow::Borrowed(prefix.name())),
            TOMBSTONE if self.tombstone => Some(Cow::Borrowed("")),
            _ => None,
        }
    }

    fn time(&self) -> Option<i64> {
        self.timestamp
    }

    fn position(&self) -> Option<String> {
        Some(format!("{}/{}/{}", self.partition.topic, self.partition.number, self.offset))
    }

    fn refused(&self) -> Option<&str> {
        self.refused
    }
}

/// Key and headers in one piece of memory, taken apart when somebody asks.
struct Beside {
    /// A length of four bytes before each part, and [`ABSENT`] for what is null.
    parts: Box<[u8]>,
    /// A bit for each length that a header's name has, by the 64: a message is asked for a dozen headers that most have not.
    lengths: u64,
}

const ABSENT: u32 = u32::MAX;

impl Beside {
    /// Each look at a header is a call of librdkafka: they are gathered in `scratch` first, whose size need not be known.
    fn new(key: Option<&[u8]>, headers: Option<&BorrowedHeaders>, scratch: &mut Vec<u8>) -> Self {
        if key.is_none() && headers.is_none() {
            return Self { parts: Box::default(), lengths: 0 };
        }
        let mut lengths = 0;
        scratch.clear();
        put(scratch, key);
        for header in headers.into_iter().flat_map(Headers::iter) {
            lengths |= length_bit(header.key);
            put(scratch, Some(header.key.as_bytes()));
            put(scratch, header.value);
        }
        Self { parts: scratch.as_slice().into(), lengths }
    }

    fn key(&self) -> Option<&[u8]> {
        take(&mut &*self.parts)?.0
    }

    /// The last header of a name: what Kafka's own clients call the header where there are several.
    fn last(&self, name: &str) -> Option<HeaderValue<'_>> {
        if self.lengths & length_bit(name) == 0 {
            return None;
        }
        // As bytes: that names are text was seen when they came.
        self.parts().filter(|(own, _)| *own == name.as_bytes()).last().map(|(_, value)| header_value(value))
    }

    fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.parts().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    fn parts(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest = &*self.parts;
        take(&mut rest);
        std::iter::from_fn(move || {
            let Part(name) = take(&mut rest)?;
            let Part(value) = take(&mut rest)?;
            Some((name?, value))
        })
    }
}

fn length_bit(name: &str) -> u64 {
    1 << (name.len() % 64)
}

/// A record is at most 2 GiB, and so is each of its parts.
fn put(bytes: &mut Vec<u8>, part: Option<&[u8]>) {
    bytes.extend_from_slice(&part.map_or(ABSENT, |part| part.len() as u32).to_ne_bytes());
    bytes.extend_from_slice(part.unwrap_or_default());
}

/// The bytes of a part, where it is not null.
#[derive(Clone, Copy)]
struct Part<'a>(Option<&'a [u8]>);

/// The next part; `None` at the end.
fn take<'a>(rest: &mut &'a [u8]) -> Option<Part<'a>> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = u32::from_ne_bytes(*length);
    if length == ABSENT {
        *rest = after;
        return Some(Part(None));
    }
    let (part, after) = after.split_at_checked(length as usize)?;
    *rest = after;
    Some(Part(Some(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_they_went_in() {
        let mut bytes = Vec::new();
        for part in [Some(&b"key"[..]), Some(b"name"), None, Some(b""), Some(b"\xff\0")] {
            put(&mut bytes, part);
        }
        let beside = Beside { parts: bytes.into_boxed_slice(), lengths: length_bit("name") | length_bit("") };
        assert_eq!(beside.key(), Some(&b"key"[..]));
        assert_eq!(beside.headers().collect::<Vec<_>>(), [("name", None), ("", Some(&b"\xff\0"[..]))]);
        assert_eq!([beside.last("name"), beside.last("")], [Some(HeaderValue::Null), Some(HeaderValue::Bytes(b"\xff\0"))]);
        assert_eq!([beside.last("nama"), beside.last("names")], [None; 2]);
        let nothing = Beside::new(None, None, &mut Vec::new());
        assert_eq!((nothing.key(), nothing.headers().count(), nothing.last("name")), (None, 0, None));
    }
}
