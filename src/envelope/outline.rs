//! One pass over the top level of a JSON object: enough to tell what it is, and to find its payload without building a tree.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json;

/// The members of an object that recognition and identity ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    MessageType,
    MessageName,
    MessageId,
    Payload,
    Metadata,
    EventId,
    EventName,
    Event,
    Type,
    Timestamp,
    Data,
    SpecVersion,
}

/// How many there are.
const MEMBERS: usize = Member::SpecVersion as usize + 1;

impl Member {
    fn named(key: &str) -> Option<Self> {
        Some(match key {
            "message_type" => Self::MessageType,
            "message_name" => Self::MessageName,
            "message_id" => Self::MessageId,
            "payload" => Self::Payload,
            "metadata" => Self::Metadata,
            "event_id" => Self::EventId,
            "event_name" => Self::EventName,
            "event" => Self::Event,
            "type" => Self::Type,
            "timestamp" => Self::Timestamp,
            "data" => Self::Data,
            "specversion" => Self::SpecVersion,
            _ => return None,
        })
    }
}

/// The top level of an object.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    /// Members in all, repeated ones included.
    members: usize,
    /// The last value of each asked-for member, as it stands.
    values: [Option<&'a RawValue>; MEMBERS],
}

impl<'a> Outline<'a> {
    /// Reads all of `text`, which is checked to be one JSON value; `None` for any value but an object.
    pub(super) fn read(text: &'a str) -> Result<Option<Self>, serde_json::Error> {
        let mut input = serde_json::Deserializer::from_str(text);
        let first = text.bytes().find(|byte| !byte.is_ascii_whitespace());
        let outline = if first == Some(b'{') {
            Some(input.deserialize_map(Whole)?)
        } else {
            input.deserialize_ignored_any(IgnoredAny)?;
            None
        };
        input.end()?;
        Ok(outline)
    }

    /// A member's value as JSON text; the last one where it is repeated, as nearly every JSON library has it.
    pub(super) fn value(&self, member: Member) -> Option<&'a str> {
        self.values[member as usize].map(RawValue::get)
    }

    /// True for exactly the four keys of an envelope, or these and `metadata`. With a repeated key it is none: two readers of such
    /// an object could see two different messages.
    pub(super) fn is_envelope(&self) -> bool {
        use Member::{MessageId, MessageName, MessageType, Metadata, Payload};
        let four = [MessageType, MessageName, MessageId, Payload].iter().all(|&member| self.value(member).is_some());
        four && self.members == 4 + usize::from(self.value(Metadata).is_some())
    }
}

struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Outline<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut outline = Outline::default();
        // A key is taken as it stands, like everything else: one that is no text (a lone surrogate) is legal JSON and passes.
        while let Some(key) = map.next_key::<&RawValue>()? {
            outline.members += 1;
            match json::string(key.get()).and_then(|key| Member::named(&key)) {
                Some(member) => outline.values[member as usize] = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(outline)
    }
}
