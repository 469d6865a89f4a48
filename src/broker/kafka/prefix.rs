//! The few bytes that a schema registry's serializers put in front of a value: a zero, and the id of the schema.
//!
//! Confluent's are a zero and four bytes, most significant first
//! (<https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>); Apicurio's are the
//! same from version 3 on, and a zero and eight bytes before. A source that is told of them takes them off, for what stands behind
//! them is the message; a destination that is told of them puts them on. In between the id is a header, so that it survives whatever
//! lies between.

use crate::{
    broker::Outgoing,
    envelope::HeaderValue,
    outcome::{Reason, Refusal},
    written::{Node, Problems},
};

/// Header of a message that came with an id.
pub(super) const ID: &str = "rialto-schema-id";

/// The word by which a carrier names the prefix that its record came with.
pub(super) const WORD: &str = "schema_prefix";

/// `schema_prefix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Four bytes of id.
    Confluent,
    /// Eight bytes of id.
    Apicurio,
}

const NAMES: [(&str, Prefix); 2] = [("confluent", Prefix::Confluent), ("apicurio", Prefix::Apicurio)];

/// What every prefix begins with. No JSON begins so.
const MAGIC: u8 = 0;

impl Prefix {
    /// Reads the key of a source or a destination.
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<Self> {
        node.choice("schema_prefix", &NAMES, faults)
    }

    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, prefix)| *prefix == self).map_or("", |(name, _)| name)
    }

    /// By its name.
    fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, prefix)| *prefix)
    }

    /// Bytes in front of the value.
    pub(super) fn len(self) -> usize {
        1 + match self {
            Self::Confluent => size_of::<u32>(),
            Self::Apicurio => size_of::<u64>(),
        }
    }

    /// The id in front of a value; `None` where nothing stands there, and the value is whole as it is.
    pub(super) fn id_of(self, value: &[u8]) -> Option<u64> {
        let (magic, rest) = value.split_first()?;
        if *magic != MAGIC {
            return None;
        }
        match self {
            Self::Confluent => rest.first_chunk().map(|bytes| u64::from(u32::from_be_bytes(*bytes))),
            Self::Apicurio => rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
        }
    }

    /// Appends the prefix; false, and nothing appended, where the id has no room in it.
    fn push(self, id: u64, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Confluent => {
                let Ok(id) = u32::try_from(id) else { return false };
                out.push(MAGIC);
                out.extend_from_slice(&id.to_be_bytes());
            }
            Self::Apicurio => {
                out.push(MAGIC);
                out.extend_from_slice(&id.to_be_bytes());
            }
        }
        true
    }

    /// Writes the prefix and the body. `written` is what the destination says of the id; else it is the message's own.
    pub(super) fn value(self, outgoing: &Outgoing<'_>, written: Option<&str>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let carried = outgoing.message.raw().carrier.header(ID).and_then(HeaderValue::to_text);
        let Some(text) = written.or(carried.as_deref()) else {
            return Err(Refusal::new(
                Reason::Final,
                format!(
                    "`schema_prefix` needs the id of a schema: the message has no header `{ID}`, and `schema_id` is not written"
                ),
            ));
        };
        out.clear();
        if !text.trim().parse().is_ok_and(|id| self.push(id, out)) {
            let bits = 8 * (self.len() - 1);
            return Err(Refusal::new(Reason::Final, format!("`{text}` is no id of a schema: a whole number of {bits} bits")));
        }
        out.extend_from_slice(outgoing.body);
        Ok(())
    }

    /// The prefix that a message came with: its dead letter is the record as it was.
    pub(super) fn of_origin(outgoing: &Outgoing<'_>) -> Option<Self> {
        Self::named(&outgoing.message.raw().carrier.word(WORD)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for (prefix, id, bytes) in [
            (Prefix::Confluent, 7, &[0, 0, 0, 0, 7][..]),
            (Prefix::Confluent, u64::from(u32::MAX), &[0, 255, 255, 255, 255]),
            (Prefix::Apicurio, 0x0102_0304_0506_0708, &[0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ] {
            let mut out = Vec::new();
            assert!(prefix.push(id, &mut out));
            assert_eq!((out.as_slice(), out.len()), (bytes, prefix.len()));
            out.extend_from_slice(b"{}");
            assert_eq!(prefix.id_of(&out), Some(id));
            assert_eq!(Prefix::named(prefix.name()), Some(prefix));
        }
    }

    #[test]
    fn what_has_no_prefix_is_left_alone() {
        for value in [&b"{}"[..], b"", b"\0", b"\0abc", b"12345678"] {
            assert_eq!(Prefix::Confluent.id_of(value), None, "{value:?}");
        }
        assert_eq!(Prefix::Apicurio.id_of(b"\0\0\0\0\x07{}"), None);
        let mut out = Vec::new();
        assert!(!Prefix::Confluent.push(1 << 32, &mut out) && out.is_empty());
    }
}
